//! The lines of an export, as punches again. What was changed in them is noticed as far as it can be: the id must come out the
//! same, the head of the chain, and the instant; what stands in none of them is taken as it is (`docs/proof.md`).

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use driver_api::{Clock, ClockSource, Direction, Flag, Mark, Origin, Punch, PunchId, Raw, Verify};
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use serde::Deserialize;

use super::chain::{Chains, Link, comes_out, head};
use crate::{spool, wire};

/// The longest line, in bytes: a punch's texts are 8 KiB at most.
const LINE: u64 = 64 << 10;
/// So many equal punches in one second are tried before a line is called changed.
const EQUAL: u32 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImportFormat {
    Jsonl,
    Csv,
}

/// A good line.
pub(super) struct Line {
    pub(super) terminal: String,
    pub(super) serial: String,
    pub(super) punch: Punch,
    pub(super) link: Link,
}

/// A line that cannot be imported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// From 1, as an editor counts.
    pub(super) number: u64,
    pub(super) why: String,
    pub(super) mend: &'static str,
}

pub(super) const EXPORTED: &str = "import what punchgate journal export has written, unchanged";
const CHANGED: &str = "export it again: a spreadsheet that makes 7 of 007, or another date of a date, changes a punch";

/// What both formats have.
struct Fields {
    terminal: String,
    serial: String,
    id: String,
    person: String,
    local: String,
    zone: String,
    utc: String,
    clock: Clock,
    place: Place,
    direction: Direction,
    verify: Verify,
    /// Each as it may have been meant: CSV cannot tell a number from a text, nor nothing from an empty one.
    direction_raw: Vec<Option<Raw>>,
    verify_raw: Vec<Option<Raw>>,
    native: Vec<Option<String>>,
    work_code: Option<String>,
    flags: Result<Vec<Flag>, String>,
}

/// Where it stood in its ledger.
struct Place {
    ledger: i64,
    seq: u64,
    prev: String,
    head: String,
}

#[derive(Deserialize)]
struct JsonLine {
    terminal: String,
    serial: String,
    ledger: i64,
    seq: u64,
    id: String,
    person: String,
    local: String,
    zone: String,
    utc: String,
    clock: Clock,
    direction: Mark<Direction>,
    verify: Mark<Verify>,
    work_code: Option<String>,
    native: Option<String>,
    flags: Vec<Flag>,
    prev: String,
    head: String,
}

#[derive(Deserialize)]
struct CsvRow {
    terminal: String,
    serial: String,
    ledger: i64,
    seq: u64,
    id: String,
    person: String,
    local: String,
    zone: String,
    utc: String,
    skew_ms: Option<i64>,
    skew_err_ms: Option<i64>,
    clock_how: Option<ClockSource>,
    direction: Direction,
    direction_raw: String,
    verify: Verify,
    verify_raw: String,
    work_code: Option<String>,
    native: String,
    flags: String,
    prev: String,
    head: String,
}

/// A file, line by line. An outer error ends it: the file itself cannot be read.
pub(super) struct Lines {
    source: Source,
    chains: Chains,
}

enum Source {
    Jsonl(BufReader<File>, u64),
    Csv(Box<csv::DeserializeRecordsIntoIter<File, CsvRow>>),
    Ended,
}

impl Lines {
    pub(super) fn new(from: File, format: ImportFormat) -> io::Result<Self> {
        if !from.metadata()?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        let source = match format {
            ImportFormat::Jsonl => {
                let mut from = BufReader::new(from);
                // As some editors put one there; the reader of CSV takes it away itself.
                if from.fill_buf()?.starts_with(MARK) {
                    from.consume(MARK.len());
                }
                Source::Jsonl(from, 0)
            }
            ImportFormat::Csv => {
                let mut reader = csv::Reader::from_reader(from);
                // Now, so that lines are counted from behind the head.
                reader.headers().map_err(|error| io::Error::other(error.to_string()))?;
                Source::Csv(Box::new(reader.into_deserialize()))
            }
        };
        Ok(Self { source, chains: Chains::default() })
    }
}

/// A byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A line, and its number.
type Numbered = (u64, Result<Line, Wrong>);

impl Source {
    fn next_json(from: &mut BufReader<File>, number: &mut u64) -> Option<io::Result<Numbered>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            *number += 1;
            match io::Read::take(&mut *from, LINE).read_until(b'\n', &mut line) {
                Err(error) => return Some(Err(error)),
                Ok(0) => return None,
                Ok(_) => {}
            }
            if line.len() as u64 == LINE && !line.ends_with(b"\n") {
                // The rest of it is as little a punch; it must not be read as a line of its own.
                if let Err(error) = skip_line(from) {
                    return Some(Err(error));
                }
                let why = format!("it is longer than {LINE} bytes");
                return Some(Ok((*number, Err((why, EXPORTED)))));
            }
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        let parsed = serde_json::from_slice::<JsonLine>(&line).map_err(|error| (error.to_string(), EXPORTED));
        Some(Ok((*number, parsed.and_then(|line| punch(line.into())))))
    }

    fn next_csv(rows: &mut csv::DeserializeRecordsIntoIter<File, CsvRow>) -> Option<io::Result<Numbered>> {
        let before = rows.reader().position().line();
        let row = match rows.next()? {
            Ok(row) => Ok(row),
            Err(error) => {
                let number = error.position().map_or(before, csv::Position::line);
                match error.into_kind() {
                    csv::ErrorKind::Io(error) => return Some(Err(error)),
                    csv::ErrorKind::Deserialize { err, .. } => Err((number, err.to_string())),
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        Err((number, format!("it has {len} columns, and the head has {expected_len}")))
                    }
                    other => Err((number, format!("{other:?}"))),
                }
            }
        };
        Some(Ok(match row {
            Ok(row) => (before, punch(row.into())),
            Err((number, why)) => (number, Err((why, EXPORTED))),
        }))
    }
}

fn skip_line(from: &mut BufReader<File>) -> io::Result<()> {
    loop {
        let held = from.fill_buf()?;
        if held.is_empty() {
            return Ok(());
        }
        let end = held.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(held.len(), |end| end + 1);
        from.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

impl Iterator for Lines {
    type Item = io::Result<Result<Line, BadLine>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.source {
            Source::Jsonl(from, number) => Source::next_json(from, number),
            Source::Csv(rows) => Source::next_csv(rows),
            Source::Ended => None,
        };
        if matches!(next, None | Some(Err(_))) {
            self.source = Source::Ended;
        }
        Some(next?.map(|(number, line)| {
            let line = line.and_then(|line| self.chains.follow(&line).map(|()| line));
            line.map_err(|(why, mend)| BadLine { number, why, mend })
        }))
    }
}

impl From<JsonLine> for Fields {
    fn from(line: JsonLine) -> Self {
        let JsonLine { terminal, serial, id, person, local, zone, utc, clock, work_code, flags, .. } = line;
        let place = Place { ledger: line.ledger, seq: line.seq, prev: line.prev, head: line.head };
        let (direction, verify, flags) = (line.direction.value, line.verify.value, Ok(flags));
        let (direction_raw, verify_raw, native) = (vec![line.direction.raw], vec![line.verify.raw], vec![line.native]);
        Self {
            terminal,
            serial,
            id,
            person,
            local,
            zone,
            utc,
            clock,
            place,
            direction,
            verify,
            direction_raw,
            verify_raw,
            native,
            work_code,
            flags,
        }
    }
}

impl From<CsvRow> for Fields {
    fn from(row: CsvRow) -> Self {
        let CsvRow { terminal, serial, id, person, local, zone, utc, direction, verify, work_code, .. } = row;
        let place = Place { ledger: row.ledger, seq: row.seq, prev: row.prev, head: row.head };
        let how = match (row.clock_how, row.skew_ms) {
            (Some(how), _) => how,
            // Files without that column: of an early version.
            (None, Some(_)) => ClockSource::Probed,
            (None, None) => ClockSource::Unknown,
        };
        let clock = Clock { skew_ms: row.skew_ms, err_ms: row.skew_err_ms, how };
        let (direction_raw, verify_raw) = (meant(&row.direction_raw), meant(&row.verify_raw));
        let native = if row.native.is_empty() { vec![None, Some(String::new())] } else { vec![Some(row.native)] };
        let flags = row.flags.split_whitespace().map(|flag| {
            serde_json::from_value(flag.into()).map_err(|_| format!("{flag:?} is no flag of this version"))
        });
        let flags = flags.collect();
        Self {
            terminal,
            serial,
            id,
            person,
            local,
            zone,
            utc,
            clock,
            place,
            direction,
            verify,
            direction_raw,
            verify_raw,
            native,
            work_code,
            flags,
        }
    }
}

/// What a cell with a code may stand for.
fn meant(cell: &str) -> Vec<Option<Raw>> {
    let text = Some(Raw::Text(cell.to_owned()));
    match cell.parse::<i64>() {
        _ if cell.is_empty() => vec![None, text],
        Ok(number) if number.to_string() == cell => vec![Some(Raw::Number(number)), text],
        _ => vec![text],
    }
}

pub(super) type Wrong = (String, &'static str);

fn punch(fields: Fields) -> Result<Line, Wrong> {
    let Fields { terminal, serial, id, person, local, clock, direction, verify, work_code, flags, .. } = fields;
    if !wire::is_id(&terminal) {
        return Err((format!("terminal {terminal:?} is not 1 to 40 of a-z, 0-9 and -"), EXPORTED));
    }
    let flags = flags.map_err(|why| (why, EXPORTED))?;
    let id = PunchId::parse(&id).ok_or_else(|| (format!("{id:?} is no punch id"), EXPORTED))?;
    let local: DateTime =
        local.parse().map_err(|_| (format!("{local:?} is no wall time such as 2026-11-20T08:58:31"), CHANGED))?;
    let zone = self::zone(&fields.zone)
        .ok_or_else(|| (format!("{:?} is no time zone that this machine knows", fields.zone), "install tzdata"))?;
    let utc: Timestamp = fields.utc.parse().map_err(|_| (format!("{:?} is no instant", fields.utc), CHANGED))?;
    let is = spool::instant(local, &zone).0;
    if is != utc {
        return Err((
            format!(
                "{local} in its zone {} is {is}, and its utc says {utc}: one of the three was changed",
                fields.zone
            ),
            "export it again; if nothing was changed, the two machines have different time zone data: update tzdata on both",
        ));
    }
    possible(clock)?;
    let Place { ledger, seq, prev, head: behind } = fields.place;
    let link = Link { ledger, seq, prev: head(&prev)?, head: head(&behind)? };
    let mut punch = Punch {
        person,
        local,
        zone: Some(zone),
        direction: Mark { value: direction, raw: None },
        verify: Mark { value: verify, raw: None },
        work_code,
        native: None,
        nth: 1,
        origin: Origin::Import,
        clock,
        flags,
    };
    // Which of several equal punches of one second it is stands nowhere but in its id.
    for nth in 1..=EQUAL {
        punch.nth = nth;
        for direction in &fields.direction_raw {
            for verify in &fields.verify_raw {
                for native in &fields.native {
                    (punch.direction.raw, punch.verify.raw) = (direction.clone(), verify.clone());
                    punch.native.clone_from(native);
                    if PunchId::of(&serial, &punch) == id {
                        if !comes_out(&link, id, &punch) {
                            let why = "the head of its chain does not come out: its seq, prev or head was changed";
                            return Err((why.into(), EXPORTED));
                        }
                        return Ok(Line { terminal, serial, punch, link });
                    }
                }
            }
        }
    }
    Err((format!("its id {id} is not that of a punch with these fields: one of them was changed"), CHANGED))
}

/// More milliseconds than lie between the ends of the calendar.
const CALENDAR: i64 = 20_000 * 366 * 86_400_000;

/// Whether a clock can ever have been measured so.
fn possible(clock: Clock) -> Result<(), Wrong> {
    let Clock { skew_ms, err_ms, how } = clock;
    let why = match () {
        () if skew_ms.is_some_and(|skew| !(-CALENDAR..=CALENDAR).contains(&skew)) => "no clock can be so far off",
        () if err_ms.is_some_and(|err| !(0..=CALENDAR).contains(&err)) => "no error can be so large, or below 0",
        () if skew_ms.is_none() && err_ms.is_some() => "there is an error of what was not measured",
        () if skew_ms.is_some() && how == ClockSource::Unknown => "what was measured was measured somehow",
        () => return Ok(()),
    };
    let told = |ms: Option<i64>| ms.map_or_else(|| "nothing".into(), |ms| format!("{ms} ms"));
    Err((format!("its clock was off by {}, give or take {}: {why}", told(skew_ms), told(err_ms)), EXPORTED))
}

/// As exported: an IANA name or an offset.
fn zone(name: &str) -> Option<TimeZone> {
    if let Ok(zone) = TimeZone::get(name) {
        return Some(zone);
    }
    let (sign, rest) = match name.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    let known = (0..26).contains(&hours) && (0..60).contains(&minutes);
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok().filter(|_| known).map(TimeZone::fixed)
}
