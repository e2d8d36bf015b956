//! Who is at the address, who may ask, and what is never sent.

mod support;

use driver_anviz::{
    command::{ask, never, page},
    sim::{Fault, Harm, Model, Simulator},
};
use driver_api::{
    Job, JobFailed, Operation, Report, Trouble,
    contract::{PATIENCE, Running},
};
use serde_json::json;
use support::{Config, Site, quick};

#[tokio::test(flavor = "multi_thread")]
async fn users_are_listed_by_number_and_nothing_else_of_them_is_told() {
    let all: Vec<u64> = (0..21).map(|at| 1000 + at).collect();
    let site = Site::with(Model::default(), "", |terminal| terminal.set_users(0, &all)).await;
    site.until_polled(1).await;
    let outcome = site.ask(Operation::Users).await.unwrap();
    let numbers: Vec<String> = all.iter().map(u64::to_string).collect();
    assert_eq!(outcome, json!({ "count": 21, "users": numbers }));
    // A page that cannot be is refused in words, and the terminal is served on.
    let lie = driver_anviz::frame::Frame::answer(1, ask::USERS, 0, [&[3][..], &[0x41; 50]].concat()).encode();
    site.terminal.harm(Fault::once(ask::USERS, Harm::Instead(lie)));
    let refused = site.ask(Operation::Users).await;
    assert!(matches!(&refused, Err(driver_api::JobFailed::Refused(why)) if why.contains("3 users, and has 50 bytes")));
    site.terminal.punch(0, 77);
    site.until_stored(1).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_terminal_at_the_address_is_refused() {
    let site = Site::with(Model::default(), "serial = \"1\"", |terminal| terminal.punch(0, 7)).await;
    let cause = site.until_troubled(Trouble::WrongTerminal).await;
    assert_eq!(cause, "there is \"0250100912345678\", not \"1\"");
    assert!(site.punches().is_empty() && site.asked(ask::RECORDS) == 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_number_that_is_not_told_gives_no_punch_another_id() {
    let silent = |times| Fault { times, ..Fault::once(ask::SERIAL, Harm::Deaf) };
    // Asked twice each time, so that one of these is not noticed, and others are one answer or two that are missing.
    for times in 1..5 {
        let site = Site::with(Model::default(), "", |terminal| {
            terminal.fill(0, 30);
            terminal.harm(silent(times));
        })
        .await;
        site.until_stored(30).await;
        site.until_marked(30).await;
        site.terminal.harm(silent(times));
        site.terminal.harm(Fault::once(ask::COUNTERS, Harm::Close));
        let before = site.asked(ask::SERIAL);
        site.until("it is asked again who it is", |site| site.asked(ask::SERIAL) > before).await;
        site.terminal.punch(0, 77);
        site.until_stored(31).await;
        if times == 4 {
            site.terminal.harm(silent(u32::MAX));
            site.terminal.harm(Fault::once(ask::COUNTERS, Harm::Close));
            let cause = site.until_troubled(Trouble::WrongTerminal).await;
            assert_eq!(cause, "it told the serial number \"0250100912345678\" before, and tells none now");
            site.terminal.punch(0, 78);
            site.terminal.heal();
            site.until_stored(32).await;
            site.until_relieved(Trouble::WrongTerminal).await;
        }
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_given_where_it_is_wanted() {
    let folder = std::env::temp_dir().join(format!("punchgate-anviz-{}", std::process::id()));
    std::fs::write(&folder, "12345\n").unwrap();
    let block = format!("user = \"admin\"\npassword_file = {:?}", folder.to_str().unwrap());
    for (password, let_in) in [("12345", true), ("54321", false)] {
        let model = Model { login: Some(("admin".into(), password.into())), ..Model::default() };
        let site = Site::with(model, &block, |terminal| terminal.punch(0, 7)).await;
        if let_in {
            site.until_stored(1).await;
        } else {
            site.until("it was tried", |site| site.asked(ask::LOGIN) > 1).await;
            assert_eq!(site.asked(ask::COUNTERS), 0);
        }
        site.running.close().await;
    }
    std::fs::remove_file(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_makes_a_terminal_forget_or_admit_somebody_is_ever_sent() {
    let site = Site::with(Model::default(), "set_clock = true\nlive = true", |terminal| {
        terminal.fill(0, 100);
        terminal.set_clock_offset(0, jiff::SignedDuration::from_secs(-90));
    })
    .await;
    site.until_marked(100).await;
    for operation in [
        Operation::Info,
        Operation::Users,
        Operation::Reconcile { from: None, to: None },
        Operation::TimeSet,
        Operation::Unlock { door: 1, seconds: 1 },
        Operation::Restart,
    ] {
        // Some are not supported: all that counts here is what was sent.
        let _ = site.ask(operation).await;
    }
    for (command, data) in site.terminal.journal(0) {
        assert!(![never::DELETE_USER, never::PUT_USERS, never::REBOOT].contains(&command), "{command:#04x}");
        if command == ask::CLEAR {
            assert!(![never::CLEAR_RECORDS, never::CLEAR_ALL_MARKS].contains(&data[0]));
        }
        assert!(command != ask::RECORDS || data[0] != 0x10, "the page pointer is not to be trusted after a loss");
        assert!(command != ask::RECORDS || data[1] <= page::MOST);
    }
    assert_eq!(site.terminal.records(0).0, 100);
    site.running.close().await;
}

/// The condition for a wrong terminal, and none about the log of the right one.
async fn is_told_of_a_stranger(running: &Running, name: &str) {
    let said =
        |it: &Report, wanted: &[Trouble]| matches!(it, Report::Trouble { trouble, .. } if wanted.contains(trouble));
    let stranger = |it: &Report| said(it, &[Trouble::WrongTerminal]);
    running.gateway.until("the stranger is told", PATIENCE, |it| it.reports(name).iter().any(stranger)).await;
    let of_log = [Trouble::OtherReader, Trouble::LogShrank, Trouble::LogOverrun, Trouble::LogUnreadable];
    let reports = running.gateway.reports(name);
    assert!(!reports.iter().any(|it| said(it, &of_log)), "{name}: {reports:?}");
}

/// Nothing hangs up when two terminals of a bus, or behind a serial server, change places.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_another_terminal_in_its_place_is_booked() {
    for (mine, others) in [(20, 30), (30, 20), (20, 20)] {
        let model = |unit| Model { unit, serial: format!("02501009123400{unit:02}"), ..Model::default() };
        let line = Simulator::listen(vec![model(1), model(2)], 0).await.unwrap();
        line.fill(0, mine);
        line.fill(1, others);
        let address = line.address().unwrap();
        let block =
            |unit| quick(format!("address = \"tcp://{address}\"\nunit = {unit}\nserial = \"02501009123400{unit:02}\""));
        let running = Running::start(&Config(String::new(), vec![block(1), block(2)]));
        for (at, count) in [(0, mine), (1, others)] {
            running.until_stored("its own", at, count as usize).await;
            let all = (count as usize, count as usize);
            running.gateway.until("they are marked", PATIENCE, |_| line.records(at) == all).await;
        }
        line.swap(0, 1);
        // A door must not open for whoever ordered another, even where nothing has shown yet.
        let (job, answer) = Job::new("t0", Operation::Unlock { door: 1, seconds: 1 });
        running.send(0, job).await;
        let refused = tokio::time::timeout(PATIENCE, answer).await.unwrap();
        assert!(!matches!(refused, Ok(Ok(_))), "{refused:?}");
        assert!(matches!(refused, Err(_) | Ok(Err(JobFailed::NoAnswer(_) | JobFailed::NotConnected))), "{refused:?}");
        line.punch(0, 77);
        line.punch(1, 78);
        for (at, name) in ["t0", "t1"].into_iter().enumerate() {
            is_told_of_a_stranger(&running, name).await;
            assert_eq!(running.gateway.punches(name).len(), [mine, others][at] as usize, "{name}");
        }
        assert_eq!((line.opened(0), line.opened(1)), (0, 0));
        line.swap(0, 1);
        running.until_stored("its own again", 0, mine as usize + 1).await;
        running.until_stored("its own again", 1, others as usize + 1).await;
        running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_terminal_that_took_its_place_is_booked() {
    let serial = format!("serial = {:?}", Model::default().serial);
    let site = Site::with(Model::default(), &serial, |terminal| terminal.fill(0, 20)).await;
    site.until_marked(20).await;
    site.terminal.set_serial(0, "9");
    site.terminal.fill(0, 40);
    let cause = site.until_troubled(Trouble::WrongTerminal).await;
    assert_eq!(cause, "there is \"9\", not \"0250100912345678\"");
    site.until_stored(20).await;
    assert_eq!(site.terminal.records(0).1, 20, "a mark was taken away from somebody else's record");
    site.running.close().await;
}
