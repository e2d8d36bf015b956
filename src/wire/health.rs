//! `health` and `health/{terminal}`: what is known and what is wrong. Units are in the names; null is "not known".

mod gateway;
mod terminal;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::schema;

pub use gateway::{GatewayHealth, Host, Link, Process, Queue, Store};
pub use terminal::{TerminalHealth, TerminalStanding};

/// The same words in both languages of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Words {
    pub en: String,
    pub zh: String,
}

/// By its effect on people who want to punch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Punches are refused or may be lost.
    High,
    /// Punches are safe but late, or one terminal is not served.
    Medium,
    /// Somebody should look at it some day.
    Low,
}

/// A named thing that is wrong now. Absent is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Condition {
    /// As in `terminal-offline`; never changes its meaning.
    pub code: String,
    /// The terminal or broker it is about; null is the gateway itself.
    pub subject: Option<String>,
    pub severity: Severity,
    #[schemars(with = "schema::Instant")]
    pub since: Timestamp,
    pub title: Words,
    /// What happened, in the words of whoever saw it.
    pub cause: String,
    /// What it means for the people.
    pub text: Words,
    /// What to do.
    pub mend: Words,
}
