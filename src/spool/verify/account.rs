//! The account of one ledger: which of its numbers are there, in what order, and what the journal says of the others.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    super::{
        identity::has_its_id,
        ranges::Ranges,
        record::{LostRecord, PunchRecord, SettledRecord, ZoneNames},
        segment::Position,
    },
    LedgerReport, Missing, REPAIR, Recorded, UPGRADE, VerifyReport, fault,
};
use crate::ledger::{Entry, Head, Ledger};

/// One ledger, as its records come by.
pub(super) struct Seen {
    pub(super) ledger: Ledger,
    pub(super) found: Ranges,
    pub(super) confirmed: Ranges,
    pub(super) next: u64,
    pub(super) head: Head,
    /// It was ended: whatever it had is told.
    pub(super) closed: bool,
    /// Where the punch behind each hole stands, by its number.
    pub(super) behind: BTreeMap<u64, Position>,
    recorded: Vec<(u64, u64, Recorded)>,
    /// The last punch, and where it stands: while no other is chained to it, only its id vouches for it.
    newest: Option<(Position, Entry)>,
    /// A run of punches that do not follow: where it begins, its numbers, and whether they are there twice.
    odd: Option<(Position, u64, u64, bool)>,
}

impl Seen {
    pub(super) fn new(ledger: Ledger) -> Self {
        let head = ledger.origin();
        let (found, confirmed, behind) = (Ranges::default(), Ranges::default(), BTreeMap::new());
        Self {
            ledger,
            found,
            confirmed,
            next: 1,
            head,
            closed: false,
            behind,
            recorded: Vec::new(),
            newest: None,
            odd: None,
        }
    }

    pub(super) fn punch(&mut self, report: &mut VerifyReport, at: Position, punch: &PunchRecord<'_>) {
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
            self.tell_changed(report);
            self.behind.insert(seq, at);
        }
        self.found.insert(seq, seq);
        (self.next, self.head) = (seq + 1, entry.head());
        self.newest = Some((at, entry));
    }

    /// Nothing is chained to the newest punch, and its id is not that of what it says.
    pub(super) fn tell_changed(&mut self, report: &mut VerifyReport) {
        let Some((at, entry)) = self.newest.take().filter(|(_, entry)| !has_its_id(&self.ledger, entry)) else {
            return;
        };
        let what = format!("punch {} of {} was changed: its id is of another", entry.seq, self.ledger.terminal);
        fault(report, at, what, REPAIR);
    }

    pub(super) fn tell_odd(&mut self, report: &mut VerifyReport) {
        let Some((at, first, last, twice)) = self.odd.take() else { return };
        let punches = if first == last { format!("punch {first}") } else { format!("punches {first} to {last}") };
        let how = if twice { "a second time" } else { "out of their order" };
        fault(report, at, format!("{punches} of {} stand here {how}", self.ledger.terminal), REPAIR);
    }

    pub(super) fn lost(&mut self, lost: &LostRecord<'_>) {
        let at = Timestamp::from_millisecond(lost.at).unwrap_or(Timestamp::UNIX_EPOCH);
        self.recorded.push((lost.first, lost.last, Recorded { at, why: lost.why.to_owned(), settled: None }));
        self.closed |= lost.closes;
        if lost.closes {
            self.next = self.next.max(lost.last.saturating_add(1));
        }
    }

    pub(super) fn settled(&mut self, settled: &SettledRecord) {
        let word = if settled.made_good { "made good" } else { "acknowledged" };
        let told = self.recorded.iter_mut().filter(|(first, last, _)| settled.first <= *first && *last <= settled.last);
        told.for_each(|(_, _, recorded)| recorded.settled = Some(word));
    }

    pub(super) fn report(self) -> LedgerReport {
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
        let Self { ledger, found, confirmed, next, head, .. } = self;
        let Ledger { terminal, serial, begun, .. } = ledger;
        let open = found.iter().flat_map(|(first, last)| confirmed.missing(first, last));
        let undelivered = open.map(|(first, last)| last - first + 1).sum();
        let (punches, last) = (found.count(), next - 1);
        LedgerReport { terminal, serial, ledger: begun, punches, last, head, missing: holes, undelivered }
    }

    fn hole(&self, first: u64, last: u64, recorded: Option<Recorded>) -> Missing {
        let behind = self.behind.range(last..).next().map(|(_, at)| *at);
        Missing { first, last, segment: behind.map(|at| at.segment), offset: behind.map(|at| at.offset), recorded }
    }
}
