//! Incidents: conditions with a number, a clock and people attached.
//!
//! A condition of a severity that has a target opens an incident, which ends with the condition. How long it is open is counted
//! by the clock that never jumps, and carried over a restart by what the wall clock says, as far as that goes forward. It is
//! escalated before its target is reached, and a breach is kept for ever.
//!
//! # What lies where, in `state_dir/incidents`
//! ```text
//! log.jsonl            one line a change: the whole incident as it is then; the last line of a number counts
//! open.json            each minute: how long the open ones have been open, and when that was
//! evidence/17.json     what was found out in the first minute of number 17
//! ```
//! Each line is on disk before anybody is told of it, as far as the disk takes it; the incident is told all the same where it
//! does not, and the line is written later.

mod book;
mod log;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use book::Book;
use log::Log;
pub use log::{evidence, history};

/// Who said that he looks after it, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledged {
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// The operator's name, or what was said on site.
    pub by: String,
    /// `command` from afar, signed; `local` at the gateway.
    pub how: String,
}

/// One incident. Times are by the gateway's clock as it was then; null is "not so far".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// From 1, never given twice on this store.
    pub number: u64,
    /// Of its condition.
    pub code: String,
    /// The terminal, broker or group it is about; null is the gateway itself.
    pub subject: Option<String>,
    /// `high`, `medium`, `low`
    pub severity: String,
    /// What happened, in the words of whoever saw it last.
    pub cause: String,
    /// Since when it is so.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first_seen: Timestamp,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub opened: Timestamp,
    /// When the broker had the message that tells of it.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub notified: Option<Timestamp>,
    pub acknowledged: Option<Acknowledged>,
    /// When it was escalated, before its target was reached.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub escalated: Option<Timestamp>,
    /// When its target had passed. It stays for ever.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub breached: Option<Timestamp>,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub resolved: Option<Timestamp>,
    /// In which time it should be resolved, in seconds.
    pub target_s: u64,
    /// How long it has been open, in seconds, whatever the clock said.
    pub open_s: u64,
    /// How often it came back within an hour and was opened again under its number.
    pub reopened: u32,
}

/// In which time incidents should be resolved; a severity without a target opens none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    pub high: Option<Duration>,
    pub medium: Option<Duration>,
    pub low: Option<Duration>,
}

impl Default for Targets {
    fn default() -> Self {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        Self { high: hours(1), medium: hours(24), low: None }
    }
}

/// A condition as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub code: &'static str,
    pub subject: Option<String>,
    pub severity: &'static str,
    pub since: Timestamp,
    pub cause: String,
}

/// What happened to an incident, for the log and for whoever gathers evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Opened,
    Reopened,
    Notified,
    Acknowledged,
    Escalated,
    Breached,
    Resolved,
}

/// Why an incident cannot be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAcknowledged {
    #[error("there is no open incident {0}")]
    NotOpen(u64),
    #[error("{by} has acknowledged it at {at}")]
    Already { by: String, at: Timestamp },
}

/// All incidents of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Incidents(Arc<Inner>);

struct Inner {
    desk: Mutex<Desk>,
    changed: watch::Sender<u64>,
}

struct Desk {
    state_dir: PathBuf,
    targets: Targets,
    /// None as long as the disk does not let them be read: then none is opened, since no number may be given twice.
    kept: Option<Kept>,
    /// Why not, and when it is tried again.
    trouble: Option<(String, Instant)>,
}

struct Kept {
    book: Book,
    log: Log,
    looked: Instant,
    saved: Instant,
}

/// How often it is written down how long they have been open.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// A disk that does not let them be read is tried again after so long.
const RETRY: Duration = Duration::from_secs(10);

impl Desk {
    /// Reads what a former run left, if that was not done yet.
    fn open(&mut self) -> io::Result<&mut Kept> {
        if self.kept.is_none() {
            let (log, kept) = Log::open(&self.state_dir)?;
            let open = log::open_times(&self.state_dir);
            let book = Book::of(kept, open, self.targets, Timestamp::now());
            let now = Instant::now();
            self.kept = Some(Kept { book, log, looked: now, saved: now });
        }
        self.kept.as_mut().ok_or_else(|| io::Error::other("the incidents are not read yet"))
    }
}

impl Incidents {
    /// Nothing is opened yet: that is done by the first look, and a gateway starts without it.
    pub fn new(state_dir: &Path, targets: Targets) -> Self {
        let desk = Desk { state_dir: state_dir.into(), targets, kept: None, trouble: None };
        Self(Arc::new(Inner { desk: Mutex::new(desk), changed: watch::channel(0).0 }))
    }

    /// Reads what a former run left. Blocks on the disk.
    pub fn open(&self) -> io::Result<()> {
        self.desk().open().map(drop)
    }

    /// Why they cannot be kept now, if so.
    pub fn trouble(&self) -> Option<String> {
        self.desk().trouble.as_ref().map(|(why, _)| why.clone())
    }

    /// Takes the conditions that are shown now, and lets time pass. Blocks on the disk. Tells what changed.
    pub fn look(&self, seen: &[Seen]) -> Vec<(Change, Incident)> {
        let mut desk = self.desk();
        let now = Instant::now();
        if desk.trouble.as_ref().is_some_and(|(_, again)| now < *again) {
            return vec![];
        }
        let kept = match desk.open() {
            Ok(kept) => kept,
            Err(error) => {
                desk.trouble = Some((error.to_string(), now + RETRY));
                return vec![];
            }
        };
        let passed = now.saturating_duration_since(kept.looked);
        kept.looked = now;
        let changes = kept.book.look(seen, Timestamp::now(), passed);
        if now.saturating_duration_since(kept.saved) >= SAVE_EVERY {
            kept.saved = now;
            // It costs a minute of counting at the next start, if anything.
            let _ = kept.log.save_times(kept.book.open(), Timestamp::now());
        }
        desk.trouble = None;
        self.written(desk, &changes);
        changes
    }

    /// The broker has the message that tells of these.
    pub fn notified(&self, code: &str) -> Vec<(Change, Incident)> {
        let mut desk = self.desk();
        let Some(kept) = &mut desk.kept else { return vec![] };
        let changes = kept.book.notified(code, Timestamp::now());
        self.written(desk, &changes);
        changes
    }

    /// Somebody looks after it. Blocks on the disk.
    pub fn acknowledge(&self, number: u64, by: &str, how: &str) -> Result<Incident, NotAcknowledged> {
        let mut desk = self.desk();
        let acknowledged = Acknowledged { at: Timestamp::now(), by: by.into(), how: how.into() };
        let kept = desk.kept.as_mut().ok_or(NotAcknowledged::NotOpen(number))?;
        let incident = kept.book.acknowledge(number, acknowledged)?;
        self.written(desk, &[(Change::Acknowledged, incident.clone())]);
        Ok(incident)
    }

    /// Those that are open, oldest first.
    pub fn open_now(&self) -> Vec<Incident> {
        self.desk().kept.iter().flat_map(|kept| kept.book.open()).cloned().collect()
    }

    /// Breaches since this store began.
    pub fn breaches(&self) -> u64 {
        self.desk().kept.as_ref().map_or(0, |kept| kept.book.breaches())
    }

    /// Keeps what was found out about one. Blocks on the disk.
    pub fn keep_evidence(&self, number: u64, evidence: &Value) -> io::Result<()> {
        let place = self.desk().open()?.log.evidence(number);
        log::write_whole(&place, &serde_json::to_vec_pretty(evidence)?)
    }

    /// Rises with every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    fn written(&self, mut desk: MutexGuard<'_, Desk>, changes: &[(Change, Incident)]) {
        if let Some(kept) = &mut desk.kept {
            kept.log.append(changes.iter().map(|(_, incident)| incident));
        }
        drop(desk);
        if !changes.is_empty() {
            self.0.changed.send_modify(|count| *count += 1);
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
