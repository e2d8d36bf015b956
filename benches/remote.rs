//! Measures remote support: `cargo bench --bench remote`. What it costs to check an order; how long a question takes over TLS on
//! loopback; how punches fare while somebody floods the gateway with orders. Needs mosquitto.
#![allow(clippy::print_stdout, reason = "a table on standard output is what it is for")]

#[path = "../tests/remote/office.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod office;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use office::{Office, order};
use punchgate::{
    command::{Envelope, PrivateKey, Purpose, order_in},
    mqtt::{Connection, Event, Message},
};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    verify();
    runtime.expect("threads are to be had").block_on(async {
        let Some(office) = Office::open().await else { return };
        // Younger orders need a challenge, which is another question.
        tokio::time::sleep(Duration::from_secs(7)).await;
        questions(&office).await;
        let quiet = punches(&office, 0, 0, None).await;
        show("punch to subscriber, quiet", quiet);
        let flooded = punches(&office, 100, 50, Some(office.connect(&[]).await)).await;
        show("punch to subscriber, 1,000 orders/s", flooded);
    });
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("{what:<40} p50 {:8.3} ms   p99 {:8.3} ms   n {}", at(0.5), at(0.99), times.len());
}

/// Form, headers, payload, arguments, three signatures: the most that an order can cost.
fn verify() {
    let keys: Vec<PrivateKey> = (0..3).map(|_| PrivateKey::generate()).collect();
    let mut envelope = Envelope::sign(&order("health", None).payload(), Purpose::Command, &keys[0]);
    keys[1..].iter().for_each(|key| envelope.add_signature(Purpose::Command, key));
    let bytes = envelope.bytes();
    let publics: Vec<_> = keys.iter().map(PrivateKey::public).collect();
    let mut times = Vec::new();
    for _ in 0..2000 {
        let begun = Instant::now();
        let envelope = Envelope::read(&bytes, Purpose::Command).expect("it is a good one");
        assert!(publics.iter().all(|key| envelope.is_signed_by(key)) && order_in(&envelope).is_ok());
        times.push(begun.elapsed());
    }
    show("an order with three signatures checked", times);
}

/// From sending an order to its signed answer, on a connection that is there.
async fn questions(office: &Office) {
    let topic = "punchgate/1/acme/sz-03/response/+".to_owned();
    let mut connection = office.connect(&[topic]).await;
    let key = office.key("wang");
    let mut times = Vec::new();
    for ticket in 1..=100 {
        let order = order("health", None);
        let payload = Envelope::sign(&order.payload(), Purpose::Command, &key).bytes();
        let begun = Instant::now();
        let topic = format!("punchgate/1/acme/sz-03/request/{}", order.id);
        connection.publish(ticket, Message { topic, payload, retain: false }).expect("there is room");
        loop {
            let Event::Arrived(message) = connection.event().await.expect("it stays") else { continue };
            let envelope = Envelope::read_any(&message.payload, Purpose::Response).expect("an answer");
            let status = envelope.payload()["status"].as_str().unwrap_or_default();
            assert_ne!(status, "rejected");
            if status == "successful" && envelope.payload()["id"] == order.id {
                break;
            }
        }
        times.push(begun.elapsed());
    }
    show("a question (health) answered", times);
}

/// Punches behind the first so many, at 20/s for some seconds, while orders that nobody signed come in bursts of `each` every 50 ms.
async fn punches(office: &Office, first: u64, each: u64, flood: Option<Box<dyn Connection>>) -> Vec<Duration> {
    let flooding = flood.map(|mut connection| {
        tokio::spawn(async move {
            let key = PrivateKey::generate();
            let mut ticket = 0;
            let mut turn = tokio::time::interval(Duration::from_millis(50));
            loop {
                turn.tick().await;
                for _ in 0..each {
                    ticket += 1;
                    let order = order("health", None);
                    let payload = Envelope::sign(&order.payload(), Purpose::Command, &key).bytes();
                    let topic = format!("punchgate/1/acme/sz-03/request/{}", order.id);
                    connection.publish(ticket, Message { topic, payload, retain: false }).expect("there is room");
                }
                let mut acked = 0;
                while acked < each {
                    acked += u64::from(matches!(connection.event().await.expect("it stays"), Event::Acked(_)));
                }
            }
        })
    });
    let mut times = Vec::new();
    for n in 1..=100u64 {
        let begun = Instant::now();
        office.simulator.punch(&format!("{}", first + n));
        office.watcher.until_punches(&[("front-door".to_owned(), first + n)].into()).await;
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if let Some(flooding) = flooding {
        flooding.abort();
    }
    times
}
