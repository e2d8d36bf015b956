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

/// Nothing of it was ever read.
#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_log_is_told_although_all_that_it_held_came_live() {
    for refilled in [0, 12] {
        let site = Site::with(Model::default(), "timeout = \"300ms\"", |_| {}).await;
        site.until_settled().await;
        (0..20).for_each(|n| site.terminal.punch(&format!("7{n:02}")));
        site.until_stored(20).await;
        until_looked_at(&site, 2).await;
        site.terminal.clear_log();
        (0..refilled).for_each(|n| site.terminal.punch_unheard(&format!("8{n:02}")));
        let cause = site.until_troubled(Trouble::LogCleared).await;
        assert!(cause.starts_with(&format!("20 records were in its log, now there are {refilled}")), "{cause}");
        site.until_stored(20 + refilled).await;
        site.running.close().await;
    }
}

async fn until_looked_at(site: &Site, times: usize) {
    let looks = site.commands(ask::SIZES);
    site.until("its count is looked at", |site| site.commands(ask::SIZES) >= looks + times).await;
}

/// There are more than when it was read, and fewer than were there since.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cleared_and_filled_again_beyond_what_was_read_is_read() {
    let site = Site::with(Model::default(), "timeout = \"300ms\"", |terminal| terminal.fill(10)).await;
    site.until_stored(10).await;
    site.until_settled().await;
    (0..20).for_each(|n| site.terminal.punch(&format!("7{n:02}")));
    site.until_stored(30).await;
    until_looked_at(&site, 2).await;
    site.terminal.clear_log();
    (0..12).for_each(|n| site.terminal.punch_unheard(&format!("8{n:02}")));
    site.until_troubled(Trouble::LogCleared).await;
    site.until_stored(42).await;
    site.running.close().await;
}

/// Here a read takes as long as the disk does.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_twice_have_a_log_that_takes_long_read_seldom() {
    let site = Site::with(Model::default(), "", |terminal| terminal.fill(10)).await;
    site.until_stored(10).await;
    site.until_settled().await;
    site.gateway().set_slow(std::time::Duration::from_millis(500));
    let reads = site.commands(ask::BUFFER);
    let twice = |person: String| {
        let now = site.terminal.now();
        site.terminal.punch_at(&person, now, 1, 0);
        site.terminal.tell(&support::event(&person, now, 1, 0));
    };
    for n in 0..50 {
        twice(format!("8{n:02}"));
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    site.until("all are stored", |site| site.punches().len() == 60).await;
    let reads = site.commands(ask::BUFFER) - reads;
    assert!((1..=2).contains(&reads), "{reads} in fifteen seconds");
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
