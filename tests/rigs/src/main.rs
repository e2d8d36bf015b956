//! Fault rigs: the real program between simulated terminals and real brokers, while something is broken on purpose.
//!
//! Every rig is seeded and judged from outside: by what the terminals recorded and by what a subscriber of its own received.
//! Nothing that a rig breaks holds any of that. `tests/rigs/run` builds and starts this; `docs/reliability.md` says what the
//! columns mean and holds the results.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table on standard output is what it is for")]

mod anatomy;
mod broker;
#[path = "../../support/certs.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use more of it")]
mod certs;
mod chaos;
mod clock;
mod cluster;
mod copies;
mod daemon;
mod damage;
mod fuzz;
mod kill;
mod mosquitto;
mod nats;
mod network;
mod oracle;
mod power;
mod proxy;
mod row;
mod storage;
#[path = "../../../fuzz/src/targets.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with fuzz/, which uses more of it")]
mod targets;
mod terminals;
mod unwrap;
mod volume;
mod wires;
mod witness;
mod world;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use self::row::Report;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rig {
    Kill,
    Power,
    Storage,
    Network,
    Broker,
    Cluster,
    Clock,
    Chaos,
    Fuzz,
    /// The short forms of all of them.
    All,
}

/// What is asked of a rig.
#[derive(Debug, Clone, Parser)]
#[command(name = "tests/rigs/run")]
pub(crate) struct Plan {
    #[arg(required = true)]
    rigs: Vec<Rig>,
    /// Leave out what takes minutes by its nature, as `all` does.
    #[arg(long)]
    brief: bool,
    /// The full form: hours. Its rows are added to docs/reliability.md.
    #[arg(long)]
    pub(crate) full: bool,
    /// Decides all that is left to chance.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How often it is done, in place of the form's own number.
    #[arg(long)]
    pub(crate) count: Option<u64>,
    /// The gateway's program.
    #[arg(long)]
    pub(crate) binary: PathBuf,
    /// Adds the rows to docs/reliability.md, though it is the short form.
    #[arg(long)]
    pub(crate) record: bool,
    /// Only those cases of a rig whose name has this word in it.
    #[arg(long)]
    pub(crate) only: Option<String>,
    #[arg(skip)]
    stopped: Arc<AtomicBool>,
}

impl Plan {
    /// How often: as asked, or as this form has it.
    pub(crate) fn times(&self, short: u64, full: u64) -> u64 {
        self.count.unwrap_or(if self.full { full } else { short })
    }

    /// Somebody asked it to end (SIGINT or SIGTERM): what was done so far is judged.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn is_brief(&self) -> bool {
        self.brief || self.rigs.contains(&Rig::All)
    }

    pub(crate) fn wants(&self, case: &str) -> bool {
        self.only.as_ref().is_none_or(|only| case.contains(only))
    }
}

fn main() -> ExitCode {
    let mut plan = Plan::parse();
    let done = (|| {
        plan.binary = plan.binary.canonicalize().with_context(|| format!("{} is not here", plan.binary.display()))?;
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(run(&plan))
    })();
    match done {
        Ok(report) if report.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            println!("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let mut report = Report::new(plan);
    let stopped = plan.stopped.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stopped.store(true, Ordering::Relaxed);
    });
    let wanted = |rig| plan.rigs.contains(&rig) || plan.rigs.contains(&Rig::All);
    if wanted(Rig::Kill) {
        kill::run(plan, &mut report).await?;
    }
    if wanted(Rig::Power) {
        power::run(plan, &mut report).await?;
    }
    if wanted(Rig::Storage) {
        storage::run(plan, &mut report).await?;
    }
    if wanted(Rig::Network) {
        network::run(plan, &mut report).await?;
    }
    if wanted(Rig::Broker) {
        broker::run(plan, &mut report).await?;
    }
    if wanted(Rig::Cluster) {
        cluster::run(plan, &mut report).await?;
    }
    if wanted(Rig::Clock) {
        clock::run(plan, &mut report).await?;
    }
    if wanted(Rig::Chaos) {
        chaos::run(plan, &mut report).await?;
    }
    if wanted(Rig::Fuzz) {
        fuzz::run(plan, &mut report)?;
    }
    report.close();
    Ok(report)
}
