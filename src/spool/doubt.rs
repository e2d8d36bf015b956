//! What a journal says of numbers that it does not hold any more: who may have had more of them than can be read.
//!
//! A number is given once. Where its record is gone, a name in a later segment, or the word that it was delivered, still shows
//! that it was given; and where neither is there, whatever stood in the damaged part may have been the last of any ledger
//! of which nothing stands behind it.

use std::collections::{BTreeMap, BTreeSet};

use super::{catalogue::Catalogue, record::Record};

#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// The last group, with others behind it, that cannot be read as a whole; 0 where all can.
    pub(super) damaged_to: u64,
    /// Ledgers that go on behind the last of it.
    vouched: BTreeSet<u32>,
    /// The last number of each ledger that anything speaks of.
    heard: BTreeMap<u32, u64>,
    /// The same of what was delivered alone.
    delivered: BTreeMap<u32, u64>,
}

impl Doubt {
    /// Here is something that cannot be read, or is not there.
    pub(super) fn damage(&mut self, group: u64) {
        self.damaged_to = self.damaged_to.max(group);
        self.vouched.clear();
    }

    /// A record of a whole group.
    pub(super) fn look(&mut self, record: &Record<'_>) {
        if let Some((ledger, last)) = goes_on(record) {
            self.vouched.insert(ledger);
            self.hear(ledger, last);
        } else if let Some((ledger, last)) = was_given(record) {
            self.hear(ledger, last);
        }
        if let Some((ledger, last)) = was_delivered(record) {
            let end = self.delivered.entry(ledger).or_default();
            *end = last.max(*end);
        }
    }

    pub(super) fn hear(&mut self, ledger: u32, last: u64) {
        let heard = self.heard.entry(ledger).or_default();
        *heard = last.max(*heard);
    }

    /// The last number of each ledger that anything speaks of.
    pub(super) fn heard(&self) -> impl Iterator<Item = (u32, u64)> {
        self.heard.iter().map(|(ledger, last)| (*ledger, *last))
    }

    /// What was delivered of ledgers that nothing names, in words.
    pub(super) fn nameless(&self, is_known: impl Fn(u32) -> bool) -> Vec<String> {
        let gone = self.delivered.iter().filter(|(ledger, _)| !is_known(**ledger));
        gone.map(|(ledger, last)| nameless(*ledger, *last)).collect()
    }

    /// Whether a ledger may have had more numbers than anybody knows.
    pub(super) fn is_unheard(&self, ledger: u32) -> bool {
        self.damaged_to > 0 && !self.vouched.contains(&ledger)
    }

    /// Ledgers that may have had more numbers than anybody knows.
    pub(super) fn unheard(&self, catalogue: &Catalogue) -> Vec<u32> {
        let open = catalogue.iter().filter(|state| !state.closed).map(|state| state.number);
        open.filter(|number| self.is_unheard(*number)).collect()
    }
}

/// The ledger that a record carries on, and the last number that it had then.
pub(super) fn goes_on(record: &Record<'_>) -> Option<(u32, u64)> {
    match record {
        Record::Punch(it) => Some((it.ledger, it.seq)),
        Record::Ledger(it) => Some((it.number, it.next.saturating_sub(1))),
        Record::Retired(it) if it.first != 0 => Some((it.ledger, it.last)),
        _ => None,
    }
}

/// The ledger, and the last number, of which a record says that somebody has it.
pub(super) fn was_delivered(record: &Record<'_>) -> Option<(u32, u64)> {
    match record {
        Record::Confirmed(it) => Some((it.ledger, it.last)),
        Record::ConfirmedAt(it) => Some((it.ledger, it.last)),
        _ => None,
    }
}

/// The ledger, and the last number, of which a record says that somebody has it, or that it is gone.
pub(super) fn was_given(record: &Record<'_>) -> Option<(u32, u64)> {
    match record {
        Record::Lost(it) => Some((it.ledger, it.last)),
        _ => was_delivered(record),
    }
}

/// The ledger that a record speaks of.
pub(super) fn speaks_of(record: &Record<'_>) -> Option<u32> {
    match record {
        Record::SetAside(it) => Some(it.ledger),
        Record::Retired(it) => Some(it.ledger),
        Record::Settled(it) => Some(it.ledger),
        _ => goes_on(record).or_else(|| was_given(record)).map(|(ledger, _)| ledger),
    }
}

pub(super) fn nameless(ledger: u32, last: u64) -> String {
    format!(
        "punches up to {last} of ledger {ledger} of this journal were delivered, and nothing here names its terminal any more: \
         the receiving side has them"
    )
}
