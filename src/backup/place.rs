//! From the staging folders into their places: by names alone, all of them or none.
//!
//! Until the plan is on the disk under its name nothing has changed. From then on the store does not open, and whoever
//! says `punchgate restore` again, or this one if it lives, carries the plan out to its end. Every move is done or can still be
//! done, so that it does not matter where the last one was cut off.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Refused, folder::sync_dir};
use crate::spool::RESTORE_UNFINISHED;

/// What is to be done, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    pub(super) id: String,
    /// From and to. What was there before goes out of the way first.
    pub(super) moves: Vec<(PathBuf, PathBuf)>,
    /// Staging folders, which are empty by the end.
    pub(super) staging: Vec<PathBuf>,
}

fn failed(path: &Path, error: &io::Error) -> Refused {
    Refused::new(
        format!("cannot put {} into its place: {error}", path.display()),
        "mend that, and say the same punchgate restore again: it goes on where it was cut off",
    )
}

impl Plan {
    /// Writes it down: from now on it is carried out.
    pub(super) fn commit(&self, state_dir: &Path) -> Result<(), Refused> {
        let path = state_dir.join(RESTORE_UNFINISHED);
        let fresh = state_dir.join(format!(".restore-{}.plan", self.id));
        let written = || -> io::Result<()> {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            sync_dir(state_dir)
        };
        written().map_err(|error| Refused::new(format!("cannot write {}: {error}", path.display()), "look at the disk"))
    }

    /// Carries it out, from wherever it was left.
    pub(super) fn carry_out(&self, state_dir: &Path) -> Result<(), Refused> {
        let mut folders = Vec::new();
        for (from, to) in &self.moves {
            // A name that is there was moved there: what was there before is out of the way by then.
            if fs::symlink_metadata(to).is_ok() {
                continue;
            }
            let folder = to.parent().unwrap_or(state_dir);
            if !folder.is_dir() {
                make_like(folder, from.parent().unwrap_or(state_dir)).map_err(|error| failed(to, &error))?;
                folders.extend(folder.parent().map(Path::to_path_buf));
            }
            fs::rename(from, to).map_err(|error| failed(to, &error))?;
            folders.extend([folder.to_path_buf(), from.parent().unwrap_or(state_dir).to_path_buf()]);
        }
        folders.sort();
        folders.dedup();
        // A staging folder may be gone already.
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            sync_dir(folder).map_err(|error| failed(folder, &error))?;
        }
        for folder in &self.staging {
            clear(folder)?;
        }
        let plan = state_dir.join(RESTORE_UNFINISHED);
        fs::remove_file(&plan).and_then(|()| sync_dir(state_dir)).map_err(|error| failed(&plan, &error))
    }
}

/// Ends a restore that was cut off behind its point of no return; tells its id. `None`: there is none.
pub fn finish(state_dir: &Path) -> Result<Option<String>, Refused> {
    let path = state_dir.join(RESTORE_UNFINISHED);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| failed(&path, &error))?,
    };
    let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| {
        Refused::new(
            format!("{} cannot be read: {error}", path.display()),
            "use the version of Punchgate that wrote it",
        )
    })?;
    plan.carry_out(state_dir)?;
    Ok(Some(plan.id))
}

/// Makes a folder, and those above it that are missing, each with owner and mode of the one that its content comes from: a gateway
/// reads what lies in them, and root makes them.
fn make_like(folder: &Path, model: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let (Some(above), Some(model)) = (folder.parent(), model.parent()) {
        make_like(above, model)?;
    }
    // Under its name it is as it must be, whenever it is cut off.
    let fresh = folder.with_file_name(".restore-folder");
    match DirBuilder::new().mode(0o700).create(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let model = fs::metadata(model)?;
    if rustix::process::geteuid().is_root() {
        chown(&fresh, Some(model.uid()), Some(model.gid()))?;
    }
    fs::set_permissions(&fresh, Permissions::from_mode(model.mode() & 0o777))?;
    fs::rename(&fresh, folder)
}

/// Removes a folder of ours with all that is in it; no link is followed.
pub(super) fn clear(folder: &Path) -> Result<(), Refused> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(folder, &error)),
        _ => Ok(()),
    }
}
