//! What each destination has: its confirmed punches, and how far the journal is drained for it. In memory; the index and
//! the journal both keep it, a second late at most, and what they missed is sent twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{
    index::{KeptDestination, Writes},
    ranges::Ranges,
    segment::Position,
};
use crate::ledger::{Entry, Ledger};

/// One destination.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) name: String,
    state: Mutex<Delivery>,
    lanes: Mutex<Vec<Weak<Lane>>>,
}

#[derive(Debug, Default)]
pub(super) struct Delivery {
    confirmed: BTreeMap<u32, Ranges>,
    /// Numbers that were not found where they should be: damage took them, nobody will confirm them.
    pub(super) lost: BTreeMap<u32, Ranges>,
    /// Everything before it is confirmed.
    pub(super) drained: Position,
    /// When the first punch behind `drained` was stored, once somebody has read it.
    pub(super) oldest: Option<(Position, Timestamp)>,
    /// Not in the journal yet.
    pending: BTreeMap<u32, Ranges>,
    /// Not in the index yet.
    changed: BTreeSet<u32>,
}

impl Delivery {
    pub(super) fn restore(&mut self, ledger: u32, ranges: impl IntoIterator<Item = (u64, u64)>) {
        let kept = self.confirmed.entry(ledger).or_default();
        ranges.into_iter().for_each(|(first, last)| kept.insert(first, last));
    }

    /// `true` when the journal had nothing waiting to be told before.
    pub(super) fn confirm(&mut self, ledger: u32, first: u64, last: u64) -> bool {
        let idle = self.pending.is_empty();
        self.restore(ledger, [(first, last)]);
        self.pending.entry(ledger).or_default().insert(first, last);
        self.changed.insert(ledger);
        idle
    }

    /// As [`Delivery::confirm`], from the journal.
    pub(super) fn apply(&mut self, ledger: u32, first: u64, last: u64) {
        self.restore(ledger, [(first, last)]);
        self.changed.insert(ledger);
    }

    /// Only ids are left of the punches up to `last`: nobody waits for them.
    pub(super) fn retire(&mut self, ledger: u32, last: u64) {
        if !self.confirmed.get(&ledger).is_some_and(|ranges| ranges.covers(1, last)) {
            self.apply(ledger, 1, last);
        }
    }

    pub(super) fn confirmed(&self, ledger: u32) -> Option<&Ranges> {
        self.confirmed.get(&ledger)
    }

    pub(super) fn is_confirmed(&self, ledger: u32, seq: u64) -> bool {
        self.confirmed.get(&ledger).is_some_and(|ranges| ranges.contains(seq))
    }

    /// What the journal is to be told; give it back with [`Delivery::put_back`] when that fails.
    pub(super) fn take_pending(&mut self) -> BTreeMap<u32, Ranges> {
        std::mem::take(&mut self.pending)
    }

    pub(super) fn put_back(&mut self, pending: BTreeMap<u32, Ranges>) {
        for (ledger, ranges) in pending {
            let waiting = self.pending.entry(ledger).or_default();
            ranges.iter().for_each(|(first, last)| waiting.insert(first, last));
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many of a ledger's punches `1..next` are neither confirmed nor lost.
    pub(super) fn undelivered(&self, ledger: u32, next: u64, lost: &Ranges) -> u64 {
        let mut gone = self.confirmed.get(&ledger).cloned().unwrap_or_default();
        for (first, last) in lost.iter().chain(self.lost.get(&ledger).into_iter().flat_map(Ranges::iter)) {
            gone.insert(first, last);
        }
        gone.missing(1, next.saturating_sub(1)).into_iter().map(|(first, last)| last - first + 1).sum()
    }
}

impl Destination {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), state: Mutex::default(), lanes: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Delivery> {
        // Every change of it is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Weak<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane on which live punches come from now on.
    pub(super) fn lane(&self) -> Arc<Lane> {
        let lane = Arc::new(Lane::default());
        let mut lanes = self.lanes();
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Arc::downgrade(&lane));
        lane
    }

    /// Whether anybody takes live punches.
    pub(super) fn is_taken(&self) -> bool {
        self.lanes().iter().any(|lane| lane.strong_count() > 0)
    }

    pub(super) fn send_live(&self, number: u32, ledger: &Arc<Ledger>, entry: &Entry) {
        for lane in self.lanes().iter().filter_map(Weak::upgrade) {
            lane.push(LivePunch { number, ledger: ledger.clone(), entry: entry.clone() });
        }
    }

    /// Adds what changed to `writes`, and tells which ledgers that was.
    pub(super) fn write(&self, writes: &mut Writes) -> BTreeSet<u32> {
        let mut state = self.state();
        let changed = std::mem::take(&mut state.changed);
        for ledger in &changed {
            let ranges: Vec<_> = state.confirmed.get(ledger).into_iter().flat_map(Ranges::iter).collect();
            writes.confirmed(&self.name, *ledger, &ranges);
        }
        writes.destination(&self.name, &KeptDestination { drained: state.drained });
        changed
    }

    /// The index did not learn of these.
    pub(super) fn write_again(&self, changed: BTreeSet<u32>) {
        self.state().changed.extend(changed);
    }

    /// For an index that knows nothing.
    pub(super) fn write_all_again(&self) {
        let mut state = self.state();
        let all: Vec<u32> = state.confirmed.keys().copied().collect();
        state.changed.extend(all);
    }

    pub(super) fn ledgers(&self) -> Vec<u32> {
        self.state().confirmed.keys().copied().collect()
    }
}

/// Live punches on their way past the backlog. What does not fit is found by the scanner.
#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: Mutex<std::collections::VecDeque<LivePunch>>,
    pub(super) arrived: Notify,
}

#[derive(Debug)]
pub(super) struct LivePunch {
    pub(super) number: u32,
    pub(super) ledger: Arc<Ledger>,
    pub(super) entry: Entry,
}

impl Lane {
    const ROOM: usize = 1024;

    fn waiting(&self) -> MutexGuard<'_, std::collections::VecDeque<LivePunch>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, punch: LivePunch) {
        let mut waiting = self.waiting();
        if waiting.len() < Self::ROOM {
            waiting.push_back(punch);
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    pub(super) fn clear(&self) {
        self.waiting().clear();
    }

    /// The next live punches of one ledger with consecutive numbers, at most `limit`, that are `wanted`.
    pub(super) fn take(&self, limit: usize, wanted: impl Fn(u32, u64) -> bool) -> Vec<LivePunch> {
        let mut waiting = self.waiting();
        let mut taken: Vec<LivePunch> = Vec::new();
        while let Some(next) = waiting.front() {
            let follows = taken.last().is_none_or(|last: &LivePunch| {
                last.number == next.number && last.entry.seq + 1 == next.entry.seq && taken.len() < limit
            });
            if !wanted(next.number, next.entry.seq) {
                waiting.pop_front();
            } else if follows {
                taken.extend(waiting.pop_front());
            } else {
                break;
            }
        }
        taken
    }
}
