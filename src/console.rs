//! The local way into the daemon: a Unix socket on which the command line asks and the daemon answers.
//!
//! One request per connection, as one line of JSON; then answers, one line each, the last one [`Answer::End`] or
//! [`Answer::Failed`], so that a cut answer is never taken for a whole one. Who may open the socket may ask: its mode is
//! 0660, and its folder and group are the unit's business. Even so nobody is trusted with the daemon's time or memory: a
//! request is bounded in size and time, clients in number, and a client that does not read is dropped.

mod ask;
mod lines;
mod server;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::{
    incident::Incident,
    inquiry::{Question, Silence, Trail},
};

pub use ask::{Answers, AskError, ask};
pub use lines::{
    ConditionLine, ConditionWords, Link, LogLine, OwnClock, PunchLine, Queue, Status, TerminalCount, TerminalLine,
    headline,
};
pub use server::{Console, OpenError, PATH_LIMIT};

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Status,
    Terminals,
    /// Recent punches, oldest first; with `follow` also those to come, until the asker leaves.
    Punches {
        filter: PunchFilter,
        follow: bool,
    },
    Conditions,
    /// Compare a terminal's log with its ledger now.
    Reconcile {
        terminal: String,
        /// By the terminal's wall; without them all of it.
        from: Option<jiff::civil::DateTime>,
        to: Option<jiff::civil::DateTime>,
    },
    /// Where is this punch?
    Why {
        question: Question,
    },
    /// Is it usual that this terminal is silent?
    Silence {
        terminal: String,
    },
    /// The newest lines of the log, INFO and above.
    Logs,
    /// Incidents that are open; with `all` every one there ever was, oldest first.
    Incidents {
        all: bool,
    },
    /// Somebody on site looks after an incident.
    AcknowledgeIncident {
        number: u64,
        by: String,
    },
    /// The losses of this terminal, or of all, are known.
    Acknowledge {
        terminal: Option<String>,
    },
}

/// Which punches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PunchFilter {
    pub terminal: Option<String>,
    /// Letter by letter: `007` is not `7`.
    pub person: Option<String>,
    /// Punched at this instant or later.
    pub since: Option<jiff::Timestamp>,
    /// The latest so many.
    pub limit: usize,
}

impl PunchFilter {
    /// More are not handed out in one answer.
    pub const LIMIT: usize = 10_000;

    /// Whether a punch is one of those, `limit` left aside.
    pub fn takes(&self, punch: &PunchLine) -> bool {
        self.terminal.as_ref().is_none_or(|terminal| *terminal == punch.terminal)
            && self.person.as_ref().is_none_or(|person| *person == punch.person)
            && self.since.is_none_or(|since| punch.utc >= since)
    }
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "of", rename_all = "kebab-case")]
pub enum Answer {
    Status(Box<Status>),
    Terminal(Box<TerminalLine>),
    Punch(Box<PunchLine>),
    Condition(Box<ConditionLine>),
    Log(Box<LogLine>),
    /// What came of a reconcile, as the driver tells it.
    Outcome(serde_json::Value),
    Trail(Box<Trail>),
    Silence {
        silence: Box<Silence>,
        /// How the terminal stands, in words.
        now: Vec<String>,
    },
    Incident(Box<Incident>),
    /// So many lost numbers are known now.
    Acknowledged(u64),
    /// So many punches were left out here, because the asker read too slowly. They are not lost, only not shown.
    Missed(u64),
    /// It cannot be answered.
    Failed(Failed),
    /// That was all.
    End,
}

/// Why a request came to nothing, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{why}")]
pub struct Failed {
    pub why: String,
    pub mend: String,
}

/// Whoever answers: the gateway, or a double in tests.
#[async_trait]
pub trait Desk: Send + Sync + 'static {
    async fn status(&self) -> Status;

    /// By name.
    async fn terminals(&self) -> Vec<TerminalLine>;

    /// Worst first.
    async fn conditions(&self) -> Vec<ConditionLine>;

    /// The latest `filter.limit` punches that the filter takes, oldest first.
    async fn punches(&self, filter: &PunchFilter) -> Result<Vec<PunchLine>, Failed>;

    /// Every punch from now on, as it becomes durable.
    fn live(&self) -> broadcast::Receiver<PunchLine>;

    /// Returns when it is done; dropped when the asker leaves, which does not undo it.
    async fn reconcile(
        &self,
        terminal: &str,
        from: Option<jiff::civil::DateTime>,
        to: Option<jiff::civil::DateTime>,
    ) -> Result<serde_json::Value, Failed>;

    async fn why(&self, question: &Question) -> Result<Trail, Failed>;

    /// And how the terminal stands now, in words.
    async fn silence(&self, terminal: &str) -> Result<(Silence, Vec<String>), Failed>;

    /// The newest lines of the log, oldest first.
    async fn logs(&self) -> Vec<LogLine>;

    /// Open ones, or all; oldest first.
    async fn incidents(&self, all: bool) -> Result<Vec<Incident>, Failed>;

    async fn acknowledge_incident(&self, number: u64, by: &str) -> Result<Incident, Failed>;

    /// Tells how many lost numbers are known from now on.
    async fn acknowledge(&self, terminal: Option<&str>) -> Result<u64, Failed>;
}
