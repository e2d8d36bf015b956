//! What a repair is about to do, written down in the journal's folder before anything there changes: so that one which was
//! cut off is finished as it was begun, and neither judged nor planned anew from half of it.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    super::{
        disk::{Disk, readout::Readout},
        lock::Lock,
        replay::set_aside,
        segment::StoreId,
    },
    RepairReport,
};

/// The file that holds it, as long as the repair is under way.
pub(in crate::spool) const UNDER_WAY: &str = "repair-under-way";

#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) store: StoreId,
    pub(super) last_group: u64,
    /// Each stands unfinished beside its place, whole and synced.
    pub(super) new: Vec<New>,
    /// What goes, since it has its second name.
    pub(super) gone: Vec<(String, Sum)>,
    /// What goes to where the others are kept, since the disk does not give all of it: nothing tells it from another but its
    /// name.
    #[serde(default)]
    pub(super) moved: Vec<String>,
    /// What is told of it.
    pub(super) report: RepairReport,
}

#[derive(Serialize, Deserialize)]
pub(super) struct New {
    pub(super) name: String,
    pub(super) sum: Sum,
    /// What it replaces.
    pub(super) old: Option<Sum>,
}

/// Length and CRC32C of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sum(u64, u32);

impl Sum {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.len() as u64, crc32c::crc32c(bytes))
    }

    /// `None` where there is no such file.
    pub(super) fn of_file(path: &Path) -> io::Result<Option<Self>> {
        let readout = match Readout::open(path) {
            Ok(readout) => readout,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (mut piece, mut at, mut crc) = (vec![0; 64 << 10], 0, 0);
        let end = readout.len()?;
        while at < end {
            let want = (end - at).min(piece.len() as u64) as usize;
            let read = readout.fill(&mut piece[..want], at, &mut Vec::new())?;
            if read == 0 {
                break;
            }
            crc = crc32c::crc32c_append(crc, &piece[..read]);
            at += read as u64;
        }
        Ok(Some(Self(readout.too_long()?.unwrap_or(at), crc)))
    }
}

/// As the daemon's own unfinished files are called, which a start removes.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("{name}.tmp"))
}

impl Order {
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(UNDER_WAY)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// From here on the repair is going to be done, whatever comes between.
    pub(super) fn write(&self, dir: &Path, disk: &dyn Disk) -> io::Result<()> {
        let path = dir.join(UNDER_WAY);
        let file = disk.create(&unfinished(&path))?;
        file.write_at(&serde_json::to_vec(self)?, 0)?;
        file.sync()?;
        disk.rename(&unfinished(&path), &path)?;
        disk.sync_dir(dir)
    }

    /// Whether the journal is what it was when this was written, as far as it is not what it is to be.
    fn holds(&self, dir: &Path) -> io::Result<bool> {
        for New { name, sum, old } in &self.new {
            let path = dir.join(name);
            let (here, new) = (Sum::of_file(&path)?, Sum::of_file(&unfinished(&path))?);
            let goes = here.is_none() || here == *old || self.moved.contains(name);
            let waits = new == Some(*sum) && goes;
            if !waits && here != Some(*sum) {
                return Ok(false);
            }
        }
        for (name, sum) in &self.gone {
            if Sum::of_file(&dir.join(name))?.is_some_and(|here| here != *sum) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Any part of it may be done already.
    fn carry_out(&self, state_dir: &Path, disk: &dyn Disk, lock: &Lock) -> io::Result<()> {
        let dir = state_dir.join("journal");
        self.move_away(state_dir, disk)?;
        for new in &self.new {
            let path = dir.join(&new.name);
            if unfinished(&path).exists() {
                disk.rename(&unfinished(&path), &path)?;
            }
        }
        for (name, _) in &self.gone {
            let path = dir.join(name);
            if path.exists() {
                disk.remove(&path)?;
            }
        }
        disk.sync_dir(&dir)?;
        // It says what the journal was before; the next start builds it anew.
        let index = state_dir.join("index");
        if let Some(aside) = self.report.set_aside_in.as_ref().and_then(|folder| folder.file_name())
            && index.exists()
        {
            let aside = state_dir.join("quarantine").join(aside);
            disk.rename(&index, &aside.join("index"))?;
            disk.sync_dir(&aside)?;
            disk.sync_dir(state_dir)?;
        }
        lock.closed(&self.store, self.last_group)?;
        disk.remove(&dir.join(UNDER_WAY))?;
        disk.sync_dir(&dir)
    }

    /// Gives those files the only name that they have from now on, durably, before anything else gets the old one.
    fn move_away(&self, state_dir: &Path, disk: &dyn Disk) -> io::Result<()> {
        let (dir, folder) = (state_dir.join("journal"), self.report.set_aside_in.as_ref());
        let Some(folder) = folder.and_then(|folder| folder.file_name()).filter(|_| !self.moved.is_empty()) else {
            return Ok(());
        };
        let aside = state_dir.join("quarantine").join(folder);
        for name in &self.moved {
            let (path, target) = (dir.join(name), aside.join(name));
            if path.exists() && !target.exists() {
                disk.rename(&path, &target)?;
            }
        }
        disk.sync_dir(&aside)?;
        disk.sync_dir(&dir)
    }
}

/// Finishes the repair that is under way, if one is. One that does not fit the journal any more is set aside, and what it
/// had ready with it.
pub(in crate::spool) fn finish(state_dir: &Path, disk: &dyn Disk, lock: &Lock) -> io::Result<Option<RepairReport>> {
    let dir = state_dir.join("journal");
    let order = match Order::read(&dir) {
        Ok(None) => return Ok(None),
        Ok(Some(order)) => Some(order),
        Err(error) if error.kind() == ErrorKind::InvalidData || error.kind() == ErrorKind::UnexpectedEof => None,
        Err(error) => return Err(error),
    };
    if let Some(order) = &order
        && order.holds(&dir)?
    {
        order.carry_out(state_dir, disk, lock)?;
        return Ok(Some(RepairReport { done: true, ..order.report.clone() }));
    }
    for new in order.iter().flat_map(|order| &order.new) {
        let path = unfinished(&dir.join(&new.name));
        if path.exists() {
            set_aside(disk, state_dir, &path)?;
        }
    }
    set_aside(disk, state_dir, &dir.join(UNDER_WAY))?;
    disk.sync_dir(&dir)?;
    Ok(None)
}
