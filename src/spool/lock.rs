//! The lock file: one daemon a store; which store it is; and whether it was closed in order.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    time::SystemTime,
};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::segment::StoreId;
use crate::owner;

/// A file system may round its two times differently.
const OVERWRITTEN_S: i64 = 1;

/// Held as long as the store is open.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// When this very file was made, where the file system tells: a copy is younger than what it says of itself.
    born: Option<u128>,
    /// Another file was made to hold this: the store was copied, or put back from a backup. So until every ledger of it is
    /// closed on the disk.
    copied: bool,
}

/// How the store was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LeftAs {
    /// There is no such store yet, or its lock file is gone.
    Unknown,
    /// Everything was closed and synced, behind the group with this number.
    Closed(StoreId, u64),
    /// The daemon died, and the kernel that held its writes is still the same: nothing written is lost.
    Died(StoreId),
    /// The machine was started anew since: what was not synced may be gone, in any order.
    Cut(StoreId),
}

/// What the lock file says.
#[derive(Serialize, Deserialize)]
pub(super) struct Content {
    store: String,
    /// The kernel's boot id while the store is open, or empty.
    open_in_boot: String,
    /// Number of the last group, when it was closed: so that a journal which lost its end since can be told.
    #[serde(default)]
    last_group: Option<u64>,
    /// When the file was made that this was written to, in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<u128>,
    /// It is a copy, whose ledgers are not closed yet: for file systems that do not tell when a file was made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    restored: bool,
}

impl LeftAs {
    fn of(content: Option<&Content>) -> Self {
        match content.and_then(|content| Some((content, content.store()?))) {
            None => Self::Unknown,
            Some((content, store)) if content.is_closed() => Self::Closed(store, content.last_group.unwrap_or(0)),
            Some((content, store)) if content.is_of_this_boot() => Self::Died(store),
            Some((_, store)) => Self::Cut(store),
        }
    }
}

impl Content {
    /// `None` where it cannot be made out.
    fn of(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; 512];
        let long = file.read_at(&mut bytes, 0)?;
        Ok(serde_json::from_slice(bytes[..long].trim_ascii()).ok())
    }

    /// Always of one length and in one sector: torn or not, it is one of the two, or is not read at all.
    fn line(&self) -> io::Result<String> {
        let mut text = serde_json::to_string(self)?;
        text.push_str(&" ".repeat(255usize.saturating_sub(text.len())));
        text.push('\n');
        Ok(text)
    }

    pub(super) fn store(&self) -> Option<StoreId> {
        parse(&self.store)
    }

    /// Number of the last group, where the store was closed in order.
    pub(super) fn closed_at(&self) -> Option<u64> {
        self.last_group.filter(|_| self.open_in_boot.is_empty())
    }

    /// Whether nothing can have been lost of what was written: it was closed, or the kernel that held it still runs.
    pub(super) fn is_of_this_boot(&self) -> bool {
        self.open_in_boot.is_empty() || self.open_in_boot == boot_id()
    }

    /// Whether the store was closed in order.
    pub(super) fn is_closed(&self) -> bool {
        self.open_in_boot.is_empty()
    }
}

/// What the lock file of a journal says, without taking it; `None` where there is none that can be read.
pub(super) fn peek(journal: &Path) -> Option<Content> {
    let bytes = fs::read(journal.join("lock")).ok()?;
    serde_json::from_slice(bytes.get(..bytes.len().min(512))?.trim_ascii()).ok()
}

/// Whether somebody holds the lock, as the kernel lists it: trying it out could get in the way of a daemon that starts.
pub(super) fn is_held(journal: &Path) -> bool {
    let Ok(inode) = fs::metadata(journal.join("lock")).map(|meta| meta.ino()) else { return false };
    let Ok(locks) = fs::read_to_string("/proc/locks") else { return false };
    let held = |line: &str| {
        let mut words = line.split_whitespace();
        words.any(|word| word == "FLOCK") && words.any(|word| word.rsplit(':').next() == Some(&inode.to_string()))
    };
    locks.lines().any(held)
}

impl Lock {
    /// Takes the lock, which does not wait, and tells how the store was left. `WouldBlock`: somebody holds it.
    pub(super) fn take(journal: &Path) -> io::Result<(Self, LeftAs)> {
        let path = journal.join("lock");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let content = Content::of(&file)?;
        let meta = file.metadata()?;
        if meta.len() == 0 {
            owner::give_all(&path); // it was made just now
        }
        let made = meta.created().ok();
        let born = made.and_then(|made| Some(made.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos()));
        let said = content.as_ref().and_then(|content| content.born);
        let marked = content.as_ref().is_some_and(|content| content.restored);
        let copied = marked || said.zip(born).is_some_and(|(said, born)| said != born) || is_overwritten(&meta);
        Ok((Self { file, born, copied }, LeftAs::of(content.as_ref())))
    }

    /// How the store is left by what the lock file says now.
    pub(super) fn left(&self) -> io::Result<LeftAs> {
        Ok(LeftAs::of(Content::of(&self.file)?.as_ref()))
    }

    /// Whether this is a copy, whose original may have given numbers that this one does not know of.
    pub(super) fn is_copied(&self) -> bool {
        self.copied
    }

    /// Whoever opens it next is to begin new ledgers.
    pub(super) fn begin_anew(&mut self) {
        self.copied = true;
    }

    /// No ledger that the original knows is used any more, and the journal says so.
    pub(super) fn begun_anew(&mut self) {
        self.copied = false;
    }

    /// From now on the index may be written: durable before it is.
    pub(super) fn opened(&self, store: &StoreId) -> io::Result<()> {
        self.write(store, boot_id(), None)
    }

    /// Everything is synced, the index too; this is the last group.
    pub(super) fn closed(&self, store: &StoreId, last_group: u64) -> io::Result<()> {
        self.write(store, String::new(), Some(last_group))
    }

    fn write(&self, store: &StoreId, open_in_boot: String, last_group: Option<u64>) -> io::Result<()> {
        let store = data_encoding::HEXLOWER.encode(store);
        let content = Content { store, open_in_boot, last_group, born: self.born, restored: self.copied };
        self.file.write_all_at(content.line()?.as_bytes(), 0)?;
        self.file.sync_all()
    }
}

/// Whether somebody gave the file an older time than that of its last change, as whoever puts a copy back over it does: our own
/// writing sets both at once. (A change of its owner looks the same. Then its ledgers end without need, which costs nothing.)
fn is_overwritten(meta: &Metadata) -> bool {
    meta.ctime() > meta.mtime().saturating_add(OVERWRITTEN_S)
}

/// Writes the lock file of a copy that was closed behind this group: whoever opens it begins new ledgers.
pub(super) fn mark_restored(journal: &Path, store: &StoreId, last_group: u64) -> io::Result<()> {
    let store = data_encoding::HEXLOWER.encode(store);
    let content =
        Content { store, open_in_boot: String::new(), last_group: Some(last_group), born: None, restored: true };
    let path = journal.join("lock");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.line()?.as_bytes())?;
    file.sync_all()
}

fn parse(store: &str) -> Option<StoreId> {
    data_encoding::HEXLOWER.decode(store.as_bytes()).ok()?.try_into().ok()
}

/// The kernel's name for this run of it. Where there is none, each of our starts counts as one.
fn boot_id() -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("unknown-{}", std::process::id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_from_its_original() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, _) = Lock::take(dir.path()).unwrap();
        if lock.born.is_none() {
            return; // a file system that does not tell
        }
        assert!(!lock.is_copied());
        lock.opened(&[7; 16]).unwrap();
        drop(lock);
        let (lock, left) = Lock::take(dir.path()).unwrap();
        assert_eq!((lock.is_copied(), left), (false, LeftAs::Died([7; 16])));
        let copy = tempfile::tempdir().unwrap();
        fs::copy(dir.path().join("lock"), copy.path().join("lock")).unwrap();
        let (lock, left) = Lock::take(copy.path()).unwrap();
        assert_eq!((lock.is_copied(), left), (true, LeftAs::Died([7; 16])));
        lock.opened(&[7; 16]).unwrap();
        drop(lock);
        let (mut lock, _) = Lock::take(copy.path()).unwrap();
        assert!(lock.is_copied(), "a crash came before its ledgers were closed");
        lock.begun_anew();
        lock.opened(&[7; 16]).unwrap();
        drop(lock);
        assert!(!Lock::take(copy.path()).unwrap().0.is_copied(), "it is told once");
    }

    #[test]
    fn a_copy_put_back_over_its_original_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, _) = Lock::take(dir.path()).unwrap();
        lock.closed(&[7; 16], 3).unwrap();
        drop(lock);
        assert!(!Lock::take(dir.path()).unwrap().0.is_copied());
        // What cp -a and rsync -a do behind the bytes.
        let file = OpenOptions::new().write(true).open(dir.path().join("lock")).unwrap();
        file.set_modified(SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();
        let (mut lock, _) = Lock::take(dir.path()).unwrap();
        assert!(lock.is_copied());
        lock.begun_anew();
        lock.opened(&[7; 16]).unwrap();
        drop(lock);
        assert!(!Lock::take(dir.path()).unwrap().0.is_copied(), "it is told once");
    }

    #[test]
    fn what_is_restored_says_so_on_any_file_system() {
        let dir = tempfile::tempdir().unwrap();
        mark_restored(dir.path(), &[7; 16], 9).unwrap();
        let content = peek(dir.path()).unwrap();
        assert_eq!((content.store(), content.closed_at()), (Some([7; 16]), Some(9)));
        let (lock, left) = Lock::take(dir.path()).unwrap();
        assert_eq!((lock.is_copied(), left), (true, LeftAs::Closed([7; 16], 9)));
        assert!(mark_restored(dir.path(), &[7; 16], 9).is_err(), "never over a lock that is there");
    }

    #[test]
    fn a_store_tells_how_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let store = [7; 16];
        let (lock, left) = Lock::take(dir.path()).unwrap();
        assert_eq!(left, LeftAs::Unknown);
        lock.opened(&store).unwrap();
        assert_eq!(Lock::take(dir.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(is_held(dir.path()));
        drop(lock);
        let (lock, left) = Lock::take(dir.path()).unwrap();
        assert_eq!(left, LeftAs::Died(store));
        lock.closed(&store, 7).unwrap();
        drop(lock);
        assert_eq!(peek(dir.path()).unwrap().closed_at(), Some(7));
        assert!(!is_held(dir.path()));
        assert_eq!(Lock::take(dir.path()).unwrap().1, LeftAs::Closed(store, 7));
        let path = dir.path().join("lock");
        let other = format!("{{\"store\":\"{}\",\"open_in_boot\":\"an earlier one\"}}", "07".repeat(16));
        fs::write(&path, other).unwrap();
        assert_eq!(Lock::take(dir.path()).unwrap().1, LeftAs::Cut(store));
        fs::write(&path, "garbage").unwrap();
        assert_eq!(Lock::take(dir.path()).unwrap().1, LeftAs::Unknown);
    }
}
