//! Every command and argument, with the help that a tired installer reads.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use driver_api::Period;

use super::words;
use crate::logging::Format;

const CODES: &str = "\
Exit codes:
  0   done
  1   it failed, or what was looked at is not in order
  2   the arguments make no sense
  69  the daemon does not answer
  78  the config has problems

Files:
  /etc/punchgate/config.toml      the config
  /var/lib/punchgate              punches and state, unless gateway.state_dir says otherwise
  /run/punchgate/punchgate.sock   where the daemon answers, unless gateway.socket says otherwise";

/// Attendance gateway: from the wires of clocking terminals to MQTT, and nothing lost on the way.
///
/// Punchgate puts every punch on its own disk before a terminal may forget it, and keeps it until the broker has it. Start
/// with `punchgate check`; when the daemon runs, `punchgate status` says in one line what is wrong and what to do.
#[derive(Debug, Parser)]
#[command(name = "punchgate", version, after_long_help = CODES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway until it is told to stop
    ///
    /// This is what the unit starts. SIGTERM ends it within ten seconds; SIGHUP reads the config again and leaves terminals
    /// alone that did not change.
    #[command(
        after_long_help = "Examples:\n  punchgate run\n  punchgate run --config ./config.toml --log text --log-level debug"
    )]
    Run(RunArgs),
    /// Look through a config and tell every problem at once
    ///
    /// Nothing is opened, bound or dialled, so it is safe beside a running gateway. Each problem comes with its key, its
    /// value, why it cannot be, and how to mend it.
    #[command(after_long_help = "Examples:\n  punchgate check\n  punchgate check --config ./config.toml --json")]
    Check(CheckArgs),
    /// Show a whole gateway at work, with nothing to install
    ///
    /// Starts a broker with TLS, simulated terminals that speak real bytes, and the real daemon, all on this machine alone.
    /// At the end it counts: what was punched, what is durable, what was delivered.
    #[command(
        after_long_help = "Examples:\n  punchgate demo\n  punchgate demo --for 30s --outage\n  punchgate demo --for 1m --faults --terminals 20 --keep ./demo"
    )]
    Demo(DemoArgs),
    /// A process of the demo's own, started by it
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    DemoPart(DemoPartArgs),
    /// Say in one line what is wrong and what to do, then how things stand
    #[command(after_long_help = "Examples:\n  punchgate status\n  punchgate status --json | jq .queue.undelivered")]
    Status(AskArgs),
    /// List the terminals: which are served, which are not, and since when
    #[command(
        after_long_help = "Examples:\n  punchgate terminals\n  punchgate terminals --json | jq 'select(.state != \"online\")'"
    )]
    Terminals(AskArgs),
    /// Show recent punches, or watch them arrive
    #[command(
        after_long_help = "Examples:\n  punchgate punches --follow\n  punchgate punches --terminal front-door --since 2h\n  punchgate punches --person 007 --since 2026-11-20 --limit 500"
    )]
    Punches(PunchesArgs),
    /// List everything that is wrong now, with its cause and its mend
    #[command(
        after_long_help = "Examples:\n  punchgate conditions\n  punchgate conditions --json | jq -r 'select(.severity == \"high\") | .mend'"
    )]
    Conditions(AskArgs),
    /// Compare a terminal's log with the ledger now, and read what is missing
    ///
    /// This happens by itself after each connect and at intervals; ask for it when you do not want to wait. It changes
    /// nothing on the terminal, and a punch that is here already is not added twice.
    #[command(after_long_help = "Example:\n  punchgate reconcile front-door")]
    Reconcile(ReconcileArgs),
    /// Check or copy out the punches on this disk; the daemon may run or not
    Journal {
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// Support a gateway from afar: sign an order, send it over the broker, follow it to its end
    ///
    /// Your own key signs, the broker only carries, and the gateway judges. See docs/remote-support.md for the keys and
    /// docs/commands.md for what can be ordered.
    #[command(
        after_long_help = "Examples:\n  punchgate remote sz-03 health\n  punchgate remote sz-03 reconcile front-door --reason \"TICKET-12: punches of Monday\"\n  punchgate remote sz-03 terminal.unlock front-door seconds=5 --reason \"fire drill\""
    )]
    Remote(super::remote::RemoteArgs),
    /// What was asked of this gateway from afar and on site, chained by hashes; the daemon may run or not
    Audit {
        #[command(subcommand)]
        command: super::audit::AuditCommand,
    },
    /// Print what a shell needs to complete punchgate's arguments
    #[command(after_long_help = "Example:\n  punchgate completions bash > /etc/bash_completion.d/punchgate")]
    Completions { shell: Shell },
    /// Write the man pages into a folder
    #[command(after_long_help = "Example:\n  punchgate man /usr/local/share/man/man1")]
    Man {
        /// A folder that is there
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The config
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// How the log looks: `auto` is the systemd journal under systemd, and text on stderr otherwise
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub log: LogFormat,
    /// error, warn, info, debug or trace, or a filter; user numbers are seen from debug on [default: PUNCHGATE_LOG, else info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Auto => Self::Auto,
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The config
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End by itself after so long, as in 30s or 5m; without it Ctrl-C ends it
    #[arg(long = "for", value_name = "TIME", value_parser = period)]
    pub duration: Option<Duration>,
    /// So many simulated terminals, 1 to 200, of different forms in turn
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub terminals: u16,
    /// Take the broker away in the middle, and show the backlog grow and drain
    #[arg(long)]
    pub outage: bool,
    /// Cut and corrupt the terminals' lines all the while
    #[arg(long)]
    pub faults: bool,
    /// Keep the demo's state in this folder instead of removing it
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub log: LogArgs,
}

/// What the demo tells a process of its own.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub struct DemoPartArgs {
    /// The demo's process id: the part ends with it
    #[arg(long, value_name = "PID")]
    pub parent: u32,
    #[command(subcommand)]
    pub part: DemoPart,
}

#[cfg(feature = "demo")]
#[derive(Debug, Subcommand)]
pub enum DemoPart {
    Broker {
        #[arg(long, value_name = "DIR")]
        keys: PathBuf,
        #[arg(long, value_name = "PORT")]
        port_v5: u16,
        #[arg(long, value_name = "PORT")]
        port_v311: u16,
    },
    Gateway {
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Which daemon, and how the answer looks.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// The daemon's config, to find its socket [default: /etc/punchgate/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The daemon's socket
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub socket: Option<PathBuf>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
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
pub struct ReconcileArgs {
    /// As in the config
    #[arg(value_name = "TERMINAL")]
    pub terminal: String,
    #[command(flatten)]
    pub ask: AskArgs,
}

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line
    Jsonl,
    /// A header and one line a punch, in UTF-8
    Csv,
}

fn period(text: &str) -> Result<Duration, String> {
    Period::parse(text).map(|Period(period)| period).ok_or_else(|| "write a time such as 30s, 5m or 2h".into())
}
