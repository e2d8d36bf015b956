//! The outbox of one destination: live punches at once, and beside them the backlog as the scanner finds it.
//!
//! Every live punch comes both ways: by its lane, and later out of the journal. The second time it is confirmed or marked
//! as handed out, and passes in silence; if the lane overflowed or nobody took it, the journal is the way. Reading the
//! journal blocks, maybe for long on a tired SD card, so it is done on tokio's blocking threads, some hundred kilobytes at
//! a time; a read that is under way when `next` is dropped is picked up by the following call.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

use super::{
    board::Board,
    committer::Request,
    delivery::{Destination, Lane},
    ranges::Ranges,
    scanner::{Filled, Run, Scanner, filled},
    segment::Position,
    status::SpoolTrouble,
};
use crate::{
    ledger::{Ledger, Segment},
    outbox::Outbox,
};

pub struct SpoolOutbox {
    board: Arc<Board>,
    destination: Arc<Destination>,
    lane: Arc<Lane>,
    end: watch::Receiver<Position>,
    /// `None` while a thread has it.
    scanner: Option<Scanner>,
    filling: Option<JoinHandle<Filled>>,
    /// Where the scanner stood when it was given to a thread.
    floor: Position,
    ready: VecDeque<Segment>,
    /// Per ledger.
    handed_out: HashMap<u32, Ranges>,
    /// Runs of the journal that were handed out and are not all confirmed, by place, ledger and first number.
    open: BTreeMap<(Position, u32, u64), u64>,
    again_at: Option<Instant>,
}

const RETRY: Duration = Duration::from_secs(1);

impl SpoolOutbox {
    pub(super) fn new(board: Arc<Board>, name: &str) -> Self {
        let destination = board.destination(name);
        // It is one of those from now on without whom nothing is retired. The committer may have ended.
        let _ = board.requests.send(Request::Changed);
        let lane = destination.lane();
        let end = board.end.subscribe();
        let drained = destination.state().drained;
        let scanner = Scanner::new(&board, drained);
        Self {
            board,
            destination,
            lane,
            end,
            scanner: Some(scanner),
            filling: None,
            floor: drained,
            ready: VecDeque::new(),
            handed_out: HashMap::new(),
            open: BTreeMap::new(),
            again_at: None,
        }
    }

    fn next_live(&mut self) -> Option<Segment> {
        let (state, handed_out) = (self.destination.state(), &self.handed_out);
        let taken = self.lane.take(Segment::LIMIT, |ledger, seq| {
            !state.is_confirmed(ledger, seq) && !handed_out.get(&ledger).is_some_and(|it| it.contains(seq))
        });
        drop(state);
        let (number, ledger) = taken.first().map(|first| (first.number, first.ledger.clone()))?;
        let segment = Segment { ledger, entries: taken.into_iter().map(|punch| punch.entry).collect() };
        self.handed_out.entry(number).or_default().insert(segment.first(), segment.last());
        Some(segment)
    }

    /// Makes segments of what of a run is neither confirmed nor handed out.
    fn hand_out(&mut self, run: Run) {
        let Run { ledger: number, at, entries } = run;
        let Some(ledger) = self.board.catalogue().get(number).map(|state| state.ledger.clone()) else {
            return; // the scanner found a punch whose ledger nothing names, and said so
        };
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        self.open.insert((at, number, first.seq), last.seq);
        let (first, last) = (first.seq, last.seq);
        let state = self.destination.state();
        let handed_out = self.handed_out.entry(number).or_default();
        let mut piece = Vec::new();
        for entry in entries {
            if state.is_confirmed(number, entry.seq) || handed_out.contains(entry.seq) {
                self.ready.extend(segment(&ledger, &mut piece));
            } else {
                piece.push(entry);
            }
        }
        self.ready.extend(segment(&ledger, &mut piece));
        handed_out.insert(first, last);
    }

    /// Moves the mark behind which everything is confirmed.
    fn settle(&mut self) {
        let mut state = self.destination.state();
        while let Some((&(_, ledger, first), &last)) = self.open.first_key_value() {
            if !state.confirmed(ledger).is_some_and(|ranges| ranges.covers(first, last)) {
                break;
            }
            self.open.pop_first();
        }
        let scanned = self.scanner.as_ref().map_or(self.floor, Scanner::floor);
        let open = self.open.first_key_value().map_or(scanned, |((at, _, _), _)| *at);
        state.drained = state.drained.max(open.min(scanned));
    }

    async fn fill(&mut self) {
        let end = *self.end.borrow_and_update();
        if self.filling.is_none() {
            let Some(scanner) = self.scanner.take() else { return };
            self.floor = scanner.floor();
            let (board, destination) = (self.board.clone(), self.destination.clone());
            self.filling = Some(spawn_blocking(move || filled(scanner, &board, &destination, end)));
        }
        let Some(filling) = &mut self.filling else { return };
        let outcome = filling.await; // when we are dropped here, the next call goes on waiting
        self.filling = None;
        let cause = match outcome {
            Ok((scanner, Ok(()))) => {
                self.scanner = Some(scanner);
                self.board.trouble(SpoolTrouble::Unreadable, None);
                self.settle();
                return;
            }
            Ok((_, Err(error))) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        self.board.trouble(SpoolTrouble::Unreadable, Some(cause));
        self.again_at = Some(Instant::now() + RETRY);
        let drained = self.destination.state().drained;
        self.open.clear();
        self.floor = drained;
        self.scanner = Some(Scanner::new(&self.board, drained));
    }
}

fn segment(ledger: &Arc<Ledger>, entries: &mut Vec<crate::ledger::Entry>) -> Option<Segment> {
    let entries = std::mem::take(entries);
    (!entries.is_empty()).then(|| Segment { ledger: ledger.clone(), entries })
}

#[async_trait]
impl Outbox for SpoolOutbox {
    async fn next(&mut self) -> Segment {
        loop {
            if let Some(segment) = self.next_live().or_else(|| self.ready.pop_front()) {
                return segment;
            }
            if let Some(run) = self.scanner.as_mut().and_then(Scanner::pop) {
                self.hand_out(run);
                continue;
            }
            let lane = self.lane.clone();
            let behind = self.scanner.as_ref().is_none_or(|scanner| scanner.position() < *self.end.borrow());
            let waiting = self.again_at.filter(|at| *at > Instant::now());
            if let Some(at) = waiting {
                tokio::select! {
                    () = lane.arrived.notified() => {}
                    () = sleep_until(at) => {}
                }
            } else if behind {
                tokio::select! {
                    biased;
                    () = self.fill() => {}
                    () = lane.arrived.notified() => {}
                }
            } else {
                tokio::select! {
                    () = lane.arrived.notified() => {}
                    // The sender is ours: it lives as long as we do.
                    _ = self.end.changed() => {}
                }
            }
        }
    }

    fn confirm(&mut self, ledger: &Ledger, first: u64, last: u64) {
        let Some(number) = self.board.catalogue().number_of(ledger) else { return };
        if self.destination.state().confirm(number, first, last) {
            // The committer may have ended: then this is confirmed again another day.
            let _ = self.board.requests.send(Request::Confirmed);
        }
        self.settle();
    }

    fn take_back(&mut self) {
        self.lane.clear();
        self.ready.clear();
        self.handed_out.clear();
        self.open.clear();
        self.filling = None; // a read under way ends by itself, unheard
        let drained = self.destination.state().drained;
        self.floor = drained;
        self.scanner = Some(Scanner::new(&self.board, drained));
    }
}

/// When the oldest punch that waits for a destination was stored: the first one behind the mark that is not confirmed.
pub(super) fn oldest(board: &Board, destination: &Destination) -> Option<Timestamp> {
    let (drained, known) = {
        let state = destination.state();
        (state.drained, state.oldest)
    };
    if let Some((at, oldest)) = known
        && at == drained
    {
        return Some(oldest);
    }
    let end = *board.end.borrow();
    let mut walk = super::walk::Walk::new(&board.journal_dir(), board.seed(), drained);
    for _ in 0..LOOKED_AT {
        let Ok(step) = walk.next(Some(end)) else { return None };
        if matches!(step, super::walk::Step::End { .. }) {
            return None;
        }
        let state = destination.state();
        let mut punches = walk.records().flatten().filter_map(|record| match record {
            super::record::Record::Punch(punch) => Some(punch),
            _ => None,
        });
        if let Some(punch) = punches.find(|punch| !state.is_confirmed(punch.ledger, punch.seq)) {
            let stored = Timestamp::from_millisecond(punch.stored()).ok()?;
            drop(punches);
            drop(state);
            destination.state().oldest = Some((drained, stored));
            return Some(stored);
        }
    }
    None
}

/// Groups that one question for the oldest punch may cost.
const LOOKED_AT: usize = 1000;
