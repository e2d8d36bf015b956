//! Arguments of the demo, and what it tells a process of its own.

use std::{path::PathBuf, time::Duration};

use clap::Args;
#[cfg(feature = "demo")]
use clap::Subcommand;

use super::{LogArgs, period};

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End by itself after so long, as in 30s or 5m; without it Ctrl-C ends it
    #[arg(long = "for", value_name = "TIME", value_parser = period)]
    pub duration: Option<Duration>,
    /// So many simulated terminals, 1 to 200. They take turns in five kinds: three that the gateway dials, of different
    /// forms, then two that push over HTTP, one for attendance and one for access control
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub terminals: u16,
    /// One simulated terminal for each driver instead: zk, zk-push, anviz, modbus, uhppote, and osdp and serial-ascii on
    /// pseudo terminals as their serial lines
    #[arg(long, conflicts_with = "terminals")]
    pub all_drivers: bool,
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
