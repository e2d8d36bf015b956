//! The words of `punchgate remote`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RemoteArgs {
    #[command(subcommand)]
    pub command: Option<RemoteCommand>,
    #[command(flatten)]
    pub send: SendArgs,
}

#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// Make a key of your own, and print the line for the gateways' config
    #[command(after_long_help = "Example:\n  punchgate remote keygen --out ~/.config/punchgate/li-wei.jwk")]
    Keygen(KeygenArgs),
    /// Sign a dangerous order too, as its second person, and send it
    ///
    /// Waits for the first person's order, shows it, asks, signs and sends it. The two have a minute together.
    #[command(after_long_help = "Example:\n  punchgate remote approve sz-03")]
    Approve(ApproveArgs),
    /// Say for a whole fleet who may order what, signed by keys that lie in a safe
    Trust {
        #[command(subcommand)]
        command: super::trust::TrustCommand,
    },
}

#[derive(Debug, Args)]
pub struct SendArgs {
    /// Its gateway.id
    #[arg(value_name = "GATEWAY")]
    pub gateway: Option<String>,
    /// As in docs/commands.md
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// The terminal, if it is about one, and arguments as name=value
    #[arg(value_name = "TERMINAL | NAME=VALUE")]
    pub words: Vec<String>,
    /// Why: kept in the gateway's audit log. What only reads needs none
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Your key, broker and gateways [default: ~/.config/punchgate/remote.toml]
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Send a dangerous order without a second person, where the site allows it (approvals = 1)
    #[arg(long)]
    pub alone: bool,
    /// Do not ask before a dangerous order
    #[arg(long)]
    pub yes: bool,
    /// With the commands bundle and report: fetch it into this file; a fetch that was cut off goes on where it was
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print each answer as one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// A new file, readable by you alone
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Its gateway.id
    #[arg(value_name = "GATEWAY")]
    pub gateway: String,
    /// Only the order of this id
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Your key, broker and gateways [default: ~/.config/punchgate/remote.toml]
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Wait so many seconds for it
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub wait: u32,
    /// Do not ask before signing
    #[arg(long)]
    pub yes: bool,
    /// Print each answer as one JSON object
    #[arg(long)]
    pub json: bool,
}
