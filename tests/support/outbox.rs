//! An outbox in memory that remembers what was confirmed.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use driver_api::{Clock, Direction, Mark, Origin, PunchId, Raw, Verify};
use jiff::{Timestamp, civil::date};
use punchgate::{
    ledger::{Entry, Head, Ledger, Segment},
    outbox::Outbox,
};
use tokio::sync::{Notify, watch};

/// One punch: its terminal and number.
pub type Numbered = (String, u64);

/// The test's side.
#[derive(Clone)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
    filled: Arc<Notify>,
    confirmed: Arc<watch::Sender<usize>>,
}

#[derive(Default)]
struct Inner {
    ledgers: Vec<(Arc<Ledger>, u64, Option<Head>)>,
    waiting: VecDeque<Segment>,
    handed: Vec<Segment>,
    confirmed: BTreeSet<Numbered>,
    taken_back: usize,
}

impl Memory {
    pub fn new() -> Self {
        Self { inner: Arc::default(), filled: Arc::default(), confirmed: Arc::new(watch::channel(0).0) }
    }

    /// Adds punches of a terminal, in segments of at most `size`.
    pub fn punch(&self, terminal: &str, count: u64, size: usize) {
        self.punch_as(terminal, count, size, |seq| format!("{}", 1000 + seq % 500));
    }

    pub fn punch_as(&self, terminal: &str, count: u64, size: usize, person: impl Fn(u64) -> String) {
        let mut inner = self.inner.lock().unwrap();
        let known = inner.ledgers.iter().position(|(ledger, ..)| ledger.terminal == terminal);
        let index = known.unwrap_or_else(|| {
            inner.ledgers.push((Arc::new(ledger(terminal)), 0, None));
            inner.ledgers.len() - 1
        });
        let (ledger, last, head) = inner.ledgers[index].clone();
        let mut prev = head.unwrap_or_else(|| ledger.origin());
        let mut entries = Vec::new();
        for seq in last + 1..=last + count {
            let punch = entry(prev, seq, person(seq));
            prev = punch.head();
            entries.push(punch);
        }
        inner.ledgers[index] = (ledger.clone(), last + count, Some(prev));
        for entries in entries.chunks(size) {
            inner.waiting.push_back(Segment { ledger: ledger.clone(), entries: entries.to_vec() });
        }
        self.filled.notify_one();
    }

    pub fn all(&self) -> BTreeSet<Numbered> {
        let inner = self.inner.lock().unwrap();
        inner.ledgers.iter().flat_map(|(it, last, _)| (1..=*last).map(|seq| (it.terminal.clone(), seq))).collect()
    }

    pub fn confirmed(&self) -> BTreeSet<Numbered> {
        self.inner.lock().unwrap().confirmed.clone()
    }

    pub fn taken_back(&self) -> usize {
        self.inner.lock().unwrap().taken_back
    }

    /// Waits until so many punches are confirmed.
    pub async fn until_confirmed(&self, count: usize) {
        let mut confirmed = self.confirmed.subscribe();
        super::soon("punches are confirmed", confirmed.wait_for(|confirmed| *confirmed >= count)).await.unwrap();
    }

    pub async fn until_all_confirmed(&self) {
        let all = self.all();
        self.until_confirmed(all.len()).await;
        assert_eq!(self.confirmed(), all);
    }
}

#[async_trait]
impl Outbox for Memory {
    async fn next(&mut self) -> Segment {
        loop {
            {
                let mut inner = self.inner.lock().unwrap();
                if let Some(segment) = inner.waiting.pop_front() {
                    inner.handed.push(segment.clone());
                    return segment;
                }
            }
            self.filled.notified().await;
        }
    }

    fn confirm(&mut self, ledger: &Ledger, first: u64, last: u64) {
        let mut inner = self.inner.lock().unwrap();
        let handed = |seq: u64| {
            let same = inner.handed.iter().filter(|segment| segment.ledger.terminal == ledger.terminal);
            same.clone().any(|segment| (segment.first()..=segment.last()).contains(&seq))
        };
        for seq in first..=last {
            assert!(handed(seq), "{}/{seq} was confirmed and never handed out", ledger.terminal);
        }
        inner.confirmed.extend((first..=last).map(|seq| (ledger.terminal.clone(), seq)));
        // Whole ones need not be kept; the others wait for what is missing.
        let Inner { handed, confirmed, .. } = &mut *inner;
        handed.retain(|it| {
            it.ledger.terminal != ledger.terminal
                || it.first() > last
                || it.last() < first
                || it.entries.iter().any(|entry| !confirmed.contains(&(ledger.terminal.clone(), entry.seq)))
        });
        self.confirmed.send_replace(confirmed.len());
    }

    fn take_back(&mut self) {
        let mut inner = self.inner.lock().unwrap();
        inner.taken_back += 1;
        for segment in std::mem::take(&mut inner.handed).into_iter().rev() {
            let open = |entry: &Entry| !inner.confirmed.contains(&(segment.ledger.terminal.clone(), entry.seq));
            let runs = segment.entries.chunk_by(|a, b| open(a) == open(b)).filter(|run| open(&run[0]));
            let again: Vec<Segment> =
                runs.map(|run| Segment { ledger: segment.ledger.clone(), entries: run.to_vec() }).collect();
            for segment in again.into_iter().rev() {
                inner.waiting.push_front(segment);
            }
        }
        self.filled.notify_one();
    }
}

pub fn ledger(terminal: &str) -> Ledger {
    Ledger {
        tenant: "acme".into(),
        gateway: "sz-03".into(),
        terminal: terminal.into(),
        serial: "CEXA204060001".into(),
        begun: 7,
    }
}

fn entry(prev: Head, seq: u64, person: String) -> Entry {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&seq.to_be_bytes());
    Entry {
        seq,
        id: PunchId(id),
        prev,
        person,
        local: date(2026, 11, 20).at(8, 58, 31, 0),
        zone: "Asia/Shanghai".into(),
        utc: "2026-11-20T00:58:31Z".parse().unwrap(),
        clock: Clock::UNKNOWN,
        direction: Mark { value: Direction::In, raw: Some(Raw::Number(0)) },
        verify: Mark { value: Verify::Face, raw: Some(Raw::Number(15)) },
        work_code: None,
        origin: Origin::Live,
        native: None,
        flags: vec![],
        stored: Timestamp::UNIX_EPOCH,
    }
}
