//! Putting what the journal says back into memory and into the index.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use driver_api::PunchId;

use super::{
    catalogue::Catalogue,
    delivery::Destination,
    disk::{Disk, create, create_dir, readout},
    doubt::speaks_of,
    index::{Index, IndexError},
    record::{PunchRecord, Record, ZoneNames},
    seen::{BucketKey, Seen},
    segment::Position,
};

/// Takes records in the order of the journal. Taking one twice does no harm.
pub(super) struct Replay<'a> {
    pub(super) catalogue: &'a mut Catalogue,
    pub(super) seen: &'a mut Seen,
    /// `None`: there is none yet, and ids are not looked at.
    pub(super) index: Option<&'a Index>,
    pub(super) destinations: &'a mut dyn FnMut(&str) -> Arc<Destination>,
    pub(super) zones: ZoneNames,
    /// Records that say something of a ledger that nothing names, or that only a newer version can read.
    pub(super) orphans: u64,
    /// Punches that came before the name of their ledger, which is damaged there.
    pub(super) unnamed: &'a mut Unnamed,
}

/// By the number of the ledger: number, second by the wall, and id of each.
pub(super) type Unnamed = HashMap<u32, Vec<(u64, i64, PunchId)>>;

impl Replay<'_> {
    pub(super) fn take<'r>(
        &mut self,
        at: Position,
        records: impl Iterator<Item = Option<Record<'r>>>,
    ) -> Result<(), IndexError> {
        // The head after the last punch of each ledger; those between stand in the punches behind them.
        let mut last: HashMap<u32, PunchRecord<'r>> = HashMap::new();
        for record in records {
            if let Some(number) = record.as_ref().and_then(speaks_of) {
                self.catalogue.reserve(number);
            }
            match record {
                None => self.orphans += 1,
                Some(Record::Ledger(ledger)) => {
                    self.catalogue.apply_ledger(&ledger, at.segment);
                    self.name(ledger.number)?;
                }
                Some(Record::Punch(punch)) => {
                    let known = self.catalogue.get(punch.ledger).map(|state| (state.next, state.source));
                    if known.is_some_and(|(next, _)| punch.seq >= next) {
                        self.catalogue.apply_punch(&punch);
                    }
                    match known {
                        None => {
                            self.orphans += 1;
                            let these = self.unnamed.entry(punch.ledger).or_default();
                            these.push((punch.seq, punch.local, PunchId(punch.id)));
                        }
                        Some((next, source)) => {
                            self.id(BucketKey::punch(source, punch.local), PunchId(punch.id))?;
                            if punch.seq >= next {
                                last.insert(punch.ledger, punch);
                            }
                        }
                    }
                }
                Some(Record::SetAside(aside)) => match self.catalogue.get(aside.ledger).map(|state| state.source) {
                    None => self.orphans += 1,
                    Some(source) => {
                        let id = PunchId(aside.id);
                        if self.id(BucketKey::set_aside(source, id), id)? {
                            self.catalogue.count_set_aside(aside.ledger, 1);
                        }
                    }
                },
                Some(Record::Confirmed(it)) => {
                    (self.destinations)(it.destination).state().apply(it.ledger, it.first, it.last);
                }
                Some(Record::Lost(lost)) => self.orphans += u64::from(!self.catalogue.apply_lost(&lost)),
                Some(Record::Settled(settled)) => self.orphans += u64::from(!self.catalogue.apply_settled(&settled)),
                Some(Record::Repaired(_) | Record::Standing(_)) => {}
                Some(Record::ConfirmedAt(it)) => {
                    (self.destinations)(it.destination).state().apply(it.ledger, it.first, it.last);
                }
                Some(Record::Note(it)) => {
                    if let Some(index) = self.index {
                        index.put_note(it.kind, it.key, it.stored, it.body)?;
                    }
                }
                Some(Record::Retired(retired)) => {
                    self.catalogue.apply_retired(&retired);
                    match self.catalogue.get(retired.ledger).map(|state| state.source) {
                        None => self.orphans += 1,
                        Some(source) => {
                            for (local, id) in retired.ids() {
                                if retired.first != 0 {
                                    self.id(BucketKey::punch(source, local), id)?;
                                } else if self.id(BucketKey::set_aside(source, id), id)? {
                                    self.catalogue.count_set_aside(retired.ledger, 1);
                                }
                            }
                        }
                    }
                }
            }
        }
        for (ledger, punch) in last {
            match punch.entry(&mut self.zones) {
                Ok(entry) => self.catalogue.set_head(ledger, entry.head()),
                Err(_) => self.orphans += 1,
            }
        }
        Ok(())
    }

    /// A ledger has a name from here on: what came before it is its own, and not lost.
    fn name(&mut self, number: u32) -> Result<(), IndexError> {
        let Some(punches) = self.unnamed.remove(&number) else { return Ok(()) };
        self.catalogue.find_again(number, punches.iter().map(|(seq, ..)| *seq));
        let Some(source) = self.catalogue.get(number).map(|state| state.source) else { return Ok(()) };
        for (_, local, id) in punches {
            self.id(BucketKey::punch(source, local), id)?;
        }
        Ok(())
    }

    fn id(&mut self, key: BucketKey, id: PunchId) -> Result<bool, IndexError> {
        match self.index {
            Some(index) => self.seen.insert(index, key, id),
            None => Ok(false),
        }
    }
}

/// In a state folder: what was cut off, could not be read, or stood where it does not belong.
pub(super) const QUARANTINE: &str = "quarantine";

/// Keeps bytes that are about to be cut off, or that cannot be read, in `quarantine/`. Durable when it returns; the name
/// tells where they stood.
pub(super) fn quarantine(disk: &dyn Disk, state_dir: &Path, at: Position, bytes: &[u8]) -> io::Result<String> {
    let dir = state_dir.join(QUARANTINE);
    keep(disk, &dir, at, bytes).map_err(|error| readout::at(&dir, error))
}

fn keep(disk: &dyn Disk, dir: &Path, at: Position, bytes: &[u8]) -> io::Result<String> {
    create_dir(disk, dir)?;
    for copy in 0.. {
        let name = match copy {
            0 => format!("segment-{:08}-byte-{}.bin", at.segment, at.offset),
            copy => format!("segment-{:08}-byte-{}-{copy}.bin", at.segment, at.offset),
        };
        let path = dir.join(&name);
        match create(OpenOptions::new().create_new(true), &path) {
            Ok(mut file) => {
                if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_all()) {
                    // Half of it is of no use, and its room may be.
                    let _ = fs::remove_file(&path);
                    return Err(error);
                }
                disk.sync_dir(dir)?;
                return Ok(name);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read(&path)? == bytes {
                    return Ok(name);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Moves a file or directory to `quarantine/`.
pub(super) fn set_aside(disk: &dyn Disk, state_dir: &Path, path: &Path) -> io::Result<String> {
    let dir = state_dir.join(QUARANTINE);
    move_to(disk, &dir, path).map_err(|error| readout::at(&dir, error))
}

fn move_to(disk: &dyn Disk, dir: &Path, path: &Path) -> io::Result<String> {
    create_dir(disk, dir)?;
    let stem = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let now = jiff::Timestamp::now().as_second();
    let name = (0..).map(|n| if n == 0 { format!("{stem}-{now}") } else { format!("{stem}-{now}-{n}") });
    let mut free = name.filter(|name| !dir.join(name).exists());
    let name = free.next().ok_or(io::ErrorKind::AlreadyExists)?;
    disk.rename(path, &dir.join(&name))?;
    disk.sync_dir(dir)?;
    Ok(name)
}
