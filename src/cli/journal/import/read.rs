//! The lines of an export, as punches again. What was changed in them is noticed as far as it can be: the id must come out the
//! same, the head of the chain, and the instant; what stands in none of them is taken as it is (`docs/proof.md`).

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use driver_api::{Clock, ClockSource, Direction, Flag, Mark, Raw, Verify};
use serde::Deserialize;

use super::{
    chain::Chains,
    fields::{EXPORTED, Fields, Line, Place, Wrong, punch},
};

/// The longest line, in bytes: a punch's texts are 8 KiB at most.
const LINE: u64 = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImportFormat {
    Jsonl,
    Csv,
}

/// A line that cannot be imported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// From 1, as an editor counts.
    pub(super) number: u64,
    pub(super) why: String,
    pub(super) mend: &'static str,
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
