//! `punchgate journal import`: punches out of another gateway's export into this one's ledgers.
//!
//! Every line is read and judged before the first punch is stored; then all of them go the way of any other punch: the id
//! is made of what the terminal recorded, and must be the one that stands in the file; twins are dropped and counted; what
//! is new gets a number in this gateway's own ledger, which is another one than the exporter's.

mod chain;
mod fields;
mod read;

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use driver_api::{Batch, Punch};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;

use super::local_act;

use self::{
    fields::Line,
    read::{BadLine, ImportFormat, Lines},
};
use crate::{
    cli::{
        FAILED, Failure, OK,
        args::{ExportFormat, ImportArgs},
        out::{Out, harmless},
        words,
    },
    config,
    drivers::DRIVERS,
    spool::{OpenError, Spool},
};

/// Bad lines that are told; more are only counted.
const TOLD: usize = 20;
/// Punches stored in one go.
const BATCH: usize = 1000;

#[derive(Debug, Default, Serialize)]
struct Imported {
    /// Lines with a punch.
    read: u64,
    new: u64,
    /// Dropped, since they are here already.
    twins: u64,
    bad: u64,
    /// Terminals, by name.
    terminals: Vec<String>,
    done: bool,
}

pub(in crate::cli) fn import_command(args: &ImportArgs, out: &mut Out) -> Result<u8, Failure> {
    let config = config::load(&args.config, DRIVERS)?;
    let format = match args.format {
        Some(ExportFormat::Jsonl) => ImportFormat::Jsonl,
        Some(ExportFormat::Csv) => ImportFormat::Csv,
        None if args.file.extension().is_some_and(|extension| extension == "csv") => ImportFormat::Csv,
        None => ImportFormat::Jsonl,
    };
    let mut imported = judge(&args.file, format)?;
    if imported.bad > 0 && !args.skip_bad {
        return Err(Failure::failed(
            format!("nothing was imported: {} of {} lines are bad", imported.bad, imported.bad + imported.read),
            "mend those lines, or leave them out with --skip-bad",
        ));
    }
    if !args.dry_run {
        let spool = Spool::open(&config.spool).map_err(in_use)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Failure::failed(format!("cannot start: {error}"), "close other programs"))?;
        let stored = runtime.block_on(store(&spool, &args.file, format, &mut imported));
        runtime.block_on(spool.close());
        stored?;
        imported.done = true;
        let told = json!({ "act": "journal import", "new": imported.new, "terminals": imported.terminals });
        local_act(&config.spool.state_dir, told)?;
    }
    if args.json {
        out.json(&imported)?;
    } else {
        show(&imported, out)?;
    }
    Ok(if imported.bad == 0 { OK } else { FAILED })
}

fn in_use(error: OpenError) -> Failure {
    let mend = match &error {
        OpenError::RestoreUnfinished(_) => "say the same punchgate restore again",
        OpenError::InUse(_) => "stop the daemon first: systemctl stop punchgate",
        OpenError::NotOurs(_) => "give it back as it says, or import as root",
        OpenError::Newer(_) => "use the version of Punchgate that wrote it, or a later one",
        OpenError::Disk { .. } | OpenError::Quarantine { .. } | OpenError::Index(_) => {
            "import as the gateway's own user; look at the disk with journalctl -k"
        }
    };
    Failure::failed(format!("{error}; nothing was imported"), mend)
}

fn open(file: &Path, format: ImportFormat) -> Result<Lines, Failure> {
    let from = fs::File::open(file).map_err(|error| unreadable(file, &error))?;
    Lines::new(from, format).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::failed(
        format!("cannot read {}: {error}", file.display()),
        "name a file that punchgate journal export has written; it is read twice, so a pipe will not do",
    )
}

/// Reads all of it and tells what is bad.
fn judge(file: &Path, format: ImportFormat) -> Result<Imported, Failure> {
    let mut imported = Imported::default();
    for line in open(file, format)? {
        match line.map_err(|error| unreadable(file, &error))? {
            Ok(line) => {
                imported.read += 1;
                if !imported.terminals.contains(&line.terminal) {
                    imported.terminals.push(line.terminal);
                }
            }
            Err(BadLine { number, why, mend }) => {
                imported.bad += 1;
                if imported.bad <= TOLD as u64 {
                    // stdout may hold the summary as JSON.
                    writeln!(io::stderr(), "{} line {number}: {}\n    mend: {mend}", file.display(), harmless(&why))?;
                }
            }
        }
    }
    if imported.bad > TOLD as u64 {
        writeln!(io::stderr(), "and {} more bad lines", imported.bad - TOLD as u64)?;
    }
    Ok(imported)
}

async fn store(spool: &Spool, file: &Path, format: ImportFormat, imported: &mut Imported) -> Result<(), Failure> {
    let mut held: Vec<Punch> = Vec::new();
    let mut whose: Option<(String, String)> = None;
    let mut lines = open(file, format)?;
    loop {
        let next = lines.next().transpose().map_err(|error| broke_off(imported, &error.to_string()))?;
        let Some(line) = next else { break };
        // What was bad was told, and is left out.
        let Ok(Line { terminal, serial, punch, .. }) = line else { continue };
        let same = whose.as_ref().is_some_and(|(name, number)| *name == terminal && *number == serial);
        if !same || held.len() >= BATCH {
            flush(spool, whose.as_ref(), &mut held, imported).await?;
        }
        if !same {
            whose = Some((terminal, serial));
        }
        held.push(punch);
    }
    flush(spool, whose.as_ref(), &mut held, imported).await
}

async fn flush(
    spool: &Spool,
    whose: Option<&(String, String)>,
    held: &mut Vec<Punch>,
    imported: &mut Imported,
) -> Result<(), Failure> {
    let (Some((terminal, serial)), false) = (whose, held.is_empty()) else { return Ok(()) };
    let batch = Batch::from(std::mem::take(held));
    let stored = spool.commit(terminal, serial, &TimeZone::UTC, batch).await;
    let stored = stored.map_err(|error| broke_off(imported, &error.to_string()))?;
    imported.new += stored.new as u64;
    imported.twins += stored.twins as u64;
    Ok(())
}

fn broke_off(imported: &Imported, why: &str) -> Failure {
    Failure::failed(
        format!(
            "{} of {} punches were imported, then it broke off: {why}",
            imported.new + imported.twins,
            imported.read
        ),
        "mend that, and import the same file again: what is here already is dropped as a twin",
    )
}

fn show(imported: &Imported, out: &mut Out) -> io::Result<()> {
    let Imported { read, new, twins, bad, terminals, done } = imported;
    let names = terminals.iter().map(|name| harmless(name)).collect::<Vec<_>>().join(", ");
    writeln!(out, "{} punches read, of {} terminals: {names}", words::count(*read), terminals.len())?;
    if *done {
        writeln!(
            out,
            "{} are new here, {} were here already and were dropped",
            words::count(*new),
            words::count(*twins)
        )?;
    } else {
        writeln!(out, "nothing was imported: this was a dry run")?;
    }
    if *bad > 0 {
        writeln!(out, "{} bad lines were left out", words::count(*bad))?;
    }
    Ok(())
}
