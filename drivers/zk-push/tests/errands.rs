//! What is asked of terminals, and how their answers come back.

mod support;

use std::time::Duration;

use driver_api::{JobFailed, Operation, Report, Trouble, User};
use driver_zk_push::sim::{Model, PushTerminal, Record};
use jiff::{Span, tz::TimeZone};
use serde_json::json;
use support::{PATIENCE, Server, record};

/// The number of the only command in the answer to a poll.
fn id(commands: &str) -> u64 {
    assert_eq!(commands.lines().count(), 1, "{commands}");
    commands.split(':').nth(1).and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no command: {commands}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_its_result_and_only_its_own_terminal_can_give_it() {
    let server = Server::start("", "UTC", &["serial = \"K\"", "serial = \"L\""]).await;
    server.get("/iclock/ping?SN=K").await;
    server.get("/iclock/ping?SN=L").await;
    let mut answer = server.job_later("t0", Operation::Info).await;
    let commands = poll_until_command(&server, "K").await;
    assert!(commands.ends_with(":INFO\n"), "{commands}");
    let number = id(&commands);
    assert_eq!(server.get("/iclock/getrequest?SN=K").await.1, "OK", "it is not offered again at once");
    let result = format!("ID={number}&Return=0&CMD=INFO\n~DeviceName=X\nUserCount=3\nComKey=4711\n");
    assert_eq!(server.post("/iclock/devicecmd?SN=L", &result).await, (200, "OK".into()));
    assert!(answer.try_recv().is_err(), "another terminal closed it");
    assert_eq!(server.post("/iclock/devicecmd?SN=K", &result).await, (200, "OK".into()));
    assert_eq!(answer.await.unwrap(), Ok(json!({"model": "X", "users": 3})));

    let answer = server.job_later("t0", Operation::Restart).await;
    let commands = poll_until_command(&server, "K").await;
    let next = id(&commands);
    assert!(next > number && commands.ends_with(":REBOOT\n"), "{commands}");
    let results = format!("ID=1&Return=0&CMD=DATA\nID={next}&Return=-1004&CMD=REBOOT\n");
    assert_eq!(server.post("/iclock/devicecmd?SN=K", results).await, (200, "OK".into()));
    assert_eq!(answer.await.unwrap(), Err(JobFailed::Refused("-1004: not on this model".into())));
    server.stop().await;
}

/// Jobs arrive by a channel: the next poll may be a moment too early.
async fn poll_until_command(server: &Server, serial: &str) -> String {
    let polling = async {
        loop {
            let (_, commands) = server.get(&format!("/iclock/getrequest?SN={serial}")).await;
            if commands != "OK" {
                return commands;
            }
        }
    };
    tokio::time::timeout(PATIENCE, polling).await.expect("the command is offered")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_packets_is_done_with_its_last_one() {
    let server = Server::start("", "UTC", &["serial = \"A\"\ndialect = \"security\""]).await;
    server.get("/iclock/ping?SN=A").await;
    let mut answer = server.job_later("t0", Operation::Users).await;
    let number = id(&poll_until_command(&server, "A").await);
    let packet = |index: u32| {
        format!("/iclock/querydata?SN=A&type=tabledata&cmdid={number}&tablename=user&count=1&packcnt=2&packidx={index}")
    };
    assert_eq!(server.post(&packet(1), "user uid=1\tpin=7\tpassword=4711\n").await, (200, "user=1".into()));
    server.get("/iclock/getrequest?SN=A").await;
    assert!(answer.try_recv().is_err(), "done after the first of two packets");
    assert_eq!(server.post(&packet(2), "user uid=2\tpin=007\n").await, (200, "user=1".into()));
    server.get("/iclock/getrequest?SN=A").await;
    assert_eq!(answer.await.unwrap(), Ok(json!({"users": ["007", "7"]})));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_terminal_of_each_dialect_carries_out_what_it_can() {
    let server = Server::start("", "UTC", &["serial = \"K\"", "serial = \"A\""]).await;
    let users = vec!["1".to_owned(), "007".into(), "42".into()];
    let attendance = Model { users: users.clone(), ..Model::new("K", server.address) };
    let security = Model { users, ..Model::new("A", server.address).security() };
    let terminals = [PushTerminal::start(attendance), PushTerminal::start(security)];
    for name in ["t0", "t1"] {
        server.gateway.until("it is there", PATIENCE, |gateway| gateway.reports(name).contains(&Report::Online)).await;
        assert_eq!(server.job(name, Operation::Info).await.unwrap()["users"], 3);
        assert_eq!(server.job(name, Operation::Users).await, Ok(json!({"users": ["007", "1", "42"]})));
        for operation in [Operation::TimeSet, Operation::Restart, Operation::Unlock { door: 1, seconds: 5 }] {
            assert_eq!(server.job(name, operation).await, Ok(json!({})));
        }
        let refused = server.job(name, Operation::Unlock { door: 1, seconds: 300 }).await;
        assert!(matches!(refused, Err(JobFailed::Refused(_))), "{refused:?}");
    }
    assert_eq!(server.job("t0", Operation::Unlock { door: 2, seconds: 5 }).await, Err(JobFailed::NotSupported));
    let [attendance, security] = terminals.map(|terminal| terminal.commands());
    assert!(attendance.contains(&"AC_UNLOCK".to_owned()) && attendance.contains(&"CHECK".to_owned()), "{attendance:?}");
    assert!(security.contains(&"CONTROL DEVICE 0101010005".to_owned()), "{security:?}");
    assert!(security.iter().any(|command| command.starts_with("SET OPTIONS DateTime=")), "{security:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_is_put_and_deleted_and_nobody_else() {
    let server = Server::start("", "UTC", &["serial = \"K\"", "serial = \"A\""]).await;
    let users = vec!["1".to_owned(), "007".into()];
    let attendance = Model { users: users.clone(), ..Model::new("K", server.address) };
    let security = Model { users, ..Model::new("A", server.address).security() };
    let terminals = [PushTerminal::start(attendance), PushTerminal::start(security)];
    for (name, terminal) in ["t0", "t1"].into_iter().zip(&terminals) {
        server.gateway.until("it is there", PATIENCE, |gateway| gateway.reports(name).contains(&Report::Online)).await;
        let put = |id: &str, name: Option<&str>, card| {
            Operation::UserPut(User { id: id.into(), name: name.map(str::to_owned), card })
        };
        assert_eq!(server.job(name, put("42", Some("Lu"), Some(4242))).await, Ok(json!({})));
        assert_eq!(server.job(name, put("42", None, Some(7))).await, Ok(json!({})));
        assert_eq!(terminal.users()["42"], ("Lu".to_owned(), "7".to_owned()), "what is not told stays");
        let delete = |id: &str| Operation::UserDelete { id: id.into() };
        assert_eq!(server.job(name, delete("007")).await, Ok(json!({})));
        assert_eq!(terminal.users().into_keys().collect::<Vec<_>>(), ["1", "42"]);
        let refused = server.job(name, delete("007")).await;
        assert_eq!(refused, Err(JobFailed::Refused("-10: no such user".into())));
        for id in ["", "1\nC:9:REBOOT", "*"] {
            assert!(matches!(server.job(name, delete(id)).await, Err(JobFailed::Refused(_))), "{id:?}");
        }
        assert_eq!(terminal.users().len(), 2);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_shows_requests_and_nobody() {
    let server = Server::start("", "UTC", &["serial = \"K\""]).await;
    server.gateway.set_traced(true);
    let terminal = PushTerminal::start(Model::new("K", server.address));
    terminal.punch("87654321");
    server.gateway.until("a punch is stored", PATIENCE, |gateway| gateway.punches("t0").len() == 1).await;
    let told = || server.gateway.frames("t0").into_iter().map(|frame| frame.what).collect::<Vec<_>>();
    server.gateway.until("all is told", PATIENCE, |_| told().iter().any(|what| what == "200, OK: 1")).await;
    let told = told();
    assert!(told.iter().any(|what| what.starts_with("POST /iclock/cdata table=ATTLOG")), "{told:?}");
    assert!(!told.join("\n").contains("87654321"), "{told:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_not_there_is_not_waited_for() {
    let server = Server::start("", "UTC", &["serial = \"K\""]).await;
    assert_eq!(server.job("t0", Operation::Restart).await, Err(JobFailed::NotConnected));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn punches_that_a_terminal_kept_to_itself_are_found_by_comparison() {
    for security in [false, true] {
        let server = Server::start("", "Asia/Bangkok", &["serial = \"K\""]).await;
        let zone = TimeZone::get("Asia/Bangkok").unwrap();
        let model = Model { zone: zone.clone(), batch: 7, ..Model::new("K", server.address) };
        let model = if security { model.security() } else { model };
        let terminal = PushTerminal::start(model);
        terminal.punch("1");
        server.gateway.until("a live punch is stored", PATIENCE, |gateway| gateway.punches("t0").len() == 1).await;
        let now = TimeZone::to_datetime(&zone, jiff::Timestamp::now()).with().subsec_nanosecond(0).build().unwrap();
        for n in 0..20_i64 {
            terminal.record_silently(Record::new(format!("{}", 100 + n), now - Span::new().minutes(n + 1)));
        }
        // A query for a month, and one for all; the second finds nothing new.
        for from in [Some(now - Span::new().days(40)), None] {
            let found = server.job("t0", Operation::Reconcile { from, to: None }).await.unwrap();
            let received = if security { found["received"].as_u64() } else { found["expected"].as_u64() };
            assert_eq!((received, found["missing"].as_u64()), (Some(21), Some(0)), "{found}");
            assert_eq!(server.people("t0").len(), 21);
        }
        assert_eq!(terminal.acknowledged(), 21);
        if !security {
            assert!(server.gateway.reports("t0").contains(&Report::Gaps { missing: 0 }));
            let query = |command: &String| command.starts_with("DATA QUERY ATTLOG StartTime=");
            assert_eq!(terminal.commands().iter().filter(|command| query(command)).count(), 3, "two pieces, and one");
        }
        drop(terminal);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_under_way_is_dropped_when_the_line_ends() {
    let server = Server::start("", "UTC", &["serial = \"K\""]).await;
    server.get("/iclock/ping?SN=K").await;
    let answer = server.job_later("t0", Operation::Info).await;
    server.stop().await;
    assert!(tokio::time::timeout(Duration::from_secs(5), answer).await.expect("it is dropped").is_err());
}

/// Compares, with a terminal that counts `sum` punches and sends these.
async fn reconcile(server: &Server, sum: u64, sent: &str) -> Result<serde_json::Value, JobFailed> {
    let mut answer = server.job_later("t0", Operation::Reconcile { from: None, to: None }).await;
    loop {
        if let Ok(outcome) = answer.try_recv() {
            return outcome;
        }
        let (_, command) = server.get("/iclock/getrequest?SN=K").await;
        if command == "OK" {
            continue;
        }
        let number = id(&command);
        let result = if command.contains(":VERIFY SUM ") {
            format!("ID={number}&Return=0&CMD=VERIFY SUM&AttlogSum={sum}")
        } else {
            server.post("/iclock/cdata?SN=K&table=ATTLOG&Stamp=9999", sent).await;
            format!("ID={number}&Return=0&CMD=DATA QUERY")
        };
        server.post("/iclock/devicecmd?SN=K", result).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_terminal_counts_and_does_not_send_is_missing_until_it_is_here() {
    let server = Server::start("", "UTC", &["serial = \"K\""]).await;
    let now = TimeZone::UTC.to_datetime(jiff::Timestamp::now());
    let line =
        |n: i64| record(&format!("{n}"), &(now - Span::new().minutes(n)).strftime("%Y-%m-%d %H:%M:%S").to_string());
    let reports = || server.gateway.reports("t0");
    let told = |wanted: &Report| reports().iter().filter(|report| *report == wanted).count();
    let unreadable = || {
        let is = |report: &&Report| matches!(report, Report::Trouble { trouble: Trouble::LogUnreadable, .. });
        reports().iter().filter(is).count()
    };
    server.post("/iclock/cdata?SN=K&table=ATTLOG&Stamp=9999", line(1)).await;
    let found = reconcile(&server, 10, "").await;
    assert_eq!(found, Ok(json!({"expected": 10, "received": 0, "new": 0, "missing": 9})));
    assert_eq!((told(&Report::Gaps { missing: 9 }), unreadable()), (1, 1));
    let some: String = (1..=7).map(line).collect();
    let found = reconcile(&server, 10, &some).await;
    assert_eq!(found, Ok(json!({"expected": 10, "received": 7, "new": 6, "missing": 3})));
    let relief = Report::Relief(Trouble::LogUnreadable);
    let before = told(&relief);
    let all: String = (1..=10).map(line).collect();
    assert_eq!(reconcile(&server, 10, &all).await.unwrap()["missing"], 0);
    assert_eq!((told(&Report::Gaps { missing: 0 }), told(&relief)), (1, before + 1));
    // That it holds as many as we do is no proof that they are the same.
    let unproven = reconcile(&server, 10, "").await;
    assert!(matches!(unproven, Err(JobFailed::Refused(_))), "{unproven:?}");
    server.stop().await;
}
