//! What is done before a damaged segment is retired: nobody will see its bytes again, nor miss the numbers that stood there.

use std::{collections::HashMap, io};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::super::{
    board::Board,
    committer::Request,
    mend::report_damage,
    ranges::Ranges,
    record::{LostRecord, Record},
    replay::quarantine,
    segment::{Position, SegmentFile},
    walk::{Step, Walk},
};

/// Keeps the bytes that cannot be read in quarantine, tells of them, and has the numbers recorded that are gone: of the whole
/// journal, so that one pass through all segments does it once. An error, a full disk too: it is not done, and the segment
/// must stay.
pub(super) fn settle(board: &Board, file: &SegmentFile, recorded: &mut bool) -> io::Result<()> {
    let behind = Position { segment: file.number + 1, offset: 0 };
    let mut walk = Walk::new(&board.journal_dir(), board.seed(), Position { segment: file.number, offset: 0 });
    loop {
        match walk.next(Some(behind))? {
            Step::End { .. } => break,
            Step::Group { .. } | Step::Missing { .. } => {}
            Step::Damage { at } | Step::Tail { at } => {
                quarantine(&*board.disk, &board.state_dir, at, walk.bytes())?;
                report_damage(board, at, &walk);
            }
        }
    }
    if !*recorded {
        let gone = gone(board)?;
        if !gone.is_empty() {
            ask(board, |answer| Request::Lost(gone, answer))?.map_err(io::Error::other)?;
        }
        *recorded = true;
    }
    Ok(())
}

/// Numbers that were given and stand nowhere, as far as the journal does not say so yet. All of it is read, and not only what
/// is near the damage: a ledger may have nothing else there.
fn gone(board: &Board) -> io::Result<Vec<LostRecord<'static>>> {
    let given: Vec<(u32, u64)> = board.catalogue().iter().map(|it| (it.number, it.next - 1)).collect();
    // When this is answered all of them stand before the journal's end.
    ask(board, Request::Ping)?;
    let end = *board.end.borrow();
    let mut walk = Walk::new(&board.journal_dir(), board.seed(), Position::default());
    let mut held: HashMap<u32, Ranges> = HashMap::new();
    // When the punch behind each hole was stored.
    let mut behind: HashMap<(u32, u64), i64> = HashMap::new();
    loop {
        match walk.next(Some(end))? {
            Step::End { .. } => break,
            Step::Missing { .. } => continue,
            Step::Group { .. } | Step::Damage { .. } | Step::Tail { .. } => {}
        }
        for record in walk.records().flatten() {
            match record {
                Record::Punch(punch) => {
                    let ranges = held.entry(punch.ledger).or_default();
                    if !ranges.contains(punch.seq - 1) {
                        behind.insert((punch.ledger, punch.seq), punch.stored());
                    }
                    ranges.insert(punch.seq, punch.seq);
                }
                Record::Retired(it) if it.first != 0 => held.entry(it.ledger).or_default().insert(it.first, it.last),
                _ => {}
            }
        }
    }
    let at = Timestamp::now().as_millisecond();
    let mut gone = Vec::new();
    let catalogue = board.catalogue();
    for (ledger, last) in given.into_iter().filter(|(_, last)| *last > 0) {
        let known = held.entry(ledger).or_default();
        let told = catalogue.get(ledger).into_iter().flat_map(|state| state.losses.values());
        told.for_each(|loss| known.insert(loss.first, loss.last));
        for (first, last) in known.missing(1, last) {
            let until = behind.get(&(ledger, last + 1)).copied().unwrap_or(at);
            let why = "found missing before its segment was retired";
            gone.push(LostRecord { ledger, first, last, until, at, closes: false, why });
        }
    }
    Ok(gone)
}

/// What the committer answers; it may have ended.
fn ask<T>(board: &Board, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> io::Result<T> {
    let (answer, answered) = oneshot::channel();
    let ended = || io::Error::other("the store is closing");
    board.requests.send(request(answer)).map_err(|_| ended())?;
    answered.blocking_recv().map_err(|_| ended())
}
