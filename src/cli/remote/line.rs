//! The line to a gateway over its broker, and whether what comes over it is the gateway's.

use std::{collections::VecDeque, time::Duration};

use tokio::time::timeout;

use super::Failure;
use crate::{
    command::{Envelope, PublicKey, Purpose, Response, sha256},
    config::Profile,
    mqtt::{Client, Connect, Connection, Event, Failure as Broken, Hello, Message},
    wire::Topics,
};

/// Why an answer is not believed.
pub(super) struct NotSigned(pub(super) String);

pub(super) struct Line {
    connection: Box<dyn Connection>,
    topics: Topics,
    gateway: String,
    tenant: String,
    key: PublicKey,
    next_ticket: u64,
    arrived: VecDeque<Message>,
}

/// For the broker to take one message.
const PUBLISHED: Duration = Duration::from_secs(15);

impl Line {
    /// Connects, and subscribes to these suffixes.
    pub(super) async fn open(profile: &Profile, gateway: &str, suffixes: &[String]) -> Result<Self, Failure> {
        let topics = Topics::new(&profile.tenant, gateway)
            .map_err(|error| Failure::Usage { why: error.to_string(), mend: "give the gateway's own id".into() })?;
        let key = profile.gateways.get(gateway).cloned().ok_or_else(|| {
            let mend =
                format!("add [gateway.{gateway}] and key = \"ed25519:...\" as `punchgate status` shows it on site");
            Failure::failed(format!("the profile has no key of gateway {gateway}"), mend)
        })?;
        let client = Client::new(profile.mqtt.clone());
        let subscribe = suffixes.iter().map(|suffix| topics.of(suffix)).collect();
        let mut why = None;
        for broker in client.brokers() {
            match client.connect(broker, Hello { will: None, subscribe: Vec::clone(&subscribe) }).await {
                Ok(connection) => {
                    let (gateway, tenant) = (gateway.to_owned(), profile.tenant.clone());
                    return Ok(Self {
                        connection,
                        topics,
                        gateway,
                        tenant,
                        key,
                        next_ticket: 1,
                        arrived: VecDeque::new(),
                    });
                }
                Err(failure) => why = Some((broker, failure)),
            }
        }
        let (broker, failure) = why.expect("a profile names a broker");
        let mend = failure.kind.mend().to_owned();
        Err(Failure::Unreachable { why: format!("{broker}: {failure}"), mend })
    }

    /// Returns when the broker has it.
    pub(super) async fn publish(&mut self, suffix: String, payload: Vec<u8>) -> Result<(), Failure> {
        self.send(suffix, payload, false).await
    }

    /// The same for what the broker is to keep.
    pub(super) async fn retain(&mut self, suffix: String, payload: Vec<u8>) -> Result<(), Failure> {
        self.send(suffix, payload, true).await
    }

    async fn send(&mut self, suffix: String, payload: Vec<u8>, retain: bool) -> Result<(), Failure> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let message = Message { topic: self.topics.of(&suffix), payload, retain };
        self.connection.publish(ticket, message).map_err(broken)?;
        let answered = async {
            loop {
                match self.connection.event().await.map_err(broken)? {
                    Event::Acked(of) if of == ticket => return Ok(()),
                    Event::Refused(of, words) if of == ticket => {
                        let mend = "look at the broker's access rules for support: packaging/mosquitto/acl.example";
                        return Err(Failure::failed(format!("the broker refused it: {words}"), mend));
                    }
                    Event::Arrived(message) => self.arrived.push_back(message),
                    _ => {}
                }
            }
        };
        timeout(PUBLISHED, answered)
            .await
            .map_err(|_| Failure::failed("the broker does not acknowledge", "look at the broker"))?
    }

    /// The next message below this suffix: the id in its topic, and what it says.
    pub(super) async fn next(&mut self, below: &str) -> Result<(String, Vec<u8>), Failure> {
        loop {
            let message = match self.arrived.pop_front() {
                Some(message) => message,
                None => match self.connection.event().await.map_err(broken)? {
                    Event::Arrived(message) => message,
                    _ => continue,
                },
            };
            if let Some(id) = self.topics.suffix(&message.topic).and_then(|suffix| suffix.strip_prefix(below)) {
                return Ok((id.to_owned(), message.payload));
            }
        }
    }

    /// What the gateway says of a request. `sent` is empty where somebody else has sent it.
    pub(super) fn response(&self, id: &str, sent: &[u8], payload: &[u8]) -> Result<Response, NotSigned> {
        let envelope =
            Envelope::read_any(payload, Purpose::Response).map_err(|malformed| NotSigned(malformed.to_string()))?;
        if !envelope.is_signed_by(&self.key) {
            return Err(NotSigned("its signature is not the gateway's".into()));
        }
        let response: Response =
            serde_json::from_value(envelope.payload().clone()).map_err(|error| NotSigned(error.to_string()))?;
        let ours = (&*response.id, &response.gateway, &response.tenant) == (id, &self.gateway, &self.tenant);
        if !ours || (!sent.is_empty() && response.request != sha256(sent)) {
            return Err(NotSigned("it is about another request".into()));
        }
        Ok(response)
    }

    pub(super) async fn leave(&mut self) {
        // Nothing depends on it.
        let _ = timeout(Duration::from_secs(1), self.connection.leave()).await;
    }
}

fn broken(broken: Broken) -> Failure {
    Failure::Unreachable { why: broken.to_string(), mend: broken.kind.mend().into() }
}
