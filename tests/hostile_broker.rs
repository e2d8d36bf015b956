//! Brokers that break the rules: nothing they do makes the courier confirm what was not acknowledged, lose anything, or hang.

mod support;

use futures_util::future::join_all;
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
async fn a_packet_limit_too_small_for_any_punch_sends_none_confirms_none_and_is_told() {
    let broker = Hostile::start(Manner::TinyPackets, usize::MAX).await;
    let memory = Memory::new();
    memory.punch("front-door", 20, 1);
    let mut working = Working::start(&memory, plain(vec![broker.url()]));
    let link = working.until("it is told", |link| link.unsendable == 20).await;
    assert!(memory.confirmed().is_empty());
    assert!(broker.acked().is_empty(), "{link:?}");
    assert_eq!(broker.complaints(), [""; 0]);
    working.close().await;
}

#[tokio::test]
async fn a_second_welcome_changes_nothing_and_confirms_nothing() {
    survives(Manner::WelcomesTwice, 3).await;
    survives(Manner::WelcomesInsteadOfAcks, 2).await;
}

#[tokio::test]
async fn a_full_window_that_the_broker_forgot_is_sent_again() {
    survives(Manner::ForgetsFullWindow, 3).await;
    survives(Manner::KnowsFullWindow, 3).await;
}

#[tokio::test]
async fn malformed_packets_confirm_nothing_and_end_the_connection() {
    let packets: &[&[u8]] = &[
        &[0x40, 0],                                  // PUBACK without an id
        &[0x40, 1, 0],                               // ... and with half of one
        &[0x40, 2, 0, 0],                            // ... of packet 0, which there is none of
        &[0x4F, 2, 0, 1],                            // ... with flags that are reserved
        &[0x40, 4, 0, 1, 0, 0xFF],                   // ... with properties longer than itself
        &[0x40, 3, 0, 1, 0x42],                      // ... with a reason that there is not
        &[0x00, 0],                                  // a kind that there is not
        &[0x10, 0],                                  // CONNECT, which only clients say
        &[0x82, 0],                                  // SUBSCRIBE, likewise
        &[0x90, 3, 0, 1, 0],                         // SUBACK that nobody asked for, too short
        &[0x30, 4, 0xFF, 0xFF, b'a', b'b'],          // PUBLISH whose topic is longer than itself
        &[0x36, 5, 0, 1, 0xFF, 0, 1],                // ... of QoS 3, with a topic that is no UTF-8
        &[0x32, 5, 0, 1, b'a', 0, 0],                // ... with packet id 0
        &[0xD0, 2, 1, 2],                            // PINGRESP with a body
        &[0x40, 0xFF, 0xFF, 0xFF, 0xFF, 1],          // a length of five bytes
        &[0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, b'a'], // 256 MB announced
        &[0xE0, 1],                                  // DISCONNECT cut short
        &[0xF0, 2, 0x18, 0],                         // AUTH, which nobody asked for
    ];
    join_all(packets.iter().map(|packet| survives(Manner::Malformed(packet), 2))).await;
}

#[tokio::test]
async fn malformed_welcomes_are_no_welcome() {
    let welcomes: &[&[u8]] = &[
        &[0x20, 0],                                  // empty
        &[0x20, 2, 0, 0],                            // without the properties that MQTT 5 has
        &[0x20, 3, 0, 0, 9],                         // properties that do not come
        &[0x20, 3, 0, 0x42, 0],                      // a reason that there is not
        &[0x20, 6, 0, 0, 3, 0x21, 0, 0],             // receive maximum 0, which is forbidden
        &[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 0],       // packets of 0 bytes, likewise
        &[0x20, 9, 0, 0, 6, 0x21, 0, 3, 0x21, 0, 4], // receive maximum twice
        &[0x20, 5, 0, 0, 2, 0x7E, 1],                // a property that there is not
        &[0x40, 2, 0, 1],                            // an acknowledgement first
        &[0xD0, 0],                                  // an answer to a ping first
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ];
    join_all(welcomes.iter().map(|welcome| survives(Manner::MalformedWelcome(welcome), 2))).await;
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
