//! Which records were changed after they were written, with every checksum made right again: the chain tells. Each punch
//! names the head before it, so the next one vouches for all that is chained of the one before. Pure; no I/O.

use std::collections::BTreeMap;

use super::super::{
    group::records,
    identity::has_its_id,
    ranges::Ranges,
    record::{LedgerRecord, PunchRecord, Record, RetiredRecord, ZoneNames},
};
use crate::ledger::{Entry, Head, Ledger};

/// A record by its file, its group there and its place in that.
pub(super) type Place = (u64, u64, usize);

/// What is done about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    /// It is not what was written, and nobody knows what was.
    Gone { ledger: u32, seq: u64 },
    /// It stands before already.
    Again { ledger: u32, seq: u64 },
    /// It stays, with the head that its neighbours vouch for.
    Head([u8; 32]),
}

/// The verdict.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) edits: BTreeMap<Place, Edit>,
    pub(super) numbers: BTreeMap<u32, Ranges>,
    /// The last punch of each such ledger that is what it was, and the head after it.
    pub(super) last: BTreeMap<u32, (u64, Head)>,
}

/// The last record of a ledger so far, while nothing has vouched for it.
struct Link {
    place: Place,
    seq: u64,
    head: Head,
    /// Absent where only ids are left.
    entry: Option<Entry>,
    /// The one before, whose head is not the one that this names: one of the two was changed.
    against: Option<Box<Link>>,
}

/// Takes the groups of the journal in their order, as often as they tell of more: [`Judge::look`]. And once more, to
/// [`Judge::mend`].
#[derive(Default)]
pub(super) struct Judge {
    ledgers: BTreeMap<u32, (Ledger, Option<Link>)>,
    changed: Changed,
    decided: usize,
    zones: ZoneNames,
    /// The second time: what comes next in each ledger, and the head before that; where its ids ended, if with them.
    seen: BTreeMap<u32, (u64, Head, Option<Place>)>,
}

impl Judge {
    pub(super) fn look(&mut self, file: u64, group: u64, body: &[u8]) {
        for (at, record) in records(body).enumerate() {
            match record {
                Some(Record::Ledger(it)) => {
                    self.ledgers.entry(it.number).or_insert_with(|| (it.ledger(), None));
                }
                // Of what is known to be changed nothing is to be learnt: not even of the one before it.
                Some(Record::Punch(punch)) if !self.changed.edits.contains_key(&(file, group, at)) => {
                    self.punch((file, group, at), &punch)
                }
                Some(Record::Retired(it)) if it.first != 0 => self.retired((file, group, at), &it),
                _ => {}
            }
        }
    }

    fn retired(&mut self, place: Place, it: &RetiredRecord<'_>) {
        let Some((_, last)) = self.ledgers.get_mut(&it.ledger) else { return };
        let head = match self.changed.edits.get(&place) {
            Some(Edit::Head(head)) => Head(*head),
            _ => Head(it.head),
        };
        *last = Some(Link { place, seq: it.last, head, entry: None, against: None });
    }

    fn punch(&mut self, place: Place, punch: &PunchRecord<'_>) {
        let Ok(entry) = punch.entry(&mut self.zones) else { return };
        let Some((ledger, last)) = self.ledgers.get_mut(&punch.ledger) else { return };
        let (seq, head) = (punch.seq, entry.head());
        let mut link = Link { place, seq, head, entry: Some(entry), against: None };
        match last.take() {
            Some(before) if seq <= before.seq => {
                *last = Some(before);
                return;
            }
            Some(before) if seq == before.seq + 1 => {
                let agrees = before.head.0 == punch.prev;
                match &before.against {
                    // It is as it was, so it names the right head for the one before.
                    Some(other) if agrees => self.changed.blame(punch.ledger, other, before.entry.as_ref()),
                    // It agrees with neither of its neighbours.
                    Some(_) => self.changed.gone(punch.ledger, &before),
                    None if agrees => {}
                    None => link.against = Some(Box::new(before)),
                }
            }
            Some(before) => self.changed.end(punch.ledger, ledger, before),
            None => {}
        }
        *last = Some(link);
    }

    /// At the end of the journal. Tells whether to look again: what was changed vouches for nothing.
    pub(super) fn decide(&mut self) -> bool {
        for (number, (ledger, last)) in &mut self.ledgers {
            if let Some(last) = last.take() {
                self.changed.end(*number, ledger, last);
            }
        }
        let before = std::mem::replace(&mut self.decided, self.changed.edits.len());
        before != self.decided
    }

    /// What is told of the chain beside the punches must agree with those that stay.
    pub(super) fn mend(&mut self, file: u64, group: u64, body: &[u8]) {
        for (at, record) in records(body).enumerate() {
            let place = (file, group, at);
            match record {
                Some(Record::Ledger(it)) => self.named(place, &it),
                Some(Record::Punch(punch)) if !self.changed.edits.contains_key(&place) => {
                    let Ok(entry) = punch.entry(&mut self.zones) else { continue };
                    let Some(seen) = self.seen.get_mut(&punch.ledger).filter(|seen| seen.0 <= punch.seq) else {
                        continue;
                    };
                    if let (next, head, Some(ids)) = *seen
                        && next == punch.seq
                        && head != entry.prev
                    {
                        self.changed.edits.insert(ids, Edit::Head(entry.prev.0));
                    }
                    *seen = (punch.seq + 1, entry.head(), None);
                }
                Some(Record::Retired(it)) if it.first != 0 => {
                    let head = match self.changed.edits.get(&place) {
                        Some(Edit::Head(head)) => Head(*head),
                        _ => Head(it.head),
                    };
                    if let Some(seen) = self.seen.get_mut(&it.ledger) {
                        *seen = (it.last + 1, head, Some(place));
                    }
                }
                _ => {}
            }
        }
    }

    fn named(&mut self, place: Place, it: &LedgerRecord<'_>) {
        let seen = self.seen.entry(it.number).or_insert_with(|| (1, it.ledger().origin(), None));
        if it.next == seen.0 && it.head != seen.1.0 {
            self.changed.edits.insert(place, Edit::Head(seen.1.0));
        }
    }

    pub(super) fn verdict(mut self) -> Changed {
        for number in self.changed.numbers.keys() {
            if let Some((next, head, _)) = self.seen.get(number) {
                self.changed.last.insert(*number, (next - 1, *head));
            }
        }
        self.changed
    }
}

impl Changed {
    fn gone(&mut self, ledger: u32, link: &Link) {
        self.edits.insert(link.place, Edit::Gone { ledger, seq: link.seq });
        self.numbers.entry(ledger).or_default().insert(link.seq, link.seq);
    }

    /// The one before a punch that names another head; of ids only the head can be wrong.
    fn blame(&mut self, ledger: u32, link: &Link, next: Option<&Entry>) {
        match (&link.entry, next) {
            (None, Some(next)) => _ = self.edits.insert(link.place, Edit::Head(next.prev.0)),
            _ => self.gone(ledger, link),
        }
    }

    /// Nothing follows this, so nothing vouches for it but its id.
    fn end(&mut self, number: u32, ledger: &Ledger, last: Link) {
        let is_odd = |link: &Link| link.entry.as_ref().is_some_and(|entry| !has_its_id(ledger, entry));
        let odd = is_odd(&last);
        if odd {
            self.gone(number, &last);
        }
        if let Some(other) = &last.against
            && (!odd || is_odd(other))
        {
            self.blame(number, other, last.entry.as_ref());
        }
    }
}
