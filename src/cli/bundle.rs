//! `punchgate bundle`: all that support needs in one file, whether the daemon runs or not.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{Failure, OK, args::BundleArgs, ask::block_on, out::Out, words};
use crate::{
    bundle::{self, Given},
    doctor::{self, Examination},
};

pub(super) fn bundle(args: &BundleArgs, out: &mut Out) -> Result<u8, Failure> {
    // As the doctor needs it; it fails only when there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = args.config.clone();
    let made = block_on(async {
        let report = doctor::examine(&Examination { config: config.clone(), terminal: None }).await;
        let given = Given { doctor: json!(report), log: args.log.clone(), ..Given::default() };
        bundle::make(&config, given).await.map_err(|error| Failure::failed(format!("it cannot be made: {error}"), ""))
    })?;
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("punchgate-bundle-{}.tar.zst", made.id)));
    write_new(&path, &made.bytes)?;
    let told = (made.bytes.len() as u64, path.display());
    if args.json {
        out.json(&json!({ "bundle": made.id, "file": path, "bytes": told.0, "sha256": made.sha256 }))?;
    } else {
        writeln!(out, "bundle {}", made.id)?;
        writeln!(out, "  {}, {}", told.1, words::bytes(told.0))?;
        writeln!(out, "  sha256 {}", made.sha256)?;
        writeln!(out, "Quote its id when you send it. It holds no secrets, no names and no cards.")?;
    }
    Ok(OK)
}

/// A new file that only its owner reads; no half one is left behind.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| {
        Failure::failed(
            format!("cannot write {}: {error}", path.display()),
            "give the name of a file that is not there yet, with --out, in a folder that is there and has room",
        )
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // It may be gone already; the failure itself is what counts.
        let _ = fs::remove_file(path);
        wrong(error)
    })
}
