//! Backups: everything that a gateway needs to go on, encrypted to whoever may have it, and put back whole or not at all.
//!
//! # What lies at a target
//! ```text
//! backups/000017-20261129T001530Z.json   a manifest, and below it the gateway's signature over that line
//! objects/<SHA-256 of its bytes>.age     a file: compressed (zstd), then encrypted to every recipient (age)
//! ```
//! A target is one gateway's own. The manifest says in plain words only whose backup it is and which objects belong to it.
//! What they are is told by one of them, the contents: a hash of a short secret would be the secret itself to whoever has time.
//! Sealed segments of the journal are the same for ever, so each goes there once and later backups name it again.
//!
//! # Constraints
//! * Nothing leaves this machine but inside age. The gateway can write backups and read none: it has no identity.
//! * Nothing counts that was not read back. The manifest is the last to be written, so that a backup is there or is not.
//! * A backup is a prefix of the journal that opens cleanly, whatever the daemon does meanwhile.
//! * Who restores trusts no byte: names out of a known set, every size and hash as told, no link followed, no file longer
//!   than announced. The destination is changed when all of that is done, and then by names alone.
//! * A store that is put back begins new ledgers: nobody knows what its original did since.

mod bucket;
mod contents;
#[cfg(feature = "decoders")]
pub mod decoders;
mod folder;
mod gather;
mod identity;
mod make;
mod manifest;
mod memory;
mod place;
mod restore;
mod seal;
mod stage;
mod target;

pub use contents::{Contents, Entry};
pub use identity::{Identity, new_identity};
pub use make::{Made, Order, make};
pub use manifest::{Manifest, Object};
pub use memory::FILE as RECORD_FILE;
pub use place::finish;
pub use restore::{Restore, Restored, restore};
pub use stage::{Verified, verify};
pub use target::Target;

/// Why there is no backup, or nothing was restored. Whatever was there before is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    pub why: String,
    pub mend: String,
}

impl Refused {
    pub(crate) fn new(why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { why: why.into(), mend: mend.into() }
    }

    fn missing(name: &str, at: &str) -> Self {
        Self::damaged(format!("{name} is missing at {at}"))
    }

    fn too_long(name: &str, at: &str) -> Self {
        Self::damaged(format!("{name} at {at} is longer than it may be"))
    }

    /// What came from the target is not what was put there.
    fn damaged(why: impl Into<String>) -> Self {
        Self::new(why, "take another backup with --backup ID; punchgate backup list shows which there are")
    }
}

/// A backup at a target: what it says of itself, or why that cannot be read.
pub struct Listed {
    pub id: String,
    pub manifest: Result<Manifest, Refused>,
}

/// Every backup of a target, newest first.
pub fn list(target: &Target) -> Result<Vec<Listed>, Refused> {
    let ids = stage::ids(target)?.into_iter().rev();
    Ok(ids.map(|id| Listed { manifest: stage::manifest(target, &id, None), id }).collect())
}
