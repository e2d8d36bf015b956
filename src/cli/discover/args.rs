//! The arguments of `punchgate discover`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{cli::args::period, discover::Network};

#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// Where to look, as in 192.0.2.0/24, or single addresses; at most 4096 addresses each [default: this machine's own networks]
    #[arg(value_name = "NETWORK")]
    pub networks: Vec<Network>,
    /// Another port than the protocol's own, as in zk=14370
    #[arg(long = "port", value_name = "DRIVER=PORT", value_parser = port)]
    pub ports: Vec<(String, u16)>,
    /// Listen for so long for terminals that dial in (ADMS), as in 2m: their menu must name this machine and port 8081
    #[arg(long, value_name = "TIME", value_parser = period)]
    pub listen: Option<Duration>,
    /// Questions a second
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "1500ms", value_parser = period)]
    pub wait: Duration,
    /// The config: who stands in it is left alone
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// The folder of serial adapters
    #[arg(long, value_name = "DIR", default_value = crate::discover::BY_ID, hide = true)]
    pub by_id: PathBuf,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

pub(in crate::cli) fn port(text: &str) -> Result<(String, u16), String> {
    let parts = text.split_once('=').and_then(|(driver, port)| Some((driver.to_owned(), port.parse().ok()?)));
    parts.filter(|(_, port)| *port != 0).ok_or_else(|| "write a driver and its port, as in zk=14370".into())
}
