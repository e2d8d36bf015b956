//! Files are put in place whole or not at all, and what lies there is kept aside first.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

/// No key and no certificate is longer.
const LONGEST: u64 = 256 * 1024;
/// Root writes, the gateway reads.
const MODE: u32 = 0o640;
/// The group that the gateway runs as.
pub(super) const GROUP: &str = "punchgate";

/// A file to be, all of it.
#[derive(Clone, PartialEq, Eq)]
pub struct NewFile {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    pub fate: Fate,
}

/// What becomes of what lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing lies there.
    New,
    /// The same lies there.
    Same,
    /// Something else lies there, and is kept aside.
    Replaces,
}

/// All files, the config last: it counts only when everything that it names is there.
#[derive(Clone)]
pub struct Plan {
    pub files: Vec<NewFile>,
}

/// What could not be written; everything before it is in place and harms nobody, since the config that names it is not.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {source}", path.display())]
pub struct PutError {
    pub path: PathBuf,
    source: io::Error,
}

impl PutError {
    pub fn mend(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => "run it as root: sudo punchgate setup; no config was changed",
            io::ErrorKind::StorageFull => "make room on that disk; no config was changed",
            _ => "look at that folder; no config was changed",
        }
    }
}

impl NewFile {
    pub(super) fn new(path: PathBuf, bytes: Vec<u8>) -> Self {
        let fate = match fs::read(&path) {
            Ok(there) if there == bytes => Fate::Same,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Fate::New,
            _ => Fate::Replaces,
        };
        Self { path, bytes, fate }
    }
}

impl Plan {
    /// The text of the config.
    pub fn config(&self) -> String {
        self.files.last().map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).unwrap_or_default()
    }

    /// The gateway's group, where this machine has it.
    pub fn group() -> Option<u32> {
        group_in(&fs::read_to_string("/etc/group").unwrap_or_default())
    }

    /// Writes all of it. Returns what was kept aside.
    pub fn put(&self, now: Timestamp) -> Result<Vec<PathBuf>, PutError> {
        let (group, mut aside) = (Self::group(), Vec::new());
        for file in &self.files {
            let failed = |source| PutError { path: file.path.clone(), source };
            if file.fate == Fate::Same {
                open_to(&file.path, group).map_err(failed)?;
                continue;
            }
            if let Some(folder) = file.path.parent().filter(|folder| !folder.is_dir()) {
                make_folder(folder, group).map_err(failed)?;
            }
            aside.extend(keep_aside(&file.path, now).map_err(failed)?);
            put(file, group).map_err(failed)?;
        }
        Ok(aside)
    }
}

/// A file that stays is opened to the gateway: one that root alone may read is well for setup and not for the unit.
fn open_to(path: &Path, group: Option<u32>) -> io::Result<()> {
    let Some(group) = group else { return Ok(()) };
    let file = File::open(path)?;
    let meta = file.metadata()?;
    if meta.gid() == group && meta.permissions().mode() & 0o777 == MODE {
        return Ok(());
    }
    fchown(&file, None, Some(group))?;
    file.set_permissions(Permissions::from_mode(MODE))
}

fn make_folder(folder: &Path, group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let made = File::open(folder)?;
    made.set_permissions(Permissions::from_mode(0o750))?;
    fchown(&made, None, group)
}

/// Keeps a copy of what lies there, beside it; the file itself stays until the new one takes its place.
fn keep_aside(path: &Path, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let mut there = match File::open(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = there.metadata()?;
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    for number in 0_u32.. {
        let again = if number == 0 { String::new() } else { format!("-{number}") };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".before-{stamp}{again}"));
        let aside = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside) {
            Ok(mut copy) => {
                io::copy(&mut there, &mut copy)?;
                // Nobody may read the copy who could not read what it is of.
                copy.set_permissions(Permissions::from_mode(meta.permissions().mode() & 0o777))?;
                if let Err(error) = fchown(&copy, None, Some(meta.gid())) {
                    tracing::debug!(%error, "the group of a copy stayed another");
                }
                copy.sync_all()?;
                return Ok(Some(aside));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("there are too many copies"))
}

/// Writes beside it, has it on disk, and only then gives it its name.
fn put(file: &NewFile, group: Option<u32>) -> io::Result<()> {
    let mut name = file.path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    // What a broken attempt left behind, and never through a link that somebody put there.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = (|| {
        new.write_all(&file.bytes)?;
        fchown(&new, None, group)?;
        new.set_permissions(Permissions::from_mode(MODE))?;
        new.sync_all()?;
        fs::rename(&beside, &file.path)
    })();
    if let Err(error) = written {
        // Half a file helps nobody; that the disk is in trouble is told already.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    match file.path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Reads a key or a certificate, and nothing that goes on for ever.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(named)?;
    if !file.metadata().map_err(named)?.is_file() {
        return Err(io::Error::other(format!("{}: it is no file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(named)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("{}: it is longer than {LONGEST} bytes", path.display())));
    }
    Ok(bytes)
}

/// The number of the gateway's group in a list of groups.
fn group_in(groups: &str) -> Option<u32> {
    let line = groups.lines().find_map(|line| line.strip_prefix(GROUP)?.strip_prefix(':'))?;
    line.split(':').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_by_its_whole_name() {
        assert_eq!(group_in("root:x:0:\npunchgate-old:x:7:\npunchgate:x:998:anna\n"), Some(998));
        assert_eq!(group_in("root:x:0:\n"), None);
    }

    #[test]
    fn what_lies_there_is_kept_aside_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let put = |text: &str| {
            let plan = Plan { files: vec![NewFile::new(path.clone(), text.into())] };
            plan.put(Timestamp::UNIX_EPOCH).unwrap()
        };
        assert_eq!(put("first"), Vec::<PathBuf>::new());
        assert_eq!(put("first"), Vec::<PathBuf>::new(), "nothing changed");
        let copies = [put("second"), put("third")].concat();
        let kept: Vec<String> = copies.iter().map(|copy| fs::read_to_string(copy).unwrap()).collect();
        assert_eq!(kept, ["first", "second"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing half written stays");
    }

    #[test]
    fn a_key_that_root_alone_may_read_is_opened_to_the_gateway() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.key");
        fs::write(&path, "key").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        open_to(&path, None).unwrap();
        assert_eq!(mode(), 0o604, "without its group nobody is helped by that");
        // A group that whoever tests is in.
        open_to(&path, Some(fs::metadata(&path).unwrap().gid())).unwrap();
        assert_eq!(mode(), 0o640);
    }

    #[test]
    fn a_link_in_the_way_is_not_followed_and_endless_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("key"), folder.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("key.new")).unwrap();
        Plan { files: vec![NewFile::new(path.clone(), b"new".into())] }.put(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            (fs::read_to_string(&victim).unwrap(), fs::read_to_string(&path).unwrap()),
            ("mine".into(), "new".into())
        );
        assert!(read_bounded(Path::new("/dev/zero")).unwrap_err().to_string().contains("no file"));
    }
}
