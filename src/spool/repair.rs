//! Repair: a store that is damaged becomes one that opens and verifies, with every good record that it still holds.
//!
//! Only the files that are not as they should be are written anew; all others stay as they are. In place of lost groups
//! stands a group that tells how many they were, so that a hole in the numbers of groups is never taken for new damage.
//! What is missing of each ledger is recorded behind everything else, for ever; nothing is renumbered, and the chain goes
//! on behind the hole with the head that the next punch brings along. Nothing is deleted: what is replaced is set aside
//! first, under a second name, and the new file takes its place in one step. So a repair may be cut off at any moment and
//! begun again.

mod extract;
mod plan;
mod survey;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::Serialize;

use self::{
    plan::{NewFile, Piece, Plan, plan},
    survey::{Survey, read},
};
use super::{
    disk::{Disk, RealDisk, create_dir},
    lock::Lock,
    segment::{segment_path, stub_path},
};

/// What a repair did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// Whether anything was, or would be, done.
    pub needed: bool,
    /// Whether it was done.
    pub done: bool,
    /// Files that were written anew, and why.
    pub rewritten: Vec<Rewritten>,
    /// Where the former files are kept.
    pub set_aside_in: Option<PathBuf>,
    /// Names of the files there.
    pub set_aside: Vec<String>,
    /// Punches that were read out of damaged bytes and are kept.
    pub salvaged_punches: u64,
    pub salvaged_others: u64,
    /// Whole records that have no place in the journal any more; the files set aside hold them.
    pub left_out: u64,
    pub losses: Vec<RepairLoss>,
    /// Terminals that begin a new ledger with their next punch: nobody knows the last number of the former one.
    pub ended: Vec<String>,
}

/// A file that was written anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rewritten {
    pub file: String,
    pub why: String,
}

/// Numbers that are lost, and that the journal records as such from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairLoss {
    pub terminal: String,
    pub ledger: i64,
    pub first: u64,
    pub last: u64,
}

/// Why a store cannot be repaired. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error("{} is in use by a daemon", .0.display())]
    InUse(PathBuf),
    #[error("{} was written by a newer version of Punchgate", .0.display())]
    Newer(PathBuf),
    /// No checksum can be tried without the store's id.
    #[error("nothing in {} tells which store it is: neither the lock file nor the header of any segment", .0.display())]
    NoStore(PathBuf),
    #[error("cannot use {}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Repairs the store in `state_dir`, or only says what it would do.
pub fn repair(state_dir: &Path, dry_run: bool) -> Result<RepairReport, RepairError> {
    let dir = state_dir.join("journal");
    let failed = |source| RepairError::Io { path: dir.clone(), source };
    fs::read_dir(&dir).map_err(failed)?;
    let lock = match dry_run {
        true => None,
        false => Some(Lock::take(&dir).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => RepairError::InUse(dir.clone()),
            _ => failed(source),
        })?),
    };
    let now = Timestamp::now();
    let mut survey = Survey::of(state_dir)?;
    let Some(plan) = plan(&mut survey, now)? else { return Ok(RepairReport::default()) };
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let folders = (1..).map(|n| if n == 1 { format!("repair-{stamp}") } else { format!("repair-{stamp}-{n}") });
    let mut folders = folders.map(|name| state_dir.join("quarantine").join(name));
    let aside = folders.find(|folder| !folder.exists()).ok_or_else(|| failed(io::ErrorKind::AlreadyExists.into()))?;
    let mut report = report(&plan, aside.clone());
    if let Some((lock, _)) = lock {
        let work = Work { state_dir, dir: &dir, aside: &aside, disk: &RealDisk };
        let index = work.execute(&plan)?;
        report.set_aside.extend(index);
        lock.closed(&survey.store, plan.last_group).map_err(failed)?;
        report.done = true;
    }
    Ok(report)
}

fn report(plan: &Plan, aside: PathBuf) -> RepairReport {
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let file = |file: &NewFile| Rewritten { file: name(&place(Path::new(""), file)), why: file.why.clone() };
    RepairReport {
        needed: true,
        done: false,
        rewritten: plan.files.iter().map(file).collect(),
        set_aside_in: Some(aside),
        set_aside: plan.aside.iter().map(name).collect(),
        salvaged_punches: plan.punches,
        salvaged_others: plan.others,
        left_out: plan.left_out,
        losses: plan.losses.clone(),
        ended: plan.ended.clone(),
    }
}

fn place(dir: &Path, file: &NewFile) -> PathBuf {
    if file.retired { stub_path(dir, file.number) } else { segment_path(dir, file.number) }
}

struct Work<'w> {
    state_dir: &'w Path,
    dir: &'w Path,
    aside: &'w Path,
    disk: &'w dyn Disk,
}

impl Work<'_> {
    /// Every new file is whole on the disk before any old one goes; every old one has its second name before that.
    fn execute(&self, plan: &Plan) -> Result<Option<String>, RepairError> {
        self.room(plan)?;
        for file in &plan.files {
            self.write(file)?;
        }
        create_dir(self.disk, &self.state_dir.join("quarantine")).map_err(|error| self.failed(self.aside, error))?;
        create_dir(self.disk, self.aside).map_err(|error| self.failed(self.aside, error))?;
        for path in &plan.aside {
            self.set_aside(path).map_err(|error| self.failed(path, error))?;
        }
        self.disk.sync_dir(self.aside).map_err(|error| self.failed(self.aside, error))?;
        // It says what the journal was before; the next start builds it anew.
        let index = self.state_dir.join("index");
        let moved = index.exists();
        if moved {
            self.disk.rename(&index, &self.aside.join("index")).map_err(|error| self.failed(&index, error))?;
            self.disk.sync_dir(self.aside).map_err(|error| self.failed(self.aside, error))?;
            self.disk.sync_dir(self.state_dir).map_err(|error| self.failed(self.state_dir, error))?;
        }
        for file in &plan.files {
            let path = place(self.dir, file);
            self.disk.rename(&unfinished(&path), &path).map_err(|error| self.failed(&path, error))?;
        }
        let new: Vec<PathBuf> = plan.files.iter().map(|file| place(self.dir, file)).collect();
        for path in plan.aside.iter().filter(|path| !new.contains(path)) {
            self.disk.remove(path).map_err(|error| self.failed(path, error))?;
        }
        self.disk.sync_dir(self.dir).map_err(|error| self.failed(self.dir, error))?;
        Ok(moved.then(|| "index".into()))
    }

    /// Nothing is written over what is not set aside, whatever it is.
    fn room(&self, plan: &Plan) -> Result<(), RepairError> {
        let places = plan.files.iter().map(|file| place(self.dir, file));
        let in_the_way = places.filter(|path| !plan.aside.contains(path)).find(|path| path.symlink_metadata().is_ok());
        match in_the_way {
            None => Ok(()),
            Some(path) => {
                let why = "it stands where the repair must write a file, and is none of the journal";
                Err(self.failed(&path, io::Error::new(io::ErrorKind::AlreadyExists, why)))
            }
        }
    }

    fn write(&self, file: &NewFile) -> Result<(), RepairError> {
        let path = unfinished(&place(self.dir, file));
        let failed = |error| self.failed(&path, error);
        let mut bytes = file.header.bytes().to_vec();
        let mut held: Option<(&PathBuf, Vec<u8>)> = None;
        for piece in &file.pieces {
            match piece {
                Piece::New(group) => bytes.extend_from_slice(group),
                Piece::Copy(from, range) => {
                    if held.as_ref().is_none_or(|(path, _)| *path != from) {
                        held = Some((from, read(from)?));
                    }
                    let group = held.as_ref().and_then(|(_, bytes)| bytes.get(range.clone()));
                    let group = group.ok_or_else(|| failed(io::Error::other("it changed while it was read")))?;
                    bytes.extend_from_slice(group);
                }
            }
        }
        let out = self.disk.create(&path).map_err(failed)?;
        out.write_at(&bytes, 0).and_then(|()| out.sync()).map_err(|error| {
            // A disk that is full has more use for the room than for half a file.
            let _ = self.disk.remove(&path);
            failed(error)
        })
    }

    /// A second name for the same bytes; a copy where the file system has no such thing.
    fn set_aside(&self, path: &Path) -> io::Result<()> {
        let target = self.aside.join(path.file_name().unwrap_or_default());
        match fs::hard_link(path, &target) {
            Ok(()) => Ok(()),
            Err(_) => {
                fs::copy(path, &target)?;
                fs::File::open(&target)?.sync_all()
            }
        }
    }

    fn failed(&self, path: &Path, source: io::Error) -> RepairError {
        RepairError::Io { path: path.into(), source }
    }
}

fn unfinished(path: &Path) -> PathBuf {
    // As the daemon's own unfinished files are called, which a start removes.
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("{name}.tmp"))
}
