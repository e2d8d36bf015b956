//! What commands answer when they were successful.

use std::collections::BTreeMap;

use driver_api::{DirectionMark, Flag, Origin, VerifyMark};
use jiff::{Timestamp, civil::DateTime};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::wire::health::Condition;

/// Of `challenge`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Challenge {
    /// For `chal` of an order that is signed with the same key.
    pub challenge: String,
    /// It is good for so long.
    pub seconds: u64,
}

/// Of `terminals`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Terminals {
    pub terminals: Vec<Terminal>,
    /// There are more: ask again with `after` the last name.
    pub more: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Terminal {
    pub name: String,
    pub driver: String,
    /// `connecting`, `online`, `offline`, `refused`
    pub state: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_seen: Option<Timestamp>,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_punch: Option<Timestamp>,
    pub serial: Option<String>,
    pub firmware: Option<String>,
    pub skew_ms: Option<i64>,
    pub records: Option<u64>,
    pub capacity: Option<u64>,
    /// Durable here.
    pub punches: u64,
}

/// Of `conditions`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Conditions {
    /// Worst first.
    pub conditions: Vec<Condition>,
    /// So many more, milder ones did not fit.
    pub left_out: u64,
}

/// Of `logs`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Logs {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// There were older ones that did not fit.
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogLine {
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// `error`, `warn`, `info`
    pub level: String,
    pub message: String,
    pub fields: BTreeMap<String, String>,
}

/// Of `punches`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Punches {
    /// Newest first.
    pub punches: Vec<Punch>,
    /// There may be older ones.
    pub more: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Punch {
    pub terminal: String,
    pub ledger: i64,
    pub seq: u64,
    pub id: String,
    /// The same person has the same one at this gateway, for ever.
    pub pseudonym: String,
    #[schemars(with = "String")]
    pub local: DateTime,
    pub zone: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub utc: Timestamp,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub stored: Timestamp,
    pub direction: DirectionMark,
    pub verify: VerifyMark,
    pub origin: Origin,
    pub flags: Vec<Flag>,
    /// The broker has it.
    pub delivered: bool,
}

/// Of `terminal.users`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Users {
    pub count: u64,
    /// The first thousand.
    pub pseudonyms: Vec<String>,
}

/// Of `replay`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Replayed {
    pub punches: u64,
    pub messages: u64,
}

/// Of `config.show`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigShown {
    /// As in the file, with what was set from afar.
    pub config: Value,
    /// What was set from afar and confirmed.
    pub from_afar: Value,
    pub trial: Option<Trial>,
}

/// A setting that goes back by itself.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Trial {
    /// The id of the command that set it.
    pub set: String,
    pub key: String,
    /// It goes back in so many seconds.
    pub seconds_left: u64,
}

/// Of `config.set` and `config.confirm`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigSet {
    pub key: String,
    /// Lines of terminals that were begun anew for it.
    pub restarted: u64,
    /// It goes back in so many seconds unless it is confirmed; null when it was.
    pub seconds_left: Option<u64>,
}

/// Of `driver.restart` and `gateway.restart`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Restarting {
    pub restarting: bool,
}

/// Of `lockdown`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Lockdown {
    /// What `[commands] unlock` must name to end it.
    pub lockdown: String,
}

/// What the terminal's driver tells, in its own words.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Done(pub BTreeMap<String, Value>);
