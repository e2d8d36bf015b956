//! Files into one archive: tar, then zstd. Both are read by everybody's tools.

use std::{collections::BTreeMap, io};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Fast, and small enough.
const LEVEL: i32 = 6;

pub(super) fn pack(files: &BTreeMap<String, Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut zstd = zstd::Encoder::new(Vec::new(), LEVEL)?;
    zstd.include_checksum(true)?;
    let mut archive = tar::Builder::new(zstd);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0));
        archive.append_data(&mut header, name, &content[..])?;
    }
    archive.into_inner()?.finish()
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}
