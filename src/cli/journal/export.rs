//! Punches and raw records as JSON lines or CSV.

use std::{
    io::{self, Write},
    sync::Arc,
};

use data_encoding::HEXLOWER;
use driver_api::{Clock, DirectionMark, Flag, Mark, Origin, PunchId, Raw, VerifyMark};
use jiff::{Timestamp, civil::DateTime};
use serde::Serialize;

use super::{Damage, ExportFormat, RawRecord, spool};
use crate::ledger::{Entry, Head, Ledger};

/// What was written, and what could not be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Exported {
    pub(super) count: u64,
    pub(super) damages: Vec<Damage>,
}

/// A punch with all that is known of it; names and forms as on the wire.
#[derive(Serialize)]
struct Line<'a> {
    terminal: &'a str,
    serial: &'a str,
    ledger: i64,
    seq: u64,
    id: PunchId,
    person: &'a str,
    local: DateTime,
    zone: &'a str,
    utc: Timestamp,
    clock: Clock,
    direction: &'a DirectionMark,
    verify: &'a VerifyMark,
    work_code: Option<&'a str>,
    origin: Origin,
    native: Option<&'a str>,
    flags: &'a [Flag],
    stored: Timestamp,
    prev: Head,
    head: Head,
}

/// The same in columns.
#[derive(Serialize)]
struct Row<'a> {
    terminal: &'a str,
    serial: &'a str,
    ledger: i64,
    seq: u64,
    id: PunchId,
    person: &'a str,
    local: DateTime,
    zone: &'a str,
    utc: Timestamp,
    skew_ms: Option<i64>,
    skew_err_ms: Option<i64>,
    direction: driver_api::Direction,
    direction_raw: Option<&'a Raw>,
    verify: driver_api::Verify,
    verify_raw: Option<&'a Raw>,
    work_code: Option<&'a str>,
    origin: Origin,
    native: Option<&'a str>,
    flags: String,
    stored: Timestamp,
    prev: Head,
    head: Head,
    clock_how: driver_api::ClockSource,
}

#[derive(Serialize)]
struct RawLine<'a> {
    terminal: &'a str,
    serial: &'a str,
    id: PunchId,
    reason: &'a str,
    /// Hex.
    raw: String,
}

pub(super) fn punches(
    punches: impl Iterator<Item = Result<(Arc<Ledger>, Entry), Damage>>,
    format: ExportFormat,
    to: &mut dyn Write,
) -> io::Result<Exported> {
    let mut writer = Writer::new(format, to);
    let mut exported = Exported::default();
    for punch in punches {
        match punch {
            Err(damage) => exported.damages.push(damage),
            Ok((ledger, entry)) => {
                exported.count += 1;
                match format {
                    ExportFormat::Jsonl => writer.write(&line(&ledger, &entry))?,
                    ExportFormat::Csv => writer.write(&row(&ledger, &entry))?,
                }
            }
        }
    }
    writer.flush()?;
    Ok(exported)
}

pub(super) fn raw_records(
    records: impl Iterator<Item = Result<RawRecord, Damage>>,
    format: ExportFormat,
    to: &mut dyn Write,
) -> io::Result<Exported> {
    let mut writer = Writer::new(format, to);
    let mut exported = Exported::default();
    for record in records {
        match record {
            Err(damage) => exported.damages.push(damage),
            Ok(RawRecord { ledger, id, reason, raw }) => {
                exported.count += 1;
                let (terminal, serial, raw) = (&*ledger.terminal, &*ledger.serial, HEXLOWER.encode(&raw));
                writer.write(&RawLine { terminal, serial, id, reason: &reason, raw })?;
            }
        }
    }
    writer.flush()?;
    Ok(exported)
}

/// As JSON lines whatever was asked for: they have no columns in common.
pub(super) fn marks(
    marks: impl Iterator<Item = Result<spool::Mark, Damage>>,
    to: &mut dyn Write,
) -> io::Result<Exported> {
    let mut writer = Writer::new(ExportFormat::Jsonl, to);
    let mut exported = Exported::default();
    for mark in marks {
        match mark {
            Err(damage) => exported.damages.push(damage),
            Ok(mark) => {
                exported.count += 1;
                writer.write(&mark)?;
            }
        }
    }
    writer.flush()?;
    Ok(exported)
}

fn line<'a>(ledger: &'a Ledger, entry: &'a Entry) -> Line<'a> {
    Line {
        terminal: &ledger.terminal,
        serial: &ledger.serial,
        ledger: ledger.begun,
        seq: entry.seq,
        id: entry.id,
        person: &entry.person,
        local: entry.local,
        zone: &entry.zone,
        utc: entry.utc,
        clock: entry.clock,
        direction: &entry.direction,
        verify: &entry.verify,
        work_code: entry.work_code.as_deref(),
        origin: entry.origin,
        native: entry.native.as_deref(),
        flags: &entry.flags,
        stored: entry.stored,
        prev: entry.prev,
        head: entry.head(),
    }
}

fn row<'a>(ledger: &'a Ledger, entry: &'a Entry) -> Row<'a> {
    let Mark { value: direction, raw: direction_raw } = &entry.direction;
    let Mark { value: verify, raw: verify_raw } = &entry.verify;
    let flags: Vec<String> =
        entry.flags.iter().filter_map(|flag| Some(serde_json::to_value(flag).ok()?.as_str()?.to_owned())).collect();
    Row {
        terminal: &ledger.terminal,
        serial: &ledger.serial,
        ledger: ledger.begun,
        seq: entry.seq,
        id: entry.id,
        person: &entry.person,
        local: entry.local,
        zone: &entry.zone,
        utc: entry.utc,
        skew_ms: entry.clock.skew_ms,
        skew_err_ms: entry.clock.err_ms,
        direction: *direction,
        direction_raw: direction_raw.as_ref(),
        verify: *verify,
        verify_raw: verify_raw.as_ref(),
        work_code: entry.work_code.as_deref(),
        origin: entry.origin,
        native: entry.native.as_deref(),
        flags: flags.join(" "),
        stored: entry.stored,
        prev: entry.prev,
        head: entry.head(),
        clock_how: entry.clock.how,
    }
}

/// One of the two forms.
enum Writer<'a> {
    Jsonl(&'a mut dyn Write),
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
}

impl<'a> Writer<'a> {
    fn new(format: ExportFormat, to: &'a mut dyn Write) -> Self {
        match format {
            ExportFormat::Jsonl => Self::Jsonl(to),
            ExportFormat::Csv => Self::Csv(Box::new(csv::Writer::from_writer(to))),
        }
    }

    fn write(&mut self, record: &impl Serialize) -> io::Result<()> {
        match self {
            Self::Jsonl(to) => {
                serde_json::to_writer(&mut *to, record)?;
                to.write_all(b"\n")
            }
            Self::Csv(writer) => writer.serialize(record).map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) => error,
                other => io::Error::other(format!("{other:?}")),
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Jsonl(to) => to.flush(),
            Self::Csv(writer) => writer.flush(),
        }
    }
}
