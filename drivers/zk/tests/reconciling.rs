//! When the log is read, and what is made of it.

mod support;

use driver_api::{Gateway as _, Operation, Origin, Report, Trouble, contract::PATIENCE};
use driver_zk::{
    command::ask,
    sim::{Bulk, Model},
};
use support::{NAME, Site};

/// The body of a log of so many records.
fn body(records: usize) -> usize {
    4 + records * 40
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_not_moved_is_looked_at_and_not_read_again() {
    let site = Site::with(Model::default(), "reconcile = \"100ms\"", |terminal| terminal.fill(200)).await;
    site.until_stored(200).await;
    site.until("several comparisons", |site| site.commands(ask::SIZES) > 5).await;
    site.terminal.cut();
    site.until("several comparisons after a reconnect", |site| site.commands(ask::SIZES) > 10).await;
    let looks = site.commands(ask::BUFFER) - 1;
    assert!(looks >= 8, "{looks}");
    // The first and the last record each time.
    assert!(site.terminal.bulk_bytes() <= body(200) + looks * 80, "{} bytes", site.terminal.bulk_bytes());
    assert_eq!(site.gateway().twins(), 0);
    site.running.close().await;
}

/// One record comes at once, thirty in chunks.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_records_as_before_are_not_taken_for_the_same() {
    for count in [1, 30] {
        let site = Site::with(Model::default(), "", |terminal| terminal.fill(count)).await;
        site.until_settled().await;
        site.until_stored(count).await;
        site.terminal.clear_log();
        (0..count).for_each(|n| site.terminal.punch_unheard(&format!("9{n:02}")));
        site.terminal.cut();
        site.until_stored(2 * count).await;
        site.until_troubled(Trouble::LogCleared).await;
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_wraps_below_the_capacity_it_tells_is_read() {
    let site = Site::with(Model { capacity: 100, ..Model::default() }, "live = false\nreconcile = \"200ms\"", |it| {
        it.fill(50);
    })
    .await;
    site.until_stored(50).await;
    site.terminal.change(|model| model.inline = 0);
    for n in 0..5 {
        site.terminal.claim_records(Some(50));
        site.terminal.punch_unheard(&format!("9{n:02}"));
        site.terminal.overwrite(1);
        site.until_stored(51 + n).await;
    }
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_seen_empty_is_forgotten_at_once() {
    let site = Site::with(Model::default(), "reconcile = \"200ms\"", |terminal| terminal.fill(12)).await;
    site.until_settled().await;
    let serial = Model::default().serial;
    let saved = async || {
        let saved = site.gateway().load_cursor(NAME, &serial).await.unwrap();
        serde_json::from_slice::<serde_json::Value>(&saved).unwrap()
    };
    let form = saved().await["form"].clone();
    assert_eq!(saved().await["records"], 12);
    site.terminal.clear_log();
    site.until_troubled(Trouble::LogCleared).await;
    let forgotten = async {
        while saved().await["records"] != 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("whoever comes next does not look for what is gone");
    assert_eq!(saved().await["form"], form, "its records are still of the same layout");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_shows_no_part_of_its_log_is_asked_for_all_of_it_in_each_session() {
    let model = Model { bulk: Bulk::Legacy, ..Model::default() };
    let site = Site::with(model, "reconcile = \"100ms\"", |terminal| terminal.fill(30)).await;
    site.until_stored(30).await;
    site.until("several comparisons", |site| site.commands(ask::SIZES) > 5).await;
    assert_eq!(site.commands(ask::LOG), 1);
    site.terminal.clear_log();
    (0..30).for_each(|n| site.terminal.punch_unheard(&format!("9{n:02}")));
    site.terminal.cut();
    site.until_stored(60).await;
    let sizes = site.commands(ask::SIZES);
    site.until("several comparisons after a reconnect", |site| site.commands(ask::SIZES) > sizes + 5).await;
    assert_eq!(site.commands(ask::LOG), 2);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_punch_whose_event_was_lost_is_found_in_the_log() {
    let site = Site::with(Model::default(), "reconcile = \"200ms\"", |terminal| terminal.fill(50)).await;
    site.until_stored(50).await;
    site.until_settled().await;
    site.terminal.punch_unheard("77");
    site.until_stored(51).await;
    assert_eq!(site.punches()[50].origin, Origin::Reread);
    assert!(site.until_troubled(Trouble::NoLiveEvents).await.contains("1 punches"));
    site.terminal.punch("78");
    site.until_relieved(Trouble::NoLiveEvents).await;
    assert_eq!(site.gateway().twins(), 0, "what the cursor knows was stored again");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn punches_made_while_we_were_away_are_caught_up() {
    let site = Site::with(Model::default(), "", |terminal| terminal.fill(50)).await;
    site.until_settled().await;
    site.terminal.reboot();
    site.terminal.punch("77");
    site.terminal.punch("78");
    site.terminal.cut();
    // A reboot is found by the heartbeat; here a job finds it first.
    assert!(site.ask(Operation::Reconcile { from: None, to: None }).await.is_err());
    site.until_stored(52).await;
    assert!(site.punches()[50..].iter().all(|punch| punch.origin == Origin::Backfill));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_comparison_takes_no_note_of_what_it_finds_first() {
    let site = Site::with(Model::default(), "", |terminal| terminal.fill(40)).await;
    site.until_settled().await;
    site.terminal.clear_log();
    site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    site.terminal.cut();
    site.until_troubled(Trouble::LogCleared).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_keeps_back_part_of_its_log_is_told() {
    let site = Site::with(Model::default(), "reconcile = \"200ms\"", |terminal| {
        terminal.fill(10);
        terminal.claim_records(Some(30));
    })
    .await;
    site.until_stored(10).await;
    let cause = site.until_troubled(Trouble::LogUnreadable).await;
    assert_eq!(cause, "it says that it holds 30 records and gives 10 of them, time after time");
    let sizes = site.commands(ask::SIZES);
    site.until("several comparisons", |site| site.commands(ask::SIZES) > sizes + 3).await;
    assert!(site.trouble(Trouble::LogUnreadable).is_some());
    site.terminal.claim_records(None);
    site.until_relieved(Trouble::LogUnreadable).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_set_aside_are_told_until_what_comes_next_can_be_read() {
    let site = Site::with(Model::default(), "reconcile = \"200ms\"", |terminal| {
        terminal.fill(20);
        terminal.append_raw(&[0xff; 40]);
    })
    .await;
    site.until_stored(20).await;
    assert!(site.until_troubled(Trouble::RecordsSetAside).await.starts_with("1 records"));
    site.terminal.punch_unheard("77");
    site.until_stored(21).await;
    site.until_relieved(Trouble::RecordsSetAside).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_that_overwrites_its_oldest_is_read_although_its_count_stands() {
    let model = Model { capacity: 40, ..Model::default() };
    let site = Site::with(model, "reconcile = \"200ms\"", |terminal| terminal.fill(40)).await;
    site.until_settled().await;
    assert!(site.until_troubled(Trouble::LogNearlyFull).await.starts_with("40 of 40"));
    site.terminal.overwrite(2);
    site.terminal.punch_unheard("77");
    site.terminal.punch_unheard("78");
    site.until_stored(42).await;
    for trouble in [Trouble::LogShrank, Trouble::LogCleared, Trouble::LogOverrun] {
        assert_eq!(site.trouble(trouble), None);
    }
    // Somebody has cleared it: there is room again.
    site.terminal.clear_log();
    site.until_relieved(Trouble::LogNearlyFull).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_comparison_reads_what_lies_between_its_times() {
    let site = Site::with(Model::default(), "", |terminal| terminal.fill(100)).await;
    site.until_settled().await;
    let (from, to) = (site.punches()[10].local, site.punches()[19].local);
    let outcome = site.ask(Operation::Reconcile { from: Some(from), to: Some(to) }).await.unwrap();
    assert_eq!(outcome, serde_json::json!({ "records": 100, "new": 0, "twins": 10, "set_aside": 0 }));
    let outcome = site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    assert_eq!(outcome["twins"], 100);
    assert_eq!(site.commands(ask::BUFFER), 3);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_terminal_holds_is_reported() {
    let site = Site::with(Model { sizes: 80, ..Model::default() }, "", |terminal| {
        terminal.fill(5);
        terminal.add_user(1, "1", "Ana");
    })
    .await;
    let counts = Report::Counts { records: Some(5), capacity: Some(100_000), users: Some(1) };
    site.until_reported("its counts", |report| *report == counts).await;
    let identity = Report::Identity {
        serial: "CEXA204060001".into(),
        model: "F18".into(),
        firmware: "Ver 6.60 Apr 26 2016".into(),
        platform: "ZMM210_TFT".into(),
    };
    site.until_reported("who it is", |report| *report == identity).await;
    site.until_reported("the round trip", |report| matches!(report, Report::RoundTrip { .. })).await;
    site.until_reported("no gaps", |report| *report == Report::Gaps { missing: 0 }).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_live_events_the_log_alone_brings_everything() {
    let site = Site::with(Model::default(), "live = false\nreconcile = \"200ms\"", |_| {}).await;
    site.until("it is served", |site| site.commands(ask::SIZES) > 0).await;
    site.terminal.punch("77");
    site.until_stored(1).await;
    assert_eq!(site.punches()[0].origin, Origin::Backfill);
    assert_eq!(site.commands(ask::EVENT), 0);
    site.running.close().await;
}
