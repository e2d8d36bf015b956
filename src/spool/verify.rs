//! Is anything missing in a store? Needs neither the index nor the lock, and writes nothing.

mod account;
mod end;
pub(super) mod files;
mod report;

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io,
    path::Path,
};

pub use self::report::{Fault, LedgerReport, Missing, Recorded, Verdict, VerifyReport};
use self::{
    account::Seen,
    end::End,
    files::{Headed, HeaderFault, absent, headed, is_unused, strangers},
};
use super::{
    disk::readout::FILE_LIMIT,
    doubt::Doubt,
    group::salvage,
    lock,
    record::{Record, RetiredRecord},
    repair::extract::are_groups,
    segment::{Position, StoreId, seed, segment_path},
    stub::{StandsFor, stands_for},
    walk::{Step, Walk, store_id},
};
use crate::ledger::Head;

pub(super) const REPAIR: &str = "stop the daemon and run punchgate journal repair: it keeps every good record and sets the damaged files aside; \
     first copy state_dir if you can";
const UPGRADE: &str = "use the version of Punchgate that wrote it, or a later one";
pub(super) const NO_STORE: &str =
    "put journal/lock back from a backup: it holds the store's id; without it no record can be told from garbage";
const STRAY: &str = "take the file out of journal/ into the state_dir where it belongs";

/// Checks every checksum, every chain and every number in `state_dir`, while the daemon runs or not.
pub fn verify(state_dir: &Path) -> io::Result<VerifyReport> {
    let dir = state_dir.join("journal");
    let store = store_id(&dir)?;
    let files = headed(&dir, store.as_ref())?;
    let mut report = VerifyReport { in_use: lock::is_held(&dir), ..VerifyReport::default() };
    let left = lock::peek(&dir);
    report.notes.extend(strangers(&dir)?);
    let denied = File::open(dir.join("lock")).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    report.notes.extend(lock_note(left.as_ref(), denied, store.as_ref()));
    let closed = left.as_ref().is_some_and(lock::Content::is_closed) && !report.in_use;
    for (number, file) in files.iter().enumerate() {
        if file.file.retired {
            report.retired_segments += 1
        } else {
            report.segments += 1
        }
        // The daemon begins the newest one again, as after any crash.
        if number + 1 < files.len() || closed || !is_unused(file)? {
            judge_header(&mut report, file);
        }
    }
    let Some(store) = store else {
        if report.segments + report.retired_segments > 0 {
            let what = "no file has a header that can be read, and there is no lock file: without the store's id no checksum can be tried".into();
            report.faults = vec![Fault { segment: 0, offset: 0, what, mend: NO_STORE }];
        }
        return Ok(report);
    };
    let mut walk = Walk::whole(&dir, seed(&store));
    let mut ledgers = BTreeMap::new();
    let absent = absent(files.iter().map(|it| it.file.number));
    judge_absent(&mut report, &files, &absent);
    judge_stubs(&mut report, &dir, &store, &files)?;
    let mut end = End::new(state_dir, store, left.as_ref(), report.in_use);
    // Files may stand in any order; the last group is the one with the highest number.
    let mut last = 0;
    let mut doubt = Doubt::default();
    let mut gaps = VecDeque::from(absent);
    let mut damage: Option<(Position, usize)> = None;
    loop {
        let step = walk.next(None)?;
        while gaps.front().is_some_and(|gap| *gap < walk.position().segment) {
            gaps.pop_front();
            doubt.damage(last.max(1));
        }
        last = last.max(walk.group());
        let at = match step {
            Step::End { at } => {
                end.judge(&mut report, &mut ledgers, last, at);
                break;
            }
            // What was durable is no write that was under way.
            Step::Tail { at } if end.is_behind(last) => {
                end.damage = Some(report.faults.len());
                fault(&mut report, at, damaged(seed(&store), walk.bytes()), REPAIR);
                at
            }
            Step::Tail { at } => {
                report.unfinished_bytes = walk.bytes().len();
                if report.in_use || !walk.is_cut_short() {
                    end.judge(&mut report, &mut ledgers, last, at);
                    break;
                }
                let punches = walk.records().filter(|record| matches!(record, Some(Record::Punch(_))));
                report.unfinished_punches = punches.count() as u64;
                at
            }
            Step::Missing { at, first, last } => {
                doubt.damage(last);
                // Right behind damaged bytes it is their own groups that are missing.
                match damage.take().filter(|(end, _)| *end == at) {
                    Some((_, told)) => {
                        report.faults[told].what += &format!("; {} stood there", groups(first, last));
                    }
                    None => fault(&mut report, at, missing_groups(first, last, at, &files), REPAIR),
                }
                continue;
            }
            Step::Damage { at } => {
                damage = Some((walk.position(), report.faults.len()));
                end.damage = Some(report.faults.len());
                let what = damaged(seed(&store), walk.bytes());
                let what = walk.unread().map(|unread| format!("{unread}; {what}")).unwrap_or(what);
                fault(&mut report, at, what, REPAIR);
                at
            }
            Step::Group { at } => {
                report.groups += 1;
                end.damage = None;
                at
            }
        };
        for record in walk.records() {
            record.iter().for_each(|record| doubt.look(record));
            check(&mut report, &mut ledgers, at, record);
        }
        if let Step::Damage { .. } = step {
            doubt.damage(last + 1);
        }
    }
    for (number, last) in doubt.heard() {
        ledgers.get_mut(&number).into_iter().for_each(|seen| seen.next = seen.next.max(last + 1));
    }
    report.notes.extend(end.unheard(&ledgers, &doubt));
    report.notes.extend(doubt.nameless(|number| ledgers.contains_key(&number)));
    for seen in ledgers.values_mut() {
        seen.tell_odd(&mut report);
        seen.tell_changed(&mut report);
    }
    report.faults.sort_by_key(|fault| (fault.segment, fault.offset));
    report.ledgers = ledgers.into_values().map(Seen::report).collect();
    Ok(report)
}

fn judge_header(report: &mut VerifyReport, file: &Headed) {
    let too_long =
        file.length_fault().map(|what| Fault { segment: file.file.number, offset: FILE_LIMIT, what, mend: REPAIR });
    report.faults.extend(too_long);
    let Some(found) = &file.fault else { return };
    let name = file.name();
    let (what, mend) = match found {
        HeaderFault::Empty => (format!("{name} is empty"), REPAIR),
        HeaderFault::Zeros => (format!("{name} begins with zeros where its header should be"), REPAIR),
        HeaderFault::Damaged => (format!("the header of {name} is damaged"), REPAIR),
        HeaderFault::Newer(version) => {
            (format!("{name} is of version {version}, and this program reads version 1"), UPGRADE)
        }
        HeaderFault::Stray => (format!("{name} is of another store"), STRAY),
        HeaderFault::Misplaced(number) => {
            (format!("{name} holds what was written as segment {number}: it was renamed, copied or swapped"), REPAIR)
        }
    };
    report.faults.push(Fault { segment: file.file.number, offset: 0, what, mend });
}

/// What is left of retired segments tells nothing of its neighbours: only its name does.
fn judge_absent(report: &mut VerifyReport, files: &[Headed], absent: &[u64]) {
    for number in absent {
        let next = files.iter().find(|it| it.file.number > *number);
        if next.is_some_and(|next| next.file.retired) {
            let what = format!("neither {number:08}.seg nor {number:08}.ids is there");
            report.faults.push(Fault { segment: *number, offset: 0, what, mend: REPAIR });
        }
    }
}

/// A segment waits for its end beside what is left of it; unless that is left of another.
fn judge_stubs(report: &mut VerifyReport, dir: &Path, store: &StoreId, files: &[Headed]) -> io::Result<()> {
    for stub in files.iter().filter(|it| it.file.retired && it.fault.is_none()) {
        let number = stub.file.number;
        let segment = segment_path(dir, number);
        if !segment.exists() {
            continue;
        }
        match stands_for(store, &stub.file, &segment) {
            Ok(StandsFor::Nothing) => {
                let what = format!("{} is not what is left of {number:08}.seg, which stands beside it", stub.name());
                report.faults.push(Fault { segment: number, offset: 0, what, mend: REPAIR });
            }
            // It went while we looked.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn groups(first: u64, last: u64) -> String {
    if first == last { format!("group {first}") } else { format!("groups {first} to {last}") }
}

fn missing_groups(first: u64, last: u64, at: Position, files: &[Headed]) -> String {
    let before = files.iter().rev().find(|it| it.file.number < at.segment).map_or(0, |it| it.file.number);
    let gone: Vec<_> = absent(files.iter().map(|it| it.file.number))
        .into_iter()
        .filter(|it| (before..at.segment).contains(it))
        .map(|it| format!("{it:08}.seg"))
        .collect();
    let groups = groups(first, last);
    match gone.is_empty() {
        true => format!("{groups} should stand before here"),
        false => format!("{groups} should stand before here: {} is not there", gone.join(", ")),
    }
}

fn damaged(seed: u32, bytes: &[u8]) -> String {
    let found = salvage(seed, bytes);
    let lost: usize = found.lost.iter().map(|range| range.len()).sum();
    let punches = found.records.iter().filter(|record| matches!(record, Record::Punch(_))).count();
    let others = found.records.len() - punches;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    match (punches + others, lost) {
        // Something behind the room that is reserved.
        (0, _) if zeros > 0 && zeros < bytes.len() => {
            format!("behind {zeros} zeros: {}, of which nothing is a record", words(bytes.len() - zeros, "byte"))
        }
        _ if are_groups(seed, bytes) => format!(
            "{} are groups whose numbers stand before already: {} and {} are in them",
            words(bytes.len(), "byte"),
            words(punches, "punch"),
            words(others, "other record")
        ),
        (0, _) => format!("{} fail their checksum, and no record in them is whole", words(bytes.len(), "byte")),
        (_, lost) => format!(
            "{} fail their checksum: {} and {} in them are whole, {} cannot be read",
            words(bytes.len(), "byte"),
            words(punches, "punch"),
            words(others, "other record"),
            words(lost, "byte")
        ),
    }
}

/// `1 punch`, `2 punches`.
fn words(count: usize, what: &str) -> String {
    let plural = if what.ends_with("ch") { "es" } else { "s" };
    format!("{count} {what}{}", if count == 1 { "" } else { plural })
}

/// What is odd about the lock file. Nothing of the journal is in it, so it is no damage; but one thing only it can tell.
fn lock_note(left: Option<&lock::Content>, denied: bool, store: Option<&StoreId>) -> Option<String> {
    let behind = "whether something is missing behind its last group is known to the daemon's index alone";
    match (left, store) {
        (_, None) => None,
        (None, Some(_)) if denied => Some(
            "journal/lock may not be read by this user, so that it is not known how the store was left, nor whether something \
             is missing behind its last group: look again as root or as the gateway's user"
                .into(),
        ),
        (None, Some(_)) => Some(format!(
            "journal/lock is not there or cannot be read: the next start writes it anew; until then {behind}"
        )),
        (Some(content), Some(store)) if content.store() != Some(*store) => Some(format!(
            "journal/lock names another store than the segments do, which are believed: the next start writes it anew; until then {behind}"
        )),
        (Some(_), Some(_)) => None,
    }
}

fn fault(report: &mut VerifyReport, at: Position, what: String, mend: &'static str) {
    report.faults.push(Fault { segment: at.segment, offset: at.offset, what, mend });
}

fn check(report: &mut VerifyReport, ledgers: &mut BTreeMap<u32, Seen>, at: Position, record: Option<Record<'_>>) {
    match record {
        None => fault(report, at, "a record that only a newer version can read".into(), UPGRADE),
        Some(Record::Ledger(it)) => {
            let seen = ledgers.entry(it.number).or_insert_with(|| Seen::new(it.ledger()));
            // It tells the same as the punches before it, or something is amiss.
            if it.next == seen.next && it.head != seen.head.0 {
                let what = format!("the chain of {} breaks before {}", seen.ledger.terminal, it.next);
                fault(report, at, what, REPAIR);
            }
        }
        Some(Record::Punch(punch)) => {
            report.punches += 1;
            match ledgers.get_mut(&punch.ledger) {
                Some(seen) => seen.punch(report, at, &punch),
                None => fault(report, at, format!("punch {} is of a ledger that nothing names", punch.seq), REPAIR),
            }
        }
        Some(Record::SetAside(_)) => report.set_aside += 1,
        Some(Record::Retired(retired)) => check_retired(report, ledgers, at, &retired),
        Some(Record::Lost(lost)) => {
            if let Some(seen) = ledgers.get_mut(&lost.ledger) {
                seen.lost(&lost);
            }
        }
        Some(Record::Settled(settled)) => {
            if let Some(seen) = ledgers.get_mut(&settled.ledger) {
                seen.settled(&settled);
            }
        }
        Some(Record::Repaired(it)) => report.repaired_groups += (it.last_group + 1).saturating_sub(it.first_group),
        Some(Record::Confirmed(it)) => {
            if let Some(seen) = ledgers.get_mut(&it.ledger) {
                seen.confirmed.insert(it.first, it.last);
            }
        }
        Some(Record::ConfirmedAt(it)) => {
            if let Some(seen) = ledgers.get_mut(&it.ledger) {
                seen.confirmed.insert(it.first, it.last);
            }
        }
        Some(Record::Standing(_) | Record::Note(_)) => {}
    }
}

fn check_retired(
    report: &mut VerifyReport,
    ledgers: &mut BTreeMap<u32, Seen>,
    at: Position,
    retired: &RetiredRecord<'_>,
) {
    let count = retired.ids().count() as u64;
    if retired.first == 0 {
        report.set_aside += count;
        return;
    }
    report.retired_punches += count;
    let Some(seen) = ledgers.get_mut(&retired.ledger) else {
        return fault(report, at, format!("ids up to {} are of a ledger that nothing names", retired.last), REPAIR);
    };
    if retired.first > seen.next {
        seen.behind.insert(retired.first, at);
    }
    seen.found.insert(retired.first, retired.last);
    // Nothing is retired that was not delivered.
    seen.confirmed.insert(retired.first, retired.last);
    (seen.next, seen.head) = (retired.last + 1, Head(retired.head));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_may_not_be_read_is_not_called_gone() {
        // As root one may read everything, so that no file can show it.
        let said = |denied| lock_note(None, denied, Some(&[7; 16])).unwrap();
        assert!(said(false).contains("is not there or cannot be read"), "{}", said(false));
        assert!(said(true).contains("may not be read by this user"), "{}", said(true));
        assert!(!said(true).contains("writes it anew"), "{}", said(true));
    }
}
