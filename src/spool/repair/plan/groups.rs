//! The groups that a repair makes: of records out of damaged bytes, and of what it has to tell.

use std::collections::BTreeMap;

use super::{
    super::{
        super::{
            group::{Group, framed, records, salvage},
            record::{LedgerRecord, LostRecord, Record, RepairedRecord, RetiredRecord},
            segment::seed,
        },
        chain::Edit,
        known::learn,
        survey::Home,
    },
    Piece, Planner,
};
use crate::ledger::Head;

/// Salvaged records of one new group, in bytes.
const GROUP_BYTES: usize = 1 << 20;

impl Planner<'_> {
    /// Groups `first` to `last` are lost: what can be had of them, in as many groups as that takes, the last of which
    /// tells that it stands for all the others too.
    pub(super) fn fill(
        &mut self,
        first: u64,
        last: u64,
        salvaged: &mut Vec<(u64, Vec<u8>)>,
        home: &Home,
    ) -> Vec<Piece> {
        let here = |(before, _): &(u64, Vec<u8>)| (first..=last).contains(&(before + 1));
        let (mine, rest): (Vec<_>, Vec<_>) = std::mem::take(salvaged).into_iter().partition(here);
        *salvaged = rest;
        let seed = seed(&self.survey.store);
        let mut found = Vec::new();
        for (_, bytes) in &mine {
            found.extend(salvage(seed, bytes).records);
        }
        // What stands twice, or elsewhere, is there already; names are told anew.
        let mut kept = Vec::new();
        for record in found {
            match &record {
                Record::Ledger(_) | Record::Repaired(_) => continue,
                Record::Punch(punch) => {
                    let known = self.survey.ledgers.get(&punch.ledger);
                    if known.is_some_and(|it| it.found.contains(punch.seq)) {
                        continue;
                    }
                    if known.is_none_or(|it| it.ledger.is_none()) {
                        self.plan.left_out += 1;
                        continue;
                    }
                    self.plan.punches += 1;
                }
                _ => self.plan.others += 1,
            }
            learn(&mut self.survey.ledgers, &record);
            kept.push(record);
        }
        let mut parts: Vec<Vec<Record<'_>>> = vec![Vec::new()];
        let (mut bytes, mut room) = (0, last - first);
        for record in kept {
            bytes += postcard::to_allocvec(&record).map_or(0, |bytes| bytes.len() + 8);
            if bytes > GROUP_BYTES && room > 0 {
                (bytes, room) = (0, room - 1);
                parts.push(Vec::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push(record);
            }
        }
        let count = parts.len() as u64;
        let numbered = parts.into_iter().enumerate().map(|(at, part)| {
            let number = first + at as u64;
            let last = if number + 1 == first + count { last } else { number };
            Piece::New(self.marker(number, last, part, &home.first))
        });
        numbered.collect()
    }

    /// A group that stands for those from `first` to `last`.
    pub(super) fn marker(
        &self,
        first: u64,
        last: u64,
        kept: Vec<Record<'_>>,
        named: &BTreeMap<u32, (u64, [u8; 32])>,
    ) -> Vec<u8> {
        let mut group = Group::new(seed(&self.survey.store));
        let at = self.now.as_millisecond();
        group.push(&Record::Repaired(RepairedRecord { first_group: first, last_group: last, at }));
        let mut names = named.clone();
        for record in &kept {
            match record {
                Record::Punch(it) => {
                    let first = names.entry(it.ledger).or_insert((it.seq, it.prev));
                    if it.seq < first.0 {
                        *first = (it.seq, it.prev);
                    }
                }
                Record::SetAside(it) => _ = names.entry(it.ledger).or_insert((1, self.origin(it.ledger))),
                // The head before its first punch is in none of its bytes; that of the ledger's beginning is always true.
                Record::Retired(it) => _ = names.entry(it.ledger).or_insert((1, self.origin(it.ledger))),
                Record::Lost(it) => _ = names.entry(it.ledger).or_insert((1, self.origin(it.ledger))),
                _ => {}
            }
        }
        for (number, (next, head)) in names {
            if let Some(ledger) = self.survey.ledgers.get(&number).and_then(|known| known.ledger.as_ref()) {
                group.push(&Record::Ledger(LedgerRecord::of(number, ledger, next, Head(head))));
            }
        }
        kept.iter().for_each(|record| group.push(record));
        group.seal(last).to_vec()
    }

    /// A group that records losses, with the name of each ledger in front.
    pub(super) fn told(&self, lost: &[LostRecord<'_>]) -> Vec<u8> {
        let mut group = Group::new(seed(&self.survey.store));
        let mut before = None;
        for record in lost {
            if before != Some(record.ledger)
                && let Some(known) = self.survey.ledgers.get(&record.ledger)
                && let Some(ledger) = &known.ledger
            {
                let (next, head) = known.last.map_or((1, ledger.origin()), |(seq, head)| (seq + 1, head));
                group.push(&Record::Ledger(LedgerRecord::of(record.ledger, ledger, next, head)));
                before = Some(record.ledger);
            }
            group.push(&Record::Lost(record.clone()));
        }
        group.seal(self.group).to_vec()
    }

    /// A group of file `number` without what was changed in it, and with the heads that are right.
    pub(super) fn edited(&self, number: u64, group: u64, body: &[u8]) -> Vec<u8> {
        let mut new = Group::new(seed(&self.survey.store));
        for (at, one) in framed(body).enumerate() {
            let record = records(one).next().flatten();
            match (self.survey.edits.get(&(number, group, at)), record) {
                (Some(Edit::Gone { .. } | Edit::Again { .. }), _) => {}
                (Some(&Edit::Head(head)), Some(Record::Ledger(it))) => {
                    new.push(&Record::Ledger(LedgerRecord { head, ..it }))
                }
                (Some(&Edit::Head(head)), Some(Record::Retired(it))) => {
                    new.push(&Record::Retired(RetiredRecord { head, ..it }))
                }
                _ => new.keep(one),
            }
        }
        new.seal(group).to_vec()
    }

    fn origin(&self, ledger: u32) -> [u8; 32] {
        let known = self.survey.ledgers.get(&ledger).and_then(|known| known.ledger.as_ref());
        known.map_or([0; 32], |ledger| ledger.origin().0)
    }
}
