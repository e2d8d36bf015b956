//! The journal as it stands, for a backup; and what makes of such a copy a store again, which knows that it is one.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;

use super::{
    disk::readout::Readout,
    lock::{self, Lock},
    segment::{Piece, SEGMENT_HEADER, SegmentFile, SegmentHeader, SegmentReader, StoreId, list, seed},
    walk::store_id,
};

/// In a state folder: a restore was cut off behind the point where it was sure to end well. Nobody opens the store then.
pub const RESTORE_UNFINISHED: &str = "restore-unfinished.json";

/// What belongs to a copy of the journal that opens cleanly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalCopy {
    /// Which store, in hex.
    pub store: String,
    /// In the order in which they are to be copied. One that is gone by then was retired: its `.ids` stands for it.
    pub files: Vec<JournalFile>,
    /// Number of the last group in it.
    pub last_group: u64,
}

/// A file of the journal, and how much of it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFile {
    pub path: PathBuf,
    /// Up to the end of its last whole group, in bytes.
    pub bytes: u64,
}

/// Looks at the journal below a state folder, while the daemon runs or not. Everything that it names is on the disk.
/// `None`: there is no store.
pub fn snapshot(state_dir: &Path) -> io::Result<Option<JournalCopy>> {
    let dir = state_dir.join("journal");
    let Some(store) = store_id(&dir)? else { return Ok(None) };
    let mut files = Vec::new();
    let mut last_group = None;
    // The newest one may be written to, and may have been begun just now.
    let all = list(&dir)?;
    for (n, file) in all.iter().enumerate().rev() {
        let newest = n + 1 == all.len();
        if last_group.is_some() {
            files.push(JournalFile { path: file.path.clone(), bytes: Readout::open(&file.path)?.len()? });
            continue;
        }
        let (end, last) = groups(file, seed(&store))?;
        let bytes = if newest { end } else { Readout::open(&file.path)?.len()? };
        if last.is_some() || !newest {
            files.push(JournalFile { path: file.path.clone(), bytes });
        }
        last_group = last;
    }
    files.reverse();
    Ok(Some(JournalCopy { store: HEXLOWER.encode(&store), files, last_group: last_group.unwrap_or(0) }))
}

/// Where the last whole group of a file ends, and its number.
fn groups(file: &SegmentFile, seed: u32) -> io::Result<(u64, Option<u64>)> {
    if file.retired {
        let number = SegmentHeader::of_file(&file.path)?.map(|header| header.first_group);
        return Ok((Readout::open(&file.path)?.len()?, number));
    }
    let mut reader = SegmentReader::open(&file.path, seed, 0)?;
    let (mut end, mut last) = (SEGMENT_HEADER as u64, None);
    loop {
        match reader.next(None)? {
            Piece::Group { number, .. } => (end, last) = (reader.offset(), Some(number)),
            Piece::Damage { .. } => {}
            Piece::Tail { .. } | Piece::End { .. } => break,
        }
    }
    // A group may have been read that its writer has not synced yet, and that would be taken back if that failed.
    File::open(&file.path)?.sync_data()?;
    Ok((end, last))
}

/// Whether a daemon, or somebody else, has the store below this folder open.
pub fn is_in_use(state_dir: &Path) -> bool {
    lock::is_held(&state_dir.join("journal"))
}

/// Keeps everybody else from opening a store.
#[derive(Debug)]
pub struct Held(#[allow(dead_code, reason = "it is held, not read")] Lock);

/// Takes the store below this folder, if there is one. `WouldBlock`: somebody has it open.
pub fn hold(state_dir: &Path) -> io::Result<Option<Held>> {
    let journal = state_dir.join("journal");
    if !journal.join("lock").exists() {
        return Ok(None);
    }
    Lock::take(&journal).map(|(lock, _)| Some(Held(lock)))
}

/// Makes a store of the files of a [`JournalCopy`] in `state_dir/journal`: whoever opens it begins new ledgers.
pub fn mark_restored(state_dir: &Path, store: &str, last_group: u64) -> io::Result<()> {
    let store: Option<StoreId> = HEXLOWER.decode(store.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    let store = store.ok_or_else(|| io::Error::other("the store's id is not 32 hex digits"))?;
    lock::mark_restored(&state_dir.join("journal"), &store, last_group)
}
