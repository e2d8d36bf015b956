//! The index: sled, for everything that is looked up. No other file names it.
//!
//! Nothing here is the truth: the journal gives all of it back, but for the drivers' cursors, which only save work. So
//! an error of sled, a panic too, is never more than a reason to build the index anew.
//!
//! sled 0.34.7 does not sync its files: after a kill -9 they are whole, after a power cut they may be anything, even
//! something that opens. The lock file tells the two apart (see `lock.rs`), and after a power cut the index is rebuilt
//! unread. On a clean close its files are synced by our own hand.

use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    seen::BucketKey,
    segment::{Position, StoreId},
    stand::{KeptLedger, LedgerState},
};
use crate::owner;

/// What sled said, in its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index failed: {0}")]
pub(super) struct IndexError(String);

impl IndexError {
    pub(super) fn missing() -> Self {
        Self("it is being built".into())
    }

    pub(super) fn failed(cause: String) -> Self {
        Self(cause)
    }

    pub(super) fn journal(error: &io::Error) -> Self {
        Self(format!("the journal, from which it is built, cannot be read: {error}"))
    }
}

pub(super) struct Index {
    db: sled::Db,
    path: PathBuf,
}

/// To what point of which journal the index goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Applied {
    layout: u32,
    pub(super) store: StoreId,
    /// The last group that is in it, and its number; 0 for none.
    pub(super) last: Position,
    pub(super) group: u64,
    /// Its checksum: a copy of the store that went on by itself has another group of this number there.
    pub(super) crc: u32,
    /// Behind that group.
    pub(super) end: Position,
}

impl Applied {
    const LAYOUT: u32 = 3;

    /// Without the checksum, which is looked up when it is written.
    pub(super) fn new(store: StoreId, last: Position, group: u64, end: Position) -> Self {
        Self { layout: Self::LAYOUT, store, last, group, crc: 0, end }
    }
}

/// How far a destination is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct KeptDestination {
    pub(super) drained: Position,
}

/// All that is read at the start.
pub(super) struct Kept {
    pub(super) applied: Applied,
    pub(super) ledgers: Vec<(u32, KeptLedger)>,
    pub(super) destinations: Vec<(String, KeptDestination)>,
    pub(super) confirmed: Vec<KeptConfirmed>,
    /// The highest number of a ledger that anything speaks of; 0 in an index that was written before it was kept.
    pub(super) reserved: u32,
}

/// Destination, ledger, ranges.
pub(super) type KeptConfirmed = (String, u32, Vec<(u64, u64)>);

/// How long sled may take to open. It takes longer only when it will not come back.
const OPEN_LIMIT: Duration = Duration::from_secs(20);
/// sled's own cache; buckets in use are held by `seen.rs` already.
const CACHE: u64 = 2 << 20;

const SEEN: u8 = b's';
const LEDGER: u8 = b'l';
const DESTINATION: u8 = b'd';
const CONFIRMED: u8 = b'f';
const CURSOR: u8 = b'c';
const NOTE: u8 = b'n';
const APPLIED: &[u8] = b"applied";
const RESERVED: &[u8] = b"reserved";

impl Index {
    /// Opens or makes it, on a thread of its own: sled may panic, and has been seen to hang.
    pub(super) fn open(path: &Path) -> Result<Self, IndexError> {
        let (send, receive) = mpsc::channel();
        let place = path.to_owned();
        let open = move || {
            let opened = guarded(|| {
                sled::Config::new()
                    .path(&place)
                    .cache_capacity(CACHE)
                    .flush_every_ms(None)
                    .mode(sled::Mode::LowSpace)
                    .open()
            });
            // Nobody waits any more when it took too long.
            let _ = send.send(opened);
        };
        thread::Builder::new().name("index-open".into()).spawn(open).map_err(|error| IndexError(error.to_string()))?;
        let db = receive.recv_timeout(OPEN_LIMIT).map_err(|_| IndexError("it did not open in time".into()))??;
        owner::give_all(path);
        Ok(Self { db, path: path.to_owned() })
    }

    /// Everything but ids and cursors; `None` in an index that was never written, or by another version.
    pub(super) fn load(&self) -> Result<Option<Kept>, IndexError> {
        let Some(applied) = self.get(APPLIED)? else { return Ok(None) };
        let Ok(applied) = postcard::from_bytes::<Applied>(&applied) else { return Ok(None) };
        if applied.layout != Applied::LAYOUT {
            return Ok(None);
        }
        let reserved = self.get(RESERVED)?.map_or(Ok(0), |value| number(&value))?;
        let mut kept = Kept { applied, ledgers: Vec::new(), destinations: Vec::new(), confirmed: Vec::new(), reserved };
        for (key, value) in self.all(LEDGER)? {
            kept.ledgers.push((number(&key[1..])?, parse(&value)?));
        }
        for (key, value) in self.all(DESTINATION)? {
            kept.destinations.push((text(&key[1..])?, parse(&value)?));
        }
        for (key, value) in self.all(CONFIRMED)? {
            let (ledger, destination) = key[1..].split_at_checked(4).ok_or_else(odd)?;
            kept.confirmed.push((text(destination)?, number(ledger)?, parse(&value)?));
        }
        Ok(Some(kept))
    }

    pub(super) fn seen_part(&self, key: BucketKey, part: u32) -> Result<Option<Vec<u8>>, IndexError> {
        self.get(&seen_key(key, part))
    }

    pub(super) fn cursor(&self, source: &str) -> Result<Option<Vec<u8>>, IndexError> {
        self.get(&[&[CURSOR], source.as_bytes()].concat())
    }

    pub(super) fn set_cursor(&self, source: &str, cursor: &[u8]) -> Result<(), IndexError> {
        guarded(|| self.db.insert([&[CURSOR], source.as_bytes()].concat(), cursor))?;
        // It speaks of punches that are durable already: a kill -9 shall not leave an older one.
        guarded(|| self.db.flush()).map(drop)
    }

    /// Milliseconds since 1970, and what it says.
    pub(super) fn note(&self, kind: u8, key: &str) -> Result<Option<(i64, Vec<u8>)>, IndexError> {
        self.get(&note_key(kind, key))?.map(|value| parse_note(&value)).transpose()
    }

    pub(super) fn notes(&self, kind: u8) -> Result<Vec<(String, i64, Vec<u8>)>, IndexError> {
        let found = guarded(|| self.db.scan_prefix([NOTE, kind]).collect::<sled::Result<Vec<_>>>())?;
        let read = |(key, value): (sled::IVec, sled::IVec)| {
            let (stored, body) = parse_note(&value)?;
            Ok((text(&key[2..])?, stored, body))
        };
        found.into_iter().map(read).collect()
    }

    pub(super) fn put_note(&self, kind: u8, key: &str, stored: i64, body: &[u8]) -> Result<(), IndexError> {
        let value = [&stored.to_le_bytes()[..], body].concat();
        guarded(|| self.db.insert(note_key(kind, key), value)).map(drop)
    }

    /// Writes all of it or nothing.
    pub(super) fn write(&self, writes: Writes) -> Result<(), IndexError> {
        guarded(|| self.db.apply_batch(writes.0))?;
        // Not for durability, of which sled has none: so that a kill -9 leaves little of the journal to be read again.
        guarded(|| self.db.flush()).map(drop)
    }

    /// Bytes on the disk.
    pub(super) fn bytes(&self) -> u64 {
        guarded(|| self.db.size_on_disk()).unwrap_or(0)
    }

    /// Closes it so that it survives a power cut.
    pub(super) fn close(self) -> Result<(), IndexError> {
        let Self { db, path } = self;
        guarded(|| db.flush())?;
        guarded(move || {
            drop(db);
            Ok::<_, sled::Error>(())
        })?;
        owner::give_all(&path);
        sync_tree(&path).map_err(|error| IndexError(error.to_string()))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(guarded(|| self.db.get(key))?.map(|value| value.to_vec()))
    }

    fn all(&self, kind: u8) -> Result<Vec<(sled::IVec, sled::IVec)>, IndexError> {
        guarded(|| self.db.scan_prefix([kind]).collect())
    }
}

/// Changes that belong together.
#[derive(Default)]
pub(super) struct Writes(sled::Batch);

impl Writes {
    pub(super) fn seen(&mut self, key: BucketKey, part: u32, ids: &[u8]) {
        self.0.insert(&seen_key(key, part), ids);
    }

    pub(super) fn ledger(&mut self, state: &LedgerState) {
        self.put([&[LEDGER][..], &state.number.to_be_bytes()].concat(), &state.kept());
    }

    pub(super) fn destination(&mut self, name: &str, kept: &KeptDestination) {
        self.put([&[DESTINATION], name.as_bytes()].concat(), kept);
    }

    pub(super) fn forget_destination(&mut self, name: &str) {
        self.0.remove([&[DESTINATION], name.as_bytes()].concat());
    }

    pub(super) fn confirmed(&mut self, destination: &str, ledger: u32, ranges: &[(u64, u64)]) {
        self.put([&[CONFIRMED][..], &ledger.to_be_bytes(), destination.as_bytes()].concat(), &ranges);
    }

    pub(super) fn forget_confirmed(&mut self, destination: &str, ledger: u32) {
        self.0.remove([&[CONFIRMED][..], &ledger.to_be_bytes(), destination.as_bytes()].concat());
    }

    pub(super) fn reserved(&mut self, number: u32) {
        self.0.insert(RESERVED, &number.to_be_bytes());
    }

    pub(super) fn applied(&mut self, applied: &Applied) {
        self.put(APPLIED.to_vec(), applied);
    }

    fn put(&mut self, key: Vec<u8>, value: &impl Serialize) {
        let value = postcard::to_allocvec(value).expect("plain structs of numbers and texts, into memory");
        self.0.insert(key, value);
    }
}

fn note_key(kind: u8, key: &str) -> Vec<u8> {
    [&[NOTE, kind], key.as_bytes()].concat()
}

fn parse_note(value: &[u8]) -> Result<(i64, Vec<u8>), IndexError> {
    let (stored, body) = value.split_at_checked(8).ok_or_else(odd)?;
    Ok((i64::from_le_bytes(stored.try_into().map_err(|_| odd())?), body.to_vec()))
}

fn seen_key(key: BucketKey, part: u32) -> [u8; 17] {
    let mut bytes = [SEEN; 17];
    bytes[1..5].copy_from_slice(&key.source.to_be_bytes());
    bytes[5..13].copy_from_slice(&key.window.to_be_bytes());
    bytes[13..].copy_from_slice(&part.to_be_bytes());
    bytes
}

/// Calls sled, and makes an error of its panics.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(IndexError(error.to_string())),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
            Err(IndexError(format!("sled panicked: {said}")))
        }
    }
}

fn odd() -> IndexError {
    IndexError("a value in it has an odd layout".into())
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, IndexError> {
    postcard::from_bytes(bytes).map_err(|_| odd())
}

fn number(bytes: &[u8]) -> Result<u32, IndexError> {
    Ok(u32::from_be_bytes(bytes.try_into().map_err(|_| odd())?))
}

fn text(bytes: &[u8]) -> Result<String, IndexError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| odd())
}

fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() { sync_tree(&path)? } else { File::open(&path)?.sync_all()? }
    }
    File::open(path)?.sync_all()
}
