//! Which ledgers end at a start, since nobody can tell any more which of their numbers were given.

use super::{board::Board, journal::Journal, losses, mend::Told, status::FindingKind};

/// A copy may have given numbers already that its original gave too: no ledger of it is used again. Tells whether the journal
/// says so now; where it cannot be written, the next start tries again.
pub(super) fn begin_anew(board: &Board, journal: &mut Journal) -> bool {
    let numbers: Vec<u32> = board.catalogue().iter().filter(|state| !state.closed).map(|state| state.number).collect();
    if numbers.is_empty() {
        return true;
    }
    let text = format!("this is a copy of the store, or a backup put back: {} ledgers are used no more", numbers.len());
    board.find(FindingKind::Restored, text);
    losses::close(board, journal, &numbers, "the store was copied or restored")
}

/// Of a ledger of which nothing stands behind damage nobody knows whether its last punches stood there: it does not go on.
/// `false` where that could not be written.
pub(super) fn told_of_all(board: &Board, journal: &mut Journal, told: &Told) -> bool {
    let numbers = told.doubt.unheard(&board.catalogue());
    if numbers.is_empty() {
        return true;
    }
    let text = format!(
        "{} ledgers of which nothing stands behind the damage may have had more punches there, and are used no more",
        numbers.len()
    );
    board.find(FindingKind::Damage, text);
    losses::close(board, journal, &numbers, "what stood behind its last punch is damaged")
}

/// A store that was closed in order and has lost its end since, while no index tells whose numbers stood there: no ledger of
/// it goes on, and the numbers of the groups that are gone stay free, so that whoever reads the journal misses them for ever.
/// `false` where that could not be written.
pub(super) fn has_its_end(board: &Board, journal: &mut Journal, told: &Told) -> bool {
    let (last, closed_at) = (journal.last_group(), told.closed_at);
    if last >= closed_at && !told.unsure {
        return true;
    }
    let numbers: Vec<u32> = board.catalogue().iter().filter(|state| !state.closed).map(|state| state.number).collect();
    let what = if last < closed_at { format!("ends with group {last}") } else { "cannot be read to its end".into() };
    let text = format!(
        "the journal was closed behind group {closed_at}, and {what}: punches behind that may be gone, and {} ledgers are used no more",
        numbers.len()
    );
    board.find(FindingKind::Damage, text);
    journal.leave_out(closed_at);
    losses::close(board, journal, &numbers, "the journal lost its end")
}
