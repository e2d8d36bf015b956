//! The disk under the journal, as little of it as the journal needs, so that tests can put a failing one there.

#[cfg(test)]
pub(super) mod faulty;
pub(super) mod readout;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{CWD, FallocateFlags, OFlags, RenameFlags};

use crate::owner;

/// Everything that changes the journal's files goes through here. Reading goes through [`readout::Readout`]: what a disk fails
/// to read is met by checksums.
pub(super) trait Disk: Send + Sync {
    /// Makes an empty file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Each gets the other's name, in one step; not every file system can.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes that we may still use.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

pub(super) trait DiskFile: Send {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// fdatasync: everything written so far is on the disk when it returns.
    fn sync(&self) -> io::Result<()>;
    /// Reserves room, so that a later write finds its blocks and need not change the file's size. A file system that
    /// cannot do it is no error.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;
    fn truncate(&self, bytes: u64) -> io::Result<()>;
}

/// The disk of this machine.
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = create(OpenOptions::new().create(true).truncate(true), path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl DiskFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            done => Ok(done?),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}

/// Makes a file that its owner alone reads and writes, and that is the daemon's where root makes it. Not through a link: the
/// folder is not root's.
pub(super) fn create(how: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = how.read(true).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
    owner::give(&file, path);
    Ok(file)
}

/// Makes a directory whose name survives a power cut; it is no error when it is there.
pub(super) fn create_dir(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    owner::create_dir(path)?;
    disk.sync_dir(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => disk.sync_dir(parent),
        _ => Ok(()),
    }
}
