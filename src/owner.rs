//! Whose a file below the state folder becomes: root repairs, imports and restores what the daemon, which is another user,
//! must be able to open.
//!
//! What is made in a folder gets the folder's own user and group, as the daemon would have made it. Only what is root's is
//! ever given away, only what has no second name, and no link is followed: the folder belongs to somebody whom root does
//! not trust with the rest of the machine.

use std::{
    fmt,
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use tracing::warn;

/// What the daemon makes is its own alone, as with the umask of its unit.
const FOLDER: u32 = 0o700;

/// The user and the group of whoever works in a folder.
type Owner = (u32, u32);

fn of(meta: &Metadata) -> Owner {
    (meta.uid(), meta.gid())
}

/// Whose what lies in a folder is to be.
fn of_folder(folder: &Path) -> io::Result<Owner> {
    let own = of(&fs::metadata(folder)?);
    // Where the folder itself is root's and open to the daemon's group, the journal tells who the daemon is.
    let journal = if own.0 == 0 { fs::metadata(folder.join("journal")).ok() } else { None };
    Ok(journal.map_or(own, |meta| of(&meta)))
}

/// Gives a file that was just made to the owner of the folder that it is in, where root made it for somebody else. One that
/// cannot be given away is no reason to stop: what is in it counts, and whoever cannot open it is told how to.
pub fn give(file: &File, path: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(error) = of_folder(folder).and_then(|owner| give_to(file, owner)) {
        warn!(%error, file = %path.display(), "a file stayed root's");
    }
}

fn give_to(file: &File, owner: Owner) -> io::Result<()> {
    let meta = file.metadata()?;
    let is_ours = meta.uid() == 0 && (meta.is_dir() || meta.is_file() && meta.nlink() == 1);
    if !is_ours || of(&meta) == owner || owner.0 == 0 {
        return Ok(());
    }
    fchown(file, Some(owner.0), Some(owner.1))
}

/// Gives a folder, and all that is in it, to the owner of the folder that it is in.
pub fn give_all(path: &Path) {
    give_named(path);
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|it| it.is_dir()) { give_all(&entry.path()) } else { give_named(&entry.path()) }
    }
}

fn give_named(path: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Neither a link nor a pipe that somebody put there.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    match OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path) {
        Ok(file) => give(&file, path),
        Err(error) => warn!(%error, file = %path.display(), "a file stayed root's"),
    }
}

/// Makes a folder, and those above it that are missing; tells which it made, from above.
pub fn create_dir(path: &Path) -> io::Result<Vec<PathBuf>> {
    let above = path.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.is_dir());
    let mut made: Vec<PathBuf> = above.map(Path::to_path_buf).collect();
    made.reverse();
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)?;
    made.iter().for_each(|folder| give_named(folder));
    Ok(made)
}

/// What lies in a state folder and must be its owner's: without one of these the daemon does not start, or not do all of
/// its work. What else is there may be root's, as a key that it only reads.
const OURS: [&str; 5] = ["journal", "index", "quarantine", "audit", "gateway-key.jwk"];

/// A file or folder that is another user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    pub path: PathBuf,
    /// By number, as the file says it.
    pub user: u32,
    /// The command that gives all of it back.
    pub mend: String,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, user, mend } = self;
        write!(f, "{} belongs to user {user}, and not to the one that the gateway runs as: {mend}", path.display())
    }
}

/// What this process may not use in a state folder, since it is another user's.
pub fn not_ours(state_dir: &Path) -> Option<Stranger> {
    let user = rustix::process::geteuid();
    if user.is_root() { None } else { not_of(state_dir, user.as_raw()) }
}

fn not_of(state_dir: &Path, user: u32) -> Option<Stranger> {
    stranger(state_dir, user).or_else(|| {
        let (own, path) = (fs::metadata(state_dir).ok()?.uid(), state_dir.to_path_buf());
        (own != user).then(|| Stranger { mend: format!("chown -R {user} {}", path.display()), path, user: own })
    })
}

/// What the owner of a state folder may not use in it.
pub fn not_theirs(state_dir: &Path) -> Option<Stranger> {
    let (user, _) = of_folder(state_dir).ok()?;
    if user == 0 { None } else { stranger(state_dir, user) }
}

/// The first of what must be this user's in a state folder, and is not.
fn stranger(state_dir: &Path, user: u32) -> Option<Stranger> {
    let own = fs::metadata(state_dir).ok()?.uid();
    OURS.iter().map(|name| state_dir.join(name)).find_map(|ours| {
        let (path, found) = first_of_another(&ours, user)?;
        let mend = match state_dir.display() {
            shown if own == user => format!("chown -R --reference={shown} {shown}"),
            _ => format!("chown -R {user} {}", ours.display()),
        };
        Some(Stranger { path, user: found, mend })
    })
}

fn first_of_another(path: &Path, user: u32) -> Option<(PathBuf, u32)> {
    let meta = fs::symlink_metadata(path).ok()?;
    if meta.uid() != user {
        return Some((path.to_path_buf(), meta.uid()));
    }
    let entries = if meta.is_dir() { fs::read_dir(path).ok() } else { None };
    let mut below: Vec<PathBuf> = entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    below.sort();
    below.iter().find_map(|path| first_of_another(path, user))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    /// Somebody who is not root.
    const SOMEBODY: (u32, u32) = (4321, 4322);

    #[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
    fn skipped(error: &io::Error) {
        eprintln!("SKIPPED: only root gives files away: {error}");
    }

    fn folder_of_somebody() -> Option<tempfile::TempDir> {
        let folder = tempfile::tempdir().unwrap();
        match chown(folder.path(), Some(SOMEBODY.0), Some(SOMEBODY.1)) {
            Ok(()) => Some(folder),
            Err(error) => {
                skipped(&error);
                None
            }
        }
    }

    fn owner(path: &Path) -> Owner {
        of(&fs::symlink_metadata(path).unwrap())
    }

    #[test]
    fn what_root_makes_in_a_folder_of_somebody_is_theirs() {
        let Some(folder) = folder_of_somebody() else { return };
        let deep = folder.path().join("quarantine/repair-1");
        assert_eq!(create_dir(&deep).unwrap(), [folder.path().join("quarantine"), deep.clone()]);
        let path = deep.join("00000001.seg");
        give(&File::create(&path).unwrap(), &path);
        let tree = folder.path().join("index");
        fs::create_dir_all(tree.join("blobs")).unwrap();
        fs::write(tree.join("blobs/1"), "ids").unwrap();
        give_all(&tree);
        for path in [deep.clone(), path, tree.clone(), tree.join("blobs"), tree.join("blobs/1")] {
            assert_eq!(owner(&path), SOMEBODY, "{}", path.display());
        }
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(stranger(folder.path(), SOMEBODY.0), None);
        fs::write(tree.join("blobs/2"), "ids").unwrap();
        fs::write(folder.path().join("ca.pem"), "root's, and only read").unwrap();
        let found = stranger(folder.path(), SOMEBODY.0).unwrap();
        assert_eq!((found.path, found.user), (tree.join("blobs/2"), 0));
        assert!(found.mend.starts_with("chown -R --reference="), "{}", found.mend);
        fs::remove_dir_all(&tree).unwrap();
        fs::remove_dir_all(folder.path().join("quarantine")).unwrap();
        assert_eq!(not_theirs(folder.path()), None);
        let found = not_of(folder.path(), 4444).unwrap();
        assert_eq!((&*found.path, found.user), (folder.path(), SOMEBODY.0));
        assert!(found.mend.starts_with("chown -R 4444 "), "{}", found.mend);
    }

    #[test]
    fn nothing_is_given_away_by_another_name() {
        let Some(folder) = folder_of_somebody() else { return };
        let kept = tempfile::tempdir().unwrap();
        let (linked, pointed) = (kept.path().join("linked"), kept.path().join("pointed"));
        fs::write(&linked, "root's").unwrap();
        fs::write(&pointed, "root's").unwrap();
        let tree = folder.path().join("index");
        fs::create_dir(&tree).unwrap();
        fs::hard_link(&linked, tree.join("db")).unwrap();
        symlink(&pointed, tree.join("conf")).unwrap();
        symlink(kept.path(), tree.join("blobs")).unwrap();
        give_all(&tree);
        assert_eq!(owner(&tree), SOMEBODY);
        assert_eq!([owner(&linked), owner(&pointed), owner(kept.path())], [(0, 0); 3]);
    }

    #[test]
    fn the_journal_tells_who_works_in_a_folder_of_root() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal");
        fs::create_dir(&journal).unwrap();
        if let Err(error) = chown(&journal, Some(SOMEBODY.0), Some(SOMEBODY.1)) {
            return skipped(&error);
        }
        create_dir(&folder.path().join("quarantine")).unwrap();
        assert_eq!(owner(&folder.path().join("quarantine")), SOMEBODY);
    }
}
