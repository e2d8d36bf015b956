//! Brokers that break the rules: nothing they do makes the courier confirm what was not acknowledged, lose anything, or hang.

mod support;

use support::{
    hostile::{Hostile, Manner},
    outbox::Memory,
    working::{Working, plain},
};

/// Runs against a bad broker that turns good after some connections.
async fn survives(manner: Manner, bad: usize) {
    let broker = Hostile::start(manner, bad).await;
    let memory = Memory::new();
    memory.punch("front-door", 60, 5);
    memory.punch("canteen", 20, 1);
    let working = Working::start(&memory, plain(vec![broker.url()]));
    memory.until_all_confirmed().await;
    let unheard: Vec<_> = memory.confirmed().difference(&broker.acked()).cloned().collect();
    assert!(unheard.is_empty(), "{manner:?}: confirmed without an acknowledgement: {unheard:?}");
    assert_eq!(broker.complaints(), [""; 0]);
    working.close().await;
}

#[tokio::test]
async fn a_broker_that_never_acknowledges_confirms_nothing_and_is_left() {
    survives(Manner::NeverWelcomes, 1).await;
    survives(Manner::NeverAcks, 1).await;
}

#[tokio::test]
async fn a_broker_that_ends_connections_confirms_nothing_by_that() {
    survives(Manner::WelcomesAndCloses, 3).await;
    survives(Manner::ClosesAfterThree, 3).await;
}

#[tokio::test]
async fn answers_that_nobody_asked_for_confirm_nothing() {
    survives(Manner::AcksTwice, 3).await;
    survives(Manner::AcksUnknownIds, 3).await;
    survives(Manner::Garbage, 3).await;
}

#[tokio::test]
async fn answers_of_another_quality_of_service_confirm_nothing() {
    survives(Manner::AnswersWithPubrec, 1).await;
}

#[tokio::test]
async fn one_forgotten_acknowledgement_is_noticed() {
    survives(Manner::ForgetsOne, 1).await;
}

#[tokio::test]
async fn acknowledgements_out_of_order_reach_the_right_punches() {
    survives(Manner::AcksBackwards, 2).await;
    survives(Manner::AcksBackwardsOfThree, 2).await;
}

#[tokio::test]
async fn a_receive_maximum_of_one_is_kept() {
    survives(Manner::OneAtATime, usize::MAX).await;
}

#[tokio::test]
async fn a_small_packet_limit_is_kept() {
    survives(Manner::SmallPackets, usize::MAX).await;
}

#[tokio::test]
async fn a_limit_that_the_broker_never_told_is_found_out() {
    let broker = Hostile::start(Manner::ClosesOnLarge, usize::MAX).await;
    let memory = Memory::new();
    memory.punch("front-door", 1_000, 200);
    let working = Working::start(&memory, plain(vec![broker.url()]));
    memory.until_all_confirmed().await;
    working.close().await;
}

#[tokio::test]
async fn a_refusal_confirms_nothing_and_is_tried_again() {
    let broker = Hostile::start(Manner::Refuses, 1).await;
    let memory = Memory::new();
    memory.punch("front-door", 20, 1);
    let mut working = Working::start(&memory, plain(vec![broker.url()]));
    let link = working.until("the refusal is told", |link| link.refusal.is_some()).await;
    assert!(link.refusal.unwrap().contains("QuotaExceeded"));
    working.until("it is tried again", |link| link.counters.refused > 40).await;
    assert!(memory.confirmed().is_empty());
    assert_eq!(broker.connections(), 1);
    working.close().await;
}

#[tokio::test]
async fn one_refused_terminal_holds_no_other_back() {
    let broker = Hostile::start(Manner::RefusesOneTerminal, usize::MAX).await;
    let memory = Memory::new();
    memory.punch("canteen", 500, 1);
    memory.punch("front-door", 500, 1);
    let working = Working::start(&memory, plain(vec![broker.url()]));
    memory.until_confirmed(500).await;
    assert!(memory.confirmed().iter().all(|(terminal, _)| terminal == "front-door"));
    working.close().await;
}

#[tokio::test]
async fn punches_and_documents_wait_for_one_message_of_the_other_kind_at_most() {
    let broker = Hostile::start(Manner::OneAtATime, usize::MAX).await;
    let memory = Memory::new();
    memory.punch("front-door", 100, 1);
    let working = Working::start(&memory, plain(vec![broker.url()]));
    for n in 0..100 {
        working.board.set(&format!("health/t{n}"), b"{}".to_vec());
    }
    memory.until_all_confirmed().await;
    let topics = broker.topics();
    let is_punch = |topic: &String| topic.contains("/punch/");
    let last = topics.iter().rposition(is_punch).unwrap();
    let longest = topics[..last].chunk_by(|a, b| is_punch(a) == is_punch(b)).map(<[_]>::len).max();
    assert_eq!(longest, Some(1), "{topics:#?}");
    working.close().await;
}

#[tokio::test]
async fn the_beat_goes_on_whatever_the_broker_does() {
    let broker = Hostile::start(Manner::NeverWelcomes, usize::MAX).await;
    let mut working = Working::start(&Memory::new(), plain(vec![broker.url()]));
    let begun = working.link.borrow().beat;
    working.until("it beats", |link| link.beat >= begun + 6).await;
    working.close().await;
}
