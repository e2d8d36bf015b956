//! What goes into a backup: the config with the files that it names, and what a gateway keeps in its state folder.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    Refused,
    contents::{FILE_LIMIT, STATE_FILES, judge},
};
use crate::spool;

/// A file that goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Its name in the backup.
    pub(super) path: String,
    pub(super) from: PathBuf,
    /// How much of it counts, where more of it may come while it is read.
    pub(super) bytes: Option<u64>,
}

/// All of them, in the order in which they are to be read.
pub(super) struct Gathered {
    pub(super) sources: Vec<Source>,
    pub(super) store: String,
    pub(super) last_group: u64,
    /// What somebody should know: what could not go along, and what will not find its place again.
    pub(super) warnings: Vec<String>,
}

fn unreadable(path: &Path, error: &io::Error) -> Refused {
    Refused::new(
        format!("cannot read {}: {error}", path.display()),
        "make the backup as root or as the gateway's user: runuser -u punchgate -- punchgate backup",
    )
}

pub(super) fn gather(config: &Path, state_dir: &Path) -> Result<Gathered, Refused> {
    let journal = spool::snapshot(state_dir).map_err(|error| unreadable(&state_dir.join("journal"), &error))?;
    let Some(journal) = journal else {
        return Err(Refused::new(
            format!("there is no store below {}", state_dir.display()),
            "start the gateway once, and look at gateway.state_dir",
        ));
    };
    let (mut sources, mut warnings) = (Vec::new(), Vec::new());
    of_config(config, &mut sources, &mut warnings)?;
    // Who ordered what is written down before it is done, and so it is copied before the journal.
    for name in STATE_FILES {
        let from = state_dir.join(name);
        if from.is_file() {
            sources.push(Source { path: format!("state/{name}"), from, bytes: None });
        }
    }
    for folder in ["audit", "incidents", "incidents/evidence"] {
        folder_of_state(state_dir, folder, &mut sources)?;
    }
    for file in journal.files {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        sources.push(Source {
            path: format!("state/journal/{name}"),
            from: file.path.clone(),
            bytes: Some(file.bytes),
        });
    }
    Ok(Gathered { sources, store: journal.store, last_group: journal.last_group, warnings })
}

/// Files of a known form; whatever else lies there is not ours.
fn folder_of_state(state_dir: &Path, folder: &str, sources: &mut Vec<Source>) -> Result<(), Refused> {
    let place = state_dir.join(folder);
    let entries = match fs::read_dir(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| unreadable(&place, &error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(&place, &error))?;
        let path = format!("state/{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().is_ok_and(|kind| kind.is_file()) && judge(&path).is_ok() {
            found.push(Source { path, from: entry.path(), bytes: None });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    sources.extend(found);
    Ok(())
}

/// The config, and every file that a value in it names.
fn of_config(config: &Path, sources: &mut Vec<Source>, warnings: &mut Vec<String>) -> Result<(), Refused> {
    let text = fs::read_to_string(config).map_err(|error| unreadable(config, &error))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        Refused::new(
            format!("{} is no config: {}", config.display(), error.message()),
            "punchgate check says what is wrong",
        )
    })?;
    let name = config.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = match config.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let whole = fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
    sources.push(Source { path: format!("config/{name}"), from: config.into(), bytes: None });
    let mut named = Vec::new();
    values(&Value::Table(table), "", &mut named);
    for (key, text) in named {
        if let Some(name) = text.strip_prefix("credential:") {
            warnings.push(format!(
                "{key} is the credential {name} of systemd, which this backup does not hold: keep its secret elsewhere too"
            ));
            continue;
        }
        let from = whole.join(&text);
        // What it points to goes along under its own name: links are not put back.
        if !from.is_file() {
            continue;
        }
        let path = place(&from, &whole);
        if judge(&path).is_err() {
            warnings.push(format!("{key} = {text:?} has a name that no backup holds: put the file beside the config"));
            continue;
        }
        if path.starts_with("elsewhere/") {
            warnings.push(format!(
                "{key} = {text:?} lies outside of the config's folder: a restore puts it below elsewhere/, and a person \
                 must bring it to its place"
            ));
        }
        if !sources.iter().any(|source| source.path == path) {
            sources.push(Source { path, from, bytes: None });
        }
    }
    Ok(())
}

/// Texts that may name a file, with their keys. Some keys name what is not the gateway's own.
fn values(value: &Value, key: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| {
            if !matches!(key.as_str(), "backup_file" | "state_dir" | "socket" | "target" | "name" | "address" | "url") {
                values(value, key, found);
            }
        }),
        Value::Array(list) => list.iter().for_each(|value| values(value, key, found)),
        Value::String(text) if !text.is_empty() => found.push((key.to_owned(), text.clone())),
        _ => {}
    }
}

/// The name of a file in a backup: without `.` and `..`, below the config's folder or elsewhere.
fn place(from: &Path, folder: &Path) -> String {
    let mut plain = PathBuf::new();
    for part in from.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            other => plain.push(other),
        }
    }
    match plain.strip_prefix(folder) {
        Ok(below) => format!("config/{}", below.display()),
        Err(_) => format!("elsewhere/{}", plain.strip_prefix("/").unwrap_or(&plain).display()),
    }
}

/// The bytes of a source, and its permissions. A segment that was retired meanwhile is `None`: its stub stands for it.
pub(super) fn read(source: &Source) -> Result<Option<(Vec<u8>, u32)>, Refused> {
    let file = match File::open(&source.from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && source.path.ends_with(".seg") => return Ok(None),
        file => file.map_err(|error| unreadable(&source.from, &error))?,
    };
    let meta = file.metadata().map_err(|error| unreadable(&source.from, &error))?;
    let limit = source.bytes.unwrap_or(FILE_LIMIT + 1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(&source.from, &error))?;
    if bytes.len() as u64 > FILE_LIMIT {
        let why = format!("{} is longer than {FILE_LIMIT} bytes", source.from.display());
        return Err(Refused::new(why, "no file of a gateway is so long: look what it is"));
    }
    Ok(Some((bytes, meta.mode() & 0o777)))
}
