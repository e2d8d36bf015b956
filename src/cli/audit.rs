//! `punchgate audit`: who asked what of this gateway, and whether anybody changed the record of it.

use std::{io::Write, path::PathBuf};

use clap::{Args, Subcommand};

use super::{
    FAILED, Failure, OK,
    args::DiskArgs,
    journal::state_dir,
    out::{Out, harmless},
};
use crate::audit;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Recompute the chain of the audit log, and say where it breaks
    ///
    /// Reads only. That the last entries are there, only the checkpoints tell that were sent away: compare number and hash.
    #[command(after_long_help = "Example:\n  punchgate audit verify")]
    Verify(AuditArgs),
    /// Show what was asked from afar and on site, and what came of it
    #[command(
        after_long_help = "Examples:\n  punchgate audit show --limit 20\n  punchgate audit show --json | jq 'select(.kind == \"refused\")'"
    )]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub disk: DiskArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The latest so many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: usize,
    #[command(flatten)]
    pub audit: AuditArgs,
}

pub(super) fn audit(command: &AuditCommand, out: &mut Out) -> Result<u8, Failure> {
    match command {
        AuditCommand::Verify(args) => verify(args, out),
        AuditCommand::Show(args) => show(args, out),
    }
}

fn folder(args: &AuditArgs) -> Result<PathBuf, Failure> {
    state_dir(&args.disk)
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::failed(format!("the audit log cannot be read: {error}"), "read it as root or as the gateway's user")
}

fn verify(args: &AuditArgs, out: &mut Out) -> Result<u8, Failure> {
    let report = audit::verify(&folder(args)?).map_err(unreadable)?;
    if args.json {
        out.json(&report)?;
    } else {
        for fault in &report.faults {
            writeln!(out, "{}", harmless(fault))?;
        }
        match (report.is_whole(), report.last) {
            (true, 0) => writeln!(out, "the audit log is empty")?,
            (true, last) => {
                writeln!(out, "entries {} to {last} are whole; the last hash is {}", report.first, report.head)?
            }
            (false, _) => writeln!(out, "the audit log is not what was written")?,
        }
    }
    Ok(if report.is_whole() { OK } else { FAILED })
}

fn show(args: &ShowArgs, out: &mut Out) -> Result<u8, Failure> {
    let entries: Vec<_> = audit::entries(&folder(&args.audit)?).map_err(unreadable)?.collect();
    let mut code = OK;
    for entry in entries.iter().skip(entries.len().saturating_sub(args.limit)) {
        match entry {
            Ok(entry) if args.audit.json => out.json(entry)?,
            Ok(entry) => {
                let data = harmless(&entry.data.to_string());
                writeln!(out, "{:>6}  {}  {:<12}  {data}", entry.n, entry.at.strftime("%F %T"), entry.kind)?;
            }
            Err(error) => {
                code = FAILED;
                writeln!(std::io::stderr(), "punchgate: {error}")?;
            }
        }
    }
    Ok(code)
}
