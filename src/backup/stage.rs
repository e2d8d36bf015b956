//! Reading a backup: every object is checked, decrypted and unpacked into a folder where nothing else lies.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    Contents, Identity, Manifest, Refused, Target,
    contents::LIMIT as CONTENTS_LIMIT,
    manifest::{self, LIMIT, Object, is_id},
    seal,
    target::BACKUPS,
};
use crate::{
    command::PrivateKey,
    spool::{self, Verdict},
};

/// A backup that holds what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub manifest: Manifest,
    pub files: usize,
    pub bytes: u64,
    /// Punches in its journal.
    pub punches: u64,
    /// What was wrong with the journal already when it was copied.
    pub faults: Vec<String>,
}

/// The ids of a target's backups, oldest first.
pub(super) fn ids(target: &Target) -> Result<Vec<String>, Refused> {
    let names = target.list(BACKUPS)?.into_iter();
    Ok(names.filter_map(|(name, _)| name.strip_suffix(".json").filter(|id| is_id(id)).map(str::to_owned)).collect())
}

/// The one that is meant: by its id, or the newest.
pub(super) fn chosen(target: &Target, id: Option<&str>) -> Result<String, Refused> {
    match id {
        Some(id) if is_id(id) => Ok(id.to_owned()),
        Some(id) => {
            Err(Refused::new(format!("{id:?} is no id of a backup"), "punchgate backup list shows which there are"))
        }
        None => ids(target)?.pop().ok_or_else(|| {
            Refused::new(
                format!("there is no backup at {}", target.shown()),
                "look at the target: it has a folder backups/",
            )
        }),
    }
}

/// A manifest whose signature is right; where a key is given, of that gateway.
pub(super) fn manifest(target: &Target, id: &str, key: Option<&str>) -> Result<Manifest, Refused> {
    let bytes = target.get(&manifest::place(id), LIMIT)?;
    let (manifest, signer) = Manifest::read(&bytes, id)?;
    match key {
        Some(key) if key != signer.to_string() => {
            Err(Refused::damaged(format!("{} was signed by {signer}, which is another gateway", manifest::place(id))))
        }
        _ => Ok(manifest),
    }
}

/// What is in a backup, as its recipient reads it.
pub(super) struct Opened<'o> {
    target: &'o Target,
    identity: &'o Identity,
    pub(super) manifest: Manifest,
    pub(super) contents: Contents,
    objects: BTreeMap<String, Object>,
    signer: String,
}

impl<'o> Opened<'o> {
    pub(super) fn new(
        target: &'o Target,
        id: &str,
        identity: &'o Identity,
        key: Option<&str>,
    ) -> Result<Self, Refused> {
        let manifest = manifest(target, id, key)?;
        let (_, signer) = Manifest::read(&target.get(&manifest::place(id), LIMIT)?, id)?;
        if !identity.recipients().iter().any(|it| manifest.recipients.contains(it)) {
            return Err(Refused::new(
                format!("backup {id} is encrypted to {}, and this identity is another", manifest.recipients.join(", ")),
                "give the identity of one of these recipients",
            ));
        }
        let bytes = fetch(target, &manifest.contents)?;
        let mut list = Vec::new();
        seal::open(&bytes, identity, CONTENTS_LIMIT, &mut list).map_err(|error| error.told("the list of files"))?;
        let contents = Contents::read(&list, id)?;
        let objects: BTreeMap<String, Object> =
            manifest.objects.iter().map(|object| (object.sha256.clone(), object.clone())).collect();
        for file in &contents.files {
            if !objects.contains_key(&file.object) {
                return Err(Refused::damaged(format!(
                    "{:?} is in an object that the manifest does not name",
                    file.path
                )));
            }
        }
        if contents.store != manifest.store || contents.last_group != manifest.last_group {
            return Err(Refused::damaged("its list of files is of another store than its manifest"));
        }
        Ok(Self { target, identity, manifest, contents, objects, signer: signer.to_string() })
    }

    /// One file into a writer, checked to the last byte.
    fn file(&self, at: usize, to: &mut dyn Write) -> Result<(), Refused> {
        let entry = &self.contents.files[at];
        let object = self.objects.get(&entry.object).ok_or_else(|| Refused::damaged("an object is not named"))?;
        let sealed = fetch(self.target, object)?;
        let opened = seal::open(&sealed, self.identity, entry.bytes, to);
        let (long, hash) = opened.map_err(|error| error.told(&entry.path))?;
        if long != entry.bytes || hash != entry.sha256 {
            return Err(Refused::damaged(format!(
                "{} is not what was backed up: its size or hash is another",
                entry.path
            )));
        }
        Ok(())
    }

    /// The config's text.
    pub(super) fn config(&self) -> Result<String, Refused> {
        let name = format!("config/{}", self.contents.config);
        let at = self.contents.files.iter().position(|entry| entry.path == name);
        let mut text = Vec::new();
        self.file(at.ok_or_else(|| Refused::damaged("there is no config in it"))?, &mut text)?;
        String::from_utf8(text).map_err(|_| Refused::damaged("its config is no text"))
    }

    /// Puts every file into its place below one of two folders, which are there and empty; on the disk when it returns.
    pub(super) fn stage(&self, state: &Path, config: &Path) -> Result<(), Refused> {
        self.room(state)?;
        for (at, entry) in self.contents.files.iter().enumerate() {
            let path = match (entry.path.strip_prefix("state/"), entry.path.strip_prefix("config/")) {
                (Some(below), _) => state.join(below),
                (None, Some(below)) => config.join(below),
                (None, None) => config.join(&entry.path),
            };
            let failed = |error: io::Error| {
                Refused::new(
                    format!("cannot write {}: {error}", path.display()),
                    "look at the disk, and who may write there",
                )
            };
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(failed)?;
            }
            // Of the state nobody but its owner sees anything; a config is as it was, without rights for everybody.
            let mode = if entry.path.starts_with("state/") { 0o600 } else { (entry.mode & 0o640) | 0o600 };
            let new = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(failed)?;
            let mut to = BufWriter::new(new);
            self.file(at, &mut to)?;
            to.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
        }
        self.judge(state)
    }

    fn room(&self, folder: &Path) -> Result<(), Refused> {
        let Ok(stat) = rustix::fs::statvfs(folder) else { return Ok(()) };
        let (free, wanted) = (stat.f_bavail.saturating_mul(stat.f_frsize), self.contents.total());
        if wanted < free {
            return Ok(());
        }
        Err(Refused::new(
            format!("it holds {wanted} bytes, and {} has room for {free}", folder.display()),
            "make room there, or name another folder",
        ))
    }

    /// The whole: whether the journal is one, and whether whoever signed is the gateway whose key is in it.
    fn judge(&self, state: &Path) -> Result<(), Refused> {
        let Contents { store, last_group, .. } = &self.contents;
        let journal = state.join("journal");
        let marked = fs::create_dir_all(&journal).and_then(|()| spool::mark_restored(state, store, *last_group));
        marked.map_err(|error| {
            Refused::new(format!("cannot write {}: {error}", journal.display()), "look at the disk")
        })?;
        if let Ok(key) = PrivateKey::read(&state.join("gateway-key.jwk"))
            && key.public().to_string() != self.signer
        {
            return Err(Refused::damaged("it was signed by another key than that of the gateway in it"));
        }
        Ok(())
    }

    /// Everything that can be said of the journal that was staged.
    pub(super) fn journal(&self, state: &Path) -> Result<u64, Refused> {
        let report = spool::verify(state)
            .map_err(|error| Refused::new(format!("the journal cannot be read: {error}"), "look at the disk"))?;
        if report.verdict() == Verdict::Damaged && self.contents.faults.is_empty() {
            let first = report.faults.first().map_or("it was whole when it was copied", |fault| fault.what.as_str());
            return Err(Refused::damaged(format!("its journal is damaged: {first}")));
        }
        Ok(report.punches)
    }
}

fn fetch(target: &Target, object: &Object) -> Result<Vec<u8>, Refused> {
    let bytes = target.get(&object.name(), object.bytes)?;
    object.check(&bytes)?;
    Ok(bytes)
}

/// Reads a whole backup as a restore would, in a folder of its own that goes afterwards.
pub fn verify(target: &Target, id: Option<&str>, identity: &Identity, key: Option<&str>) -> Result<Verified, Refused> {
    let opened = Opened::new(target, &chosen(target, id)?, identity, key)?;
    let folder = Scratch::new()?;
    let (state, config) = (folder.0.join("state"), folder.0.join("config"));
    for folder in [&state, &config] {
        DirBuilder::new().mode(0o700).create(folder).map_err(|error| scratch_failed(folder, &error))?;
    }
    opened.stage(&state, &config)?;
    let punches = opened.journal(&state)?;
    let Opened { manifest, contents, .. } = opened;
    let (files, bytes) = (contents.files.len(), contents.total());
    Ok(Verified { manifest, files, bytes, punches, faults: contents.faults })
}

/// A folder that goes when it is done with.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Refused> {
        let letters = data_encoding::HEXLOWER.encode(&rand::random::<[u8; 8]>());
        let path = env::temp_dir().join(format!("punchgate-verify-{letters}"));
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| scratch_failed(&path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What it held was a copy of what is encrypted elsewhere; where it cannot go, the system's own cleaning takes it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn scratch_failed(path: &Path, error: &io::Error) -> Refused {
    Refused::new(format!("cannot make {}: {error}", path.display()), "name a folder with room in TMPDIR")
}
