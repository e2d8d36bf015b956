//! What is asked after punches and silences, where clocks are wrong, losses were made good, and stores have moved.

use std::fs;

use driver_api::ClockSource;
use jiff::{SignedDuration, Timestamp, civil::DateTime};

use super::{
    repair::{segments, store},
    *,
};
use crate::{
    inquiry::{Judgement, Question, Silence, Site, Standing, Trail},
    outbox::Outbox,
    spool::{repair, silence, trace},
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn wall(text: &str) -> DateTime {
    text.parse().unwrap()
}

/// A terminal in Shanghai, whose clock is so far ahead of ours.
fn clocked(person: &str, local: &str, skew_ms: Option<i64>) -> Batch {
    let how = if skew_ms.is_some() { ClockSource::Probed } else { ClockSource::Unknown };
    let clock = Clock { skew_ms, err_ms: skew_ms.map(|_| 500), how };
    vec![Punch { person: person.into(), local: wall(local), clock, ..punch(1, Origin::Live) }].into()
}

fn asked(house: &House, person: &str, local: &str, now: &str) -> Trail {
    let question = Question { person: person.into(), at: wall(local), within_s: 1800, terminal: Some("door".into()) };
    trace(&house.state_dir(), &question, &Site::default(), at(now)).unwrap()
}

fn silent(house: &House, terminal: &str, now: &str) -> Silence {
    silence(&house.state_dir(), terminal, &Site::default(), at(now)).unwrap()
}

const HOURS: i64 = 3_600_000;

#[tokio::test]
async fn a_terminal_with_punches_is_not_called_one_without() {
    let house = House::new();
    let spool = house.open();
    // 5 hours ahead, as was measured: its own clock is set right.
    put(&spool, "ahead", clocked("7", "2026-11-30T09:00:00", Some(5 * HOURS))).await;
    // As far ahead, and nobody knows; or never set.
    put(&spool, "guess", clocked("7", "2026-11-30T09:00:00", None)).await;
    put(&spool, "unset", clocked("7", "2000-01-01T00:03:00", None)).await;
    // Never set, and measured.
    put(&spool, "known", clocked("7", "2000-01-01T00:03:00", Some(-849_326_820_000))).await;
    let now = "2026-11-29T20:30:00Z"; // 04:30 in Shanghai
    let told = silent(&house, "ahead", now);
    assert_eq!((told.last, told.skew_ms), (Some(wall("2026-11-30T04:00:00")), Some(5 * HOURS)), "{told:?}");
    assert_eq!((told.now, told.untold), (Some(wall("2026-11-30T04:30:00")), 0), "{told:?}");
    for name in ["guess", "unset"] {
        let told = silent(&house, name, now);
        assert_eq!((told.judgement, told.untold, told.last), (Judgement::NoTime, 1, None), "{name}: {told:?}");
    }
    let told = silent(&house, "known", now);
    assert_eq!((told.judgement, told.last.map(|last| last.year())), (Judgement::TooYoung, Some(2026)), "{told:?}");
    let nobody = silent(&house, "nobody", now);
    assert_eq!((nobody.judgement, nobody.known.contains("nobody")), (Judgement::NoPunch, false));
    assert_eq!(nobody.known.into_iter().collect::<Vec<_>>(), ["ahead", "guess", "known", "unset"]);
    spool.close().await;
}

#[tokio::test]
async fn a_terminal_whose_punches_were_all_retired_is_not_called_one_without() {
    let house = House::new();
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    put(&spool, "door", log(0..5)).await;
    for n in 0..90 {
        put(&spool, "other", log(n * 10..n * 10 + 10)).await;
    }
    for segment in drain(&mut outbox, 905).await {
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    until_retired(&house, &spool, &mut outbox, 1).await;
    assert!(persons(&house.state_dir(), "door").is_empty());
    let told = silent(&house, "door", "2026-11-20T01:00:00Z");
    assert_eq!((told.judgement, told.last), (Judgement::TooYoung, Some(wall("2026-11-20T08:00:28"))), "{told:?}");
    spool.close().await;
}

#[tokio::test]
async fn a_punch_is_found_by_the_time_that_its_clock_should_have_shown() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", clocked("1800", "2026-11-30T09:31:56", Some(5 * HOURS))).await;
    let now = "2026-11-30T12:00:00Z";
    let trail = asked(&house, "1800", "2026-11-30T04:32", now);
    let way = &trail.found[0];
    assert_eq!((way.by_corrected, way.local), (true, wall("2026-11-30T09:31:56")), "{way:?}");
    assert_eq!(way.corrected_local, Some(wall("2026-11-30T04:31:56")));
    assert_eq!(way.corrected, Some(at("2026-11-29T20:31:56Z")));
    let trail = asked(&house, "1800", "2026-11-30T09:32", now);
    assert_eq!((trail.found.len(), trail.found[0].by_corrected), (1, false), "{trail:?}");
    let trail = asked(&house, "1800", "2026-11-30T07:00", now);
    assert_eq!((trail.found.len(), trail.near.len()), (0, 1), "{trail:?}");
    spool.close().await;
}

#[tokio::test]
async fn what_is_to_come_is_told_as_that_and_how_it_stood_by_our_clock() {
    let house = House::new();
    let spool = house.open();
    put(&spool, "door", clocked("7", "2026-11-30T09:00:00", Some(5 * HOURS))).await;
    spool.stands("door", Standing::Online);
    // Behind it in the same queue.
    put(&spool, "door", clocked("7", "2026-11-30T09:01:00", Some(5 * HOURS))).await;
    let online = Timestamp::now().to_zoned(zone()).datetime();
    let text = |time: DateTime| time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let shown = |ahead: i64| text(online + SignedDuration::from_hours(ahead));
    // Its wall shows five hours more, and that moment has been: it was online then by our clock.
    let now = (Timestamp::now() + SignedDuration::from_mins(10)).to_string();
    let around = asked(&house, "8", &text(online + SignedDuration::from_mins(5 * 60 + 5)), &now).terminals.remove(0);
    assert_eq!((around.then, around.to_come), (Some(Standing::Online), false), "{around:?}");
    let around = asked(&house, "8", &shown(4), &now).terminals.remove(0);
    assert_eq!((around.then, around.to_come), (None, false), "{around:?}");
    let around = asked(&house, "8", &shown(12), &now).terminals.remove(0);
    assert_eq!((around.then, around.to_come), (None, true), "{around:?}");
    spool.close().await;
}

#[tokio::test]
async fn a_loss_is_not_told_when_it_was_made_good_nor_of_what_was_punched_later() {
    let house = store().await;
    fs::remove_file(&segments(&house)[1]).unwrap();
    repair(&house.state_dir(), false).unwrap();
    let lost = |day: &str| asked(&house, "nobody", day, "2026-12-24T00:00:00Z").terminals[0].lost.clone();
    assert!(!lost("2026-11-20T08:30").is_empty(), "it may be one of them");
    // By the machine's clock the loss was found just now.
    let later = (Timestamp::now() + SignedDuration::from_hours(48)).to_zoned(zone()).datetime();
    assert_eq!(lost(&later.strftime("%Y-%m-%dT%H:%M").to_string()), [], "it was found before");
    let spool = house.open();
    for terminal in ["door", "gate"] {
        put(&spool, terminal, log(0..700)).await;
    }
    // Settling is written with the next group.
    put(&spool, "door", log(5000..5001)).await;
    spool.close().await;
    let open = verify(&house.state_dir()).unwrap();
    let open: Vec<_> = open.ledgers.iter().filter(|it| it.terminal == "door").flat_map(|it| &it.missing).collect();
    assert!(open.iter().all(|it| it.recorded.as_ref().unwrap().settled == Some("made good")), "{open:?}");
    assert_eq!(lost("2026-11-20T08:30"), [], "as many came again");
}

#[tokio::test]
async fn the_topic_is_that_of_the_name_under_which_it_was_delivered() {
    let house = House::new();
    let spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    put(&spool, "door", clocked("1", "2026-11-20T08:00:00", None)).await;
    let segments = drain(&mut outbox, 1).await;
    outbox.confirm(&ledger_of(&segments), 1, 1);
    put(&spool, "door", clocked("2", "2026-11-20T09:00:00", None)).await;
    spool.close().await;
    let site = |gateway: &str| Site { ids: Some(("acme".into(), gateway.into())), ..Site::default() };
    let topics = |person: &str, local: &str, gateway: &str| {
        let question = Question { person: person.into(), at: wall(local), within_s: 60, terminal: None };
        let way = trace(&house.state_dir(), &question, &site(gateway), Timestamp::now()).unwrap().found.remove(0);
        (way.topic, way.other_topic)
    };
    let topic = |gateway: &str| format!("punchgate/1/acme/{gateway}/punch/door");
    let (first, second) = (("1", "2026-11-20T08:00"), ("2", "2026-11-20T09:00"));
    assert_eq!(topics(second.0, second.1, "sz-03"), (topic("sz-03"), None));
    // It waits for the broker under the new name.
    assert_eq!(topics(second.0, second.1, "sz-04"), (topic("sz-04"), None));
    let (then, other) = topics(first.0, first.1, "sz-04");
    assert_eq!(then, topic("sz-03"));
    assert!(other.is_none_or(|other| other == topic("sz-04")));
    assert_eq!(topics(first.0, first.1, "sz-03"), (topic("sz-03"), None));
}
