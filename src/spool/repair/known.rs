//! What the records of a damaged store tell of its ledgers.

use std::collections::BTreeMap;

use super::super::{
    doubt::{self, was_delivered, was_given},
    ranges::Ranges,
    record::{Record, ZoneNames},
};
use crate::ledger::{Head, Ledger};

/// What is known of one ledger.
#[derive(Default)]
pub(super) struct Known {
    pub(super) ledger: Option<Ledger>,
    pub(super) found: Ranges,
    /// What is recorded as lost already.
    pub(super) recorded: Ranges,
    pub(super) closed: bool,
    /// The number of its next punch by the index, where that can be believed.
    pub(super) indexed: Option<u64>,
    /// When each punch behind a hole was stored, by its number; and the head after the last punch.
    pub(super) stored: BTreeMap<u64, i64>,
    pub(super) last: Option<(u64, Head)>,
    /// Numbers whose records were changed after they were written.
    pub(super) changed: Ranges,
    /// The last number that anything speaks of.
    pub(super) heard: u64,
    /// The same of what was delivered alone.
    pub(super) delivered: u64,
    /// The last whole group in which it goes on.
    pub(super) vouched: u64,
    pub(super) highest: u64,
}

impl Known {
    /// Its last number, as far as the journal knows.
    pub(super) fn have(&self) -> u64 {
        let have = self.last.map_or(0, |(seq, _)| seq);
        // Behind its last punch a ledger has another number only where it has ended.
        let have = have.max(if self.closed { self.changed.last() } else { 0 });
        self.recorded.iter().map(|(_, last)| last).fold(have, u64::max)
    }

    /// Numbers up to there that are missing, and that the journal does not say so of.
    pub(super) fn untold(&self) -> Vec<(u64, u64)> {
        let missing = self.found.missing(1, self.have()).into_iter();
        missing.flat_map(|(first, last)| self.recorded.missing(first, last)).collect()
    }
}

/// Takes note of what a record says of its ledger.
pub(super) fn learn(ledgers: &mut BTreeMap<u32, Known>, record: &Record<'_>) {
    if let Some((ledger, last)) = doubt::goes_on(record).or_else(|| was_given(record)) {
        let known = ledgers.entry(ledger).or_default();
        known.heard = known.heard.max(last);
    }
    if let Some((ledger, last)) = was_delivered(record) {
        let known = ledgers.entry(ledger).or_default();
        known.delivered = known.delivered.max(last);
    }
    match record {
        Record::Ledger(it) => {
            let known = ledgers.entry(it.number).or_default();
            known.ledger.get_or_insert_with(|| it.ledger());
        }
        Record::Punch(punch) => {
            let known = ledgers.entry(punch.ledger).or_default();
            known.found.insert(punch.seq, punch.seq);
            if punch.seq != known.highest + 1 {
                known.stored.insert(punch.seq, punch.stored());
            }
            known.highest = known.highest.max(punch.seq);
            if known.last.is_none_or(|(seq, _)| seq < punch.seq)
                && let Ok(entry) = punch.entry(&mut ZoneNames::default())
            {
                known.last = Some((punch.seq, entry.head()));
            }
        }
        Record::Retired(retired) if retired.first != 0 => {
            let known = ledgers.entry(retired.ledger).or_default();
            known.found.insert(retired.first, retired.last);
            known.highest = known.highest.max(retired.last);
            if known.last.is_none_or(|(seq, _)| seq < retired.last) {
                known.last = Some((retired.last, Head(retired.head)));
            }
        }
        Record::Lost(lost) => {
            let known = ledgers.entry(lost.ledger).or_default();
            known.recorded.insert(lost.first, lost.last);
            known.closed |= lost.closes;
        }
        _ => {}
    }
}
