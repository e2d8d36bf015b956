//! What a log's count tells, and what it does not.

mod support;

use driver_api::{Origin, Trouble};
use driver_zk::{command::ask, record::Form, sim::Model};
use support::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_zero_proves_nothing() {
    let site = Site::with(Model::of(Form::Text(49)), "reconcile = \"200ms\"", |terminal| {
        terminal.fill(40);
        terminal.claim_records(Some(0));
    })
    .await;
    site.until_stored(40).await;
    site.terminal.punch_unheard("77");
    site.until_stored(41).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_stands_still_while_people_punch_is_not_believed() {
    let site = Site::with(Model::default(), "reconcile = \"200ms\"", |terminal| {
        terminal.fill(40);
        terminal.claim_records(Some(40));
    })
    .await;
    site.until_settled().await;
    site.terminal.punch_unheard("77");
    site.terminal.punch("78");
    site.until_stored(42).await;
    site.running.close().await;
}

/// With the usual quarter of an hour between two comparisons.
#[tokio::test(flavor = "multi_thread")]
async fn between_two_comparisons_the_count_tells_of_a_cleared_log_and_of_a_punch_that_was_not_told() {
    let site = Site::with(Model::default(), "timeout = \"300ms\"", |terminal| terminal.fill(40)).await;
    site.until_stored(40).await;
    site.until_settled().await;
    site.terminal.punch("71");
    site.until_stored(41).await;
    site.terminal.punch_unheard("72");
    site.until_stored(42).await;
    assert_eq!(site.people()[41], "72");
    assert_eq!(site.punches()[41].origin, Origin::Reread);
    let looks = site.commands(ask::SIZES);
    site.until("its count is looked at", |site| site.commands(ask::SIZES) > looks + 2).await;
    site.terminal.clear_log();
    let cause = site.until_troubled(Trouble::LogCleared).await;
    assert!(cause.starts_with("42 records were in its log, now there are 0"), "{cause}");
    assert_eq!(site.gateway().twins(), 1, "71, which came live and stood behind what the cursor knew");
    // An empty log has a count as well.
    site.terminal.punch_unheard("73");
    site.until_stored(43).await;
    site.running.close().await;
}

/// What is told live is counted, and not read once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grows_by_what_is_told_is_not_read_at_each_heartbeat() {
    let site = Site::with(Model::default(), "timeout = \"300ms\"", |terminal| terminal.fill(40)).await;
    site.until_stored(40).await;
    site.until_settled().await;
    let (reads, looks) = (site.commands(ask::BUFFER), site.commands(ask::SIZES));
    for n in 0..60 {
        site.terminal.punch(&format!("8{n:02}"));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    site.until_stored(100).await;
    assert!(site.commands(ask::SIZES) > looks + 1, "its count was not looked at");
    assert_eq!(site.commands(ask::BUFFER), reads);
    site.running.close().await;
}

/// Whoever wants no live punches has chosen how often the log is read.
#[tokio::test(flavor = "multi_thread")]
async fn without_live_punches_a_count_that_grows_changes_nothing() {
    let site = Site::with(Model::default(), "live = false\ntimeout = \"300ms\"", |terminal| terminal.fill(40)).await;
    site.until_stored(40).await;
    site.terminal.punch("71");
    let looks = site.commands(ask::SIZES);
    site.until("its count is looked at", |site| site.commands(ask::SIZES) > looks + 3).await;
    site.until_stored(40).await;
    site.running.close().await;
}
