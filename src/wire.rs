//! What the broker sees: topics and JSON documents. Pure; no I/O.
//!
//! The types are the contract: JSON Schema and AsyncAPI in `docs/` are made from them, and golden files hold them to what
//! was sent before. Within version 1 there are only additions.

pub mod birth;
pub mod health;
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

impl Topics {
    pub fn new(tenant: &str, gateway: &str) -> Self {
        Self { prefix: format!("punchgate/1/{tenant}/{gateway}/") }
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

    pub fn punch(terminal: &str) -> String {
        format!("punch/{terminal}")
    }

    pub fn terminal_health(terminal: &str) -> String {
        format!("health/{terminal}")
    }
}

/// A document as it is published. The types here have nothing that JSON could not hold.
pub fn json(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document holds only texts, numbers, lists and named fields")
}
