//! Putting a backup back: on a blank machine, or in the place of what is there, which is kept aside.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use serde_json::json;
use toml::Table;

use super::{
    Identity, Manifest, Refused, Target,
    folder::sync_dir,
    place::{Plan, clear, finish},
    stage::{Opened, chosen},
};
use crate::{audit::Audit, config, spool};

/// What is wanted.
pub struct Restore<'r> {
    pub target: &'r Target,
    /// Without it the newest.
    pub id: Option<&'r str>,
    pub identity: &'r Identity,
    /// Who must have signed it.
    pub key: Option<&'r str>,
    pub config_dir: &'r Path,
    /// Without it where the restored config says.
    pub state_dir: Option<&'r Path>,
    /// What is there goes aside.
    pub replace: bool,
}

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub id: String,
    /// `None`: an earlier restore was cut off, and this one only finished it.
    pub manifest: Option<Manifest>,
    pub state_dir: PathBuf,
    pub config: PathBuf,
    pub punches: u64,
    /// Where what was there before is kept.
    pub aside: Vec<PathBuf>,
    /// Files that a person must bring to their places.
    pub elsewhere: Vec<PathBuf>,
}

const STATE_DIR: &str = "/var/lib/punchgate";
const STAGING: &str = ".restore-";
const ASIDE: &str = "replaced-";
/// State is its owner's alone.
const OWN: u32 = 0o600;
/// A config is written by its owner, and read by the gateway's group.
const SHARED: u32 = 0o640;

pub fn restore(wanted: &Restore<'_>) -> Result<Restored, Refused> {
    if let Some(state_dir) = wanted.state_dir
        && let Some(done) = finished(state_dir, wanted.config_dir)?
    {
        return Ok(done);
    }
    let id = chosen(wanted.target, wanted.id)?;
    let opened = Opened::new(wanted.target, &id, wanted.identity, wanted.key)?;
    let config_dir = made(wanted.config_dir, 0o750)?;
    let state_dir = match wanted.state_dir {
        Some(state_dir) => state_dir.to_path_buf(),
        None => state_dir_of(&opened.config()?, &config_dir)?,
    };
    if let Some(done) = finished(&state_dir, &config_dir)? {
        return Ok(done);
    }
    let state_dir = made(&state_dir, 0o700)?;
    // Held to the end: no gateway starts on what is being replaced.
    let _held = idle(&state_dir)?;
    let staging = [state_dir.join(format!("{STAGING}{id}")), config_dir.join(format!("{STAGING}{id}"))];
    for folder in [&state_dir, &config_dir] {
        for left in entries(folder)?.into_iter().filter(|name| name.starts_with(STAGING)) {
            let left = folder.join(left);
            if left.is_dir() {
                clear(&left)?
            } else {
                fs::remove_file(&left).map_err(|error| unusable(&left, &error))?
            }
        }
    }
    let files: Vec<&str> = opened.contents.files.iter().map(|entry| entry.path.as_str()).collect();
    let elsewhere: Vec<PathBuf> =
        files.iter().filter(|path| path.starts_with("elsewhere/")).map(|path| config_dir.join(path)).collect();
    let of_config: Vec<String> = files
        .iter()
        .filter(|path| !path.starts_with("state/"))
        .map(|path| path.strip_prefix("config/").unwrap_or(path).to_owned())
        .collect();
    let mut plan = Plan { id: id.clone(), moves: vec![], staging: staging.to_vec() };
    let aside = aside(&mut plan, &state_dir, &config_dir, &of_config, wanted.replace)?;

    let staged = fill(&opened, &staging, &id);
    let punches = match staged {
        Ok(punches) => punches,
        Err(refused) => {
            // The reason is what counts; what is left of it the next restore clears away.
            let _ = staging.iter().try_for_each(|folder| clear(folder));
            return Err(refused);
        }
    };
    let owners = owners(&state_dir, &config_dir);
    give(&staging[0], owners.state, OWN)?;
    give(&staging[1], owners.config, SHARED)?;
    for name in entries(&staging[0])? {
        plan.moves.push((staging[0].join(&name), state_dir.join(&name)));
    }
    for name in &of_config {
        plan.moves.push((staging[1].join(name), config_dir.join(name)));
    }
    plan.commit(&state_dir)?;
    plan.carry_out(&state_dir)?;
    let config = config_dir.join(&opened.contents.config);
    Ok(Restored { id, manifest: Some(opened.manifest), state_dir, config, punches, aside, elsewhere })
}

fn finished(state_dir: &Path, config_dir: &Path) -> Result<Option<Restored>, Refused> {
    let Some(id) = finish(state_dir)? else { return Ok(None) };
    let (state_dir, config) = (state_dir.to_path_buf(), config_dir.join("config.toml"));
    Ok(Some(Restored { id, manifest: None, state_dir, config, punches: 0, aside: vec![], elsewhere: vec![] }))
}

fn unusable(path: &Path, error: &io::Error) -> Refused {
    Refused::new(format!("cannot use {}: {error}", path.display()), "restore as root, or as a user who may write there")
}

/// A folder that is there, by its real name.
fn made(path: &Path, mode: u32) -> Result<PathBuf, Refused> {
    if !path.is_dir() {
        DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| unusable(path, &error))?;
    }
    fs::canonicalize(path).map_err(|error| unusable(path, &error))
}

fn entries(folder: &Path) -> Result<Vec<String>, Refused> {
    let read = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let mut names: Vec<String> = read
        .map_err(|error| unusable(folder, &error))?
        .into_iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Where the config says that state lies.
fn state_dir_of(config: &str, config_dir: &Path) -> Result<PathBuf, Refused> {
    let table: Table = config.parse().map_err(|error: toml::de::Error| {
        Refused::damaged(format!("its config cannot be read: {}", error.message()))
    })?;
    let told = table.get("gateway").and_then(|gateway| gateway.get("state_dir")).and_then(toml::Value::as_str);
    Ok(config_dir.join(told.unwrap_or(STATE_DIR)))
}

/// Nobody has the store there open, and nobody opens it while this is held.
fn idle(state_dir: &Path) -> Result<Option<spool::Held>, Refused> {
    spool::hold(state_dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Refused::new(
            format!("a gateway runs on {}", state_dir.display()),
            "stop it first: systemctl stop punchgate; or name another folder with --state-dir",
        ),
        _ => unusable(&state_dir.join("journal/lock"), &error),
    })
}

/// What is there: nothing, or it goes out of the way.
fn aside(
    plan: &mut Plan,
    state_dir: &Path,
    config_dir: &Path,
    of_config: &[String],
    replace: bool,
) -> Result<Vec<PathBuf>, Refused> {
    let ours = |name: &String| !name.starts_with(STAGING) && !name.starts_with(ASIDE) && name != "lost+found";
    let state: Vec<String> = entries(state_dir)?.into_iter().filter(ours).collect();
    let config: Vec<&String> =
        of_config.iter().filter(|name| fs::symlink_metadata(config_dir.join(name)).is_ok()).collect();
    let there = state.first().map(|name| state_dir.join(name));
    let there = there.or(config.iter().map(|name| config_dir.join(name)).find(|path| !is_example(path)));
    // The example that the package puts there is nobody's config: it goes out of the way without a word from anybody.
    if let (Some(there), false) = (there, replace) {
        return Err(Refused::new(
            format!("{} is there already: a restore fills an empty place", there.display()),
            "with --replace it takes the place of what is there, which is kept aside",
        ));
    }
    // Restored twice, the first one's leavings stay what they are.
    let free = |folder: &Path| {
        let names = (1..).map(|n| {
            folder.join(format!("{ASIDE}{}{}", plan.id, if n == 1 { String::new() } else { format!("-{n}") }))
        });
        names.into_iter().find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| folder.join(ASIDE))
    };
    let (old_state, old_config) = (free(state_dir), free(config_dir));
    for name in &state {
        plan.moves.push((state_dir.join(name), old_state.join(name)));
    }
    for name in &config {
        plan.moves.push((config_dir.join(name), old_config.join(name)));
    }
    let kept = [(old_state, state.is_empty()), (old_config, config.is_empty())];
    Ok(kept.into_iter().filter(|(_, empty)| !empty).map(|(path, _)| path).collect())
}

/// Whether it is the example as the package brings it, never touched.
fn is_example(path: &Path) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    is_file && fs::read(path).is_ok_and(|text| text == config::EXAMPLE.as_bytes())
}

/// Fills the staging folders with all that the backup holds, and judges it there.
fn fill(opened: &Opened<'_>, staging: &[PathBuf; 2], id: &str) -> Result<u64, Refused> {
    for folder in staging {
        DirBuilder::new().mode(0o700).create(folder).map_err(|error| unusable(folder, &error))?;
    }
    opened.stage(&staging[0], &staging[1])?;
    let punches = opened.journal(&staging[0])?;
    let told = json!({ "backup": id, "created": opened.manifest.created, "last_group": opened.manifest.last_group });
    Audit::new(&staging[0]).append("restored", told).map_err(|error| unusable(&staging[0].join("audit"), &error))?;
    staging.iter().try_for_each(|folder| sync_all(folder))?;
    Ok(punches)
}

/// Names are durable too.
fn sync_all(folder: &Path) -> Result<(), Refused> {
    for name in entries(folder)? {
        let path = folder.join(name);
        if path.is_dir() {
            sync_all(&path)?;
        }
    }
    sync_dir(folder).map_err(|error| unusable(folder, &error))
}

/// Whose the files become: user and group, where root restores for somebody else.
#[derive(Default)]
struct Owners {
    state: Option<(u32, u32)>,
    config: Option<(u32, u32)>,
}

/// Those of the folders that are there; otherwise the user of the unit.
fn owners(state_dir: &Path, config_dir: &Path) -> Owners {
    if !rustix::process::geteuid().is_root() {
        return Owners::default();
    }
    let of = |path: &Path| fs::metadata(path).map(|meta| (meta.uid(), meta.gid())).unwrap_or((0, 0));
    let user = fs::read_to_string("/etc/passwd").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("punchgate:"))?.to_owned();
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    let (state, config): ((u32, u32), (u32, u32)) = (of(state_dir), of(config_dir));
    let state = if state.0 == 0 { user } else { Some(state) };
    // A config is root's, and its group reads it.
    let group = if config.1 == 0 { user.map(|user| user.1) } else { Some(config.1) };
    if let (Some((user, group)), true) = (state, of(state_dir).0 == 0) {
        // The folder itself was made just now, by us.
        let _ = chown(state_dir, Some(user), Some(group));
    }
    if let (Some(group), true) = (group, config.1 == 0) {
        let _ = chown(config_dir, None, Some(group));
    }
    Owners { state, config: group.map(|group| (config.0, group)) }
}

/// Files get this mode, and folders the same with the right to enter them.
fn give(folder: &Path, owner: Option<(u32, u32)>, mode: u32) -> Result<(), Refused> {
    let Some((user, group)) = owner else { return Ok(()) };
    for name in entries(folder)? {
        let path = folder.join(name);
        let is_folder = path.is_dir();
        if is_folder {
            give(&path, owner, mode)?;
        }
        let mode = if is_folder { mode | (mode & 0o444) >> 2 } else { mode };
        chown(&path, Some(user), Some(group))
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
            .map_err(|error| unusable(&path, &error))?;
    }
    Ok(())
}
