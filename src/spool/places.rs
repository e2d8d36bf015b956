//! The files of a journal before anything in them is believed: what a crash left beside them goes, what stands in the place
//! of another goes back to its own, and what belongs to no place here is set aside.

use std::{collections::BTreeSet, fs, io, path::Path};

use super::{
    board::Board,
    group::salvage,
    replay::set_aside,
    segment::{Piece, SegmentFile, SegmentReader, list, segment_path, stub_path},
    status::FindingKind,
    stub::{StandsFor, stands_for},
    verify::files::{Headed, HeaderFault, headed, is_unused, look},
};

/// Every file of the journal stands where it belongs when this returns, or is in quarantine, and that is told.
pub(super) fn put_in_order(board: &Board) -> io::Result<()> {
    let dir = board.journal_dir();
    tidy(board, &dir)?;
    if put_back(board, &dir)? {
        tidy(board, &dir)?;
    }
    for odd in headed(&dir, Some(&board.store))?.iter().filter(|it| it.fault.is_some()) {
        judge(board, odd)?;
    }
    Ok(())
}

/// Removes what an interrupted retirement left, and nothing else: what may be delivered nowhere is kept.
fn tidy(board: &Board, dir: &Path) -> io::Result<()> {
    let mut removed = false;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "tmp") && !entry.file_type()?.is_dir() {
            board.disk.remove(&path)?;
            removed = true;
        }
    }
    for stub in list(dir)?.into_iter().filter(|file| file.retired) {
        let segment = segment_path(dir, stub.number);
        if !segment.is_file() {
            continue;
        }
        let keep = |path: &Path| Ok::<_, io::Error>((name(path), set_aside(&*board.disk, &board.state_dir, path)?));
        let text = match stands_for(&board.store, &stub, &segment)? {
            StandsFor::All => {
                board.disk.remove(&segment)?;
                removed = true;
                continue;
            }
            StandsFor::Readable => {
                let (name, kept) = keep(&segment)?;
                format!("{name} was retired, and not all of it can be read; it is kept as {kept}")
            }
            StandsFor::Nothing => {
                let (name, kept) = keep(&stub.path)?;
                format!("{name} is not what is left of the segment beside it, which is used; it is kept as {kept}")
            }
        };
        board.find(FindingKind::Damage, text);
    }
    if removed { board.disk.sync_dir(dir) } else { Ok(()) }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A segment says itself which one it is. One that was renamed goes back to its place, if nothing else belongs there; each
/// step is one name, so that a crash in between leaves nothing that the next start does not finish. Tells whether any was.
fn put_back(board: &Board, dir: &Path) -> io::Result<bool> {
    let (mut any, mut stuck) = (false, BTreeSet::new());
    loop {
        let files = headed(dir, Some(&board.store))?;
        let mut misplaced = files.into_iter().filter_map(|it| match it.fault {
            Some(HeaderFault::Misplaced(place)) if !stuck.contains(&it.file.number) => Some((it, place)),
            _ => None,
        });
        let Some((found, place)) = misplaced.next() else { return Ok(any) };
        drop(misplaced);
        let number = found.file.number;
        let target = if found.file.retired { stub_path(dir, place) } else { segment_path(dir, place) };
        let moved = if target.symlink_metadata().is_err() {
            board.disk.rename(&found.file.path, &target)
        } else if !target.is_file() {
            Err(io::ErrorKind::AlreadyExists.into())
        } else {
            let there = SegmentFile { number: place, path: target.clone(), retired: found.file.retired };
            match look(there, Some(&board.store))?.fault {
                Some(HeaderFault::Misplaced(_)) => board.disk.exchange(&found.file.path, &target),
                _ => Err(io::ErrorKind::AlreadyExists.into()),
            }
        };
        match moved {
            Ok(()) => {
                any = true;
                board.disk.sync_dir(dir)?;
                let text = format!("{} was {} under a wrong name, and is that again", found.name(), name(&target));
                board.find(FindingKind::Damage, text);
            }
            // It is set aside like any that belongs nowhere.
            Err(error) => {
                tracing::debug!(%error, file = found.name(), "cannot be put back in its place");
                stuck.insert(number);
            }
        }
    }
}

/// A segment with a damaged header is still ours when anything can be read behind it; one of another store, or of a place
/// that is taken, is set aside.
fn judge(board: &Board, odd: &Headed) -> io::Result<()> {
    let (name, path) = (odd.name(), &odd.file.path);
    let keep = || set_aside(&*board.disk, &board.state_dir, path);
    if odd.header.is_some() {
        let kept = keep()?;
        board.find(FindingKind::Damage, format!("{name} is not of this place in this store; it is kept as {kept}"));
    } else if fs::metadata(path)?.len() == 0 {
        board.disk.remove(path)?;
    } else if is_unused(odd)? {
        // A crash in between. Nothing was in it.
        let kept = keep()?;
        board.find(FindingKind::TornTail, format!("{name} was begun and never used; it is kept as {kept}"));
    } else if !is_readable(board, path)? {
        let kept = keep()?;
        board.find(FindingKind::Damage, format!("nothing in {name} can be read; it is kept as {kept}"));
    } else {
        board.find(FindingKind::Damage, format!("{name}: its header is damaged; what can be read behind it is used"));
    }
    Ok(())
}

/// Whether there is one record in a file whose header says nothing. Of what the disk does not give, nobody knows.
fn is_readable(board: &Board, path: &Path) -> io::Result<bool> {
    let mut reader = SegmentReader::open(path, board.seed(), 0)?;
    Ok(match reader.next(None)? {
        Piece::Group { .. } | Piece::Damage { .. } => true,
        Piece::Tail { .. } => reader.is_part_read()? || !salvage(board.seed(), reader.body()).records.is_empty(),
        Piece::End { .. } => false,
    })
}
