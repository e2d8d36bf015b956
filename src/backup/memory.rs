//! What this gateway remembers of its last verified backup: that it need not send again what is there, and when it was.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Refused, folder::sync_dir, manifest::Object};
use crate::owner;

/// In the state folder; written when a backup was verified and at no other time, so that its age is that of the backup.
pub const FILE: &str = crate::config::LAST_BACKUP;

/// Losing it costs one backup in which everything is sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) id: String,
    pub(super) at: Option<Timestamp>,
    pub(super) target: String,
    pub(super) recipients: Vec<String>,
    /// Files by their name in the backup.
    pub(super) sent: BTreeMap<String, Sent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sent {
    /// Of the file itself. Why this stays here: that of a short secret tells the secret.
    pub(super) sha256: String,
    pub(super) object: Object,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

impl Memory {
    /// What is remembered of this target and these recipients; nothing where they changed.
    pub(super) fn of(state_dir: &Path, target: &str, recipients: &[String]) -> Self {
        let bytes = fs::read(path(state_dir)).unwrap_or_default();
        let memory: Self = serde_json::from_slice(&bytes).unwrap_or_default();
        let same = memory.target == target && memory.recipients == recipients;
        if same { memory } else { Self { target: target.into(), recipients: recipients.into(), ..Self::default() } }
    }

    pub(super) fn write(&self, state_dir: &Path) -> Result<(), Refused> {
        let place = path(state_dir);
        let failed = |error| {
            Refused::new(
                format!("the backup is made, and cannot be remembered in {}: {error}", place.display()),
                "look at that disk, and at the user that makes the backup",
            )
        };
        let fresh = place.with_extension("new");
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(failed)?;
        owner::give(&file, &fresh);
        let done = file.write_all(&text).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&fresh, &place));
        done.and_then(|()| sync_dir(state_dir)).map_err(failed)
    }
}
