//! Making a backup: what is new goes to the target, is read back, and only then the manifest says that there is a backup.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::Path,
    path::PathBuf,
};

use age::x25519;
use jiff::Timestamp;
use rustix::fs::FlockOperation;

use super::{
    Contents, Entry, Identity, Manifest, Object, Refused, Target,
    gather::{Gathered, Source, gather, read},
    identity,
    manifest::{self, is_id, sha256},
    memory::{Memory, Sent},
    seal::{self, Unsealed},
    stage,
    target::{BACKUPS, OBJECTS},
};
use crate::{command::PrivateKey, owner, spool};

/// What is wanted.
pub struct Order<'o> {
    pub config: &'o Path,
    pub state_dir: &'o Path,
    pub tenant: &'o str,
    pub gateway: &'o str,
    pub target: &'o Target,
    pub recipients: &'o [String],
    /// So many backups stay; without it all of them.
    pub keep: Option<usize>,
    /// What is new is decrypted too when it is read back.
    pub identity: Option<&'o Identity>,
    /// What earlier backups have brought is read back too, and not only looked up.
    pub read_all: bool,
}

/// A backup that is there and was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub id: String,
    /// Files in it.
    pub files: usize,
    /// Objects that went to the target, and their bytes.
    pub sent: usize,
    pub sent_bytes: u64,
    /// Objects of earlier backups that it names again.
    pub reused: usize,
    /// Older backups, and objects that nothing names any more, that were removed.
    pub removed: (usize, usize),
    /// What was wrong with the journal before.
    pub faults: Vec<String>,
    pub warnings: Vec<String>,
}

/// Faults of a journal that are told; there is no end to how much may be wrong.
const FAULTS: usize = 100;

pub fn make(order: &Order<'_>) -> Result<Made, Refused> {
    let recipients = identity::recipients(order.recipients)?;
    if recipients.is_empty() {
        return Err(Refused::new(
            "a backup is encrypted to somebody, and nobody is named",
            "name one in backup.recipients",
        ));
    }
    let lock = alone(order.state_dir)?;
    let key = PrivateKey::read(&order.state_dir.join("gateway-key.jwk")).map_err(|error| {
        let mend = "make the backup as the gateway's user, after its first start";
        Refused::new(format!("the gateway's key, which signs its backups, cannot be used: {error}"), mend)
    })?;
    let report = spool::verify(order.state_dir).map_err(|error| {
        Refused::new(format!("the journal cannot be read: {error}"), "make the backup as root or as the gateway's user")
    })?;
    let faults: Vec<String> = report.faults.into_iter().take(FAULTS).map(|fault| fault.what).collect();
    let Gathered { sources, store, last_group, warnings } = gather(order.config, order.state_dir)?;
    let newest = stage::ids(order.target)?.pop();
    own(order, newest.as_deref())?;
    let there: BTreeMap<String, u64> = order.target.list(OBJECTS)?.into_iter().collect();
    let id = new_id(newest.as_ref());
    let mut work = Work { order, recipients, there, files: vec![], objects: BTreeSet::new(), sent: 0, sent_bytes: 0 };
    let mut memory = Memory::of(order.state_dir, &order.target.shown(), order.recipients);
    let mut sent = BTreeMap::new();
    for source in sources {
        work.take(source, &memory, &mut sent)?;
    }
    let name = order.config.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let files = std::mem::take(&mut work.files);
    let reused = work.objects.len() - work.sent;
    let contents = Contents {
        v: 1,
        id: id.clone(),
        config: name,
        store: store.clone(),
        last_group,
        faults: faults.clone(),
        files,
    };
    let text = serde_json::to_vec(&contents).expect("a list of texts and numbers");
    let list = work.send(&text)?;
    let manifest = Manifest {
        v: 1,
        id: id.clone(),
        tenant: order.tenant.into(),
        gateway: order.gateway.into(),
        store,
        created: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").into(),
        recipients: order.recipients.into(),
        last_group,
        contents: list,
        objects: work.objects.iter().cloned().collect(),
    };
    let signed = manifest.signed(&key);
    order.target.put(&manifest::place(&id), &signed)?;
    let back = stage::manifest(order.target, &id, Some(&key.public().to_string()))?;
    if back != manifest {
        return Err(Refused::damaged(format!("{} is not what was written", manifest::place(&id))));
    }
    (memory.id, memory.at, memory.sent) = (id.clone(), Some(manifest.created), sent);
    memory.write(order.state_dir)?;
    let removed = match order.keep {
        Some(keep) => prune(order.target, keep.max(1), &id)?,
        None => (0, 0),
    };
    drop(lock);
    let (sent, sent_bytes) = (work.sent, work.sent_bytes);
    Ok(Made { id, files: contents.files.len(), sent, sent_bytes, reused, removed, faults, warnings })
}

/// One backup at a time: two would remove each other's objects.
fn alone(state_dir: &Path) -> Result<File, Refused> {
    let path = state_dir.join("backup.lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(|error| {
        let mend = "make the backup as root or as the gateway's user: runuser -u punchgate -- punchgate backup";
        Refused::new(format!("cannot write {}: {error}", path.display()), mend)
    })?;
    owner::give_all(&path);
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(Refused::new("another backup of this gateway is at work", "wait for its end")),
    }
}

/// Behind the newest that is there.
fn new_id(newest: Option<&String>) -> String {
    let number = newest.map_or(0, |id| manifest::number(id)) + 1;
    format!("{number:06}-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"))
}

/// A target is one gateway's own: another one would remove what it does not know.
fn own(order: &Order<'_>, newest: Option<&str>) -> Result<(), Refused> {
    let Some(newest) = newest else { return Ok(()) };
    match stage::manifest(order.target, newest, None) {
        Ok(other) if (other.tenant.as_str(), other.gateway.as_str()) != (order.tenant, order.gateway) => {
            Err(Refused::new(
                format!("{} holds backups of {}/{}", order.target.shown(), other.tenant, other.gateway),
                "give each gateway a target of its own: a folder below, named for it",
            ))
        }
        // One that is damaged is no reason not to make another.
        _ => Ok(()),
    }
}

struct Work<'w> {
    order: &'w Order<'w>,
    recipients: Vec<x25519::Recipient>,
    /// Objects that are at the target.
    there: BTreeMap<String, u64>,
    files: Vec<Entry>,
    objects: BTreeSet<Object>,
    sent: usize,
    sent_bytes: u64,
}

impl Work<'_> {
    fn take(&mut self, source: Source, memory: &Memory, sent: &mut BTreeMap<String, Sent>) -> Result<(), Refused> {
        let (source, (bytes, mode)) = match read(&source)? {
            Some(read) => (source, read),
            None => {
                let path = source.path.replace(".seg", ".ids");
                let stub = Source { path, from: PathBuf::from(&source.from).with_extension("ids"), bytes: None };
                let read = read(&stub)?;
                (stub, read.ok_or_else(|| Refused::new("a segment went while it was read", "make the backup again"))?)
            }
        };
        let hash = sha256(&bytes);
        let known = memory.sent.get(&source.path).filter(|it| it.sha256 == hash).map(|it| it.object.clone());
        let object = match known.filter(|object| self.is_there(object)) {
            Some(object) => object,
            None => self.send(&bytes)?,
        };
        self.objects.insert(object.clone());
        let entry = Entry {
            path: source.path.clone(),
            bytes: bytes.len() as u64,
            sha256: hash.clone(),
            object: object.sha256.clone(),
            mode,
        };
        self.files.push(entry);
        sent.insert(source.path, Sent { sha256: hash, object });
        Ok(())
    }

    /// Whether an object of an earlier backup still serves.
    fn is_there(&self, object: &Object) -> bool {
        let name = format!("{}.age", object.sha256);
        if self.there.get(&name) != Some(&object.bytes) {
            return false;
        }
        // One that is not what it was is sent anew.
        !self.order.read_all
            || self.order.target.get(&object.name(), object.bytes).is_ok_and(|it| object.check(&it).is_ok())
    }

    /// Encrypts, sends, and reads back.
    fn send(&mut self, plain: &[u8]) -> Result<Object, Refused> {
        let sealed = seal::seal(plain, &self.recipients)?;
        let object = Object::of(&sealed);
        self.order.target.put(&object.name(), &sealed)?;
        let back = self.order.target.get(&object.name(), object.bytes)?;
        object.check(&back)?;
        if let Some(identity) = self.order.identity {
            let opened = seal::open(&back, identity, plain.len() as u64, &mut io::sink());
            let (_, hash) = opened.map_err(|error: Unsealed| error.told(&object.name()))?;
            if hash != sha256(plain) {
                return Err(Refused::damaged(format!("{} is not what went into it", object.name())));
            }
        }
        self.sent += 1;
        self.sent_bytes += object.bytes;
        Ok(object)
    }
}

/// Removes backups beyond the newest `keep`, and what nothing names any more. Where a manifest cannot be read nobody knows
/// what it names, and no object goes; nor does anything where the list lacks what was just written.
fn prune(target: &Target, keep: usize, newest: &str) -> Result<(usize, usize), Refused> {
    let names = target.list(BACKUPS)?;
    let there: Vec<&str> = names.iter().filter_map(|(name, _)| name.strip_suffix(".json")).collect();
    if !there.contains(&newest) {
        return Ok((0, 0));
    }
    let ids: Vec<&str> = there.iter().copied().filter(|id| is_id(id)).collect();
    let old = &ids[..ids.len().saturating_sub(keep)];
    let mut removed = (0, 0);
    for id in old.iter().filter(|id| **id != newest) {
        target.remove(&manifest::place(id))?;
        removed.0 += 1;
    }
    let mut named = BTreeSet::new();
    for id in there.iter().filter(|id| **id == newest || !old.contains(id)) {
        let Ok(manifest) = stage::manifest(target, id, None) else { return Ok(removed) };
        named
            .extend(manifest.objects.iter().chain([&manifest.contents]).map(|object| format!("{}.age", object.sha256)));
    }
    for (name, _) in target.list(OBJECTS)? {
        if !named.contains(&name) {
            target.remove(&format!("{OBJECTS}/{name}"))?;
            removed.1 += 1;
        }
    }
    Ok(removed)
}
