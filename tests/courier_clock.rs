//! The courier's decisions over time, with a broker that the test plays and a clock that stands still.

mod support;

use std::{sync::Arc, time::Duration};

use punchgate::{
    courier::{Inbox, LinkState},
    mqtt::{FailureKind, Limits},
};
use support::{
    double::{ACK_TIMEOUT, Brokers, Double, LIMITS},
    outbox::Memory,
    working::Working,
};
use tokio::time::Instant;

fn begin(memory: &Memory, names: &[&str]) -> (Working, Brokers) {
    let (double, brokers) = Double::of(names);
    (Working::over(memory, Arc::new(double), Inbox::default()), brokers)
}

fn numbers(memory: &Memory) -> Vec<u64> {
    memory.confirmed().into_iter().map(|(_, seq)| seq).collect()
}

#[tokio::test(start_paused = true)]
async fn only_what_was_acknowledged_is_confirmed_and_the_rest_is_sent_again() {
    let memory = Memory::new();
    memory.punch("front-door", 6, 2);
    let (working, brokers) = begin(&memory, &["a"]);
    let mut peer = brokers.welcome().await;
    let (_, first) = peer.punches().await;
    let (middle, second) = peer.punches().await;
    let (_, third) = peer.punches().await;
    assert_eq!([first, second, third], [[1, 2], [3, 4], [5, 6]]);
    peer.ack(middle);
    peer.ack(middle); // twice
    peer.ack(9_999); // nobody's
    memory.until_confirmed(2).await;
    peer.fail(FailureKind::Closed);

    let mut peer = brokers.welcome().await;
    let (one, first) = peer.punches().await;
    let (two, third) = peer.punches().await;
    assert_eq!([first, third], [[1, 2], [5, 6]]);
    assert_eq!(numbers(&memory), [3, 4]);
    peer.ack(one);
    peer.ack(two);
    memory.until_all_confirmed().await;
    working.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stops_acknowledging_is_left_after_the_time_that_was_set() {
    let memory = Memory::new();
    memory.punch("front-door", 1, 1);
    let (mut working, brokers) = begin(&memory, &["a", "b"]);
    let mut peer = brokers.welcome().await;
    peer.punches().await;
    let begun = Instant::now();
    peer.until_left_behind().await;
    assert!((ACK_TIMEOUT..ACK_TIMEOUT + Duration::from_secs(2)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let link = working.until("it is told", |link| link.cause.is_some()).await;
    assert_eq!(link.cause.unwrap().kind, FailureKind::NotAcknowledging);
    let next = brokers.attempt().await;
    assert_eq!(next.broker, "b");
    let mut peer = next.welcome(LIMITS);
    let (ticket, _) = peer.punches().await;
    peer.ack(ticket);
    memory.until_all_confirmed().await;
    working.close().await;
}

#[tokio::test(start_paused = true)]
async fn one_forgotten_publish_is_noticed_behind_others_that_are_acknowledged() {
    let memory = Memory::new();
    memory.punch("front-door", 100, 1);
    let (working, brokers) = begin(&memory, &["a"]);
    let mut peer = brokers.welcome().await;
    peer.punches().await; // never acknowledged
    let begun = Instant::now();
    while !peer.is_left_behind() {
        let (ticket, ..) = peer.published().await.expect("the window has room");
        peer.ack(ticket);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(begun.elapsed() < ACK_TIMEOUT + Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(!numbers(&memory).contains(&1));
    working.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_line_too_slow_for_a_full_segment_gets_smaller_ones() {
    let memory = Memory::new();
    memory.punch("front-door", 200, 200);
    let (working, brokers) = begin(&memory, &["a"]);
    let mut connections = 0;
    'connection: while connections < 12 && numbers(&memory).len() < 200 {
        connections += 1;
        let mut peer = brokers.welcome().await;
        while numbers(&memory).len() < 200 {
            let Some((ticket, _, value)) = peer.published().await else { continue 'connection };
            // What is longer does not get through in the time that an acknowledgement may take.
            if value.to_string().len() < 10_000 {
                peer.ack(ticket);
                tokio::time::sleep(Duration::from_millis(10)).await;
            } else {
                peer.until_left_behind().await;
            }
        }
    }
    assert!((2..12).contains(&connections), "{connections} connections");
    assert_eq!(numbers(&memory).len(), 200);
    working.close().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_stand_in_the_first_broker_of_the_list_is_asked_first() {
    let memory = Memory::new();
    let (working, brokers) = begin(&memory, &["a", "b", "c"]);
    let mut asked = Vec::new();
    let mut ask = |attempt: support::double::Attempt| {
        asked.push(attempt.broker.clone());
        attempt
    };
    ask(brokers.attempt().await).refuse(FailureKind::ConnectionRefused);
    let mut stand_in = ask(brokers.attempt().await).welcome(LIMITS);
    memory.punch("front-door", 1, 1);
    let (ticket, _) = stand_in.punches().await;
    stand_in.ack(ticket);
    memory.until_all_confirmed().await;
    stand_in.fail(FailureKind::Closed);
    ask(brokers.attempt().await).refuse(FailureKind::ConnectionRefused);
    // Welcomes that come to nothing are no reason to begin anew.
    ask(brokers.attempt().await).welcome(LIMITS).fail(FailureKind::Closed);
    ask(brokers.attempt().await).refuse(FailureKind::ConnectionRefused);
    ask(brokers.attempt().await).refuse(FailureKind::ConnectionRefused);
    assert_eq!(asked, ["a", "b", "a", "b", "c", "a"]);
    working.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_welcome_without_an_acknowledgement_does_not_end_the_back_off() {
    let memory = Memory::new();
    memory.punch("front-door", 1, 1);
    let (working, brokers) = begin(&memory, &["a"]);
    let begun = Instant::now();
    let mut pause = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(180) {
        brokers.welcome().await.fail(FailureKind::Closed);
        let failed = Instant::now();
        brokers.attempt().await.refuse(FailureKind::ConnectionRefused);
        pause = failed.elapsed();
    }
    assert!(pause > Duration::from_secs(2), "{pause:?}");

    let mut peer = brokers.welcome().await;
    let (ticket, _) = peer.punches().await;
    peer.ack(ticket);
    memory.until_all_confirmed().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    peer.fail(FailureKind::Closed);
    let failed = Instant::now();
    brokers.attempt().await.refuse(FailureKind::ConnectionRefused);
    assert!(failed.elapsed() < Duration::from_secs(1), "{:?}", failed.elapsed());
    working.close().await;
}

#[tokio::test(start_paused = true)]
async fn two_gateways_of_one_id_do_not_push_each_other_out_without_a_pause() {
    let memory = Memory::new();
    let (working, brokers) = begin(&memory, &["a"]);
    // Not every broker says why it closes.
    for (kind, at_least) in [(FailureKind::Closed, 2), (FailureKind::TakenOver, 20)] {
        let begun = Instant::now();
        let mut pause = Duration::ZERO;
        while begun.elapsed() < Duration::from_secs(180) {
            let mut peer = brokers.welcome().await;
            let (ticket, ..) = peer.published().await.unwrap();
            peer.ack(ticket);
            tokio::time::sleep(Duration::from_millis(10)).await;
            peer.fail(kind);
            let failed = Instant::now();
            brokers.attempt().await.refuse(FailureKind::ConnectionRefused);
            pause = failed.elapsed();
        }
        assert!(pause > Duration::from_secs(at_least), "{kind:?}: {pause:?}");
    }
    working.close().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_is_on_its_way_than_the_broker_allows() {
    let memory = Memory::new();
    memory.punch("front-door", 40, 1);
    let (working, brokers) = begin(&memory, &["a"]);
    let mut peer = brokers.attempt().await.welcome(Limits { unacknowledged: 3, ..LIMITS });
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(peer.punches().await.0);
    }
    for _ in 0..30 {
        assert!(peer.is_quiet_for(Duration::from_secs(1)).await);
        peer.ack(open.remove(0));
        open.push(peer.punches().await.0);
    }
    drop(peer);
    working.abandon().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_tried_again_later_each_time() {
    let memory = Memory::new();
    memory.punch("front-door", 1, 1);
    let (mut working, brokers) = begin(&memory, &["a"]);
    let mut peer = brokers.welcome().await;
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let (ticket, _) = peer.punches().await;
        peer.refuse(ticket);
        let refused = Instant::now();
        let (again, _) = peer.punches().await;
        pauses.push(refused.elapsed().as_secs());
        peer.refuse(again);
        working.until("it is told", |link| link.refusal.as_deref() == Some("punch/front-door: quota")).await;
    }
    assert!(pauses[0] < 3 && pauses[4] > 40, "{pauses:?}");
    assert!(memory.confirmed().is_empty());
    let (ticket, _) = peer.punches().await;
    peer.ack(ticket);
    memory.until_all_confirmed().await;
    working.until("it is over", |link| link.refusal.is_none() && link.state == LinkState::Up).await;
    working.abandon().await;
}

#[tokio::test(start_paused = true)]
async fn punches_and_documents_take_turns_for_as_long_as_there_are_both() {
    let memory = Memory::new();
    memory.punch("front-door", 100, 1);
    let (working, brokers) = begin(&memory, &["a"]);
    for n in 0..300 {
        working.board.set(&format!("health/t{n}"), b"{}".to_vec());
    }
    let mut peer = brokers.attempt().await.welcome(Limits { unacknowledged: 1, ..LIMITS });
    let mut punches = Vec::new();
    while punches.iter().filter(|is_punch| **is_punch).count() < 100 {
        let (ticket, suffix, _) = peer.published().await.unwrap();
        punches.push(suffix.starts_with("punch/"));
        peer.ack(ticket);
    }
    let longest = punches.chunk_by(|a, b| a == b).map(<[_]>::len).max();
    assert_eq!(longest, Some(1), "{punches:?}");
    drop(peer);
    working.abandon().await;
}

#[tokio::test(start_paused = true)]
async fn a_terminal_that_the_broker_refuses_takes_no_time_from_another() {
    let memory = Memory::new();
    memory.punch("canteen", 30, 1);
    memory.punch("front-door", 30, 1);
    let (working, brokers) = begin(&memory, &["a"]);
    let mut peer = brokers.attempt().await.welcome(Limits { unacknowledged: 2, ..LIMITS });
    let begun = Instant::now();
    let (mut refused, mut taken) = (0, 0);
    while taken < 30 {
        let (ticket, suffix, _) = peer.published().await.unwrap();
        if suffix == "punch/canteen" {
            refused += 1;
            peer.refuse(ticket);
        } else {
            taken += u32::from(suffix == "punch/front-door");
            peer.ack(ticket);
        }
    }
    memory.until_confirmed(30).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(refused < 5, "it was asked for {refused} of 30 before it was left alone");
    assert!(memory.confirmed().iter().all(|(terminal, _)| terminal == "front-door"));
    // And when the broker has changed its mind nothing is missing.
    while taken < 60 {
        let (ticket, suffix, _) = peer.published().await.unwrap();
        taken += u32::from(suffix == "punch/canteen");
        peer.ack(ticket);
    }
    memory.until_all_confirmed().await;
    drop(peer);
    working.abandon().await;
}

#[tokio::test(start_paused = true)]
async fn a_punch_set_aside_on_a_guess_is_tried_again_after_hours() {
    let memory = Memory::new();
    memory.punch_as("front-door", 1, 1, |_| "9".repeat(3_000));
    let (mut working, brokers) = begin(&memory, &["a"]);
    let mut connections = 0;
    let mut peer = loop {
        let mut peer = brokers.welcome().await;
        let (state, ..) = peer.published().await.unwrap();
        peer.ack(state);
        connections += 1;
        if peer.is_quiet_for(Duration::from_secs(5)).await {
            break peer;
        }
        peer.fail(FailureKind::Closed);
    };
    assert_eq!(connections, 4, "it ended three connections");
    working.until("it is told", |link| link.unsendable == 1).await;
    assert!(peer.is_quiet_for(Duration::from_secs(6 * 3600 - 300)).await);
    let (ticket, _) = peer.punches().await;
    peer.ack(ticket);
    memory.until_all_confirmed().await;
    working.until("it is over", |link| link.unsendable == 0).await;
    drop(peer);
    working.abandon().await;
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_is_on_its_way_takes_no_more_and_says_offline() {
    let memory = Memory::new();
    memory.punch("front-door", 2, 1);
    let (working, brokers) = begin(&memory, &["a"]);
    let mut peer = brokers.welcome().await;
    let (one, _) = peer.punches().await;
    let (two, _) = peer.punches().await;
    working.closing.cancel();
    let (draining, _, state) = peer.published().await.unwrap();
    assert_eq!(state["state"], "draining");
    memory.punch("front-door", 5, 1);
    assert!(peer.is_quiet_for(Duration::from_secs(2)).await, "it still took punches");
    peer.ack(one);
    peer.ack(two);
    peer.ack(draining);
    let (offline, _, state) = peer.published().await.unwrap();
    assert_eq!(state["state"], "offline");
    peer.ack(offline);
    working.close().await;
    assert!(peer.has_left());
    assert_eq!(numbers(&memory), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_in_time_beside_a_broker_that_says_nothing_and_confirms_nothing() {
    let memory = Memory::new();
    memory.punch("front-door", 2, 1);
    let (working, brokers) = begin(&memory, &["a"]);
    let mut peer = brokers.welcome().await;
    peer.punches().await;
    let begun = Instant::now();
    working.close().await;
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    assert!(!peer.has_left(), "without a farewell the broker says `lost`, which is true");
    assert!(memory.confirmed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_will_has_the_epoch_of_its_connection_and_epochs_rise() {
    let memory = Memory::new();
    let (working, brokers) = begin(&memory, &["a"]);
    let mut last = 0;
    for _ in 0..5 {
        let attempt = brokers.attempt().await;
        let will: serde_json::Value = serde_json::from_slice(&attempt.hello.will.as_ref().unwrap().payload).unwrap();
        assert_eq!((&will["state"], attempt.hello.will.as_ref().unwrap().retain), (&"lost".into(), true));
        let mut peer = attempt.welcome(LIMITS);
        let (_, suffix, state) = peer.published().await.unwrap();
        assert_eq!((suffix.as_str(), &state["epoch"]), ("state", &will["epoch"]));
        let epoch = will["epoch"].as_u64().unwrap();
        assert!(epoch > last);
        last = epoch;
        peer.fail(FailureKind::Closed);
    }
    working.abandon().await;
}
