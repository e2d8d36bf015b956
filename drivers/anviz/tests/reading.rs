//! What is read of a terminal's log, in which order things happen, and what is said when somebody else was there.

mod support;

use driver_anviz::{
    command::ask,
    record::Record,
    sim::{Fault, Harm, Model},
};
use driver_api::{Flag, Operation, Origin, Trouble};
use jiff::civil::date;
use serde_json::json;
use support::Site;

#[tokio::test(flavor = "multi_thread")]
async fn new_records_are_stored_and_then_marked_and_each_once() {
    let site = Site::with(Model { live: false, ..Model::default() }, "", |terminal| terminal.fill(0, 430)).await;
    site.until_stored(430).await;
    site.until_marked(430).await;
    assert!(site.punches().iter().all(|punch| punch.origin == Origin::Backfill && punch.nth == 1));
    site.terminal.punch(0, 77);
    site.until_stored(431).await;
    site.until_marked(431).await;
    assert_eq!(site.terminal.records(0).0, 431, "the records stay in its log");
    let kinds: Vec<u8> =
        site.terminal.journal(0).into_iter().filter(|(it, _)| *it == ask::CLEAR).map(|(_, data)| data[0]).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == 2), "only what was read loses its mark: {kinds:?}");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_marked_while_the_disk_is_full() {
    let site = Site::start().await;
    site.until_polled(1).await;
    site.gateway().set_full(true);
    site.terminal.punch(0, 77);
    site.until("the full disk was met", |site| site.gateway().refusals() > 2).await;
    assert_eq!((site.terminal.records(0).1, site.asked(ask::CLEAR)), (0, 0));
    site.gateway().set_full(false);
    site.until_marked(1).await;
    assert_eq!(site.people(), ["77"]);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_read_and_acknowledge_nothing_is_lost_and_nothing_is_doubled() {
    // The session dies at the acknowledgement: not heard, heard and not answered, answered too late to believe.
    for harm in [Harm::Deaf, Harm::Mute, Harm::Close, Harm::Corrupt] {
        let site = Site::with(Model::default(), "", |terminal| {
            terminal.fill(0, 60);
            terminal.harm(Fault { command: Some(ask::CLEAR), times: 2, harm: harm.clone() });
        })
        .await;
        site.until_marked(60).await;
        site.terminal.punch(0, 77);
        site.until_stored(61).await;
        site.until_marked(61).await;
        assert_eq!(site.trouble(Trouble::OtherReader), None, "{harm:?}: our own marks are no other's");
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_punches_in_one_second_are_two_whenever_they_are_read() {
    let site = Site::start().await;
    site.until_polled(1).await;
    let second = site.terminal.now(0);
    site.terminal.punch_at(0, 7, second, 8, 0);
    site.until_stored(1).await;
    // The first of them is on disk. The second comes within the same second, and is told live like the first.
    site.terminal.punch_at(0, 7, second, 8, 0);
    site.until_stored(2).await;
    site.until_marked(2).await;
    let seen: Vec<_> = site.punches().into_iter().map(|punch| (punch.person, punch.nth, punch.flags)).collect();
    assert_eq!(seen, [("7".into(), 1, vec![]), ("7".into(), 2, vec![Flag::DuplicateSecond])]);
    let outcome = site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
    assert_eq!(outcome, json!({ "records": 2, "new": 0, "twins": 2, "set_aside": 0 }));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stands_still_makes_no_punch_another_ones_twin() {
    let site = Site::with(Model { live: false, ..Model::default() }, "", |_| {}).await;
    let second = site.terminal.now(0);
    for count in 1..=5 {
        if count == 4 {
            site.terminal.cut(); // what was marked before is not known any more
        }
        site.terminal.punch_at(0, 77, second, 8, 0);
        site.until_stored(count).await;
        site.until_marked(count).await;
    }
    // More than a page at once.
    (0..30).for_each(|_| site.terminal.punch_at(0, 78, second, 8, 0));
    site.until_stored(35).await;
    site.until_marked(35).await;
    let numbers: Vec<u32> = site.punches().iter().filter(|it| it.person == "77").map(|it| it.nth).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(site.trouble(Trouble::OtherReader), None);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_punches_across_pages_keep_their_numbers() {
    let site = Site::with(Model::default(), "", |terminal| {
        let day = date(2026, 11, 22);
        // 24 in a second of their own, then 6 equal ones around the end of the first page.
        (0..24).for_each(|at| terminal.punch_at(0, 100 + at, day.at(8, 0, 0, 0), 8, 0));
        (0..6).for_each(|_| terminal.punch_at(0, 7, day.at(8, 0, 1, 0), 8, 0));
        terminal.punch_at(0, 8, day.at(8, 0, 2, 0), 8, 0);
    })
    .await;
    site.until_stored(31).await;
    site.until_marked(31).await;
    let mut numbers: Vec<u32> = site.punches().iter().filter(|it| it.person == "7").map(|it| it.nth).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_damaged_doubled_late_or_of_others_make_no_wrong_punch_and_no_wrong_mark() {
    let site = Site::with(Model::default(), "", |terminal| {
        terminal.fill(0, 400);
        for harm in [
            Harm::Twice,
            Harm::Corrupt,
            Harm::Echo,
            Harm::Foreign,
            Harm::Bytes(vec![0xa5; 40]),
            Harm::Bytes(vec![0xa5, 0, 0, 0, 1, 0x3c, 3, 0xe0]),
            Harm::Bytes(vec![0xa5, 0, 0, 0, 1, 0xc0, 0, 0xff, 0xff]),
            Harm::Bytes(vec![0xa5, 0, 0, 0, 1, 0xc0, 0, 0x80, 0x00]),
            Harm::Bytes(vec![0xa5, 0, 0, 0, 1, 0xc0, 0, 0x00, 0x00]),
            Harm::Instead(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            Harm::Late(450),
            Harm::Punch(5000),
            Harm::Result(1),
            Harm::Mute,
            Harm::Deaf,
        ] {
            terminal.harm(Fault::once(ask::RECORDS, harm.clone()));
            terminal.harm(Fault::once(ask::COUNTERS, harm));
        }
        for harm in [Harm::Twice, Harm::Echo, Harm::Punch(5001), Harm::Late(450)] {
            terminal.harm(Fault::once(ask::CLEAR, harm));
        }
    })
    .await;
    // 400, and three punches that came in between (the counters' one too).
    site.until_stored(403).await;
    site.until_marked(403).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_again_takes_no_mark_from_what_was_not_read() {
    use driver_anviz::{frame::Frame, record::Raw};
    let raw = |at: u32| Record { user: 7, seconds: 848_563_265 + at, backup: 8, kind: 0, work_code: 0 }.encode();
    let log: Vec<Raw> = (0..60).map(raw).collect();
    let first = Frame::answer(1, ask::RECORDS, 0, [&[25][..], log[..25].as_flattened()].concat()).encode();
    let site = Site::with(Model { live: false, ..Model::default() }, "", |terminal| {
        log.iter().for_each(|raw| terminal.record(0, *raw));
        terminal.harm(Fault::once(ask::RECORDS, Harm::Bytes(vec![])));
        // In front of the second page, the first one once more.
        terminal.harm(Fault::once(ask::RECORDS, Harm::Bytes(first)));
    })
    .await;
    site.until_marked(60).await;
    assert_eq!(site.punches().len(), 60);
    assert_eq!((site.trouble(Trouble::OtherReader), site.gateway().twins()), (None, 0));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_hears_itself_is_no_bad_line() {
    let echo = driver_anviz::frame::Frame::question(1, ask::COUNTERS, []).encode();
    let site = Site::with(Model::default(), "unit = 1", |terminal| {
        terminal.harm(Fault { command: Some(ask::COUNTERS), times: 20, harm: Harm::Bytes(echo) });
        terminal.punch(0, 7);
    })
    .await;
    site.until_marked(1).await;
    site.until_polled(3).await;
    let told = |it: &driver_api::Report| matches!(it, driver_api::Report::Trouble { trouble: Trouble::LineNoisy, .. });
    assert!(!site.gateway().reports(support::NAME).iter().any(told));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_told_until_it_is_good_again() {
    let site = Site::start().await;
    site.until_polled(1).await;
    site.terminal.harm(Fault::once(ask::COUNTERS, Harm::Corrupt));
    let cause = site.until_troubled(Trouble::LineNoisy).await;
    assert!(cause.starts_with("1 frames with a wrong checksum"), "{cause}");
    site.until_relieved(Trouble::LineNoisy).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_records_bring_punches_at_once_and_are_no_punches_themselves() {
    let site = Site::with(Model { live: false, ..Model::default() }, "live = true\npoll = \"1h\"", |_| {}).await;
    site.until("its real-time mode is on", |site| site.terminal.is_live(0)).await;
    site.until("it was read", |site| site.asked(ask::GET_CLOCK) > 0).await;
    site.terminal.punch(0, 77);
    site.until_stored(1).await;
    assert_eq!(site.punches()[0].origin, Origin::Live);
    let now = site.terminal.now(0);
    let seconds = driver_anviz::record::seconds(now, date(2000, 1, 2));
    let forged = Record { user: 666, seconds, backup: 8, kind: 0, work_code: 0 };
    site.terminal.tell(0, &forged.encode());
    site.terminal.punch(0, 78);
    site.until_stored(2).await;
    site.until_marked(2).await;
    assert_eq!(site.people(), ["77", "78"]);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_left_alone_unless_live_is_asked_for() {
    let site = Site::with(Model { live: false, ..Model::default() }, "", |_| {}).await;
    site.until_polled(3).await;
    assert_eq!((site.asked(ask::SET_MORE_CONFIG), site.terminal.is_live(0)), (0, false));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_is_a_day_off_is_told() {
    let site = Site::with(Model::default(), "epoch = \"2000-01-01\"", |_| {}).await;
    site.until_polled(2).await;
    site.terminal.punch(0, 77);
    let cause = site.until_troubled(Trouble::EpochSuspect).await;
    assert!(cause.contains("epoch = \"2000-01-01\" may be a day off"), "{cause}");
    site.until_stored(1).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_make_no_sense_are_kept_raw_and_hold_nothing_back() {
    let site = Site::with(Model::default(), "", |terminal| {
        terminal.record(0, [0; 14]);
        terminal.record(0, [0xff; 14]);
        terminal.punch(0, 77);
    })
    .await;
    site.until_stored(2).await;
    site.until_marked(3).await;
    let aside = site.gateway().set_aside(support::NAME);
    assert_eq!(aside.iter().map(|raw| &*raw.reason).collect::<Vec<_>>(), ["the record names nobody"]);
    assert_eq!(site.people()[0], 0x00ff_ffff_ffff_u64.to_string());
    site.terminal.punch(0, 78);
    site.until_relieved(Trouble::RecordsSetAside).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_mean_what_the_config_says() {
    let block = "verify = { 16 = \"face\" }\nstates = { 2 = \"break-out\" }";
    let site = Site::with(Model::default(), block, |terminal| {
        let at = |second| date(2026, 11, 22).at(8, 0, second, 0);
        for (second, backup, kind) in [(0, 1, 0), (1, 4, 1), (2, 8, 0x82), (3, 16, 3), (4, 0x0a, 0x81), (5, 0, 0)] {
            terminal.punch_at(0, 7, at(second), backup, kind);
        }
    })
    .await;
    site.until_stored(6).await;
    let seen: Vec<String> = site
        .punches()
        .iter()
        .map(|it| {
            let (verify, direction) = (json!(it.verify), json!(it.direction));
            format!("{} {} {} {}", verify["value"], verify["raw"], direction["value"], direction["raw"])
                .replace('"', "")
        })
        .collect();
    let expected = [
        "finger 1 in 0",
        "password 4 out 1",
        "card 8 break-out 130",
        "face 16 unknown 3",
        "finger 10 out 129",
        "unknown 0 in 0",
    ];
    assert_eq!(seen, expected);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_that_lie_end_in_a_condition() {
    let site = Site::start().await;
    site.until_polled(1).await;
    for data in [vec![], vec![5, 1, 2, 3], vec![255; 1 + 14 * 30]] {
        let lie = driver_anviz::frame::Frame::answer(1, ask::RECORDS, 0, data).encode();
        site.terminal.harm(Fault::once(ask::RECORDS, Harm::Instead(lie)));
        let before = site.punches().len();
        site.terminal.punch(0, 1000 + before as u64);
        site.until_stored(before + 1).await;
    }
    let told = site.gateway().reports(support::NAME);
    let told = told.iter().filter(|it| matches!(it, driver_api::Report::FailedRead { .. })).count();
    assert_eq!(told, 3);
    site.until_relieved(Trouble::LogUnreadable).await;
    site.running.close().await;
}
