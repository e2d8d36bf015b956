//! What is wrong, from the ground up: this machine, its disk, the daemon, the way to the broker, the terminals.
//!
//! Each check is named, tells what it saw and, when that is not well, what to do. A check that a lower one explains is not
//! tried, so that the first thing that is wrong is the cause and not one of its consequences. Nothing is changed: the disk is
//! tried with a file that is removed again, the broker with a message that says nothing, terminals are only asked.
//!
//! It works while the daemon runs, and then asks it instead of disturbing its connections; and it works when it does not.

mod broker;
mod disk;
mod finding;
mod machine;
mod terminal;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    config::{self, Config, counted},
    console::{self, Answer, ConditionLine, Request, Status, TerminalLine},
    drivers::DRIVERS,
};
pub use finding::{Check, Finding, Outcome, Told};
use finding::{both, fixed};

/// What is examined.
#[derive(Debug, Clone)]
pub struct Examination {
    pub config: PathBuf,
    /// Only this terminal; without it all.
    pub terminal: Option<String>,
}

/// Everything that was looked at, from the ground up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub at: Timestamp,
    pub version: &'static str,
    pub findings: Vec<Finding>,
}

impl Report {
    /// What to mend first: the lowest that is wrong, or else the lowest that is odd.
    pub fn first_cause(&self) -> Option<&Finding> {
        let first = |outcome| self.findings.iter().find(|finding| finding.outcome == outcome);
        first(Outcome::Wrong).or_else(|| first(Outcome::Odd))
    }

    /// Whether nothing is wrong; what is odd may stay so.
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.outcome != Outcome::Wrong)
    }
}

/// What the running daemon says of itself.
struct Daemon {
    status: Status,
    terminals: Vec<TerminalLine>,
    conditions: Vec<ConditionLine>,
}

/// The daemon answers at once or does not answer at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at everything; takes some seconds, and a quarter of a minute for a terminal that does not answer.
pub async fn examine(examination: &Examination) -> Report {
    let mut findings = Vec::new();
    let config = config(&examination.config, &mut findings);
    let state_dir = match &config {
        Some(config) => Some(config.gateway.state_dir.clone()),
        None => config::places(&examination.config).ok().map(|places| places.state_dir),
    };
    let min_free = config.as_ref().map_or(0, |config| config.spool.min_free_bytes);
    let holdings = disk::examine(state_dir.as_deref(), min_free, &mut findings).await;
    machine::examine(state_dir.as_deref(), &mut findings);
    let daemon = daemon(&examination.config).await;
    let daemon = told(daemon, &mut findings);
    if let Some(config) = config {
        for broker in &config.mqtt.brokers {
            broker::examine(&config, broker, daemon.as_ref(), &mut findings).await;
        }
        terminal::examine(config, examination.terminal.as_deref(), daemon.as_ref(), holdings, &mut findings).await;
    }
    Report { at: Timestamp::now(), version: env!("CARGO_PKG_VERSION"), findings }
}

/// A daemon at work: it is asked, and its connections are not disturbed.
pub struct AtWork(Daemon);

impl AtWork {
    /// The one that works by this config, if it does.
    pub async fn find(config: &Path) -> Option<Self> {
        daemon(config).await.ok().map(Self)
    }

    /// What it knows of these terminals is not what is asked now: they are looked at anew.
    pub fn forget(&mut self, terminals: &[String]) {
        self.0.terminals.retain(|line| !terminals.contains(&line.name));
    }
}

/// The ways to the brokers of a config that need not lie anywhere yet.
pub async fn brokers(config: &Config, at_work: Option<&AtWork>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for broker in &config.mqtt.brokers {
        broker::examine(config, broker, at_work.map(|it| &it.0), &mut findings).await;
    }
    findings
}

/// The terminals of a config that need not lie anywhere yet.
pub async fn terminals(config: Config, at_work: Option<&AtWork>) -> Vec<Finding> {
    let mut findings = Vec::new();
    terminal::examine(config, None, at_work.map(|it| &it.0), disk::Holdings::new(), &mut findings).await;
    findings
}

/// This machine's clock, by which every punch is judged.
pub fn clock(state_dir: &Path) -> Finding {
    machine::clock(Some(state_dir))
}

/// The config, or `None` when it cannot be used.
fn config(path: &Path, findings: &mut Vec<Finding>) -> Option<Config> {
    let shown = path.display();
    match config::load(path, DRIVERS) {
        Ok(config) => {
            let (terminals, brokers) = (config.terminals.len(), config.mqtt.brokers.len());
            let (with_terminals, with_brokers) = (counted(terminals, "terminal"), counted(brokers, "broker"));
            let seen = both!(
                "{shown}: {with_terminals}, {with_brokers}" / "{shown}：{terminals} 台考勤机，{brokers} 个消息服务器"
            );
            let finding = Check::Config.well(seen);
            findings.push(match config.warnings.first() {
                None => finding,
                Some(warning) => {
                    let warning = warning.to_string();
                    Check::Config.odd(
                        both!("{warning}" / "{warning}"),
                        fixed(
                            "Run punchgate check; it names each key with its mend.",
                            "运行 punchgate check，它会逐项给出改法。",
                        ),
                    )
                }
            });
            Some(config)
        }
        Err(rejected) => {
            let words = rejected.to_string();
            findings.push(Check::Config.wrong(
                both!("{words}" / "{words}"),
                fixed(
                    "Mend what is named here; punchgate check tells it again.",
                    "按上述提示修改；可用 punchgate check 再次检查。",
                ),
            ));
            None
        }
    }
}

/// Asks the daemon; an error is why it does not answer.
async fn daemon(config: &Path) -> Result<Daemon, String> {
    // Where it listens is told by the config as far as that can be read at all.
    let places = config::places(config).map_err(|_| "where it listens stands in the config".to_owned())?;
    let mut why = String::new();
    for socket in places.sockets {
        match timeout(PATIENCE, everything(&socket)).await {
            Ok(Ok(daemon)) => return Ok(daemon),
            Ok(Err(error)) => why = error,
            Err(_) => why = format!("nothing comes from {} within {} s", socket.display(), PATIENCE.as_secs()),
        }
    }
    Err(why)
}

async fn everything(socket: &Path) -> Result<Daemon, String> {
    let mut daemon: Option<Daemon> = None;
    for request in [Request::Status, Request::Terminals, Request::Conditions] {
        let answers = console::ask(socket, &request).await.map_err(|error| words(&error))?;
        for answer in answers.all().await.map_err(|error| words(&error))? {
            match (answer, &mut daemon) {
                (Answer::Status(status), _) => {
                    daemon = Some(Daemon { status: *status, terminals: vec![], conditions: vec![] });
                }
                (Answer::Terminal(terminal), Some(daemon)) => daemon.terminals.push(*terminal),
                (Answer::Condition(condition), Some(daemon)) => daemon.conditions.push(*condition),
                _ => return Err("it answers something else: it is of another version".into()),
            }
        }
    }
    daemon.ok_or_else(|| "it answers nothing".into())
}

/// An error with what is behind it.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words += &format!(": {error}");
        source = error.source();
    }
    words
}

fn told(daemon: Result<Daemon, String>, findings: &mut Vec<Finding>) -> Option<Daemon> {
    match daemon {
        Ok(daemon) => {
            let Status { version, uptime_s, .. } = &daemon.status;
            findings.push(if version == env!("CARGO_PKG_VERSION") {
                Check::Daemon
                    .well(both!("version {version}, up for {uptime_s} s" / "版本 {version}，已运行 {uptime_s} 秒"))
            } else {
                let ours = env!("CARGO_PKG_VERSION");
                Check::Daemon.odd(
                    both!("it is version {version}, this is {ours}" / "正在运行的是 {version}，本程序是 {ours}"),
                    fixed("Restart it: systemctl restart punchgate.", "请重启：systemctl restart punchgate。"),
                )
            });
            Some(daemon)
        }
        Err(why) => {
            findings.push(
                if findings.iter().any(|it| it.check == Check::Config.name() && it.outcome == Outcome::Wrong) {
                    Check::Daemon.skipped(Check::Config)
                } else {
                    Check::Daemon.wrong(
                        both!("{why}" / "{why}"),
                        fixed(
                            "Start it: systemctl start punchgate; what it said last: journalctl -u punchgate -n 50.",
                            "请启动：systemctl start punchgate；最近日志：journalctl -u punchgate -n 50。",
                        ),
                    )
                },
            );
            None
        }
    }
}
