//! From a terminal's records to punches: codes mapped, equal ones numbered.

use std::collections::{BTreeMap, HashMap};

use driver_api::{Batch, Clock, Direction, Flag, Mark, Origin, Punch, SetAside, Verify};
use jiff::civil::{Date, DateTime};

use crate::record::{Raw, Record};

/// A terminal whose clock says less than this was never set.
pub(crate) const FIRST_SANE_YEAR: i16 = 2015;

/// What the codes of a terminal mean, by config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Codes {
    pub(crate) epoch: Date,
    pub(crate) verify: BTreeMap<u8, Verify>,
    pub(crate) states: BTreeMap<u8, Direction>,
}

/// Numbers equal records from the start of a second on, as `driver_api` asks.
#[derive(Debug, Default)]
pub(crate) struct Equals(HashMap<Key, u32>);

impl Equals {
    pub(crate) fn nth(&mut self, raw: &Raw) -> u32 {
        let count = self.0.entry(key(raw)).or_default();
        *count += 1;
        *count
    }
}

/// What makes two records equal: exactly what makes a punch's id, and a work code is none of it.
pub(crate) type Key = (u64, u32, u8, u8);

pub(crate) fn key(raw: &Raw) -> Key {
    let Record { user, seconds, backup, kind, .. } = Record::of(raw);
    (user, seconds, backup, kind)
}

impl Codes {
    /// Adds a record, the `nth` such, to a batch; its time.
    pub(crate) fn book(
        &self,
        raw: &Raw,
        nth: u32,
        (origin, clock): (Origin, Clock),
        batch: &mut Batch,
    ) -> Option<DateTime> {
        let record = Record::of(raw);
        let Some(local) = record.local(self.epoch) else {
            let reason = "the record's time is beyond all dates".to_owned();
            batch.set_aside.push(SetAside { raw: raw.to_vec(), reason, nth });
            return None;
        };
        if record.user == 0 {
            let reason = "the record names nobody".to_owned();
            batch.set_aside.push(SetAside { raw: raw.to_vec(), reason, nth });
            return None;
        }
        let mut flags = Vec::new();
        if local.year() < FIRST_SANE_YEAR {
            flags.push(Flag::ClockUnset);
        }
        if nth > 1 {
            flags.push(Flag::DuplicateSecond);
        }
        batch.punches.push(Punch {
            person: record.user.to_string(),
            local,
            zone: None,
            direction: Mark { value: self.direction(record.kind), raw: Some(record.kind.into()) },
            verify: Mark { value: self.verify(record.backup), raw: Some(record.backup.into()) },
            work_code: Some(record.work_code).filter(|code| *code != 0).map(|code| code.to_string()),
            native: None,
            nth,
            origin,
            clock,
            flags,
        });
        Some(local)
    }

    fn direction(&self, kind: u8) -> Direction {
        let state = kind & 0x0f;
        self.states.get(&state).copied().unwrap_or(match state {
            0 => Direction::In,
            1 => Direction::Out,
            _ => Direction::Unknown, // people name these as they like: the config knows
        })
    }

    /// Old models set a bit for each thing that was shown; newer ones use the other bits, each as it likes.
    fn verify(&self, backup: u8) -> Verify {
        self.verify.get(&backup).copied().unwrap_or(match backup {
            0 | 0x10.. => Verify::Unknown,
            bits if bits & 0x03 != 0 => Verify::Finger,
            bits if bits & 0x08 != 0 => Verify::Card,
            _ => Verify::Password,
        })
    }
}
