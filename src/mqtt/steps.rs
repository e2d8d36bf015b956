//! What both versions of the client library report, in one language.

use std::{collections::VecDeque, panic::AssertUnwindSafe};

use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use rumqttc::SubscribeFilter;

use super::{Failure, FailureKind, Limits, Message};

/// One report of the library's event loop.
#[derive(Debug)]
pub(super) enum Step {
    Welcome(Limits),
    /// The next message of those given to the library got this packet id and went out.
    Sent(u16),
    Acked(u16),
    Refused(u16, String),
    /// The broker answered to the subscriptions; those that it did not take, in words.
    Subscribed(Vec<String>),
    Arrived(Message),
    Left,
    Other,
}

/// The reports of one connection, up to the failure that ends it.
///
/// The event loop runs inside, and a `poll()` of it that was begun goes on at the next look, however often a `select!` turns
/// away: given up half-way it would lose packets.
pub(super) type Steps = BoxStream<'static, Result<Step, Failure>>;

/// The event loop of one version of the library.
pub(super) trait Library: Send + 'static {
    type Event: Send;

    fn poll(&mut self) -> impl Future<Output = Result<Self::Event, Failure>> + Send;
    /// What it has not reported yet.
    fn left_over(&mut self) -> VecDeque<Self::Event>;
    fn read(event: Self::Event) -> Result<Step, Failure>;
}

pub(super) fn steps(library: impl Library) -> Steps {
    let running = Running { library, left_over: VecDeque::new(), ended: None };
    stream::unfold(running, |mut running| async { Some((running.step().await, running)) }).boxed()
}

struct Running<L: Library> {
    library: L,
    /// Acknowledgements that came in before the failure count.
    left_over: VecDeque<L::Event>,
    ended: Option<Failure>,
}

impl<L: Library> Running<L> {
    async fn step(&mut self) -> Result<Step, Failure> {
        if self.ended.is_none() {
            // Dormant code reads hostile bytes here: if it panics, only this connection ends.
            self.ended = match AssertUnwindSafe(self.library.poll()).catch_unwind().await {
                Ok(Ok(event)) => return L::read(event),
                Ok(Err(failure)) => Some(failure),
                Err(_) => {
                    Some(Failure::new(FailureKind::Garbled, "the MQTT client stumbled over what the broker sent"))
                }
            };
            // Polled again, it would connect again on its own.
            self.left_over = self.library.left_over();
        }
        match (self.left_over.pop_front(), &self.ended) {
            (Some(event), _) => L::read(event),
            (None, ended) => Err(ended.clone().unwrap_or_else(Failure::closed)),
        }
    }
}

/// The sending end of the library.
pub(super) enum Sender {
    V5(rumqttc::v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

impl Sender {
    /// Queues a message; fails when the queue is full or the topic has no business being one.
    pub(super) fn publish(&self, message: Message) -> Result<(), Failure> {
        let Message { topic, payload, retain } = message;
        match self {
            Self::V5(client) => client
                .try_publish(topic, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, retain, payload)
                .map_err(|error| queue_full(&error)),
            Self::V311(client) => client
                .try_publish(topic, rumqttc::QoS::AtLeastOnce, retain, payload)
                .map_err(|error| queue_full(&error)),
        }
    }

    /// With QoS 1, or where it need not be sure, 0.
    pub(super) fn subscribe(&self, filters: &[String], surely: bool) -> Result<(), Failure> {
        use rumqttc::v5::mqttbytes::{QoS, v5::Filter};
        match self {
            Self::V5(client) => client
                .try_subscribe_many(filters.iter().map(|filter| Filter {
                    // So that what was published retained can be told at once, and not only at the next connection.
                    preserve_retain: true,
                    ..Filter::new(filter, if surely { QoS::AtLeastOnce } else { QoS::AtMostOnce })
                }))
                .map_err(|error| queue_full(&error)),
            Self::V311(client) => {
                let qos = if surely { rumqttc::QoS::AtLeastOnce } else { rumqttc::QoS::AtMostOnce };
                let filter = |filter: &String| SubscribeFilter::new(filter.clone(), qos);
                client.try_subscribe_many(filters.iter().map(filter)).map_err(|error| queue_full(&error))
            }
        }
    }

    pub(super) fn leave(&self) -> Result<(), Failure> {
        match self {
            Self::V5(client) => client.try_disconnect().map_err(|error| queue_full(&error)),
            Self::V311(client) => client.try_disconnect().map_err(|error| queue_full(&error)),
        }
    }
}

fn queue_full(error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureKind::Garbled, format!("the MQTT client takes nothing more: {error}"))
}
