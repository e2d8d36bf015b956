//! The audit log: what was asked of this gateway from afar and on site, and what became of it, chained by hashes.
//!
//! Files of JSON lines in `state_dir/audit/`, appended to and never changed; each line is on disk before what it tells of is
//! done. `hash(n) = SHA-256(hash(n-1) || JCS({"at","data","kind","n"}))`, hashes enter as 32 bytes and are shown as 64 hex
//! digits, `hash(0)` is 32 zeros. Whoever changes or removes a line must forge all that follow, and the checkpoints that are
//! signed and sent away besides. While the disk fails nothing is added, and the next line opens the files anew.

mod read;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use read::{Report, entries, verify};

use crate::owner;

/// A new file is begun when one is so long, in bytes.
const FILE_BYTES: u64 = 1 << 20;
/// Whole files go when their last line is so old.
const KEPT: Duration = Duration::from_secs(180 * 86_400);

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// From 1, without gaps.
    pub n: u64,
    /// By our clock, as it was then.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// As in `command`, `outcome`, `refused`.
    pub kind: String,
    pub data: Value,
    /// The hash of the line before.
    pub prev: String,
    pub hash: String,
}

impl Entry {
    fn hash_of(prev: &[u8; 32], n: u64, at: Timestamp, kind: &str, data: &Value) -> [u8; 32] {
        // Names in order at every depth, texts and whole numbers only: serde_json writes it as RFC 8785 wants.
        let canonical = json!({ "at": at, "data": data, "kind": kind, "n": n }).to_string();
        Sha256::new_with_prefix(prev).chain_update(canonical).finalize().into()
    }

    /// Whether it is what was written, behind a line with this hash.
    fn follows(&self, prev: &[u8; 32]) -> bool {
        let hash = Self::hash_of(prev, self.n, self.at, &self.kind, &self.data);
        self.prev == HEXLOWER.encode(prev) && self.hash == HEXLOWER.encode(&hash)
    }
}

/// The newest lines, as they are sent away: the payload of an envelope on the topic `audit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Checkpoint")]
pub struct Checkpoint {
    pub v: u8,
    pub gateway: String,
    pub tenant: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Number of the first line in it, and of the last.
    pub first: u64,
    pub last: u64,
    /// The hash before the first line, and the one of the last.
    pub prev: String,
    pub head: String,
    pub entries: Vec<Entry>,
}

/// The log at work. Cheap to clone.
#[derive(Clone)]
pub struct Audit(Arc<Mutex<Desk>>);

struct Desk {
    dir: PathBuf,
    /// Nothing before the first line, and after a failure: how much of the last line is on disk is not known then.
    log: Option<Log>,
    /// What nobody has taken to send it away.
    fresh: Vec<Entry>,
    trouble: Option<Trouble>,
}

/// Why the last line could not be added, and how many are missing since.
#[derive(Debug, Clone)]
struct Trouble {
    why: String,
    since: Timestamp,
    missing: u64,
}

struct Log {
    dir: PathBuf,
    file: File,
    number: u64,
    bytes: u64,
    last: u64,
    head: [u8; 32],
}

impl Audit {
    /// The log in this folder, which is looked at when the first line is added: a disk that is full or broken keeps a
    /// gateway from its orders, never from its terminals.
    pub fn new(state_dir: &Path) -> Self {
        Self(Arc::new(Mutex::new(Desk { dir: state_dir.join("audit"), log: None, fresh: vec![], trouble: None })))
    }

    /// Adds a line; it is on disk when this returns. Blocks on the disk.
    pub fn append(&self, kind: &str, data: Value) -> io::Result<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append(kind, data)
    }

    /// The same from a task.
    pub async fn tell(&self, kind: &'static str, data: Value) -> io::Result<Entry> {
        let log = self.clone();
        tokio::task::spawn_blocking(move || log.append(kind, data)).await.map_err(io::Error::other)?
    }

    /// Why it cannot be written now, if so.
    pub fn trouble(&self) -> Option<String> {
        let desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |it: &Trouble| {
            format!("{}: {}; {} lines are missing since {}", desk.dir.display(), it.why, it.missing, it.since)
        };
        desk.trouble.as_ref().map(told)
    }

    /// Tries again what failed: a line that says how many are missing ends the trouble. Without one it does nothing. Blocks on
    /// the disk.
    pub fn retry(&self) {
        let mut desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The trouble stands as it was where it fails again: nothing more is missing by that.
        let _ = desk.after_gap();
    }

    /// Lines that are new since this was asked last; the newest thousand.
    pub fn take_fresh(&self) -> Vec<Entry> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).fresh)
    }
}

impl Desk {
    fn append(&mut self, kind: &str, data: Value) -> io::Result<Entry> {
        let added = self.after_gap().and_then(|()| self.add(kind, data));
        self.trouble = match &added {
            Ok(_) => None,
            Err(error) => {
                let (why, before) = (error.to_string(), self.trouble.take());
                let (since, missing) = before.map_or((Timestamp::now(), 0), |it| (it.since, it.missing));
                Some(Trouble { why, since, missing: missing + 1 })
            }
        };
        added
    }

    /// What is missing is told before anything that follows.
    fn after_gap(&mut self) -> io::Result<()> {
        if let Some(Trouble { why, since, missing }) = self.trouble.clone() {
            self.add("gap", json!({ "missing": missing, "since": since, "why": why }))?;
            self.trouble = None;
        }
        Ok(())
    }

    fn add(&mut self, kind: &str, data: Value) -> io::Result<Entry> {
        let mut log = match self.log.take() {
            Some(log) => log,
            None => {
                let (log, torn) = Log::open(&self.dir)?;
                self.fresh.extend(torn);
                log
            }
        };
        let entry = log.append(kind, data)?;
        self.log = Some(log);
        self.fresh.push(entry.clone());
        if self.fresh.len() > 1000 {
            self.fresh.remove(0);
        }
        Ok(entry)
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = File::options().append(true).create(true).mode(0o600).open(path)?;
    owner::give_all(path);
    Ok(file)
}

impl Log {
    /// Opens or makes it. Bytes behind the last whole line, which a crash left, are cut off, and that is told in the log.
    fn open(dir: &Path) -> io::Result<(Self, Option<Entry>)> {
        owner::create_dir(dir)?;
        let files = read::files(dir)?;
        let (number, place) = files.last().cloned().unwrap_or_else(|| (1, path(dir, 1)));
        let (mut last, mut head, mut whole) = (0, [0; 32], 0);
        // A file that was begun and holds no line yet goes on where the one before it ended.
        for (_, file) in files.iter().rev().take(2) {
            let found = read::end_of(file)?;
            if *file == place {
                whole = found.whole;
            }
            if let Some((n, hash)) = found.last {
                (last, head) = (n, hash);
                break;
            }
        }
        let file = open_file(&place)?;
        let length = file.metadata()?.len();
        let mut log = Self { dir: dir.into(), file, number, bytes: whole, last, head };
        if length > whole {
            log.file.set_len(whole)?;
        }
        log.file.sync_all()?;
        File::open(dir)?.sync_all()?;
        let torn = if length > whole { Some(log.append("torn", json!({ "bytes": length - whole }))?) } else { None };
        Ok((log, torn))
    }

    fn append(&mut self, kind: &str, data: Value) -> io::Result<Entry> {
        if self.bytes >= FILE_BYTES {
            self.roll()?;
        }
        let (n, at) = (self.last + 1, Timestamp::now());
        let hash = Entry::hash_of(&self.head, n, at, kind, &data);
        let (prev, hex) = (HEXLOWER.encode(&self.head), HEXLOWER.encode(&hash));
        let entry = Entry { n, at, kind: kind.into(), data, prev, hash: hex };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        (self.bytes, self.last, self.head) = (self.bytes + line.len() as u64, n, hash);
        Ok(entry)
    }

    fn roll(&mut self) -> io::Result<()> {
        let next = path(&self.dir, self.number + 1);
        self.file = open_file(&next)?;
        File::open(&self.dir)?.sync_all()?;
        (self.number, self.bytes) = (self.number + 1, 0);
        for (number, file) in read::files(&self.dir)? {
            let age =
                fs::metadata(&file)?.modified().map(|at| SystemTime::now().duration_since(at).unwrap_or_default())?;
            if number < self.number && age > KEPT {
                fs::remove_file(&file)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_stays_chained_over_a_crash_and_every_change_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(folder.path());
        for n in 1..=5 {
            assert_eq!(audit.append("command", json!({ "id": n, "z": {"b": 1, "a": [null, true]} })).unwrap().n, n);
        }
        let head = audit.take_fresh().pop().unwrap().hash;
        drop(audit);
        let report = verify(folder.path()).unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.first, report.last, report.head), (1, 5, head));

        let file = folder.path().join("audit/00000001.log");
        let good = fs::read(&file).unwrap();
        // Every change of a byte, but of the white space that is not there.
        for at in (0..good.len()).step_by(7) {
            let mut bent = good.clone();
            bent[at] ^= 1;
            fs::write(&file, bent).unwrap();
            assert!(!verify(folder.path()).unwrap().is_whole(), "byte {at}");
        }
        // A line taken out, in the middle or in front.
        let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
        fs::write(&file, [&lines[..2], &lines[3..]].concat().concat()).unwrap();
        assert!(!verify(folder.path()).unwrap().is_whole());

        // Torn by a crash: cut off, told, and the chain goes on.
        fs::write(&file, &good[..good.len() - 9]).unwrap();
        let audit = Audit::new(folder.path());
        audit.append("started", json!({})).unwrap();
        let kinds: Vec<String> = entries(folder.path()).unwrap().map(|entry| entry.unwrap().kind).collect();
        assert_eq!(kinds[4..], ["torn", "started"]);
        assert!(verify(folder.path()).unwrap().is_whole());
    }

    #[test]
    fn a_disk_that_fails_is_asked_again_with_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(folder.path());
        fs::write(folder.path().join("audit"), "a file where the folder should be").unwrap();
        assert_eq!(audit.trouble(), None);
        assert!(audit.append("started", json!({})).is_err() && audit.append("command", json!({})).is_err());
        audit.retry();
        let trouble = audit.trouble().unwrap();
        assert!(trouble.contains("2 lines are missing"), "{trouble}");
        fs::remove_file(folder.path().join("audit")).unwrap();
        audit.retry();
        audit.retry();
        assert_eq!((audit.trouble(), audit.append("command", json!({})).unwrap().n), (None, 2));
        let fresh = audit.take_fresh();
        assert_eq!((fresh[0].kind.as_str(), &fresh[0].data["missing"], fresh.len()), ("gap", &json!(2), 2));
        assert!(verify(folder.path()).unwrap().is_whole());
    }

    #[test]
    fn it_goes_on_in_a_new_file_when_one_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(folder.path());
        for _ in 0..25 {
            audit.append("command", json!({ "x": "x".repeat(100_000) })).unwrap();
        }
        drop(audit);
        assert!(fs::read_dir(folder.path().join("audit")).unwrap().count() > 1);
        assert_eq!(Audit::new(folder.path()).append("started", json!({})).unwrap().n, 26);
        assert!(verify(folder.path()).unwrap().is_whole());
    }
}
