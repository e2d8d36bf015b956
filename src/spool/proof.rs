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
    /// Ledgers that may be the terminal's: some of their punches were delivered, and nothing names them any more.
    pub nameless: u64,
    /// Numbers of the terminal that are missing outside of what `ledgers` tells, and may be of the day.
    pub doubtful: Vec<Doubtful>,
    /// The terminals of which this store knows anything.
    pub known: BTreeSet<String>,
}

/// Numbers that are not there, and may be of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubtful {
    pub ledger: i64,
    pub first: u64,
    /// `None`: nobody knows how many there were, or whether there were any.
    pub last: Option<u64>,
}

impl Proof {
    /// Whether all that there ever was of the day is counted.
    pub fn is_whole(&self) -> bool {
        let holes = self.ledgers.iter().any(|ledger| ledger.missing > 0);
        let sure = self.doubtful.is_empty() && self.absent == 0 && self.nameless == 0;
        self.unreadable == 0 && sure && !holes && self.knows_terminal()
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
    /// When the punch behind each hole was stored, by its number.
    stored: BTreeMap<u64, i64>,
    highest: u64,
    /// What is recorded as lost: the last number, and before which instant it was stored.
    lost: Vec<(u64, i64)>,
    /// It was ended while nobody knew its last number: before which instant that was.
    ended: Option<i64>,
    /// The last number that a name, a confirmation or the index speaks of.
    heard: u64,
    /// When the last confirmation was written.
    confirmed_at: i64,
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
    let Unseen { places: unreadable, end_lost, absent, mended, indexed } = unseen;
    let absent = absent.len() + mended.into_iter().filter(|at| reaches(*at, day)).count();
    let nameless = |part: &&Part| part.ledger.is_none() && part.confirmed.last() > 0 && reaches(part.confirmed_at, day);
    let nameless = parts.values().filter(nameless).count() as u64;
    for (number, (ledger, next)) in indexed {
        let part = parts.entry(number).or_default();
        part.ledger.get_or_insert(ledger);
        part.heard = part.heard.max(next.saturating_sub(1));
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
        absent: absent as u64,
        nameless,
        doubtful,
        known,
    })
}

fn take(parts: &mut BTreeMap<u32, Part>, all: &mut Day, terminal: &str, record: &Record<'_>, zones: &mut ZoneNames) {
    match record {
        Record::Ledger(it) => {
            let part = parts.entry(it.number).or_default();
            part.ledger.get_or_insert_with(|| it.ledger());
            part.heard = part.heard.max(it.next.saturating_sub(1));
        }
        Record::Confirmed(it) => parts.entry(it.ledger).or_default().confirm((it.first, it.last), i64::MAX),
        Record::ConfirmedAt(it) => parts.entry(it.ledger).or_default().confirm((it.first, it.last), it.at),
        Record::Punch(punch) => {
            let part = parts.entry(punch.ledger).or_default();
            part.found.insert(punch.seq, punch.seq);
            if punch.seq != part.highest + 1 {
                part.stored.insert(punch.seq, punch.stored());
            }
            part.highest = part.highest.max(punch.seq);
            if part.is_of(terminal) && all.takes(punch.local, PunchId(punch.id)) {
                part.of_day.insert(punch.seq, head(punch, zones));
            }
        }
        Record::Retired(retired) if retired.first != 0 => {
            let part = parts.entry(retired.ledger).or_default();
            part.found.insert(retired.first, retired.last);
            part.confirmed.insert(retired.first, retired.last);
            part.highest = part.highest.max(retired.last);
            if part.is_of(terminal) {
                all.take_retired(part, retired);
            }
        }
        Record::Lost(it) if it.first <= it.last => {
            parts.entry(it.ledger).or_default().lost.push((it.last, it.until));
        }
        Record::Lost(it) if it.closes => parts.entry(it.ledger).or_default().ended = Some(it.until),
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

    fn confirm(&mut self, (first, last): (u64, u64), at: i64) {
        self.confirmed.insert(first, last);
        self.heard = self.heard.max(last);
        self.confirmed_at = self.confirmed_at.max(at);
    }

    /// Missing numbers that are not among those of the day, and may be of it.
    fn doubtful(&self, day: Date) -> Vec<Doubtful> {
        let Some(ledger) = &self.ledger else { return Vec::new() };
        let end = self.found.iter().last().map_or(0, |(_, last)| last).max(self.heard);
        let end = self.lost.iter().fold(end, |end, (last, _)| end.max(*last));
        let told = self.of_day.first_key_value().zip(self.of_day.last_key_value());
        let told = told.map_or(0..0, |((first, _), (last, _))| *first..*last);
        let mut doubtful = Vec::new();
        for (first, last) in self.found.missing(1, end).into_iter().filter(|(first, _)| !told.contains(first)) {
            // In a ledger punches follow each other as they were stored, and a log that is read late brings old days.
            let behind = self.stored.range(last..).next().map(|(_, stored)| *stored);
            let recorded = self.lost.iter().find(|(end, _)| *end == last).map(|(_, until)| *until);
            if behind.into_iter().chain(recorded).min().is_none_or(|stored| reaches(stored, day)) {
                doubtful.push(Doubtful { ledger: ledger.begun, first, last: Some(last) });
            }
        }
        if self.ended.is_some_and(|ended| reaches(ended, day)) {
            doubtful.push(Doubtful { ledger: ledger.begun, first: end + 1, last: None });
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

/// Whether something that was stored before an instant can be of this day.
fn reaches(stored: i64, day: Date) -> bool {
    until(stored).is_none_or(|until| day <= until)
}
