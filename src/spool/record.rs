//! The records of the journal: what each holds, and how an [`Entry`] becomes one and comes back.
//!
//! A record is a postcard enum: one byte says which, and its layout never changes. A new layout is a new variant at the
//! end; old ones stay readable for ever. Codes of directions and the like stand in codes.rs, in lists to which one may
//! only append.

use std::sync::Arc;

use driver_api::{Clock, ClockSource, Flag, Origin, PunchId};
use jiff::{Timestamp, civil::DateTime, tz::Offset};
use serde::{Deserialize, Serialize};

use super::codes::{Code, Coded, Unreadable, mark_in, mark_out};
use crate::{
    inquiry::Standing,
    ledger::{Entry, Head, Ledger},
};

/// One record, borrowed from the group that holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Record<'a> {
    /// Stands before the first punch of a ledger in each segment, so that every segment can be read alone.
    #[serde(borrow)]
    Ledger(LedgerRecord<'a>),
    #[serde(borrow)]
    Punch(PunchRecord<'a>),
    #[serde(borrow)]
    SetAside(SetAsideRecord<'a>),
    #[serde(borrow)]
    Confirmed(ConfirmedRecord<'a>),
    /// What is left of punches whose segment was retired.
    #[serde(borrow)]
    Retired(RetiredRecord<'a>),
    /// Numbers of a ledger that are gone for good: written where the loss was found, behind everything that was there then.
    #[serde(borrow)]
    Lost(LostRecord<'a>),
    /// A loss that a person has taken note of, or that was made good.
    Settled(SettledRecord),
    /// First in a group that a repair put in place of lost ones.
    Repaired(RepairedRecord),
    /// As `Confirmed`, with its time.
    #[serde(borrow)]
    ConfirmedAt(ConfirmedAtRecord<'a>),
    /// A terminal came into another state; without a name it is the gateway itself.
    #[serde(borrow)]
    Standing(StandingRecord<'a>),
    /// Something that does not follow from punches. The newest one of a kind and key holds.
    #[serde(borrow)]
    Note(NoteRecord<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct LedgerRecord<'a> {
    pub(super) number: u32,
    pub(super) terminal: &'a str,
    pub(super) serial: &'a str,
    pub(super) tenant: &'a str,
    pub(super) gateway: &'a str,
    pub(super) begun: i64,
    /// The number of its next punch, and the head before that.
    pub(super) next: u64,
    pub(super) head: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PunchRecord<'a> {
    pub(super) ledger: u32,
    pub(super) seq: u64,
    pub(super) prev: [u8; 32],
    pub(super) id: [u8; 16],
    person: &'a str,
    /// Seconds of the terminal's wall since 1970-01-01 00:00:00 of that wall.
    pub(super) local: i64,
    /// `utc` minus `local`, in seconds.
    shift: i64,
    zone: &'a str,
    clock: (u8, Option<i64>, Option<i64>),
    direction: (u8, Option<Code<'a>>),
    verify: (u8, Option<Code<'a>>),
    work_code: Option<&'a str>,
    origin: u8,
    native: Option<&'a str>,
    flags: u32,
    /// Milliseconds since 1970.
    stored: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SetAsideRecord<'a> {
    pub(super) ledger: u32,
    pub(super) id: [u8; 16],
    pub(super) raw: &'a [u8],
    pub(super) reason: &'a str,
    /// Milliseconds since 1970.
    pub(super) stored: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConfirmedRecord<'a> {
    pub(super) destination: &'a str,
    pub(super) ledger: u32,
    pub(super) first: u64,
    pub(super) last: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConfirmedAtRecord<'a> {
    pub(super) destination: &'a str,
    pub(super) ledger: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StandingRecord<'a> {
    pub(super) terminal: &'a str,
    standing: u8,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

impl<'a> StandingRecord<'a> {
    pub(super) fn new(terminal: &'a str, standing: Standing, at: i64) -> Self {
        Self { terminal, standing: standing.code(), at }
    }

    /// `None` for one of a newer version.
    pub(super) fn standing(&self) -> Option<Standing> {
        Standing::of_code(self.standing).ok()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RetiredRecord<'a> {
    pub(super) ledger: u32,
    /// The punches that stood here; `first` is 0 where these are records set aside.
    pub(super) first: u64,
    pub(super) last: u64,
    /// The head after `last`.
    pub(super) head: [u8; 32],
    /// For each: `local` as a little-endian i64, and the id.
    pub(super) ids: &'a [u8],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LostRecord<'a> {
    pub(super) ledger: u32,
    /// The numbers; none where `first` is greater than `last`.
    pub(super) first: u64,
    pub(super) last: u64,
    /// They became durable before this, in milliseconds since 1970: so what comes again of them was punched before it.
    pub(super) until: i64,
    /// When the loss was recorded, in milliseconds since 1970.
    pub(super) at: i64,
    /// The journal lost its end, so that nobody knows the last number of this ledger: it is never used again.
    pub(super) closes: bool,
    pub(super) why: &'a str,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SettledRecord {
    pub(super) ledger: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    /// As many punches as were lost came again; otherwise a person said that it is known.
    pub(super) made_good: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RepairedRecord {
    /// Numbers of the groups that were lost. The group that holds this has the last of them.
    pub(super) first_group: u64,
    pub(super) last_group: u64,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct NoteRecord<'a> {
    /// As in `NoteKind`; those of a newer version are kept unread.
    pub(super) kind: u8,
    pub(super) key: &'a str,
    pub(super) body: &'a [u8],
    /// Milliseconds since 1970.
    pub(super) stored: i64,
}

impl RetiredRecord<'_> {
    const EACH: usize = 24;
    /// Ids in one record at most: it must fit into 64 KiB.
    pub(super) const LIMIT: usize = 2048;

    pub(super) fn push(ids: &mut Vec<u8>, local: i64, id: [u8; 16]) {
        ids.extend_from_slice(&local.to_le_bytes());
        ids.extend_from_slice(&id);
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = (i64, PunchId)> + '_ {
        self.ids.chunks_exact(Self::EACH).map(|each| {
            let (local, id) = each.split_at(8);
            let local = i64::from_le_bytes(local.try_into().expect("split at 8"));
            (local, PunchId(id.try_into().expect("24 less 8 is 16")))
        })
    }
}

/// Seconds of a wall time since 1970-01-01 00:00:00 of the same wall.
pub(super) fn wall_seconds(local: DateTime) -> i64 {
    // Only the very ends of jiff's range are out of reach of a timestamp.
    Offset::UTC.to_timestamp(local).map_or(if local.year() < 0 { i64::MIN } else { i64::MAX }, Timestamp::as_second)
}

pub(super) fn wall_time(seconds: i64) -> Result<DateTime, Unreadable> {
    match seconds {
        i64::MIN => Ok(DateTime::MIN),
        i64::MAX => Ok(DateTime::MAX.with().subsec_nanosecond(0).build().map_err(|_| Unreadable)?),
        _ => Timestamp::from_second(seconds).map(|at| Offset::UTC.to_datetime(at)).map_err(|_| Unreadable),
    }
}

impl<'a> PunchRecord<'a> {
    pub(super) fn of(ledger: u32, entry: &'a Entry) -> Self {
        let local = wall_seconds(entry.local);
        Self {
            ledger,
            seq: entry.seq,
            prev: entry.prev.0,
            id: entry.id.0,
            person: &entry.person,
            local,
            shift: entry.utc.as_second().wrapping_sub(local),
            zone: &entry.zone,
            clock: (entry.clock.how.code(), entry.clock.skew_ms, entry.clock.err_ms),
            direction: mark_out(&entry.direction),
            verify: mark_out(&entry.verify),
            work_code: entry.work_code.as_deref(),
            origin: entry.origin.code(),
            native: entry.native.as_deref(),
            flags: entry.flags.iter().fold(0, |bits, flag| bits | 1 << flag.code()),
            stored: entry.stored.as_millisecond(),
        }
    }

    /// The entry. `zones` saves making the same name again and again.
    pub(super) fn entry(&self, zones: &mut ZoneNames) -> Result<Entry, Unreadable> {
        let (how, skew_ms, err_ms) = self.clock;
        let flags = (0..32).filter(|bit| self.flags >> bit & 1 == 1).map(Flag::of_code);
        Ok(Entry {
            seq: self.seq,
            id: PunchId(self.id),
            prev: Head(self.prev),
            person: self.person.to_owned(),
            local: wall_time(self.local)?,
            zone: zones.get(self.zone),
            utc: Timestamp::from_second(self.local.wrapping_add(self.shift)).map_err(|_| Unreadable)?,
            clock: Clock { skew_ms, err_ms, how: ClockSource::of_code(how)? },
            direction: mark_in(&self.direction)?,
            verify: mark_in(&self.verify)?,
            work_code: self.work_code.map(str::to_owned),
            origin: Origin::of_code(self.origin)?,
            native: self.native.map(str::to_owned),
            flags: flags.collect::<Result<_, _>>()?,
            stored: Timestamp::from_millisecond(self.stored).map_err(|_| Unreadable)?,
        })
    }

    pub(super) fn person(&self) -> &'a str {
        self.person
    }

    /// How far the terminal's clock was ahead, in milliseconds.
    pub(super) fn skew_ms(&self) -> Option<i64> {
        self.clock.1
    }

    /// An IANA name, or an offset.
    pub(super) fn zone(&self) -> &'a str {
        self.zone
    }

    /// Milliseconds since 1970.
    pub(super) fn stored(&self) -> i64 {
        self.stored
    }

    /// The normalised instant, in milliseconds since 1970.
    pub(super) fn utc_ms(&self) -> i64 {
        self.local.saturating_add(self.shift).saturating_mul(1000)
    }
}

impl<'a> LedgerRecord<'a> {
    pub(super) fn of(number: u32, ledger: &'a Ledger, next: u64, head: Head) -> Self {
        let Ledger { tenant, gateway, terminal, serial, begun } = ledger;
        Self { number, terminal, serial, tenant, gateway, begun: *begun, next, head: head.0 }
    }

    pub(super) fn ledger(&self) -> Ledger {
        Ledger {
            tenant: self.tenant.to_owned(),
            gateway: self.gateway.to_owned(),
            terminal: self.terminal.to_owned(),
            serial: self.serial.to_owned(),
            begun: self.begun,
        }
    }
}

/// Names of zones, each made once.
#[derive(Debug, Default)]
pub(super) struct ZoneNames(Vec<Arc<str>>);

impl ZoneNames {
    pub(super) fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| &***known == name) {
            return known.clone();
        }
        let new: Arc<str> = name.into();
        // A site has a handful of zones; a journal with more of them only saves less.
        if self.0.len() < 32 {
            self.0.push(new.clone());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use driver_api::{Direction, Raw};
    use jiff::civil::date;

    use super::*;
    use crate::ledger::tests::{entry, ledger};

    #[test]
    fn an_entry_comes_back_as_it_went() {
        let mut full = entry(ledger("front-door").origin(), 7, "007");
        full.clock = Clock { skew_ms: Some(-840), err_ms: Some(120), how: ClockSource::Probed };
        full.direction.raw = Some(Raw::Text("i\n".into()));
        full.verify.raw = None;
        full.work_code = Some("12".into());
        full.native = Some("4711".into());
        full.flags = (0..8).map(|bit| Flag::of_code(bit).unwrap()).collect();
        for (local, utc) in [
            (date(2000, 1, 1).at(0, 0, 0, 0), "1999-12-31T16:00:00Z"),
            (date(-9999, 1, 1).at(0, 0, 0, 0), "2026-01-01T00:00:00Z"),
            (date(9999, 12, 31).at(23, 59, 59, 0), "2026-01-01T00:00:00Z"),
        ] {
            let one = Entry { local, utc: utc.parse().unwrap(), ..full.clone() };
            let bytes = postcard::to_allocvec(&Record::Punch(PunchRecord::of(3, &one))).unwrap();
            let Record::Punch(back) = postcard::from_bytes(&bytes).unwrap() else { panic!("a punch") };
            assert_eq!((back.ledger, back.entry(&mut ZoneNames::default())), (3, Ok(one)));
        }
    }

    #[test]
    fn a_code_never_changes_its_meaning() {
        let origins = (0..=5).map(Origin::of_code).collect::<Vec<_>>();
        let expected = [Origin::Live, Origin::Backfill, Origin::Reread, Origin::Manual, Origin::Import].map(Ok);
        assert_eq!(origins[..5], expected);
        assert_eq!(origins[5], Err(Unreadable));
        for code in 0..7 {
            assert_eq!(Direction::of_code(code).map(Coded::code), Ok(code));
        }
    }

    #[test]
    fn a_record_of_a_newer_version_is_told_not_guessed() {
        let one = entry(ledger("front-door").origin(), 1, "7");
        let mut record = PunchRecord::of(1, &one);
        record.flags = 1 << 8;
        assert_eq!(record.entry(&mut ZoneNames::default()), Err(Unreadable));
    }
}
