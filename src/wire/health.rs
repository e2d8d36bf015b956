//! `health` and `health/{terminal}`: what is known and what is wrong. Units are in the names; null is "not known".
//!
//! Published with `document()`, which keeps to [`DOCUMENT_LIMIT`] whatever terminals say.

mod gateway;
mod terminal;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DOCUMENT_LIMIT, json, schema};

pub use gateway::{GatewayHealth, Host, Link, Process, Queue, Store};
pub use terminal::{TerminalHealth, TerminalStanding};

/// The same words in both languages of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Texts from terminals and drivers are shortened to this, in bytes of JSON.
const LONGEST_TEXT: usize = 320;

/// A document as it is published. When it is too large, the last conditions are left out, which are the mildest, and counted.
fn fitted<T: Serialize>(document: &mut T, parts: fn(&mut T) -> (&mut Vec<Condition>, &mut u64)) -> Vec<u8> {
    parts(document).0.iter_mut().for_each(|condition| shorten(&mut condition.cause));
    loop {
        let payload = json(document);
        let (conditions, left_out) = parts(document);
        if payload.len() <= DOCUMENT_LIMIT || conditions.pop().is_none() {
            return payload;
        }
        *left_out += 1;
    }
}

pub(super) fn shorten(text: &mut String) {
    // As in JSON: a control character takes six bytes there, and a terminal may send nothing else.
    let in_json = |c: char| match c {
        '"' | '\\' => 2,
        c if c.is_ascii_control() => 6,
        c => c.len_utf8(),
    };
    let mut bytes = 0;
    let end = text.char_indices().find(|(_, c)| {
        bytes += in_json(*c);
        bytes > LONGEST_TEXT
    });
    if let Some((end, _)) = end {
        text.truncate(end);
        text.push('…');
    }
}
