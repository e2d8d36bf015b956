//! Reading an audit log, and judging it; the daemon may run or not.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use serde::Serialize;

use super::Entry;

/// What became of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of the lines that are kept; older files go with time.
    pub first: u64,
    pub last: u64,
    /// The hash of the last one.
    pub head: String,
    pub faults: Vec<String>,
}

impl Report {
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }
}

/// The files of a log, oldest first.
pub(super) fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if path.extension().is_some_and(|extension| extension == "log") {
            files.extend(number.map(|number| (number, path)));
        }
    }
    files.sort();
    Ok(files)
}

pub(super) struct End {
    pub(super) last: Option<(u64, [u8; 32])>,
    /// Bytes of whole lines.
    pub(super) whole: u64,
}

/// Where a file's last whole line ends, and what it says.
pub(super) fn end_of(path: &Path) -> io::Result<End> {
    let mut reader = BufReader::new(fs::File::open(path)?);
    let (mut end, mut line, mut at) = (End { last: None, whole: 0 }, Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        at += line.len() as u64;
        if line.ends_with(b"\n")
            && let Some(entry) = parse(&line)
            && let Some(hash) = HEXLOWER.decode(entry.hash.as_bytes()).ok().and_then(|hash| hash.try_into().ok())
        {
            end = End { last: Some((entry.n, hash)), whole: at };
        }
        line.clear();
    }
    Ok(end)
}

fn parse(line: &[u8]) -> Option<Entry> {
    let entry: Entry = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    // As it was written, and not only something that means the same.
    (serde_json::to_vec(&entry).ok()?[..] == line[..line.len() - 1]).then_some(entry)
}

/// The lines below a state folder, oldest first; one that cannot be read is an error, and reading goes on behind it.
pub fn entries(state_dir: &Path) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
    let files = match files(&state_dir.join("audit")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
        files => files?,
    };
    Ok(files.into_iter().flat_map(|(_, path)| {
        let read = |path: &Path| -> io::Result<Vec<io::Result<Entry>>> {
            let bytes = fs::read(path)?;
            let lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bad = |line: usize| io::Error::other(format!("{name} line {}: it is no entry", line + 1));
            Ok(lines.map(|(number, line)| parse(line).ok_or_else(|| bad(number))).collect())
        };
        read(&path).unwrap_or_else(|error| vec![Err(error)])
    }))
}

/// Recomputes the whole chain.
pub fn verify(state_dir: &Path) -> io::Result<Report> {
    let mut report = Report::default();
    let mut before: Option<(u64, [u8; 32])> = None;
    for entry in entries(state_dir)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                report.faults.push(error.to_string());
                continue;
            }
        };
        let kept = || HEXLOWER.decode(entry.prev.as_bytes()).ok().and_then(|prev| prev.try_into().ok());
        match before {
            Some((n, _)) if entry.n != n + 1 => {
                report.faults.push(format!("between entries {n} and {} something is missing", entry.n));
            }
            None if entry.n == 1 && entry.prev != HEXLOWER.encode(&[0; 32]) => {
                report.faults.push("the first entry is not the first".into());
            }
            _ => {}
        }
        let prev = before.map(|(_, hash)| hash).or_else(kept).unwrap_or_default();
        if !entry.follows(&prev) {
            report.faults.push(format!("entry {} was changed, or what stood before it", entry.n));
        }
        if report.first == 0 {
            report.first = entry.n;
        }
        let hash = HEXLOWER.decode(entry.hash.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
        before = Some((entry.n, hash.unwrap_or_default()));
        (report.last, report.head) = (entry.n, entry.hash);
    }
    Ok(report)
}
