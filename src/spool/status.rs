//! What the spool tells of itself: the queue, each ledger, commit times, and what is or was wrong.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    board::Board,
    delivery::Destination,
    outbox::oldest,
    ranges::Ranges,
    segment::list,
    stand::{LedgerState, Loss},
};
use crate::ledger::{Head, Ledger};

/// The spool at one moment.
#[derive(Debug, Clone)]
pub struct SpoolStatus {
    /// Per destination.
    pub queues: Vec<Queue>,
    pub ledgers: Vec<LedgerStatus>,
    pub commits: CommitTimes,
    /// Room on the disk that we may use, in bytes; `None` when the disk does not say.
    pub free_bytes: Option<u64>,
    pub journal_bytes: u64,
    pub index_bytes: u64,
    /// Since the start.
    pub twins_dropped: u64,
    /// In all ledgers, for ever.
    pub set_aside: u64,
    /// What is wrong now; empty = well.
    pub troubles: Vec<SpoolTrouble>,
    /// What was found wrong since the start, and what was done about it.
    pub findings: Vec<Finding>,
}

/// What waits for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub destination: String,
    /// Punches not yet confirmed.
    pub undelivered: u64,
    /// About when the oldest of them became durable; `None` where none waits or it is not known yet.
    pub oldest: Option<Timestamp>,
    /// Journal from the oldest of them to its end, in bytes.
    pub bytes: u64,
}

/// One ledger.
#[derive(Debug, Clone)]
pub struct LedgerStatus {
    pub ledger: Arc<Ledger>,
    /// Number of the next punch.
    pub next: u64,
    /// The head before it.
    pub head: Head,
    pub punches: u64,
    pub set_aside: u64,
    /// Numbers that damage took from the journal.
    pub lost: Vec<(u64, u64)>,
    /// Those of them that nobody has taken note of and that were not made good, with how many may have come again since.
    pub open_losses: Vec<OpenLoss>,
    /// Twins dropped since the start.
    pub twins_dropped: u64,
    /// Per destination: all punches up to here are confirmed.
    pub confirmed_through: Vec<(String, u64)>,
}

/// Numbers of a ledger that are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenLoss {
    pub first: u64,
    pub last: u64,
    /// When it was found.
    pub at: Timestamp,
    /// Punches from before the loss that were added since.
    pub back: u64,
}

/// How long commits took, from the call to the answer, among the last [`CommitTimes::KEPT`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitTimes {
    pub p50: Duration,
    pub p99: Duration,
    /// Commits since the start.
    pub count: u64,
}

impl CommitTimes {
    pub const KEPT: usize = 1024;
}

/// Something that is wrong now. The text says why, in the words of whoever refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolTrouble {
    /// Punches are refused until there is room.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// Punches are refused until the disk works again.
    #[error("the disk failed: {0}")]
    DiskFailed(String),
    /// Punches are refused until the index can be built again.
    #[error("the index cannot be built: {0}")]
    IndexFailed(String),
    /// The outbox cannot read the journal; it tries again.
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
}

/// Something that was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub at: Timestamp,
    pub kind: FindingKind,
    /// What, where, and what was done about it.
    pub text: String,
}

/// Sorted by what it means for the punches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// The journal ended in a write that a crash cut short, or in older groups once more. Nothing acknowledged is lost.
    TornTail,
    /// The journal is damaged: what could be read was kept, the rest was set aside. Punches may be missing.
    Damage,
    /// The index was built anew from the journal. Nothing is lost.
    IndexRebuilt,
    /// The store is a copy, or was put back from a backup. New ledgers are begun, since numbers may have been given twice.
    Restored,
    /// The disk failed and works again. Nothing acknowledged is lost.
    DiskRecovered,
}

/// The status, with a look at the disk.
pub(super) fn of(board: &Board) -> SpoolStatus {
    let destinations = board.destinations();
    let files: Vec<(u64, u64)> = list(&board.journal_dir())
        .unwrap_or_default()
        .into_iter()
        .filter_map(|file| Some((file.number, std::fs::metadata(&file.path).ok()?.len())))
        .collect();
    let end = *board.end.borrow();
    // The newest segment has room reserved.
    let used = |(number, bytes): &(u64, u64)| if *number == end.segment { end.offset } else { *bytes };
    let (ledgers, undelivered) = {
        let catalogue = board.catalogue();
        let gauges = board.gauges();
        let ledgers: Vec<_> = catalogue.iter().map(|state| ledger(state, &gauges.twins, &destinations)).collect();
        let undelivered: Vec<u64> = destinations
            .iter()
            .map(|it| {
                let delivery = it.state();
                catalogue.iter().map(|state| delivery.undelivered(state.number, state.next, &state.lost)).sum()
            })
            .collect();
        (ledgers, undelivered)
    };
    let queue = |(it, undelivered): (&Arc<Destination>, u64)| {
        let drained = it.state().drained;
        let behind: u64 = files.iter().filter(|(number, _)| *number >= drained.segment).map(used).sum();
        Queue {
            destination: it.name.clone(),
            undelivered,
            oldest: if undelivered > 0 { oldest(board, it) } else { None },
            bytes: if undelivered > 0 { behind.saturating_sub(drained.offset) } else { 0 },
        }
    };
    let queues = destinations.iter().zip(undelivered).map(queue).collect();
    let index_bytes = board.index.read().ok().and_then(|index| Some(index.as_ref()?.bytes())).unwrap_or(0);
    let gauges = board.gauges();
    SpoolStatus {
        queues,
        commits: gauges.times.summary(),
        free_bytes: board.disk.free_bytes(&board.state_dir).ok(),
        journal_bytes: files.iter().map(used).sum(),
        index_bytes,
        twins_dropped: gauges.twins.values().sum(),
        set_aside: ledgers.iter().map(|ledger| ledger.set_aside).sum(),
        ledgers,
        troubles: gauges.troubles.clone(),
        findings: gauges.findings.clone(),
    }
}

impl OpenLoss {
    fn of(loss: &Loss) -> Self {
        let at = Timestamp::from_millisecond(loss.at).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { first: loss.first, last: loss.last, at, back: loss.back }
    }
}

fn ledger(state: &LedgerState, twins: &HashMap<u32, u64>, destinations: &[Arc<Destination>]) -> LedgerStatus {
    let through = |it: &Arc<Destination>| it.state().confirmed(state.number).map_or(0, Ranges::through);
    LedgerStatus {
        ledger: state.ledger.clone(),
        next: state.next,
        head: state.head,
        punches: state.punches(),
        set_aside: state.set_aside,
        lost: state.lost.iter().collect(),
        open_losses: state.losses.values().filter(|loss| !loss.settled).map(OpenLoss::of).collect(),
        twins_dropped: twins.get(&state.number).copied().unwrap_or(0),
        confirmed_through: destinations.iter().map(|it| (it.name.clone(), through(it))).collect(),
    }
}

/// The last times, for percentiles.
#[derive(Debug, Default)]
pub(super) struct Times {
    kept: VecDeque<Duration>,
    count: u64,
}

impl Times {
    pub(super) fn add(&mut self, took: Duration) {
        if self.kept.len() == CommitTimes::KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(took);
        self.count += 1;
    }

    pub(super) fn summary(&self) -> CommitTimes {
        let mut sorted: Vec<_> = self.kept.iter().copied().collect();
        sorted.sort_unstable();
        let at =
            |percent: usize| sorted.get(sorted.len() * percent / 100).or(sorted.last()).copied().unwrap_or_default();
        CommitTimes { p50: at(50), p99: at(99), count: self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_commits() {
        let mut times = Times::default();
        assert_eq!(times.summary(), CommitTimes::default());
        (0..5000).for_each(|_| times.add(Duration::from_secs(9)));
        (0..1024).for_each(|n| times.add(Duration::from_millis(n)));
        let CommitTimes { p50, p99, count } = times.summary();
        assert_eq!((p50.as_millis(), p99.as_millis(), count), (512, 1013, 6024));
    }
}
