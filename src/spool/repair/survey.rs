//! All that a damaged store still holds, and where: files by the place they belong to, ledgers by what is known of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    super::{
        disk::readout::Readout,
        doubt::{goes_on, was_delivered, was_given},
        group::{GROUP_HEADER, records, salvage},
        index_copy,
        lock::{self, Content},
        ranges::Ranges,
        record::{Record, ZoneNames},
        segment::{SEGMENT_HEADER, SegmentHeader, StoreId, seed},
        verify::files::{Headed, HeaderFault},
        walk::store_id,
    },
    RepairError,
    chain::{Changed, Edit, Judge, Place},
    extract::{Extract, Whole, extract},
};
use crate::ledger::{Head, Ledger};

/// A file, taken apart.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) header: Option<SegmentHeader>,
    pub(super) fault: Option<HeaderFault>,
    pub(super) extract: Extract,
    /// What the disk does not give of it.
    pub(super) unread: Vec<Range<u64>>,
    /// Its length, where that is more than a file of the journal ever has.
    pub(super) too_long: Option<u64>,
}

impl Source {
    pub(super) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// One place in the journal, and the files that belong there.
#[derive(Default)]
pub(super) struct Home {
    pub(super) retired: bool,
    pub(super) sources: Vec<Source>,
    /// Ledgers with punches in its whole groups: the first of each, with the head before it.
    pub(super) first: BTreeMap<u32, (u64, [u8; 32])>,
}

impl Home {
    /// Numbers of its whole groups.
    pub(super) fn groups(&self) -> BTreeSet<u64> {
        self.sources.iter().flat_map(|source| source.extract.groups.iter().map(|group| group.number)).collect()
    }

    /// The first group that stands in it, or for which one of them stands.
    pub(super) fn from(&self) -> Option<u64> {
        self.sources.iter().flat_map(|source| source.extract.groups.iter().map(|group| group.from)).min()
    }
}

/// What is known of one ledger.
#[derive(Default)]
pub(super) struct Known {
    pub(super) ledger: Option<Ledger>,
    pub(super) found: Ranges,
    /// What is recorded as lost already.
    pub(super) recorded: Ranges,
    pub(super) closed: bool,
    /// The number of its next punch by the index, where that can be believed.
    pub(super) indexed: Option<u64>,
    /// When each punch behind a hole was stored, by its number; and the head after the last punch.
    pub(super) stored: BTreeMap<u64, i64>,
    pub(super) last: Option<(u64, Head)>,
    /// Numbers whose records were changed after they were written.
    pub(super) changed: Ranges,
    /// The last number that anything speaks of.
    pub(super) heard: u64,
    /// The same of what was delivered alone.
    pub(super) delivered: u64,
    /// The last whole group in which it goes on.
    pub(super) vouched: u64,
    highest: u64,
}

impl Known {
    /// Its last number, as far as the journal knows.
    pub(super) fn have(&self) -> u64 {
        let have = self.last.map_or(0, |(seq, _)| seq);
        // Behind its last punch a ledger has another number only where it has ended.
        let have = have.max(if self.closed { self.changed.last() } else { 0 });
        self.recorded.iter().map(|(_, last)| last).fold(have, u64::max)
    }

    /// Numbers up to there that are missing, and that the journal does not say so of.
    pub(super) fn untold(&self) -> Vec<(u64, u64)> {
        let missing = self.found.missing(1, self.have()).into_iter();
        missing.flat_map(|(first, last)| self.recorded.missing(first, last)).collect()
    }
}

pub(super) struct Survey {
    pub(super) dir: PathBuf,
    pub(super) store: StoreId,
    pub(super) left: Option<Content>,
    pub(super) homes: BTreeMap<u64, Home>,
    /// Files that belong to no place in this store.
    pub(super) strays: Vec<PathBuf>,
    /// Files that the disk does not give as a whole, so that nobody can copy them.
    pub(super) part_read: Vec<PathBuf>,
    pub(super) ledgers: BTreeMap<u32, Known>,
    /// Whether the index could be read.
    pub(super) indexed: bool,
    /// Number of the last group that the index knew to be durable; 0 where there is none.
    pub(super) indexed_to: u64,
    /// What is done about records that are not what was written.
    pub(super) edits: BTreeMap<Place, Edit>,
}

/// So many files may be missing in a row without anybody asking whether they can all have been there.
const MANY: u64 = 1000;

impl Survey {
    pub(super) fn of(state_dir: &Path) -> Result<Self, RepairError> {
        let dir = state_dir.join("journal");
        let failed = |source| RepairError::io(&dir, source);
        let store = store_id(&dir).map_err(failed)?.ok_or_else(|| RepairError::NoStore(dir.clone()))?;
        let left = lock::peek(&dir);
        let (homes, strays, ledgers) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let found = all(&dir, &store).map_err(failed)?;
        let (part_read, edits) = (Vec::new(), BTreeMap::new());
        let mut survey =
            Self { dir, store, left, homes, strays, part_read, ledgers, indexed: false, indexed_to: 0, edits };
        for headed in found {
            survey.take(headed)?;
        }
        survey.settle();
        survey.choose();
        survey.read_index(state_dir);
        survey.judge()?;
        Ok(survey)
    }

    fn take(&mut self, headed: Headed) -> Result<(), RepairError> {
        let Headed { file, header, fault, too_long } = headed;
        let path = file.path.clone();
        match &fault {
            Some(HeaderFault::Newer(_)) => return Err(RepairError::Newer(path)),
            Some(HeaderFault::Stray) => {
                self.strays.push(path);
                return Ok(());
            }
            _ => {}
        }
        let (bytes, unread) = read_with_gaps(&path)?;
        let start = if header.is_some() { SEGMENT_HEADER.min(bytes.len()) } else { 0 };
        self.part_read.extend((!unread.is_empty()).then(|| path.clone()));
        let unread_to = unread.last().map_or(0, |it| it.end as usize);
        let extract = extract(seed(&self.store), &bytes, start, unread_to);
        let number = header.map_or(file.number, |header| header.segment);
        let home = self.homes.entry(number).or_default();
        home.retired = file.retired;
        for Whole { place, number, .. } in &extract.groups {
            for record in records(&bytes[place.start + GROUP_HEADER..place.end]).flatten() {
                if let Record::Punch(punch) = &record {
                    home.first.entry(punch.ledger).or_insert((punch.seq, punch.prev));
                }
                learn(&mut self.ledgers, &record);
                if let Some((ledger, _)) = goes_on(&record) {
                    let known = self.ledgers.entry(ledger).or_default();
                    known.vouched = known.vouched.max(*number);
                }
            }
        }
        // Names may stand in damaged bytes alone.
        for (_, place) in &extract.rests {
            for record in salvage(seed(&self.store), &bytes[place.clone()]).records {
                if let Record::Ledger(it) = &record {
                    self.ledgers.entry(it.number).or_default().ledger.get_or_insert_with(|| it.ledger());
                }
            }
        }
        home.sources.push(Source { path, header, fault, extract, unread, too_long });
        Ok(())
    }

    /// A name may say anything. Where no header says where a file belongs, its groups do; and a file of which nothing can be
    /// read, behind all others, belongs nowhere.
    fn settle(&mut self) {
        for number in self.homes.keys().copied().collect::<Vec<_>>() {
            let Some(mut home) = self.homes.remove(&number) else { continue };
            let groups = home.groups();
            let before = match groups.first() {
                Some(first) => {
                    self.homes.iter().rev().find(|(_, it)| it.groups().last().is_some_and(|last| last < first))
                }
                None => self.homes.last_key_value(),
            };
            let (before, group) =
                before.map_or((0, 0), |(number, it)| (*number, it.groups().last().copied().unwrap_or(0)));
            let behind = groups.last().and_then(|last| {
                self.homes.iter().find(|(_, it)| it.groups().first().is_some_and(|first| first > last)).map(|it| *it.0)
            });
            let headed = home.sources.iter().any(|source| source.header.is_some());
            let in_place = before < number && behind.is_none_or(|behind| number < behind);
            // Each file that is not there had one group at least.
            let gone = number.saturating_sub(before + 1);
            let too_far =
                home.retired && gone > MANY && gone > groups.last().map_or(0, |last| last.saturating_sub(group));
            let free = before + 1;
            let fits = free < behind.unwrap_or(u64::MAX) && !self.homes.contains_key(&free);
            if !headed && groups.is_empty() && number > free && !self.holds_records(&home) {
                self.strays.extend(home.sources.into_iter().map(|source| source.path));
            } else if fits && free != number && !groups.is_empty() && (too_far || (!headed && !in_place)) {
                for source in &mut home.sources {
                    source.fault.get_or_insert(HeaderFault::Misplaced(number));
                }
                self.homes.insert(free, home);
            } else {
                self.homes.insert(number, home);
            }
        }
    }

    /// Whether anything can be had of damaged bytes in it.
    fn holds_records(&self, home: &Home) -> bool {
        let of = |source: &Source| -> bool {
            if !source.unread.is_empty() {
                return true;
            }
            let Ok(bytes) = read(&source.path) else { return true };
            let rests = source.extract.rests.iter();
            rests.cloned().any(|(_, place)| !salvage(seed(&self.store), &bytes[place]).records.is_empty())
        };
        home.sources.iter().any(of)
    }

    /// Where a segment and its stub are both there, the stub holds, as long as it is whole.
    fn choose(&mut self) {
        for home in self.homes.values_mut() {
            let stub = |source: &Source| source.path.extension().is_some_and(|extension| extension == "ids");
            if home.sources.iter().all(stub) || !home.sources.iter().any(stub) {
                continue;
            }
            let whole = |it: &Source| it.fault.is_none() && !it.extract.groups.is_empty() && it.extract.is_clean();
            home.retired = home.sources.iter().any(|source| stub(source) && whole(source));
            let (kept, gone): (Vec<_>, Vec<_>) = home.sources.drain(..).partition(|it| stub(it) == home.retired);
            home.sources = kept;
            self.strays.extend(gone.into_iter().map(|source| source.path));
        }
    }

    /// What the chains say of the records.
    fn judge(&mut self) -> Result<(), RepairError> {
        let mut judge = Judge::default();
        loop {
            self.each_group(|file, group, body| judge.look(file, group, body))?;
            if !judge.decide() {
                break;
            }
        }
        self.each_group(|file, group, body| judge.mend(file, group, body))?;
        let Changed { edits, numbers, last } = judge.verdict();
        self.edits = edits;
        for (number, changed) in numbers {
            let Some(known) = self.ledgers.get_mut(&number) else { continue };
            let found = known.found.iter().flat_map(|(first, last)| changed.missing(first, last));
            known.found = found.collect();
            known.last = last.get(&number).copied().filter(|(seq, _)| *seq > 0);
            if changed.last() > known.last.map_or(0, |(seq, _)| seq) {
                // The head behind it is lost with it, so that nothing can be chained to it any more.
                known.indexed = known.indexed.max(Some(changed.last() + 1));
            }
            known.changed = changed;
        }
        Ok(())
    }

    /// The whole groups of the journal in their order.
    fn each_group(&self, mut each: impl FnMut(u64, u64, &[u8])) -> Result<(), RepairError> {
        for (&file, home) in &self.homes {
            let mut groups = BTreeMap::new();
            for (at, source) in home.sources.iter().enumerate() {
                source.extract.groups.iter().for_each(|group| _ = groups.entry(group.number).or_insert((at, group)));
            }
            let mut held: Option<(usize, Vec<u8>)> = None;
            for (number, (at, Whole { place, .. })) in groups {
                if held.as_ref().is_none_or(|(held, _)| *held != at) {
                    let bytes = match read(&home.sources[at].path) {
                        // A daemon at work may have retired it.
                        Err(RepairError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
                        bytes => bytes?,
                    };
                    held = Some((at, bytes));
                }
                let body = place.start + GROUP_HEADER..place.end;
                if let Some(body) = held.as_ref().and_then(|(_, bytes)| bytes.get(body)) {
                    each(file, number, body);
                }
            }
        }
        Ok(())
    }

    /// The index knows how far each ledger went.
    fn read_index(&mut self, state_dir: &Path) {
        let Some(told) = index_copy::read(state_dir, self.left.as_ref(), &self.store) else { return };
        for (number, kept) in told.ledgers {
            let (ledger, next) = kept.stand();
            let known = self.ledgers.entry(number).or_default();
            known.ledger.get_or_insert(ledger);
            known.indexed = Some(next);
        }
        (self.indexed, self.indexed_to) = (true, told.group);
    }
}

/// Takes note of what a record says of its ledger.
pub(super) fn learn(ledgers: &mut BTreeMap<u32, Known>, record: &Record<'_>) {
    if let Some((ledger, last)) = goes_on(record).or_else(|| was_given(record)) {
        let known = ledgers.entry(ledger).or_default();
        known.heard = known.heard.max(last);
    }
    if let Some((ledger, last)) = was_delivered(record) {
        let known = ledgers.entry(ledger).or_default();
        known.delivered = known.delivered.max(last);
    }
    match record {
        Record::Ledger(it) => {
            let known = ledgers.entry(it.number).or_default();
            known.ledger.get_or_insert_with(|| it.ledger());
        }
        Record::Punch(punch) => {
            let known = ledgers.entry(punch.ledger).or_default();
            known.found.insert(punch.seq, punch.seq);
            if punch.seq != known.highest + 1 {
                known.stored.insert(punch.seq, punch.stored());
            }
            known.highest = known.highest.max(punch.seq);
            if known.last.is_none_or(|(seq, _)| seq < punch.seq)
                && let Ok(entry) = punch.entry(&mut ZoneNames::default())
            {
                known.last = Some((punch.seq, entry.head()));
            }
        }
        Record::Retired(retired) if retired.first != 0 => {
            let known = ledgers.entry(retired.ledger).or_default();
            known.found.insert(retired.first, retired.last);
            known.highest = known.highest.max(retired.last);
            if known.last.is_none_or(|(seq, _)| seq < retired.last) {
                known.last = Some((retired.last, Head(retired.head)));
            }
        }
        Record::Lost(lost) => {
            let known = ledgers.entry(lost.ledger).or_default();
            known.recorded.insert(lost.first, lost.last);
            known.closed |= lost.closes;
        }
        _ => {}
    }
}

/// Every file of the journal; where segment and stub of one number are both there, both.
fn all(dir: &Path, store: &StoreId) -> io::Result<Vec<Headed>> {
    let mut found = super::super::verify::files::headed(dir, Some(store))?;
    let hidden: Vec<_> = found.iter().filter(|it| it.file.retired).map(|it| it.file.number).collect();
    for number in hidden {
        let path = super::super::segment::segment_path(dir, number);
        if path.is_file() {
            found.push(super::super::verify::files::look(
                super::super::segment::SegmentFile { number, path, retired: false },
                Some(store),
            )?);
        }
    }
    Ok(found)
}

/// All of a file that can be ours, with zeros for what the disk does not give.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, RepairError> {
    read_with_gaps(path).map(|(bytes, _)| bytes)
}

fn read_with_gaps(path: &Path) -> Result<(Vec<u8>, Vec<Range<u64>>), RepairError> {
    let read = || {
        let readout = Readout::open(path)?;
        let (mut bytes, mut unread) = (vec![0; readout.len()? as usize], Vec::new());
        let long = readout.fill(&mut bytes, 0, &mut unread)?;
        bytes.truncate(long);
        Ok((bytes, unread))
    };
    read().map_err(|source| RepairError::io(path, source))
}
