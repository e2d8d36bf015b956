//! The spool: the durable buffer between terminals and cloud.
//!
//! # Constraints
//! * A terminal may forget a punch when [`Spool::commit`] has returned `Ok`, which it does after the fdatasync of the
//!   group that holds the punch, and at no other time. No other function makes punches durable.
//! * Our disk may forget a punch when every destination has confirmed it and its retention is over, never before. What is
//!   left then is its id, so that a twin is known for ever.
//! * The journal is the truth. The index (sled) holds what is looked up, and can be lost at any time.
//! * Opening does not read the backlog. Memory does not grow with it either.
//! * What the disk refuses is refused to the terminal. There is no fall-back to memory.
//!
//! # What lies where, in `state_dir`
//! ```text
//! journal/00000001.seg   groups of records; the newest one is being written          segment.rs, group.rs, record.rs
//! journal/00000001.ids   what is left of a segment that was delivered long ago       retention.rs
//! journal/lock           held while open; which store this is; was it closed?        lock.rs
//! journal/repair-under-way   what a repair has begun, until all of it is done        repair/order.rs
//! index/                 sled: ids seen, ledgers, confirmed ranges, cursors          index.rs
//! quarantine/            bytes cut off or unreadable, indexes set aside: never deleted by us
//! ```
//!
//! # What is flushed when
//! | what | when |
//! |---|---|
//! | punches, records set aside, notes, new ledgers | one write and one fdatasync for all who wait, then they are answered |
//! | name of a segment | directory synced before its first group counts |
//! | confirmations | with the next group, or after a second in one of their own |
//! | index | two seconds or 16,384 ids after what it lacks became durable; synced only on a clean close |
//!
//! # What a crash leaves behind
//! | crash | left | at the next start |
//! |---|---|---|
//! | kill -9 | journal whole or with a torn last group; index whole, some seconds old | the journal's end is read from where the index stops; a torn group is cut off |
//! | power cut | the same journal; an index that may be anything (sled does not sync) | told by the boot id in the lock file: the index is set aside unread and built from the journal |
//! | in a roll | a segment without groups | it is used, or set aside when not even its header is whole |
//! | in a repair | nothing but unfinished files, or all of it written down | they are removed, or it is finished |
//! | in a retirement | a stub without its name, or both stub and segment | the first is removed, or the second where the stub tells of all that is in it (stub.rs) |
//! | after a disk error | a segment with bytes behind its last durable group | as a torn group |
//! | on a full disk | as above, and no room for an index or for what is torn | opened without an index, refusing punches, until there is room |
//! | a copy restored | numbers that somebody may know for other punches | told by the lock file, by its birth, its times or its words: every terminal begins a new ledger |
//! | files renamed, or gone from the end of a store that was closed | segments in wrong places; fewer groups than the lock file knows | they go back to their places (places.rs); no ledger whose end may be gone is used again |
//!
//! Bytes that are cut off or that fail their checksum go to `quarantine/` first. A torn last group and a last group that was
//! damaged later look alike, so its whole records are kept as long as they follow each other, or as the index or the lock
//! file tells that they were durable: at worst a punch is durable that nobody was told of, and comes again as a twin. Damage
//! with whole groups behind it costs the records it hit and no others; the numbers that are missing are recorded in the
//! journal as lost (losses.rs), told by [`verify`] and in the status, and never used again. [`repair`] makes such a journal
//! whole again, with the damaged files set aside.

mod board;
mod catalogue;
mod codes;
mod committer;
#[cfg(feature = "decoders")]
pub mod decoders;
mod delivery;
mod disk;
mod doubt;
mod draft;
mod ending;
mod export;
mod group;
mod history;
mod identity;
mod index;
mod index_copy;
mod intake;
mod journal;
mod lock;
mod look;
mod losses;
mod mend;
mod note;
mod outbox;
mod places;
mod proof;
mod ranges;
mod recent;
mod record;
mod recovery;
mod reindex;
mod repair;
mod replay;
mod retention;
mod scanner;
mod scrub;
mod seen;
mod segment;
mod silence;
mod snapshot;
mod stand;
mod status;
mod stub;
#[cfg(test)]
mod tests;
mod trace;
mod upkeep;
mod verify;
mod walk;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use driver_api::{Batch, Holdings, NotStored, Stored};
use jiff::tz::TimeZone;
use tokio::sync::{broadcast, oneshot, watch};

use self::{
    board::Board,
    committer::{Committer, Request},
    disk::{Disk, RealDisk},
    draft::Commit,
};
pub use self::{
    board::Committed,
    export::{Export, Exported, Mark, RawRecord, export},
    history::{History, Sample, TerminalHistory, history},
    intake::instants,
    note::{Note, NoteKind},
    outbox::SpoolOutbox,
    proof::{Doubtful, LedgerProof, Proof, prove},
    recent::Filter,
    recovery::OpenError,
    repair::{RepairError, RepairLoss, RepairReport, Rewritten, repair},
    silence::{punch_hours, silence, zones},
    snapshot::{Held, JournalCopy, JournalFile, RESTORE_UNFINISHED, hold, is_in_use, mark_restored, snapshot},
    status::{CommitTimes, Finding, FindingKind, LedgerStatus, OpenLoss, Queue, SpoolStatus, SpoolTrouble},
    trace::trace,
    verify::{Fault, LedgerReport, Missing, Recorded, Verdict, VerifyReport, verify},
};
use crate::{
    inquiry::Standing,
    ledger::{Entry, Ledger},
};

/// Where punches are kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// `gateway.state_dir`; the journal lies in `journal/`, the index in `index/`.
    pub state_dir: PathBuf,
    pub tenant: String,
    pub gateway: String,
    /// How long a delivered punch is kept for replay.
    pub retention: Duration,
    /// Punches are refused while less than this is free on the disk, in bytes.
    pub min_free_bytes: u64,
    /// How large a file of the journal grows; delivered punches go by whole files.
    pub segment_bytes: u64,
}

impl SpoolSettings {
    pub const SEGMENT_BYTES: u64 = 8 << 20;
}

/// An open store. Cheap to clone. The last one dropped without [`Spool::close`] leaves the store as a crash would.
#[derive(Clone)]
pub struct Spool {
    open: Arc<Open>,
}

struct Open {
    board: Arc<Board>,
    retention: Duration,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// Dropped when the thread is to end.
    retiring: Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>,
}

/// Punches that one request to the committer holds at most, and their bytes.
const PART_PUNCHES: usize = 2048;
const PART_BYTES: usize = 256 << 10;
/// Segments are retired so often, or oftener where punches are kept for less.
const RETIRE_EVERY: Duration = Duration::from_secs(3600);
const RETIRE_PAUSE: Duration = Duration::from_secs(1);

impl Spool {
    /// Opens the store, or makes it. Blocks on the disk; how long does not depend on the backlog, except after a power cut
    /// or a damaged index, when the journal is read once.
    pub fn open(settings: &SpoolSettings) -> Result<Self, OpenError> {
        Self::open_on(settings, Arc::new(RealDisk), settings.segment_bytes)
    }

    fn open_on(settings: &SpoolSettings, disk: Arc<dyn Disk>, segment_bytes: u64) -> Result<Self, OpenError> {
        let (board, committer) =
            recovery::open(settings, disk, segment_bytes).map_err(|error| error.named(&settings.state_dir))?;
        let failed = |source| OpenError::Disk { path: settings.state_dir.clone(), source };
        let committer = spawn("spool-commit", move || Committer::run(committer)).map_err(failed)?;
        let (stop, stopped) = mpsc::channel();
        let (kept, retention) = (board.clone(), settings.retention);
        let every = retention.clamp(RETIRE_PAUSE, RETIRE_EVERY);
        let retiring = spawn("spool-retire", move || {
            let mut scrub_at = Instant::now() + scrub::AFTER_START;
            let pause = |scrub_at: Instant| every.min(scrub_at.saturating_duration_since(Instant::now()));
            while stopped.recv_timeout(pause(scrub_at)) == Err(mpsc::RecvTimeoutError::Timeout) {
                if Instant::now() >= scrub_at {
                    scrub_at = Instant::now() + scrub::EVERY;
                    scrub::scrub(&kept);
                }
                if let Err(error) = retention::retire(&kept, retention) {
                    tracing::warn!(%error, "delivered segments could not be retired");
                }
            }
        });
        let retiring = Mutex::new(Some((stop, retiring.map_err(failed)?)));
        let committer = Mutex::new(Some(committer));
        Ok(Self { open: Arc::new(Open { board, retention: settings.retention, committer, retiring }) })
    }

    /// Makes a batch durable: `Ok` says that all of it is on disk, or was already. After an error some of it may be on disk
    /// all the same, which does no harm when it comes again. When this is dropped while it waits, either may be so.
    ///
    /// `serial` is the terminal's own: another serial begins another ledger. `zone` is that of punches which tell none.
    pub async fn commit(
        &self,
        terminal: &str,
        serial: &str,
        zone: &TimeZone,
        batch: Batch,
    ) -> Result<Stored, NotStored> {
        let since = Instant::now();
        let mut stored = Stored::default();
        for batch in parts(batch) {
            let (answer, answered) = oneshot::channel();
            let (terminal, serial, zone) = (terminal.to_owned(), serial.to_owned(), zone.clone());
            let commit = Box::new(Commit { terminal, serial, zone, batch, since, answer });
            self.open.board.requests.send(Request::Commit(commit)).map_err(|_| NotStored::Closed)?;
            let part = answered.await.map_err(|_| NotStored::Closed)??;
            stored.new += part.new;
            stored.twins += part.twins;
            stored.set_aside += part.set_aside;
        }
        Ok(stored)
    }

    /// Makes a note durable, as punches are made durable: `Ok` says that it is on disk. It takes the place of the one before
    /// it under the same kind and key.
    pub async fn note(&self, kind: NoteKind, key: &str, body: Vec<u8>) -> Result<(), NotStored> {
        note::note(&self.open.board, kind, key, body).await
    }

    /// The newest note under a key. An error says nothing of whether there is one.
    pub fn noted(&self, kind: NoteKind, key: &str) -> Result<Option<Note>, NotStored> {
        note::find(&self.open.board, kind, key)
    }

    /// The newest note under each key.
    pub async fn notes(&self, kind: NoteKind) -> Result<Vec<Note>, NotStored> {
        note::all_elsewhere(self.open.board.clone(), kind).await
    }

    /// Returns when the committer has taken this from its queue: it is alive. `false`: it has ended.
    pub async fn is_alive(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.open.board.requests.send(Request::Ping(answer)).is_ok() && answered.await.is_ok()
    }

    /// The outbox of a destination, which is known from now on: nothing is retired that it has not confirmed. A second
    /// outbox of the same destination hands out what the first one has not confirmed.
    pub fn outbox(&self, destination: &str) -> SpoolOutbox {
        SpoolOutbox::new(self.open.board.clone(), destination)
    }

    /// A destination is given up: nothing waits for it any more.
    pub fn give_up(&self, destination: &str) {
        self.open.board.give_up(destination);
    }

    pub fn holdings(&self, terminal: &str, serial: &str) -> Holdings {
        let board = &self.open.board;
        let catalogue = board.catalogue();
        let ledgers = catalogue.of_source(&board.tenant, &board.gateway, terminal, serial);
        Holdings {
            punches: ledgers.iter().map(|state| state.punches()).sum(),
            set_aside: ledgers.iter().map(|state| state.set_aside).sum(),
            latest: ledgers.iter().filter_map(|state| state.latest).max().and_then(intake::from_wall_seconds),
        }
    }

    /// The serial number of the ledger with a terminal's newest punches.
    pub fn booked_under(&self, terminal: &str) -> Option<String> {
        let board = &self.open.board;
        let catalogue = board.catalogue();
        catalogue.newest(&board.tenant, &board.gateway, terminal).map(|state| state.ledger.serial.clone())
    }

    /// What a driver last saved; it may be older, or gone.
    pub fn load_cursor(&self, terminal: &str, serial: &str) -> Option<Vec<u8>> {
        let index = self.open.board.index.read().unwrap_or_else(PoisonError::into_inner);
        index.as_ref()?.cursor(&cursor_key(terminal, serial)).ok()?
    }

    pub fn save_cursor(&self, terminal: &str, serial: &str, cursor: &[u8]) -> Result<(), NotStored> {
        let index = self.open.board.index.read().unwrap_or_else(PoisonError::into_inner);
        let index = index.as_ref().ok_or(NotStored::Closed)?;
        index
            .set_cursor(&cursor_key(terminal, serial), cursor)
            .map_err(|error| NotStored::DiskFailed(error.to_string()))
    }

    /// The newest punches that pass a filter, newest first.
    pub async fn recent(&self, filter: Filter) -> io::Result<Vec<(Arc<Ledger>, Entry)>> {
        let board = self.open.board.clone();
        tokio::task::spawn_blocking(move || recent::recent(&board, &filter)).await.map_err(io::Error::other)?
    }

    /// Punches from now on, as they become durable. Who falls behind misses some, and is told.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.open.board.committed.subscribe()
    }

    /// A person knows of the numbers that this terminal, or any, has lost: nothing is wrong with them any more, and they
    /// stay missing for ever. Tells how many they were.
    pub async fn acknowledge(&self, terminal: Option<&str>) -> Result<u64, NotStored> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Acknowledge(terminal.map(str::to_owned), answer);
        self.open.board.requests.send(request).map_err(|_| NotStored::Closed)?;
        answered.await.map_err(|_| NotStored::Closed)?
    }

    /// A person knows that this store is a copy, or was put back from a backup: it is no finding any more.
    pub fn restored_is_known(&self) {
        self.open.board.gauges().findings.retain(|finding| finding.kind != FindingKind::Restored);
    }

    /// A terminal, or without a name the gateway, came into this state: for whoever asks later why a punch is not here.
    pub fn stands(&self, terminal: &str, standing: Standing) {
        // A committer that has ended notes nothing any more.
        let _ = self.open.board.requests.send(Request::Standing(terminal.to_owned(), standing));
    }

    /// Looks at the disk: not for the hot path.
    pub fn status(&self) -> SpoolStatus {
        status::of(&self.open.board)
    }

    /// What is wrong now; cheap.
    pub fn troubles(&self) -> Vec<SpoolTrouble> {
        self.open.board.gauges().troubles.clone()
    }

    /// What was found wrong since the start; cheap.
    pub fn findings(&self) -> Vec<Finding> {
        self.open.board.gauges().findings.clone()
    }

    /// Changes whenever a trouble begins or ends or something is found.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.open.board.changes.subscribe()
    }

    /// Retires what is due now, and tells how many segments that were. It also happens by itself, each hour at least.
    pub async fn retire(&self) -> io::Result<usize> {
        let (board, retention) = (self.open.board.clone(), self.open.retention);
        tokio::task::spawn_blocking(move || retention::retire(&board, retention)).await.map_err(io::Error::other)?
    }

    /// Writes everything down, marks the store as closed, and gives it free. Commits from now on are refused.
    pub async fn close(self) {
        let (answer, answered) = oneshot::channel();
        if self.open.board.requests.send(Request::Close(answer)).is_ok() {
            // An error means that the committer has ended already.
            let _ = answered.await;
        }
        let open = self.open.clone();
        // Joins threads that may be in the middle of a read.
        let _ = tokio::task::spawn_blocking(move || open.end()).await;
    }
}

impl Open {
    fn end(&self) {
        // It has ended already after a close.
        let _ = self.board.requests.send(Request::Abandon);
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let retiring = self.retiring.lock().unwrap_or_else(PoisonError::into_inner).take();
        for thread in committer.into_iter().chain(retiring.map(|(_, thread)| thread)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the spool had panicked");
            }
        }
        // sled's files are free for the next one who opens.
        *self.board.index.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(work)
}

fn cursor_key(terminal: &str, serial: &str) -> String {
    format!("{terminal}\0{serial}")
}

/// Cuts a batch into parts that fit a group; an empty one is one part.
fn parts(batch: Batch) -> impl Iterator<Item = Batch> {
    let Batch { punches, set_aside, former } = batch;
    let (mut punches, mut asides) = (punches.into_iter().peekable(), set_aside.into_iter().peekable());
    let mut first = true;
    std::iter::from_fn(move || {
        let (mut part, mut bytes) = (Batch::default(), 0);
        while part.punches.len() < PART_PUNCHES && bytes < PART_BYTES {
            let Some(punch) = punches.next() else { break };
            bytes += intake::weight(&punch);
            if let Some(names) = former.get(&punch.person) {
                part.former.entry(punch.person.clone()).or_insert_with(|| names.clone());
            }
            part.punches.push(punch);
        }
        while part.set_aside.len() < PART_PUNCHES && bytes < PART_BYTES && punches.peek().is_none() {
            let Some(aside) = asides.next() else { break };
            bytes += aside.raw.len().min(driver_api::SetAside::LIMIT) + aside.reason.len() + 64;
            part.set_aside.push(aside);
        }
        let some = first || !part.punches.is_empty() || !part.set_aside.is_empty();
        first = false;
        some.then_some(part)
    })
}
