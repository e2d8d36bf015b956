//! What should stand behind the last group of a journal: a store that was closed says how far it went, and so does the index
//! of one whose daemon was killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    super::{
        doubt::Doubt,
        index_copy::{self, Told},
        lock::Content,
        segment::{Position, StoreId},
    },
    REPAIR, VerifyReport,
    account::Seen,
    fault, groups,
};
use crate::ledger::Head;

pub(super) struct End<'e> {
    state_dir: &'e Path,
    store: StoreId,
    left: Option<&'e Content>,
    in_use: bool,
    told: Option<Option<Told>>,
    /// The fault that tells of damaged bytes at the end.
    pub(super) damage: Option<usize>,
    /// The last group that an index knows.
    indexed_to: u64,
}

impl<'e> End<'e> {
    pub(super) fn new(state_dir: &'e Path, store: StoreId, left: Option<&'e Content>, in_use: bool) -> Self {
        let mut end = Self { state_dir, store, left, in_use, told: None, damage: None, indexed_to: 0 };
        // Before the journal is read: a daemon that starts now, or that cannot be seen from here, writes that first.
        if left.is_some_and(|left| !left.is_closed()) {
            end.told();
        }
        end
    }

    /// Asked when there is need: a copy of the index is made for it. A daemon that runs knows its end itself.
    fn told(&mut self) -> Option<&Told> {
        let Self { state_dir, store, left, in_use, told, .. } = self;
        told.get_or_insert_with(|| if *in_use { None } else { index_copy::read(state_dir, *left, store) }).as_ref()
    }

    fn is_closed(&self) -> bool {
        self.left.is_some_and(Content::is_closed) && !self.in_use
    }

    /// Whether a group behind the one with this number was durable.
    pub(super) fn is_behind(&mut self, group: u64) -> bool {
        self.is_closed() || self.told().is_some_and(|told| told.group > group)
    }

    /// What is not there of all that the store had.
    pub(super) fn judge(
        &mut self,
        report: &mut VerifyReport,
        ledgers: &mut BTreeMap<u32, Seen>,
        last: u64,
        at: Position,
    ) {
        let closed_at = self.left.and_then(Content::closed_at).filter(|_| !self.in_use);
        if !report.faults.is_empty() || closed_at.is_none_or(|closed_at| closed_at > last) {
            self.told();
        }
        let behind = |group: &u64| *group > last;
        let closed_at = closed_at.filter(behind);
        let indexed = self.told.iter().flatten().map(|told| told.group).find(behind);
        match (closed_at.or(indexed), self.damage) {
            (None, _) => {}
            // They are no second fault: the bytes are there, and cannot be read.
            (Some(end), Some(damage)) => {
                let when = if closed_at.is_some() { " when it was closed" } else { "" };
                report.faults[damage].what += &format!("; {} stood there{when}", groups(last + 1, end));
            }
            (Some(end), None) => {
                let behind = groups(last + 1, end);
                let had = match closed_at {
                    Some(_) => format!("had {behind} when it was closed"),
                    None => format!("the daemon's index knows {behind} behind it, which were stored"),
                };
                let what = format!("the journal ends here, and {had}: its end was cut off, or its last files are gone");
                fault(report, at, what, REPAIR);
            }
        }
        let Some(told) = self.told.take() else { return };
        let Some(told) = told else { return report.notes.extend(self.unknown()) };
        self.indexed_to = told.group;
        for (number, kept) in told.ledgers {
            let (ledger, next) = kept.stand();
            let seen = ledgers.entry(number).or_insert_with(|| Seen::new(ledger));
            if next > seen.next {
                (seen.next, seen.head) = (next, Head(kept.head));
            }
        }
    }

    /// Ledgers of which nothing stands behind damage that the index does not know either.
    pub(super) fn unheard(&self, ledgers: &BTreeMap<u32, Seen>, doubt: &Doubt) -> Option<String> {
        let unheard = |(number, seen): &(&u32, &Seen)| {
            !seen.closed && doubt.is_unheard(**number) && !self.in_use && self.indexed_to < doubt.damaged_to
        };
        let names: BTreeSet<&str> = ledgers.iter().filter(unheard).map(|(_, seen)| &*seen.ledger.terminal).collect();
        let names: Vec<&str> = names.into_iter().collect();
        (!names.is_empty()).then(|| {
            format!(
                "nothing of {} stands behind the damage, and no index tells how far they went: whether more of their punches \
                 stood there is not known",
                names.join(", ")
            )
        })
    }

    /// Where nobody knows, nobody shall read that all is there.
    fn unknown(&self) -> Option<String> {
        let left = self.left.filter(|left| !left.is_closed() && !self.in_use)?;
        let why = if left.is_of_this_boot() {
            "it has no index that can be read"
        } else {
            "the machine went down with it open, so that its index is not to be believed"
        };
        Some(format!(
            "the store was not closed in order, and {why}: whether something is missing behind its last group is not known"
        ))
    }
}
