//! The arguments of `punchgate backup` and `punchgate restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArgs {
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    /// The config
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Where to: the path of a folder, or s3://BUCKET/PREFIX [default: backup.target of the config]
    #[arg(long, value_name = "TARGET")]
    pub to: Option<String>,
    /// Who shall be able to read it; may stand several times [default: backup.recipients of the config]
    #[arg(long, value_name = "age1...")]
    pub recipient: Vec<String>,
    /// Decrypt what is read back, too; without it its hash is compared
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Read back what earlier backups have brought, too
    #[arg(long)]
    pub read_all: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// List the backups of a target, newest first; needs no identity
    #[command(after_long_help = "Example:\n  punchgate backup list /mnt/backup/sz-03")]
    List(ListArgs),
    /// Read a whole backup as a restore would, and change nothing
    ///
    /// Every signature, hash and size, then the journal with every checksum and chain. Do this now and then on another machine,
    /// where the identity lies.
    #[command(
        after_long_help = "Example:\n  punchgate backup verify /mnt/backup/sz-03 --identity ~/punchgate-backup.key"
    )]
    Verify(VerifyBackupArgs),
    /// Make an identity: the file that reads backups, and the recipient for the config
    ///
    /// Make it on another machine than the gateway, and keep it there: who has the file reads every backup, and without it no
    /// backup can ever be read. It is an age identity; age-keygen makes the same.
    #[command(after_long_help = "Example:\n  punchgate backup keygen punchgate-backup.key")]
    Keygen {
        /// A new file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// A target: the path of a folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReadArgs {
    /// A target: the path of a folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// The identity that opens it
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// Which one [default: the newest]
    #[arg(long, value_name = "ID")]
    pub backup: Option<String>,
    /// The gateway that must have signed it, as punchgate status shows its key
    #[arg(long, value_name = "ed25519:...")]
    pub gateway_key: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct VerifyBackupArgs {
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub read: ReadArgs,
    /// Where the config and its files go
    #[arg(long, value_name = "DIR", default_value = "/etc/punchgate")]
    pub config_dir: PathBuf,
    /// Where punches and state go [default: as the restored config says]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Take the place of what is there, which is kept aside
    #[arg(long)]
    pub replace: bool,
    /// Start the gateway's unit when all is in its place
    #[arg(long)]
    pub start: bool,
}
