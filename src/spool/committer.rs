//! The committer: the one thread that writes the journal. Whoever waits when it looks up shares one group, one write and
//! one fdatasync; whoever comes meanwhile shares the next.

mod waiting;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, mpsc},
    time::{Duration, Instant},
};

use driver_api::{NotStored, Origin, Stored};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    board::{Board, Committed},
    draft::{Commit, Draft, Lookup, Waiter},
    group::Group,
    index::IndexError,
    journal::{Journal, JournalError},
    lock::Lock,
    note::NewNote,
    ranges::Ranges,
    record::{ConfirmedAtRecord, LedgerRecord, NoteRecord, Record, StandingRecord, ZoneNames},
    seen::Seen,
    stand::LedgerState,
    status::{FindingKind, SpoolTrouble},
};
use crate::inquiry::Standing;
use waiting::Ending;
pub(super) use waiting::Request;

pub(super) struct Committer {
    pub(super) board: Arc<Board>,
    pub(super) journal: Journal,
    pub(super) seen: Seen,
    pub(super) lock: Lock,
    pub(super) requests: mpsc::Receiver<Request>,
    group: Group,
    zones: ZoneNames,
    /// Since when something waits to be told to the journal, and to the index.
    confirmed_since: Option<Instant>,
    /// What is to be noted, with when it was so, in milliseconds since 1970.
    standings: Vec<(String, Standing, i64)>,
    pub(super) unindexed_since: Option<Instant>,
    /// A trouble of the disk that may be over any moment.
    retry: bool,
    /// When to try to build the index again.
    pub(super) rebuild_at: Option<Instant>,
}

/// Confirmations wait so long for a group to ride with.
const CONFIRM_DELAY: Duration = Duration::from_secs(1);
/// The index is written after so long, or so many ids: what a kill -9 costs at the next start is reading those again.
const INDEX_DELAY: Duration = Duration::from_secs(2);
const INDEX_IDS: usize = 16_384;

impl Committer {
    pub(super) fn new(
        board: Arc<Board>,
        journal: Journal,
        seen: Seen,
        lock: Lock,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let group = Group::new(board.seed());
        Self {
            board,
            journal,
            seen,
            lock,
            requests,
            group,
            zones: ZoneNames::default(),
            confirmed_since: None,
            standings: Vec::new(),
            unindexed_since: Some(Instant::now()),
            retry: false,
            rebuild_at: None,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let (commits, notes, ending) = self.wait();
            if !commits.is_empty() || !notes.is_empty() || due(self.confirmed_since, CONFIRM_DELAY) {
                self.write(commits, notes);
            } else if self.retry {
                self.try_again();
            }
            if self.rebuild_at.is_some_and(|at| at <= Instant::now()) {
                self.index_failed(&IndexError::missing());
            }
            if self.seen.fresh() >= INDEX_IDS || due(self.unindexed_since, INDEX_DELAY) {
                self.write_index();
            }
            match ending {
                None => {}
                Some(Ending::Abandoned) => return,
                Some(Ending::Closed(answer)) => {
                    self.close();
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(());
                    return;
                }
            }
        }
    }

    /// One group: these commits and notes, and what else waits for the journal.
    fn write(&mut self, commits: Vec<Commit>, notes: Vec<NewNote>) {
        let mut draft = match self.draft(commits) {
            Ok(draft) => draft,
            Err(error) => {
                answer_notes(notes, &Err(NotStored::DiskFailed(error.to_string())));
                return self.index_failed(&error);
            }
        };
        for NewNote { kind, key, body, stored, .. } in &notes {
            draft.group.push(&Record::Note(NoteRecord { kind: *kind, key, body, stored: *stored }));
        }
        let confirmed = self.take_confirmed();
        if draft.group.is_empty() && confirmed.is_empty() && self.standings.is_empty() {
            return self.answer(draft.waiters, Ok(()));
        }
        match self.append(&draft, &confirmed) {
            Ok(()) => {
                self.standings.clear();
                self.works_again();
                let entries = std::mem::take(&mut draft.entries);
                let waiters = std::mem::take(&mut draft.waiters);
                let indexed = self.remember(draft, &notes);
                self.hand_on(entries);
                self.settle_made_good();
                self.answer(waiters, Ok(()));
                if let Err(error) = indexed {
                    self.index_failed(&error);
                }
                answer_notes(notes, &Ok(()));
            }
            Err(error) => {
                for (destination, pending) in confirmed {
                    self.board.destination(&destination).state().put_back(pending);
                }
                self.confirmed_since.get_or_insert_with(Instant::now);
                self.fails(&error);
                let failed = not_stored(error);
                answer_notes(notes, &Err(failed.clone()));
                self.answer(draft.waiters, Err(failed));
            }
        }
    }

    fn draft(&mut self, commits: Vec<Commit>) -> Result<Draft, IndexError> {
        let board = self.board.clone();
        let followed = board.committed.receiver_count() > 0;
        let mut draft = Draft::new(board.seed(), followed);
        let index = board.index.read().unwrap_or_else(PoisonError::into_inner);
        let catalogue = board.catalogue();
        let failed = |commits: &mut dyn Iterator<Item = oneshot::Sender<_>>, error: &IndexError| {
            for answer in commits {
                // The driver may have left.
                let _ = answer.send(Err(NotStored::DiskFailed(error.to_string())));
            }
        };
        let mut commits = commits.into_iter();
        let Some(index) = &*index else {
            let error = IndexError::missing();
            failed(&mut commits.map(|commit| commit.answer), &error);
            return Err(error);
        };
        let mut look = Lookup {
            catalogue: &catalogue,
            index,
            seen: &mut self.seen,
            zones: &mut self.zones,
            tenant: &board.tenant,
            gateway: &board.gateway,
        };
        while let Some(commit) = commits.next() {
            if let Err(error) = draft.add(commit, &mut look) {
                let waiting = draft.waiters.into_iter().map(|waiter| waiter.answer);
                failed(&mut waiting.chain(commits.map(|commit| commit.answer)), &error);
                return Err(error);
            }
        }
        Ok(draft)
    }

    fn take_confirmed(&mut self) -> Vec<(String, BTreeMap<u32, Ranges>)> {
        self.confirmed_since = None;
        let taken = self.board.destinations().into_iter().map(|it| (it.name.clone(), it.state().take_pending()));
        taken.filter(|(_, pending)| !pending.is_empty()).collect()
    }

    /// Writes and syncs. Names each ledger before its first two groups in a segment, so that one damaged group does not
    /// leave a segment's punches without a name.
    fn append(&mut self, draft: &Draft, confirmed: &[(String, BTreeMap<u32, Ranges>)]) -> Result<(), JournalError> {
        let names: usize =
            draft.ledgers.values().map(|it| 160 + it.ledger.terminal.len() + it.ledger.serial.len()).sum();
        let ranges = confirmed.iter().flat_map(|(name, all)| all.values().map(move |ranges| (name, ranges)));
        let told: usize = ranges.map(|(name, ranges)| (name.len() + 56) * ranges.iter().count()).sum();
        let noted: usize = self.standings.iter().map(|(terminal, ..)| terminal.len() + 24).sum();
        let segment = self.journal.prepare(draft.group.bytes() + names + told + noted)?;
        self.group.clear();
        for (number, addition) in &draft.ledgers {
            if addition.named.0 != segment || addition.named.1 < 2 {
                let (next, head) = addition.first;
                self.group.push(&Record::Ledger(LedgerRecord::of(*number, &addition.ledger, next, head)));
            }
        }
        self.group.append(&draft.group);
        let now = Timestamp::now().as_millisecond();
        for (destination, pending) in confirmed {
            for (&ledger, ranges) in pending {
                for (first, last) in ranges.iter() {
                    self.group.push(&Record::ConfirmedAt(ConfirmedAtRecord {
                        destination,
                        ledger,
                        first,
                        last,
                        at: now,
                    }));
                }
            }
        }
        for (terminal, standing, at) in &self.standings {
            self.group.push(&Record::Standing(StandingRecord::new(terminal, *standing, *at)));
        }
        let at = self.journal.append(&mut self.group)?;
        let mut catalogue = self.board.catalogue();
        for (number, addition) in &draft.ledgers {
            if let Some(begun) = &addition.begun {
                catalogue.add(LedgerState { ledger: addition.ledger.clone(), ..begun.clone() });
            }
            catalogue.advance(*number, &addition.advance);
            catalogue.name(*number, at.segment);
        }
        draft.late.iter().for_each(|(number, utc_ms)| catalogue.came_back(*number, *utc_ms));
        Ok(())
    }

    /// The group is durable: remembers its ids and notes.
    fn remember(&mut self, draft: Draft, notes: &[NewNote]) -> Result<(), IndexError> {
        self.unindexed_since.get_or_insert_with(Instant::now);
        let index = self.board.index.read().unwrap_or_else(PoisonError::into_inner);
        let index = index.as_ref().ok_or_else(IndexError::missing)?;
        for (key, id) in draft.ids {
            self.seen.insert(index, key, id)?;
        }
        for NewNote { kind, key, body, stored, .. } in notes {
            index.put_note(*kind, key, *stored, body)?;
        }
        Ok(())
    }

    /// Live lanes first, then everybody who reads the journal.
    fn hand_on(&self, entries: Vec<(u32, crate::ledger::Entry)>) {
        let followed = self.board.committed.receiver_count() > 0;
        let taken: Vec<_> = self.board.destinations().into_iter().filter(|it| it.is_taken()).collect();
        if !entries.is_empty() && (followed || !taken.is_empty()) {
            let mut ledgers: BTreeMap<u32, Arc<crate::ledger::Ledger>> = BTreeMap::new();
            {
                let catalogue = self.board.catalogue();
                for (number, _) in &entries {
                    if !ledgers.contains_key(number) {
                        ledgers.extend(catalogue.get(*number).map(|state| (*number, state.ledger.clone())));
                    }
                }
            }
            for (number, entry) in entries {
                let Some(ledger) = ledgers.get(&number) else { continue };
                if entry.origin == Origin::Live {
                    taken.iter().for_each(|it| it.send_live(number, ledger, &entry));
                }
                if followed {
                    // The last follower may have left just now.
                    let _ = self.board.committed.send(Arc::new(Committed { ledger: ledger.clone(), entry }));
                }
            }
        }
        self.board.end.send_replace(self.journal.end());
    }

    fn answer(&self, waiters: Vec<Waiter>, done: Result<(), NotStored>) {
        {
            let mut gauges = self.board.gauges();
            for waiter in waiters.iter().filter(|_| done.is_ok()) {
                gauges.times.add(waiter.since.elapsed());
                if waiter.stored.twins > 0 {
                    *gauges.twins.entry(waiter.ledger).or_default() += waiter.stored.twins as u64;
                }
            }
        }
        for waiter in waiters {
            let Waiter { answer, stored, .. } = waiter;
            // The driver may have left; what it stored is stored.
            let _ = answer.send(done.clone().map(|()| -> Stored { stored }));
        }
    }

    fn fails(&mut self, error: &JournalError) {
        self.retry = true;
        match error {
            JournalError::Full(cause) => self.board.trouble(SpoolTrouble::DiskFull, Some(cause.clone())),
            JournalError::Failed(cause) => self.board.trouble(SpoolTrouble::DiskFailed, Some(cause.clone())),
        }
    }

    fn works_again(&mut self) {
        for at in self.journal.take_damage() {
            let text = format!("segment {} at byte {}: it does not read back as it was written", at.segment, at.offset);
            self.board.find(FindingKind::Damage, text);
        }
        if std::mem::take(&mut self.retry) {
            let failed = self.board.gauges().troubles.iter().any(|it| matches!(it, SpoolTrouble::DiskFailed(_)));
            if failed {
                let text = "the segment was cut to its last durable byte, read back, and a new one was begun".into();
                self.board.find(FindingKind::DiskRecovered, text);
            }
            self.board.trouble(SpoolTrouble::DiskFull, None);
            self.board.trouble(SpoolTrouble::DiskFailed, None);
        }
    }

    /// Nobody commits, and something was wrong: is it still?
    fn try_again(&mut self) {
        match self.journal.prepare(0) {
            Ok(_) if !self.retry => {}
            Ok(_) => self.works_again(),
            Err(error) => self.fails(&error),
        }
    }

    fn close(&mut self) {
        if !self.standings.is_empty() || self.board.destinations().iter().any(|it| it.state().is_pending()) {
            self.write(Vec::new(), Vec::new());
        }
        self.write_index();
        let index = self.board.index.write().unwrap_or_else(PoisonError::into_inner).take();
        let closed = index.is_some_and(|index| index.close().is_ok());
        // Otherwise the next start reads the journal's end again, or all of it.
        if closed && let Err(error) = self.lock.closed(&self.board.store, self.journal.last_group()) {
            tracing::warn!(%error, "the store could not be marked as closed");
        }
    }
}

fn answer_notes(notes: Vec<NewNote>, done: &Result<(), NotStored>) {
    for note in notes {
        // Whoever asked may have stopped waiting; what is written is written.
        let _ = note.answer.send(done.clone());
    }
}

fn due(since: Option<Instant>, delay: Duration) -> bool {
    since.is_some_and(|since| since.elapsed() >= delay)
}

fn not_stored(error: JournalError) -> NotStored {
    match error {
        JournalError::Full(_) => NotStored::DiskFull,
        JournalError::Failed(cause) => NotStored::DiskFailed(cause),
    }
}
