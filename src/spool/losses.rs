//! Numbers that are lost: told by the journal itself for ever, until somebody has taken note or as many punches came again.
//!
//! A loss is recorded once, behind everything that was durable then. What is added later and was punched before the loss
//! may be one of the lost punches, come again under a new number: the terminal still had it. When as many came as were
//! lost, the loss is made good. The numbers themselves stay missing; nothing is ever renumbered.

use jiff::Timestamp;

use super::{
    board::Board,
    catalogue::Catalogue,
    committer::Committer,
    group::Group,
    index::IndexError,
    journal::{Journal, JournalError},
    record::{LedgerRecord, LostRecord, Record, SettledRecord},
    stand::Loss,
    status::FindingKind,
};

/// Records in one group of losses; a disk that rots wholesale gets several groups.
const PART: usize = 500;

/// A ledger whose end the journal lost: somebody may know its numbers up to `last`.
pub(super) struct Behind {
    pub(super) ledger: u32,
    pub(super) last: u64,
}

/// Records every loss that the journal does not tell of yet, and ends the ledgers that lost their end. What cannot be
/// written now is found again at the next start.
pub(super) fn record(board: &Board, journal: &mut Journal, behind: &[Behind]) {
    let now = Timestamp::now().as_millisecond();
    let mut found = Vec::new();
    {
        let catalogue = board.catalogue();
        for Behind { ledger, last } in behind {
            let Some(state) = catalogue.get(*ledger).filter(|state| state.next <= *last) else { continue };
            let why = "the journal lost its end";
            let first = state.next;
            found.push(LostRecord { ledger: *ledger, first, last: *last, until: now, at: now, closes: true, why });
        }
        for (ledger, first, last, until) in catalogue.unrecorded() {
            let why = "found missing at the start";
            found.push(LostRecord { ledger, first, last, until: until.unwrap_or(now), at: now, closes: false, why });
        }
    }
    tell(board, &found);
    for part in found.chunks(PART) {
        if let Err(error) = write(board, journal, part) {
            tracing::warn!(%error, "a loss could not be recorded yet");
        }
        // Durable or not, it is so.
        let mut catalogue = board.catalogue();
        part.iter().for_each(|lost| _ = catalogue.apply_lost(lost));
    }
}

fn tell(board: &Board, found: &[LostRecord<'_>]) {
    for lost in found {
        let LostRecord { ledger, first, last, closes, .. } = *lost;
        let terminal = board.catalogue().get(ledger).map(|state| state.ledger.terminal.clone()).unwrap_or_default();
        let then = if closes { ": its next punch begins a new ledger" } else { "" };
        board.find(FindingKind::Damage, format!("the journal lost punches {first} to {last} of {terminal}{then}"));
    }
}

fn write(board: &Board, journal: &mut Journal, part: &[LostRecord<'_>]) -> Result<(), JournalError> {
    let records: Vec<_> = part.iter().map(|lost| (lost.ledger, Record::Lost(lost.clone()))).collect();
    append(board, journal, &records)
}

/// Ends ledgers of which nothing is lost, for ever: the next punch of each terminal begins another. Tells whether that is on
/// the disk.
pub(super) fn close(board: &Board, journal: &mut Journal, numbers: &[u32], why: &'static str) -> bool {
    let at = Timestamp::now().as_millisecond();
    let record = |number: &u32| {
        let next = board.catalogue().get(*number)?.next;
        Some(LostRecord { ledger: *number, first: next, last: next - 1, until: at, at, closes: true, why })
    };
    let closing: Vec<LostRecord<'_>> = numbers.iter().filter_map(record).collect();
    let mut written = true;
    for part in closing.chunks(PART) {
        if let Err(error) = write(board, journal, part) {
            tracing::warn!(%error, "that ledgers are used no more could not be recorded yet");
            written = false;
        }
        let mut catalogue = board.catalogue();
        part.iter().for_each(|it| catalogue.close(it.ledger));
    }
    written
}

/// One group of these records, each ledger named in front.
fn append(board: &Board, journal: &mut Journal, records: &[(u32, Record<'_>)]) -> Result<(), JournalError> {
    let mut group = Group::new(board.seed());
    let mut numbers: Vec<u32> = records.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    {
        let catalogue = board.catalogue();
        for state in numbers.iter().filter_map(|number| catalogue.get(*number)) {
            push_name(&mut group, &catalogue, state.number);
        }
    }
    records.iter().for_each(|(_, record)| group.push(record));
    journal.prepare(group.bytes())?;
    let at = journal.append(&mut group)?;
    let mut catalogue = board.catalogue();
    numbers.into_iter().for_each(|number| catalogue.name(number, at.segment));
    Ok(())
}

fn push_name(group: &mut Group, catalogue: &Catalogue, number: u32) {
    if let Some(state) = catalogue.get(number) {
        group.push(&Record::Ledger(LedgerRecord::of(number, &state.ledger, state.next, state.head)));
    }
}

impl Committer {
    /// Ends the losses that were made good.
    pub(super) fn settle_made_good(&mut self) {
        let made_good = |_: &str, loss: &Loss| loss.is_made_good();
        if let Err(error) = self.settle(made_good, true) {
            tracing::warn!(%error, "a loss that was made good could not be recorded as such yet");
        }
    }

    /// Records what is found to be gone while the store is open. After an error some of it may be.
    pub(super) fn lose(&mut self, lost: &[LostRecord<'_>]) -> Result<(), JournalError> {
        tell(&self.board, lost);
        for part in lost.chunks(PART) {
            write(&self.board, &mut self.journal, part)?;
            let mut catalogue = self.board.catalogue();
            part.iter().for_each(|lost| _ = catalogue.apply_lost(lost));
            drop(catalogue);
            self.show();
        }
        // With them in it, what a terminal still has would be a twin of what is nowhere.
        self.index_failed(&IndexError::failed("it knew ids of punches that are gone".into()));
        Ok(())
    }

    /// The journal, and what it says to be lost, have changed.
    fn show(&mut self) {
        self.unindexed_since.get_or_insert_with(std::time::Instant::now);
        self.board.end.send_replace(self.journal.end());
        self.board.changes.send_modify(|count| *count += 1);
    }

    /// A person knows of all losses of this terminal, or of all terminals; tells how many numbers those were.
    pub(super) fn acknowledge(&mut self, terminal: Option<&str>) -> Result<u64, JournalError> {
        self.settle(|name, _| terminal.is_none_or(|terminal| terminal == name), false)
    }

    fn settle(&mut self, which: impl Fn(&str, &Loss) -> bool, made_good: bool) -> Result<u64, JournalError> {
        let at = Timestamp::now().as_millisecond();
        let board = self.board.clone();
        let (settled, count) = {
            let catalogue = board.catalogue();
            if !catalogue.has_open_losses() {
                return Ok(0);
            }
            let open = catalogue.open_losses().filter(|(number, loss)| {
                catalogue.get(*number).is_some_and(|state| which(&state.ledger.terminal, loss))
            });
            let (mut settled, mut count) = (Vec::new(), 0);
            for (ledger, loss) in open.take(PART) {
                count += loss.count();
                settled.push(SettledRecord { ledger, first: loss.first, last: loss.last, at, made_good });
            }
            (settled, count)
        };
        if settled.is_empty() {
            return Ok(0);
        }
        let records: Vec<_> = settled.iter().map(|it| (it.ledger, Record::Settled(it.clone()))).collect();
        append(&board, &mut self.journal, &records)?;
        {
            let mut catalogue = board.catalogue();
            settled.iter().for_each(|it| _ = catalogue.apply_settled(it));
        }
        self.show();
        Ok(count)
    }
}
