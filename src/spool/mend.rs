//! What is done about bytes that are no group: kept, told, and as much of them used as is whole.

use std::{collections::HashMap, io};

use super::{
    board::Board,
    doubt::Doubt,
    group::{Group, salvage},
    journal::{Journal, JournalError, is_full},
    record::{Record, ZoneNames},
    recovery::OpenError,
    replay::quarantine,
    segment::Position,
    status::FindingKind,
    walk::Walk,
};
use crate::ledger::Head;

/// Damage that stays where it is: its bytes are kept in quarantine too, and it is told.
pub(super) fn report_damage(board: &Board, at: Position, walk: &Walk) {
    let bytes = walk.bytes();
    let found = salvage(board.seed(), bytes);
    let lost: usize = found.lost.iter().map(|range| range.len()).sum();
    // They stay where they are in the journal, too: whoever cannot keep them twice loses nothing by keeping them but once.
    let kept = match quarantine(&*board.disk, &board.state_dir, at, bytes) {
        Ok(name) => format!("all of them are kept as {name}"),
        Err(error) if is_full(&error) => "they stay where they are, since the disk is full".to_owned(),
        Err(error) => format!("they stay where they are, since they cannot be kept in quarantine too: {error}"),
    };
    let unread = walk.unread().map(|unread| format!("{unread}; ")).unwrap_or_default();
    let text = format!(
        "segment {} byte {}: {unread}{} bytes fail their checksum; {} records in them are whole and are used, {lost} bytes cannot be read; {kept}",
        at.segment,
        at.offset,
        bytes.len(),
        found.records.len(),
    );
    board.find(FindingKind::Damage, text);
}

/// What is known from elsewhere of how far a journal went.
pub(super) struct Told {
    /// It was closed in order behind the group with this number; 0 where it was not.
    pub(super) closed_at: u64,
    /// The last number of each ledger that an index knew to be durable.
    pub(super) ahead: HashMap<u32, u64>,
    /// Its last group was durable and is damaged: there may have been more in it than can be read.
    pub(super) unsure: bool,
    /// What the journal says of numbers that it does not hold.
    pub(super) doubt: Doubt,
}

impl Told {
    fn is_durable(&self, group: u64, ledger: u32, seq: u64) -> bool {
        group <= self.closed_at || self.ahead.get(&ledger).is_some_and(|last| seq <= *last)
    }
}

/// The journal ends in bytes that are no group: a write that a crash cut short, or a last group that was damaged since.
/// Both look alike, so what is whole is kept: of each ledger as many punches as follow each other without a hole (their
/// terminals may have been told; if not, they come again as twins), and those behind a hole that are known to have been
/// durable. All the bytes go to quarantine first.
///
/// `false`: they cannot be kept there, since the folder cannot be written to, or since the disk is so full that there is not
/// even room in what is reserved behind them; nothing was changed, and they are to be taken as damage, which is told.
pub(super) fn mend_tail(
    board: &Board,
    journal: &mut Journal,
    at: Position,
    bytes: &[u8],
    told: &mut Told,
) -> Result<bool, OpenError> {
    let failed = |source| OpenError::disk(&board.journal_dir(), source);
    let keep = || quarantine(&*board.disk, &board.state_dir, at, bytes);
    let kept = keep().or_else(|error| {
        if !is_full(&error) {
            return Err(error);
        }
        journal.trim(at.segment, at.offset + bytes.len() as u64)?;
        keep()
    });
    let Ok(name) = kept else { return Ok(false) };
    let mut group = Group::new(board.seed());
    let mut heads: HashMap<u32, (u64, Head)> = HashMap::new();
    let (mut kept, mut dropped) = (0, 0);
    let mut zones = ZoneNames::default();
    let (number, found) = (journal.last_group() + 1, salvage(board.seed(), bytes));
    told.unsure = number <= told.closed_at && !found.lost.is_empty();
    for record in found.records {
        match &record {
            Record::Punch(punch) => {
                let known = heads.get(&punch.ledger).copied();
                let known = known.or_else(|| board.catalogue().get(punch.ledger).map(|state| (state.next, state.head)));
                let follows = known.is_some_and(|(next, head)| punch.seq == next && punch.prev == head.0);
                let behind =
                    known.is_some_and(|(next, _)| punch.seq > next) && told.is_durable(number, punch.ledger, punch.seq);
                match punch.entry(&mut zones) {
                    Ok(entry) if follows || behind => {
                        heads.insert(punch.ledger, (punch.seq + 1, entry.head()));
                        kept += 1;
                    }
                    _ => {
                        dropped += 1;
                        continue;
                    }
                }
            }
            Record::Ledger(ledger) => {
                heads.entry(ledger.number).or_insert((ledger.next, Head(ledger.head)));
            }
            Record::SetAside(_)
            | Record::Confirmed(_)
            | Record::Retired(_)
            | Record::Lost(_)
            | Record::Settled(_)
            | Record::Repaired(_)
            | Record::ConfirmedAt(_)
            | Record::Standing(_)
            | Record::Note(_) => {}
        }
        group.push(&record);
    }
    journal.resume(at.segment, at.offset, bytes.len()).map_err(failed)?;
    if !group.is_empty() {
        let full = |error: JournalError| failed(io::Error::other(error.to_string()));
        journal.append(&mut group).map_err(full)?;
    }
    let damaged = dropped > 0 || told.unsure;
    let text = format!(
        "segment {} ended in {} bytes that are no whole group; {kept} punches in them are whole and were kept, {dropped} stand behind a hole and were not; all of them are kept as {name}",
        at.segment,
        bytes.len()
    );
    let kind = if damaged { FindingKind::Damage } else { FindingKind::TornTail };
    board.find(kind, text);
    Ok(true)
}
