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
        doubt::goes_on as carries_on,
        group::{GROUP_HEADER, records, salvage},
        index_copy,
        lock::{self, Content},
        record::Record,
        segment::{SEGMENT_HEADER, SegmentFile, SegmentHeader, StoreId, seed},
        stub::{StandsFor, stands_for},
        verify::files::{Headed, HeaderFault},
        walk::store_id,
    },
    RepairError,
    chain::{Changed, Edit, Judge, Place},
    extract::{Extract, Stands, Whole, extract},
    known::{Known, learn},
    twice::{self, Twice},
};

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
        self.alone().map(|group| group.number).collect()
    }

    pub(super) fn alone(&self) -> impl Iterator<Item = &Whole> {
        self.sources.iter().flat_map(|source| &source.extract.groups).filter(|group| group.stands == Stands::Alone)
    }

    /// The first group that stands in it, or for which one of them stands.
    pub(super) fn from(&self) -> Option<u64> {
        self.alone().map(|group| group.from).min()
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
    /// Punches that have the number of another one, and are not the same.
    pub(super) unlike: u64,
    /// Punches out of damaged bytes that are joined to a group.
    pub(super) salvaged: u64,
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
        let (part_read, edits, unlike, salvaged) = (Vec::new(), BTreeMap::new(), 0, 0);
        let (indexed, indexed_to) = (false, 0);
        let mut survey =
            Self { dir, store, left, homes, strays, part_read, ledgers, indexed, indexed_to, edits, unlike, salvaged };
        for headed in found {
            survey.take(headed)?;
        }
        survey.settle();
        survey.choose()?;
        survey.order();
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
        let mut extract = extract(seed(&self.store), &bytes, start, unread_to);
        let number = header.map_or(file.number, |header| header.segment);
        let home = self.homes.entry(number).or_default();
        home.retired = file.retired;
        for Whole { place, number, goes_on, .. } in &mut extract.groups {
            for record in records(&bytes[place.start + GROUP_HEADER..place.end]).flatten() {
                if let Record::Punch(punch) = &record {
                    let highest = self.ledgers.get(&punch.ledger).map_or(0, |known| known.highest);
                    *goes_on = Some(goes_on.unwrap_or(true) && punch.seq > highest);
                    home.first.entry(punch.ledger).or_insert((punch.seq, punch.prev));
                }
                learn(&mut self.ledgers, &record);
                if let Some((ledger, _)) = carries_on(&record) {
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

    /// Where a segment and its stub are both there, the stub holds, as long as it is whole and tells of the same punches.
    fn choose(&mut self) -> Result<(), RepairError> {
        for (number, home) in &mut self.homes {
            let stub = |source: &Source| source.path.extension().is_some_and(|extension| extension == "ids");
            if home.sources.iter().all(stub) || !home.sources.iter().any(stub) {
                continue;
            }
            let whole = |it: &Source| it.fault.is_none() && !it.extract.groups.is_empty() && it.extract.is_clean();
            home.retired = home.sources.iter().any(|source| stub(source) && whole(source));
            let (stubs, segments): (Vec<_>, Vec<_>) = home.sources.iter().partition(|it| stub(it));
            for (left, segment) in stubs.iter().flat_map(|left| segments.iter().map(move |segment| (left, segment))) {
                let left = SegmentFile { number: *number, path: left.path.clone(), retired: true };
                let held = stands_for(&self.store, &left, &segment.path);
                let held = held.map_err(|source| RepairError::Io { path: segment.path.clone(), source })?;
                home.retired &= held != StandsFor::Nothing;
            }
            let (kept, gone): (Vec<_>, Vec<_>) = home.sources.drain(..).partition(|it| stub(it) == home.retired);
            home.sources = kept;
            self.strays.extend(gone.into_iter().map(|source| source.path));
        }
        Ok(())
    }

    /// What stands twice, or under a number that another group has.
    fn order(&mut self) {
        twice::judge(&mut self.homes);
        let Self { store, homes, ledgers, salvaged, .. } = self;
        twice::join_rests(homes, |source, place| {
            let Ok(bytes) = read(&source.path) else { return false };
            let found = salvage(seed(store), &bytes[place.clone()]).records;
            let is_new = |record: &Record<'_>| match record {
                Record::Punch(it) => {
                    ledgers.get(&it.ledger).is_some_and(|known| known.ledger.is_some() && !known.found.contains(it.seq))
                }
                _ => false,
            };
            let punches = found.iter().filter(|record| is_new(record)).count() as u64;
            if punches > 0 {
                found.iter().for_each(|record| learn(ledgers, record));
                *salvaged += punches;
            }
            punches > 0
        });
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
        let mut twice = Twice::default();
        self.each_group(|file, group, body| twice.look(file, group, body, &self.edits))?;
        if !twice.is_empty() {
            self.each_group(|file, group, body| twice.compare(file, group, body, &self.edits))?;
        }
        self.unlike = twice.unlike();
        self.edits.extend(twice.edits());
        Ok(())
    }

    /// The whole groups of the journal in their order.
    fn each_group(&self, mut each: impl FnMut(u64, u64, &[u8])) -> Result<(), RepairError> {
        for (&file, home) in &self.homes {
            let mut held: Option<(usize, Vec<u8>)> = None;
            for group in home.joined() {
                let mut bytes = |at: usize| -> Result<Vec<u8>, RepairError> {
                    Ok(match read(&home.sources[at].path) {
                        // A daemon at work may have retired it.
                        Err(RepairError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
                        bytes => bytes?,
                    })
                };
                if let Some(body) = group.body(seed(&self.store), &mut held, &mut bytes)? {
                    each(file, group.number, &body);
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

/// Every file of the journal; where segment and stub of one number are both there, both.
fn all(dir: &Path, store: &StoreId) -> io::Result<Vec<Headed>> {
    let mut found = super::super::verify::files::headed(dir, Some(store))?;
    let hidden: Vec<_> = found.iter().filter(|it| it.file.retired).map(|it| it.file.number).collect();
    for number in hidden {
        let path = super::super::segment::segment_path(dir, number);
        if path.is_file() {
            found.push(super::super::verify::files::look(SegmentFile { number, path, retired: false }, Some(store))?);
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
