//! A disk for tests: it fails when told, loses what was not synced when its power goes, and keeps a diary.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{Disk, DiskFile, RealDisk};

/// What the disk was asked to do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spool) enum Deed {
    Create,
    Write,
    Sync,
    SyncDir,
    Preallocate,
    Truncate,
    Rename,
    Remove,
    Open,
}

#[derive(Clone, Default)]
pub(in crate::spool) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    diary: Vec<Deed>,
    /// Fails these deeds with this error until told otherwise.
    failing: Option<(Vec<Deed>, io::ErrorKind)>,
    /// Deeds that still succeed before the power goes.
    power: Option<usize>,
    free: Option<u64>,
    unsynced: Vec<Unsynced>,
    unsynced_names: Vec<PathBuf>,
}

/// A write that a power cut may undo.
struct Unsynced {
    path: PathBuf,
    offset: u64,
    before: Vec<u8>,
    written: usize,
}

const SECTOR: usize = 512;

impl FaultyDisk {
    pub(in crate::spool) fn fail(&self, deeds: &[Deed], kind: io::ErrorKind) {
        self.state().failing = Some((deeds.to_vec(), kind));
    }

    pub(in crate::spool) fn work(&self) {
        self.state().failing = None;
    }

    pub(in crate::spool) fn set_free(&self, bytes: Option<u64>) {
        self.state().free = bytes;
    }

    pub(in crate::spool) fn diary(&self) -> Vec<Deed> {
        self.state().diary.clone()
    }

    /// The power goes after so many more deeds: nothing works from then on.
    pub(in crate::spool) fn cut_after(&self, deeds: usize) {
        self.state().power = Some(deeds);
    }

    /// Undoes what was not synced, sector by sector where `keep` does not say to keep it, and gives power again.
    pub(in crate::spool) fn lose(&self, mut keep: impl FnMut() -> bool) {
        let mut state = self.state();
        state.power = None;
        for name in std::mem::take(&mut state.unsynced_names) {
            if !keep() {
                // It may have been removed in order.
                let _ = std::fs::remove_file(name);
            }
        }
        for write in std::mem::take(&mut state.unsynced) {
            let Ok(file) = std::fs::OpenOptions::new().write(true).open(&write.path) else { continue };
            for sector in (0..write.written).step_by(SECTOR) {
                if !keep() {
                    let mut before: Vec<u8> = write.before.iter().skip(sector).take(SECTOR).copied().collect();
                    before.resize(SECTOR.min(write.written - sector), 0);
                    std::os::unix::fs::FileExt::write_all_at(&file, &before, write.offset + sector as u64).unwrap();
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn may(&self, deed: Deed) -> io::Result<()> {
        let mut state = self.state();
        if let Some(power) = &mut state.power {
            *power = power.checked_sub(1).ok_or_else(|| io::Error::other("the power is off"))?;
        }
        state.diary.push(deed);
        match &state.failing {
            Some((deeds, kind)) if deeds.contains(&deed) => Err((*kind).into()),
            _ => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.may(Deed::Create)?;
        let file = RealDisk.create(path)?;
        self.state().unsynced_names.push(path.into());
        Ok(Box::new(FaultyFile { disk: self.clone(), path: path.into(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.may(Deed::Open)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), path: path.into(), file: RealDisk.open(path)? }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.may(Deed::Rename)?;
        self.state().unsynced_names.retain(|name| name != from);
        RealDisk.rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.may(Deed::Rename)?;
        RealDisk.exchange(one, other)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.may(Deed::Remove)?;
        self.state().unsynced_names.retain(|name| name != path);
        RealDisk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.may(Deed::SyncDir)?;
        self.state().unsynced_names.retain(|name| name.parent() != Some(path));
        Ok(())
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        match self.state().free {
            Some(free) => Ok(free),
            None => RealDisk.free_bytes(path),
        }
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl DiskFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let before = std::fs::read(&self.path)?;
        let before = before.into_iter().skip(offset as usize).take(bytes.len()).collect();
        let write = Unsynced { path: self.path.clone(), offset, before, written: bytes.len() };
        match self.disk.may(Deed::Write) {
            Ok(()) => {
                self.disk.state().unsynced.push(write);
                self.file.write_at(bytes, offset)
            }
            Err(error) => {
                // A failing write may leave half of it.
                let half = bytes.len() / 2;
                self.disk.state().unsynced.push(Unsynced { written: half, ..write });
                self.file.write_at(&bytes[..half], offset)?;
                Err(error)
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.may(Deed::Sync)?;
        self.disk.state().unsynced.retain(|write| write.path != self.path);
        Ok(())
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.disk.may(Deed::Preallocate)?;
        self.file.preallocate(bytes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.disk.may(Deed::Truncate)?;
        let mut state = self.disk.state();
        for write in state.unsynced.iter_mut().filter(|write| write.path == self.path) {
            write.written = write.written.min(bytes.saturating_sub(write.offset) as usize);
        }
        state.unsynced.retain(|write| write.written > 0);
        self.file.truncate(bytes)
    }
}

/// A place that cannot be read, of the file with this number, and so many times it is asked for in vain.
type BadPlace = (u64, Range<u64>, usize);

/// Whoever reads knows no disk but this machine's; the numbers of files tell the tests apart.
static BAD: Mutex<Vec<BadPlace>> = Mutex::new(Vec::new());

/// As long as it lives, nobody can read some bytes of a file, under whatever name; which it outlives no longer than its folder.
#[must_use]
pub(in crate::spool) struct Spoilt(u64);

/// From now on nobody can read these bytes of the file, or not so many times.
pub(in crate::spool) fn spoil(path: &Path, place: Range<u64>, times: usize) -> Spoilt {
    let number = std::fs::metadata(path).unwrap().ino();
    BAD.lock().unwrap().push((number, place, times));
    Spoilt(number)
}

impl Drop for Spoilt {
    fn drop(&mut self) {
        BAD.lock().unwrap().retain(|(number, ..)| *number != self.0);
    }
}

/// How many bytes from `offset` on can be read, as a disk has it: up to the first bad sector, and an error where that is the
/// first.
pub(super) fn readable(file: &File, offset: u64, long: usize) -> io::Result<usize> {
    let mut bad = BAD.lock().unwrap();
    if bad.is_empty() {
        return Ok(long);
    }
    let number = file.metadata()?.ino();
    let sector = |place: &Range<u64>| place.start / SECTOR as u64 * SECTOR as u64;
    let here = |(of, place, times): &&mut BadPlace| {
        let end = place.end.next_multiple_of(SECTOR as u64);
        *of == number && *times > 0 && offset < end && offset + long as u64 > sector(place)
    };
    match bad.iter_mut().filter(here).min_by_key(|(_, place, _)| place.start) {
        None => Ok(long),
        Some((_, place, _)) if sector(place) > offset => Ok((sector(place) - offset) as usize),
        Some((.., times)) => {
            *times = times.saturating_sub(usize::from(*times != usize::MAX));
            Err(rustix::io::Errno::IO.into())
        }
    }
}
