//! Whether the index that is there may be used, and how another is built from the journal.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    board::Board,
    catalogue::Catalogue,
    delivery::Destination,
    group::{GROUP_HEADER, GroupHeader},
    index::{Applied, Index, IndexError, Kept},
    record::ZoneNames,
    recovery::REPLAY_IDS,
    replay::{Replay, Unnamed, set_aside},
    seen::Seen,
    segment::{Piece, Position, SegmentReader, StoreId, seed, segment_path, stub_path},
    status::FindingKind,
    upkeep::write_index,
    walk::{Step, Walk},
};
use crate::owner;

/// Builds the index anew while the store is open. What is in memory is right; only the ids are read again.
pub(super) fn rebuild_index(board: &Board, seen: &mut Seen, limit: Position, why: &str) -> Result<(), IndexError> {
    let path = board.state_dir.join("index");
    let mut place = board.index.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    *place = None; // closes sled before its files are moved
    let index = new_index(board, &path, path.exists().then(|| why.to_owned()))?;
    let rebuilt = read_all(board, seen, limit, &index);
    if let Err(error) = rebuilt {
        drop(index);
        // It holds nothing, and would be set aside at each attempt.
        let _ = fs::remove_dir_all(&path);
        return Err(error);
    }
    board.catalogue().all_changed();
    board.destinations().iter().for_each(|it| it.write_all_again());
    *place = Some(index);
    Ok(())
}

fn read_all(board: &Board, seen: &mut Seen, limit: Position, index: &Index) -> Result<(), IndexError> {
    *seen = Seen::default();
    let (mut scratch, mut unnamed) = (Catalogue::default(), Unnamed::new());
    let mut nowhere = |name: &str| Arc::new(Destination::new(name));
    let mut walk = Walk::new(&board.journal_dir(), board.seed(), Position::default());
    loop {
        let step = walk.next(Some(limit)).map_err(|error| IndexError::journal(&error))?;
        match step {
            Step::End { .. } => break,
            Step::Missing { .. } => {}
            Step::Group { at } | Step::Damage { at } | Step::Tail { at } => {
                let mut replay = Replay {
                    catalogue: &mut scratch,
                    seen,
                    index: Some(index),
                    destinations: &mut nowhere,
                    zones: ZoneNames::default(),
                    orphans: 0,
                    unnamed: &mut unnamed,
                };
                replay.take(at, walk.records())?;
            }
        }
        if seen.fresh() >= REPLAY_IDS {
            // Not yet to be believed: it goes nowhere until all of it is written.
            let nowhere = Applied::new([0; 16], Position::default(), 0, Position::default());
            write_index(board, index, seen, nowhere)?;
        }
    }
    // Opened without an index, nobody could tell how many records were set aside.
    let mut catalogue = board.catalogue();
    for counted in scratch.iter() {
        if let Some(state) = catalogue.change(counted.number) {
            state.set_aside = state.set_aside.max(counted.set_aside);
        }
    }
    Ok(())
}

/// What is kept in an index, or why it is not to be used.
pub(super) fn open_index(path: &Path) -> Result<(Index, Kept), String> {
    let index = Index::open(path).map_err(|error| error.to_string())?;
    match index.load() {
        Ok(Some(kept)) => Ok((index, kept)),
        Ok(None) => Err("it was never written to its end".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether an index goes to a point that is in this journal.
pub(super) fn is_of(dir: &Path, applied: &Applied, store: &StoreId) -> Result<(), String> {
    if applied.store != *store {
        return Err("it is of another store, or was not finished".into());
    }
    if applied.group == 0 {
        return Ok(());
    }
    let newer = || "it knows more than the journal holds".to_owned();
    let path = segment_path(dir, applied.last.segment);
    if !path.exists() && stub_path(dir, applied.last.segment).exists() {
        return Err("its place in the journal is retired".into());
    }
    let mut reader = SegmentReader::open(&path, seed(store), applied.last.offset).map_err(|_| newer())?;
    match reader.next(None) {
        Ok(Piece::Group { number, .. }) if number == applied.group => {}
        _ => return Err(newer()),
    }
    match crc_at(dir, applied.last) {
        Some(crc) if crc == applied.crc => Ok(()),
        _ => Err("it is of a copy of this store that went on by itself".into()),
    }
}

/// The checksum of the group that stands there, as its header tells it.
pub(super) fn crc_at(dir: &Path, at: Position) -> Option<u32> {
    let mut header = [0; GROUP_HEADER];
    let file = fs::File::open(segment_path(dir, at.segment)).ok()?;
    file.read_exact_at(&mut header, at.offset).ok()?;
    GroupHeader::read(&header).map(|header| header.crc)
}

/// Makes a new index, with the old one set aside when there is a reason.
pub(super) fn new_index(board: &Board, path: &Path, why: Option<String>) -> Result<Index, IndexError> {
    let failed = |error: io::Error| match owner::not_ours(&board.state_dir) {
        Some(stranger) if error.kind() == io::ErrorKind::PermissionDenied => IndexError::failed(stranger.to_string()),
        _ => IndexError::journal(&error),
    };
    if let Some(why) = why {
        let mut text = format!("the index was built anew from the journal: {why}");
        if path.exists() {
            let kept = set_aside(&*board.disk, &board.state_dir, path).map_err(failed)?;
            text.push_str(&format!("; the old one is kept as {kept}"));
            forget_older(&board.state_dir);
        }
        board.find(FindingKind::IndexRebuilt, text);
    }
    Index::open(path).inspect_err(|_| {
        // What there is of it was made just now.
        let _ = fs::remove_dir_all(path);
    })
}

/// Indexes that were set aside hold nothing that the journal does not; each cut of the power leaves one, and they shall not fill
/// the disk. The newest stay, for whoever wants to know what was wrong with them.
fn forget_older(state_dir: &Path) {
    const KEPT: usize = 2;
    let is_index = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("index-"));
        name.is_some_and(|at| at.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
    };
    let entries = fs::read_dir(state_dir.join("quarantine")).into_iter().flatten().flatten();
    let mut aside: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_index).collect();
    aside.sort();
    for path in aside.iter().rev().skip(KEPT) {
        // One that cannot be removed now is tried again at the next.
        let _ = fs::remove_dir_all(path);
    }
}
