//! The lines of an export, as punches again. Whatever was changed in them is noticed: the id must come out the same.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use driver_api::{Clock, ClockSource, Direction, Flag, Mark, Origin, Punch, PunchId, Raw, Verify};
use jiff::{
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use serde::Deserialize;

use crate::wire;

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
}

/// A line that cannot be imported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// From 1, as an editor counts.
    pub(super) number: u64,
    pub(super) why: String,
    pub(super) mend: &'static str,
}

const EXPORTED: &str = "import what punchgate journal export has written, unchanged";
const CHANGED: &str = "export it again: a spreadsheet that makes 7 of 007, or another date of a date, changes a punch";

/// What both formats have.
struct Fields {
    terminal: String,
    serial: String,
    id: String,
    person: String,
    local: String,
    zone: String,
    clock: Clock,
    direction: Direction,
    verify: Verify,
    /// Each as it may have been meant: CSV cannot tell a number from a text, nor nothing from an empty one.
    direction_raw: Vec<Option<Raw>>,
    verify_raw: Vec<Option<Raw>>,
    native: Vec<Option<String>>,
    work_code: Option<String>,
    flags: Result<Vec<Flag>, String>,
}

#[derive(Deserialize)]
struct JsonLine {
    terminal: String,
    serial: String,
    id: String,
    person: String,
    local: String,
    zone: String,
    clock: Clock,
    direction: Mark<Direction>,
    verify: Mark<Verify>,
    work_code: Option<String>,
    native: Option<String>,
    flags: Vec<Flag>,
}

#[derive(Deserialize)]
pub(super) struct CsvRow {
    terminal: String,
    serial: String,
    id: String,
    person: String,
    local: String,
    zone: String,
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
}

/// A file, line by line. An outer error ends it: the file itself cannot be read.
pub(super) enum Lines {
    Jsonl(BufReader<File>, u64),
    Csv(Box<csv::DeserializeRecordsIntoIter<File, CsvRow>>),
    Ended,
}

impl Lines {
    pub(super) fn new(from: File, format: ImportFormat) -> io::Result<Self> {
        if !from.metadata()?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        Ok(match format {
            ImportFormat::Jsonl => Self::Jsonl(BufReader::new(from), 0),
            ImportFormat::Csv => {
                let mut reader = csv::Reader::from_reader(from);
                // Now, so that lines are counted from behind the head.
                reader.headers().map_err(|error| io::Error::other(error.to_string()))?;
                Self::Csv(Box::new(reader.into_deserialize()))
            }
        })
    }

    fn next_json(from: &mut BufReader<File>, number: &mut u64) -> Option<io::Result<Result<Line, BadLine>>> {
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
                return Some(Ok(Err(BadLine { number: *number, why, mend: EXPORTED })));
            }
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        let parsed = serde_json::from_slice::<JsonLine>(&line).map_err(|error| (error.to_string(), EXPORTED));
        Some(Ok(parsed.and_then(|line| punch(line.into())).map_err(|(why, mend)| BadLine {
            number: *number,
            why,
            mend,
        })))
    }

    fn next_csv(rows: &mut csv::DeserializeRecordsIntoIter<File, CsvRow>) -> Option<io::Result<Result<Line, BadLine>>> {
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
            Ok(row) => punch(row.into()).map_err(|(why, mend)| BadLine { number: before, why, mend }),
            Err((number, why)) => Err(BadLine { number, why, mend: EXPORTED }),
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
        let next = match self {
            Self::Jsonl(from, number) => Self::next_json(from, number),
            Self::Csv(rows) => Self::next_csv(rows),
            Self::Ended => None,
        };
        if matches!(next, None | Some(Err(_))) {
            *self = Self::Ended;
        }
        next
    }
}

impl From<JsonLine> for Fields {
    fn from(line: JsonLine) -> Self {
        let JsonLine { terminal, serial, id, person, local, zone, clock, work_code, flags, .. } = line;
        let (direction, verify, flags) = (line.direction.value, line.verify.value, Ok(flags));
        let (direction_raw, verify_raw, native) = (vec![line.direction.raw], vec![line.verify.raw], vec![line.native]);
        Self {
            terminal,
            serial,
            id,
            person,
            local,
            zone,
            clock,
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
        let CsvRow { terminal, serial, id, person, local, zone, direction, verify, work_code, .. } = row;
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
            clock,
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

type Wrong = (String, &'static str);

fn punch(fields: Fields) -> Result<Line, Wrong> {
    let Fields { terminal, serial, id, person, local, zone, clock, direction, verify, work_code, flags, .. } = fields;
    if !wire::is_id(&terminal) {
        return Err((format!("terminal {terminal:?} is not 1 to 40 of a-z, 0-9 and -"), EXPORTED));
    }
    let flags = flags.map_err(|why| (why, EXPORTED))?;
    let id = PunchId::parse(&id).ok_or_else(|| (format!("{id:?} is no punch id"), EXPORTED))?;
    let local: DateTime =
        local.parse().map_err(|_| (format!("{local:?} is no wall time such as 2026-11-20T08:58:31"), CHANGED))?;
    let zone = self::zone(&zone)
        .ok_or_else(|| (format!("{zone:?} is no time zone that this machine knows"), "install tzdata"))?;
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
                        return Ok(Line { terminal, serial, punch });
                    }
                }
            }
        }
    }
    Err((format!("its id {id} is not that of a punch with these fields: one of them was changed"), CHANGED))
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
