//! Reading a file of the journal from a disk that may not give all of it: what cannot be read stands as zeros, which is damage
//! like any other, and is named. One bad sector costs what is in it, and nobody the rest of the file.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{OFlags, SeekFrom, seek},
    io::Errno,
};

/// More than a file of ours ever holds: the largest segment that can be configured, and what a repair puts into it. What a
/// file has behind that is not read, so that a wrong size costs neither memory nor time.
pub(in crate::spool) const FILE_LIMIT: u64 = 80 << 20;

/// What a disk fails to read is asked for again in these steps: a page of memory, then the least that any disk reads.
const STEPS: [u64; 2] = [4096, 512];

/// An open file of the journal.
#[derive(Debug)]
pub(in crate::spool) struct Readout {
    file: File,
    path: PathBuf,
}

impl Readout {
    /// Only a file opens: whoever waits for the other end of a pipe waits for ever.
    pub(in crate::spool) fn open(path: &Path) -> io::Result<Self> {
        let open = || {
            let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
            match file.metadata()?.is_file() {
                true => Ok(file),
                false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
            }
        };
        let file = open().map_err(|error| at(path, error))?;
        Ok(Self { file, path: path.into() })
    }

    pub(in crate::spool) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes of it may be ours.
    pub(in crate::spool) fn len(&self) -> io::Result<u64> {
        Ok(self.length()?.min(FILE_LIMIT))
    }

    /// Its length, where that is more than a file of the journal ever has.
    pub(in crate::spool) fn too_long(&self) -> io::Result<Option<u64>> {
        Ok(Some(self.length()?).filter(|length| *length > FILE_LIMIT))
    }

    fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|it| it.len()).map_err(|error| at(&self.path, error))
    }

    /// Reads from `offset` on and tells how many bytes it got: fewer than asked for only at the end of the file. What the disk
    /// does not give is zeros, and its place is added to `unread`.
    pub(in crate::spool) fn fill(
        &self,
        bytes: &mut [u8],
        offset: u64,
        unread: &mut Vec<Range<u64>>,
    ) -> io::Result<usize> {
        let end = bytes.len() as u64;
        let mut read = 0;
        while read < end {
            match self.read_at(&mut bytes[read as usize..], offset + read) {
                Ok(0) => break,
                Ok(n) => read += n as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_unreadable(&error) => {
                    let to = (step_behind(offset + read, STEPS[0]) - offset).min(end);
                    self.pick(&mut bytes[read as usize..to as usize], offset + read, &STEPS, unread)?;
                    read = to;
                }
                Err(error) => return Err(at(&self.path, error)),
            }
        }
        Ok(read as usize)
    }

    /// Reads step by step what cannot be read at once. An error that came once and goes costs nothing.
    fn pick(&self, bytes: &mut [u8], offset: u64, steps: &[u64], unread: &mut Vec<Range<u64>>) -> io::Result<()> {
        let Some((&step, smaller)) = steps.split_first() else {
            bytes.fill(0);
            let place = offset..offset + bytes.len() as u64;
            match unread.last_mut() {
                Some(last) if last.end == place.start => last.end = place.end,
                _ => unread.push(place),
            }
            return Ok(());
        };
        let mut from = 0;
        while from < bytes.len() {
            let to = ((step_behind(offset + from as u64, step) - offset) as usize).min(bytes.len());
            let part = &mut bytes[from..to];
            match self.read_at(part, offset + from as u64) {
                Ok(n) if n == part.len() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if !is_unreadable(&error) => return Err(at(&self.path, error)),
                Ok(_) | Err(_) => self.pick(part, offset + from as u64, smaller, unread)?,
            }
            from = to;
        }
        Ok(())
    }

    /// The end of the last byte in this place that is no zero, or that cannot be read; its beginning where there is none. It
    /// takes no memory, and holes in the file no time.
    pub(in crate::spool) fn used(&self, place: Range<u64>) -> io::Result<u64> {
        let (mut at, mut end) = (place.start, place.start);
        let mut piece = vec![0; 64 << 10];
        let mut unread = Vec::new();
        while let Some(data) = self.data_from(at).filter(|data| *data < place.end) {
            at = data;
            let want = (place.end - at).min(piece.len() as u64) as usize;
            let read = self.fill(&mut piece[..want], at, &mut unread)?;
            if read == 0 {
                break;
            }
            if let Some(last) = piece[..read].iter().rposition(|byte| *byte != 0) {
                end = at + last as u64 + 1;
            }
            at += read as u64;
        }
        Ok(unread.last().map_or(end, |last| end.max(last.end)))
    }

    /// Where there is anything but a hole. A file system that cannot tell has none.
    fn data_from(&self, offset: u64) -> Option<u64> {
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => Some(data.max(offset)),
            Err(Errno::NXIO) => None,
            Err(_) => Some(offset),
        }
    }

    #[cfg(not(test))]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    #[cfg(test)]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let long = super::faulty::readable(&self.file, offset, bytes.len())?;
        self.file.read_at(&mut bytes[..long], offset)
    }
}

/// The next bound of steps behind `offset`.
fn step_behind(offset: u64, step: u64) -> u64 {
    (offset / step + 1) * step
}

/// Whether it is the disk that cannot give these bytes, so that others may well be had.
fn is_unreadable(error: &io::Error) -> bool {
    let of_disk = [Errno::IO, Errno::NODATA, Errno::ILSEQ, Errno::BADMSG, Errno::UCLEAN, Errno::REMOTEIO];
    Errno::from_io_error(error).is_some_and(|errno| of_disk.contains(&errno))
}

/// An error that says at which file or folder it was met.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", .path.display())]
pub(in crate::spool) struct At {
    pub(in crate::spool) path: PathBuf,
    /// Not the source: who asks for words gets both at once.
    pub(in crate::spool) cause: io::Error,
}

/// Adds the path to an error that does not say it yet.
pub(in crate::spool) fn at(path: &Path, error: io::Error) -> io::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<At>()) {
        return error;
    }
    io::Error::new(error.kind(), At { path: path.into(), cause: error })
}

/// The place that an error says, or else this one, and the error itself.
pub(in crate::spool) fn of_place(path: &Path, error: io::Error) -> At {
    error.downcast::<At>().unwrap_or_else(|cause| At { path: path.into(), cause })
}

/// Places are told one by one as long as they are few.
const TOLD: usize = 5;

/// What the disk does not give, in words.
pub(in crate::spool) fn words(unread: &[Range<u64>], name: &str) -> Option<String> {
    let told: Vec<_> = unread.iter().take(TOLD).map(|it| format!("{} to {}", it.start, it.end - 1)).collect();
    let more = unread.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(" and {more} other places") } else { String::new() };
    (!told.is_empty()).then(|| format!("the disk does not give bytes {}{more} of {name}", told.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::faulty::spoil, *};

    #[test]
    fn what_the_disk_does_not_give_is_zeros_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000001.seg");
        let good: Vec<u8> = (0..40_000u32).map(|n| (n % 251 + 1) as u8).collect();
        fs::write(&path, &good).unwrap();
        let _spoilt = [spoil(&path, 9000..9001, usize::MAX), spoil(&path, 12_300..12_900, usize::MAX)];
        let (mut bytes, mut unread) = (vec![7; 50_000], Vec::new());
        let readout = Readout::open(&path).unwrap();
        assert_eq!(readout.fill(&mut bytes, 0, &mut unread).unwrap(), good.len());
        assert_eq!(unread, [8704..9216, 12_288..13_312]);
        for (at, byte) in bytes[..good.len()].iter().enumerate() {
            let lost = unread.iter().any(|it| it.contains(&(at as u64)));
            assert_eq!(*byte, if lost { 0 } else { good[at] }, "{at}");
        }
        assert_eq!(
            words(&unread, "00000001.seg").unwrap(),
            "the disk does not give bytes 8704 to 9215, 12288 to 13311 of 00000001.seg"
        );
    }

    #[test]
    fn an_error_that_came_once_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000001.seg");
        fs::write(&path, [7; 20_000]).unwrap();
        let _spoilt = spoil(&path, 9000..9001, 2);
        let (mut bytes, mut unread) = (vec![0; 20_000], Vec::new());
        Readout::open(&path).unwrap().fill(&mut bytes, 0, &mut unread).unwrap();
        assert_eq!((unread, bytes), (vec![], vec![7; 20_000]));
    }

    #[test]
    fn a_file_of_any_size_is_looked_through_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000001.seg");
        fs::write(&path, [7; 100]).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let readout = Readout::open(&path).unwrap();
        assert_eq!((readout.len().unwrap(), readout.too_long().unwrap()), (FILE_LIMIT, Some(1 << 40)));
        assert_eq!(readout.used(0..1 << 40).unwrap(), 100);
        assert_eq!(readout.used(200..1 << 40).unwrap(), 200);
        let _spoilt = spoil(&path, 50..51, usize::MAX);
        assert_eq!(readout.used(0..1 << 40).unwrap(), 512, "what cannot be read may be anything");
    }

    #[test]
    fn nobody_waits_for_the_other_end_of_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000001.seg");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        let error = Readout::open(&path).unwrap_err();
        assert!(error.to_string().ends_with("00000001.seg: it is no regular file"), "{error}");
    }
}
