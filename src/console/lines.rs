//! What the daemon answers, as the command line shows it and `--json` prints it.

use std::collections::BTreeMap;

use driver_api::{Delivery, DirectionMark, Flag, Origin, PunchId, VerifyMark};
use jiff::{Timestamp, civil::DateTime};
use serde::{Deserialize, Serialize};

use crate::ledger::{Entry, Ledger};

/// How the gateway is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What is wrong and what to do, or `all is well`. See [`headline`].
    pub headline: String,
    pub tenant: String,
    pub gateway: String,
    pub version: String,
    /// With which its answers to remote support are signed.
    #[serde(default)]
    pub key: String,
    /// As on the topic `state`.
    pub state: String,
    pub uptime_s: u64,
    pub queue: Queue,
    pub link: Link,
    pub terminals: TerminalCount,
    pub clock: OwnClock,
    /// Worst first.
    pub conditions: Vec<ConditionLine>,
}

/// What waits for the broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Punches.
    pub undelivered: u64,
    /// When the oldest of them became durable.
    pub oldest: Option<Timestamp>,
    pub bytes: u64,
    /// Until the disk is full, if the broker stays away; absent where it cannot be told.
    pub hours_left: Option<f64>,
}

/// The connection to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// `connecting`, `up`, `down`
    pub state: String,
    pub since: Option<Timestamp>,
    /// `host:port`
    pub broker: Option<String>,
    /// Why it is down.
    pub cause: Option<String>,
}

/// The gateway's own clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnClock {
    /// `ntp`, `rtc`; absent: nobody knows.
    pub source: Option<String>,
    /// Minus the battery clock.
    pub offset_ms: Option<f64>,
    /// Why it is not believed; absent: it is.
    pub doubt: Option<String>,
    /// The latest second that is known to be past, that of the last durable punch; absent: there is none so far.
    #[serde(default)]
    pub floor: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalCount {
    pub online: usize,
    pub total: usize,
}

/// One terminal. What it does not tell is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalLine {
    pub name: String,
    pub driver: String,
    pub delivery: Delivery,
    /// `connecting`, `online`, `offline`, `refused`
    pub state: String,
    /// Code of the condition that keeps it from being served, however young; absent while it is served.
    pub unserved: Option<String>,
    /// What happened, where it is not served.
    pub cause: Option<String>,
    pub since: Timestamp,
    pub last_seen: Option<Timestamp>,
    pub last_punch: Option<Timestamp>,
    /// Its clock minus ours.
    pub skew_ms: Option<i64>,
    pub records: Option<u64>,
    pub capacity: Option<u64>,
    pub serial: Option<String>,
    pub firmware: Option<String>,
    /// Durable punches of its present ledger.
    pub punches: u64,
    /// Dropped, because we had them.
    pub twins: u64,
    /// Records that make no punch, kept raw.
    pub set_aside: u64,
}

/// One punch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PunchLine {
    pub terminal: String,
    /// The second in which its ledger was begun (Unix time).
    pub ledger: i64,
    pub seq: u64,
    pub id: PunchId,
    pub person: String,
    pub local: DateTime,
    pub zone: String,
    pub utc: Timestamp,
    /// When it was by the gateway's clock; null where nobody knows how far the terminal's was off.
    #[serde(default)]
    pub corrected: Option<Timestamp>,
    pub direction: DirectionMark,
    pub verify: VerifyMark,
    pub origin: Origin,
    pub flags: Vec<Flag>,
    /// The broker has it.
    pub delivered: bool,
}

impl PunchLine {
    pub fn of(ledger: &Ledger, entry: &Entry, delivered: bool) -> Self {
        Self {
            terminal: ledger.terminal.clone(),
            ledger: ledger.begun,
            seq: entry.seq,
            id: entry.id,
            person: entry.person.clone(),
            local: entry.local,
            zone: entry.zone.to_string(),
            utc: entry.utc,
            corrected: entry.corrected(),
            direction: entry.direction.clone(),
            verify: entry.verify.clone(),
            origin: entry.origin,
            flags: entry.flags.clone(),
            delivered,
        }
    }
}

/// One thing that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionLine {
    /// As in `terminal-offline`.
    pub code: String,
    /// The terminal or broker it is about; absent: the gateway itself.
    pub subject: Option<String>,
    /// `high`, `medium`, `low`
    pub severity: String,
    pub since: Timestamp,
    /// The code in words.
    pub title: String,
    /// What happened.
    pub cause: String,
    /// What it means for the people.
    pub text: String,
    /// What to do.
    pub mend: String,
    /// The same in Chinese.
    #[serde(default)]
    pub zh: ConditionWords,
}

/// Words of a condition in another language.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionWords {
    pub title: String,
    pub text: String,
    pub mend: String,
}

/// A line of the daemon's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub at: Timestamp,
    /// `error`, `warn`, `info`
    pub level: String,
    pub message: String,
    pub fields: BTreeMap<String, String>,
}

/// The whole state in one line: the worst condition with its mend, and how many more there are.
pub fn headline(conditions: &[ConditionLine]) -> String {
    let Some(worst) = conditions.first() else { return "all is well".into() };
    let mut line = String::new();
    if let Some(subject) = &worst.subject {
        line += &format!("{subject}: ");
    }
    line += &worst.title;
    if !worst.cause.is_empty() {
        line += &format!(" ({})", worst.cause);
    }
    line += &format!(". {}", worst.mend);
    match conditions.len() - 1 {
        0 => {}
        more => line += &format!(" And {more} more: punchgate conditions"),
    }
    line
}
