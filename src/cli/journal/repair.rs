//! `punchgate journal repair`: what it did, in words.

use std::io::{self, Write};

use serde_json::json;

use super::{local_act, state_dir};
use crate::{
    cli::{FAILED, Failure, MENDED, OK, args::RepairArgs, out::Out, words},
    spool::{self, RepairError, RepairReport},
};

/// Losses that are told; more are only counted.
const TOLD: usize = 50;

pub(in crate::cli) fn repair_command(args: &RepairArgs, out: &mut Out) -> Result<u8, Failure> {
    let state_dir = state_dir(&args.disk)?;
    let report = spool::repair(&state_dir, args.dry_run)?;
    if report.done {
        let told =
            json!({ "act": "journal repair", "losses": report.losses.len(), "rewritten": report.rewritten.len() });
        local_act(&state_dir, told)?;
    }
    if args.json {
        out.json(&report)?;
    } else {
        show(&report, out)?;
    }
    Ok(match &report {
        report if !report.needed => OK,
        report if !report.done => FAILED,
        report if report.losses.is_empty() && report.ended.is_empty() && report.nameless.is_empty() => OK,
        _ => MENDED,
    })
}

impl From<RepairError> for Failure {
    fn from(error: RepairError) -> Self {
        let mend = match &error {
            RepairError::InUse(_) => {
                "stop the daemon first: systemctl stop punchgate; or see what would be done: punchgate journal repair --dry-run"
            }
            RepairError::Newer(_) => "repair it with the version that wrote it, or a later one",
            RepairError::NoStore(_) => {
                "put journal/lock back from a backup: it holds the store's id; without it no record can be told from garbage"
            }
            RepairError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "name the right folder with --state-dir; if this is the right one, put journal/ back from a backup"
            }
            RepairError::Io { .. } => {
                "nothing was changed yet, or all of it can be repeated: mend that, and repair again"
            }
        };
        let why = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self::failed(why, mend)
    }
}

fn show(report: &RepairReport, out: &mut Out) -> io::Result<()> {
    if !report.needed {
        return writeln!(out, "nothing is damaged, so nothing was done");
    }
    let (would, aside) = if report.done { ("", "kept in") } else { ("would be ", "would be kept in") };
    for file in &report.rewritten {
        writeln!(out, "{} {would}written anew: {}", file.file, file.why)?;
    }
    if let Some(folder) = report.set_aside_in.as_ref().filter(|_| !report.set_aside.is_empty()) {
        writeln!(out, "the former files {aside} {}: {}", folder.display(), report.set_aside.join(", "))?;
    }
    let RepairReport { salvaged_punches: punches, salvaged_others: others, left_out, .. } = report;
    if *punches + *others > 0 {
        writeln!(
            out,
            "out of damaged bytes {would}kept: punches: {}, other records: {}",
            words::count(*punches),
            words::count(*others)
        )?;
    }
    if *left_out > 0 {
        writeln!(
            out,
            "{} whole punches have no place any more; they are only in the files set aside",
            words::count(*left_out)
        )?;
    }
    for loss in report.losses.iter().take(TOLD) {
        let numbers =
            if loss.first == loss.last { loss.first.to_string() } else { format!("{} to {}", loss.first, loss.last) };
        writeln!(out, "{} ledger {}: {numbers} lost, and {would}recorded as lost", loss.terminal, loss.ledger)?;
    }
    if report.losses.len() > TOLD {
        writeln!(out, "and {} more losses", report.losses.len() - TOLD)?;
    }
    for terminal in &report.ended {
        writeln!(
            out,
            "{terminal}: its next punch begins a new ledger, since nobody knows the last number of this one"
        )?;
    }
    report.nameless.iter().try_for_each(|text| writeln!(out, "{text}"))?;
    let is_sure = report.ended.is_empty() && report.nameless.is_empty();
    match (report.done, report.losses.is_empty()) {
        (false, _) => writeln!(out, "nothing was changed: this was a dry run"),
        (true, true) if !is_sure => {
            writeln!(out, "no other number is known to be lost; start the daemon: systemctl start punchgate")
        }
        (true, true) => writeln!(out, "no number is lost; start the daemon: systemctl start punchgate"),
        (true, false) => writeln!(
            out,
            "start the daemon: systemctl start punchgate; it reads the terminals' logs again, and lost punches that a \
             terminal still has come back under new numbers"
        ),
    }
}
