//! What is left of a retired segment, held against the segment where both are there: a retirement that was cut off leaves them
//! so, and so does whoever puts files of two branches of one store into one folder.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
};

use driver_api::PunchId;

use super::{
    group::{records, salvage},
    record::{PunchRecord, Record, ZoneNames},
    retention::may_go,
    segment::{Piece, SegmentFile, SegmentHeader, SegmentReader, StoreId, seed},
};
use crate::ledger::Ledger;

/// How much of a segment its stub stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StandsFor {
    /// All of it. Only for what was confirmed, and was old enough, is there ever a stub: so the segment was about to go.
    All,
    /// All that can be read of it; something cannot.
    Readable,
    /// It is damaged, or of another segment, or of the same one as it was in a copy of the store that went on elsewhere: what
    /// stands in this segment may be delivered nowhere.
    Nothing,
}

/// Holds a stub against the segment of the same number.
pub(super) fn stands_for(store: &StoreId, stub: &SegmentFile, segment: &Path) -> io::Result<StandsFor> {
    let right = |header: SegmentHeader| header.store == *store && header.segment == stub.number;
    if !SegmentHeader::of_file(&stub.path)?.is_some_and(right) {
        return Ok(StandsFor::Nothing);
    }
    let seed = seed(store);
    let Some(told) = Told::of(seed, &stub.path)? else { return Ok(StandsFor::Nothing) };
    let (mut zones, mut unread) = (ZoneNames::default(), false);
    let mut reader = SegmentReader::open(segment, seed, 0)?;
    loop {
        let all = match reader.next(None)? {
            Piece::End { .. } => break,
            Piece::Group { .. } => records(reader.body()).all(|record| match record {
                Some(record) => told.tells_of(&record, &mut zones),
                None => {
                    unread = true;
                    true
                }
            }),
            // A retirement keeps what can be read of it.
            Piece::Damage { .. } | Piece::Tail { .. } => {
                let found = salvage(seed, reader.body());
                unread |= !found.lost.is_empty();
                found.records.iter().all(|record| told.tells_of(record, &mut zones))
            }
        };
        if !all {
            return Ok(StandsFor::Nothing);
        }
    }
    Ok(match unread {
        false => StandsFor::All,
        true if told.groups > 0 => StandsFor::Readable,
        true => StandsFor::Nothing,
    })
}

/// All that a stub tells.
#[derive(Default)]
struct Told {
    /// A segment of which nothing had to be kept may have a stub without any.
    groups: usize,
    ledgers: HashMap<u32, Ledger>,
    /// Ledger, number, second and id of each punch.
    punches: HashSet<(u32, u64, i64, PunchId)>,
    /// The heads behind these punches.
    heads: HashMap<(u32, u64), [u8; 32]>,
    set_aside: HashSet<(u32, PunchId)>,
    /// Records that a stub keeps as they are.
    kept: HashSet<Vec<u8>>,
}

impl Told {
    /// `None` where the stub is not whole.
    fn of(seed: u32, path: &Path) -> io::Result<Option<Self>> {
        let mut told = Self::default();
        let mut reader = SegmentReader::open(path, seed, 0)?;
        loop {
            match reader.next(None)? {
                Piece::Group { .. } => told.groups += 1,
                Piece::End { .. } => return Ok(Some(told)),
                Piece::Damage { .. } | Piece::Tail { .. } => return Ok(None),
            }
            records(reader.body()).flatten().for_each(|record| told.take(&record));
        }
    }

    fn take(&mut self, record: &Record<'_>) {
        match record {
            Record::Ledger(it) => _ = self.ledgers.entry(it.number).or_insert_with(|| it.ledger()),
            Record::Retired(it) if it.first == 0 => self.set_aside.extend(it.ids().map(|(_, id)| (it.ledger, id))),
            Record::Retired(it) => {
                let numbered = (it.first..=it.last).zip(it.ids());
                self.punches.extend(numbered.map(|(seq, (local, id))| (it.ledger, seq, local, id)));
                self.heads.insert((it.ledger, it.last), it.head);
            }
            other => _ = self.kept.insert(bytes(other)),
        }
    }

    /// Whether a retirement that left this stub need not have kept more of a record than stands here.
    fn tells_of(&self, record: &Record<'_>, zones: &mut ZoneNames) -> bool {
        match record {
            Record::Ledger(it) => self.ledgers.get(&it.number).is_some_and(|ledger| *ledger == it.ledger()),
            Record::Punch(it) => self.tells_of_punch(it, zones),
            Record::SetAside(it) => self.set_aside.contains(&(it.ledger, PunchId(it.id))),
            // Cut off to its header, a stub would tell of every note that may go.
            Record::Note(_) if self.groups == 0 => false,
            other => may_go(other) || self.kept.contains(&bytes(other)),
        }
    }

    /// Two branches give one number to two punches. The head tells that nothing before it in the run is another either.
    fn tells_of_punch(&self, punch: &PunchRecord<'_>, zones: &mut ZoneNames) -> bool {
        if !self.punches.contains(&(punch.ledger, punch.seq, punch.local, PunchId(punch.id))) {
            return false;
        }
        let Some(said) = self.heads.get(&(punch.ledger, punch.seq)) else { return true };
        *said == punch.entry(zones).map(|entry| entry.head().0).unwrap_or_default()
    }
}

fn bytes(record: &Record<'_>) -> Vec<u8> {
    postcard::to_allocvec(record).expect("it was read from such bytes, and fits into memory")
}
