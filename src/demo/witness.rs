//! The subscriber: an MQTT client like any other, which keeps account of what arrives.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::tally::Arrivals;
use crate::mqtt::{Client, Connect, Connection, Event, Hello, Message, MqttSettings};

/// Everything of all gateways.
pub(super) const TOPICS: &str = "punchgate/#";
/// Below [`TOPICS`], so that the broker keeps it in line with the rest.
const MARK: &str = "punchgate/1/demo/witness/mark";
/// How long broker and witness may take for each other.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Witness {
    arrivals: Arc<Mutex<Arrivals>>,
    subscribed: watch::Receiver<bool>,
    marks: mpsc::Sender<oneshot::Sender<()>>,
    _task: JoinSet<()>,
}

impl Witness {
    /// Subscribes as soon as there is a broker, and again whenever there is one again.
    pub(super) fn begin(settings: MqttSettings) -> Self {
        let arrivals = Arc::<Mutex<Arrivals>>::default();
        let (subscribing, subscribed) = watch::channel(false);
        let (marks, asked) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(watch(Client::new(settings), arrivals.clone(), subscribing, asked));
        Self { arrivals, subscribed, marks, _task: task }
    }

    /// Waits until the broker has taken the subscription.
    pub(super) async fn subscribed(&self) -> anyhow::Result<()> {
        let mut subscribed = self.subscribed.clone();
        let waiting = timeout(PATIENCE, subscribed.wait_for(|subscribed| *subscribed)).await;
        waiting.context("the subscriber does not come to the broker")?.context("the subscriber has ended")?;
        Ok(())
    }

    /// Waits until everything has arrived that the broker has acknowledged so far: a message of our own comes behind it.
    pub(super) async fn caught_up(&self) -> anyhow::Result<()> {
        let (tell, told) = oneshot::channel();
        let asking = async {
            self.marks.send(tell).await?;
            anyhow::Ok(told.await?)
        };
        timeout(PATIENCE, asking).await.context("the broker does not forward")?.context("the broker's connection broke")
    }

    pub(super) fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        lock(&self.arrivals)
    }
}

fn lock(arrivals: &Mutex<Arrivals>) -> MutexGuard<'_, Arrivals> {
    arrivals.lock().expect("nobody panics while counting")
}

async fn watch(
    client: Client,
    arrivals: Arc<Mutex<Arrivals>>,
    subscribed: watch::Sender<bool>,
    mut marks: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let broker = client.brokers()[0].clone();
    loop {
        let will = Message { topic: "punchgate/1/demo/witness/will".into(), payload: b"gone".to_vec(), retain: false };
        let hello = Hello { will: Some(will), subscribe: vec![TOPICS.into()] };
        if let Ok(connection) = client.connect(&broker, hello).await {
            subscribed.send_replace(true);
            listen(connection, &arrivals, &mut marks).await;
            subscribed.send_replace(false);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Until the connection ends.
async fn listen(
    mut connection: Box<dyn Connection>,
    arrivals: &Mutex<Arrivals>,
    marks: &mut mpsc::Receiver<oneshot::Sender<()>>,
) {
    let (mut number, mut waiting) = (0, None);
    loop {
        tokio::select! {
            event = connection.event() => match event {
                Ok(Event::Arrived(message)) if message.topic == MARK => {
                    // One that somebody had no patience for may come late.
                    if message.payload == u64::to_be_bytes(number) && let Some(waiting) = waiting.take() {
                        let _: Result<(), ()> = oneshot::Sender::send(waiting, ());
                    }
                }
                Ok(Event::Arrived(message)) if message.topic.split('/').nth(4) == Some("punch") => {
                    lock(arrivals).take(&message.payload);
                }
                Ok(_) => {}
                Err(_) => return,
            },
            Some(asked) = marks.recv() => {
                number += 1;
                waiting = Some(asked);
                let mark = Message { topic: MARK.into(), payload: number.to_be_bytes().to_vec(), retain: false };
                if connection.publish(number, mark).is_err() {
                    return;
                }
            }
        }
    }
}
