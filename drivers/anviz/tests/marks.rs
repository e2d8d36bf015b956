//! Marks that others take or the terminal keeps, and logs that were cleared or overwritten.

mod support;

use driver_anviz::{
    command::ask,
    sim::{Fault, Harm, Model},
};
use driver_api::{Operation, Trouble};
use support::Site;

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_read_before_us_is_read_too_unless_that_is_not_wanted() {
    for (block, expected) in [("", 60), ("history = false", 20)] {
        let site = Site::with(Model::default(), block, |terminal| {
            terminal.fill(0, 60);
            terminal.read_by_others(0, 40);
        })
        .await;
        site.until_stored(expected).await;
        site.until_marked(60).await;
        assert_eq!(site.punches().len(), expected);
        assert_eq!(site.trouble(Trouble::OtherReader), None, "that was before our time");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_that_takes_records_is_told_and_takes_nothing_from_us() {
    let site = Site::with(Model { live: false, ..Model::default() }, "poll = \"400ms\"", |terminal| {
        terminal.fill(0, 30);
    })
    .await;
    site.until_marked(30).await;
    site.until_polled(1).await;
    site.terminal.punch(0, 77);
    site.terminal.punch(0, 78);
    site.terminal.read_by_others(0, 2);
    site.until_stored(32).await;
    let cause = site.until_troubled(Trouble::OtherReader).await;
    assert_eq!(cause, "2 records were marked as read, and not by us");
    site.terminal.punch(0, 79);
    site.until_stored(33).await;
    // It stays said until somebody has looked.
    assert!(site.trouble(Trouble::OtherReader).is_some());
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    site.until_relieved(Trouble::OtherReader).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_that_takes_records_while_we_are_away_is_found_out() {
    let site = Site::with(Model { live: false, ..Model::default() }, "poll = \"1h\"", |terminal| {
        terminal.fill(0, 30);
    })
    .await;
    site.until_marked(30).await;
    site.terminal.punch(0, 77);
    site.terminal.read_by_others(0, 1);
    site.terminal.cut();
    site.until_stored(31).await;
    let cause = site.until_troubled(Trouble::OtherReader).await;
    assert_eq!(cause, "1 records were marked as read while we were away");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_a_power_cut_made_old_accuses_nobody() {
    use driver_api::Gateway;
    let site = Site::with(Model { live: false, ..Model::default() }, "", |terminal| terminal.fill(0, 30)).await;
    site.until_marked(30).await;
    let (gateway, serial) = (site.gateway().clone(), Model::default().serial);
    site.until_polled(2).await;
    let old = gateway.load_cursor(support::NAME, &serial).await.unwrap();
    site.terminal.punch(0, 77);
    site.until_marked(31).await;
    site.until_polled(2).await;
    gateway.save_cursor(support::NAME, &serial, old).await.unwrap();
    site.terminal.cut();
    site.until("the whole log is read", |site| site.gateway().twins() >= 31).await;
    site.terminal.punch(0, 78);
    site.until_stored(32).await;
    assert_eq!(site.trouble(Trouble::OtherReader), None);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_log_is_told_and_its_new_punches_are_stored() {
    let site = Site::with(Model::default(), "", |terminal| terminal.fill(0, 30)).await;
    site.until_marked(30).await;
    site.until_polled(2).await;
    site.terminal.clear(0);
    site.terminal.punch(0, 77);
    site.until_stored(31).await;
    assert!(site.until_troubled(Trouble::LogShrank).await.starts_with("30 records were in its log"));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_that_overwrote_what_nobody_had_read_is_told() {
    let site = Site::with(Model { live: false, ..Model::default() }, "poll = \"1h\"", |terminal| {
        terminal.fill(0, 40);
    })
    .await;
    site.until_marked(40).await;
    (0..70).for_each(|at| site.terminal.punch(0, 3000 + at));
    site.terminal.overwrite(0, 50);
    site.terminal.cut();
    site.until_stored(90).await;
    let cause = site.until_troubled(Trouble::LogOverrun).await;
    assert!(cause.starts_with("40 records were marked as read, and all 50 in its log are new"), "{cause}");
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    site.until_relieved(Trouble::LogOverrun).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_is_not_confirmed_as_asked_is_told_and_costs_no_record() {
    let wrong_count = driver_anviz::frame::Frame::answer(1, ask::CLEAR, 0, [0, 0, 9]).encode();
    for harm in [Harm::Instead(wrong_count), Harm::Result(1)] {
        let site = Site::with(Model::default(), "", |terminal| {
            terminal.fill(0, 60);
            terminal.harm(Fault::once(ask::CLEAR, harm.clone()));
        })
        .await;
        site.until_stored(60).await;
        site.until_marked(60).await;
        let told = |it: &driver_api::Report| matches!(it, driver_api::Report::FailedRead { why } if why.contains("marked as read"));
        site.until_reported("what went wrong", told).await;
        site.until_relieved(Trouble::LogUnreadable).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_takes_no_marks_away_is_told_and_asked_in_peace_and_all_of_its_punches_come() {
    for harm in [Harm::Result(1), Harm::Deaf] {
        let model = Model { live: false, ..Model::default() };
        let site = Site::with(model, "poll = \"600ms\"\ntimeout = \"100ms\"", |terminal| {
            terminal.fill(0, 40);
            terminal.harm(Fault { command: Some(ask::CLEAR), times: u32::MAX, harm: harm.clone() });
        })
        .await;
        site.until_stored(40).await;
        let cause = site.until_troubled(Trouble::LogUnreadable).await;
        assert!(cause.contains("to be marked as read"), "{cause}");
        let asked = site.asked(ask::CLEAR);
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert!(site.asked(ask::CLEAR) - asked <= 5, "{harm:?}: {} times in 2 s", site.asked(ask::CLEAR) - asked);
        assert!(site.trouble(Trouble::LogUnreadable).is_some(), "{harm:?}");
        let away = |it: &driver_api::Report| matches!(it, driver_api::Report::Offline { .. });
        assert!(!site.gateway().reports(support::NAME).iter().any(away), "{harm:?}");
        site.terminal.heal();
        site.until_marked(40).await;
        site.until_relieved(Trouble::LogUnreadable).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_log_that_cannot_be_read_is_told_for_as_long_as_that_is_so() {
    let refused = driver_anviz::frame::Frame::answer(1, ask::RECORDS, 1, []).encode();
    let site = Site::with(Model { live: false, ..Model::default() }, "", |terminal| {
        terminal.fill(0, 60);
        terminal.read_by_others(0, 60);
        terminal.harm(Fault::once(ask::RECORDS, Harm::Instead(refused)));
    })
    .await;
    let cause = site.until_troubled(Trouble::LogUnreadable).await;
    assert!(cause.contains("when asked for its log"), "{cause}");
    site.until_polled(3).await;
    assert!(site.trouble(Trouble::LogUnreadable).is_some());
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    site.until_relieved(Trouble::LogUnreadable).await;
    assert_eq!(site.punches().len(), 60);
    site.running.close().await;
}
