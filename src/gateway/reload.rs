//! The config at work: read again on SIGHUP, and with what is tried from afar laid over it for a while.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tracing::{error, info};

use super::door::Door;
use crate::{
    audit::Audit,
    command::{Policy, results::Trial, sha256},
    config::{self, Afar, GatewaySettings, Rejected},
    drivers::DRIVERS,
    health::{Code, Health},
    supervisor::{Applied, Supervisor},
};

pub(super) struct Reloader {
    path: PathBuf,
    state_dir: PathBuf,
    door: Arc<Door>,
    supervisor: Arc<Mutex<Supervisor>>,
    policy: watch::Sender<Arc<Policy>>,
    audit: Audit,
    settings: StdMutex<Settings>,
    /// One at a time.
    turn: Mutex<()>,
}

/// What was set from afar. A trial is in memory only: whatever ends this run ends the trial.
struct Settings {
    confirmed: Afar,
    trial: Option<Tried>,
}

struct Tried {
    set: String,
    key: String,
    afar: Afar,
    until: Instant,
}

impl Reloader {
    pub(super) fn new(
        gateway: &GatewaySettings,
        path: PathBuf,
        door: Arc<Door>,
        supervisor: Arc<Mutex<Supervisor>>,
        policy: watch::Sender<Arc<Policy>>,
        audit: Audit,
    ) -> anyhow::Result<Self> {
        let state_dir = gateway.state_dir.clone();
        let confirmed =
            Afar::read(&state_dir).map_err(anyhow::Error::msg).context("cannot read what was set from afar")?;
        let settings = StdMutex::new(Settings { confirmed, trial: None });
        Ok(Self { path, state_dir, door, supervisor, policy, audit, settings, turn: Mutex::new(()) })
    }

    /// Reads the config again: terminals that did not change are not disturbed, a bad file changes nothing.
    pub(super) async fn reload(&self, why: &str) -> Result<Applied, Rejected> {
        let _turn = self.turn.lock().await;
        self.apply(why).await
    }

    async fn apply(&self, why: &str) -> Result<Applied, Rejected> {
        let afar = {
            let settings = self.settings();
            settings.trial.as_ref().map_or(&settings.confirmed, |trial| &trial.afar).clone()
        };
        let loaded = config::load_with(&self.path, DRIVERS, &afar);
        let read = std::fs::read(&self.path).map(|bytes| sha256(&bytes)).unwrap_or_default();
        let told = json!({ "why": why, "sha256": read, "taken": loaded.is_ok() });
        if let Err(error) = self.audit.tell("config", told).await {
            error!(%error, "the audit log cannot be written");
        }
        let health: &Health = self.door.health();
        match loaded {
            Ok(config) => {
                self.door.set_zones(&config.terminals);
                health.set_groups(config.groups);
                let applied = self.supervisor.lock().await.apply(config.lines).await;
                self.policy.send_replace(Arc::new(config.policy));
                health.clear(Code::ConfigRejected, None);
                // Who is known now is no stranger, and who still is one will ask again.
                health.clear_all(Code::TerminalUnknown);
                let Applied { started, stopped, untouched } = applied;
                info!(started, stopped, untouched, "config reloaded");
                Ok(applied)
            }
            Err(rejected) => {
                error!(problems = %rejected, "new config was not used");
                health.raise(Code::ConfigRejected, None, rejected.to_string());
                Err(rejected)
            }
        }
    }

    /// Tries a key with another value; `None` takes back what was set from afar. It goes back by itself.
    pub(super) async fn set(
        self: &Arc<Self>,
        set: &str,
        key: &str,
        value: Option<toml::Value>,
        within: Duration,
    ) -> Result<Applied, String> {
        let _turn = self.turn.lock().await;
        let mut afar = self.settings().confirmed.clone();
        if let Some(trial) = &self.settings().trial {
            return Err(format!("{} is on trial since command {}: confirm it or wait", trial.key, trial.set));
        }
        let takes = value.is_none();
        afar.set(key, value)?;
        // Looked at before anything is touched.
        let loaded = config::load_with(&self.path, DRIVERS, &afar).map_err(|rejected| rejected.to_string())?;
        if !takes && !is_set(&loaded.table, &afar, key) {
            return Err(format!("the config has no place for {key}"));
        }
        let until = Instant::now() + within;
        self.settings().trial = Some(Tried { set: set.into(), key: key.into(), afar, until });
        let applied = self.apply("config.set").await.map_err(|rejected| rejected.to_string())?;
        let (this, set) = (self.clone(), set.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            let _turn = this.turn.lock().await;
            let over = this.settings().trial.take_if(|trial| trial.set == set);
            if let Some(trial) = over {
                info!(key = trial.key, "what was set from afar was not confirmed, and goes back");
                // What was well before is well again; if not, the condition says so.
                let _ = this.apply("not confirmed").await;
            }
        });
        Ok(applied)
    }

    /// Keeps what is on trial.
    pub(super) async fn confirm(&self, set: &str) -> Result<String, String> {
        let _turn = self.turn.lock().await;
        let afar = match &self.settings().trial {
            Some(trial) if trial.set == set => (trial.key.clone(), trial.afar.clone()),
            _ => return Err("nothing is on trial that this command has set: it may have gone back already".into()),
        };
        afar.1.write(&self.state_dir).map_err(|error| format!("it cannot be written down: {error}"))?;
        let mut settings = self.settings();
        (settings.confirmed, settings.trial) = (afar.1, None);
        Ok(afar.0)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was confirmed, what holds now, and what is on trial.
    pub(super) fn set_from_afar(&self) -> (Afar, Afar, Option<Trial>) {
        let settings = self.settings();
        let in_force = settings.trial.as_ref().map_or(&settings.confirmed, |trial| &trial.afar).clone();
        let trial = settings.trial.as_ref().map(|trial| Trial {
            set: trial.set.clone(),
            key: trial.key.clone(),
            seconds_left: trial.until.saturating_duration_since(Instant::now()).as_secs(),
        });
        (settings.confirmed.clone(), in_force, trial)
    }

    fn settings(&self) -> std::sync::MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a key found its place in the config.
fn is_set(config: &toml::Table, afar: &Afar, key: &str) -> bool {
    let mut parts = key.splitn(3, '.');
    let (Some(kind), Some(name), Some(last)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let place = match config.get(kind) {
        Some(toml::Value::Array(blocks)) => {
            blocks.iter().find(|block| block.get("name").and_then(toml::Value::as_str) == Some(name))
        }
        Some(table) => table.get(name),
        None => None,
    };
    place.and_then(|place| place.get(last)) == afar.get(key)
}
