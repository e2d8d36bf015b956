//! The courier's promise: everything arrives, whatever brokers and lines do; nothing is confirmed that was not acknowledged.

mod support;

use std::time::Duration;

use punchgate::{
    courier::{Inbox, LinkState, LinkStatus},
    mqtt::{BrokerUrl, FailureKind, MqttSettings, MqttVersion},
};
use support::{
    broker::{Mosquitto, Setup},
    hostile::{Hostile, Manner},
    line::{Line, Wire},
    outbox::Memory,
    soon,
    subscriber::Subscriber,
    working::{Working, quick},
};

async fn everything_arrives(version: MqttVersion) {
    let Some(broker) = Mosquitto::plainly() else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let memory = Memory::new();
    memory.punch("front-door", 5_000, 200);
    memory.punch("canteen", 10, 1);
    let mut working = Working::start(&memory, MqttSettings { version, ..broker.settings("sz-03") });
    memory.until_all_confirmed().await;
    subscriber.until_punches(&memory.all()).await;
    let link = working.until("all are counted", |link| link.counters.punches_acked == 5_010).await;
    assert_eq!((link.reconnects(), link.counters.refused, &link.cause), (0, 0, &None));
    assert!(link.certificate_days().unwrap() > 365 && link.round_trip.is_some());
    assert!(link.broker_certificate_days().unwrap() > 365);
    working.close().await;
}

#[tokio::test]
async fn everything_arrives_and_is_confirmed_with_mqtt_5() {
    everything_arrives(MqttVersion::V5).await;
}

#[tokio::test]
async fn everything_arrives_and_is_confirmed_with_mqtt_311() {
    everything_arrives(MqttVersion::V311).await;
}

async fn a_killed_broker_loses_nothing_of_ours(version: MqttVersion) {
    let Some(mut broker) = Mosquitto::start(Setup { persistence: true, ..Setup::default() }) else { return };
    let memory = Memory::new();
    memory.punch("front-door", 40_000, 50);
    let mut working = Working::start(&memory, MqttSettings { version, ..broker.settings("sz-03") });
    memory.until_confirmed(2_000).await;
    broker.kill();
    working.until("the link is down", |link| link.state == LinkState::Down).await;
    memory.punch("front-door", 100, 1);
    broker.restart();
    memory.until_all_confirmed().await;
    assert!(memory.taken_back() >= 1);
    let link = working.until("it came again", |link| link.reconnects() >= 1 && link.state == LinkState::Up).await;
    assert_eq!(link.cause, None);
    working.close().await;
}

#[tokio::test]
async fn a_broker_killed_in_the_middle_loses_nothing_of_ours_with_mqtt_5() {
    a_killed_broker_loses_nothing_of_ours(MqttVersion::V5).await;
}

#[tokio::test]
async fn a_broker_killed_in_the_middle_loses_nothing_of_ours_with_mqtt_311() {
    a_killed_broker_loses_nothing_of_ours(MqttVersion::V311).await;
}

#[tokio::test]
async fn a_frozen_broker_is_left_and_found_again() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let memory = Memory::new();
    let mut working = Working::start(&memory, quick(broker.settings("sz-03")));
    memory.punch("front-door", 10, 1);
    memory.until_all_confirmed().await;
    broker.freeze();
    memory.punch("front-door", 10, 1);
    let told = |link: &LinkStatus| link.cause.as_ref().is_some_and(|it| it.kind == FailureKind::NotAcknowledging);
    working.until("it is told", told).await;
    assert_eq!(memory.confirmed().len(), 10);
    broker.thaw();
    memory.until_all_confirmed().await;
    working.close().await;
}

#[tokio::test]
async fn the_next_broker_of_the_list_takes_over_from_a_dead_a_frozen_and_a_silent_one() {
    let Some(alive) = Mosquitto::plainly() else { return };
    let Some(frozen) = Mosquitto::plainly() else { return };
    frozen.freeze();
    let silent = Hostile::start(Manner::NeverWelcomes, usize::MAX).await;
    let dead = BrokerUrl { host: "localhost".into(), port: 1, tls: true };
    let memory = Memory::new();
    memory.punch("front-door", 100, 10);
    let mut settings = quick(alive.settings("sz-03"));
    settings.brokers = vec![dead, frozen.url(), silent.url(), alive.url()];
    let mut working = Working::start(&memory, settings);
    memory.until_all_confirmed().await;
    let link = working.until("the link is up", |link| link.state == LinkState::Up).await;
    assert_eq!(link.broker, Some(alive.url()));
    working.close().await;
}

#[tokio::test]
async fn the_next_broker_takes_over_from_one_that_welcomes_and_never_acknowledges() {
    let Some(alive) = Mosquitto::plainly() else { return };
    let mute = Hostile::start(Manner::NeverAcks, usize::MAX).await;
    let memory = Memory::new();
    memory.punch("front-door", 100, 10);
    let mut settings = quick(alive.settings("sz-03"));
    settings.brokers.insert(0, mute.url());
    let mut working = Working::start(&memory, settings);
    memory.until_all_confirmed().await;
    let link = working.until("the link is up", |link| link.state == LinkState::Up).await;
    assert_eq!(link.broker, Some(alive.url()));
    working.close().await;
}

#[tokio::test]
async fn a_real_broker_that_takes_one_at_a_time_gets_everything() {
    let setup = Setup { extra: "max_inflight_messages 1".into(), ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let memory = Memory::new();
        memory.punch("front-door", 200, 1);
        let mut working = Working::start(&memory, MqttSettings { version, ..broker.settings("sz-03") });
        memory.until_all_confirmed().await;
        let link = working.until("all are counted", |link| link.counters.punches_acked == 200).await;
        assert_eq!(link.reconnects(), 0);
        working.close().await;
    }
}

#[tokio::test]
async fn a_cut_and_a_stalled_line_lose_nothing() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let line = Line::to(broker.port()).await;
    let memory = Memory::new();
    let mut settings = quick(broker.settings("sz-03"));
    settings.brokers[0].port = line.port;
    let mut working = Working::start(&memory, settings);
    for wire in [Wire::Cut, Wire::Stalled] {
        working.until_up().await;
        memory.punch("front-door", 5_000, 20);
        line.set(wire);
        working.until("the line fails", |link| link.state == LinkState::Down).await;
        line.set(Wire::Whole);
        memory.until_all_confirmed().await;
    }
    subscriber.until_punches(&memory.all()).await;
    working.close().await;
}

#[tokio::test]
async fn birth_and_state_come_first_and_the_will_says_lost_with_the_same_epoch() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let memory = Memory::new();
    let mut working = Working::start(&memory, broker.settings("sz-03"));
    working.board.set("birth", br#"{"version":"1"}"#.to_vec());
    let online = subscriber.until_document("state", |state| state["state"] == "online").await;
    subscriber.until_document("birth", |birth| birth["version"] == "1").await;
    working.until_up().await;
    working.task.abort(); // as if the process had died
    let lost = subscriber.until_document("state", |state| state["state"] == "lost").await;
    assert_eq!(lost["epoch"], online["epoch"]);

    let working = Working::start(&memory, broker.settings("sz-03"));
    let next = |state: &serde_json::Value| state["state"] == "online" && state["epoch"] != online["epoch"];
    subscriber.until_document("state", next).await;
    working.close().await;
    subscriber.until_document("state", |state| state["state"] == "offline").await;
}

#[tokio::test]
async fn documents_are_retained_pinned_up_again_and_taken_off() {
    let Some(mut broker) = Mosquitto::plainly() else { return };
    let memory = Memory::new();
    let working = Working::start(&memory, broker.settings("sz-03"));
    working.board.set("health", br#"{"n":1}"#.to_vec());
    working.board.set("incident/disk-full", br#"{"n":1}"#.to_vec());
    memory.punch("front-door", 1, 1);
    memory.until_all_confirmed().await;
    broker.restart(); // without persistence: it has forgotten them
    working.board.set("health", br#"{"n":2}"#.to_vec());
    working.board.clear("incident/disk-full");
    memory.punch("front-door", 1, 1);
    memory.until_all_confirmed().await;
    working.close().await;
    let late = Subscriber::start(broker.settings("late")).await;
    late.until_document("health", |health| health["n"] == 2).await;
    let cleared = soon("nothing is kept", async {
        late.until_document("state", |state| state["state"] == "offline").await;
        tokio::time::timeout(Duration::from_millis(100), late.until_document("incident/disk-full", |_| true)).await
    });
    assert!(cleared.await.is_err());
}

#[tokio::test]
async fn what_comes_in_reaches_whoever_asked_for_it() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let memory = Memory::new();
    let (messages, mut requests) = tokio::sync::mpsc::channel(4);
    let inbox = Inbox { filters: vec!["request/+".into()], messages: Some(messages) };
    let mut working = Working::start_with(&memory, broker.settings("sz-03"), inbox);
    working.until_up().await;
    let other = Memory::new();
    let support = Working::start(&other, broker.settings("support"));
    support.board.set("request/1", b"{}".to_vec());
    let request = soon("a request arrives", requests.recv()).await.unwrap();
    assert_eq!(request.topic, "punchgate/1/acme/sz-03/request/1");
    support.close().await;
    working.close().await;
}

#[tokio::test]
async fn a_punch_too_large_is_told_and_holds_no_other_back() {
    let setup = Setup { extra: "max_packet_size 3000".into(), ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    let memory = Memory::new();
    let long = |seq: u64| if seq == 50 { "9".repeat(3_000) } else { seq.to_string() };
    memory.punch_as("front-door", 100, 100, long);
    let mut working = Working::start(&memory, broker.settings("sz-03"));
    memory.until_confirmed(99).await;
    let link = working.until("it is told", |link| link.unsendable == 1).await;
    assert_eq!((link.state, link.reconnects()), (LinkState::Up, 0));
    assert!(!memory.confirmed().contains(&("front-door".into(), 50)));
    working.close().await;
}

#[tokio::test]
async fn a_punch_too_large_for_a_broker_that_never_said_so_holds_no_other_back() {
    let setup = Setup { extra: "max_packet_size 3000".into(), ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    let memory = Memory::new();
    let long = |seq: u64| if seq == 50 { "9".repeat(3_000) } else { seq.to_string() };
    memory.punch_as("front-door", 100, 100, long);
    // MQTT 3.1.1 has no word for a limit: the broker closes the connection.
    let settings = MqttSettings { version: MqttVersion::V311, ..broker.settings("sz-03") };
    let mut working = Working::start(&memory, settings);
    memory.until_confirmed(99).await;
    working.until("it is told", |link| link.unsendable == 1 && link.state == LinkState::Up).await;
    assert!(!memory.confirmed().contains(&("front-door".into(), 50)));
    working.close().await;
}

#[tokio::test]
async fn the_messages_of_a_real_broker_give_the_chain() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let memory = Memory::new();
    memory.punch("front-door", 1_000, 200);
    let working = Working::start(&memory, broker.settings("sz-03"));
    subscriber.until_punches(&memory.all()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.jsonl");
    let lines: Vec<String> = subscriber.messages().iter().map(ToString::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/chain.py");
    let lines = std::fs::File::open(&file).unwrap();
    match std::process::Command::new("python3").arg(script).stdin(lines).output() {
        Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout)),
        Err(_) => support::broker::skipped("python3 is not here"),
    }
    working.close().await;
}
