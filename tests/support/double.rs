//! A broker without a network: the test itself plays it, message by message. So the courier runs under a paused clock.

use std::time::Duration;

use async_trait::async_trait;
use punchgate::mqtt::{
    BrokerUrl, CertificatesEnd, Connect, Connection, Event, Failure, FailureKind, Hello, Limits, Message, Ticket,
};
use serde_json::Value;
use tokio::{
    sync::{
        Mutex,
        mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::timeout,
};

/// The limit of every wait, on a clock that jumps to whatever comes next: longer than any pause of the courier.
const LIMIT: Duration = Duration::from_secs(600);

pub const ACK_TIMEOUT: Duration = Duration::from_secs(20);

pub const LIMITS: Limits = Limits { packet: 256 * 1024, unacknowledged: 1000, retain: true };

/// What the courier gets.
pub struct Double {
    brokers: Vec<BrokerUrl>,
    attempts: UnboundedSender<Attempt>,
}

/// What the test keeps.
pub struct Brokers(Mutex<UnboundedReceiver<Attempt>>);

impl Double {
    /// Brokers of these names, in fail-over order.
    pub fn of(names: &[&str]) -> (Self, Brokers) {
        let broker = |name: &&str| BrokerUrl { host: (*name).into(), port: 8883, tls: true };
        let (attempts, arrivals) = unbounded_channel();
        (Self { brokers: names.iter().map(broker).collect(), attempts }, Brokers(Mutex::new(arrivals)))
    }
}

#[async_trait]
impl Connect for Double {
    fn brokers(&self) -> &[BrokerUrl] {
        &self.brokers
    }

    fn ack_timeout(&self) -> Duration {
        ACK_TIMEOUT
    }

    async fn connect(&self, broker: &BrokerUrl, hello: Hello) -> Result<Box<dyn Connection>, Failure> {
        let (answer, answered) = oneshot::channel();
        let attempt = Attempt { broker: broker.host.clone(), hello, answer };
        self.attempts.send(attempt).map_err(|_| Failure::new(FailureKind::Closed, "the test is over"))?;
        let ends = answered.await.map_err(|_| Failure::new(FailureKind::Silent, "the test did not answer"))??;
        Ok(Box::new(ends))
    }

    fn certificates_end(&self) -> CertificatesEnd {
        CertificatesEnd::default()
    }
}

/// Somebody who wants to connect.
pub struct Attempt {
    pub broker: String,
    pub hello: Hello,
    answer: oneshot::Sender<Result<Courier, Failure>>,
}

impl Brokers {
    pub async fn attempt(&self) -> Attempt {
        let mut arrivals = self.0.lock().await;
        timeout(LIMIT, arrivals.recv()).await.expect("the courier comes").expect("the courier is at work")
    }

    /// The next attempt is welcome.
    pub async fn welcome(&self) -> Peer {
        self.attempt().await.welcome(LIMITS)
    }
}

impl Attempt {
    pub fn refuse(self, kind: FailureKind) {
        // Whoever closes does not wait for the answer.
        let _ = self.answer.send(Err(Failure::new(kind, "as the test wants it")));
    }

    pub fn welcome(self, limits: Limits) -> Peer {
        let (to_broker, published) = unbounded_channel();
        let (events, from_broker) = unbounded_channel();
        let (leaving, left) = mpsc::channel(1);
        let courier = Courier { limits, published: to_broker, events: from_broker, leaving };
        assert!(self.answer.send(Ok(courier)).is_ok(), "nobody waits for a welcome");
        Peer { published, events, left }
    }
}

/// The courier's end of a connection.
struct Courier {
    limits: Limits,
    published: UnboundedSender<(Ticket, Message)>,
    events: UnboundedReceiver<Result<Event, Failure>>,
    leaving: mpsc::Sender<()>,
}

#[async_trait]
impl Connection for Courier {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn publish(&mut self, ticket: Ticket, message: Message) -> Result<(), Failure> {
        self.published.send((ticket, message)).map_err(|_| Failure::new(FailureKind::Closed, "the test hung up"))
    }

    async fn event(&mut self) -> Result<Event, Failure> {
        self.events.recv().await.unwrap_or_else(|| Err(Failure::new(FailureKind::Closed, "the test hung up")))
    }

    async fn leave(&mut self) {
        self.leaving.send(()).await.unwrap();
    }
}

/// The broker's end of a connection. Dropped, the connection is closed.
pub struct Peer {
    published: UnboundedReceiver<(Ticket, Message)>,
    events: UnboundedSender<Result<Event, Failure>>,
    left: mpsc::Receiver<()>,
}

impl Peer {
    /// The next publish, with the topic's suffix; `None` when the courier has thrown the connection away.
    pub async fn published(&mut self) -> Option<(Ticket, String, Value)> {
        let (ticket, message) = timeout(LIMIT, self.published.recv()).await.expect("something is published")?;
        let suffix = message.topic.splitn(5, '/').nth(4).unwrap().to_owned();
        Some((ticket, suffix, serde_json::from_slice(&message.payload).unwrap_or(Value::Null)))
    }

    /// The next publish with punches; documents before it are acknowledged. Numbers of its punches.
    pub async fn punches(&mut self) -> (Ticket, Vec<u64>) {
        loop {
            let (ticket, suffix, value) = self.published().await.expect("the connection stands");
            if !suffix.starts_with("punch/") {
                self.ack(ticket);
                continue;
            }
            let punches = value["data"]["punches"].as_array().unwrap();
            return (ticket, punches.iter().map(|punch| punch["seq"].as_u64().unwrap()).collect());
        }
    }

    /// Whether nothing is published within this time.
    pub async fn is_quiet_for(&mut self, time: Duration) -> bool {
        timeout(time, self.published.recv()).await.is_err()
    }

    pub fn ack(&self, ticket: Ticket) {
        self.tell(Ok(Event::Acked(ticket)));
    }

    pub fn refuse(&self, ticket: Ticket) {
        self.tell(Ok(Event::Refused(ticket, "quota".into())));
    }

    pub fn fail(self, kind: FailureKind) {
        self.tell(Err(Failure::new(kind, "as the test wants it")));
    }

    /// Waits until the courier has thrown the connection away.
    pub async fn until_left_behind(&mut self) {
        let given_up = async { while self.published.recv().await.is_some() {} };
        timeout(LIMIT, given_up).await.expect("the connection is given up");
    }

    /// Whether the courier has thrown the connection away.
    pub fn is_left_behind(&self) -> bool {
        self.events.is_closed()
    }

    /// Whether the courier took leave.
    pub fn has_left(&mut self) -> bool {
        self.left.try_recv().is_ok()
    }

    fn tell(&self, event: Result<Event, Failure>) {
        // A connection that the courier has thrown away hears nothing, like a real one.
        let _ = self.events.send(event);
    }
}
