//! The arguments of `punchgate journal`: what is asked of, and done to, the punches on a disk.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::AskArgs;

#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Recompute every checksum and every chain, and say what is missing
    ///
    /// Reads only. Exit code 0 means that each ledger on this disk is whole from its first number kept to its last.
    #[command(
        after_long_help = "Examples:\n  punchgate journal verify\n  punchgate journal verify --state-dir /mnt/old-disk/punchgate"
    )]
    Verify(VerifyArgs),
    /// Copy punches out as JSON lines or CSV
    ///
    /// Reads only. All punches that this disk still holds, delivered or not, in the order in which they became durable.
    /// Persons and codes stand there exactly as terminals gave them; let no spreadsheet make 7 of 007.
    #[command(
        after_long_help = "Examples:\n  punchgate journal export --format csv --out punches.csv\n  punchgate journal export | jq -r .person | sort | uniq -c\n  punchgate journal export --set-aside"
    )]
    Export(ExportArgs),
    /// Bring punches out of another gateway's export into this one
    ///
    /// The daemon must be stopped. The punches get numbers in ledgers of this gateway and keep their ids, so that what is here
    /// already is dropped as a twin, and the same file can be imported twice. Every line is looked at before the first punch
    /// is stored; when one is bad, nothing is imported.
    #[command(
        after_long_help = "Examples:\n  punchgate journal import punches.jsonl --dry-run\n  punchgate journal import punches.csv"
    )]
    Import(ImportArgs),
    /// Say in a few lines what this disk has of a terminal's day, to compare it with the other side
    ///
    /// Reads only. Whoever receives the punches computes the same lines: docs/proof.md says how, tests/peers/proof.py does it.
    #[command(
        after_long_help = "Examples:\n  punchgate journal proof front-door 2026-11-20\n  punchgate journal proof front-door yesterday --json"
    )]
    Proof(ProofArgs),
    /// Make a damaged journal whole again, with every good record that is in it
    ///
    /// The daemon must be stopped. Only damaged files are written anew; what they were before is set aside in quarantine/,
    /// in a folder of its own, and nothing is ever deleted. Numbers that are lost are recorded as lost and stay missing for
    /// ever; terminals that still have a log bring those punches again, under new numbers.
    #[command(
        after_long_help = "Examples:\n  punchgate journal repair --dry-run\n  systemctl stop punchgate && punchgate journal repair && systemctl start punchgate"
    )]
    Repair(RepairArgs),
    /// Say that lost punches are known, so that nobody is told of them any more
    ///
    /// Ends the condition punches-lost. The numbers stay missing, and journal verify goes on telling of them.
    #[command(
        after_long_help = "Examples:\n  punchgate journal acknowledge front-door\n  punchgate journal acknowledge --all"
    )]
    Acknowledge(AcknowledgeArgs),
}

/// Which disk.
#[derive(Debug, Args)]
pub struct DiskArgs {
    /// The config, to find gateway.state_dir
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// The folder itself
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub disk: DiskArgs,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// What `journal export` has written, JSON lines or CSV
    pub file: PathBuf,
    /// The config of the gateway that takes the punches
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// What is in the file [default: by its name, csv or else jsonl]
    #[arg(long, value_enum)]
    pub format: Option<ExportFormat>,
    /// Leave bad lines out and import the others
    #[arg(long)]
    pub skip_bad: bool,
    /// Only look at every line; the daemon may run
    #[arg(long)]
    pub dry_run: bool,
    /// Print the counts as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ProofArgs {
    /// As in the config
    #[arg(value_name = "TERMINAL")]
    pub terminal: String,
    /// A date by the terminal's own clock, or its today or yesterday
    #[arg(value_name = "DAY", value_parser = crate::cli::journal::day)]
    pub day: crate::cli::journal::Day,
    #[command(flatten)]
    pub disk: DiskArgs,
    /// Print it as one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    pub disk: DiskArgs,
    /// Only say what would be done; the daemon may run
    #[arg(long)]
    pub dry_run: bool,
    /// Print what was done as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct AcknowledgeArgs {
    /// The terminal whose losses are known
    #[arg(value_name = "TERMINAL", required_unless_present = "all", conflicts_with = "all")]
    pub terminal: Option<String>,
    /// The losses of every terminal, and that the store was copied or restored
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub disk: DiskArgs,
    /// What is written
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
    /// The same as --format jsonl
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// A new file, readable by you alone; without it, standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Instead of punches, the raw records that make no punch, each with its reason
    #[arg(long)]
    pub set_aside: bool,
    /// Instead of punches, what stands between them, as JSON lines: when the broker confirmed which, how terminals stood, what
    /// was set aside or lost
    #[arg(long, conflicts_with_all = ["set_aside", "format"])]
    pub marks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line
    Jsonl,
    /// A header and one line a punch, in UTF-8
    Csv,
}
