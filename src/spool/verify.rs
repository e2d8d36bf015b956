//! Is anything missing in a store? Needs neither the index nor the lock, and writes nothing.

use std::{collections::BTreeMap, io, path::Path};

use serde::Serialize;

use super::{
    group::salvage,
    ranges::Ranges,
    record::{Record, ZoneNames},
    segment::{Position, list, seed},
    walk::{Step, Walk, store_id},
};
use crate::ledger::{Head, Ledger};

/// What a look at every byte of a journal showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    pub segments: usize,
    /// Segments of which only ids are left, since they were delivered long ago.
    pub retired_segments: usize,
    pub groups: u64,
    /// Punches with all they hold.
    pub punches: u64,
    /// Punches of which the id is left.
    pub retired_punches: u64,
    pub set_aside: u64,
    pub ledgers: Vec<LedgerReport>,
    pub faults: Vec<Fault>,
    /// Bytes at the very end that are no whole group: a write that is under way or was cut short. It is no fault.
    pub unfinished_bytes: usize,
}

impl VerifyReport {
    /// Whether nothing is missing and nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty() && self.ledgers.iter().all(|ledger| ledger.missing.is_empty())
    }
}

/// What the journal holds of one ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerReport {
    pub terminal: String,
    pub serial: String,
    pub ledger: i64,
    pub punches: u64,
    /// The last number.
    pub last: u64,
    /// The head after it.
    pub head: Head,
    /// Numbers up to `last` that are not there.
    pub missing: Vec<(u64, u64)>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub segment: u64,
    /// Bytes from the start of the segment's file.
    pub offset: u64,
    pub what: String,
}

struct Seen {
    ledger: Ledger,
    found: Ranges,
    next: u64,
    head: Head,
}

/// Checks every checksum, every chain and every number in `state_dir`, while the daemon runs or not.
pub fn verify(state_dir: &Path) -> io::Result<VerifyReport> {
    let dir = state_dir.join("journal");
    let mut report = VerifyReport::default();
    for file in list(&dir)? {
        if file.retired { report.retired_segments += 1 } else { report.segments += 1 }
    }
    let Some(store) = store_id(&dir)? else {
        if report.segments > 0 {
            let what = "no segment has a header that can be read".into();
            report.faults.push(Fault { segment: 0, offset: 0, what });
        }
        return Ok(report);
    };
    let mut walk = Walk::new(&dir, seed(&store), Position::default());
    let mut ledgers = BTreeMap::new();
    loop {
        let (at, what) = match walk.next(None)? {
            Step::End { .. } => break,
            Step::Tail { .. } => {
                report.unfinished_bytes = walk.bytes().len();
                break;
            }
            Step::Missing { at, first, last } => {
                fault(&mut report, at, format!("groups {first} to {last} should stand before here"));
                continue;
            }
            Step::Damage { at } => {
                let found = salvage(seed(&store), walk.bytes());
                let (records, lost) = (found.records.len(), found.lost.iter().map(|it| it.len()).sum::<usize>());
                (at, Some(format!("a damaged group: {records} records are whole, {lost} bytes cannot be read")))
            }
            Step::Group { at } => {
                report.groups += 1;
                (at, None)
            }
        };
        if let Some(what) = what {
            fault(&mut report, at, what);
        }
        for record in walk.records() {
            check(&mut report, &mut ledgers, at, record);
        }
    }
    report.ledgers = ledgers.into_values().map(|seen| seen.report()).collect();
    Ok(report)
}

fn fault(report: &mut VerifyReport, at: Position, what: String) {
    report.faults.push(Fault { segment: at.segment, offset: at.offset, what });
}

fn check(report: &mut VerifyReport, ledgers: &mut BTreeMap<u32, Seen>, at: Position, record: Option<Record<'_>>) {
    match record {
        None => fault(report, at, "a record that only a newer version can read".into()),
        Some(Record::Ledger(it)) => {
            let ledger = it.ledger();
            let head = ledger.origin();
            let seen =
                ledgers.entry(it.number).or_insert_with(|| Seen { ledger, found: Ranges::default(), next: 1, head });
            // It tells the same as the punches before it, or something is amiss.
            if it.next == seen.next && it.head != seen.head.0 {
                let what = format!("the chain of {} breaks before {}", seen.ledger.terminal, it.next);
                fault(report, at, what);
            }
        }
        Some(Record::Punch(punch)) => {
            report.punches += 1;
            let Some(seen) = ledgers.get_mut(&punch.ledger) else {
                return fault(report, at, format!("punch {} is of a ledger that nothing names", punch.seq));
            };
            let (name, seq) = (&seen.ledger.terminal, punch.seq);
            let Ok(entry) = punch.entry(&mut ZoneNames::default()) else {
                let what = format!("punch {seq} of {name} can only be read by a newer version");
                return fault(report, at, what);
            };
            if seq < seen.next {
                fault(report, at, format!("punch {seq} of {name} stands here a second time"));
            } else if seq == seen.next && entry.prev != seen.head {
                fault(report, at, format!("the chain of {name} breaks before {seq}"));
            }
            seen.found.insert(seq, seq);
            (seen.next, seen.head) = (seq + 1, entry.head());
        }
        Some(Record::SetAside(_)) => report.set_aside += 1,
        Some(Record::Retired(retired)) => {
            let count = retired.ids().count() as u64;
            if retired.first == 0 {
                report.set_aside += count;
                return;
            }
            report.retired_punches += count;
            let Some(seen) = ledgers.get_mut(&retired.ledger) else {
                return fault(report, at, format!("ids up to {} are of a ledger that nothing names", retired.last));
            };
            seen.found.insert(retired.first, retired.last);
            (seen.next, seen.head) = (retired.last + 1, Head(retired.head));
        }
        Some(Record::Confirmed(_) | Record::Note(_)) => {}
    }
}

impl Seen {
    fn report(self) -> LedgerReport {
        let Self { ledger, found, next, head } = self;
        let Ledger { terminal, serial, begun, .. } = ledger;
        let missing = found.missing(1, next - 1);
        LedgerReport { terminal, serial, ledger: begun, punches: found.count(), last: next - 1, head, missing }
    }
}
