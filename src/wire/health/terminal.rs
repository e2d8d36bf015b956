//! `health/{terminal}`: one terminal.

use driver_api::{Clock, Delivery};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Condition, fitted, schema, shorten};

/// How a terminal stands with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TerminalStanding {
    /// Not yet reached since we know it.
    Connecting,
    Online,
    /// Cannot be reached, or what it says makes no sense.
    Offline,
    /// Reached, but it will not serve us until a person acts.
    Refused,
}

/// The retained document on `health/{terminal}`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "TerminalHealth")]
pub struct TerminalHealth {
    /// When this was written.
    #[schemars(with = "schema::Instant")]
    pub at: Timestamp,
    pub terminal: String,
    pub driver: String,
    pub delivery: Delivery,
    pub state: TerminalStanding,
    #[schemars(with = "schema::Instant")]
    pub since: Timestamp,
    #[schemars(with = "Option<schema::Instant>")]
    pub last_seen: Option<Timestamp>,
    /// The latest instant of a punch, as the terminal's clock had it.
    #[schemars(with = "Option<schema::Instant>")]
    pub last_punch: Option<Timestamp>,
    pub serial: Option<String>,
    pub model: Option<String>,
    pub firmware: Option<String>,
    pub platform: Option<String>,
    pub clock: Clock,
    /// In its log.
    pub records: Option<u64>,
    /// Of its log, in records.
    pub capacity: Option<u64>,
    pub users: Option<u64>,
    pub round_trip_ms: Option<u64>,
    pub failed_reads: u64,
    /// Punches read again that we had already.
    pub twins_dropped: Option<u64>,
    /// Records kept raw since they make no punch.
    pub quarantined: Option<u64>,
    /// Records that a comparison showed missing and that are not read yet.
    pub gaps_open: u64,
    /// People counted by a counter without names, since its ledger began. Absent for terminals that know who punched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passages: Option<u64>,
    /// Templates, faces, photos and other things that are not ours to keep, thrown away as they came, since the gateway's start.
    /// Absent where none came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub biometrics_dropped: Option<u64>,
    /// Those about this terminal, worst first.
    pub conditions: Vec<Condition>,
    /// How many more there are than have room here.
    pub conditions_left_out: u64,
}

impl TerminalHealth {
    /// As it is published.
    pub fn document(mut self) -> Vec<u8> {
        let Self { serial, model, firmware, platform, .. } = &mut self;
        [serial, model, firmware, platform].into_iter().flatten().for_each(shorten);
        fitted(&mut self, |it| (&mut it.conditions, &mut it.conditions_left_out))
    }
}
