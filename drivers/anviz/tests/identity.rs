//! Who is at the address, who may ask, and what is never sent.

mod support;

use driver_anviz::{
    command::{ask, never, page},
    sim::{Fault, Harm, Model},
};
use driver_api::{Operation, Trouble};
use serde_json::json;
use support::Site;

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
