//! Reading a backlog out of the journal: once, forward, into runs of consecutive punches per ledger, within a budget of
//! memory however many ledgers are mixed.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    sync::Arc,
};

use super::{
    board::Board,
    delivery::Destination,
    mend::report_damage,
    record::{Record, ZoneNames},
    segment::Position,
    status::FindingKind,
    walk::{Step, Walk},
};
use crate::ledger::{Entry, Segment};

/// Consecutive punches of one ledger.
pub(super) struct Run {
    pub(super) ledger: u32,
    /// The group of the first.
    pub(super) at: Position,
    pub(super) entries: Vec<Entry>,
}

pub(super) struct Scanner {
    walk: Walk,
    runs: BTreeMap<u32, Run>,
    full: VecDeque<Run>,
    /// Punches in `runs`.
    held: usize,
    /// The highest number read of each ledger: the next one follows it, or something is lost.
    last: HashMap<u32, u64>,
    zones: ZoneNames,
    at_end: bool,
    /// The end up to which there was no segment to walk over: an empty journal has an end too, which no walk ever reaches.
    nothing_to: Option<Position>,
}

/// Punches in runs that are not full; with hundreds of ledgers mixed, segments get shorter instead of memory longer.
const HELD: usize = 8192;
/// A fill ends when so many full runs wait.
const FULL: usize = 8;

impl Scanner {
    pub(super) fn new(board: &Board, from: Position) -> Self {
        Self {
            walk: Walk::new(&board.journal_dir(), board.seed(), from),
            runs: BTreeMap::new(),
            full: VecDeque::new(),
            held: 0,
            last: HashMap::new(),
            zones: ZoneNames::default(),
            at_end: false,
            nothing_to: None,
        }
    }

    /// Everything before it was handed out, or need not be.
    pub(super) fn floor(&self) -> Position {
        let held = self.runs.values().chain(&self.full).map(|run| run.at).min();
        held.map_or(self.walk.position(), |held| held.min(self.walk.position()))
    }

    /// Whether nothing is left to read before `end`. (A fill may stop there with its hands full and not know it.)
    pub(super) fn has_read_to(&self, end: Position) -> bool {
        self.at_end && (self.walk.position() >= end || self.nothing_to == Some(end))
    }

    /// Reads some more, up to `end`; blocks on the disk, for some hundred kilobytes at most.
    pub(super) fn fill(&mut self, board: &Board, destination: &Destination, end: Position) -> io::Result<()> {
        self.at_end = false;
        while self.full.len() < FULL && self.held < HELD {
            let at = match self.walk.next(Some(end))? {
                Step::End { .. } => {
                    self.at_end = true;
                    self.nothing_to = self.walk.is_nowhere().then_some(end);
                    break;
                }
                Step::Missing { at, first, last } => {
                    let text = format!(
                        "groups {first} to {last} are missing before segment {} byte {}",
                        at.segment, at.offset
                    );
                    board.find(FindingKind::Damage, text);
                    continue;
                }
                Step::Damage { at } | Step::Tail { at } => {
                    report_damage(board, at, &self.walk);
                    at
                }
                Step::Group { at } => at,
            };
            self.take(at, destination);
        }
        Ok(())
    }

    fn take(&mut self, at: Position, destination: &Destination) {
        let Self { walk, runs, full, held, last, zones, .. } = self;
        let mut state = destination.state();
        for record in walk.records().flatten() {
            let punch = match record {
                Record::Punch(punch) => punch,
                Record::Retired(retired) if retired.first != 0 => {
                    last.insert(retired.ledger, retired.last);
                    continue;
                }
                _ => continue,
            };
            let before = last.entry(punch.ledger).or_insert(punch.seq);
            if punch.seq > *before + 1 {
                state.lost.entry(punch.ledger).or_default().insert(*before + 1, punch.seq - 1);
            }
            // Old ones may stand there once more: what stands between them and those that follow is not lost.
            *before = punch.seq.max(*before);
            if state.is_confirmed(punch.ledger, punch.seq) {
                continue;
            }
            let Ok(entry) = punch.entry(zones) else { continue };
            let follows = runs.get(&punch.ledger).is_some_and(|run| {
                run.entries.len() < Segment::LIMIT && run.entries.last().is_some_and(|last| last.seq + 1 == punch.seq)
            });
            if !follows && let Some(run) = runs.remove(&punch.ledger) {
                *held -= run.entries.len();
                full.push_back(run);
            }
            let run = runs.entry(punch.ledger).or_insert_with(|| Run { ledger: punch.ledger, at, entries: Vec::new() });
            run.entries.push(entry);
            *held += 1;
            if run.entries.len() == Segment::LIMIT
                && let Some(run) = runs.remove(&punch.ledger)
            {
                *held -= run.entries.len();
                full.push_back(run);
            }
        }
    }

    /// The next run to hand out; `None`: fill first.
    pub(super) fn pop(&mut self) -> Option<Run> {
        if let Some(run) = self.full.pop_front() {
            return Some(run);
        }
        let next = if self.at_end {
            self.runs.values().min_by_key(|run| run.at)
        } else if self.held >= HELD {
            self.runs.values().max_by_key(|run| run.entries.len())
        } else {
            None
        };
        let ledger = next?.ledger;
        let run = self.runs.remove(&ledger)?;
        self.held -= run.entries.len();
        Some(run)
    }
}

/// What one fill gives back, beside the scanner itself.
pub(super) type Filled = (Scanner, io::Result<()>);

/// One fill, for a thread that may block.
pub(super) fn filled(mut scanner: Scanner, board: &Arc<Board>, destination: &Destination, end: Position) -> Filled {
    let done = scanner.fill(board, destination, end);
    (scanner, done)
}
