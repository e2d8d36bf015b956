//! `punchgate journal`: check and copy out what lies on this disk, whether the daemon runs or not.

mod export;
mod import;
mod proof;
mod repair;
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

use super::{
    FAILED, Failure, MENDED, OK,
    args::{DiskArgs, ExportArgs, ExportFormat, VerifyArgs},
    out::Out,
};
use crate::{
    audit::Audit,
    config,
    ledger::{Entry, Ledger},
    spool::{self, Exported, Mark, RawRecord, Verdict},
};

/// A place in the journal that cannot be read: where, and what is wrong. Reading goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Damage(pub(super) String);

/// The punches of a disk, in the order in which they became durable.
type Punches = Box<dyn Iterator<Item = Result<(Arc<Ledger>, Entry), Damage>>>;
type RawRecords = Box<dyn Iterator<Item = Result<RawRecord, Damage>>>;
type Marks = Box<dyn Iterator<Item = Result<Mark, Damage>>>;

/// The punches below a state folder, read alone.
fn read_punches(state_dir: &Path) -> Result<Punches, Failure> {
    Ok(Box::new(read(state_dir)?.filter_map(|one| match one {
        Ok(Exported::Punch(ledger, entry)) => Some(Ok((ledger, entry))),
        Ok(Exported::SetAside(_) | Exported::Mark(_)) => None,
        Ok(Exported::Damage(fault)) => Some(Err(fault.into())),
        Err(error) => Some(Err(error.into())),
    })))
}

/// The records set aside, likewise.
fn read_set_aside(state_dir: &Path) -> Result<RawRecords, Failure> {
    Ok(Box::new(read(state_dir)?.filter_map(|one| match one {
        Ok(Exported::SetAside(raw)) => Some(Ok(raw)),
        Ok(Exported::Punch(..) | Exported::Mark(_)) => None,
        Ok(Exported::Damage(fault)) => Some(Err(fault.into())),
        Err(error) => Some(Err(error.into())),
    })))
}

/// What stands between them, likewise.
fn read_marks(state_dir: &Path) -> Result<Marks, Failure> {
    Ok(Box::new(read(state_dir)?.filter_map(|one| match one {
        Ok(Exported::Mark(mark)) => Some(Ok(mark)),
        Ok(Exported::Punch(..) | Exported::SetAside(_)) => None,
        Ok(Exported::Damage(fault)) => Some(Err(fault.into())),
        Err(error) => Some(Err(error.into())),
    })))
}

fn read(state_dir: &Path) -> Result<spool::Export, Failure> {
    spool::export(state_dir).map_err(|error| unreadable(state_dir, &error))
}

fn unreadable(state_dir: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound && !state_dir.join("journal").is_dir() {
        return Failure::failed(
            format!("there is no journal below {}: the folder journal/ is not there", state_dir.display()),
            "name the right folder with --state-dir; if this is the right one, put journal/ back from a backup, since the \
             daemon would begin an empty one",
        );
    }
    Failure::failed(
        format!("cannot read the journal below {}: {error}", state_dir.display()),
        "read it as root or as the gateway's user; check the disk with journalctl -k",
    )
}

impl From<spool::Fault> for Damage {
    fn from(fault: spool::Fault) -> Self {
        match fault.segment {
            0 => Self(fault.what),
            segment => Self(format!("segment {segment} byte {}: {}", fault.offset, fault.what)),
        }
    }
}

impl From<io::Error> for Damage {
    fn from(error: io::Error) -> Self {
        Self(format!("reading ended there: {error}"))
    }
}

pub(super) use self::{
    import::import_command,
    proof::{Day, day, proof_command, unheard_of},
    repair::repair_command,
};

pub(super) fn verify_command(args: &VerifyArgs, out: &mut Out) -> Result<u8, Failure> {
    let state_dir = state_dir(&args.disk)?;
    let report = spool::verify(&state_dir).map_err(|error| unreadable(&state_dir, &error))?;
    if args.json {
        out.json(&report)?
    } else {
        verify::show(&report, out)?
    }
    Ok(match report.verdict() {
        Verdict::Whole => OK,
        Verdict::Mended => MENDED,
        Verdict::Damaged => FAILED,
    })
}

pub(super) fn export_command(args: &ExportArgs, out: &mut Out) -> Result<u8, Failure> {
    let state_dir = state_dir(&args.disk)?;
    let format = if args.json { ExportFormat::Jsonl } else { args.format };
    let export = |to: &mut dyn Write| -> Result<export::Exported, Failure> {
        match (args.set_aside, args.marks) {
            (true, _) => Ok(export::raw_records(read_set_aside(&state_dir)?, format, to)?),
            (_, true) => Ok(export::marks(read_marks(&state_dir)?, to)?),
            _ => Ok(export::punches(read_punches(&state_dir)?, format, to)?),
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

pub(super) fn state_dir(args: &DiskArgs) -> Result<PathBuf, Failure> {
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

/// What was changed here, into the audit log; the daemon does not run, so that nobody else writes there.
fn local_act(state_dir: &Path, told: serde_json::Value) -> Result<(), Failure> {
    let written = Audit::new(state_dir).append("console", told);
    written.map(drop).map_err(|error| {
        Failure::failed(format!("it is done, and the audit log cannot be written: {error}"), "punchgate doctor")
    })
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
