//! Is anything missing in a store? Needs neither the index nor the lock, and writes nothing.

pub(super) mod files;

use std::{collections::BTreeMap, io, path::Path};

use jiff::Timestamp;
use serde::Serialize;

use self::files::{Headed, HeaderFault, absent, headed, is_unused};
use super::{
    group::salvage,
    lock,
    ranges::Ranges,
    record::{LostRecord, PunchRecord, Record, RetiredRecord, SettledRecord, ZoneNames},
    segment::{Position, seed},
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
    /// Groups that were lost and that a repair has accounted for.
    pub repaired_groups: u64,
    /// Bytes at the very end that are no whole group: a write that is under way or was cut short. It is no fault.
    pub unfinished_bytes: usize,
    /// Whether a daemon has the store open.
    pub in_use: bool,
}

/// What a store is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is missing and nothing is wrong.
    Whole,
    /// Nothing is wrong any more; what is missing is recorded as lost.
    Mended,
    /// Something is wrong, or missing without a word.
    Damaged,
}

impl VerifyReport {
    /// Whether nothing is missing and nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.verdict() == Verdict::Whole
    }

    pub fn verdict(&self) -> Verdict {
        let mut missing = self.ledgers.iter().flat_map(|ledger| &ledger.missing).peekable();
        match () {
            () if !self.faults.is_empty() => Verdict::Damaged,
            () if missing.peek().is_none() => Verdict::Whole,
            () if missing.all(|hole| hole.recorded.is_some()) => Verdict::Mended,
            () => Verdict::Damaged,
        }
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
    pub missing: Vec<Missing>,
}

/// Numbers of a ledger that are not in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    pub first: u64,
    pub last: u64,
    /// Where the first punch behind the hole stands; absent where there is none.
    pub segment: Option<u64>,
    pub offset: Option<u64>,
    /// What the journal itself says of it; absent: not a word.
    pub recorded: Option<Recorded>,
}

/// That numbers are lost, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    pub at: Timestamp,
    pub why: String,
    /// `made good`: as many punches came again under new numbers; `acknowledged`: somebody has taken note.
    pub settled: Option<&'static str>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub segment: u64,
    /// Bytes from the start of the segment's file.
    pub offset: u64,
    pub what: String,
    pub mend: &'static str,
}

pub(super) const REPAIR: &str = "stop the daemon and run punchgate journal repair: it keeps every good record and sets the damaged files aside; \
     first copy state_dir if you can";
const UPGRADE: &str = "use the version of Punchgate that wrote it, or a later one";
const STRAY: &str = "take the file out of journal/ into the state_dir where it belongs";

struct Seen {
    ledger: Ledger,
    found: Ranges,
    next: u64,
    head: Head,
    /// Where the punch behind each hole stands, by its number.
    behind: BTreeMap<u64, Position>,
    recorded: Vec<(u64, u64, Recorded)>,
    /// A run of punches that do not follow: where it begins, its numbers, and whether they are there twice.
    odd: Option<(Position, u64, u64, bool)>,
}

/// Checks every checksum, every chain and every number in `state_dir`, while the daemon runs or not.
pub fn verify(state_dir: &Path) -> io::Result<VerifyReport> {
    let dir = state_dir.join("journal");
    let store = store_id(&dir)?;
    let files = headed(&dir, store.as_ref())?;
    let mut report = VerifyReport { in_use: lock::is_held(&dir), ..VerifyReport::default() };
    let left = lock::peek(&dir);
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
            report.faults.push(Fault { segment: 0, offset: 0, what, mend: REPAIR });
        }
        return Ok(report);
    };
    let mut walk = Walk::whole(&dir, seed(&store));
    let mut ledgers = BTreeMap::new();
    let absent = absent(&files);
    judge_absent(&mut report, &files, &absent);
    loop {
        let at = match walk.next(None)? {
            Step::End { at } => {
                judge_end(&mut report, left.as_ref().and_then(lock::Content::closed_at), walk.group(), at);
                break;
            }
            Step::Tail { at } => {
                if !closed {
                    report.unfinished_bytes = walk.bytes().len();
                    break;
                }
                // It was closed in order, so nothing was under way.
                fault(&mut report, at, damaged(seed(&store), walk.bytes()), REPAIR);
                at
            }
            Step::Missing { at, first, last } => {
                fault(&mut report, at, missing_groups(first, last, at, &files, &absent), REPAIR);
                continue;
            }
            Step::Damage { at } => {
                fault(&mut report, at, damaged(seed(&store), walk.bytes()), REPAIR);
                at
            }
            Step::Group { at } => {
                report.groups += 1;
                at
            }
        };
        for record in walk.records() {
            check(&mut report, &mut ledgers, at, record);
        }
    }
    for seen in ledgers.values_mut() {
        seen.tell_odd(&mut report);
    }
    report.faults.sort_by_key(|fault| (fault.segment, fault.offset));
    report.ledgers = ledgers.into_values().map(Seen::report).collect();
    Ok(report)
}

fn judge_header(report: &mut VerifyReport, file: &Headed) {
    let Some(found) = &file.fault else { return };
    let name = file.name();
    let (what, mend) = match found {
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

/// A store that was closed says how far it went.
fn judge_end(report: &mut VerifyReport, closed_at: Option<u64>, last: u64, at: Position) {
    if let Some(closed_at) = closed_at.filter(|closed_at| *closed_at > last && !report.in_use) {
        let first = last + 1;
        let what = format!(
            "the journal ends here, and had groups {first} to {closed_at} when it was closed: its end was cut off, or its last files are gone"
        );
        fault(report, at, what, REPAIR);
    }
}

fn missing_groups(first: u64, last: u64, at: Position, files: &[Headed], absent: &[u64]) -> String {
    let before = files.iter().rev().find(|it| it.file.number < at.segment).map_or(0, |it| it.file.number);
    let gone: Vec<_> =
        absent.iter().filter(|it| (before..at.segment).contains(it)).map(|it| format!("{it:08}.seg")).collect();
    let groups = if first == last { format!("group {first}") } else { format!("groups {first} to {last}") };
    match gone.is_empty() {
        true => format!("{groups} should stand before here"),
        false => format!("{groups} should stand before here: {} is not there", gone.join(", ")),
    }
}

fn damaged(seed: u32, bytes: &[u8]) -> String {
    let found = salvage(seed, bytes);
    let lost: usize = found.lost.iter().map(|range| range.len()).sum();
    let punches = found.records.iter().filter(|record| matches!(record, Record::Punch(_))).count();
    format!(
        "{} bytes fail their checksum: {punches} punches and {} other records in them are whole, {lost} bytes cannot be read",
        bytes.len(),
        found.records.len() - punches
    )
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
        Some(Record::Confirmed(_) | Record::ConfirmedAt(_) | Record::Standing(_) | Record::Note(_)) => {}
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
    (seen.next, seen.head) = (retired.last + 1, Head(retired.head));
}

impl Seen {
    fn new(ledger: Ledger) -> Self {
        let head = ledger.origin();
        let (found, behind) = (Ranges::default(), BTreeMap::new());
        Self { ledger, found, next: 1, head, behind, recorded: Vec::new(), odd: None }
    }

    fn punch(&mut self, report: &mut VerifyReport, at: Position, punch: &PunchRecord<'_>) {
        let (name, seq) = (&self.ledger.terminal, punch.seq);
        let Ok(entry) = punch.entry(&mut ZoneNames::default()) else {
            let what = format!("punch {seq} of {name} can only be read by a newer version");
            return fault(report, at, what, UPGRADE);
        };
        if seq < self.next {
            let twice = self.found.contains(seq);
            self.found.insert(seq, seq);
            match &mut self.odd {
                Some((_, _, last, before)) if *before == twice && seq == *last + 1 => *last = seq,
                _ => {
                    self.tell_odd(report);
                    self.odd = Some((at, seq, seq, twice));
                }
            }
            return;
        }
        self.tell_odd(report);
        if seq == self.next && entry.prev != self.head {
            let what = format!("the chain of {} breaks before {seq}", self.ledger.terminal);
            fault(report, at, what, REPAIR);
        }
        if seq > self.next {
            self.behind.insert(seq, at);
        }
        self.found.insert(seq, seq);
        (self.next, self.head) = (seq + 1, entry.head());
    }

    fn tell_odd(&mut self, report: &mut VerifyReport) {
        let Some((at, first, last, twice)) = self.odd.take() else { return };
        let punches = if first == last { format!("punch {first}") } else { format!("punches {first} to {last}") };
        let how = if twice { "a second time" } else { "out of their order" };
        fault(report, at, format!("{punches} of {} stand here {how}", self.ledger.terminal), REPAIR);
    }

    fn lost(&mut self, lost: &LostRecord<'_>) {
        let at = Timestamp::from_millisecond(lost.at).unwrap_or(Timestamp::UNIX_EPOCH);
        self.recorded.push((lost.first, lost.last, Recorded { at, why: lost.why.to_owned(), settled: None }));
        if lost.closes {
            self.next = self.next.max(lost.last.saturating_add(1));
        }
    }

    fn settled(&mut self, settled: &SettledRecord) {
        let word = if settled.made_good { "made good" } else { "acknowledged" };
        let told = self.recorded.iter_mut().filter(|(first, last, _)| settled.first <= *first && *last <= settled.last);
        told.for_each(|(_, _, recorded)| recorded.settled = Some(word));
    }

    fn report(self) -> LedgerReport {
        let mut holes = Vec::new();
        for (first, last) in self.found.missing(1, self.next - 1) {
            // A hole may be recorded in parts; each part is told with what is known of it.
            let mut from = first;
            for (start, end, recorded) in &self.recorded {
                if *start <= from && from <= *end {
                    let to = last.min(*end);
                    holes.push(self.hole(from, to, Some(recorded.clone())));
                    from = to + 1;
                }
            }
            if from <= last {
                holes.push(self.hole(from, last, None));
            }
        }
        let Self { ledger, found, next, head, .. } = self;
        let Ledger { terminal, serial, begun, .. } = ledger;
        LedgerReport { terminal, serial, ledger: begun, punches: found.count(), last: next - 1, head, missing: holes }
    }

    fn hole(&self, first: u64, last: u64, recorded: Option<Recorded>) -> Missing {
        let behind = self.behind.range(last..).next().map(|(_, at)| *at);
        Missing { first, last, segment: behind.map(|at| at.segment), offset: behind.map(|at| at.offset), recorded }
    }
}
