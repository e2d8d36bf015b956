//! The terminal's clock, and what an operator may ask for.

mod support;

use driver_anviz::{
    command::ask,
    sim::{Fault, Harm, Model},
};
use driver_api::{ClockSource, Flag, JobFailed, Operation, Trouble};
use jiff::{SignedDuration, civil::date};
use serde_json::json;
use support::Site;

#[tokio::test(flavor = "multi_thread")]
async fn the_skew_travels_with_each_punch_and_a_clock_that_is_off_is_left_alone() {
    let site = Site::with(Model::default(), "", |terminal| {
        terminal.set_clock_offset(0, SignedDuration::from_secs(-3600));
        terminal.punch(0, 7);
    })
    .await;
    site.until_stored(1).await;
    let clock = site.punches()[0].clock;
    assert_eq!(clock.how, ClockSource::Probed);
    let (skew, error) = (clock.skew_ms.unwrap(), clock.err_ms.unwrap());
    assert!((skew + 3_600_000).abs() <= error, "{skew} ± {error}");
    assert!(site.until_troubled(Trouble::ClockOff).await.contains("summer time"));
    assert_eq!(site.asked(ask::SET_CLOCK), 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_behind_is_set_where_that_is_switched_on() {
    let site = Site::with(Model::default(), "set_clock = true", |terminal| {
        terminal.set_clock_offset(0, SignedDuration::from_secs(-90));
    })
    .await;
    site.until("it is set", |site| site.terminal.clock_offset(0).abs() < SignedDuration::from_secs(2)).await;
    site.until_polled(2).await;
    assert_eq!((site.trouble(Trouble::ClockOff), site.asked(ask::SET_CLOCK)), (None, 1));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_is_not_put_back_over_punches_and_a_wrong_clock_of_ours_is_given_to_nobody() {
    let site = Site::with(Model::default(), "set_clock = true", |terminal| {
        terminal.set_clock_offset(0, SignedDuration::from_secs(600));
        terminal.punch(0, 7);
    })
    .await;
    let cause = site.until_troubled(Trouble::ClockOff).await;
    assert!(cause.contains("it is not put back before"), "{cause}");
    assert!(matches!(site.ask(Operation::TimeSet).await, Err(JobFailed::Refused(_))));
    site.gateway().set_clock_wrong(true);
    let refused = site.ask(Operation::TimeSet).await.unwrap_err();
    assert!(matches!(&refused, JobFailed::Refused(why) if why.contains("our own clock")), "{refused}");
    assert_eq!(site.asked(ask::SET_CLOCK), 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_never_set_is_told_and_its_punches_are_marked() {
    let site = Site::with(Model::default(), "", |terminal| {
        let off = date(2000, 1, 5).at(8, 0, 0, 0).duration_since(terminal.now(0));
        terminal.set_clock_offset(0, off);
        terminal.punch(0, 7);
    })
    .await;
    site.until_stored(1).await;
    assert_eq!(site.punches()[0].flags, [Flag::ClockUnset]);
    assert!(site.until_troubled(Trouble::ClockUnset).await.contains("days behind"));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_opens_once() {
    let site = Site::start().await;
    assert_eq!(site.ask(Operation::Unlock { door: 1, seconds: 3 }).await, Ok(json!({ "door": 1 })));
    assert!(matches!(site.ask(Operation::Unlock { door: 2, seconds: 3 }).await, Err(JobFailed::Refused(_))));
    site.terminal.harm(Fault::once(ask::OPEN, Harm::Mute));
    let unknown = site.ask(Operation::Unlock { door: 1, seconds: 3 }).await.unwrap_err();
    assert!(matches!(unknown, JobFailed::NoAnswer(_)), "{unknown}");
    assert_eq!(site.terminal.opened(0), 2, "it was asked once, and nobody knows what came of it");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_tells_who_it_is_and_an_old_one_what_it_can() {
    for old in [false, true] {
        let model = Model { old, live: false, ..Model::default() };
        let site = Site::with(model, "timeout = \"150ms\"", |terminal| terminal.fill(0, 3)).await;
        site.until_marked(3).await;
        let info = site.ask(Operation::Info).await.unwrap();
        let (serial, name, firmware) = if old { ("t0", "", "") } else { ("0250100912345678", "T60", "03.02.21") };
        assert_eq!(
            (&info["serial"], &info["model"], &info["firmware"]),
            (&json!(serial), &json!(name), &json!(firmware))
        );
        assert_eq!((&info["unit"], &info["users"], &info["records"]), (&json!(1), &json!(120), &json!(3)));
        site.running.close().await;
    }
}
