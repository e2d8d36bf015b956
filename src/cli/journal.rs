//! `punchgate journal`: check and copy out what lies on this disk, whether the daemon runs or not.

mod export;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use driver_api::SetAsideId;

use super::{
    FAILED, Failure, OK,
    args::{DiskArgs, ExportArgs, ExportFormat, VerifyArgs},
    out::Out,
};
use crate::{
    config,
    ledger::{Entry, Ledger},
};

/// A place in the journal that cannot be read: where, and what is wrong. Reading goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Damage(pub(super) String);

/// A record that makes no punch, as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawRecord {
    pub(super) terminal: String,
    pub(super) serial: String,
    pub(super) id: SetAsideId,
    pub(super) reason: String,
    pub(super) raw: Vec<u8>,
}

/// The punches of a disk, in the order in which they became durable.
type Punches = Box<dyn Iterator<Item = Result<(Arc<Ledger>, Entry), Damage>>>;
type RawRecords = Box<dyn Iterator<Item = Result<RawRecord, Damage>>>;

/// Opens the journal below a state folder for reading alone.
///
/// TO BE WIRED: the journal's reader comes with the spool; nothing else here changes then.
fn read_punches(_state_dir: &Path) -> Result<Punches, Failure> {
    Err(not_wired())
}

/// TO BE WIRED: see [`read_punches`].
fn read_set_aside(_state_dir: &Path) -> Result<RawRecords, Failure> {
    Err(not_wired())
}

fn not_wired() -> Failure {
    Failure::failed("this build cannot read a journal yet", "use a build that can")
}

pub(super) fn verify_command(args: &VerifyArgs, out: &mut Out) -> Result<u8, Failure> {
    let verified = verify::verify(read_punches(&state_dir(&args.disk)?)?);
    if args.json {
        verified.write_json(out)?
    } else {
        verified.write_text(out)?
    }
    Ok(if verified.whole() { OK } else { FAILED })
}

pub(super) fn export_command(args: &ExportArgs, out: &mut Out) -> Result<u8, Failure> {
    let state_dir = state_dir(&args.disk)?;
    let format = if args.json { ExportFormat::Jsonl } else { args.format };
    let export = |to: &mut dyn Write| -> Result<export::Exported, Failure> {
        match args.set_aside {
            false => Ok(export::punches(read_punches(&state_dir)?, format, to)?),
            true => Ok(export::raw_records(read_set_aside(&state_dir)?, format, to)?),
        }
    };
    let exported = match &args.out {
        None => export(out)?,
        Some(path) => into_file(path, export)?,
    };
    for Damage(what) in &exported.damages {
        // stdout may hold the export itself.
        writeln!(io::stderr(), "punchgate: left out: {what}")?;
    }
    Ok(if exported.damages.is_empty() { OK } else { FAILED })
}

fn state_dir(args: &DiskArgs) -> Result<PathBuf, Failure> {
    let folder = match &args.state_dir {
        Some(folder) => folder.clone(),
        None => config::places(&args.config)?.state_dir,
    };
    match fs::read_dir(&folder) {
        Ok(_) => Ok(folder),
        Err(error) => Err(Failure::failed(
            format!("cannot look into {}: {error}", folder.display()),
            "name the folder with --state-dir, and read it as root or as the gateway's user",
        )),
    }
}

/// Writes a new file that only its owner reads: it holds who was where and when. What fails leaves no half file behind.
fn into_file(
    path: &Path,
    export: impl FnOnce(&mut dyn Write) -> Result<export::Exported, Failure>,
) -> Result<export::Exported, Failure> {
    let wrong = |error: io::Error| {
        let mend = match error.kind() {
            io::ErrorKind::AlreadyExists => "give the name of a file that is not there yet",
            _ => "give a file in a folder that is there and has room",
        };
        Failure::failed(format!("cannot write {}: {error}", path.display()), mend)
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
    let mut to = BufWriter::new(file);
    let exported = export(&mut to).and_then(|exported| {
        let file: File = to.into_inner().map_err(|error| wrong(error.into_error()))?;
        file.sync_all().map_err(wrong)?;
        Ok(exported)
    });
    if exported.is_err() {
        // It may be gone already; the failure itself is what counts.
        let _ = fs::remove_file(path);
    }
    exported
}
