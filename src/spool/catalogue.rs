//! The ledgers of a store as they stand: where each goes on, and how to find it. In memory; rebuilt from the journal.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    ranges::Ranges,
    record::{LedgerRecord, LostRecord, PunchRecord, RetiredRecord, SettledRecord},
    stand::{Advance, KeptLedger, LedgerState, Loss},
};
use crate::ledger::{Head, Ledger};

/// All ledgers.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    ledgers: BTreeMap<u32, LedgerState>,
    /// By terminal and serial: the source's number and the ledger in use.
    names: HashMap<String, (u32, Option<u32>)>,
    changed: BTreeSet<u32>,
    /// The highest number that any record speaks of, named or not: what was said of it must never be said of another.
    reserved: u32,
    /// Whether any loss may be open: most stores have none, and then nobody looks for them.
    open_losses: bool,
}

fn name(tenant: &str, gateway: &str, terminal: &str, serial: &str) -> String {
    // No part but the serial, which stands last, can hold a NUL.
    format!("{tenant}\0{gateway}\0{terminal}\0{serial}")
}

impl Catalogue {
    pub(super) fn get(&self, number: u32) -> Option<&LedgerState> {
        self.ledgers.get(&number)
    }

    /// For a change that the index must learn of.
    pub(super) fn change(&mut self, number: u32) -> Option<&mut LedgerState> {
        self.changed.insert(number);
        self.ledgers.get_mut(&number)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LedgerState> {
        self.ledgers.values()
    }

    pub(super) fn next_number(&self) -> u32 {
        self.ledgers.last_key_value().map_or(0, |(last, _)| *last).max(self.reserved) + 1
    }

    /// A record, or the index, speaks of this ledger.
    pub(super) fn reserve(&mut self, number: u32) {
        self.reserved = self.reserved.max(number);
    }

    pub(super) fn reserved(&self) -> u32 {
        self.reserved
    }

    /// The ledger in use of a terminal with this serial.
    pub(super) fn find(&self, ledger: &(&str, &str, &str, &str)) -> Option<&LedgerState> {
        let (tenant, gateway, terminal, serial) = ledger;
        self.names.get(&name(tenant, gateway, terminal, serial))?.1.and_then(|number| self.ledgers.get(&number))
    }

    /// All ledgers of a terminal with this serial.
    pub(super) fn of_source(&self, tenant: &str, gateway: &str, terminal: &str, serial: &str) -> Vec<&LedgerState> {
        match self.names.get(&name(tenant, gateway, terminal, serial)) {
            None => Vec::new(),
            Some((source, _)) => self.ledgers.values().filter(|state| state.source == *source).collect(),
        }
    }

    /// The ledger with a terminal's newest punches, whatever its serial.
    pub(super) fn newest(&self, tenant: &str, gateway: &str, terminal: &str) -> Option<&LedgerState> {
        let is_its =
            |ledger: &Ledger| ledger.terminal == terminal && ledger.tenant == tenant && ledger.gateway == gateway;
        let its = self.ledgers.values().filter(|state| is_its(&state.ledger));
        its.max_by_key(|state| (state.latest, state.number))
    }

    /// The number of a ledger that was handed out.
    pub(super) fn number_of(&self, ledger: &Ledger) -> Option<u32> {
        let name = name(&ledger.tenant, &ledger.gateway, &ledger.terminal, &ledger.serial);
        let (source, current) = self.names.get(&name)?;
        let current = current.and_then(|number| self.ledgers.get(&number)).filter(|state| *state.ledger == *ledger);
        let found =
            current.or_else(|| self.ledgers.values().find(|state| state.source == *source && *state.ledger == *ledger));
        found.map(|state| state.number)
    }

    /// A second in which a new ledger of this terminal may begin: now, and after all that it ever had.
    pub(super) fn begin(&self, terminal: &str, now: i64) -> i64 {
        let last =
            self.ledgers.values().filter(|state| state.ledger.terminal == terminal).map(|state| state.ledger.begun);
        last.max().map_or(now, |last| now.max(last + 1))
    }

    /// The source under which a new ledger's ids are kept.
    pub(super) fn source(&self, ledger: &Ledger, number: u32) -> u32 {
        let name = name(&ledger.tenant, &ledger.gateway, &ledger.terminal, &ledger.serial);
        self.names.get(&name).map_or(number, |(source, _)| *source)
    }

    pub(super) fn add(&mut self, state: LedgerState) {
        let Ledger { tenant, gateway, terminal, serial, .. } = &*state.ledger;
        let entry = self.names.entry(name(tenant, gateway, terminal, serial)).or_insert((state.source, None));
        if !state.closed {
            entry.1 = entry.1.max(Some(state.number));
        }
        self.changed.insert(state.number);
        self.ledgers.insert(state.number, state);
    }

    pub(super) fn restore(&mut self, number: u32, kept: KeptLedger) {
        let KeptLedger { tenant, gateway, terminal, serial, begun, .. } = kept;
        let ledger = Ledger { tenant, gateway, terminal, serial, begun };
        let source = self.source(&ledger, number);
        let mut state = LedgerState::new(number, source, ledger);
        state.next = kept.next;
        state.head = Head(kept.head);
        (state.set_aside, state.latest, state.retired, state.closed) =
            (kept.set_aside, kept.latest, kept.retired, kept.closed);
        state.lost = kept.lost.into_iter().collect();
        state.losses = kept.losses.into_iter().map(|loss| (loss.first, loss)).collect();
        self.open_losses |= state.losses.values().any(|loss| !loss.settled);
        self.add(state);
        self.changed.remove(&number);
    }

    /// Never uses this ledger again: its terminal begins another with its next punch.
    pub(super) fn close(&mut self, number: u32) {
        let Some(state) = self.change(number) else { return };
        state.closed = true;
        let ledger = state.ledger.clone();
        let name = name(&ledger.tenant, &ledger.gateway, &ledger.terminal, &ledger.serial);
        if let Some((_, current)) = self.names.get_mut(&name)
            && *current == Some(number)
        {
            *current = None;
        }
    }

    /// Takes what a group added.
    pub(super) fn advance(&mut self, number: u32, by: &Advance) {
        if let Some(state) = self.change(number) {
            (state.next, state.head) = (by.next, by.head);
            state.set_aside += by.set_aside;
            state.latest = state.latest.max(by.latest);
        }
    }

    pub(super) fn apply_ledger(&mut self, record: &LedgerRecord<'_>, segment: u64) {
        if !self.ledgers.contains_key(&record.number) {
            let ledger = record.ledger();
            let source = self.source(&ledger, record.number);
            let mut state = LedgerState::new(record.number, source, ledger);
            state.head = Head(record.head);
            state.next = record.next;
            // Named for the first time at a later number: what stood before is not in this journal.
            state.lost.insert(1, record.next - 1);
            self.add(state);
        }
        if let Some(state) = self.ledgers.get_mut(&record.number) {
            state.named =
                if state.named.0 == segment { (segment, state.named.1.saturating_add(1)) } else { (segment, 1) };
        }
    }

    /// Numbers that were taken for lost, since the ledger was named behind them, are there.
    pub(super) fn find_again(&mut self, number: u32, numbers: impl Iterator<Item = u64>) {
        let Some(state) = self.change(number) else { return };
        let there: Ranges = numbers.map(|seq| (seq, seq)).collect();
        state.lost = state.lost.iter().flat_map(|(first, last)| there.missing(first, last)).collect();
    }

    /// Takes a punch out of the journal. `false`: it is of a ledger that nothing names.
    /// Its head is the business of [`Catalogue::set_head`].
    pub(super) fn apply_punch(&mut self, record: &PunchRecord<'_>) -> bool {
        let Some(state) = self.ledgers.get_mut(&record.ledger) else { return false };
        if record.seq < state.next {
            return true;
        }
        if record.seq > state.next {
            state.lost.insert(state.next, record.seq - 1);
            state.hole_until = Some(record.stored());
        }
        state.next = record.seq + 1;
        state.latest = state.latest.max(Some(record.local));
        self.changed.insert(record.ledger);
        self.came_back(record.ledger, record.utc_ms());
        true
    }

    /// Takes a recorded loss out of the journal, or as it is recorded now.
    pub(super) fn apply_lost(&mut self, record: &LostRecord<'_>) -> bool {
        let &LostRecord { ledger, first, last, until, at, closes, .. } = record;
        let Some(state) = self.ledgers.get_mut(&ledger) else { return false };
        if first <= last {
            state.lost.insert(first, last);
            let new = Loss { first, last, until, at, back: 0, settled: false };
            state.losses.entry(first).or_insert(new);
        }
        if closes {
            state.next = state.next.max(last.saturating_add(1));
        }
        self.open_losses = true;
        self.changed.insert(ledger);
        if closes {
            self.close(ledger);
        }
        true
    }

    pub(super) fn apply_settled(&mut self, record: &SettledRecord) -> bool {
        let Some(state) = self.change(record.ledger) else { return false };
        let told = |loss: &&mut Loss| record.first <= loss.first && loss.last <= record.last;
        state.losses.values_mut().filter(told).for_each(|loss| loss.settled = true);
        true
    }

    /// A punch was added to a ledger. One that was punched before a loss of its terminal may be one of the lost ones.
    pub(super) fn came_back(&mut self, number: u32, utc_ms: i64) {
        if !self.open_losses {
            return;
        }
        let Some(source) = self.ledgers.get(&number).map(|state| state.source) else { return };
        let open = |loss: &&mut Loss| !loss.settled && !loss.is_made_good() && utc_ms <= loss.until;
        for state in self.ledgers.values_mut().filter(|state| state.source == source) {
            if let Some(loss) = state.losses.values_mut().find(open) {
                loss.back += 1;
                self.changed.insert(state.number);
                return;
            }
        }
    }

    /// Whether a punch that is added may be one that was lost.
    pub(super) fn has_open_losses(&self) -> bool {
        self.open_losses
    }

    /// Losses that nobody has settled, each with its ledger's number.
    pub(super) fn open_losses(&self) -> impl Iterator<Item = (u32, &Loss)> {
        let open = self.ledgers.values().flat_map(|it| it.losses.values().map(move |loss| (it.number, loss)));
        open.filter(|(_, loss)| !loss.settled)
    }

    /// Numbers that are lost and that the journal does not say so of, yet.
    pub(super) fn unrecorded(&self) -> Vec<(u32, u64, u64, Option<i64>)> {
        let mut found = Vec::new();
        for state in self.ledgers.values() {
            let told: Ranges = state.losses.values().map(|loss| (loss.first, loss.last)).collect();
            for (first, last) in state.lost.iter() {
                let holes = told.missing(first, last).into_iter();
                found.extend(holes.map(|(first, last)| (state.number, first, last, state.hole_until)));
            }
        }
        found
    }

    /// The head after the last punch of a ledger.
    pub(super) fn set_head(&mut self, number: u32, head: Head) {
        if let Some(state) = self.change(number) {
            state.head = head;
        }
    }

    pub(super) fn count_set_aside(&mut self, number: u32, more: u64) {
        if let Some(state) = self.change(number) {
            state.set_aside += more;
        }
    }

    pub(super) fn apply_retired(&mut self, record: &RetiredRecord<'_>) -> bool {
        let Some(state) = self.ledgers.get_mut(&record.ledger) else { return false };
        if record.first != 0 && record.last >= state.next {
            if record.first > state.next {
                state.lost.insert(state.next, record.first - 1);
            }
            (state.next, state.head) = (record.last + 1, Head(record.head));
            state.latest = state.latest.max(record.ids().map(|(local, _)| local).max());
        }
        if record.first != 0 {
            state.retired = state.retired.max(record.last);
        }
        self.changed.insert(record.ledger);
        true
    }

    /// Punches up to `last` are retired. `false` where that is known.
    pub(super) fn recall_retired(&mut self, number: u32, last: u64) -> bool {
        if self.ledgers.get(&number).is_none_or(|state| state.retired >= last) {
            return false;
        }
        self.change(number).map(|state| state.retired = last).is_some()
    }

    /// A segment names this ledger once more.
    pub(super) fn name(&mut self, number: u32, segment: u64) {
        if let Some(state) = self.change(number) {
            let times = if state.named.0 == segment { state.named.1.saturating_add(1) } else { 1 };
            state.named = (segment, times);
        }
    }

    /// Numbers of the ledgers that changed since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.changed)
    }

    /// Marks ledgers as changed again: the index did not learn of them.
    pub(super) fn put_back(&mut self, changed: BTreeSet<u32>) {
        self.changed.extend(changed);
    }

    pub(super) fn all_changed(&mut self) {
        self.changed.extend(self.ledgers.keys().copied());
    }
}
