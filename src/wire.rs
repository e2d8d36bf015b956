//! What the broker sees: topics and JSON documents. Pure; no I/O.
//!
//! The types are the contract: JSON Schema and AsyncAPI in `docs/` are made from them, and golden files hold them to what
//! was sent before. Within version 1 there are only additions.

pub mod birth;
pub mod health;
pub mod incident;
pub mod punches;
mod schema;
pub mod state;
#[cfg(test)]
mod tests;

pub use birth::Birth;
pub use punches::punch_event;
pub use state::{GatewayState, StateMessage};

/// Where one gateway's messages go. Everything behind the prefix is called a suffix: `state`, `punch/front-door`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
}

/// A name that cannot be a level of a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 1 to 40 of a-z, 0-9 and -")]
pub struct NotAnId(pub String);

/// Whether a tenant, gateway or terminal may be called so: `[a-z0-9-]{1,40}`, so that nobody can write into another's topics.
pub fn is_id(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&name.len()) && name.bytes().all(allowed)
}

impl Topics {
    pub fn new(tenant: &str, gateway: &str) -> Result<Self, NotAnId> {
        match [tenant, gateway].into_iter().find(|name| !is_id(name)) {
            None => Ok(Self { prefix: format!("punchgate/1/{tenant}/{gateway}/") }),
            Some(name) => Err(NotAnId(name.to_owned())),
        }
    }

    /// `punchgate/1/{tenant}/{gateway}/`
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The whole topic of a suffix.
    pub fn of(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.prefix)
    }

    /// The suffix of a topic of this gateway.
    pub fn suffix<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic.strip_prefix(&self.prefix)
    }
}

/// Suffixes of topics.
pub mod suffix {
    pub const STATE: &str = "state";
    pub const BIRTH: &str = "birth";
    pub const HEALTH: &str = "health";
    pub const AUDIT: &str = "audit";
    /// The trust list of the fleet, for gateways whose config names its roots.
    pub const TRUST: &str = "trust";
    /// Filter of all requests.
    pub const REQUESTS: &str = "request/+";

    pub fn request(id: &str) -> String {
        format!("request/{id}")
    }

    pub fn response(id: &str) -> String {
        format!("response/{id}")
    }

    /// Where a command waits for its second signature; the gateway itself does not look at it.
    pub fn approval(id: &str) -> String {
        format!("approval/{id}")
    }

    pub fn punch(terminal: &str) -> String {
        format!("punch/{terminal}")
    }

    pub fn incident(code: &str) -> String {
        format!("incident/{code}")
    }

    pub fn terminal_health(terminal: &str) -> String {
        format!("health/{terminal}")
    }
}

/// The largest document, in bytes; some brokers take no more. Punches may be larger, and so may a birth: it grows with the
/// number of terminals, some 300 bytes each.
pub const DOCUMENT_LIMIT: usize = 4096;

/// A document as it is published. The types here have nothing that JSON could not hold.
pub fn json(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document holds only texts, numbers, lists and named fields")
}
