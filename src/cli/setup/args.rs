//! The arguments of `punchgate setup`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    cli::{
        args::{Language, period},
        discover::port,
    },
    discover::Network,
    setup::{Answers, Source, Terminal},
};

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// This gateway's name, as in sz-03: part of every topic
    #[arg(long, value_name = "NAME")]
    pub id: Option<String>,
    /// Whose gateway it is, as in acme: part of every topic
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// The zone in which the terminals' clocks run, as in Asia/Shanghai [default: this machine's, if it is not UTC]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// The broker, as in mqtts://broker.example:8883; several times for an order of fail-over
    #[arg(long = "broker", value_name = "URL")]
    pub brokers: Vec<String>,
    /// The CA that signed the broker's certificate, in PEM
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// This gateway's certificate, in PEM
    #[arg(long, value_name = "FILE")]
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate, in PEM; credential:NAME takes it from systemd, and copies nothing
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The user at the broker, where it wants one
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file with that user's password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// A one-line enrolment file: it brings site, broker and credentials
    #[arg(long, value_name = "FILE")]
    pub enrol: Option<PathBuf>,
    /// A terminal, as in front-door=zk:tcp://192.0.2.10:4370; more keys of its block behind commas, as in ,timeout=10s
    #[arg(long = "terminal", value_name = "NAME=DRIVER:ADDRESS")]
    pub terminals: Vec<Terminal>,
    /// A file with a terminal's comm key, as in front-door=key.txt; without NAME= for every terminal that asks for one
    #[arg(long = "comm-key-file", value_name = "[NAME=]FILE", value_parser = comm_key)]
    pub comm_keys: Vec<(Option<String>, PathBuf)>,
    /// Where a driver listens for terminals that call us, as in zk-push=192.0.2.2:8081
    #[arg(long, value_name = "DRIVER=ADDRESS:PORT", value_parser = listen)]
    pub listen: Vec<(String, SocketAddr)>,
    /// Look for terminals, and take all that are known for sure
    #[arg(long)]
    pub discover: bool,
    /// Do not look for terminals
    #[arg(long, conflicts_with = "discover")]
    pub no_discover: bool,
    /// Where to look, as in 192.0.2.0/24,198.51.100.7 [default: this machine's own networks]
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    pub networks: Vec<Network>,
    /// Look at another port than the protocol's own, as in zk=14370
    #[arg(long = "port", value_name = "DRIVER=PORT", value_parser = port)]
    pub ports: Vec<(String, u16)>,
    /// The folder of serial adapters
    #[arg(long, value_name = "DIR", default_value = crate::discover::BY_ID, hide = true)]
    pub by_id: PathBuf,
    /// The folder below which systemd keeps credentials
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub credentials_below: PathBuf,
    /// Where the config goes; keys lie beside it
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Where punches and state lie [default: /var/lib/punchgate]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Begin anew where the config that lies there has problems; it is kept aside
    #[arg(long)]
    pub anew: bool,
    /// Ask nothing: write when everything was proved
    #[arg(long)]
    pub yes: bool,
    /// Write it although something could not be proved
    #[arg(long)]
    pub unproven: bool,
    /// Prove everything and show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not start the gateway
    #[arg(long)]
    pub no_start: bool,
    /// Wait so long for the first punch, as in 5m; 0s: not at all [default: 10m on a terminal, else 0s]
    #[arg(long, value_name = "TIME", value_parser = waiting)]
    pub wait_punch: Option<Duration>,
    /// Language of the words [default: as LANG says]
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    pub lang: Option<Language>,
}

impl SetupArgs {
    /// What was answered by flags.
    pub(super) fn answers(&self) -> std::io::Result<Answers> {
        let file = |path: &Option<PathBuf>| path.as_deref().map(Source::told).transpose();
        let mut terminals = self.terminals.clone();
        for (name, path) in &self.comm_keys {
            let source = Source::told(path)?;
            for terminal in &mut terminals {
                let meant =
                    name.as_ref().map_or_else(|| takes_comm_key(&terminal.driver), |name| *name == terminal.name);
                if meant {
                    terminal.give(COMM_KEY, source.clone());
                }
            }
        }
        Ok(Answers {
            id: self.id.clone(),
            tenant: self.tenant.clone(),
            zone: self.zone.clone(),
            state_dir: self.state_dir.as_ref().map(std::path::absolute).transpose()?,
            brokers: self.brokers.clone(),
            ca: file(&self.ca_file)?,
            cert: file(&self.cert_file)?,
            key: file(&self.key_file)?,
            user: self.user.clone(),
            password: file(&self.password_file)?,
            dropped: vec![],
            terminals,
            listen: self.listen.iter().cloned().collect(),
        })
    }
}

pub(super) const COMM_KEY: &str = "comm_key_file";

pub(super) fn takes_comm_key(driver: &str) -> bool {
    crate::setup::example_keys(driver).iter().any(|(key, _)| key == COMM_KEY)
}

fn comm_key(text: &str) -> Result<(Option<String>, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !path.is_empty() => Ok((Some(name.to_owned()), path.into())),
        Some(_) => Err("write a terminal's name and a file, as in front-door=key.txt".into()),
        None => Ok((None, text.into())),
    }
}

fn listen(text: &str) -> Result<(String, SocketAddr), String> {
    let parts = text.split_once('=').and_then(|(driver, at)| Some((driver.to_owned(), at.parse().ok()?)));
    parts
        .filter(|(driver, _)| crate::drivers::find(driver).is_some())
        .ok_or_else(|| "write a driver and an address of this machine, as in zk-push=192.0.2.2:8081".into())
}

fn waiting(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { period(text) }
}
