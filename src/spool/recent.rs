//! The newest punches, for people who look.

use std::{collections::VecDeque, io, sync::Arc};

use jiff::Timestamp;

use super::{
    board::Board,
    record::{Record, ZoneNames},
    segment::{Position, list},
    walk::{Step, Walk},
};
use crate::ledger::{Entry, Ledger};

/// Which punches are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub terminal: Option<String>,
    pub person: Option<String>,
    /// Stored at or after.
    pub since: Option<Timestamp>,
    pub limit: usize,
}

/// Newest first: segment by segment backward, each read forward. Blocks on the disk.
pub(super) fn recent(board: &Board, filter: &Filter) -> io::Result<Vec<(Arc<Ledger>, Entry)>> {
    let end = *board.end.borrow();
    let since = filter.since.map_or(i64::MIN, Timestamp::as_millisecond);
    let mut found = Vec::new();
    let mut zones = ZoneNames::default();
    for file in list(&board.journal_dir())?.into_iter().rev().filter(|file| !file.retired) {
        let wanted = filter.limit - found.len();
        if wanted == 0 {
            break;
        }
        let behind = end.min(Position { segment: file.number + 1, offset: 0 });
        let mut walk = Walk::new(&board.journal_dir(), board.seed(), Position { segment: file.number, offset: 0 });
        let mut newest: VecDeque<(Arc<Ledger>, Entry)> = VecDeque::new();
        let (mut young, mut any) = (false, false);
        while let Some(()) = step(&mut walk, behind)? {
            let catalogue = board.catalogue();
            for record in walk.records().flatten() {
                let Record::Punch(punch) = record else { continue };
                any = true;
                if punch.stored() < since {
                    continue;
                }
                young = true;
                let Some(ledger) = catalogue.get(punch.ledger).map(|state| &state.ledger) else { continue };
                if filter.terminal.as_ref().is_some_and(|wanted| *wanted != ledger.terminal) {
                    continue;
                }
                if filter.person.as_ref().is_some_and(|wanted| *wanted != punch.person()) {
                    continue;
                }
                let Ok(entry) = punch.entry(&mut zones) else { continue };
                if newest.len() == wanted {
                    newest.pop_front();
                }
                newest.push_back((ledger.clone(), entry));
            }
        }
        found.extend(newest.into_iter().rev());
        if any && !young {
            break; // those before are older still
        }
    }
    Ok(found)
}

fn step(walk: &mut Walk, end: Position) -> io::Result<Option<()>> {
    loop {
        match walk.next(Some(end))? {
            Step::End { .. } => return Ok(None),
            Step::Missing { .. } => {}
            Step::Group { .. } | Step::Damage { .. } | Step::Tail { .. } => return Ok(Some(())),
        }
    }
}
