//! Every command and argument, with the help that a tired installer reads.

mod backup;
mod demo;
mod journal;
mod look;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use driver_api::Period;

use super::{discover::DiscoverArgs, setup::SetupArgs, words};
use crate::logging::Format;

pub(super) use backup::{BackupArgs, BackupCommand, ListArgs, ReadArgs, RestoreArgs};
pub use demo::DemoArgs;
#[cfg(feature = "demo")]
pub use demo::{DemoPart, DemoPartArgs};
pub(super) use journal::{
    AcknowledgeArgs, DiskArgs, ExportArgs, ExportFormat, ImportArgs, JournalCommand, ProofArgs, RepairArgs, VerifyArgs,
};
pub(super) use look::{
    AcknowledgeIncidentArgs, BundleArgs, DoctorArgs, IncidentsArgs, IncidentsCommand, PunchesArgs, ReportArgs,
    WatchArgs, WhyArgs,
};

const CODES: &str = "\
Exit codes:
  0   done
  1   it failed, or what was looked at is not in order
  2   the arguments make no sense
  3   journal verify: nothing is damaged any more, and what is missing is recorded as lost
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
    /// Set a gateway up: asks, finds terminals, proves each step, writes the config, starts it, waits for the first punch
    ///
    /// On a terminal it asks with arrow keys for what no flag says; in a script flags say everything, and --yes writes. The broker, each
    /// terminal and the clock are tried before anything is written, and nothing is written before the summary is confirmed. Run again over
    /// a config that works, it proposes what stands there, keeps everything else in it, and keeps a copy aside.
    #[command(
        after_long_help = "Examples:\n  punchgate setup\n  punchgate setup --enrol /media/usb/sz-03.enrol --lang zh\n  punchgate setup --enrol sz-03.enrol --terminal front-door=zk:tcp://192.0.2.10:4370 --comm-key-file front-door=key.txt --yes --wait-punch 5m\n  punchgate setup --id sz-03 --tenant acme --zone Asia/Shanghai --broker mqtts://broker.example:8883 --ca-file ca.pem --cert-file gateway.pem --key-file gateway.key --discover --dry-run"
    )]
    Setup(Box<SetupArgs>),
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
    #[cfg_attr(not(feature = "demo"), command(hide = true))]
    #[command(
        after_long_help = "Examples:\n  punchgate demo\n  punchgate demo --for 30s --outage\n  punchgate demo --all-drivers\n  punchgate demo --for 1m --faults --terminals 20 --keep ./demo"
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
    /// List incidents: what is open, whose it is, and how long there is to mend it
    ///
    /// A condition of severity high or medium is an incident from the moment it is shown: it has a number, and a target
    /// (section incidents of the config). It is escalated before the target is reached, and what breached it stays known for ever.
    #[command(
        after_long_help = "Examples:\n  punchgate incidents\n  punchgate incidents --all --json | jq 'select(.breached)'\n  punchgate incidents acknowledge 17 --by li-wei\n  punchgate incidents evidence 17"
    )]
    Incidents(IncidentsArgs),
    /// Look for what is wrong, from the ground up, and say what to mend first
    ///
    /// Config, disk, journal, memory, clock, the daemon, then each broker (name, route, port, TLS, login, acknowledgement) and
    /// each terminal. What a lower layer explains is not tried. It changes nothing, disturbs no connection of a running
    /// daemon, and works when the daemon does not. Exit code 1 when something is wrong.
    #[command(after_long_help = "Examples:\n  punchgate doctor\n  punchgate doctor front-door --lang zh")]
    Doctor(DoctorArgs),
    /// Pack all that support needs into one file, without secrets, names and cards
    ///
    /// The config masked, the doctor's report, what verifying the journal found, the state of every terminal, conditions, logs and
    /// versions: a tar archive compressed with zstd. It can be made when the daemon is dead. Quote the id that it prints.
    #[command(
        after_long_help = "Examples:\n  punchgate bundle\n  punchgate bundle --out /tmp/branch.tar.zst\n  tar --zstd -tf branch.tar.zst"
    )]
    Bundle(BundleArgs),
    /// Make a backup: config, keys and punches, encrypted, to a place elsewhere
    ///
    /// Beside a running daemon, which is not disturbed. Only what is new is sent, and all that is sent is read back. The gateway
    /// can make backups and read none: they are encrypted to recipients whose identity lies elsewhere. docs/backup.md.
    ///
    /// How a bucket of an object store is reached stands in the config, in its section backup. What is not there, and all of it
    /// for those who read a bucket elsewhere, says the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
    /// AWS_ENDPOINT_URL, AWS_REGION, AWS_CA_BUNDLE (PEM).
    #[command(
        after_long_help = "Examples:\n  punchgate backup\n  punchgate backup --to /mnt/usb/sz-03 --recipient age1...\n  punchgate backup --to s3://punchgate-backups/sz-03\n  punchgate backup list /mnt/backup/sz-03\n  punchgate backup verify /mnt/backup/sz-03 --identity punchgate-backup.key"
    )]
    Backup(BackupArgs),
    /// Put a backup back: a blank machine becomes the gateway again
    ///
    /// Everything is fetched, decrypted and checked beside its place first; then all of it takes its place, or nothing does. The
    /// restored gateway begins new ledgers, so that no number is ever given to two punches, and terminals with a log bring again
    /// what came after the backup. The machine that the backup is of must not go on beside it. How a bucket is reached is told by
    /// the environment, as punchgate backup --help says.
    #[command(
        after_long_help = "Examples:\n  punchgate restore /mnt/backup/sz-03 --identity punchgate-backup.key --start\n  punchgate restore s3://punchgate-backups/sz-03 --identity punchgate-backup.key --start\n  punchgate restore /mnt/backup/sz-03 --identity punchgate-backup.key --backup 000017-20261129T001530Z --replace"
    )]
    Restore(RestoreArgs),
    /// Find terminals on the networks here, and show the block that serves each
    ///
    /// Asks each address for ZKTeco, Anviz and Modbus, and by broadcast for UHPPOTE boards; gently, without a login, and nothing is
    /// written. Who stands in the config is left alone. Serial adapters are shown, and nothing is sent over them. Close other
    /// programs before: a terminal that serves one client may not answer, or leave that one.
    #[command(
        after_long_help = "Examples:\n  punchgate discover\n  punchgate discover 192.0.2.0/24 --listen 2m\n  punchgate discover 192.0.2.10 --port zk=14370 --json"
    )]
    Discover(DiscoverArgs),
    /// Compare a terminal's log with the ledger now, and read what is missing
    ///
    /// This happens by itself after each connect and at intervals; ask for it when you do not want to wait. It changes
    /// nothing on the terminal, and a punch that is here already is not added twice.
    #[command(
        after_long_help = "Examples:\n  punchgate reconcile front-door\n  punchgate reconcile front-door --from 2026-11-01 --to 2026-11-20"
    )]
    Reconcile(ReconcileArgs),
    /// Follow a punch from the terminal to the broker, or say where it is missing
    ///
    /// TIME is what the terminal's clock showed. With the daemon it also tells how things stand now; without it, what the disk
    /// knows. With --silent it says whether it is usual that nobody punches at a terminal in these hours.
    #[command(
        after_long_help = "Examples:\n  punchgate why 007 2026-11-20T08:58\n  punchgate why 007 08:58 --terminal front-door --within 2h\n  punchgate why --silent front-door"
    )]
    Why(WhyArgs),
    /// Check, copy out, repair and prove the punches on this disk
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
    /// Put a period on one page: availability, delays, clocks, gaps, capacity, incidents against their targets
    ///
    /// Reads the state folder only, and asks a running daemon for what stands on no disk (firmware). The page holds everything it
    /// shows, so that it can be sent and printed; with --json the same figures for programs.
    #[command(
        after_long_help = "Examples:\n  punchgate report --out report.html\n  punchgate report --from 2026-11-01 --to 2026-12-01 --lang zh --out november.html\n  punchgate report --json | jq .terminals"
    )]
    Report(ReportArgs),
    /// Watch all gateways of a tenant on one screen, worst first
    ///
    /// Needs no key to look, only a broker's user that may read `state`, `health` and `incident`; with your key, `a` acknowledges an
    /// incident, signed. Into a pipe it prints one look; with --json everything that is wrong, changes or is over, as it happens.
    #[command(
        after_long_help = "Examples:\n  punchgate watch\n  punchgate watch --filter \"high sz-\"\n  punchgate watch --json | jq -c 'select(.row.severity == \"high\")'\n  punchgate watch --once"
    )]
    Watch(WatchArgs),
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    En,
    Zh,
}

#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// As in the config
    #[arg(value_name = "TERMINAL")]
    pub terminal: String,
    /// Only punches from then on, by the terminal's clock: 2026-11-20 or 2026-11-20T08:00
    #[arg(long, value_name = "TIME", value_parser = words::from_wall)]
    pub from: Option<jiff::civil::DateTime>,
    /// Only punches up to then; a date alone means to its end
    #[arg(long, value_name = "TIME", value_parser = words::to_wall)]
    pub to: Option<jiff::civil::DateTime>,
    #[command(flatten)]
    pub ask: AskArgs,
}

pub(super) fn period(text: &str) -> Result<Duration, String> {
    Period::parse(text).map(|Period(period)| period).ok_or_else(|| "write a time such as 30s, 5m or 2h".into())
}
