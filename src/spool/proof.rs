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
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
    tz::Offset,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    look::{Unseen, look},
    ranges::Ranges,
    record::{PunchRecord, Record, RetiredRecord, ZoneNames, wall_time},
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
    /// Whether the journal does not go as far as it once did.
    pub end_lost: bool,
    /// Files of which ids were left, and not even those are there any more.
    pub absent: u64,
    /// Numbers of the terminal that are missing outside of what `ledgers` tells, and may be of the day.
    pub doubtful: Vec<Doubtful>,
    /// The terminals of which this store knows anything.
    pub known: BTreeSet<String>,
}

/// Numbers that are not there: the punches before and behind them leave it open whether they are of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubtful {
    pub ledger: i64,
    pub first: u64,
    pub last: u64,
}

impl Proof {
    /// Whether all that there ever was of the day is counted.
    pub fn is_whole(&self) -> bool {
        let holes = self.ledgers.iter().any(|ledger| ledger.missing > 0);
        self.unreadable == 0 && self.doubtful.is_empty() && !holes && self.knows_terminal()
    }

    pub fn knows_terminal(&self) -> bool {
        self.known.contains(&self.terminal)
    }
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
    /// Numbers that follow each other, each with its time by the wall.
    runs: Vec<[(u64, i64); 2]>,
    /// What is recorded as lost: the last number, and before which instant it was stored.
    lost: Vec<(u64, i64)>,
    /// The last number by the index.
    indexed: u64,
}

struct Day {
    day: Date,
    ids: BTreeSet<String>,
    times: Option<(DateTime, DateTime)>,
}

/// Reads the whole journal, while the daemon runs or not.
pub fn prove(state_dir: &Path, terminal: &str, day: Date) -> io::Result<Proof> {
    let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
    let mut all = Day { day, ids: BTreeSet::new(), times: None };
    let (mut zones, mut known) = (ZoneNames::default(), BTreeSet::new());
    let unseen = look(state_dir, |_, record| {
        if let Record::Standing(it) = record
            && !it.terminal.is_empty()
            && !known.contains(it.terminal)
        {
            known.insert(it.terminal.to_owned());
        }
        take(&mut parts, &mut all, terminal, record, &mut zones);
    })?;
    let Unseen { places: unreadable, end_lost, absent, indexed } = unseen;
    for (number, (ledger, next)) in indexed {
        let part = parts.entry(number).or_default();
        part.ledger.get_or_insert(ledger);
        part.indexed = next.saturating_sub(1);
    }
    known.extend(parts.values().filter_map(|part| Some(part.ledger.as_ref()?.terminal.clone())));
    let doubtful = parts.values().filter(|part| part.is_of(terminal)).flat_map(|part| part.doubtful(day)).collect();
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
        end_lost,
        absent: absent.len() as u64,
        doubtful,
        known,
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
            if part.is_of(terminal) {
                part.run(punch.seq, punch.local);
                if all.takes(punch.local, PunchId(punch.id)) {
                    part.of_day.insert(punch.seq, head(punch, zones));
                }
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
        Record::Lost(it) if it.first <= it.last => {
            parts.entry(it.ledger).or_default().lost.push((it.last, it.until));
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
            part.run(seq, local);
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

    fn run(&mut self, seq: u64, local: i64) {
        match self.runs.last_mut() {
            Some([_, last]) if last.0 + 1 == seq => *last = (seq, local),
            _ => self.runs.push([(seq, local); 2]),
        }
    }

    /// Missing numbers that are not among those of the day, and whose neighbours do not tell that they are of another one.
    fn doubtful(&self, day: Date) -> Vec<Doubtful> {
        let Some(ledger) = &self.ledger else { return Vec::new() };
        let date = |local: i64| wall_time(local).ok().map(|local| local.date());
        let end = self.found.iter().last().map_or(0, |(_, last)| last).max(self.indexed);
        let end = self.lost.iter().fold(end, |end, (last, _)| end.max(*last));
        let told = self.of_day.first_key_value().zip(self.of_day.last_key_value());
        let told = told.map_or(0..0, |((first, _), (last, _))| *first..*last);
        let mut doubtful = Vec::new();
        for (first, last) in self.found.missing(1, end).into_iter().filter(|(first, _)| !told.contains(first)) {
            let before = self.runs.iter().find(|[_, end]| end.0 + 1 == first).and_then(|[_, end]| date(end.1));
            let behind = self.runs.iter().find(|[begin, _]| begin.0 == last + 1).and_then(|[begin, _]| date(begin.1));
            // Behind the last one that is there, a loss that is recorded has an end in time all the same.
            let recorded = self.lost.iter().find(|(end, _)| *end == last);
            let behind = behind.or_else(|| until(recorded?.1));
            let from = before.into_iter().chain(behind).min().filter(|_| before.is_some()).unwrap_or(Date::MIN);
            let to = before.into_iter().chain(behind).max().filter(|_| behind.is_some()).unwrap_or(Date::MAX);
            if (from..=to).contains(&day) {
                doubtful.push(Doubtful { ledger: ledger.begun, first, last });
            }
        }
        doubtful
    }

    fn proof(self, terminal: &str) -> Option<LedgerProof> {
        let Self { ledger, found, of_day, confirmed, .. } = self;
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

/// The last day of which something can be that was stored before an instant: a terminal's clock may be a day ahead of it.
fn until(stored: i64) -> Option<Date> {
    let stored = Timestamp::from_millisecond(stored).ok()?;
    Offset::UTC.to_datetime(stored).date().checked_add(1.day()).ok()
}
