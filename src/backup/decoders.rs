//! The decoders of what a target hands back, each on bytes of anybody's choice: for fuzzing.

use std::{
    path::{Component, Path},
    sync::LazyLock,
};

pub use super::bucket::listing;
use super::{contents::Contents, manifest::Manifest};
use crate::command::PrivateKey;

/// The backup that manifests and lists of files are taken to belong to.
pub const ID: &str = "000017-20261129T001530Z";

static KEY: LazyLock<PrivateKey> = LazyLock::new(PrivateKey::generate);

/// A manifest, as it came and as one that somebody has signed.
pub fn manifest(bytes: &[u8]) {
    let _ = Manifest::read(bytes, ID);
    if let Ok((manifest, key)) = Manifest::read(&Manifest::signed_text(bytes.to_vec(), &KEY), ID) {
        assert_eq!(Manifest::read(&manifest.signed(&KEY), ID), Ok((manifest, key)));
    }
}

/// The list of files of a backup that its recipient's key has opened.
pub fn contents(bytes: &[u8]) {
    let Ok(contents) = Contents::read(bytes, ID) else { return };
    for entry in &contents.files {
        let mut parts = Path::new(&entry.path).components();
        assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{:?}", entry.path);
    }
}
