//! A whole small world: terminals with people at them, the gateway, a broker, a witness, and the oracle.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    sync::RwLock,
    time::{sleep, timeout},
};

use crate::{
    Plan,
    daemon::Daemon,
    mosquitto::{Mosquitto, free_port},
    oracle::{Oracle, Verdict},
    row::Row,
    terminals::{Fleet, People},
    witness::Witness,
};

/// What may differ between worlds.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Lines of `[mqtt]`, in place of those for mosquitto.
    pub(crate) mqtt: Option<String>,
    /// Where the witness listens, in place of mosquitto.
    pub(crate) witness: Option<Vec<u16>>,
    pub(crate) spool: String,
    /// In place of a folder of the world's own.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) persistence: bool,
    pub(crate) rate: f64,
    pub(crate) ack_timeout: &'static str,
    /// The terminals' zone, as the config says.
    pub(crate) zone: &'static str,
    /// Where the gateway listens for terminals that dial, in place of a free port.
    pub(crate) push_listen: Option<SocketAddr>,
    /// Where those terminals find it, in place of there.
    pub(crate) push_server: Option<SocketAddr>,
    /// More lines of `[driver.zk-push]`.
    pub(crate) push_lines: String,
}

impl Default for Settings {
    fn default() -> Self {
        let spool = "min_free = \"1MiB\"\n".into();
        Self {
            mqtt: None,
            witness: None,
            spool,
            state_dir: None,
            persistence: true,
            rate: 40.0,
            ack_timeout: "5s",
            zone: "UTC",
            push_listen: None,
            push_server: None,
            push_lines: String::new(),
        }
    }
}

pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) broker: Option<Mosquitto>,
    pub(crate) witness: Witness,
    pub(crate) fleet: Arc<RwLock<Fleet>>,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) settings: Settings,
    people: People,
    /// Where the gateway listens for terminals.
    pub(crate) push: SocketAddr,
    folder: TempDir,
}

impl World {
    /// Everything but the gateway runs, and people punch.
    pub(crate) async fn new(plan: &Plan, settings: Settings) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("punchgate-rig-").tempdir()?;
        let oracle = Arc::new(Oracle::new(folder.path())?);
        let broker = match settings.mqtt {
            None => Some(Mosquitto::start(folder.path(), settings.persistence)?),
            Some(_) => None,
        };
        let ports = settings.witness.clone().or_else(|| broker.as_ref().map(|broker| vec![broker.plain_port]));
        let witness = Witness::start(ports.unwrap_or_default()).await?;
        let push = settings.push_listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
        let fleet = Fleet::new(oracle.clone(), settings.push_server.unwrap_or(push)).await?;
        fleet.set_rate(settings.rate);
        let fleet = Arc::new(RwLock::new(fleet));
        let people = People::begin(fleet.clone(), plan.seed);
        let daemon = Daemon::new(&plan.binary, folder.path());
        let world = Self { daemon, broker, witness, fleet, oracle, settings, people, push, folder };
        world.configure().await?;
        Ok(world)
    }

    /// Writes the gateway's config; it is read at the next start.
    pub(crate) async fn configure(&self) -> anyhow::Result<()> {
        let mqtt = self.settings.mqtt.clone();
        let own = || self.broker.as_ref().map(|broker| broker.tls_lines(broker.tls_port));
        let text = format!(
            "[gateway]\nid = \"rig\"\ntenant = \"acme\"\nzone = \"{}\"\nstate_dir = \"{}\"\nsocket = \"{}\"\n\n\
             [mqtt]\n{}ack_timeout = \"{}\"\n\n[spool]\n{}\n[driver.zk]\nreconcile = \"10s\"\n\n\
             [driver.zk-push]\nlisten = \"{}\"\npoll = \"2s\"\nerror_delay = \"1s\"\n{}\n{}",
            self.settings.zone,
            self.state_dir().display(),
            self.path("socket").display(),
            mqtt.or_else(own).unwrap_or_default(),
            self.settings.ack_timeout,
            self.settings.spool,
            self.push,
            self.settings.push_lines,
            self.fleet.read().await.blocks(),
        );
        Ok(fs::write(self.daemon.config(), text)?)
    }

    /// New terminals; they are in the config at the next start.
    pub(crate) async fn replace_terminals(&self) -> anyhow::Result<()> {
        self.fleet.write().await.replace().await?;
        self.configure().await
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.settings.state_dir.clone().unwrap_or_else(|| self.path("state"))
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until punches arrive that were not there before; `None`: none did in this time.
    pub(crate) async fn arrival(&self, limit: Duration) -> Option<Duration> {
        let begun = Instant::now();
        let mut arrivals = self.witness.arrivals();
        arrivals.mark_unchanged();
        timeout(limit, arrivals.changed()).await.ok()?.ok()?;
        Some(begun.elapsed())
    }

    /// Until so many of the first punches after that count have all arrived: a second of work is one at every terminal.
    pub(crate) async fn flow(
        &self,
        (count, since): (usize, Instant),
        punches: u64,
        limit: Duration,
    ) -> Option<Duration> {
        let mut next = 0;
        while since.elapsed() < limit {
            while next < punches && self.witness.seen().has(&(100_001 + count as u64 + next).to_string()) {
                next += 1;
            }
            if next == punches {
                return Some(since.elapsed());
            }
            sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// Nobody punches any more; waits until all has arrived, or until nothing new has for a while.
    pub(crate) async fn settle(&self, patience: Duration) {
        self.fleet.read().await.set_rate(0.0);
        sleep(Duration::from_millis(50)).await;
        let (mut since, mut before, mut cut) = (Instant::now(), 0, Instant::now());
        loop {
            let now = {
                let seen = self.witness.seen();
                if self.oracle.is_satisfied(&seen) {
                    return;
                }
                seen.persons()
            };
            if now != before {
                (before, since) = (now, Instant::now());
            }
            if since.elapsed() > patience {
                return;
            }
            if cut.elapsed() > Duration::from_secs(10) {
                self.fleet.read().await.cut();
                cut = Instant::now();
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn go_on(&self) {
        self.fleet.read().await.set_rate(self.settings.rate);
    }

    pub(crate) fn judge(&self) -> Verdict {
        self.oracle.judge(&self.witness.seen())
    }

    /// The end of a rig: all must arrive, the gateway must leave in order, its journal must be whole. What is known goes
    /// into the row, and everything is kept where it is not as it should be.
    pub(crate) async fn close(mut self, row: &mut Row) -> anyhow::Result<()> {
        if self.daemon.pid().is_none() {
            self.daemon.launch()?;
        }
        self.settle(Duration::from_secs(60)).await;
        row.verdict = self.judge();
        row.peak_rss_kib = row.peak_rss_kib.max(self.daemon.peak_kib());
        match self.daemon.stop().await {
            Ok(status) if status.success() => {}
            Ok(status) => row.complaints.push(format!("the gateway left with {status}")),
            Err(error) => row.complaints.push(error.to_string()),
        }
        let (report, whole) = self.daemon.verify(&self.state_dir())?;
        if !whole && !row.allows_damage {
            row.complaints.push(format!("journal verify: {}", report["faults"]));
        }
        drop(self.people);
        if !row.has_passed() {
            row.kept = self.folder.keep().display().to_string();
        }
        Ok(())
    }
}
