//! What both versions of the client library report, in one language.

use futures_util::stream::BoxStream;
use rumqttc::SubscribeFilter;

use super::{Failure, Limits, Message};

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

    pub(super) fn subscribe(&self, filters: &[String]) -> Result<(), Failure> {
        use rumqttc::v5::mqttbytes::{QoS, v5::Filter};
        match self {
            Self::V5(client) => client
                .try_subscribe_many(filters.iter().map(|filter| Filter::new(filter, QoS::AtLeastOnce)))
                .map_err(|error| queue_full(&error)),
            Self::V311(client) => {
                let filter = |filter: &String| SubscribeFilter::new(filter.clone(), rumqttc::QoS::AtLeastOnce);
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
    Failure::new(super::FailureKind::Garbled, format!("the MQTT client takes nothing more: {error}"))
}
