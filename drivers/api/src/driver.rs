//! What a driver is to the gateway.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::tz::TimeZone;

use crate::{DriverError, Link, Problems, Section};

/// What a driver can promise about a punch that the gateway did not store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// The terminal keeps a punch until we acknowledge it.
    Acked,
    /// The terminal has a log that can be read again.
    Logged,
    /// The link acknowledges frames; what was read while we were away is gone.
    Link,
    /// Nothing: what we miss is lost.
    None,
}

/// A driver's entry in the gateway's list.
pub struct Kind {
    /// As in `driver = "zk"`; also the crate's folder and the field of logs.
    pub name: &'static str,
    /// One line for people: which terminals it serves.
    pub title: &'static str,
    pub delivery: Delivery,
    /// Names of the [`Operation`](crate::Operation)s that its terminals can do.
    pub operations: &'static [&'static str],
    /// Turns `[driver.<name>]` and the driver's `[[terminal]]` blocks into lines. Opens and binds nothing. All that is
    /// wrong goes to `problems`, each with its mend; what is returned beside problems is not run.
    pub plan: fn(Section, Vec<TerminalBlock>, &mut Problems) -> Vec<Line>,
}

/// One `[[terminal]]` block, as far as the gateway itself understands it.
#[derive(Debug)]
pub struct TerminalBlock {
    pub name: String,
    /// The zone of the terminal's wall clock.
    pub zone: TimeZone,
    /// The driver's own keys: `address`, `serial`, ... It takes them and calls [`Section::finish`].
    pub section: Section,
}

/// What is run, watched and restarted as one: a terminal that is dialled, a serial bus with its terminals, a listening
/// port with its terminals.
pub struct Line {
    /// What makes it this line and no other, stable over restarts: the terminal's name, the bus's path, the port.
    pub key: String,
    /// The names of its terminals; each terminal is on one line.
    pub terminals: Vec<String>,
    pub driver: Arc<dyn Driver>,
}

/// One line at work.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Serves the line's terminals until [`Link::closing`].
    ///
    /// After an error or a panic the gateway calls it again with a new link, each time a little later; so it holds
    /// nothing that must outlive a call. Punches in work may be given up at any moment: what was not stored was not
    /// acknowledged.
    async fn run(&self, link: Link) -> Result<(), DriverError>;
}
