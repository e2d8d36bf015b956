//! The manifest: which objects make one backup, signed by the gateway that made it.

use std::collections::BTreeSet;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Refused;
use crate::command::{PrivateKey, PublicKey};

/// A longer manifest is none, in bytes; objects of one backup.
pub(super) const LIMIT: u64 = 32 << 20;
const OBJECTS: usize = 200_000;

/// One backup, as anybody may read of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub v: u8,
    pub id: String,
    pub tenant: String,
    pub gateway: String,
    /// Which store, in hex; it says nothing of anybody.
    pub store: String,
    pub created: Timestamp,
    /// Of the program that made it.
    pub version: String,
    /// Who can read it.
    pub recipients: Vec<String>,
    /// Number of the last group of the journal in it: how far it reaches.
    pub last_group: u64,
    /// What the other objects are.
    pub contents: Object,
    pub objects: Vec<Object>,
}

/// Encrypted bytes at the target, named by their hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// In hex.
    pub sha256: String,
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    key: String,
    signature: String,
}

impl Object {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { sha256: sha256(bytes), bytes: bytes.len() as u64 }
    }

    /// Where it lies at a target.
    pub(super) fn name(&self) -> String {
        format!("objects/{}.age", self.sha256)
    }

    /// Whether these bytes are the ones.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), Refused> {
        match Self::of(bytes) == *self {
            true => Ok(()),
            false => {
                Err(Refused::damaged(format!("{} is not what was put there: its size or hash is another", self.name())))
            }
        }
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}

/// `000017-20261129T001530Z`: a number that rises, whatever the clock does, and when it was made.
pub(super) fn is_id(text: &str) -> bool {
    let form = b"000000-00000000T000000Z";
    let same = |(is, should): (u8, &u8)| if should.is_ascii_digit() { is.is_ascii_digit() } else { is == *should };
    text.len() == form.len() && text.bytes().zip(form).all(same)
}

/// The number of a backup.
pub(super) fn number(id: &str) -> u32 {
    id.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Where a manifest lies at a target.
pub(super) fn place(id: &str) -> String {
    format!("backups/{id}.json")
}

impl Manifest {
    /// As it is written: one line, and the signature over it.
    pub(super) fn signed(&self, key: &PrivateKey) -> Vec<u8> {
        Self::signed_text(serde_json::to_vec(self).expect("a manifest is texts and numbers"), key)
    }

    pub(super) fn signed_text(mut text: Vec<u8>, key: &PrivateKey) -> Vec<u8> {
        let signature = BASE64URL_NOPAD.encode(&key.sign(&message(&text)));
        let signature = Signature { key: key.public().to_string(), signature };
        text.push(b'\n');
        text.extend(serde_json::to_vec(&signature).expect("two texts"));
        text.push(b'\n');
        text
    }

    /// Reads one, with the key that signed it.
    pub(super) fn read(bytes: &[u8], id: &str) -> Result<(Self, PublicKey), Refused> {
        let bad = |what: &str| Refused::damaged(format!("{} {what}", place(id)));
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let (text, signature) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        if lines.any(|rest| !rest.is_empty()) {
            return Err(bad("has more in it than a manifest and a signature"));
        }
        let signature: Signature =
            serde_json::from_slice(signature).map_err(|_| bad("has no signature; it was cut off"))?;
        let key: PublicKey = signature.key.parse().map_err(|_| bad("names a key that is none"))?;
        let signed = BASE64URL_NOPAD.decode(signature.signature.as_bytes()).ok().and_then(|it| it.try_into().ok());
        if !signed.is_some_and(|signed: [u8; 64]| key.verifies(&message(text), &signed)) {
            return Err(bad("is not what its gateway has signed"));
        }
        let manifest: Self = serde_json::from_slice(text)
            .map_err(|error| bad(&format!("is no manifest that this version can read: {error}")))?;
        manifest.check(id).map_err(|why| bad(&why))?;
        Ok((manifest, key))
    }

    fn check(&self, id: &str) -> Result<(), String> {
        if self.v != 1 {
            return Err(format!("is of version {}, and this program reads version 1", self.v));
        }
        if self.id != id {
            return Err(format!("says that it is {:?}: it was renamed", self.id));
        }
        if self.objects.len() > OBJECTS {
            return Err(format!("names {} objects; {OBJECTS} are the most", self.objects.len()));
        }
        let mut seen = BTreeSet::new();
        for object in self.objects.iter().chain([&self.contents]) {
            if !is_hash(&object.sha256) {
                return Err(format!("names an object {:?}, which is no hash", object.sha256));
            }
            if !seen.insert(&object.sha256) {
                return Err(format!("names the object {} twice", object.sha256));
            }
        }
        Ok(())
    }
}

/// Nothing else that a gateway signs looks like this.
fn message(text: &[u8]) -> Vec<u8> {
    [b"punchgate backup manifest\0", text].concat()
}
