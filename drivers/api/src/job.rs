//! What the gateway may ask of a terminal, and how a driver answers.

use std::fmt;

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Something to be done at a terminal. Who may ask for it is the gateway's business, never the driver's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Operation {
    /// Compare the terminal's log with the ledger now and read what is missing; both ends in the terminal's wall time.
    Reconcile {
        from: Option<DateTime>,
        to: Option<DateTime>,
    },
    /// Read the terminal's identity, counts and settings.
    Info,
    /// List the user numbers.
    Users,
    /// Set the terminal's clock to ours.
    TimeSet,
    Restart,
    /// Open a door for some seconds.
    Unlock {
        door: u8,
        seconds: u16,
    },
    /// Show a light for some seconds and beep some times, for the people before it.
    Signal {
        light: Option<Light>,
        seconds: u8,
        beeps: u8,
    },
    /// Show a text on the screen for whoever stands there.
    Message {
        text: String,
    },
    /// Add a user, or change one.
    UserPut(User),
    /// Take a user away, with templates and cards.
    UserDelete {
        id: String,
    },
    /// Empty the terminal's log. Whoever asks has seen that the ledger held so many punches and that every one of them was
    /// delivered. The driver keeps people off, reads the whole log once more, and clears it only if all of it is in the
    /// ledger and the ledger holds so many punches still; it counts again afterwards. A driver whose protocol cannot do
    /// that does not offer it.
    ClearLog {
        punches: u64,
    },
}

/// Who may punch at a terminal, as far as a gateway tells it to one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The number that the terminal's punches carry: letter by letter.
    pub id: String,
    /// What the terminal shows; absent: as it is, or nothing.
    pub name: Option<String>,
    /// The card's number; absent: as it is, or none.
    pub card: Option<u32>,
}

impl fmt::Debug for User {
    /// Without anything that says who it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("User")
    }
}

/// A colour that readers can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Light {
    Red,
    Green,
    Amber,
    Blue,
}

impl Operation {
    /// Its name in commands, `birth` and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reconcile { .. } => "reconcile",
            Self::Info => "info",
            Self::Users => "users",
            Self::TimeSet => "time-set",
            Self::Restart => "restart",
            Self::Unlock { .. } => "unlock",
            Self::Signal { .. } => "signal",
            Self::Message { .. } => "message",
            Self::UserPut(_) => "user-put",
            Self::UserDelete { .. } => "user-delete",
            Self::ClearLog { .. } => "clear-log",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One operation on its way to a terminal. Dropping it unanswered tells the asker that the line ended.
#[derive(Debug)]
pub struct Job {
    pub terminal: String,
    pub operation: Operation,
    pub(crate) outcome: oneshot::Sender<Result<serde_json::Value, JobFailed>>,
}

impl Job {
    /// A job, and where its outcome arrives.
    pub fn new(
        terminal: impl Into<String>,
        operation: Operation,
    ) -> (Self, oneshot::Receiver<Result<serde_json::Value, JobFailed>>) {
        let (outcome, answer) = oneshot::channel();
        (Self { terminal: terminal.into(), operation, outcome }, answer)
    }

    /// Answers it.
    pub fn done(self, outcome: Result<serde_json::Value, JobFailed>) {
        // The asker may have stopped waiting: what was done is done, and nobody else wants to hear of it.
        let _ = self.outcome.send(outcome);
    }
}

/// Why a job came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobFailed {
    #[error("there is no such terminal in the config")]
    UnknownTerminal,
    #[error("this driver cannot do that")]
    NotSupported,
    #[error("the terminal is not connected")]
    NotConnected,
    #[error("the terminal refused: {0}")]
    Refused(String),
    /// It may or may not have happened.
    #[error("the terminal did not answer: {0}")]
    NoAnswer(String),
}
