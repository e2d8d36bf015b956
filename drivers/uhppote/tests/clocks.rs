//! The board's clock: measured always, set only where that is wanted and harmless. And what an operator may ask for.

mod support;

use driver_api::{ClockSource, JobFailed, Operation, Trouble};
use driver_uhppote::{
    packet::{function, never},
    sim::{Fault, Harm, Model},
};
use jiff::SignedDuration;
use serde_json::json;
use support::{Site, card};

fn seconds(seconds: i64) -> Option<SignedDuration> {
    Some(SignedDuration::from_secs(seconds))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_skew_travels_with_each_punch_and_a_clock_that_is_off_is_left_alone() {
    let site = Site::with(Model::default(), "", |board| {
        board.set_clock_offset(seconds(-3600));
        board.swipe(7);
    })
    .await;
    site.until_stored(1).await;
    let clock = site.punches()[0].clock;
    assert_eq!(clock.how, ClockSource::Probed);
    let (skew, error) = (clock.skew_ms.unwrap(), clock.err_ms.unwrap());
    assert!((skew + 3_600_000).abs() <= error, "{skew} ± {error}");
    let cause = site.until_troubled(Trouble::ClockOff).await;
    assert!(cause.contains("min behind: summer time"), "{cause}");
    assert_eq!(site.asked(function::SET_TIME), 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_behind_or_without_a_date_is_set_where_that_is_switched_on() {
    for offset in [seconds(-90), None] {
        let site = Site::with(Model::default(), "set_clock = true", |board| board.set_clock_offset(offset)).await;
        let right = |site: &Site| site.board.clock_offset().is_some_and(|off| off.abs() < SignedDuration::from_secs(2));
        site.until("it is set", right).await;
        site.until_polled(2).await;
        assert_eq!((site.trouble(Trouble::ClockOff), site.trouble(Trouble::ClockUnset)), (None, None));
        assert_eq!(site.asked(function::SET_TIME), 1);
        site.running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_is_not_put_back_over_punches() {
    let site = Site::with(Model::default(), "set_clock = true", |board| {
        board.set_clock_offset(seconds(600));
        board.swipe(7);
    })
    .await;
    let cause = site.until_troubled(Trouble::ClockOff).await;
    assert!(cause.contains("it is not put back before"), "{cause}");
    let refused = site.ask(Operation::TimeSet).await.unwrap_err();
    assert!(matches!(refused, JobFailed::Refused(_)), "{refused}");
    assert_eq!(site.asked(function::SET_TIME), 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_of_ours_is_given_to_nobody() {
    let site = Site::with(Model::default(), "", |board| board.set_clock_offset(seconds(-90))).await;
    site.gateway().set_clock_wrong(true);
    let refused = site.ask(Operation::TimeSet).await.unwrap_err();
    assert!(matches!(&refused, JobFailed::Refused(why) if why.contains("our own clock")), "{refused}");
    assert_eq!(site.asked(function::SET_TIME), 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_opens_once_for_as_long_as_is_set_at_the_board() {
    let site = Site::start().await;
    let outcome = site.ask(Operation::Unlock { door: 3, seconds: 9 }).await.unwrap();
    assert_eq!(outcome, json!({ "door": 3, "seconds": 5 }));
    assert_eq!(site.board.opened(), [0, 0, 1, 0]);
    for door in [0, 5, 255] {
        let refused = site.ask(Operation::Unlock { door, seconds: 1 }).await.unwrap_err();
        assert!(matches!(refused, JobFailed::Refused(_)));
    }
    site.board.harm(Fault::once(function::OPEN_DOOR, Harm::Mute));
    let unknown = site.ask(Operation::Unlock { door: 3, seconds: 9 }).await.unwrap_err();
    assert!(matches!(unknown, JobFailed::NoAnswer(_)), "{unknown}");
    assert_eq!(site.board.opened(), [0, 0, 2, 0], "it was asked once, and nobody knows what came of it");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_tells_who_it_is() {
    let site = Site::with(Model::default(), "", |board| {
        (0..3).for_each(|at| board.record_unheard(card(board, 1000 + at)));
    })
    .await;
    site.until_stored(3).await;
    let info = site.ask(Operation::Info).await.unwrap();
    for (key, value) in [
        ("serial", json!("405419896")),
        ("model", json!("UT0311-L04")),
        ("firmware", json!("8.92")),
        ("mac", json!("00:66:19:39:55:2d")),
        ("oldest_event", json!(1)),
        ("newest_event", json!(3)),
        ("our_mark", json!(3)),
        ("its_index", json!(0)),
    ] {
        assert_eq!(info[key], value, "{info}");
    }
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_makes_a_board_forget_or_admit_somebody_is_ever_sent() {
    let site = Site::with(Model::default(), "set_clock = true\nset_index = true", |board| {
        (0..30).for_each(|at| board.record_unheard(card(board, 1000 + at)));
        board.set_clock_offset(seconds(-90));
    })
    .await;
    site.until_stored(30).await;
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
    let journal = site.board.journal();
    assert!(!journal.iter().any(|function| never::ALL.contains(function)), "{journal:02x?}");
    site.running.close().await;
}
