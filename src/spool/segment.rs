//! Segment files: their names, their header, and reading them piece by piece, damaged ones too.
//!
//! ```text
//! header  "PGjrnl1\n"   store id 16 bytes   segment number u64   number of its first group u64   CRC32C u32   4 zeros
//! then    groups, until zeros (preallocated room) or the end of the file
//! ```

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    disk::readout::{Readout, at, words},
    group::{GROUP_HEADER, GROUP_MAGIC, GroupHeader, whole},
};

/// Where a group begins in the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Position {
    pub(super) segment: u64,
    /// In bytes from the start of the segment's file.
    pub(super) offset: u64,
}

/// What makes one store this store: random, in the header of each segment and in every checksum.
pub(super) type StoreId = [u8; 16];

/// What every checksum of a store begins with.
pub(super) fn seed(store: &StoreId) -> u32 {
    crc32c::crc32c(store)
}

pub(super) const SEGMENT_HEADER: usize = 48;
const MAGIC: [u8; 8] = *b"PGjrnl1\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) store: StoreId,
    pub(super) segment: u64,
    pub(super) first_group: u64,
}

impl SegmentHeader {
    pub(super) fn bytes(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(&self.store);
        bytes[24..32].copy_from_slice(&self.segment.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_group.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..40]);
        bytes[40..44].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when these bytes are no header, or were one.
    pub(super) fn read(bytes: &[u8; SEGMENT_HEADER]) -> Option<Self> {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let right =
            bytes[..8] == MAGIC && bytes[44..] == [0; 4] && bytes[40..44] == crc32c::crc32c(&bytes[..40]).to_le_bytes();
        let store = bytes[8..24].try_into().expect("sixteen bytes");
        right.then(|| Self { store, segment: number(24), first_group: number(32) })
    }

    pub(super) fn of_file(path: &Path) -> io::Result<Option<Self>> {
        let mut bytes = [0; SEGMENT_HEADER];
        let read = Readout::open(path)?.fill(&mut bytes, 0, &mut Vec::new())?;
        Ok(Self::read(&bytes).filter(|_| read == SEGMENT_HEADER))
    }
}

/// A file of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Only ids and heads are left of it.
    pub(super) retired: bool,
}

pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.seg"))
}

pub(super) fn stub_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.ids"))
}

/// The files of a journal in order. Where a segment and its stub are both there, the stub is: its name was made durable
/// when it was complete, and the segment is about to go. Only what bears the very name that is given to a number is one of
/// them: `6.seg` may be anybody's copy. And only a file is, or what leads to one: a folder, a pipe, or a link that leads
/// nowhere must not keep anybody from the files.
pub(super) fn list(dir: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut files: Vec<SegmentFile> = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| at(dir, error))? {
        let entry = entry?;
        let path = entry.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let Some(number) = number else { continue };
        let retired = match () {
            () if path == segment_path(dir, number) => false,
            () if path == stub_path(dir, number) => true,
            () => continue,
        };
        let kind = entry.file_type().map_err(|error| at(&path, error))?;
        let is_ours = kind.is_file() || kind.is_symlink() && leads_to_a_file(&path)?;
        if !is_ours {
            continue;
        }
        files.push(SegmentFile { number, path, retired });
    }
    files.sort_by_key(|file| (file.number, !file.retired));
    files.dedup_by_key(|file| file.number);
    Ok(files)
}

/// Whether a link is as good as a file; one that nobody may follow is not to be taken for one that leads nowhere.
fn leads_to_a_file(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // It leads to itself.
        Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::LOOP) => Ok(false),
        Err(error) => Err(at(path, error)),
    }
}

/// What comes next in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole group; its body is in [`SegmentReader::body`].
    Group { offset: u64, number: u64 },
    /// Bytes that are no group, with whole groups behind them; they are in [`SegmentReader::body`].
    Damage { offset: u64 },
    /// Bytes that are no group, with nothing behind them; they are in [`SegmentReader::body`].
    Tail { offset: u64 },
    /// Nothing but zeros, if anything.
    End { offset: u64 },
}

/// Reads one segment from some place on.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: Readout,
    seed: u32,
    /// Where the next piece begins.
    offset: u64,
    /// Number of the group before; those behind have greater ones.
    group: u64,
    window: Vec<u8>,
    window_at: u64,
    body: (usize, usize),
    /// What of the window the disk does not give.
    unread: Vec<Range<u64>>,
    /// Whether there was anything so far that it does not give.
    part_read: bool,
}

const WINDOW: usize = 128 << 10;
/// A group may end in zeros, but not in more of them than a record can hold.
const ZEROS: u64 = 1 << 16;

impl SegmentReader {
    /// `offset` is where a group begins, or 0 for the start.
    pub(super) fn open(path: &Path, seed: u32, offset: u64) -> io::Result<Self> {
        Self::after(path, seed, offset, 0)
    }

    /// The same, where the group before `offset` is known by its number: an older one that stands there once more is none
    /// of those that follow.
    pub(super) fn after(path: &Path, seed: u32, offset: u64, group: u64) -> io::Result<Self> {
        let offset = offset.max(SEGMENT_HEADER as u64);
        let (file, window, unread) = (Readout::open(path)?, Vec::new(), Vec::new());
        Ok(Self { file, seed, offset, group, window, window_at: 0, body: (0, 0), unread, part_read: false })
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The body of the group that was read, or the damaged bytes.
    pub(super) fn body(&self) -> &[u8] {
        &self.window[self.body.0..self.body.1]
    }

    /// What of the damaged bytes the disk does not give, in words; zeros stand for it.
    pub(super) fn unread(&self) -> Option<String> {
        let (start, end) = (self.window_at + self.body.0 as u64, self.window_at + self.body.1 as u64);
        let parts = self.unread.iter().map(|it| it.start.max(start)..it.end.min(end)).filter(|it| it.start < it.end);
        let name = self.file.path().file_name().unwrap_or_default().to_string_lossy();
        words(&parts.collect::<Vec<_>>(), &name)
    }

    /// Whether there is more in the file than was read of it: bytes that the disk does not give, or that stand where no file
    /// of ours has any. It is to be kept as it is.
    pub(super) fn is_part_read(&self) -> io::Result<bool> {
        Ok(self.part_read || self.file.too_long()?.is_some())
    }

    /// Forgets what was read ahead: the file may have grown.
    pub(super) fn refresh(&mut self) {
        self.window.clear();
    }

    /// Reads again from `offset` on, where a piece began.
    pub(super) fn again_from(&mut self, offset: u64) {
        self.refresh();
        self.offset = offset;
    }

    /// Reads on, and nothing at `limit` or behind it: in the segment that is being written it is the durable end.
    pub(super) fn next(&mut self, limit: Option<u64>) -> io::Result<Piece> {
        let limit = limit.unwrap_or(u64::MAX);
        match self.group_here(limit)? {
            Some(group) => Ok(group),
            None => self.odd(limit),
        }
    }

    /// The whole group that begins here, if one does.
    fn group_here(&mut self, limit: u64) -> io::Result<Option<Piece>> {
        let (offset, seed) = (self.offset, self.seed);
        let Some(header) = GroupHeader::read(self.bytes(offset, GROUP_HEADER, limit)?) else { return Ok(None) };
        let long = GROUP_HEADER + header.body;
        if header.number <= self.group || !whole(seed, self.bytes(offset, long, limit)?) {
            return Ok(None);
        }
        let start = (offset - self.window_at) as usize;
        self.body = (start + GROUP_HEADER, start + long);
        self.offset += long as u64;
        self.group = header.number;
        Ok(Some(Piece::Group { offset, number: header.number }))
    }

    /// What stands here is no group: is it the end, a torn one, or damage with more behind it?
    fn odd(&mut self, limit: u64) -> io::Result<Piece> {
        let offset = self.offset;
        let length = self.file.len()?.min(limit).max(offset);
        let used = if length > offset { self.file.used(offset..length)? } else { offset };
        if used == offset {
            return Ok(Piece::End { offset });
        }
        // Both are to be of one moment.
        self.refresh();
        if let Some(group) = self.group_here(limit)? {
            return Ok(group);
        }
        let rest = ((used + ZEROS).min(length) - offset) as usize;
        let (seed, before) = (self.seed, self.group);
        self.bytes(offset, rest, limit)?;
        let start = (offset - self.window_at) as usize;
        let bytes = &self.window[start..(start + rest).min(self.window.len())];
        // What could not be read may be anything, and by now it may be read.
        let unread = self.unread.iter().map(|it| it.end.saturating_sub(offset) as usize).max().unwrap_or(0);
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).max(unread.min(bytes.len()));
        if used == 0 {
            return Ok(Piece::End { offset });
        }
        let mut at = 1;
        let behind = loop {
            let Some(next) = find(&bytes[at.min(used)..used], &GROUP_MAGIC) else { break None };
            at += next;
            if let Some(header) = GroupHeader::read(&bytes[at..])
                && header.number > before
                && bytes.get(at..at + GROUP_HEADER + header.body).is_some_and(|group| whole(seed, group))
            {
                break Some(at);
            }
            at += 1;
        };
        if behind.is_some() {
            // A daemon may have written it while it was read. Before a group that is whole, it is so by now.
            self.refresh();
            if let Some(group) = self.group_here(limit)? {
                return Ok(group);
            }
            self.bytes(offset, rest, limit)?;
        }
        let start = (offset - self.window_at) as usize;
        let long = behind.unwrap_or(used).min(self.window.len() - start);
        self.body = (start, start + long);
        self.offset += long as u64;
        Ok(if behind.is_some() { Piece::Damage { offset } } else { Piece::Tail { offset } })
    }

    /// Up to `long` bytes from `offset`; fewer at the end of the file or at the limit.
    fn bytes(&mut self, offset: u64, long: usize, limit: u64) -> io::Result<&[u8]> {
        let long = long.min(usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX));
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if offset < held.start || offset + long as u64 > held.end {
            let file_rest = self.file.len()?.min(limit).saturating_sub(offset);
            let want = (long.max(WINDOW) as u64).min(file_rest) as usize;
            self.window.resize(want, 0);
            if want <= WINDOW && self.window.capacity() > 2 * WINDOW {
                self.window.shrink_to(WINDOW);
            }
            self.window_at = offset;
            self.unread.clear();
            let read = self.file.fill(&mut self.window, offset, &mut self.unread);
            self.window.truncate(*read.as_ref().unwrap_or(&0));
            self.part_read |= !self.unread.is_empty();
            read?;
        }
        let start = (offset - self.window_at) as usize;
        Ok(&self.window[start.min(self.window.len())..(start + long).min(self.window.len())])
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::FileExt};

    use super::{
        super::{
            group::Group,
            record::{NoteRecord, Record},
        },
        *,
    };

    const SEED: u32 = 7;

    fn group(number: u64) -> Vec<u8> {
        let mut group = Group::new(SEED);
        group.push(&Record::Note(NoteRecord { kind: 1, key: "k", body: &[7; 300], stored: 0 }));
        group.seal(number).to_vec()
    }

    #[test]
    fn a_file_of_the_journal_bears_the_name_that_is_given_to_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let ours = ["00000006.seg", "00000007.ids", "100000008.seg"];
        for name in ["6.seg", "+6.seg", "+0000006.seg", "000000006.seg", "00000006.SEG", "7.ids", "00000007.tmp"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        ours.iter().for_each(|name| fs::write(dir.path().join(name), name).unwrap());
        let found = list(dir.path()).unwrap();
        let names: Vec<_> = found.iter().map(|it| it.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ours);
        assert_eq!(
            found.iter().map(|it| (it.number, it.retired)).collect::<Vec<_>>(),
            [(6, false), (7, true), (100_000_008, false)]
        );
    }

    /// Whoever reads beside the daemon sees a group half written, and by the time he looks on there are more.
    #[test]
    fn a_group_that_was_written_while_it_was_read_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000001.seg");
        let (one, two, three) = (group(1), group(2), group(3));
        let file = fs::File::create(&path).unwrap();
        file.set_len(4 * WINDOW as u64).unwrap();
        let at = |groups: &[&[u8]]| (SEGMENT_HEADER + groups.iter().map(|it| it.len()).sum::<usize>()) as u64;
        file.write_all_at(&one, at(&[])).unwrap();
        file.write_all_at(&two[..two.len() / 2], at(&[&one])).unwrap();
        let mut reader = SegmentReader::open(&path, SEED, 0).unwrap();
        assert_eq!(reader.next(None).unwrap(), Piece::Group { offset: at(&[]), number: 1 });
        file.write_all_at(&two, at(&[&one])).unwrap();
        file.write_all_at(&three, at(&[&one, &two])).unwrap();
        assert_eq!(reader.next(None).unwrap(), Piece::Group { offset: at(&[&one]), number: 2 });
        assert_eq!(reader.next(None).unwrap(), Piece::Group { offset: at(&[&one, &two]), number: 3 });
        // What is really damaged is still found.
        file.write_all_at(b"x", at(&[&one]) + 40).unwrap();
        let mut reader = SegmentReader::open(&path, SEED, at(&[&one])).unwrap();
        assert_eq!(reader.next(None).unwrap(), Piece::Damage { offset: at(&[&one]) });
    }
}
