//! Reading the whole journal now and then, so that damage is told while there is still time to read a terminal's log again:
//! what is delivered is read by nobody else.

use std::{path::Path, time::Duration};

use super::{board::Board, status::FindingKind, verify::verify};

/// The first time soon after the start, but not in its way.
pub(super) const AFTER_START: Duration = Duration::from_secs(15);
pub(super) const EVERY: Duration = Duration::from_secs(86_400);

/// Faults that are told one by one.
const TOLD: usize = 5;

/// Looks at every byte; what is wrong becomes a finding.
pub(super) fn scrub(board: &Board) {
    if let Some(text) = look(&board.state_dir) {
        board.find(FindingKind::Damage, text);
    }
}

fn look(state_dir: &Path) -> Option<String> {
    let report = match verify(state_dir) {
        Ok(report) if report.is_whole() => return None,
        Ok(report) => report,
        Err(error) => return Some(format!("the journal cannot be read through: {error}")),
    };
    let faults = report.faults.iter().map(|it| format!("segment {} byte {}: {}", it.segment, it.offset, it.what));
    let missing = report.ledgers.iter().flat_map(|ledger| {
        // What the journal itself says to be lost is told by a condition of its own.
        ledger.missing.iter().filter(|it| it.recorded.is_none()).map(move |it| {
            let (first, last) = (it.first, it.last);
            format!("punches {first} to {last} of {} ledger {} are missing", ledger.terminal, ledger.ledger)
        })
    });
    let all: Vec<String> = faults.chain(missing).collect();
    if all.is_empty() {
        return None;
    }
    let more = all.len().saturating_sub(TOLD);
    let told = all[..all.len() - more].join("; ");
    Some(if more > 0 { format!("{told}; and {more} more") } else { told })
}
