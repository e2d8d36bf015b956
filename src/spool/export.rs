//! Everything that a store holds, in the order of its journal. Needs neither the index nor the lock, and writes nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::Path,
    sync::Arc,
};

use driver_api::SetAsideId;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    group::salvage,
    lock,
    record::{Record, ZoneNames},
    segment::{Position, list, seed},
    verify::{Fault, NO_STORE, REPAIR, groups},
    walk::{Step, Walk, store_id},
};
use crate::{
    inquiry::Standing,
    ledger::{Entry, Ledger},
};

/// One thing of a store.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are punches")]
pub enum Exported {
    Punch(Arc<Ledger>, Entry),
    SetAside(RawRecord),
    Mark(Mark),
    /// Here something cannot be read. What can be had around it follows.
    Damage(Fault),
}

/// What stands between the punches, with its time: what a report counts beside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "mark", rename_all = "kebab-case")]
pub enum Mark {
    /// The broker's word for these punches was on disk.
    Confirmed { terminal: String, ledger: i64, destination: String, first: u64, last: u64, at: Timestamp },
    /// The terminal came into this state; without a name it is the gateway itself.
    Standing { terminal: String, standing: Standing, at: Timestamp },
    /// A record of it that makes no punch was set aside.
    SetAside { terminal: String, ledger: i64, at: Timestamp },
    /// These numbers are gone for good; that was found then.
    Lost { terminal: String, ledger: i64, first: u64, last: u64, at: Timestamp },
}

/// A record that makes no punch, as it was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    pub ledger: Arc<Ledger>,
    pub id: SetAsideId,
    pub reason: String,
    pub raw: Vec<u8>,
}

/// Reads a store, oldest first, while the daemon runs or not.
pub struct Export {
    seed: u32,
    /// Number of the last group of a store that was closed in order and is not open again.
    closed_at: Option<u64>,
    /// A daemon has it open.
    held: bool,
    /// The highest number of a group so far.
    last: u64,
    walk: Option<Walk>,
    ledgers: BTreeMap<u32, Arc<Ledger>>,
    zones: ZoneNames,
    waiting: VecDeque<Exported>,
}

/// Opens the store of a state folder for reading alone.
pub fn export(state_dir: &Path) -> io::Result<Export> {
    let dir = state_dir.join("journal");
    let seed = store_id(&dir)?.map(|store| seed(&store));
    let walk = seed.map(|seed| Walk::whole(&dir, seed));
    let held = lock::is_held(&dir);
    let closed_at = lock::peek(&dir).and_then(|content| content.closed_at()).filter(|_| !held);
    let (ledgers, zones, mut waiting) = (BTreeMap::new(), ZoneNames::default(), VecDeque::new());
    if walk.is_none() && !list(&dir)?.is_empty() {
        let what = "nothing tells which store this is, so no record can be read".into();
        waiting.push_back(Exported::Damage(Fault { segment: 0, offset: 0, what, mend: NO_STORE }));
    }
    Ok(Export { seed: seed.unwrap_or_default(), closed_at, held, last: 0, walk, ledgers, zones, waiting })
}

impl Export {
    /// Reads the next group; whether there may be more.
    fn read(&mut self) -> io::Result<bool> {
        let Some(walk) = &mut self.walk else { return Ok(false) };
        let damage =
            |at: Position, what| Exported::Damage(Fault { segment: at.segment, offset: at.offset, what, mend: REPAIR });
        let step = walk.next(None)?;
        self.last = self.last.max(walk.group());
        match step {
            Step::End { at } => {
                self.walk = None;
                let last = self.last;
                if let Some(closed_at) = self.closed_at.filter(|closed_at| *closed_at > last) {
                    let what = format!("{} should stand behind here", groups(last + 1, closed_at));
                    self.waiting.push_back(damage(at, what));
                }
                return Ok(!self.waiting.is_empty());
            }
            // It is what the daemon is writing, or will deal with at its start.
            Step::Tail { .. } if self.closed_at.is_none() && (self.held || !walk.is_cut_short()) => return Ok(false),
            // Of a write that a crash cut short, the next start keeps what is whole.
            Step::Tail { .. } if self.closed_at.is_none() => {}
            Step::Missing { at, first, last } => {
                self.waiting.push_back(damage(at, format!("{} should stand before here", groups(first, last))));
                return Ok(true);
            }
            Step::Damage { at } | Step::Tail { at } => {
                let lost: usize = salvage(self.seed, walk.bytes()).lost.iter().map(|lost| lost.len()).sum();
                self.waiting.push_back(damage(at, format!("a damaged group: {lost} bytes of it cannot be read")));
            }
            Step::Group { .. } => {}
        }
        let at = walk.position();
        for record in walk.records() {
            if let Some(it @ Record::SetAside(_)) = &record {
                self.waiting.extend(mark(&self.ledgers, it).map(Exported::Mark));
            }
            let found = match record {
                Some(Record::Ledger(it)) => {
                    self.ledgers.entry(it.number).or_insert_with(|| Arc::new(it.ledger()));
                    continue;
                }
                Some(Record::Confirmed(_) | Record::Retired(_) | Record::Note(_)) => continue,
                Some(Record::Settled(_) | Record::Repaired(_)) => continue,
                Some(it @ (Record::Lost(_) | Record::ConfirmedAt(_) | Record::Standing(_))) => {
                    match mark(&self.ledgers, &it) {
                        Some(mark) => Exported::Mark(mark),
                        // Of a newer version, or of a ledger that nothing names.
                        None => continue,
                    }
                }
                Some(Record::Punch(punch)) => match (self.ledgers.get(&punch.ledger), punch.entry(&mut self.zones)) {
                    (Some(ledger), Ok(entry)) => Exported::Punch(ledger.clone(), entry),
                    _ => damage(at, format!("punch {} before here cannot be read", punch.seq)),
                },
                Some(Record::SetAside(it)) => match self.ledgers.get(&it.ledger) {
                    Some(ledger) => Exported::SetAside(RawRecord {
                        ledger: ledger.clone(),
                        id: driver_api::PunchId(it.id),
                        reason: it.reason.into(),
                        raw: it.raw.into(),
                    }),
                    None => damage(at, "a raw record before here is of a ledger that nothing names".into()),
                },
                None => damage(at, "a record before here can only be read by a newer version".into()),
            };
            self.waiting.push_back(found);
        }
        Ok(true)
    }
}

/// A record as a mark, if it is one.
fn mark(ledgers: &BTreeMap<u32, Arc<Ledger>>, record: &Record<'_>) -> Option<Mark> {
    let of = |number: u32| ledgers.get(&number).map(|ledger| (ledger.terminal.clone(), ledger.begun));
    let at = |ms: i64| Timestamp::from_millisecond(ms).ok();
    match record {
        Record::ConfirmedAt(it) => {
            let ((terminal, ledger), at) = (of(it.ledger)?, at(it.at)?);
            let (destination, first, last) = (it.destination.to_owned(), it.first, it.last);
            Some(Mark::Confirmed { terminal, ledger, destination, first, last, at })
        }
        Record::Standing(it) => {
            Some(Mark::Standing { terminal: it.terminal.to_owned(), standing: it.standing()?, at: at(it.at)? })
        }
        Record::SetAside(it) => {
            let ((terminal, ledger), at) = (of(it.ledger)?, at(it.stored)?);
            Some(Mark::SetAside { terminal, ledger, at })
        }
        Record::Lost(it) if it.first <= it.last => {
            let ((terminal, ledger), at) = (of(it.ledger)?, at(it.at)?);
            Some(Mark::Lost { terminal, ledger, first: it.first, last: it.last, at })
        }
        _ => None,
    }
}

impl Iterator for Export {
    type Item = io::Result<Exported>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return Some(Ok(next));
            }
            match self.read() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.walk = None;
                    return Some(Err(error));
                }
            }
        }
    }
}
