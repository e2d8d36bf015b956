//! The connection to a broker; the only place that names the MQTT client and its TLS.
//!
//! A [`Connection`] lives from CONNECT to its end and is never mended: whoever loses one opens another, and sends again what
//! was not acknowledged. That leaves nothing to what the client library does about lost sessions, which is to forget.

mod failure;
mod open;
pub mod probe;
mod session;
mod steps;
mod tls;
mod v311;
mod v5;

use std::{fmt, path::PathBuf, time::Duration};

use async_trait::async_trait;
use driver_api::Secret;
use jiff::Timestamp;

pub use failure::{Failure, FailureKind};
pub use open::Client;

/// The largest packet in either direction, in bytes.
pub const MAX_PACKET: usize = 256 * 1024;

/// How the broker is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttSettings {
    /// In fail-over order; never empty.
    pub brokers: Vec<BrokerUrl>,
    pub version: MqttVersion,
    pub client_id: String,
    /// PEM; read again at each connection, so that renewed certificates need no restart.
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub keep_alive: Duration,
    /// A publish that is not acknowledged for so long means that the connection is thrown away.
    pub ack_timeout: Duration,
}

/// One broker of the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BrokerUrl {
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MqttVersion {
    V5,
    V311,
}

/// Opens connections. One for the network, one for tests.
#[async_trait]
pub trait Connect: Send + Sync {
    /// In fail-over order; never empty.
    fn brokers(&self) -> &[BrokerUrl];

    /// See [`MqttSettings::ack_timeout`].
    fn ack_timeout(&self) -> Duration;

    /// Returns when the broker has said welcome and has answered to the subscriptions.
    async fn connect(&self, broker: &BrokerUrl, hello: Hello) -> Result<Box<dyn Connection>, Failure>;

    /// When certificates end, as they were at the latest attempt.
    fn certificates_end(&self) -> CertificatesEnd;
}

/// When certificates end; `None` where there is none or it was not seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CertificatesEnd {
    /// The one that we show.
    pub ours: Option<Timestamp>,
    /// The one that the broker shows, if it was found right.
    pub brokers: Option<Timestamp>,
}

/// What is said at the beginning.
#[derive(Debug, Clone)]
pub struct Hello {
    pub will: Option<Message>,
    /// Topic filters; QoS 1 unless the client says otherwise.
    pub subscribe: Vec<String>,
}

/// What travels, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
}

/// Marks a publish; whoever publishes chooses it.
pub type Ticket = u64;

/// One connection.
#[async_trait]
pub trait Connection: Send {
    /// What the broker allows.
    fn limits(&self) -> Limits;

    /// Sends a message with QoS 1. Never waits: the caller keeps to [`Limits::unacknowledged`] and [`Limits::packet`].
    fn publish(&mut self, ticket: Ticket, message: Message) -> Result<(), Failure>;

    /// Waits for the next event; nothing moves on the wire but while somebody waits here. Safe to drop in a `select!`. After
    /// an error the connection is over.
    async fn event(&mut self) -> Result<Event, Failure>;

    /// Takes leave, so that the broker does not publish the will. May be given up at any time.
    async fn leave(&mut self);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest packet that may be sent, in bytes.
    pub packet: usize,
    /// Publishes on their way at once.
    pub unacknowledged: usize,
    /// Whether the broker keeps retained messages.
    pub retain: bool,
}

impl Limits {
    /// The largest payload on this topic, in bytes.
    pub fn payload(&self, topic: &str) -> usize {
        // Fixed header 5, length of the topic 2, packet id 2, length of the properties 1.
        self.packet.saturating_sub(topic.len() + 10)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The broker has it.
    Acked(Ticket),
    /// The broker answered that it does not take it: in words.
    Refused(Ticket, String),
    Arrived(Message),
}
