//! A subscriber that is as light as can be: it notes which punches came, and when, without reading all of their JSON.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use punchgate::mqtt::{Client, Connect, Event, Hello, Message, MqttSettings};
use tokio::{sync::watch, task::JoinHandle};

/// What came on `punch/...`.
#[derive(Default)]
pub(crate) struct Seen {
    /// By terminal and ledger: which numbers came.
    ledgers: HashMap<String, Vec<bool>>,
    /// Different ones.
    pub(crate) punches: u64,
    pub(crate) messages: u64,
    pub(crate) first: Option<Instant>,
    /// Arrivals of single persons, if they are wanted.
    pub(crate) persons: HashMap<String, Instant>,
}

pub(crate) struct Reader {
    seen: Arc<Mutex<Seen>>,
    changed: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Returns when it is subscribed; comes again when the broker does.
    pub(crate) async fn start(settings: MqttSettings, persons: bool) -> Self {
        let reader = Self::begin(settings, persons);
        let mut changed = reader.changed.clone();
        super::support::soon("the reader is subscribed", changed.changed()).await.expect("the reader lives");
        reader
    }

    /// Subscribes as soon as the broker is there.
    pub(crate) fn begin(settings: MqttSettings, persons: bool) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (changes, changed) = watch::channel(0);
        let keep = seen.clone();
        let task = tokio::spawn(async move {
            let client = Client::new(settings);
            let broker = client.brokers()[0].clone();
            loop {
                let will = Message { topic: "bench/will".into(), payload: vec![], retain: false };
                let hello = Hello { will: Some(will), subscribe: vec!["punchgate/1/+/+/punch/+".into()] };
                let Ok(mut connection) = client.connect(&broker, hello).await else {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    continue;
                };
                changes.send_modify(|count| *count += 1);
                while let Ok(event) = connection.event().await {
                    if let Event::Arrived(message) = event {
                        keep.lock().expect("nobody panics here").take(&message.payload, persons);
                        changes.send_modify(|count| *count += 1);
                    }
                }
            }
        });
        Self { seen, changed, task }
    }

    /// Waits until this holds; the caller limits the time.
    pub(crate) async fn until<T>(&self, like: impl Fn(&Seen) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        loop {
            changed.borrow_and_update();
            if let Some(found) = like(&self.seen.lock().expect("nobody panics here")) {
                return found;
            }
            changed.changed().await.expect("the reader lives as long as we do");
        }
    }

    pub(crate) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics here")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn take(&mut self, payload: &[u8], persons: bool) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.messages += 1;
        // The event's id says all: {terminal}/{ledger}/{first}-{last}
        let head = &payload[..payload.len().min(400)];
        let id = texts(head, "\"id\":\"").next().expect("an event has an id");
        let (ledger, range) = id.rsplit_once('/').expect("an id has slashes");
        let (first, last) = range.split_once('-').expect("a range has an end");
        let (first, last): (usize, usize) = (first.parse().expect("a number"), last.parse().expect("a number"));
        let numbers = match self.ledgers.get_mut(ledger) {
            Some(known) => known,
            None => self.ledgers.entry(ledger.to_owned()).or_default(),
        };
        numbers.resize(numbers.len().max(last + 1), false);
        for number in &mut numbers[first..=last] {
            self.punches += u64::from(!std::mem::replace(number, true));
        }
        if persons {
            for person in texts(payload, "\"person\":\"") {
                self.persons.entry(person.to_owned()).or_insert(now);
            }
        }
    }
}

/// The texts behind a key, as they stand in the JSON.
fn texts<'a>(json: &'a [u8], key: &'static str) -> impl Iterator<Item = &'a str> {
    let json = std::str::from_utf8(json).unwrap_or_default();
    json.split(key).skip(1).filter_map(|rest| rest.split('"').next())
}
