//! Where one ledger stands, in memory and as the index keeps it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::ranges::Ranges;
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
    /// What of them is recorded as lost, by the first number.
    pub(super) losses: BTreeMap<u64, Loss>,
    /// The instant at which the punch behind the latest hole was stored, where it was read since the start.
    pub(super) hole_until: Option<i64>,
    /// Punches up to here were delivered everywhere, and only their ids are left.
    pub(super) retired: u64,
    /// The journal lost its end and somebody may know numbers that we do not: never used again.
    pub(super) closed: bool,
    /// The segment that names this ledger last, and how often it does.
    pub(super) named: (u64, u8),
}

/// Numbers of a ledger that are gone, as the journal has recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Loss {
    pub(super) first: u64,
    pub(super) last: u64,
    /// They were punched before it; and when the loss was recorded. Both in milliseconds since 1970.
    pub(super) until: i64,
    pub(super) at: i64,
    /// Punches that were added since and were punched before `until`: so many of the lost ones may have come again.
    pub(super) back: u64,
    /// A person has taken note of it, or all of it was made good.
    pub(super) settled: bool,
}

impl Loss {
    pub(super) fn count(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    pub(super) fn is_made_good(&self) -> bool {
        self.back >= self.count()
    }
}

/// What of a [`LedgerState`] is kept in the index.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptLedger {
    pub(super) tenant: String,
    pub(super) gateway: String,
    pub(super) terminal: String,
    pub(super) serial: String,
    pub(super) begun: i64,
    pub(super) next: u64,
    pub(super) head: [u8; 32],
    pub(super) set_aside: u64,
    pub(super) latest: Option<i64>,
    pub(super) lost: Vec<(u64, u64)>,
    pub(super) losses: Vec<Loss>,
    pub(super) retired: u64,
    pub(super) closed: bool,
}

impl KeptLedger {
    /// Whose it is, and the number of its next punch.
    pub(super) fn stand(&self) -> (Ledger, u64) {
        let Self { tenant, gateway, terminal, serial, begun, next, .. } = self;
        let [tenant, gateway, terminal, serial] = [tenant, gateway, terminal, serial].map(Clone::clone);
        (Ledger { tenant, gateway, terminal, serial, begun: *begun }, *next)
    }
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
            losses: BTreeMap::new(),
            hole_until: None,
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
        let losses = self.losses.values().cloned().collect();
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
            losses,
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
