//! A subscriber that keeps what arrives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use punchgate::mqtt::{Client, Connect, Event, Hello, Message, MqttSettings};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use super::outbox::Numbered;

/// Subscribes to everything of all gateways, and comes again when the broker does.
pub struct Subscriber {
    seen: Arc<Mutex<Seen>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    punches: BTreeSet<Numbered>,
    /// Payloads on `punch/...`, in order.
    messages: Vec<Value>,
    /// Signed orders as they travelled, with their suffixes.
    orders: Vec<(String, Vec<u8>)>,
    /// Everything else, by suffix, in order.
    documents: BTreeMap<String, Vec<Value>>,
}

impl Subscriber {
    /// Returns when it is subscribed.
    pub async fn start(settings: MqttSettings) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (counter, count) = watch::channel(0);
        let (ready, mut is_ready) = watch::channel(false);
        let keep = seen.clone();
        let task = tokio::spawn(async move {
            let client = Client::new(settings);
            let broker = client.brokers()[0].clone();
            loop {
                let will = Message { topic: "test/will".into(), payload: vec![], retain: false };
                let hello = Hello { will: Some(will), subscribe: vec!["punchgate/#".into()] };
                let Ok(mut connection) = client.connect(&broker, hello).await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                ready.send_replace(true);
                while let Ok(event) = connection.event().await {
                    if let Event::Arrived(message) = event {
                        // Let go of it before the counter wakes those who look into it: they hold the counter then.
                        let count = keep.lock().unwrap().take(message);
                        counter.send_replace(count);
                    }
                }
            }
        });
        super::soon("the subscriber is there", is_ready.wait_for(|ready| *ready)).await.unwrap();
        Self { seen, count, task }
    }

    /// Waits until all these punches have arrived.
    pub async fn until_punches(&self, all: &BTreeSet<Numbered>) {
        self.until("punches arrive", |seen| seen.punches.is_superset(all)).await;
    }

    /// Waits for a document that is like this.
    pub async fn until_document(&self, suffix: &str, like: impl Fn(&Value) -> bool) -> Value {
        let found = Mutex::new(None);
        self.until("a document arrives", |seen| {
            let hit = seen.documents.get(suffix).and_then(|all| all.iter().find(|document| like(document)));
            *found.lock().unwrap() = hit.cloned();
            hit.is_some()
        })
        .await;
        found.into_inner().unwrap().unwrap()
    }

    async fn until(&self, what: &str, done: impl Fn(&Seen) -> bool) {
        let mut count = self.count.clone();
        super::soon(what, count.wait_for(|_| done(&self.seen.lock().unwrap()))).await.unwrap();
    }

    pub fn punches(&self) -> BTreeSet<Numbered> {
        self.seen.lock().unwrap().punches.clone()
    }

    pub fn messages(&self) -> Vec<Value> {
        self.seen.lock().unwrap().messages.clone()
    }

    /// Signed orders as they travelled, with their suffixes.
    pub fn orders(&self) -> Vec<(String, Vec<u8>)> {
        self.seen.lock().unwrap().orders.clone()
    }

    /// Everything that ever came, with its suffix.
    pub fn all(&self) -> Vec<(String, Value)> {
        let seen = self.seen.lock().unwrap();
        let punches = seen.messages.iter().map(|it| (format!("punch/{}", it["subject"].as_str().unwrap()), it.clone()));
        let others =
            seen.documents.iter().flat_map(|(suffix, all)| all.iter().map(move |it| (suffix.clone(), it.clone())));
        punches.chain(others).collect()
    }

    /// Everything that ever came on any topic, as text.
    pub fn everything(&self) -> String {
        let seen = self.seen.lock().unwrap();
        seen.messages.iter().chain(seen.documents.values().flatten()).map(Value::to_string).collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// Keeps a message; how many there are now.
    fn take(&mut self, message: Message) -> usize {
        let suffix = message.topic.splitn(5, '/').nth(4).unwrap().to_owned();
        let value: Value = serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
        if suffix.starts_with("request/") {
            self.orders.push((suffix.clone(), message.payload.clone()));
        }
        if !suffix.starts_with("punch/") {
            self.documents.entry(suffix).or_default().push(value);
            return self.count();
        }
        let terminal = value["subject"].as_str().unwrap().to_owned();
        for punch in value["data"]["punches"].as_array().unwrap() {
            self.punches.insert((terminal.clone(), punch["seq"].as_u64().unwrap()));
        }
        self.messages.push(value);
        self.count()
    }

    fn count(&self) -> usize {
        self.messages.len() + self.documents.values().map(Vec::len).sum::<usize>()
    }
}
