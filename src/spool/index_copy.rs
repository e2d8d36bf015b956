//! What the index of a store that nobody has open says of it, read from a copy: opening an index writes to it. It knows how
//! far each ledger went at least, and so what is missing behind the journal's last group.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::FlockOperation;

use super::{index::Index, lock::Content, segment::StoreId, stand::KeptLedger};

/// What it says.
pub(super) struct Told {
    /// Number of the last group that is in it: that one was durable.
    pub(super) group: u64,
    pub(super) ledgers: BTreeMap<u32, KeptLedger>,
}

/// Reads it. `None` where there is none, where it cannot be read, and where it may be anything: after a power cut, as `left`
/// tells. Not for a store that a daemon has open, which is the one to ask.
pub(super) fn read(state_dir: &Path, left: Option<&Content>, store: &StoreId) -> Option<Told> {
    let index = state_dir.join("index");
    if !index.is_dir() || !left.is_some_and(Content::is_of_this_boot) {
        return None;
    }
    let scratch = Scratch::new(&env::temp_dir()).ok()?;
    let copy = scratch.path.join("index");
    copy_tree(&index, &copy).ok()?;
    let kept = Index::open(&copy).ok()?.load().ok()??;
    let of_store = kept.applied.store == *store;
    of_store.then(|| Told { group: kept.applied.group, ledgers: kept.ledgers.into_iter().collect() })
}

/// A folder that goes with its maker. What a kill leaves of one the next look takes away: its lock is held no more.
struct Scratch {
    path: PathBuf,
    _held: File,
}

const NAME: &str = "punchgate-index-";
/// A folder so young may not be locked yet.
const YOUNG: Duration = Duration::from_secs(60);

impl Scratch {
    fn new(dir: &Path) -> io::Result<Self> {
        sweep(dir, YOUNG);
        let path = dir.join(format!("{NAME}{:016x}", rand::random::<u64>()));
        // It says who has punched where.
        DirBuilder::new().mode(0o700).create(&path)?;
        let held = File::open(&path)?;
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path, _held: held })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is tried again by the next one.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes folders whose makers are dead.
fn sweep(dir: &Path, young: Duration) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(NAME));
        let is_dir = entry.file_type().is_ok_and(|it| it.is_dir());
        let age = entry.metadata().ok().and_then(|it| it.modified().ok()?.elapsed().ok()).unwrap_or_default();
        if !ours || !is_dir || age < young {
            continue;
        }
        let Ok(held) = File::open(entry.path()) else { continue };
        if rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // One of another user stays where it is.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() { copy_tree(&path, &target)? } else { fs::copy(&path, &target).map(drop)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_leaves_is_taken_away_and_what_is_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(dir.path()).unwrap();
        let left = dir.path().join(format!("{NAME}of-one-that-was-killed"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("db"), "half a copy").unwrap();
        sweep(dir.path(), YOUNG);
        assert!(left.exists(), "its maker may not have come to locking it");
        sweep(dir.path(), Duration::ZERO);
        assert_eq!((left.exists(), scratch.path.exists()), (false, true));
        let path = scratch.path.clone();
        drop(scratch);
        assert!(!path.exists());
    }
}
