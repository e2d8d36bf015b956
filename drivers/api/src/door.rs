//! The door itself: what a driver holds of the gateway while it runs.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, watch};

use crate::{Batch, Frame, Holdings, Job, NotStored, Punch, Report, Stored, Stranger, Trouble, Way};

/// What stands behind the door: the gateway, or [`fake::Gateway`](crate::fake::FakeGateway) in tests of drivers.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// Makes a batch durable. See [`Store::put`].
    async fn put(&self, terminal: &str, serial: &str, batch: Batch) -> Result<Stored, NotStored>;
    async fn load_cursor(&self, terminal: &str, serial: &str) -> Option<Vec<u8>>;
    async fn save_cursor(&self, terminal: &str, serial: &str, cursor: Vec<u8>) -> Result<(), NotStored>;
    async fn holdings(&self, terminal: &str, serial: &str) -> Holdings;
    /// See [`Store::remember`]. A gateway that stores nothing has nothing to remember.
    async fn remember(&self, _serial: &str, _key: &str, _body: Vec<u8>) -> Result<(), NotStored> {
        Ok(())
    }
    /// See [`Store::remembered`].
    async fn remembered(&self, _serial: &str, _key: &str) -> Result<Option<Vec<u8>>, NotStored> {
        Ok(None)
    }
    /// See [`Store::newest`].
    async fn newest(&self, _terminal: &str, _serial: &str) -> Option<Punch> {
        None
    }
    /// See [`Terminal::booked_under`].
    async fn booked_under(&self, terminal: &str) -> Option<String>;
    fn report(&self, terminal: &str, report: Report);
    /// Somebody unknown asks to be served. See [`Link::stranger`].
    fn stranger(&self, _stranger: Stranger) {}
    /// Whether somebody traces this terminal. Asked for every frame, so it must cost nothing while nobody does.
    fn is_traced(&self, _terminal: &str) -> bool {
        false
    }
    /// A frame of a terminal that is traced.
    fn frame(&self, _terminal: &str, _frame: Frame) {}
    /// Whether the gateway's own clock may be believed and given to others.
    fn clock_trusted(&self) -> bool;
}

/// A driver's side of the door, for one run of one line.
pub struct Link {
    gateway: Arc<dyn Gateway>,
    terminals: Vec<Terminal>,
    jobs: Mutex<mpsc::Receiver<Job>>,
    closing: watch::Receiver<bool>,
}

/// The gateway's side of a [`Link`].
pub struct LinkParts {
    pub jobs: mpsc::Sender<Job>,
    /// Send `true` and the driver leaves.
    pub closing: watch::Sender<bool>,
}

impl Link {
    /// A link for a line with these terminals.
    pub fn new(gateway: Arc<dyn Gateway>, terminals: &[String]) -> (Self, LinkParts) {
        let (jobs, next_job) = mpsc::channel(16);
        let (closing, closed) = watch::channel(false);
        let terminals =
            terminals.iter().map(|name| Terminal { name: name.as_str().into(), gateway: gateway.clone() }).collect();
        (Self { gateway, terminals, jobs: Mutex::new(next_job), closing: closed }, LinkParts { jobs, closing })
    }

    /// The handles of the line's terminals, in the order of [`Line::terminals`](crate::Line::terminals).
    pub fn terminals(&self) -> &[Terminal] {
        &self.terminals
    }

    /// The handle of one terminal of the line.
    pub fn terminal(&self, name: &str) -> Option<&Terminal> {
        self.terminals.iter().find(|terminal| terminal.name() == name)
    }

    /// Waits for something to do at one of the terminals. Safe to drop in a `select!`.
    pub async fn next_job(&self) -> Job {
        match self.jobs.lock().await.recv().await {
            Some(job) => job,
            None => std::future::pending().await, // the gateway is leaving; closing() tells
        }
    }

    /// Returns when it is time to leave. Safe to drop in a `select!`, and returns at once from then on.
    pub async fn closing(&self) {
        let mut closing = self.closing.clone();
        // An error means that the gateway's side is gone, which is closing too.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// Tells of somebody whom the config does not know. Drivers say it seldom for each, and of a bounded number.
    pub fn stranger(&self, stranger: Stranger) {
        self.gateway.stranger(stranger);
    }

    /// Whether the gateway's own clock may be believed. While it may not, do not set a terminal's clock by it.
    pub fn clock_trusted(&self) -> bool {
        self.gateway.clock_trusted()
    }
}

/// One terminal as its driver sees it: who it is by config, and where its news go. Cheap to clone.
#[derive(Clone)]
pub struct Terminal {
    name: Arc<str>,
    gateway: Arc<dyn Gateway>,
}

impl Terminal {
    /// `terminal.name` of the config.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store for this terminal's punches, once its serial number is known. The serial is part of every punch's id, so
    /// it must be the terminal's own wherever there is one; another serial begins another ledger.
    pub fn store(&self, serial: &str) -> Store {
        Store { terminal: self.clone(), serial: serial.into() }
    }

    /// The serial number that its latest punches on disk are booked under.
    pub async fn booked_under(&self) -> Option<String> {
        self.gateway.booked_under(&self.name).await
    }

    /// What stands against booking its punches under `serial`, which was asked for just now. One answer that was damaged on its
    /// way would give every punch of its log a second id.
    ///
    /// `is_stand_in`: it told no serial number, none is configured, and this is something else that it is known by.
    pub async fn objection(&self, serial: &str, is_stand_in: bool) -> Option<Objection> {
        match self.booked_under().await {
            Some(before) if before == serial => None,
            // What has no more than its name may turn out to have a hardware address.
            Some(before) if is_stand_in && before != self.name() => Some(Objection::Forgotten { before }),
            _ => Some(Objection::Unconfirmed),
        }
    }

    /// Tells something learnt of it.
    pub fn report(&self, report: Report) {
        self.gateway.report(&self.name, report);
    }

    /// It serves us now.
    pub fn online(&self) {
        self.report(Report::Online);
    }

    /// It does not serve us any more, while its line goes on for others; why, in words.
    pub fn offline(&self, why: impl Into<String>) {
        self.report(Report::Offline { why: why.into() });
    }

    /// It showed a sign of life.
    pub fn seen(&self) {
        self.report(Report::Seen);
    }

    /// Something is wrong with it, until [`Terminal::relief`]. Saying it again is harmless.
    pub fn trouble(&self, trouble: Trouble, cause: impl Into<String>) {
        self.report(Report::Trouble { trouble, cause: cause.into() });
    }

    /// A frame of so many bytes went over its wire. What it is is put into words only while somebody traces it: its kind
    /// and its numbers, never a person's number, name or card, never a key or a password.
    pub fn frame(&self, way: Way, bytes: u64, what: impl FnOnce() -> String) {
        if self.gateway.is_traced(&self.name) {
            let frame = Frame { at: jiff::Timestamp::now(), way, bytes, what: what() };
            self.gateway.frame(&self.name, frame);
        }
    }

    /// That is over, or was never so.
    pub fn relief(&self, trouble: Trouble) {
        self.report(Report::Relief(trouble));
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Terminal").field(&self.name).finish()
    }
}

/// Why a serial number is not to be believed yet. See [`Terminal::objection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// Nothing is booked under it. It is so when it is told [`CONFIRMATIONS`] more times.
    Unconfirmed,
    /// It told this one before, and none now. When it goes on to tell none, it may be another terminal: nobody but a person
    /// knows.
    Forgotten { before: String },
}

/// So many more times an unknown serial number must be told.
pub const CONFIRMATIONS: u32 = 2;

impl Objection {
    /// What is wrong when no answer differed, in words; `None` when nothing is.
    pub fn stands(&self) -> Option<String> {
        match self {
            Self::Unconfirmed => None,
            Self::Forgotten { before } => {
                Some(format!("it told the serial number {before:?} before, and tells none now"))
            }
        }
    }
}

/// Where the punches of one terminal go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    terminal: Terminal,
    serial: Arc<str>,
}

impl Store {
    /// Makes a batch durable: when this returns `Ok`, all of it is on disk (or was already), and only then may the terminal
    /// forget it. On an error nothing may be acknowledged; some of the batch may be on disk all the same, which does no
    /// harm when it comes again.
    ///
    /// Batches of any size are taken; some hundreds of punches at a time are kind to memory.
    pub async fn put(&self, batch: impl Into<Batch> + Send) -> Result<Stored, NotStored> {
        self.terminal.gateway.put(&self.terminal.name, &self.serial, batch.into()).await
    }

    /// What this driver last saved for this terminal and serial. It may be older than the last save (after a power cut), and
    /// `None` at any time: it saves work, and nothing may depend on it.
    pub async fn load_cursor(&self) -> Option<Vec<u8>> {
        self.terminal.gateway.load_cursor(&self.terminal.name, &self.serial).await
    }

    /// Saves a few bytes. Save after the punches that they speak of are stored, never before.
    pub async fn save_cursor(&self, cursor: Vec<u8>) -> Result<(), NotStored> {
        self.terminal.gateway.save_cursor(&self.terminal.name, &self.serial, cursor).await
    }

    /// Remembers a few kilobytes for this serial, as durably as a punch; they take the place of what was remembered under the
    /// key before. For what ids depend on and no terminal tells again.
    pub async fn remember(&self, key: &str, body: Vec<u8>) -> Result<(), NotStored> {
        self.terminal.gateway.remember(&self.serial, key, body).await
    }

    /// What was remembered under this key. An error says nothing of whether there is something.
    pub async fn remembered(&self, key: &str) -> Result<Option<Vec<u8>>, NotStored> {
        self.terminal.gateway.remembered(&self.serial, key).await
    }

    /// What the ledger of this terminal and serial holds.
    pub async fn holdings(&self) -> Holdings {
        self.terminal.gateway.holdings(&self.terminal.name, &self.serial).await
    }

    /// The punch of this terminal and serial that became durable last, as it was handed over (but for its zone). Unlike a cursor
    /// it is never older than a crash. It is looked up on the disk: ask once, at the start, and only when it is needed.
    pub async fn newest(&self) -> Option<Punch> {
        self.terminal.gateway.newest(&self.terminal.name, &self.serial).await
    }

    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    pub fn serial(&self) -> &str {
        &self.serial
    }
}
