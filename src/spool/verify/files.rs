//! What the files of a journal say before anything in them is read: their names, their headers, and how they were left.

use std::{collections::BTreeSet, fs, io, path::Path};

use super::super::{
    disk::readout::{FILE_LIMIT, Readout},
    repair::UNDER_WAY,
    segment::{SEGMENT_HEADER, SegmentFile, SegmentHeader, StoreId, list},
};

/// What is wrong with the first bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::spool) enum HeaderFault {
    /// Not one byte.
    Empty,
    /// Nothing but zeros: never used, or wiped.
    Zeros,
    /// Cut off or damaged; the groups behind it may be whole.
    Damaged,
    /// Of a later version of Punchgate.
    Newer(char),
    /// Of another store.
    Stray,
    /// Of another place in this store.
    Misplaced(u64),
}

/// A file of the journal, and what its header says.
pub(in crate::spool) struct Headed {
    pub(in crate::spool) file: SegmentFile,
    pub(in crate::spool) header: Option<SegmentHeader>,
    pub(in crate::spool) fault: Option<HeaderFault>,
    /// Its length, where that is more than a file of the journal ever has.
    pub(in crate::spool) too_long: Option<u64>,
}

impl Headed {
    pub(in crate::spool) fn name(&self) -> String {
        self.file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// That it is longer than it can be, in words.
    pub(in crate::spool) fn length_fault(&self) -> Option<String> {
        self.too_long.map(|long| too_long(&self.name(), long))
    }

    pub(in crate::spool) fn is_newer(&self) -> bool {
        matches!(self.fault, Some(HeaderFault::Newer(_)))
    }
}

pub(in crate::spool) fn too_long(name: &str, long: u64) -> String {
    format!(
        "{name} has {long} bytes, more than a file of the journal ever has: what stands behind byte {FILE_LIMIT} is not read"
    )
}

/// Whether a segment was begun and a crash came before its header was whole: nothing can have been in it.
pub(in crate::spool) fn is_unused(headed: &Headed) -> io::Result<bool> {
    if headed.file.retired
        || !matches!(headed.fault, Some(HeaderFault::Empty | HeaderFault::Zeros | HeaderFault::Damaged))
    {
        return Ok(false);
    }
    let readout = Readout::open(&headed.file.path)?;
    let begin = SEGMENT_HEADER as u64;
    Ok(readout.used(begin..readout.len()?.max(begin))? == begin)
}

/// The files of a journal in the order of their names.
pub(in crate::spool) fn headed(dir: &Path, store: Option<&StoreId>) -> io::Result<Vec<Headed>> {
    list(dir)?.into_iter().map(|file| look(file, store)).collect()
}

/// Looks at the first bytes of a file.
pub(in crate::spool) fn look(file: SegmentFile, store: Option<&StoreId>) -> io::Result<Headed> {
    let mut bytes = [0; SEGMENT_HEADER];
    let readout = Readout::open(&file.path)?;
    let read = readout.fill(&mut bytes, 0, &mut Vec::new())?;
    let header = SegmentHeader::read(&bytes).filter(|_| read == SEGMENT_HEADER);
    let fault = match &header {
        Some(header) if store.is_some_and(|store| header.store != *store) => Some(HeaderFault::Stray),
        Some(header) if header.segment != file.number => Some(HeaderFault::Misplaced(header.segment)),
        Some(_) => None,
        None if readout.len()? == 0 => Some(HeaderFault::Empty),
        None => Some(of_bytes(&bytes)),
    };
    Ok(Headed { file, header, fault, too_long: readout.too_long()? })
}

fn of_bytes(bytes: &[u8; SEGMENT_HEADER]) -> HeaderFault {
    let version = bytes[6];
    let mut as_ours = *bytes;
    as_ours[6] = b'1';
    match () {
        () if bytes.iter().all(|byte| *byte == 0) => HeaderFault::Zeros,
        // One bit makes a 3 of a 1. What a newer version wrote has a checksum of its own.
        () if SegmentHeader::read(&as_ours).is_some() => HeaderFault::Damaged,
        () if bytes.starts_with(b"PGjrnl") && (b'2'..=b'9').contains(&version) && bytes[7] == b'\n' => {
            HeaderFault::Newer(version.into())
        }
        () => HeaderFault::Damaged,
    }
}

/// What lies in the journal's folder and is none of its files. An unfinished file of ours is: the next start removes it.
pub(in crate::spool) fn strangers(dir: &Path) -> io::Result<Vec<String>> {
    let ours: BTreeSet<_> = list(dir)?.into_iter().map(|file| file.path).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name == UNDER_WAY {
            found.push("a repair was cut off: punchgate journal repair, or the next start, finishes it".into());
            continue;
        }
        let known = name == "lock" || name.ends_with(".tmp") || ours.contains(&path);
        // Beside what is left of it, a segment waits for its end.
        let hidden = path.extension().is_some_and(|it| it == "seg") && ours.contains(&path.with_extension("ids"));
        if !known && !hidden {
            // It may bear a right name and stand in the place of a file.
            let kind = match entry.file_type()? {
                kind if kind.is_symlink() => ", but a link that leads to no file",
                kind if kind.is_dir() => ", but a folder",
                kind if !kind.is_file() => ", but a pipe, a socket or a device",
                _ => "",
            };
            found.push(format!("{name} is no file of the journal{kind}: nobody reads it"));
        }
    }
    found.sort();
    Ok(found)
}

/// Numbers up to the last one for which there is neither a segment nor what is left of one.
pub(in crate::spool) fn absent(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    let there: BTreeSet<u64> = numbers.collect();
    let last = there.last().copied().unwrap_or(0);
    // A name may say anything; nobody reads a list of millions.
    (1..last).filter(|number| !there.contains(number)).take(1000).collect()
}
