//! A punch as a driver hands it over: what the terminal said, before the gateway numbers and stores it.

use std::{collections::BTreeMap, fmt};

use jiff::{civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// One clocking event of one person at one terminal.
#[derive(Debug, Clone, PartialEq)]
pub struct Punch {
    /// PIN or card exactly as the terminal gave it: `007` is not `7`. Never a name.
    pub person: String,
    /// The terminal's wall time of the event, in whole seconds.
    pub local: DateTime,
    /// The zone of `local` where the record itself tells it; otherwise the terminal's configured zone holds.
    pub zone: Option<TimeZone>,
    pub direction: DirectionMark,
    pub verify: VerifyMark,
    pub work_code: Option<String>,
    /// The vendor's own number of this record, where there is one that never changes.
    pub native: Option<String>,
    /// *n-th such*, from 1: see [`Occurrences`](crate::Occurrences).
    pub nth: u32,
    pub origin: Origin,
    pub clock: Clock,
    /// What the driver found odd. The gateway adds its own findings. A flag never holds a punch back.
    pub flags: Vec<Flag>,
}

/// A value mapped from a vendor's code, beside that code: models differ, so the code always travels along.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "{T}Mark"))]
pub struct Mark<T> {
    pub value: T,
    pub raw: Option<Raw>,
}

pub type DirectionMark = Mark<Direction>;
pub type VerifyMark = Mark<Verify>;

impl<T: Default> Mark<T> {
    /// The terminal said nothing of it.
    pub fn absent() -> Self {
        Self { value: T::default(), raw: None }
    }
}

/// A vendor's code as read: a number, or text where the protocol has text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Raw {
    Number(i64),
    Text(String),
}

impl From<u8> for Raw {
    fn from(code: u8) -> Self {
        Self::Number(code.into())
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(code) => code.fmt(f),
            Self::Text(code) => code.fmt(f),
        }
    }
}

/// What the person was doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    In,
    Out,
    BreakOut,
    BreakIn,
    OvertimeIn,
    OvertimeOut,
    #[default]
    Unknown,
}

/// How the terminal recognised the person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    Password,
    Finger,
    Card,
    Face,
    Palm,
    #[default]
    Unknown,
}

/// On which way a punch came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The terminal told us as it happened.
    Live,
    /// From the terminal's log, in the ordinary course of catching up.
    Backfill,
    /// From the terminal's log, because a comparison showed that it was missing.
    Reread,
    /// Entered by a person.
    Manual,
    /// From another gateway's export.
    Import,
}

/// How far the terminal's clock was off when the punch was read. Positive: the terminal is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Clock {
    /// Terminal's clock minus ours, in milliseconds; `null` when it could not be measured.
    pub skew_ms: Option<i64>,
    /// Largest error of `skew_ms`, in milliseconds.
    pub err_ms: Option<i64>,
    pub how: ClockSource,
}

impl Clock {
    pub const UNKNOWN: Self = Self { skew_ms: None, err_ms: None, how: ClockSource::Unknown };
}

/// How a clock skew was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClockSource {
    /// We asked the terminal for its time.
    Probed,
    /// From the arrival of a live punch.
    Arrival,
    Unknown,
}

/// Something odd about a punch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// The terminal's clock had never been set: its date is that of a factory or a dead battery.
    ClockUnset,
    /// The punch lies more than a day ahead of our clock.
    Future,
    /// An equal punch stands in the same second.
    DuplicateSecond,
    /// The terminal was not in the config when the punch arrived.
    UnknownTerminal,
    /// The log holds an internal number that the terminal's user list does not explain, or explains in two ways.
    UnknownPerson,
    /// The terminal says that it refused this person.
    Denied,
    /// The wall time happened twice, when clocks were put back.
    AmbiguousTime,
    /// The wall time never happened: clocks were put forward over it.
    NonexistentTime,
}

/// A record that could not become a punch. It is kept, raw, with its reason, and holds nothing else back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The bytes as received, at most [`SetAside::LIMIT`] of them.
    pub raw: Vec<u8>,
    /// What is wrong with them, in words for a support engineer.
    pub reason: String,
    /// *n-th such* among equal bytes of one full read, from 1.
    pub nth: u32,
}

impl SetAside {
    /// What is kept of one record, in bytes.
    pub const LIMIT: usize = 4096;
}

/// What a driver stores in one go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    pub punches: Vec<Punch>,
    pub set_aside: Vec<SetAside>,
    /// Other names that these punches may be stored under already, by the person that they name. A terminal whose records hold
    /// a number of its own means another person by it after the number was given to somebody else, and has one old record still.
    /// A punch that is there under one of these is a twin.
    pub former: BTreeMap<String, Vec<String>>,
}

impl From<Vec<Punch>> for Batch {
    fn from(punches: Vec<Punch>) -> Self {
        Self { punches, ..Self::default() }
    }
}

/// What became of a [`Batch`]; all of it is on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// Punches that were new.
    pub new: usize,
    /// Punches that we had already (same id): dropped.
    pub twins: usize,
    /// Raw records that were new.
    pub set_aside: usize,
}
