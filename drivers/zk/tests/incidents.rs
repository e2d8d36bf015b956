//! What happened to a log, told apart from one that lost nothing.

mod support;

use driver_api::{Operation, Report, Trouble};
use driver_zk::{
    command::ask,
    sim::{Fault, Harm, Model},
};
use support::{NAME, Site};

#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_log_is_told_and_its_new_punches_are_stored() {
    let site = Site::with(Model::default(), "reconcile = \"200ms\"", |terminal| terminal.fill(40)).await;
    site.until_settled().await;
    site.terminal.clear_log();
    site.terminal.punch_unheard("77");
    site.until_stored(41).await;
    let cause = site.until_troubled(Trouble::LogCleared).await;
    assert!(cause.starts_with("40 records were in its log, now there are 1"), "{cause}");
    assert_eq!(site.trouble(Trouble::LogShrank), None);
    // Its log grows again as it should: that brings nothing back.
    site.terminal.punch_unheard("78");
    site.until_stored(42).await;
    told_on(&site, Trouble::LogCleared).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_oldest_records_has_shrunk_and_was_not_cleared() {
    let site = Site::with(Model::default(), "reconcile = \"200ms\"", |terminal| terminal.fill(40)).await;
    site.until_settled().await;
    site.terminal.overwrite(5);
    let cause = site.until_troubled(Trouble::LogShrank).await;
    assert!(cause.starts_with("40 records were in its log, now there are 35"), "{cause}");
    assert_eq!(site.trouble(Trouble::LogCleared), None);
    site.terminal.punch_unheard("78");
    site.until_relieved(Trouble::LogShrank).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_that_overwrote_what_nobody_had_read_is_told() {
    let model = Model { capacity: 40, ..Model::default() };
    let site = Site::with(model, "reconcile = \"200ms\"", |terminal| terminal.fill(40)).await;
    site.until_settled().await;
    (0..40).for_each(|n| site.terminal.punch_unheard(&format!("9{n:02}")));
    site.terminal.overwrite(40);
    let cause = site.until_troubled(Trouble::LogOverrun).await;
    assert!(cause.starts_with("its log is full with 40 records"), "{cause}");
    site.terminal.overwrite(1);
    site.terminal.punch_unheard("78");
    site.until_stored(81).await;
    told_on(&site, Trouble::LogOverrun).await;
    site.running.close().await;
}

/// It stays told through comparisons, and another session, until somebody has it compared.
async fn told_on(site: &Site, trouble: Trouble) {
    let connects = site.commands(ask::CONNECT);
    for _ in 0..2 {
        let sizes = site.commands(ask::SIZES);
        site.until("several comparisons", |site| site.commands(ask::SIZES) > sizes + 3).await;
        assert!(site.trouble(trouble).is_some(), "{trouble:?} ended by itself");
        site.terminal.cut();
    }
    site.until("it is served again", |site| site.commands(ask::CONNECT) == connects + 2).await;
    site.until("it is compared", |site| site.terminal.listeners() == 1).await;
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    site.until_relieved(trouble).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_to_a_log_is_told_on_by_a_gateway_that_was_started_anew() {
    let mut site = Site::with(Model::default(), "reconcile = \"200ms\"", |terminal| terminal.fill(40)).await;
    site.until_settled().await;
    site.terminal.clear_log();
    site.terminal.punch_unheard("77");
    let cause = site.until_troubled(Trouble::LogCleared).await;
    site.until_stored(41).await;
    // Also while the terminal is away.
    site.terminal.harm(Fault::always(ask::CONNECT, Harm::Stall));
    site = site.restarted().await;
    assert_eq!(site.until_troubled(Trouble::LogCleared).await, cause);
    site.terminal.heal();
    told_on(&site, Trouble::LogCleared).await;
    site = site.restarted().await;
    site.until_settled().await;
    assert_eq!(site.trouble(Trouble::LogCleared), None, "somebody took note of it");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_that_overwrote_what_came_live_lost_nothing() {
    let model = Model { capacity: 40, ..Model::default() };
    let site = Site::with(model, "", |terminal| terminal.fill(40)).await;
    site.until_settled().await;
    for n in 0..50 {
        site.terminal.punch(&format!("9{n:02}"));
        site.terminal.overwrite(1);
    }
    site.until_stored(90).await;
    let reads = site.commands(ask::FREE);
    site.terminal.cut();
    site.until("its log is read", |site| site.commands(ask::FREE) > reads).await;
    site.until("it is compared", |site| site.gateway().twins() == 40).await;
    site.ask(Operation::Info).await.unwrap();
    let told = |report: &Report| matches!(report, Report::Trouble { trouble: Trouble::LogOverrun, .. });
    assert!(!site.gateway().reports(NAME).iter().any(told), "nothing was lost");
    site.running.close().await;
}
