//! Repair: a store that is damaged becomes one that opens and verifies, with every good record that it still holds.
//!
//! Only the files that are not as they should be are written anew; all others stay as they are. In place of lost groups
//! stands a group that tells how many they were, so that a hole in the numbers of groups is never taken for new damage.
//! What was changed after it was written, which the chain tells (chain.rs), is as good as lost: nobody gets it as a punch.
//! What is missing of each ledger is recorded behind everything else, for ever; nothing is renumbered, and the chain goes
//! on behind the hole with the head that the next punch brings along. Nothing is deleted: what is replaced is set aside
//! first, under a second name, and the new file takes its place in one step.
//!
//! A repair may be cut off at any moment. Until all new files are whole on the disk, and the old ones have their second
//! names, nothing of the journal has changed, and it is begun again from the start. Then what is to be done is written down
//! (order.rs), and the next repair, or the next start, does the rest of that: nobody ever judges a journal that is half
//! repaired.

mod chain;
pub(super) mod extract;
mod known;
mod order;
mod plan;
mod survey;
mod twice;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) use self::order::{UNDER_WAY, finish};
use self::{
    order::{New, Order, Sum, unfinished},
    plan::{NewFile, Piece, Plan, plan},
    survey::{Survey, read},
};
use super::{
    disk::{
        Disk, RealDisk, create_dir,
        readout::{At, of_place},
    },
    group::whole,
    lock::Lock,
    segment::{seed, segment_path, stub_path},
};
use crate::owner;

/// What a repair did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What was delivered of ledgers that nothing names any more, in words.
    #[serde(default)]
    pub nameless: Vec<String>,
}

/// A file that was written anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewritten {
    pub file: String,
    pub why: String,
}

/// Numbers that are lost, and that the journal records as such from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl RepairError {
    fn io(path: &Path, source: io::Error) -> Self {
        let At { path, cause } = of_place(path, source);
        Self::Io { path, source: cause }
    }
}

/// Repairs the store in `state_dir`, or only says what it would do.
pub fn repair(state_dir: &Path, dry_run: bool) -> Result<RepairReport, RepairError> {
    repair_on(&RealDisk, state_dir, dry_run)
}

pub(super) fn repair_on(disk: &dyn Disk, state_dir: &Path, dry_run: bool) -> Result<RepairReport, RepairError> {
    let dir = state_dir.join("journal");
    let failed = |source| RepairError::io(&dir, source);
    fs::read_dir(&dir).map_err(failed)?;
    let lock = match dry_run {
        true => None,
        false => Some(Lock::take(&dir).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => RepairError::InUse(dir.clone()),
            _ => failed(source),
        })?),
    };
    let begun = match &lock {
        Some((lock, _)) => finish(state_dir, disk, lock).map_err(failed)?,
        None => Order::read(&dir).unwrap_or_default().map(|order| order.report),
    };
    if let Some(report) = begun {
        return Ok(report);
    }
    let now = Timestamp::now();
    let mut survey = Survey::of(state_dir)?;
    let Some(plan) = plan(&mut survey, now)? else { return Ok(RepairReport::default()) };
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let folders = (1..).map(|n| if n == 1 { format!("repair-{stamp}") } else { format!("repair-{stamp}-{n}") });
    let mut folders = folders.map(|name| state_dir.join("quarantine").join(name));
    let aside = folders.find(|folder| !folder.exists()).ok_or_else(|| failed(io::ErrorKind::AlreadyExists.into()))?;
    let report = report(&plan, aside.clone(), state_dir.join("index").exists());
    let Some((lock, _)) = lock else { return Ok(report) };
    let work = Work { state_dir, dir: &dir, aside: &aside, disk };
    let order = Order { store: survey.store, report, ..work.prepare(&plan)? };
    order.write(&dir, disk).map_err(failed)?;
    // What stands there now is what is done.
    let done = finish(state_dir, disk, &lock).map_err(failed)?;
    done.ok_or_else(|| {
        failed(io::Error::other("what was read or written a moment ago does not come back the same from the disk"))
    })
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn report(plan: &Plan, aside: PathBuf, has_index: bool) -> RepairReport {
    let file = |file: &NewFile| name(&place(Path::new(""), file));
    // There may be very many of what nobody has seen: those that follow each other are told as one.
    let runs = plan.files.chunk_by(|one, next| one.is_absent && next.is_absent && one.number + 1 == next.number);
    let rewritten = runs.map(|run| match run {
        [first, .., last] => {
            let why = "none of them is there: the ids in them are lost".into();
            Rewritten { file: format!("{} to {}", file(first), file(last)), why }
        }
        [one] => Rewritten { file: file(one), why: one.why.clone() },
        [] => unreachable!("a run has one at least"),
    });
    RepairReport {
        needed: true,
        done: false,
        rewritten: rewritten.collect(),
        set_aside_in: Some(aside),
        set_aside: plan.aside.iter().map(|path| name(path)).chain(has_index.then(|| "index".into())).collect(),
        salvaged_punches: plan.punches,
        salvaged_others: plan.others,
        left_out: plan.left_out,
        losses: plan.losses.clone(),
        ended: plan.ended.clone(),
        nameless: plan.nameless.clone(),
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
    /// Every new file is whole on the disk, beside its place, and every old one has its second name. Nothing has changed yet.
    fn prepare(&self, plan: &Plan) -> Result<Order, RepairError> {
        self.room(plan)?;
        let mut new = Vec::new();
        for file in &plan.files {
            let path = place(self.dir, file);
            match self.write(file) {
                Ok(sum) => {
                    let old = Sum::of_file(&path).map_err(|error| self.failed(&path, error))?;
                    new.push(New { name: name(&path), sum, old });
                }
                Err(error) => {
                    // A disk that is full has more use for the room than for a part of it all.
                    for name in new.iter().map(|new| &new.name).chain([&name(&path)]) {
                        let _ = self.disk.remove(&unfinished(&self.dir.join(name)));
                    }
                    return Err(error);
                }
            }
        }
        self.disk.sync_dir(self.dir).map_err(|error| self.failed(self.dir, error))?;
        create_dir(self.disk, &self.state_dir.join("quarantine")).map_err(|error| self.failed(self.aside, error))?;
        create_dir(self.disk, self.aside).map_err(|error| self.failed(self.aside, error))?;
        let (mut gone, mut moved) = (Vec::new(), Vec::new());
        for path in &plan.aside {
            let name = name(path);
            if plan.part_read.contains(path) {
                moved.push(name);
                continue;
            }
            self.set_aside(path).map_err(|error| self.failed(path, error))?;
            if !new.iter().any(|new| new.name == name)
                && let Some(sum) = Sum::of_file(path).map_err(|error| self.failed(path, error))?
            {
                gone.push((name, sum));
            }
        }
        self.disk.sync_dir(self.aside).map_err(|error| self.failed(self.aside, error))?;
        let (store, report) = ([0; 16], RepairReport::default());
        Ok(Order { store, last_group: plan.last_group, new, gone, moved, report })
    }

    /// Nothing is written over what is not set aside, whatever it is.
    fn room(&self, plan: &Plan) -> Result<(), RepairError> {
        let places = plan.files.iter().map(|file| place(self.dir, file));
        let in_the_way = places.filter(|path| !plan.aside.contains(path)).find(|path| path.symlink_metadata().is_ok());
        match in_the_way {
            None => Ok(()),
            Some(path) => {
                let why = "it is no file of the journal, and stands where the repair must write one: move it away";
                Err(self.failed(&path, io::Error::new(io::ErrorKind::AlreadyExists, why)))
            }
        }
    }

    fn write(&self, file: &NewFile) -> Result<Sum, RepairError> {
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
                    // What was whole a moment ago may be what the disk does not give now.
                    let group = group.filter(|group| whole(seed(&file.header.store), group));
                    let group = group.ok_or_else(|| failed(io::Error::other("it changed while it was read")))?;
                    bytes.extend_from_slice(group);
                }
            }
        }
        let out = self.disk.create(&path).map_err(failed)?;
        out.write_at(&bytes, 0).and_then(|()| out.sync()).map_err(failed)?;
        Ok(Sum::of(&bytes))
    }

    /// A second name for the same bytes; a copy where the file system has no such thing.
    fn set_aside(&self, path: &Path) -> io::Result<()> {
        let target = self.aside.join(path.file_name().unwrap_or_default());
        match fs::hard_link(path, &target) {
            Ok(()) => Ok(()),
            Err(_) => {
                fs::copy(path, &target)?;
                owner::give_all(&target);
                fs::File::open(&target)?.sync_all()
            }
        }
    }

    fn failed(&self, path: &Path, source: io::Error) -> RepairError {
        RepairError::io(path, source)
    }
}
