//! Backups in a folder: the disk or the share of somebody who mounts it here.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Advice, OFlags};

use super::Refused;

/// A folder of one gateway's own.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn shown(&self) -> String {
        self.0.display().to_string()
    }

    fn failed(&self, doing: &str, name: &str, error: &io::Error) -> Refused {
        let mend = match error.kind() {
            io::ErrorKind::NotFound => {
                "look whether the target is mounted and reachable, and whether somebody removed it"
            }
            io::ErrorKind::PermissionDenied => "let this user write and read there",
            io::ErrorKind::StorageFull => "make room there, or keep fewer backups: backup.keep",
            _ => "look at the target: the network, the disk, its log",
        };
        Refused::new(format!("cannot {doing} {name} at {}: {error}", self.shown()), mend)
    }

    pub(super) fn list(&self, below: &str) -> Result<Vec<(String, u64)>, Refused> {
        let failed = |error: io::Error| self.failed("list", below, &error);
        let mut found = Vec::new();
        let entries = match fs::read_dir(self.0.join(below)) {
            // A target that is new.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.0.is_dir() => return Ok(found),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let meta = entry.metadata().map_err(failed)?;
            if let (true, Ok(name)) = (meta.is_file(), entry.file_name().into_string()) {
                found.push((name, meta.len()));
            }
        }
        found.sort();
        Ok(found)
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Refused> {
        put(&self.0.join(name), bytes).map_err(|error| self.failed("write", name, &error))
    }

    pub(super) fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, Refused> {
        get(&self.0.join(name), limit).map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
                Refused::damaged(format!("{name} at {} is a link: no link is followed", self.shown()))
            }
            _ => match error.kind() {
                io::ErrorKind::NotFound => Refused::missing(name, &self.shown()),
                io::ErrorKind::FileTooLarge => Refused::too_long(name, &self.shown()),
                _ => self.failed("read", name, &error),
            },
        })
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Refused> {
        fs::remove_file(self.0.join(name)).map_err(|error| self.failed("remove", name, &error))
    }
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // The target itself must be there: what is not mounted shall not be made on the gateway's own disk.
    if !folder.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(folder)?;
        folder.parent().map_or(Ok(()), sync_dir)?;
    }
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&fresh, path)) {
        // Half of it is of no use, and its room may be.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    sync_dir(folder)?;
    // So that whoever reads it back asks the disk. A file system without caches of ours has nothing to drop.
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    Ok(())
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn get(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if meta.len() > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}
