//! The terminal's clock: measured always, set only where that is wanted and harmless.

mod support;

use std::time::Duration;

use driver_api::{Clock, ClockSource, Flag, JobFailed, Operation, Origin, Report, Trouble};
use driver_zk::{command::ask, sim::Model};
use jiff::{SignedDuration, ToSpan, civil::date};
use support::{NAME, Site};

#[tokio::test(flavor = "multi_thread")]
async fn the_skew_travels_with_each_punch() {
    let site = Site::with(Model::default(), "", |terminal| {
        terminal.set_clock_offset(SignedDuration::from_secs(-20));
        terminal.punch("7");
    })
    .await;
    site.until_stored(1).await;
    let clock = site.punches()[0].clock;
    assert_eq!(clock.how, ClockSource::Probed);
    let (skew, error) = (clock.skew_ms.unwrap(), clock.err_ms.unwrap());
    assert!((skew + 20_000).abs() <= error, "{skew} ± {error}");
    site.until_settled().await;
    assert_eq!(site.trouble(Trouble::ClockOff), None, "20 s are within the limit");
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_and_left_alone() {
    let site =
        Site::with(Model::default(), "", |terminal| terminal.set_clock_offset(SignedDuration::from_secs(3600))).await;
    let cause = site.until_troubled(Trouble::ClockOff).await;
    assert!(cause.contains("60 min ahead") && cause.contains("summer time"), "{cause}");
    assert_eq!(site.commands(ask::SET_TIME), 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_behind_is_set_where_that_is_switched_on() {
    let site = Site::with(Model::default(), "set_clock = true", |terminal| {
        terminal.fill(5);
        terminal.set_clock_offset(SignedDuration::from_secs(-90));
    })
    .await;
    site.until("it is set", |site| site.terminal.clock_offset().abs() < SignedDuration::from_secs(2)).await;
    site.until("its new skew is reported", |site| {
        let last = site.gateway().reports(NAME).into_iter().rev().find_map(|report| match report {
            Report::Clock(clock) => clock.skew_ms,
            _ => None,
        });
        last.is_some_and(|skew| skew.abs() < 3000)
    })
    .await;
    assert_eq!(site.trouble(Trouble::ClockOff), None);
    assert_eq!(site.commands(ask::SET_TIME), 1);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_is_not_put_back_over_punches() {
    let site = Site::with(Model::default(), "set_clock = true", |terminal| {
        terminal.set_clock_offset(SignedDuration::from_secs(600));
        terminal.punch("7");
    })
    .await;
    let cause = site.until_troubled(Trouble::ClockOff).await;
    assert!(cause.contains("it is not put back before"), "{cause}");
    let refused = site.ask(Operation::TimeSet).await.unwrap_err();
    assert!(matches!(refused, JobFailed::Refused(_)), "{refused}");
    assert_eq!(site.commands(ask::SET_TIME), 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_of_nobodys_punches_is_put_back() {
    let site = Site::with(Model::default(), "set_clock = true", |terminal| {
        terminal.fill(5);
        // A punch of a still worse clock, long ago: no reason to wait until then.
        terminal.punch_at("7", date(2063, 1, 1).at(0, 0, 0, 0), 1, 0);
        terminal.set_clock_offset(SignedDuration::from_secs(600));
    })
    .await;
    site.until("it is set", |site| site.terminal.clock_offset().abs() < SignedDuration::from_secs(2)).await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_of_ours_is_given_to_nobody() {
    let site = Site::with(Model::default(), "", |terminal| {
        terminal.set_clock_offset(SignedDuration::from_secs(-90));
    })
    .await;
    site.gateway().set_clock_wrong(true);
    let refused = site.ask(Operation::TimeSet).await.unwrap_err();
    assert!(matches!(&refused, JobFailed::Refused(why) if why.contains("our own clock")), "{refused}");
    assert_eq!(site.commands(ask::SET_TIME), 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_never_set_is_told_and_its_punches_are_marked() {
    let site = Site::with(Model::default(), "", |terminal| {
        let since = date(2000, 1, 3).at(8, 0, 0, 0).until(terminal.now()).unwrap();
        let zoned = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let back = zoned.duration_since(&zoned.checked_sub(since).unwrap());
        terminal.set_clock_offset(-back);
        terminal.punch("7");
    })
    .await;
    site.until_stored(1).await;
    assert_eq!(site.punches()[0].flags, [Flag::ClockUnset]);
    assert!(site.until_troubled(Trouble::ClockUnset).await.contains("days behind"));
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_set_the_clock() {
    let site = Site::with(Model::default(), "", |terminal| {
        terminal.set_clock_offset(SignedDuration::from_secs(-3600));
    })
    .await;
    let outcome = site.ask(Operation::TimeSet).await.unwrap();
    assert!(outcome["skew_ms"].as_i64().unwrap().abs() < 3000, "{outcome}");
    assert_eq!(site.commands(ask::SET_TIME), 1);
    site.running.close().await;
}

/// Long before the next heartbeat.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_punch_carries_the_skew_of_a_clock_that_was_just_moved() {
    let site = Site::with(Model::default(), "timeout = \"5s\"", |terminal| terminal.fill(5)).await;
    site.until_settled().await;
    for (seconds, stored) in [(3600, 6), (-7200, 7), (0, 8)] {
        // Not twice within the pause between two doubts.
        tokio::time::sleep(Duration::from_secs(5)).await;
        site.terminal.set_clock_offset(SignedDuration::from_secs(seconds));
        site.terminal.punch(&stored.to_string());
        site.until_stored(stored).await;
        assert_is_true(site.punches()[stored - 1].clock, seconds);
        if seconds != 0 {
            let side = if seconds > 0 { "60 min ahead" } else { "2 h behind" };
            site.until("it is told", |site| site.trouble(Trouble::ClockOff).is_some_and(|why| why.contains(side)))
                .await;
        }
    }
    site.running.close().await;
}

fn assert_is_true(clock: Clock, seconds: i64) {
    assert_eq!(clock.how, ClockSource::Probed);
    let (skew, error) = (clock.skew_ms.unwrap(), clock.err_ms.unwrap());
    assert!((skew - seconds * 1000).abs() <= error, "{skew} ± {error}, not {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_punch_that_is_told_late_costs_a_question_and_carries_no_skew() {
    let site = Site::with(Model::default(), "timeout = \"5s\"", |terminal| terminal.fill(5)).await;
    site.until_settled().await;
    let asked = site.commands(ask::GET_TIME);
    for n in 0..10 {
        site.terminal.punch_at(&format!("7{n}"), site.terminal.now().checked_sub(1.minutes()).unwrap(), 1, 0);
        site.until_stored(6 + n).await;
    }
    assert!(site.punches()[5..].iter().all(|punch| punch.clock == Clock::UNKNOWN && punch.origin == Origin::Live));
    assert_eq!(site.commands(ask::GET_TIME), asked + 1);
    site.terminal.punch("80");
    site.until_stored(16).await;
    assert_is_true(site.punches()[15].clock, 0);
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_from_before_the_clock_was_moved_carries_no_skew() {
    for seconds in [3600, -3600] {
        let site = Site::with(Model::default(), "timeout = \"5s\"", |terminal| terminal.fill(5)).await;
        site.until_settled().await;
        site.terminal.punch_unheard("70");
        site.terminal.set_clock_offset(SignedDuration::from_secs(seconds));
        site.terminal.punch("71");
        site.until("it is told", |site| site.trouble(Trouble::ClockOff).is_some()).await;
        // A time in whole seconds must be certain to lie behind it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        site.terminal.punch_unheard("72");
        site.ask(Operation::Reconcile { from: None, to: None }).await.unwrap();
        let clock = |person| site.punches().into_iter().find(|punch| punch.person == person).unwrap().clock;
        assert_eq!(clock("70"), Clock::UNKNOWN);
        assert_is_true(clock("71"), seconds);
        assert_is_true(clock("72"), seconds);
        site.running.close().await;
    }
}
