//! From the bytes of an upload to what is stored: punches, and what could not become one, raw and with its reason.

use driver_api::{Batch, Clock, ClockSource, Flag, Occurrences, Origin, Punch, SetAside};
use encoding_rs::Encoding;
use jiff::{Timestamp, ToSpan, civil::DateTime, tz::TimeZone};

use crate::{
    attlog,
    codes::{self, VerifyTable},
    lines::lines,
    mask::masked,
    name,
    rtlog::{self, Verdict},
    runs::Runs,
    skew,
    tabledata::without_table,
    when,
};

/// How this terminal's bytes are to be read, at this moment.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub table: VerifyTable,
    pub fallback: &'static Encoding,
    pub zone: TimeZone,
    pub now: Timestamp,
}

/// What one piece of an upload holds.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub batch: Batch,
    /// Lines that are not empty: all of them are taken, whatever became of them.
    pub lines: usize,
    /// Records that could not become a punch. A long one is kept in several pieces.
    pub aside: usize,
    /// Lines that are no punch and whose meaning is known.
    pub others: usize,
}

/// Lines of ATTLOG.
pub(crate) fn attendance(piece: &[u8], runs: &mut Runs, reading: &Reading) -> Taken {
    let mut taken = Taken::default();
    for line in lines(piece) {
        taken.lines += 1;
        match attlog::entry(line) {
            Ok(entry) => taken.batch.punches.push(Punch {
                person: name::decode(entry.pin, reading.fallback),
                local: entry.local,
                zone: entry.zone(),
                direction: codes::direction(codes::raw(entry.status)),
                verify: codes::verify(codes::raw(entry.verify), reading.table),
                work_code: work_code(entry.work_code),
                native: None,
                nth: runs.nth(entry.local, entry.pin, entry.status, entry.verify),
                origin: Origin::Backfill,
                clock: Clock::UNKNOWN,
                flags: Vec::new(),
            }),
            Err(reason) => taken.set_aside(&masked(line), reason),
        }
    }
    taken.finish(reading)
}

/// Rows of `rtlog` and `transaction`.
pub(crate) fn events(piece: &[u8], table: &str, runs: &mut Runs, reading: &Reading) -> Taken {
    let mut taken = Taken::default();
    for row in lines(piece) {
        taken.lines += 1;
        let event = rtlog::event(without_table(row, table));
        match event.verdict() {
            Verdict::Punch { pin, local, index } => taken.batch.punches.push(Punch {
                person: name::decode(pin, reading.fallback),
                local,
                zone: None,
                direction: codes::passage(codes::raw(event.passage)),
                verify: codes::verify(codes::raw(event.verify), VerifyTable::Newer),
                work_code: None,
                native: index.map(str::to_owned),
                // The index tells it from all others: the same index at the same second is the same event.
                nth: if index.is_some() { 1 } else { runs.nth(local, pin, event.passage, event.verify) },
                origin: Origin::Backfill,
                clock: Clock::UNKNOWN,
                flags: Vec::new(),
            }),
            Verdict::NoPunch => taken.others += 1,
            Verdict::Aside(reason) => taken.set_aside(&masked(row), reason),
        }
    }
    taken.finish(reading)
}

impl Taken {
    /// A whole body that nobody here understands.
    pub(crate) fn raw(body: &[u8], reason: &str) -> Self {
        let mut taken = Self::default();
        if !body.is_empty() {
            taken.lines = 1;
            taken.set_aside(&masked(body), reason);
        }
        taken
    }

    /// A whole body of packed records, without which nobody can ever unpack one of them: nothing is struck out, unless it is
    /// plain text after all.
    pub(crate) fn packed(body: &[u8], reason: &str) -> Self {
        let text = |byte: &u8| !byte.is_ascii_control() || matches!(byte, b'\t' | b'\r' | b'\n');
        if body.is_empty() || std::str::from_utf8(body).is_ok() && body.iter().all(text) {
            return Self::raw(body, reason);
        }
        let mut taken = Self { lines: 1, ..Self::default() };
        taken.set_aside(body, reason);
        taken
    }

    /// Keeps something whole, in as many pieces as that takes.
    fn set_aside(&mut self, raw: &[u8], reason: &str) {
        self.aside += 1;
        let pieces = || raw.chunks(SetAside::LIMIT);
        let count = pieces().len();
        if count <= 1 {
            // Equal rubbish is kept once: it is there to be looked at, not to be counted.
            self.batch.set_aside.push(SetAside { raw: raw.to_vec(), reason: reason.to_owned(), nth: 1 });
            return;
        }
        // Not so the pieces of one record: without all of them, in their order, it is not whole.
        let mut equal = Occurrences::of(pieces());
        for (at, piece) in (1..).zip(pieces()) {
            let reason = format!("{reason} (part {at} of {count})");
            self.batch.set_aside.push(SetAside { raw: piece.to_vec(), reason, nth: equal.nth(piece) });
        }
    }

    /// The latest time among the punches.
    pub(crate) fn newest(&self) -> Option<DateTime> {
        self.batch.punches.iter().map(|punch| punch.local).max()
    }

    fn finish(mut self, reading: &Reading) -> Self {
        let now = when::now_in(&reading.zone, reading.now);
        let tomorrow = now.checked_add(1.day()).unwrap_or(DateTime::MAX);
        // Few records that have just happened are live; all others were kept for us.
        let few = self.batch.punches.len() <= skew::LIVE;
        for punch in &mut self.batch.punches {
            if is_unset(punch.local) {
                punch.flags.push(Flag::ClockUnset);
            }
            if punch.local > tomorrow {
                punch.flags.push(Flag::Future);
            }
            if punch.nth > 1 {
                punch.flags.push(Flag::DuplicateSecond);
            }
            let zone = punch.zone.as_ref().unwrap_or(&reading.zone);
            let ahead = ahead(punch.local, zone, reading.now).filter(|ahead| few && ahead.abs() <= skew::JUST_NOW);
            if let Some(ahead) = ahead {
                punch.origin = Origin::Live;
                punch.clock = Clock { skew_ms: Some(ahead), err_ms: Some(skew::ERROR), how: ClockSource::Arrival };
            }
        }
        self
    }
}

/// Whether a date is that of a clock which was never set.
pub(crate) fn is_unset(local: DateTime) -> bool {
    local.year() <= 2000
}

/// How far a wall time lies ahead of our time, in milliseconds. In the hour that happens twice, when summer time ends, the
/// reading that is nearer is meant: otherwise every clock would be an hour off for that hour.
pub(crate) fn ahead(local: DateTime, zone: &TimeZone, now: Timestamp) -> Option<i64> {
    let reading = zone.to_ambiguous_timestamp(local);
    let readings = [reading.earlier(), reading.later()].into_iter().flatten();
    readings.map(|at| at.as_millisecond() - now.as_millisecond()).min_by_key(|ahead| ahead.abs())
}

fn work_code(field: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(field.trim_ascii());
    (!text.is_empty()).then(|| text.chars().take(32).collect())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_terminal_that_follows_its_zone_is_right_when_summer_time_ends_and_begins() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (now, local) in [
            ("2026-10-25T00:30:05Z", date(2026, 10, 25).at(2, 30, 0, 0)),
            ("2026-10-25T01:30:05Z", date(2026, 10, 25).at(2, 30, 0, 0)),
            ("2027-03-28T00:59:59Z", date(2027, 3, 28).at(1, 59, 54, 0)),
            ("2027-03-28T01:00:05Z", date(2027, 3, 28).at(3, 0, 0, 0)),
            ("2026-11-20T07:00:05Z", date(2026, 11, 20).at(8, 0, 0, 0)),
        ] {
            assert_eq!(ahead(local, &berlin, now.parse().unwrap()), Some(-5_000), "{now}");
        }
        // One that was not put back is off, whichever hour is meant.
        let now = "2026-10-25T02:10:00Z".parse().unwrap();
        assert_eq!(ahead(date(2026, 10, 25).at(4, 10, 0, 0), &berlin, now), Some(3_600_000));
    }
}
