//! What a store holds of one terminal's day: few enough words that a person can compare them with what the other side has.
//!
//! Computed from punches alone, so that whoever has the messages comes to the same (`docs/proof.md`, `tests/peers/proof.py`):
//! the day is that of the terminal's own wall; a punch that stands under two numbers, since it was lost and came again, is
//! one; `sum` is SHA-256 over all ids in the order of their letters, each with a line feed behind it, of which the first
//! eight bytes are shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use data_encoding::HEXLOWER;
use driver_api::PunchId;
use jiff::civil::{Date, DateTime, Time};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    lock,
    ranges::Ranges,
    record::{PunchRecord, Record, RetiredRecord, ZoneNames, wall_time},
    segment::{Position, seed},
    walk::{Step, Walk, store_id},
};
use crate::ledger::{Head, Ledger};

/// One terminal's day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    pub terminal: String,
    pub day: Date,
    /// Different punches.
    pub punches: u64,
    pub first_time: Option<Time>,
    pub last_time: Option<Time>,
    pub sum: String,
    /// Those with punches on that day, in the order in which they were begun.
    pub ledgers: Vec<LedgerProof>,
    /// Places in the journal that could not be read, of whatever terminal.
    pub unreadable: usize,
}

/// What of one ledger belongs to the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerProof {
    pub tenant: String,
    pub gateway: String,
    pub serial: String,
    pub ledger: i64,
    pub count: u64,
    pub first: u64,
    pub last: u64,
    /// Numbers between `first` and `last` that are not there, whatever day they were.
    pub missing: u64,
    /// The head after `last`; absent where only ids are left of it.
    pub head: Option<Head>,
    /// Punches of the day that the broker has not confirmed.
    pub undelivered: u64,
}

#[derive(Default)]
struct Part {
    ledger: Option<Ledger>,
    found: Ranges,
    of_day: BTreeMap<u64, Option<Head>>,
    confirmed: Ranges,
}

struct Day {
    day: Date,
    ids: BTreeSet<String>,
    times: Option<(DateTime, DateTime)>,
}

/// Reads the whole journal, while the daemon runs or not.
pub fn prove(state_dir: &Path, terminal: &str, day: Date) -> io::Result<Proof> {
    let dir = state_dir.join("journal");
    let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
    let mut all = Day { day, ids: BTreeSet::new(), times: None };
    let mut unreadable = 0;
    let held = lock::is_held(&dir);
    let closed = !held && lock::peek(&dir).is_some_and(|content| content.is_closed());
    if let Some(store) = store_id(&dir)? {
        let mut walk = Walk::new(&dir, seed(&store), Position::default());
        let mut zones = ZoneNames::default();
        loop {
            match walk.next(None)? {
                Step::End { .. } => break,
                Step::Tail { .. } if !closed && (held || !walk.is_cut_short()) => break,
                // Of a write that a crash cut short, the next start keeps what is whole.
                Step::Tail { .. } => unreadable += usize::from(closed),
                Step::Missing { .. } => {
                    unreadable += 1;
                    continue;
                }
                Step::Damage { .. } => unreadable += 1,
                Step::Group { .. } => {}
            }
            for record in walk.records().flatten() {
                take(&mut parts, &mut all, terminal, &record, &mut zones);
            }
        }
    }
    let ledgers = parts.into_values().filter_map(|part| part.proof(terminal)).collect();
    let mut sum = Sha256::new();
    for id in &all.ids {
        sum.update(id);
        sum.update(b"\n");
    }
    let sum = HEXLOWER.encode(&sum.finalize()[..8]);
    Ok(Proof {
        terminal: terminal.into(),
        day,
        punches: all.ids.len() as u64,
        first_time: all.times.map(|(first, _)| first.time()),
        last_time: all.times.map(|(_, last)| last.time()),
        sum,
        ledgers,
        unreadable,
    })
}

fn take(parts: &mut BTreeMap<u32, Part>, all: &mut Day, terminal: &str, record: &Record<'_>, zones: &mut ZoneNames) {
    match record {
        Record::Ledger(it) => _ = parts.entry(it.number).or_default().ledger.get_or_insert_with(|| it.ledger()),
        Record::Confirmed(it) => parts.entry(it.ledger).or_default().confirmed.insert(it.first, it.last),
        Record::ConfirmedAt(it) => parts.entry(it.ledger).or_default().confirmed.insert(it.first, it.last),
        Record::Punch(punch) => {
            let part = parts.entry(punch.ledger).or_default();
            part.found.insert(punch.seq, punch.seq);
            if part.is_of(terminal) && all.takes(punch.local, PunchId(punch.id)) {
                part.of_day.insert(punch.seq, head(punch, zones));
            }
        }
        Record::Retired(retired) if retired.first != 0 => {
            let part = parts.entry(retired.ledger).or_default();
            part.found.insert(retired.first, retired.last);
            part.confirmed.insert(retired.first, retired.last);
            if part.is_of(terminal) {
                all.take_retired(part, retired);
            }
        }
        _ => {}
    }
}

fn head(punch: &PunchRecord<'_>, zones: &mut ZoneNames) -> Option<Head> {
    punch.entry(zones).ok().map(|entry| entry.head())
}

impl Day {
    fn takes(&mut self, local: i64, id: PunchId) -> bool {
        let Some(local) = wall_time(local).ok().filter(|local| local.date() == self.day) else { return false };
        self.ids.insert(id.to_string());
        let (first, last) = self.times.unwrap_or((local, local));
        self.times = Some((first.min(local), last.max(local)));
        true
    }

    fn take_retired(&mut self, part: &mut Part, retired: &RetiredRecord<'_>) {
        for (seq, (local, id)) in (retired.first..).zip(retired.ids()) {
            if self.takes(local, id) {
                part.of_day.insert(seq, (seq == retired.last).then_some(Head(retired.head)));
            }
        }
    }
}

impl Part {
    fn is_of(&self, terminal: &str) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.terminal == terminal)
    }

    fn proof(self, terminal: &str) -> Option<LedgerProof> {
        let Self { ledger, found, of_day, confirmed } = self;
        let Ledger { tenant, gateway, serial, begun, .. } = ledger.filter(|it| it.terminal == terminal)?;
        let ((&first, _), (&last, &head)) = (of_day.first_key_value()?, of_day.last_key_value()?);
        let holes = found.missing(first, last);
        Some(LedgerProof {
            tenant,
            gateway,
            serial,
            ledger: begun,
            count: of_day.len() as u64,
            first,
            last,
            missing: holes.into_iter().map(|(first, last)| last - first + 1).sum(),
            head,
            undelivered: of_day.keys().filter(|seq| !confirmed.contains(**seq)).count() as u64,
        })
    }
}
