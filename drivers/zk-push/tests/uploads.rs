//! What becomes of uploads: everything stored once, nothing invented, `OK` only when it is on disk.

mod support;

use driver_api::{Flag, Origin, Raw, Report, Trouble, Verify};
use jiff::civil::date;
use support::{PATIENCE, Server, record};

const ATTLOG: &str = "/iclock/cdata?SN=K&table=ATTLOG&Stamp=9999";

async fn server() -> Server {
    Server::start("", "UTC", &["serial = \"K\""]).await
}

fn ok(count: usize) -> (u16, String) {
    (200, format!("OK: {count}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn line_ends_and_blank_lines_change_nothing() {
    let server = server().await;
    let [a, b] = ["1", "2"].map(|person| record(person, "2026-11-22 08:00:00"));
    for body in [
        format!("{a}{b}"),
        format!("{a}{}", b.trim_end()),
        format!("{a}{b}").replace('\n', "\r\n"),
        format!("\n\n{a}\r\n\n{b}\n \n"),
    ] {
        assert_eq!(server.post(ATTLOG, &body).await, ok(2), "{body:?}");
    }
    assert_eq!(server.people("t0"), ["1", "2"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_number_of_columns_is_stored() {
    let server = server().await;
    let columns = [
        "0\t1",
        "0\t1\t7",
        "0\t1\t\t0\t0",
        "0\t1\t0\t0\t0\t0\t36.5\t36.5",
        "0\t1\t0\t0\t0\t0\t36.5\t36.5\t+25200\t",
        "0\t1\t0\t0\t0\t1\t2\t3\t4\t5\t6\t7\t8\t9",
    ];
    let body: String =
        (10..).zip(columns).map(|(n, columns)| format!("0{n}\t2026-11-22T08:00:{n}\t{columns}\n")).collect();
    assert_eq!(server.post(ATTLOG, body).await, ok(6));
    let punches = server.gateway.punches("t0");
    assert_eq!(server.people("t0"), ["010", "011", "012", "013", "014", "015"]);
    assert_eq!(punches[1].work_code.as_deref(), Some("7"));
    assert_eq!(punches[2].local, date(2026, 11, 22).at(8, 0, 12, 0));
    let zones: Vec<_> = punches.iter().map(|punch| punch.zone.is_some()).collect();
    assert_eq!(zones, [false, false, false, false, true, false]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_cannot_be_read_is_kept_and_holds_nothing_back() {
    let server = server().await;
    let bad = "garbage\n\t2026-11-22 08:00:00\n5\t1971--10--29 -23:-27:-54\t0\t1\n";
    let body = format!("{}{bad}{}", record("1", "2026-11-22 08:00:00"), record("2", "2026-11-22 08:00:01"));
    assert_eq!(server.post(ATTLOG, &body).await, ok(5));
    assert_eq!(server.post(ATTLOG, &body).await, ok(5));
    assert_eq!(server.people("t0"), ["1", "2"]);
    let aside = server.gateway.set_aside("t0");
    let raw: Vec<_> = aside.iter().map(|aside| aside.raw.as_slice()).collect();
    assert_eq!(raw, [&b"garbage"[..], b"\t2026-11-22 08:00:00", b"5\t1971--10--29 -23:-27:-54\t0\t1"]);
    let told = |report: &Report| matches!(report, Report::Trouble { trouble: Trouble::RecordsSetAside, .. });
    assert!(server.gateway.reports("t0").iter().any(told));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_lines_are_one_upload() {
    let server = server().await;
    let body: String = (0..10_000)
        .map(|n| {
            record(
                &format!("{n}"),
                &format!("2026-11-{:02} {:02}:{:02}:{:02}", 1 + n / 4000, n / 3600 % 24, n / 60 % 60, n % 60),
            )
        })
        .collect();
    assert_eq!(server.post(ATTLOG, &body).await, ok(10_000));
    assert_eq!(server.people("t0").len(), 10_000);
    assert!(server.gateway.punches("t0").iter().all(|punch| punch.origin == Origin::Backfill));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_content_type_makes_a_body_another_one() {
    let server = server().await;
    for kind in [
        "",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/push;charset=UTF-8\r\n",
        "Content-Type: multipart/form-data\r\n",
        "Content-Type: \r\n",
    ] {
        assert_eq!(server.post_with(ATTLOG, kind, record("1", "2026-11-22 08:00:00")).await, ok(1), "{kind}");
    }
    assert_eq!(server.people("t0"), ["1"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_does_not_move_the_place_from_which_a_terminal_goes_on() {
    let server = server().await;
    let at = |stamp: u32| format!("/iclock/cdata?SN=K&table=ATTLOG&Stamp={stamp}");
    let told = async || server.get("/iclock/cdata?SN=K&options=all").await.1;
    assert_eq!(server.post(&at(7), record("1", "2026-11-22 08:00:00")).await, ok(1));
    for (rubbish, lines) in [("\u{1}\u{2}{garbage}\nFACE PIN=1\n", 2), ("", 0)] {
        assert_eq!(server.post(&at(9999), rubbish).await, ok(lines));
        assert!(told().await.contains("\nATTLOGStamp=7\n"), "{rubbish:?}: {}", told().await);
    }
    assert_eq!(server.post(&at(8), format!("rubbish\n{}", record("1", "2026-11-22 08:01:00"))).await, ok(2));
    assert!(told().await.contains("\nATTLOGStamp=8\n"), "{}", told().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_the_same_upload_is_taken_later() {
    let server = server().await;
    server.gateway.set_full(true);
    for table in ["ATTLOG", "NEWTHING"] {
        let (status, text) = server
            .post(&format!("/iclock/cdata?SN=K&table={table}&Stamp=77"), record("1", "2026-11-22 08:00:00"))
            .await;
        assert_eq!(status, 503);
        assert!(!text.starts_with("OK"), "{text}");
    }
    let (_, options) = server.get("/iclock/cdata?SN=K&options=all").await;
    assert!(options.contains("\nATTLOGStamp=0\n"), "a stamp went on without its punches:\n{options}");
    assert_eq!(server.get("/iclock/getrequest?SN=K").await.0, 200, "polls go on");
    server.gateway.set_full(false);
    assert_eq!(server.post(ATTLOG, record("1", "2026-11-22 08:00:00")).await, ok(1));
    assert_eq!(server.people("t0"), ["1"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_waits_for_the_disk() {
    let server = server().await;
    server.gateway.set_slow(std::time::Duration::from_secs(3600));
    let post = server.post(ATTLOG, record("1", "2026-11-22 08:00:00"));
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), post).await;
    assert!(early.is_err(), "answered before the store did: {early:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_biometrics_reach_no_store() {
    let server = server().await;
    let user = [
        &b"OPLOG 4\t0\t2026-11-22 08:00:00\t0\nUSER PIN=1\tName="[..],
        b"\xd5\xc5\xc8\xfd",
        b"\tPri=0\tPasswd=4711\tCard=\n",
    ]
    .concat();
    assert_eq!(server.post("/iclock/cdata?SN=K&table=OPERLOG", user).await, ok(2));
    let template = format!("BIODATA Pin=1\tNo=0\tTmp={}\n", "QUJD".repeat(1 << 18));
    assert_eq!(server.post("/iclock/cdata?SN=K&table=BIODATA", template).await, ok(1));
    // A user among records is rubbish there, and is kept as such, without what is secret.
    assert_eq!(server.post(ATTLOG, "USER PIN=1\tPasswd=4711\tName=Ann\n").await, ok(1));
    assert_eq!(server.post("/iclock/cdata?SN=K&table=odd", "x=1,ComKey=4711,12\nTmp=4711").await.0, 200);
    assert_eq!(server.people("t0"), [""; 0]);
    let dropped = |report: &Report| matches!(report, Report::BiometricsDropped { total: 1 });
    assert!(server.gateway.reports("t0").iter().any(dropped), "what is thrown away is counted");
    let kept = format!("{:?}{:?}", server.gateway.set_aside("t0"), server.gateway.reports("t0"));
    let raw: Vec<u8> = server.gateway.set_aside("t0").iter().flat_map(|aside| aside.raw.clone()).collect();
    let raw = String::from_utf8_lossy(&raw).into_owned();
    for secret in ["4711", "QUJD", "Ann"] {
        assert!(!kept.contains(secret) && !raw.contains(secret), "{secret} is kept: {raw}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_equal_punches_of_one_upload_both_live_and_repetitions_add_nothing() {
    let server = server().await;
    let [equal, next] = ["2026-11-22 08:00:00", "2026-11-22 08:00:01"].map(|time| record("1", time));
    // Alone, twice, with what came after, and with the log behind itself.
    for body in [
        equal.clone(),
        format!("{equal}{equal}"),
        format!("{equal}{next}"),
        format!("{equal}{equal}{next}{equal}{equal}{next}"),
    ] {
        server.post(ATTLOG, body).await;
    }
    let punches = server.gateway.punches("t0");
    let found: Vec<_> = punches.iter().map(|punch| (punch.local.second(), punch.nth)).collect();
    assert_eq!(found, [(0, 1), (0, 2), (1, 1)]);
    assert_eq!(punches[1].flags, [Flag::DuplicateSecond]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_live_and_in_the_table_of_transactions_is_one_punch() {
    let server = server().await;
    let live = "time=2026-02-23 14:13:48\tpin=2\tevent=3\tinoutstatus=1\tverifytype=15\tindex=140\n";
    assert_eq!(server.post("/iclock/cdata?SN=K&table=rtlog", live).await, (200, "OK".into()));
    let seconds = ((26 * 12 + 1) * 31 + 22) * 86_400 + 14 * 3600 + 13 * 60 + 48;
    let row = format!("transaction pin=2\tverified=15\teventtype=3\tinoutstate=1\ttime_second={seconds}\tindex=140\n");
    let target = "/iclock/cdata?SN=K&table=tabledata&tablename=transaction&count=1";
    assert_eq!(server.post(target, row).await, (200, "transaction=1".into()));
    let punches = server.gateway.punches("t0");
    assert_eq!((punches.len(), server.gateway.twins()), (1, 1));
    assert_eq!(punches[0].native.as_deref(), Some("140"));
    assert_eq!((punches[0].verify.value, punches[0].verify.raw.clone()), (Verify::Face, Some(Raw::Number(15))));
    let (_, start) = server.get("/iclock/cdata?SN=K&options=all").await;
    assert!(start.starts_with("registry=ok\n"), "who sends rtlog speaks the security dialect:\n{start}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_terminal_tells_of_itself_is_reported() {
    let server = server().await;
    server
        .post("/iclock/cdata?SN=K&table=options", "~DeviceName=X Y,UserCount=17,TransactionCount=5,BioDataFun=")
        .await;
    server.get("/iclock/getrequest?SN=K&INFO=Ver 6.8.0(build640), 2, 0, 33, 192.0.2.1").await;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string();
    server.post("/iclock/cdata?SN=K&table=OPERLOG", format!("OPLOG 23\t0\t{now}\t0\n")).await;
    let reports = server.gateway.reports("t0");
    let counts = |records, users| Report::Counts { records: Some(records), capacity: None, users: Some(users) };
    assert!(reports.contains(&counts(5, 17)) && reports.contains(&counts(33, 2)), "{reports:?}");
    assert!(reports.iter().any(|report| matches!(report, Report::Identity { model, .. } if model == "X Y")));
    assert!(
        reports
            .iter()
            .any(|report| matches!(report, Report::Identity { firmware, .. } if firmware == "Ver 6.8.0(build640)"))
    );
    assert!(reports.iter().any(|report| matches!(report, Report::Trouble { trouble: Trouble::LogCleared, .. })));
    // What it says that it holds: fewer than before, none, and more again.
    let told = |trouble: Trouble| {
        let mine = |report: &Report| matches!(report, Report::Trouble { trouble: it, .. } if *it == trouble);
        server.gateway.reports("t0").iter().any(mine)
    };
    assert!(!told(Trouble::LogShrank));
    server.get("/iclock/getrequest?SN=K&INFO=Ver 6.8.0(build640), 2, 0, 30, 192.0.2.1").await;
    assert!(told(Trouble::LogShrank));
    server.get("/iclock/getrequest?SN=K&INFO=Ver 6.8.0(build640), 2, 0, 31, 192.0.2.1").await;
    for trouble in [Trouble::LogShrank, Trouble::LogCleared] {
        assert!(server.gateway.reports("t0").contains(&Report::Relief(trouble)));
    }
    server.get("/iclock/getrequest?SN=K&INFO=Ver 6.8.0(build640), 2, 0, 0, 192.0.2.1").await;
    let cleared = |report: &&Report| matches!(report, Report::Trouble { trouble: Trouble::LogCleared, .. });
    assert_eq!(server.gateway.reports("t0").iter().filter(cleared).count(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_punch_of_this_moment_is_live_and_tells_how_the_clock_stands() {
    let server = Server::start("", "Asia/Bangkok", &["serial = \"K\""]).await;
    let at = |ahead: i64| {
        let now = jiff::Timestamp::now() + jiff::Span::new().seconds(ahead);
        jiff::tz::TimeZone::get("Asia/Bangkok").unwrap().to_datetime(now).strftime("%Y-%m-%d %H:%M:%S").to_string()
    };
    server.post(ATTLOG, record("1", &at(0))).await;
    let live = &server.gateway.punches("t0")[0];
    assert_eq!(live.origin, Origin::Live);
    assert!(live.clock.skew_ms.unwrap().abs() < 60_000);
    server.post(ATTLOG, record("2", &at(7200))).await;
    let off = |report: &Report| matches!(report, Report::Trouble { trouble: Trouble::ClockOff, .. });
    server
        .gateway
        .until("the clock is told to be off", PATIENCE, |gateway| gateway.reports("t0").iter().any(off))
        .await;
    server.post(ATTLOG, record("3", &at(0))).await;
    assert!(server.gateway.reports("t0").contains(&Report::Relief(Trouble::ClockOff)));
    server.stop().await;
}

/// How often something was told of the only terminal.
fn told(server: &Server, wanted: impl Fn(&Report) -> bool) -> usize {
    server.gateway.reports("t0").iter().filter(|report| wanted(report)).count()
}

fn trouble(wanted: Trouble) -> impl Fn(&Report) -> bool {
    move |report| matches!(report, Report::Trouble { trouble, .. } if *trouble == wanted)
}

/// A wall time in UTC, so many seconds from now.
fn wall(ahead: i64) -> String {
    let at = jiff::Timestamp::now() + jiff::Span::new().seconds(ahead);
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_read_is_kept_whole_or_not_acknowledged() {
    let server = server().await;
    let lines: String = (0..400).map(|n| format!("row {n}: something that is new to us\n")).collect();
    let mut binary: Vec<u8> = b"\x1f\x8b\x08\0\0\0\0\0".to_vec();
    binary.extend((0..3000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
    // The parts of this one are equal to each other.
    let same = vec![0; 3 * 4096];
    let packed = "/iclock/cdata?SN=K&table=tabledata&tablename=transaction&datafmt=3&count=299";
    for (target, body, answer) in [
        ("/iclock/cdata?SN=K&table=NEWTHING", lines.clone().into_bytes(), "OK"),
        (packed, binary, "transaction=299"),
        (packed, same, "transaction=299"),
        (ATTLOG, vec![b'x'; 100_000], "OK: 1"),
    ] {
        let before = server.gateway.set_aside("t0").len();
        for _ in 0..2 {
            assert_eq!(server.post(target, &body).await, (200, answer.into()));
        }
        let kept = server.gateway.set_aside("t0").split_off(before);
        if target != ATTLOG {
            let bytes: Vec<u8> = kept.iter().flat_map(|aside| aside.raw.clone()).collect();
            assert!(bytes == body, "{target}: {} of {} bytes are kept", bytes.len(), body.len());
        }
        assert!(kept.iter().all(|aside| aside.raw.len() <= driver_api::SetAside::LIMIT));
    }
    let parts: Vec<_> = server.gateway.set_aside("t0").into_iter().map(|aside| aside.reason).take(4).collect();
    assert!(parts[0].ends_with(" (part 1 of 4)") && parts[3].ends_with(" (part 4 of 4)"), "{parts:?}");

    let before = server.gateway.set_aside("t0").len();
    for target in ["/iclock/cdata?SN=K&table=NEWTHING", packed, ATTLOG] {
        assert_eq!(server.post(target, vec![b'.'; (1 << 20) + 1]).await.0, 413, "{target}");
    }
    assert_eq!(server.gateway.set_aside("t0").len(), before);
    assert_eq!(told(&server, trouble(Trouble::LogUnreadable)), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_terminal_says_to_be_stands_against_what_somebody_posts() {
    let server = server().await;
    let start = async |kind: &str| server.get(&format!("/iclock/cdata?SN=K&options=all{kind}")).await.1;
    let attendance = "GET OPTION FROM: K\n";
    assert!(start("&DeviceType=acc").await.starts_with("registry=ok\n"));
    assert!(start("").await.starts_with("registry=ok\n"), "it sticks");
    assert!(start("&DeviceType=att").await.starts_with(attendance), "it was switched to time attendance");
    let row = "time=2026-02-23 14:13:48\tpin=2\tevent=3\tindex=140\n";
    for body in ["", row] {
        assert_eq!(server.post("/iclock/cdata?SN=K&table=rtlog", body).await.0, 200);
        server.post("/iclock/registry?SN=K", "DeviceType=acc").await;
        assert!(start("").await.starts_with(attendance), "{body:?}");
    }
    assert!(start("&DeviceType=acc").await.starts_with("registry=ok\n"), "and it may be switched back");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_is_unset_while_live_punches_say_so() {
    let server = server().await;
    let (unset, relief) =
        (trouble(Trouble::ClockUnset), |report: &Report| *report == Report::Relief(Trouble::ClockUnset));
    server.post(ATTLOG, record("1", &wall(0))).await;
    let history: String = (1..=3).map(|n| record("1", &format!("2000-01-01 00:00:0{n}"))).collect();
    server.post(ATTLOG, history.clone() + &record("1", "2026-11-22 08:00:00")).await;
    server.post(ATTLOG, history.clone() + &history.replace(":0", ":1")).await;
    assert_eq!(told(&server, &unset), 0, "an old battery, in what it kept for us");
    server.post(ATTLOG, record("1", "2000-01-01 00:00:20")).await;
    assert_eq!(told(&server, &unset), 1);
    assert_eq!(server.post(ATTLOG, record("1", "2000-01-01 00:00:20")).await, ok(1));
    let before = told(&server, relief);
    server.post(ATTLOG, record("2", &wall(1))).await;
    assert_eq!((told(&server, &unset), told(&server, relief)), (1, before + 1));
    server.post(ATTLOG, record("1", "2000-01-01 00:00:20")).await;
    assert_eq!(told(&server, &unset), 1, "sent again");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_too_long_is_over_when_the_same_table_arrives() {
    let server = Server::start("body_limit_mib = 1", "UTC", &["serial = \"K\""]).await;
    let relief = |report: &Report| *report == Report::Relief(Trouble::LogUnreadable);
    assert_eq!(server.post(ATTLOG, record("1", "2026-11-22 08:00:00").repeat(40_000)).await.0, 413);
    assert_eq!(told(&server, trouble(Trouble::LogUnreadable)), 1);
    for table in ["OPERLOG", "rtstate", "options", "USERINFO"] {
        assert_eq!(server.post(&format!("/iclock/cdata?SN=K&table={table}"), "USER PIN=1\n").await.0, 200);
    }
    assert_eq!(told(&server, relief), 0);
    assert_eq!(server.post(ATTLOG, record("1", "2026-11-22 08:00:00")).await, ok(1));
    assert_eq!(told(&server, relief), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_deleted_years_ago_is_no_news() {
    let server = server().await;
    let cleared = trouble(Trouble::LogCleared);
    let post = async |time: &str| {
        let line = format!("OPLOG 23\t0\t{time}\t0\n");
        assert_eq!(server.post("/iclock/cdata?SN=K&table=OPERLOG", line).await.0, 200);
        told(&server, &cleared)
    };
    for old in ["2018-03-01 09:00:00", "2019-03-01 09:00:00", &wall(-90_000)] {
        assert_eq!(post(old).await, 0, "{old}");
    }
    let now = wall(-3600);
    assert_eq!(post(&now).await, 1);
    assert_eq!(post(&now).await, 1, "sent again");
    assert_eq!(post(&wall(-1800)).await, 2);
    server.stop().await;
}
