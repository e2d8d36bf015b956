//! The files: a line a change, what is counted, and the evidence.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::Value;
use tracing::warn;

use super::{Incident, book::OpenTimes};

/// Lines that wait for a disk that takes none; the oldest give way.
const WAITING: usize = 1000;
/// A log of this many bytes is written anew at the start, if most of its lines are of former states.
const LONG: u64 = 1 << 20;

pub(super) struct Log {
    dir: PathBuf,
    file: File,
    waiting: Vec<Vec<u8>>,
    /// How much of the last line is there is not known.
    broken: bool,
    /// The folder knows the file's name for sure.
    named: bool,
}

fn dir(state_dir: &Path) -> PathBuf {
    state_dir.join("incidents")
}

fn lines_of(dir: &Path) -> PathBuf {
    dir.join("log.jsonl")
}

fn open_file(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

/// Each incident as it was last, by number; the daemon may run or not.
pub fn history(state_dir: &Path) -> io::Result<BTreeMap<u64, Incident>> {
    read(&lines_of(&dir(state_dir))).map(|read| read.0)
}

/// What was found out about one in its first minute.
pub fn evidence(state_dir: &Path, number: u64) -> io::Result<Option<Value>> {
    match fs::read(dir(state_dir).join(format!("evidence/{number}.json"))) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Each incident as it was last; whole lines in bytes; how many lines.
fn read(path: &Path) -> io::Result<(BTreeMap<u64, Incident>, u64, usize)> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((BTreeMap::new(), 0, 0)),
        file => file?,
    };
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    let (mut kept, mut at, mut whole, mut count) = (BTreeMap::new(), 0, 0, 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        at += line.len() as u64;
        // A line that is damaged, or of a newer version, is left where it is.
        if line.ends_with(b"\n") {
            whole = at;
            count += 1;
            if let Ok(incident) = serde_json::from_slice::<Incident>(&line) {
                kept.insert(incident.number, incident);
            }
        }
        line.clear();
    }
    Ok((kept, whole, count))
}

pub(super) fn open_times(state_dir: &Path) -> OpenTimes {
    let bytes = fs::read(dir(state_dir).join("open.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Writes a file so that there is never half of it; not synced, which a crash of ours does not need.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    fs::rename(&fresh, path)
}

impl Log {
    pub(super) fn open(state_dir: &Path) -> io::Result<(Self, BTreeMap<u64, Incident>)> {
        let dir = dir(state_dir);
        fs::create_dir_all(dir.join("evidence"))?;
        let path = lines_of(&dir);
        let (kept, whole, lines) = read(&path)?;
        if whole > LONG && lines > kept.len() * 2 {
            let mut fresh = Vec::new();
            for incident in kept.values() {
                serde_json::to_writer(&mut fresh, incident)?;
                fresh.push(b'\n');
            }
            write_whole(&path, &fresh)?;
        }
        let file = open_file(&path)?;
        if whole <= LONG && file.metadata()?.len() > whole {
            // What a crash left of the last line.
            file.set_len(whole)?;
        }
        // A start has no time for the disk: nothing is synced before the first line, and then the folder is too.
        Ok((Self { dir, file, waiting: Vec::new(), broken: false, named: false }, kept))
    }

    /// Adds lines, with those that wait. What the disk does not take waits for the next time.
    pub(super) fn append<'a>(&mut self, incidents: impl Iterator<Item = &'a Incident>) {
        for incident in incidents {
            let mut line = serde_json::to_vec(incident).expect("plain texts and numbers, into memory");
            line.push(b'\n');
            if self.waiting.len() == WAITING {
                self.waiting.remove(0);
            }
            self.waiting.push(line);
        }
        if self.waiting.is_empty() {
            return;
        }
        if let Err(error) = self.write() {
            if !self.broken {
                warn!(%error, "incidents could not be written down, and wait");
            }
            self.broken = true;
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.broken {
            let path = lines_of(&self.dir);
            let whole = read(&path)?.1;
            self.file = open_file(&path)?;
            self.file.set_len(whole)?;
        }
        self.file.write_all(&self.waiting.concat())?;
        self.file.sync_data()?;
        if !self.named {
            File::open(&self.dir)?.sync_all()?;
            self.named = true;
        }
        self.waiting.clear();
        self.broken = false;
        Ok(())
    }

    pub(super) fn save_times<'a>(&self, open: impl Iterator<Item = &'a Incident>, now: Timestamp) -> io::Result<()> {
        let open = open.map(|incident| (incident.number, incident.open_s)).collect();
        write_whole(&self.dir.join("open.json"), &serde_json::to_vec(&OpenTimes { at: Some(now), open })?)
    }

    pub(super) fn evidence(&self, number: u64) -> PathBuf {
        self.dir.join(format!("evidence/{number}.json"))
    }
}
