//! A group while it is put together: twins dropped, punches numbered and chained. Nothing counts before it is durable, so
//! all of it can be thrown away.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Instant,
};

use driver_api::{Batch, NotStored, Punch, PunchId, SetAside, Stored};
use jiff::{Timestamp, tz::TimeZone};
use tokio::sync::oneshot;

use super::{
    catalogue::Catalogue,
    group::Group,
    index::{Index, IndexError},
    intake,
    record::{PunchRecord, Record, SetAsideRecord, ZoneNames, wall_seconds},
    seen::{BucketKey, Seen},
    stand::{Advance, LedgerState},
};
use crate::ledger::{Entry, Head, Ledger};

/// One call of `Spool::commit`, or a part of it.
pub(super) struct Commit {
    pub(super) terminal: String,
    pub(super) serial: String,
    pub(super) zone: TimeZone,
    pub(super) batch: Batch,
    pub(super) since: Instant,
    pub(super) answer: oneshot::Sender<Result<Stored, NotStored>>,
}

/// Somebody who waits for the group.
pub(super) struct Waiter {
    pub(super) answer: oneshot::Sender<Result<Stored, NotStored>>,
    pub(super) stored: Stored,
    pub(super) since: Instant,
    pub(super) ledger: u32,
}

/// What the group adds to one ledger.
pub(super) struct Addition {
    pub(super) source: u32,
    pub(super) ledger: Arc<Ledger>,
    /// A ledger that begins with this group.
    pub(super) begun: Option<LedgerState>,
    /// Number of its first punch here, and the head before it.
    pub(super) first: (u64, Head),
    /// The segment that names it last, and how often.
    pub(super) named: (u64, u8),
    pub(super) advance: Advance,
}

pub(super) struct Draft {
    /// Punches and records set aside.
    pub(super) group: Group,
    pub(super) ledgers: BTreeMap<u32, Addition>,
    /// Ids that are new with this group.
    pub(super) ids: Vec<(BucketKey, PunchId)>,
    /// Ledger and instant of each punch, while any are known to be lost: it may be one of those.
    pub(super) late: Vec<(u32, i64)>,
    taken: HashSet<(u32, PunchId)>,
    /// The entries, if anybody is to have them when they are durable.
    pub(super) entries: Vec<(u32, Entry)>,
    keep_entries: bool,
    pub(super) waiters: Vec<Waiter>,
    now: Timestamp,
}

/// What a draft looks things up in.
pub(super) struct Lookup<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) index: &'a Index,
    pub(super) seen: &'a mut Seen,
    pub(super) zones: &'a mut ZoneNames,
    pub(super) tenant: &'a str,
    pub(super) gateway: &'a str,
}

impl Draft {
    /// `keep_entries`: all of them are wanted later, not only their bytes.
    pub(super) fn new(seed: u32, keep_entries: bool) -> Self {
        // What the journal can say of an instant.
        let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).expect("now is within the calendar");
        Self {
            group: Group::new(seed),
            ledgers: BTreeMap::new(),
            ids: Vec::new(),
            late: Vec::new(),
            taken: HashSet::new(),
            entries: Vec::new(),
            keep_entries,
            waiters: Vec::new(),
            now,
        }
    }

    /// Adds a commit. After an error the whole draft is void.
    pub(super) fn add(&mut self, commit: Commit, look: &mut Lookup<'_>) -> Result<(), IndexError> {
        let Commit { terminal, serial, zone, batch, since, answer } = commit;
        let number = self.ledger(&terminal, &serial, look);
        self.waiters.push(Waiter { answer, stored: Stored::default(), since, ledger: number });
        let mut stored = Stored::default();
        let Batch { punches, set_aside, former } = batch;
        for mut punch in punches {
            punch.local = intake::whole_seconds(punch.local);
            if let Some(reason) = intake::too_long(&punch) {
                let raw = punch.person.into_bytes();
                stored.set_aside += self.set_aside(SetAside { raw, reason, nth: punch.nth }, number, &serial, look)?;
            } else if self.punch(punch, &former, number, (&serial, &zone), look)? {
                stored.new += 1;
            } else {
                stored.twins += 1;
            }
        }
        for raw in set_aside {
            stored.set_aside += self.set_aside(raw, number, &serial, look)?;
        }
        if let Some(waiter) = self.waiters.last_mut() {
            waiter.stored = stored;
        }
        Ok(())
    }

    /// The ledger of a terminal with this serial, begun if need be.
    fn ledger(&mut self, terminal: &str, serial: &str, look: &Lookup<'_>) -> u32 {
        let key = (look.tenant, look.gateway, terminal, serial);
        if let Some(state) = look.catalogue.find(&key) {
            let advance = Advance { next: state.next, head: state.head, set_aside: 0, latest: None };
            self.ledgers.entry(state.number).or_insert_with(|| Addition {
                source: state.source,
                ledger: state.ledger.clone(),
                begun: None,
                first: (state.next, state.head),
                named: state.named,
                advance,
            });
            return state.number;
        }
        let begun = self.ledgers.iter().filter(|(_, addition)| addition.begun.is_some());
        let known = begun.clone().find(|(_, it)| it.ledger.terminal == terminal && it.ledger.serial == serial);
        if let Some((number, _)) = known {
            return *number;
        }
        let here = begun.clone().filter(|(_, it)| it.ledger.terminal == terminal).map(|(_, it)| it.ledger.begun).max();
        let second = look.catalogue.begin(terminal, self.now.as_second());
        let second = here.map_or(second, |here| second.max(here + 1));
        let number = begun.map(|(number, _)| number + 1).max().unwrap_or_else(|| look.catalogue.next_number());
        let ledger = Ledger {
            tenant: look.tenant.into(),
            gateway: look.gateway.into(),
            terminal: terminal.into(),
            serial: serial.into(),
            begun: second,
        };
        let source = look.catalogue.source(&ledger, number);
        let state = LedgerState::new(number, source, ledger);
        let addition = Addition {
            source,
            ledger: state.ledger.clone(),
            first: (1, state.head),
            named: (0, 0),
            advance: Advance { next: 1, head: state.head, set_aside: 0, latest: None },
            begun: Some(state),
        };
        self.ledgers.insert(number, addition);
        number
    }

    /// `false` for a twin.
    fn punch(
        &mut self,
        punch: Punch,
        former: &BTreeMap<String, Vec<String>>,
        number: u32,
        (serial, zone): (&str, &TimeZone),
        look: &mut Lookup<'_>,
    ) -> Result<bool, IndexError> {
        let addition = self.ledgers.get_mut(&number).expect("`ledger` put it there");
        let id = PunchId::of(serial, &punch);
        let local = wall_seconds(punch.local);
        let key = BucketKey::punch(addition.source, local);
        for name in former.get(&punch.person).into_iter().flatten() {
            let other = PunchId::under(serial, &punch, name);
            if self.taken.contains(&(addition.source, other)) || look.seen.contains(look.index, key, other)? {
                return Ok(false);
            }
        }
        if look.seen.contains(look.index, key, id)? || !self.taken.insert((addition.source, id)) {
            return Ok(false);
        }
        let advance = &mut addition.advance;
        let entry = intake::entry(punch, id, (advance.next, advance.head), zone, self.now, look.zones);
        advance.next += 1;
        advance.head = entry.head();
        advance.latest = advance.latest.max(Some(local));
        self.group.push(&Record::Punch(PunchRecord::of(number, &entry)));
        self.ids.push((key, id));
        if look.catalogue.has_open_losses() {
            self.late.push((number, entry.utc.as_millisecond()));
        }
        if self.keep_entries || entry.origin == driver_api::Origin::Live {
            self.entries.push((number, entry));
        }
        Ok(true)
    }

    /// 1 for a new one, 0 for a twin.
    fn set_aside(
        &mut self,
        mut aside: SetAside,
        number: u32,
        serial: &str,
        look: &mut Lookup<'_>,
    ) -> Result<usize, IndexError> {
        let addition = self.ledgers.get_mut(&number).expect("`ledger` put it there");
        aside.raw.truncate(SetAside::LIMIT);
        if aside.reason.len() > REASON_LIMIT {
            aside.reason = aside.reason.chars().take(REASON_LIMIT / 4).collect();
        }
        let id = PunchId::of_raw(serial, &aside.raw, aside.nth);
        let key = BucketKey::set_aside(addition.source, id);
        if look.seen.contains(look.index, key, id)? || !self.taken.insert((addition.source, id)) {
            return Ok(0);
        }
        addition.advance.set_aside += 1;
        let (raw, reason) = (&aside.raw[..], &aside.reason[..]);
        let stored = self.now.as_millisecond();
        self.group.push(&Record::SetAside(SetAsideRecord { ledger: number, id: id.0, raw, reason, stored }));
        self.ids.push((key, id));
        Ok(1)
    }
}

/// In bytes; of a longer one the first quarter as many letters are kept, which fit in any script.
const REASON_LIMIT: usize = 1024;
