//! Arguments of the commands that look, explain and report.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{AskArgs, DiskArgs, Language};
use crate::{
    cli::{why, words},
    inquiry::Wall,
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct IncidentsArgs {
    #[command(subcommand)]
    pub command: Option<IncidentsCommand>,
    /// Those that are over too, oldest first
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Debug, Subcommand)]
pub enum IncidentsCommand {
    /// Say that somebody looks after an open incident; its clock goes on
    Acknowledge(AcknowledgeIncidentArgs),
    /// Print what was found out in its first minute, as JSON; the daemon may run or not
    Evidence(EvidenceArgs),
}

#[derive(Debug, Args)]
pub struct AcknowledgeIncidentArgs {
    /// Its number
    #[arg(value_name = "NUMBER")]
    pub number: u64,
    /// Who looks after it [default: your own user name]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Debug, Args)]
pub struct EvidenceArgs {
    /// Its number
    #[arg(value_name = "NUMBER")]
    pub number: u64,
    /// The config, to find gateway.state_dir [default: /etc/punchgate/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder itself
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct PunchesArgs {
    /// Only of this terminal
    #[arg(long, value_name = "NAME")]
    pub terminal: Option<String>,
    /// Only of this person, letter by letter: 007 is not 7
    #[arg(long, value_name = "NUMBER")]
    pub person: Option<String>,
    /// Only from then on: 2h, 3d, 2026-11-20, 2026-11-20T08:00 (by this machine's clock and zone)
    #[arg(long, value_name = "TIME", value_parser = words::instant)]
    pub since: Option<jiff::Timestamp>,
    /// The latest so many
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub limit: usize,
    /// Stay, and show punches as they become durable
    #[arg(long, short)]
    pub follow: bool,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Of the terminals only this one, as in the config
    #[arg(value_name = "TERMINAL")]
    pub terminal: Option<String>,
    /// The config
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Language of the words [default: as LANG says]
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    pub lang: Option<Language>,
    /// Print the report as one JSON object, in both languages
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The config
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// A new file [default: punchgate-bundle-ID.tar.zst here]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The end of this log goes in where the daemon does not answer [default: what systemd kept]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// From then on: 30d, 2026-11-01 [default: 30 days before the end]
    #[arg(long, value_name = "TIME", value_parser = words::instant)]
    pub from: Option<jiff::Timestamp>,
    /// Up to then [default: now]
    #[arg(long, value_name = "TIME", value_parser = words::instant)]
    pub to: Option<jiff::Timestamp>,
    /// A file, readable by you alone [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Language of the page [default: as LANG says]
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    pub lang: Option<Language>,
    /// Advisories in OSV format, to look the gateway's own parts up in [default: state_dir/advisories, if it is there]
    #[arg(long, value_name = "FILE | FOLDER")]
    pub advisories: Option<PathBuf>,
    /// The same figures as one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub disk: DiskArgs,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Your key, broker and gateways, as for `punchgate remote` [default: ~/.config/punchgate/remote.toml]
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Only what holds all these words: names, codes, severities
    #[arg(long, value_name = "WORDS")]
    pub filter: Option<String>,
    /// Language of the words [default: as LANG says]
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    pub lang: Option<Language>,
    /// Look once and leave
    #[arg(long)]
    pub once: bool,
    /// Print JSON, one object a line: what is wrong, what changed, what is over
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Letter by letter: 007 is not 7
    #[arg(value_name = "PERSON", required_unless_present = "silent", conflicts_with = "silent")]
    pub person: Option<String>,
    /// By the terminal's own clock: 2026-11-20T08:58, or 08:58 of its today (without --terminal, the gateway's)
    #[arg(value_name = "TIME", value_parser = why::wall_time, required_unless_present = "silent")]
    pub time: Option<Wall>,
    /// Only at this terminal
    #[arg(long, value_name = "NAME")]
    pub terminal: Option<String>,
    /// How far from TIME the punch may be, 31d at most
    #[arg(long, value_name = "TIME", value_parser = why::within, default_value = "30m")]
    pub within: Duration,
    /// Instead of a punch: is it usual that this terminal is silent now?
    #[arg(long, value_name = "TERMINAL")]
    pub silent: Option<String>,
    /// Read this folder instead of asking the daemon
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub ask: AskArgs,
}
