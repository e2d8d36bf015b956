//! What the objects of a backup are: the list that only its recipients can read, and the names that may stand in it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Refused, manifest::is_hash};

/// A longer list is none, in bytes.
pub(super) const LIMIT: u64 = 64 << 20;
/// No file of ours is longer, in bytes: a segment has 64 MiB at most.
pub(super) const FILE_LIMIT: u64 = 512 << 20;
/// Folders below each other, and letters of a name.
const DEPTH: usize = 12;
const LONG: usize = 512;

/// Every file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    pub v: u8,
    /// Of the backup: so that a list never serves another one.
    pub id: String,
    /// The name of the config below `config/`.
    pub config: String,
    pub store: String,
    pub last_group: u64,
    /// What was wrong with the journal already when it was copied.
    pub faults: Vec<String>,
    pub files: Vec<Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// `state/...`, `config/...`, or `elsewhere/...` for a file that the config names outside of its folder.
    pub path: String,
    pub bytes: u64,
    /// Of the file itself, in hex.
    pub sha256: String,
    /// The SHA-256 of the object that holds it.
    pub object: String,
    /// Permissions, as in `0o640`.
    pub mode: u32,
}

impl Contents {
    pub(super) fn read(bytes: &[u8], id: &str) -> Result<Self, Refused> {
        let contents: Self = serde_json::from_slice(bytes)
            .map_err(|error| Refused::damaged(format!("its list of files cannot be read: {error}")))?;
        contents.check(id).map_err(|why| Refused::damaged(format!("its list of files is refused: {why}")))?;
        Ok(contents)
    }

    fn check(&self, id: &str) -> Result<(), String> {
        if self.v != 1 {
            return Err(format!("it is of version {}, and this program reads version 1", self.v));
        }
        if self.id != id {
            return Err(format!("it is of backup {:?}", self.id));
        }
        let mut seen = BTreeSet::new();
        for Entry { path, bytes, sha256, object, mode } in &self.files {
            judge(path).map_err(|why| format!("{path:?} {why}"))?;
            if !seen.insert(path.as_str()) {
                return Err(format!("{path:?} stands in it twice"));
            }
            if *bytes > FILE_LIMIT {
                return Err(format!("{path:?} has {bytes} bytes; {FILE_LIMIT} are the most"));
            }
            if !is_hash(sha256) || !is_hash(object) {
                return Err(format!("{path:?} has a hash that is none"));
            }
            if mode & !0o777 != 0 {
                return Err(format!("{path:?} has the mode {mode:o}, which is that of no plain file"));
            }
        }
        for path in &seen {
            let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(parent) = parents.find(|parent| seen.contains(parent)) {
                return Err(format!("{parent:?} is a file and a folder"));
            }
        }
        let config = format!("config/{}", self.config);
        if self.config.contains('/') || !seen.contains(config.as_str()) {
            return Err("there is no config in it".into());
        }
        Ok(())
    }

    pub(super) fn total(&self) -> u64 {
        self.files.iter().fold(0, |sum, entry| sum.saturating_add(entry.bytes))
    }
}

/// Whether a file of this name belongs into a backup.
pub(super) fn judge(path: &str) -> Result<(), String> {
    if path.starts_with('/') {
        return Err("is an absolute name".into());
    }
    if path.len() > LONG || path.chars().any(|letter| letter.is_control() || letter == '\\') {
        return Err("has letters that no name here has".into());
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > DEPTH || parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err("leads out of its place".into());
    }
    let known = match parts[..] {
        ["state", "journal", name] => is_numbered(name, &[".seg", ".ids"]),
        ["state", "audit", name] => is_numbered(name, &[".log"]),
        ["state", "incidents", "evidence", name] => is_numbered(name, &[".json"]),
        ["state", "incidents", name] => matches!(name, "log.jsonl" | "open.json"),
        ["state", name] => STATE_FILES.contains(&name),
        ["config" | "elsewhere", ref rest @ ..] => {
            !rest.is_empty() && !rest.iter().any(|part| part.starts_with(".restore-") || part.starts_with("replaced-"))
        }
        _ => false,
    };
    if known { Ok(()) } else { Err("is no file of a gateway".into()) }
}

/// Files of a state folder that go along as they are.
pub(super) const STATE_FILES: &[&str] = &["gateway-key.jwk", "boots", "config-from-afar.toml", "metrics.ring"];

fn is_numbered(name: &str, endings: &[&str]) -> bool {
    let number = endings.iter().find_map(|ending| name.strip_suffix(ending));
    number.is_some_and(|number| (1..=20).contains(&number.len()) && number.bytes().all(|it| it.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_known_set_pass() {
        for good in [
            "state/journal/00000001.seg",
            "state/journal/00000001.ids",
            "state/audit/00000001.log",
            "state/incidents/evidence/17.json",
            "state/gateway-key.jwk",
            "config/config.toml",
            "config/maps/turnstile.toml",
            "elsewhere/etc/ssl/ca.pem",
        ] {
            assert_eq!(judge(good), Ok(()), "{good}");
        }
        for bad in [
            "/etc/passwd",
            "state/../../etc/passwd",
            "config/../x",
            "config//x",
            "config/./x",
            "config/",
            "config",
            "",
            "state/journal/lock",
            "state/journal/1.seg/x",
            "state/index/db",
            "state/restore-unfinished.json",
            "state/journal/x.seg",
            "config/a\\b",
            "config/a\nb",
            "config/.restore-1/x",
            "home/x",
        ] {
            assert!(judge(bad).is_err(), "{bad}");
        }
    }
}
