//! What is done about bytes that are no group: kept, told, and as much of them used as is whole.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    ops::Range,
};

use super::{
    board::Board,
    doubt::Doubt,
    group::{Group, salvage},
    journal::{Journal, JournalError, is_full},
    record::{Record, ZoneNames},
    recovery::OpenError,
    repair::extract::{Extract, Seal, are_groups, extract},
    replay::quarantine,
    segment::{Position, list},
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
    let what = if are_groups(board.seed(), bytes) {
        "are groups whose numbers stand before already"
    } else {
        "fail their checksum"
    };
    let unread = walk.unread().map(|unread| format!("{unread}; ")).unwrap_or_default();
    let text = format!(
        "segment {} byte {}: {unread}{} bytes {what}; {} records in them are whole and are used, {lost} bytes cannot be read; {kept}",
        at.segment,
        at.offset,
        bytes.len(),
        found.records.len(),
    );
    board.find(FindingKind::Damage, text);
}

/// Enough for a group of what was kept: far below the longest one that can be read.
const GROUP_BYTES: usize = 1 << 20;

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
/// Older groups that stand there once more, as a disk that loses its place leaves them, are none of it: all that is in them
/// stands where it belongs already.
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
    let number = journal.last_group() + 1;
    let (news, copies) = without_copies(board, at, bytes, number).map_err(failed)?;
    let found: Vec<_> = news.into_iter().map(|place| salvage(board.seed(), &bytes[place])).collect();
    told.unsure = number <= told.closed_at && found.iter().any(|found| !found.lost.is_empty());
    let mut groups = vec![Group::new(board.seed())];
    let mut heads: HashMap<u32, (u64, Head)> = HashMap::new();
    let (mut kept, mut dropped) = (0, 0);
    let mut zones = ZoneNames::default();
    for record in found.into_iter().flat_map(|found| found.records) {
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
                // An older one, which names it once more, must not lead back to numbers that are given.
                let known = board.catalogue().get(ledger.number).map(|state| (state.next, state.head));
                let named = (ledger.next, Head(ledger.head));
                heads.entry(ledger.number).or_insert(known.filter(|(next, _)| *next > ledger.next).unwrap_or(named));
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
        // There may be whole groups among it, whose numbers are used: more than one group has room for.
        if groups.last().is_some_and(|group| group.bytes() > GROUP_BYTES) {
            groups.push(Group::new(board.seed()));
        }
        if let Some(group) = groups.last_mut() {
            group.push(&record);
        }
    }
    journal.resume(at.segment, at.offset, bytes.len()).map_err(failed)?;
    for group in groups.iter_mut().filter(|group| !group.is_empty()) {
        let full = |error: JournalError| failed(io::Error::other(error.to_string()));
        journal.append(group).map_err(full)?;
    }
    let damaged = dropped > 0 || told.unsure;
    let (segment, long) = (at.segment, bytes.len());
    let what = match copies {
        0 => "are no whole group".to_owned(),
        1 => "are no new group, one that stands in the journal already among them".to_owned(),
        copies => format!("are no new group, {copies} that stand in the journal already among them"),
    };
    let text = format!(
        "segment {segment} ended in {long} bytes that {what}; {kept} punches in them are whole and were kept, {dropped} stand behind a hole and were not; all of them are kept as {name}"
    );
    let kind = if damaged { FindingKind::Damage } else { FindingKind::TornTail };
    board.find(kind, text);
    Ok(true)
}

/// The places of all that is no copy of a group before, and how many copies there are. Only groups with numbers below `next`
/// can be any.
fn without_copies(board: &Board, at: Position, bytes: &[u8], next: u64) -> io::Result<(Vec<Range<usize>>, usize)> {
    let found = extract(board.seed(), bytes, 0, 0);
    let mut wanted: BTreeSet<Seal> =
        found.groups.iter().filter(|group| group.number < next).map(|group| group.seal).collect();
    let mut copied = BTreeSet::new();
    // What is written again by mistake was written not long ago.
    for file in list(&board.journal_dir())?.into_iter().rev().filter(|file| file.number <= at.segment && !file.retired)
    {
        if wanted.is_empty() {
            break;
        }
        let mut before = fs::read(&file.path)?;
        if file.number == at.segment {
            before.truncate(usize::try_from(at.offset).unwrap_or(usize::MAX));
        }
        for group in extract(board.seed(), &before, 0, 0).groups {
            copied.extend(wanted.take(&group.seal));
        }
    }
    let Extract { groups, rests, .. } = found;
    let (copies, news): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| copied.contains(&group.seal));
    let mut places: Vec<_> =
        news.into_iter().map(|group| group.place).chain(rests.into_iter().map(|(_, place)| place)).collect();
    places.sort_by_key(|place| place.start);
    Ok((places, copies.len()))
}
