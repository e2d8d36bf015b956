//! A gateway for tests of drivers: it stores in memory, and can be told to be slow or to fail.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Notify, time::timeout};

use crate::{Batch, Frame, Gateway, Holdings, NotStored, Punch, PunchId, Report, SetAside, Stored, Stranger};

/// Stands behind the door in tests. Clone it to look in while a driver runs.
#[derive(Clone, Default)]
pub struct FakeGateway(Arc<Inner>);

#[derive(Default)]
struct Inner {
    held: Mutex<Held>,
    changed: Notify,
    full: AtomicBool,
    traced: AtomicBool,
    clock_wrong: AtomicBool,
    cursors_lost: AtomicBool,
}

#[derive(Default)]
struct Held {
    ids: HashSet<PunchId>,
    punches: Vec<(String, Punch)>,
    set_aside: Vec<(String, SetAside)>,
    cursors: HashMap<(String, String), Vec<u8>>,
    /// By serial number and key.
    remembered: HashMap<(String, String), Vec<u8>>,
    /// Serial numbers, by terminal.
    booked_under: HashMap<String, String>,
    reports: Vec<(String, Report)>,
    strangers: Vec<Stranger>,
    frames: Vec<(String, Frame)>,
    twins: usize,
    puts: usize,
    refusals: usize,
    slow: Duration,
}

impl FakeGateway {
    /// The punches of one terminal, in the order in which they became durable.
    pub fn punches(&self, terminal: &str) -> Vec<Punch> {
        self.held().punches.iter().filter(|(name, _)| name == terminal).map(|(_, punch)| punch.clone()).collect()
    }

    pub fn set_aside(&self, terminal: &str) -> Vec<SetAside> {
        self.held().set_aside.iter().filter(|(name, _)| name == terminal).map(|(_, raw)| raw.clone()).collect()
    }

    pub fn reports(&self, terminal: &str) -> Vec<Report> {
        self.held().reports.iter().filter(|(name, _)| name == terminal).map(|(_, report)| report.clone()).collect()
    }

    /// As a gateway that was started anew.
    pub fn forget_reports(&self) {
        self.held().reports.clear();
    }

    /// Who asked to be served and was not in the config.
    pub fn strangers(&self) -> Vec<Stranger> {
        self.held().strangers.clone()
    }

    /// From now on every terminal is traced, or none.
    pub fn set_traced(&self, traced: bool) {
        self.0.traced.store(traced, Ordering::SeqCst);
    }

    /// What was told of a terminal's wire.
    pub fn frames(&self, terminal: &str) -> Vec<Frame> {
        self.held().frames.iter().filter(|(name, _)| name == terminal).map(|(_, frame)| frame.clone()).collect()
    }

    /// Twins dropped so far.
    pub fn twins(&self) -> usize {
        self.held().twins
    }

    /// Calls of `put` that were answered with `Ok`.
    pub fn puts(&self) -> usize {
        self.held().puts
    }

    /// Calls of `put` that were refused because the disk was full.
    pub fn refusals(&self) -> usize {
        self.held().refusals
    }

    /// From now on the disk is full, or has room again.
    pub fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    /// From now on each `put` takes so long.
    pub fn set_slow(&self, slow: Duration) {
        self.held().slow = slow;
    }

    /// From now on the gateway's clock is not to be believed.
    pub fn set_clock_wrong(&self, wrong: bool) {
        self.0.clock_wrong.store(wrong, Ordering::SeqCst);
    }

    /// From now on no cursor that is saved outlives a crash, as those of its last seconds.
    pub fn lose_cursors(&self) {
        self.0.cursors_lost.store(true, Ordering::SeqCst);
    }

    /// Waits until `wanted` holds, looked at after each change.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn until(&self, what: &str, limit: Duration, wanted: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let changed = self.0.changed.notified();
                if wanted(self) {
                    return;
                }
                // Beside changes of ours, `wanted` may look at a simulated terminal, which tells nobody.
                let _ = timeout(Duration::from_millis(20), changed).await;
            }
        };
        assert!(timeout(limit, waiting).await.is_ok(), "waited {limit:?} in vain: {what}");
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().expect("no test panics while it holds this")
    }
}

#[async_trait]
impl Gateway for FakeGateway {
    async fn put(&self, terminal: &str, serial: &str, batch: Batch) -> Result<Stored, NotStored> {
        let slow = self.held().slow;
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        if self.0.full.load(Ordering::SeqCst) {
            self.held().refusals += 1;
            self.0.changed.notify_waiters();
            return Err(NotStored::DiskFull);
        }
        let mut stored = Stored::default();
        {
            let mut held = self.held();
            held.booked_under.insert(terminal.to_owned(), serial.to_owned());
            for punch in batch.punches {
                let former = batch.former.get(&punch.person).into_iter().flatten();
                let mut former = former.map(|name| PunchId::under(serial, &punch, name));
                if former.any(|id| held.ids.contains(&id)) {
                    stored.twins += 1;
                } else if held.ids.insert(PunchId::of(serial, &punch)) {
                    held.punches.push((terminal.to_owned(), punch));
                    stored.new += 1;
                } else {
                    stored.twins += 1;
                }
            }
            for raw in batch.set_aside {
                if held.ids.insert(PunchId::of_raw(serial, &raw.raw, raw.nth)) {
                    held.set_aside.push((terminal.to_owned(), raw));
                    stored.set_aside += 1;
                }
            }
            held.twins += stored.twins;
            held.puts += 1;
        }
        self.0.changed.notify_waiters();
        Ok(stored)
    }

    async fn load_cursor(&self, terminal: &str, serial: &str) -> Option<Vec<u8>> {
        self.held().cursors.get(&(terminal.to_owned(), serial.to_owned())).cloned()
    }

    async fn save_cursor(&self, terminal: &str, serial: &str, cursor: Vec<u8>) -> Result<(), NotStored> {
        if !self.0.cursors_lost.load(Ordering::SeqCst) {
            self.held().cursors.insert((terminal.to_owned(), serial.to_owned()), cursor);
        }
        Ok(())
    }

    async fn remember(&self, serial: &str, key: &str, body: Vec<u8>) -> Result<(), NotStored> {
        self.held().remembered.insert((serial.to_owned(), key.to_owned()), body);
        Ok(())
    }

    async fn remembered(&self, serial: &str, key: &str) -> Result<Option<Vec<u8>>, NotStored> {
        Ok(self.held().remembered.get(&(serial.to_owned(), key.to_owned())).cloned())
    }

    async fn holdings(&self, terminal: &str, _serial: &str) -> Holdings {
        let punches = self.punches(terminal);
        Holdings {
            punches: punches.len() as u64,
            set_aside: self.set_aside(terminal).len() as u64,
            latest: punches.iter().map(|punch| punch.local).max(),
        }
    }

    async fn newest(&self, terminal: &str, serial: &str) -> Option<Punch> {
        let held = self.held();
        let ours = held.booked_under.get(terminal).is_some_and(|booked| booked == serial);
        held.punches.iter().rev().find(|(name, _)| ours && name == terminal).map(|(_, punch)| punch.clone())
    }

    async fn booked_under(&self, terminal: &str) -> Option<String> {
        self.held().booked_under.get(terminal).cloned()
    }

    fn report(&self, terminal: &str, report: Report) {
        self.held().reports.push((terminal.to_owned(), report));
        self.0.changed.notify_waiters();
    }

    fn stranger(&self, stranger: Stranger) {
        self.held().strangers.push(stranger);
        self.0.changed.notify_waiters();
    }

    fn is_traced(&self, _: &str) -> bool {
        self.0.traced.load(Ordering::SeqCst)
    }

    fn frame(&self, terminal: &str, frame: Frame) {
        self.held().frames.push((terminal.to_owned(), frame));
        self.0.changed.notify_waiters();
    }

    fn clock_trusted(&self) -> bool {
        !self.0.clock_wrong.load(Ordering::SeqCst)
    }
}
