//! What commands answer when they were successful.

use std::collections::BTreeMap;

use driver_api::{Clock, DirectionMark, Flag, Origin, VerifyMark};
use jiff::{Timestamp, civil::DateTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::health::{Condition, Words};

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

/// Of `doctor`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Doctor {
    /// Nothing is wrong.
    pub well: bool,
    /// What to mend first, by its check.
    pub first: Option<String>,
    /// From the ground up.
    pub findings: Vec<Finding>,
    /// So many more that are well did not fit.
    pub left_out: u64,
}

/// One thing that was looked at.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub check: String,
    /// The broker or terminal that it is about.
    pub subject: Option<String>,
    /// `well`, `odd`, `wrong`, `skipped`
    pub outcome: String,
    pub title: Words,
    pub evidence: Words,
    pub mend: Option<Words>,
}

/// Of `why`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Why {
    /// `found`, `may-be-lost`, `not-kept` (only ids are left of that time), `to-come`, `not-here`; null of a silence.
    pub verdict: Option<String>,
    /// Punches of that person in that time.
    pub found: Vec<Found>,
    /// Otherwise the nearest ones.
    pub near: Vec<Near>,
    /// What is known of the terminals around that time.
    pub terminals: Vec<Around>,
    /// When the gateway started and stopped around that time.
    pub gateway: Vec<Stood>,
    /// Places in the journal that could not be read.
    pub unreadable: u64,
    /// Of a question about a silence.
    pub silence: Option<Silence>,
    /// How things stand now, in words.
    pub now: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Found {
    pub terminal: String,
    pub serial: String,
    pub ledger: i64,
    pub seq: u64,
    pub id: String,
    pub pseudonym: String,
    #[schemars(with = "String")]
    pub local: DateTime,
    pub zone: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub utc: Timestamp,
    /// When it was by the gateway's clock; null where nobody knows how far the terminal's was off.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub corrected: Option<Timestamp>,
    pub clock: Clock,
    pub origin: Origin,
    pub flags: Vec<Flag>,
    /// When it was on the gateway's disk, and where.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub durable: Timestamp,
    pub segment: u64,
    pub offset: u64,
    pub delivered: bool,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub delivered_by: Option<Timestamp>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Near {
    pub terminal: String,
    #[schemars(with = "String")]
    pub local: DateTime,
    pub id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Around {
    pub terminal: String,
    /// Anybody's punches in that time.
    pub punches: u64,
    /// Anybody's punches in that time that were delivered and of which the gateway keeps time and id alone
    pub retired: u64,
    /// Anybody's last punch before it and first one after it, kept or not.
    #[schemars(with = "Option<String>")]
    pub before: Option<DateTime>,
    #[schemars(with = "Option<String>")]
    pub after: Option<DateTime>,
    pub standing: Vec<Stood>,
    /// That time is still to come there.
    pub to_come: bool,
    /// Records that make no punch, kept from that time on for a day
    pub set_aside: u64,
    /// All such records of this terminal
    pub set_aside_all: u64,
    pub lost: Vec<(u64, u64)>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Stood {
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// `connecting`, `online`, `offline`, `refused`; of the gateway `started`, `stopped`
    pub standing: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Silence {
    /// The last punch and the present moment, by the terminal's own wall.
    #[schemars(with = "Option<String>")]
    pub last: Option<DateTime>,
    #[schemars(with = "Option<String>")]
    pub now: Option<DateTime>,
    /// Punches in the same hours of each week before, the latest week first.
    pub weeks: Vec<u64>,
    /// `usual`, `unusual`, `either`, `too-young`, `no-punch`, `no-time` (there are punches, and their times say nothing)
    pub judgement: String,
    /// Punches whose times say nothing: the clock was never set, or ran ahead, and nobody knows by how much.
    pub untold: u64,
}

/// Of `trace`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Trace {
    /// Oldest first.
    pub frames: Vec<Frame>,
    /// So many later ones did not fit.
    pub left_out: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Frame {
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    pub way: driver_api::Way,
    /// As it went over the wire.
    pub bytes: u64,
    /// What it is; nothing of it says who somebody is.
    pub what: String,
}

/// Of `bundle`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Bundle {
    /// To be quoted.
    pub bundle: String,
    pub bytes: u64,
    /// Of the whole, in hex.
    pub sha256: String,
}

/// Of `report`. The report itself is fetched as a bundle is, by `bundle.read`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// To be quoted.
    pub bundle: String,
    pub bytes: u64,
    /// Of the whole, in hex.
    pub sha256: String,
    /// What matters most of it; null where one that was made before is named.
    pub summary: Option<ReportSummary>,
}

/// A period in few figures.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReportSummary {
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub from: Timestamp,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub to: Timestamp,
    /// Of the minutes since the first that is kept.
    pub up_percent: Option<f64>,
    pub broker_up_percent: Option<f64>,
    pub punches: u64,
    pub undelivered: u64,
    pub terminals: u64,
    /// The one that was away for the longest part.
    pub worst_terminal: Option<String>,
    pub worst_online_percent: Option<f64>,
    /// Numbers that the journal lost, ever.
    pub lost: u64,
    pub days_left: Option<f64>,
    pub incidents: u64,
    /// Of them past their target.
    pub breached: u64,
    /// What to renew: 20 lines at most, of so many.
    pub renew: Vec<String>,
    pub renew_count: u64,
    /// When the newest advisory that the gateway's own parts were looked up in was changed; null: they were not looked up.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub advisories_of: Option<Timestamp>,
}

/// Of `bundle.read`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BundlePart {
    pub bundle: String,
    pub offset: u64,
    /// Bytes from there on, in base64url; fewer than there are.
    pub data: String,
    /// Where the next part begins; null behind the last one.
    pub next: Option<u64>,
}

/// Of `cancel`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Cancelled {
    /// The order that ends now.
    pub command: String,
}

/// What the terminal's driver tells, in its own words.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Done(pub BTreeMap<String, Value>);
