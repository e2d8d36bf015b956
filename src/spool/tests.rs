//! What the tests of the whole spool share.

mod asking;
mod damage;
mod delivery;
mod faults;
mod given;
mod model;
mod notes;
mod opening;
mod repair;
mod telling;
mod unread;

use std::{
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use driver_api::{Batch, Clock, Direction, Mark, Origin, Punch, Raw, Stored, Verify};
use jiff::{civil::date, tz::TimeZone};
use tempfile::TempDir;

use super::{Entry, Exported, Spool, SpoolSettings, disk::faulty::FaultyDisk, export, verify};
use crate::ledger::{Ledger, Segment};

/// Small, so that segments roll.
const SEGMENT: u64 = 16 << 10;

struct House {
    dir: TempDir,
    disk: FaultyDisk,
    retention: Duration,
    segment_bytes: u64,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, disk: FaultyDisk::default(), retention: Duration::ZERO, segment_bytes: SEGMENT }
    }

    fn settings(&self) -> SpoolSettings {
        SpoolSettings {
            state_dir: self.dir.path().join("state"),
            tenant: "acme".into(),
            gateway: "sz-03".into(),
            retention: self.retention,
            min_free_bytes: 1 << 20,
            segment_bytes: self.segment_bytes,
        }
    }

    fn open(&self) -> Spool {
        let late = Instant::now() + Duration::from_secs(10);
        loop {
            match self.try_open() {
                // Another test that starts a program holds every lock of this process too, until that program runs.
                Err(super::OpenError::InUse(_)) if Instant::now() < late => {
                    std::thread::sleep(Duration::from_millis(10))
                }
                opened => return opened.unwrap(),
            }
        }
    }

    fn try_open(&self) -> Result<Spool, super::OpenError> {
        Spool::open_on(&self.settings(), Arc::new(self.disk.clone()), self.segment_bytes)
    }

    fn state_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    /// The persons of a terminal's punches as they stand in the journal, after a look at all of it.
    fn persons(&self, terminal: &str) -> Vec<String> {
        let report = verify(&self.state_dir()).unwrap();
        assert!(report.is_whole(), "{report:?}");
        persons(&self.state_dir(), terminal)
    }

    /// Files in the quarantine.
    fn quarantined(&self) -> Vec<String> {
        let Ok(dir) = std::fs::read_dir(self.state_dir().join("quarantine")) else { return Vec::new() };
        let mut names: Vec<_> = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn persons(state_dir: &Path, terminal: &str) -> Vec<String> {
    exported(state_dir).filter(|(ledger, _)| ledger.terminal == terminal).map(|(_, entry)| entry.person).collect()
}

/// Has the lock file of a closed store say something else, as an earlier version would: so that this is no copy written over it.
fn say(state_dir: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = state_dir.join("journal/lock");
    let mut content = serde_json::from_str(std::fs::read_to_string(&path).unwrap().trim()).unwrap();
    change(&mut content);
    content.as_object_mut().unwrap().remove("changed");
    std::fs::write(path, format!("{:<255}\n", content.to_string())).unwrap();
}

/// The punches of a store, as its export gives them.
fn exported(state_dir: &Path) -> impl Iterator<Item = (Arc<Ledger>, Entry)> {
    export(state_dir).unwrap().filter_map(|one| match one.unwrap() {
        Exported::Punch(ledger, entry) => Some((ledger, entry)),
        Exported::SetAside(_) | Exported::Mark(_) | Exported::Damage(_) => None,
    })
}

fn punch(n: u32, origin: Origin) -> Punch {
    Punch {
        person: n.to_string(),
        local: date(2026, 11, 20).at(8, 0, 0, 0) + jiff::SignedDuration::from_secs(i64::from(n) * 7),
        zone: None,
        direction: Mark { value: Direction::In, raw: Some(Raw::Number(0)) },
        verify: Mark { value: Verify::Face, raw: Some(Raw::Number(15)) },
        work_code: None,
        native: None,
        nth: 1,
        origin,
        clock: Clock::UNKNOWN,
        flags: Vec::new(),
    }
}

fn live(numbers: impl IntoIterator<Item = u32>) -> Batch {
    numbers.into_iter().map(|n| punch(n, Origin::Live)).collect::<Vec<_>>().into()
}

fn log(numbers: impl IntoIterator<Item = u32>) -> Batch {
    numbers.into_iter().map(|n| punch(n, Origin::Backfill)).collect::<Vec<_>>().into()
}

fn zone() -> TimeZone {
    TimeZone::get("Asia/Shanghai").unwrap()
}

async fn put(spool: &Spool, terminal: &str, batch: Batch) -> Stored {
    within(spool.commit(terminal, &format!("SN-{terminal}"), &zone(), batch)).await.unwrap()
}

/// Every wait has a limit.
async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("waited 30 s in vain")
}

/// All that an outbox hands out, which is so many punches. However busy the machine is, it waits until they have come; a
/// moment longer shows what should not have come.
async fn drain(outbox: &mut super::SpoolOutbox, punches: usize) -> Vec<Segment> {
    use crate::outbox::Outbox;
    let (mut all, mut came) = (Vec::new(), 0);
    while came < punches {
        let segment: Segment = within(outbox.next()).await;
        came += segment.entries.len();
        all.push(segment);
    }
    while let Ok(segment) = tokio::time::timeout(Duration::from_millis(50), outbox.next()).await {
        all.push(segment);
    }
    all
}

/// Punches that the first destination has not confirmed.
fn undelivered(spool: &Spool) -> usize {
    spool.status().queues[0].undelivered as usize
}

/// Retires until so many segments are retired: the outbox must have passed what it confirmed, and some go by themselves.
async fn until_retired(house: &House, spool: &Spool, outbox: &mut super::SpoolOutbox, segments: usize) {
    within(async {
        loop {
            spool.retire().await.unwrap();
            if verify(&house.state_dir()).unwrap().retired_segments >= segments {
                return;
            }
            drain(outbox, 0).await;
        }
    })
    .await;
}

fn numbers(segments: &[Segment], terminal: &str) -> Vec<u64> {
    let mine = segments.iter().filter(|segment| segment.ledger.terminal == terminal);
    mine.flat_map(|segment| segment.entries.iter().map(|entry| entry.seq)).collect()
}

fn ledger_of(segments: &[Segment]) -> Arc<Ledger> {
    segments[0].ledger.clone()
}
