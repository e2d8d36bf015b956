//! The lock file: one daemon a store; which store it is; and whether it was closed in order.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::segment::StoreId;
use crate::owner;

/// A file system may round its two times differently.
const OVERWRITTEN_S: i64 = 1;

/// Killed between writing the text and giving the file its time, we leave the time of the writing itself: so near, in
/// nanoseconds.
const KILLED_NS: u128 = 20_000_000;

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
#[derive(Clone, Serialize, Deserialize)]
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
    /// The time of its last change that the file was given with this text, in nanoseconds since 1970: whoever writes the text
    /// again, in the very same file and with its very own birth, gives it another. `None`: the file system keeps none that is
    /// given, or an earlier version wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed: Option<u128>,
    /// The one it had before: a power cut may keep the text and not yet the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed_before: Option<u128>,
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

    /// Whether somebody else wrote this text, in the same file or another, since we did.
    fn is_rewritten(&self, meta: &Metadata) -> bool {
        let Some((said, is)) = self.changed.zip(changed(meta)) else { return false };
        said.abs_diff(is) > KILLED_NS && self.changed_before != Some(is)
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
        let born = meta.created().ok().and_then(nanoseconds);
        let is_copy = |content: &Content| {
            let elsewhere = content.born.zip(born).is_some_and(|(said, born)| said != born);
            content.restored || elsewhere || content.is_rewritten(&meta)
        };
        let copied = content.as_ref().is_some_and(is_copy) || is_overwritten(&meta);
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
        let (born, restored) = (self.born, self.copied);
        let content = Content { store, open_in_boot, last_group, born, changed: None, changed_before: None, restored };
        let long = content.line()?.len() as u64;
        if self.file.metadata()?.len() > long {
            // What stands behind the line would make all of it unreadable for ever.
            self.file.set_len(long)?;
        }
        if !self.write_with_its_time(&content)? {
            self.file.write_all_at(content.line()?.as_bytes(), 0)?;
        }
        self.file.sync_all()
    }

    /// Tells whether the file has the time that its text says: nobody is to be taken for a copy at each start because his file
    /// system does not keep times.
    fn write_with_its_time(&self, content: &Content) -> io::Result<bool> {
        let changed_before = changed(&self.file.metadata()?);
        let mut time = SystemTime::now();
        // Whose times are coarse, or come from the clock of another machine, gets the second time one of its own.
        for _ in 0..2 {
            let content = Content { changed: nanoseconds(time), changed_before, ..content.clone() };
            self.file.write_all_at(content.line()?.as_bytes(), 0)?;
            if self.file.set_modified(time).is_err() {
                return Ok(false);
            }
            let meta = self.file.metadata()?;
            if content.changed.is_some() && content.changed == changed(&meta) && !is_overwritten(&meta) {
                return Ok(true);
            }
            let (Ok(seconds), Ok(nanos)) = (meta.ctime().try_into(), meta.ctime_nsec().try_into()) else { break };
            time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        }
        Ok(false)
    }
}

/// When a file was last changed, as the file system tells it.
fn changed(meta: &Metadata) -> Option<u128> {
    meta.modified().ok().and_then(nanoseconds)
}

/// Since 1970.
fn nanoseconds(time: SystemTime) -> Option<u128> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_nanos())
}

/// Whether somebody gave the file an older time than that of its last change, as whoever puts a copy back over it with its own
/// time does: our writing sets both at once. (A change of its owner looks the same. Then its ledgers end without need, which costs nothing.)
fn is_overwritten(meta: &Metadata) -> bool {
    meta.ctime() > meta.mtime().saturating_add(OVERWRITTEN_S)
}

/// Writes the lock file of a copy that was closed behind this group: whoever opens it begins new ledgers.
pub(super) fn mark_restored(journal: &Path, store: &StoreId, last_group: u64) -> io::Result<()> {
    let store = data_encoding::HEXLOWER.encode(store);
    let content = Content {
        store,
        open_in_boot: String::new(),
        last_group: Some(last_group),
        born: None,
        changed: None,
        changed_before: None,
        restored: true,
    };
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
mod tests;
