//! Punches as CloudEvents: one message holds up to 200 consecutive punches of one terminal.

use driver_api::{Clock, DirectionMark, Flag, Origin, PunchId, VerifyMark};
use jiff::{Timestamp, civil::DateTime};
use schemars::JsonSchema;
use serde::Serialize;

use super::schema;
use crate::ledger::{Entry, Head, Ledger};

/// A CloudEvents 1.0 event in structured mode, on `punch/{terminal}`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Punches")]
pub struct PunchEvent<'a> {
    #[schemars(extend("const" = "1.0"))]
    specversion: &'static str,
    #[schemars(extend("const" = "punchgate.punches.v1"))]
    r#type: &'static str,
    /// `{terminal}/{ledger}/{first}-{last}`: the same punches sent twice have the same id.
    id: String,
    /// `urn:punchgate:{tenant}:{gateway}`
    source: String,
    /// The terminal.
    subject: &'a str,
    /// The instant of the last punch in it, as the terminal's clock had it.
    #[schemars(with = "schema::Instant")]
    time: Timestamp,
    /// The number of the first punch, in 20 digits, so that texts sort as numbers do.
    sequence: String,
    #[schemars(extend("const" = "application/json"))]
    datacontenttype: &'static str,
    #[schemars(extend("const" = "urn:punchgate:schema:punches:1"))]
    dataschema: &'static str,
    data: Punches<'a>,
}

/// Consecutive punches of one ledger, with the chain before and after.
#[derive(Debug, Serialize, JsonSchema)]
struct Punches<'a> {
    terminal: &'a str,
    /// The terminal's own serial number.
    serial: &'a str,
    /// The second in which this ledger was begun (Unix time). A replaced terminal begins a new one.
    ledger: i64,
    /// `seq` of the first punch.
    first: u64,
    /// `seq` of the last punch.
    last: u64,
    /// The chain before the first punch.
    #[schemars(with = "schema::Head")]
    prev: Head,
    /// The chain after the last punch.
    #[schemars(with = "schema::Head")]
    head: Head,
    /// In the order of `seq`, without gaps.
    #[schemars(with = "Vec<Punch>")]
    punches: Listed<'a>,
}

/// One clocking event of one person at one terminal.
#[derive(Debug, Serialize, JsonSchema)]
struct Punch<'a> {
    /// Number in the terminal's ledger: from 1, no gaps.
    seq: u64,
    /// Stable for ever, whoever reads the punch and however often.
    #[schemars(with = "schema::Id")]
    id: PunchId,
    /// PIN or card exactly as the terminal gave it: `007` is not `7`.
    person: &'a str,
    /// What the terminal said, in `zone`.
    #[schemars(with = "schema::WallTime")]
    local: DateTime,
    /// IANA name, or an offset such as `+08:00`.
    zone: &'a str,
    #[schemars(with = "schema::Instant")]
    utc: Timestamp,
    clock: Clock,
    /// `utc` less the measured skew: when it was by the gateway's clock, within `clock.err_ms`. Null where the skew was not
    /// measured. `local` and `utc` stay what the terminal said.
    #[schemars(with = "Option<schema::Instant>")]
    corrected: Option<Timestamp>,
    direction: &'a DirectionMark,
    verify: &'a VerifyMark,
    work_code: Option<&'a str>,
    origin: Origin,
    /// The vendor's own record number, where there is one.
    native: Option<&'a str>,
    /// What is odd about it. New flags may be added.
    #[schemars(with = "Vec<Flag>")]
    flags: &'a [Flag],
}

/// Writes the entries one by one, so that a message needs no second list.
#[derive(Debug)]
struct Listed<'a>(&'a [Entry]);

impl Serialize for Listed<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Punch::of))
    }
}

impl<'a> Punch<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            seq: entry.seq,
            id: entry.id,
            person: &entry.person,
            local: entry.local,
            zone: &entry.zone,
            utc: entry.utc,
            clock: entry.clock,
            corrected: entry.corrected(),
            direction: &entry.direction,
            verify: &entry.verify,
            work_code: entry.work_code.as_deref(),
            origin: entry.origin,
            native: entry.native.as_deref(),
            flags: &entry.flags,
        }
    }
}

/// The payload of one message. `entries` are consecutive punches of `ledger`, at least one.
pub fn punch_event(ledger: &Ledger, entries: &[Entry]) -> Vec<u8> {
    let (first, last) = (&entries[0], &entries[entries.len() - 1]);
    let event = PunchEvent {
        specversion: "1.0",
        r#type: "punchgate.punches.v1",
        id: format!("{}/{}/{}-{}", ledger.terminal, ledger.begun, first.seq, last.seq),
        source: format!("urn:punchgate:{}:{}", ledger.tenant, ledger.gateway),
        subject: &ledger.terminal,
        time: last.utc,
        sequence: format!("{:020}", first.seq),
        datacontenttype: "application/json",
        dataschema: "urn:punchgate:schema:punches:1",
        data: Punches {
            terminal: &ledger.terminal,
            serial: &ledger.serial,
            ledger: ledger.begun,
            first: first.seq,
            last: last.seq,
            prev: first.prev,
            head: last.head(),
            punches: Listed(entries),
        },
    };
    let mut payload = Vec::with_capacity(512 + 448 * entries.len());
    serde_json::to_writer(&mut payload, &event).expect("memory takes every byte, and an event has no map");
    payload
}
