//! The ledgers of a store as they stand: where each goes on, and how to find it. In memory; rebuilt from the journal.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    ranges::Ranges,
    record::{LedgerRecord, PunchRecord, RetiredRecord},
};
use crate::ledger::{Head, Ledger};

/// Where a ledger stands.
#[derive(Debug, Clone)]
pub(super) struct LedgerState {
    pub(super) number: u32,
    /// Number of the first ledger of this terminal and serial: under it the ids of all its ledgers are kept.
    pub(super) source: u32,
    pub(super) ledger: Arc<Ledger>,
    /// Number of the next punch.
    pub(super) next: u64,
    /// The head before it.
    pub(super) head: Head,
    pub(super) set_aside: u64,
    /// The latest wall time, as seconds of the wall.
    pub(super) latest: Option<i64>,
    /// Numbers that damage took from the journal.
    pub(super) lost: Ranges,
    /// Punches up to here were delivered everywhere, and only their ids are left.
    pub(super) retired: u64,
    /// The journal lost its end and somebody may know numbers that we do not: never used again.
    pub(super) closed: bool,
    /// The segment that names this ledger last, and how often it does.
    pub(super) named: (u64, u8),
}

/// What of a [`LedgerState`] is kept in the index.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptLedger {
    tenant: String,
    gateway: String,
    terminal: String,
    serial: String,
    begun: i64,
    next: u64,
    head: [u8; 32],
    set_aside: u64,
    latest: Option<i64>,
    lost: Vec<(u64, u64)>,
    retired: u64,
    closed: bool,
}

impl LedgerState {
    pub(super) fn new(number: u32, source: u32, ledger: Ledger) -> Self {
        let head = ledger.origin();
        Self {
            number,
            source,
            ledger: Arc::new(ledger),
            next: 1,
            head,
            set_aside: 0,
            latest: None,
            lost: Ranges::default(),
            retired: 0,
            closed: false,
            named: (0, 0),
        }
    }

    /// Punches that are in the journal, or were before they were retired.
    pub(super) fn punches(&self) -> u64 {
        (self.next - 1).saturating_sub(self.lost.count())
    }

    pub(super) fn kept(&self) -> KeptLedger {
        let Ledger { tenant, gateway, terminal, serial, begun } = (*self.ledger).clone();
        let Self { next, head, set_aside, latest, retired, closed, .. } = *self;
        let lost = self.lost.iter().collect();
        KeptLedger {
            tenant,
            gateway,
            terminal,
            serial,
            begun,
            next,
            head: head.0,
            set_aside,
            latest,
            lost,
            retired,
            closed,
        }
    }
}

/// What of punches just stored is new to their ledger.
#[derive(Debug, Clone)]
pub(super) struct Advance {
    pub(super) next: u64,
    pub(super) head: Head,
    pub(super) set_aside: u64,
    pub(super) latest: Option<i64>,
}

/// All ledgers.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    ledgers: BTreeMap<u32, LedgerState>,
    /// By terminal and serial: the source's number and the ledger in use.
    names: HashMap<String, (u32, Option<u32>)>,
    changed: BTreeSet<u32>,
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
        self.ledgers.last_key_value().map_or(1, |(last, _)| last + 1)
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

    /// Takes a punch out of the journal. `false`: it is of a ledger that nothing names.
    /// Its head is the business of [`Catalogue::set_head`].
    pub(super) fn apply_punch(&mut self, record: &PunchRecord<'_>) -> bool {
        let Some(state) = self.ledgers.get_mut(&record.ledger) else { return false };
        if record.seq < state.next {
            return true;
        }
        state.lost.insert(state.next, record.seq - 1);
        state.next = record.seq + 1;
        state.latest = state.latest.max(Some(record.local));
        self.changed.insert(record.ledger);
        true
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
            state.retired = state.retired.max(record.last);
            state.latest = state.latest.max(record.ids().map(|(local, _)| local).max());
        }
        self.changed.insert(record.ledger);
        true
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
