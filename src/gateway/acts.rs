//! The acts behind the commands: each looks, or asks the part that can do it.

mod bundle;
mod inquiries;
mod looks;
mod punches;
mod report;
mod terminal;

use std::{
    sync::{Arc, Mutex as StdMutex},
    time::Duration,
};

use driver_api::{JobFailed, Operation, User, async_trait};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};

use super::{reload::Reloader, traces::Traces};
use crate::{
    bundle::Bundle,
    command::{Order, PrivateKey, Standing, args, results},
    config::{self, masked},
    courier::Board,
    drivers::DRIVERS,
    logging::Recent,
    remote::{self, Acts, Failed, Progress},
    status::{self, Sources},
    supervisor::Supervisor,
};

pub(super) struct Hands {
    sources: Sources,
    supervisor: Arc<Mutex<Supervisor>>,
    reloader: Arc<Reloader>,
    board: Board,
    recent: Recent,
    key: Arc<PrivateKey>,
    traces: Traces,
    /// The newest one, and the newest report.
    bundle: StdMutex<Option<Arc<Bundle>>>,
    report: StdMutex<Option<Arc<Bundle>>>,
    restart: Notify,
}

/// For an answer to leave before we do.
const FAREWELL: Duration = Duration::from_secs(5);

impl Hands {
    pub(super) fn new(
        sources: Sources,
        supervisor: Arc<Mutex<Supervisor>>,
        reloader: Arc<Reloader>,
        board: Board,
        recent: Recent,
        key: Arc<PrivateKey>,
        traces: Traces,
    ) -> Self {
        let (bundle, report) = (StdMutex::default(), StdMutex::default());
        Self { sources, supervisor, reloader, board, recent, key, traces, bundle, report, restart: Notify::new() }
    }

    /// Returns when somebody has ordered a restart, and the answer is with the broker.
    pub(super) async fn restart_ordered(&self) {
        self.restart.notified().await;
        let told = async {
            while self.board.letters() > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // It is sent after the start, if not now.
        let _ = tokio::time::timeout(FAREWELL, told).await;
    }

    /// Has a terminal's driver do something.
    async fn drive(&self, terminal: &str, operation: Operation) -> Result<Value, Failed> {
        let failed = |failed: JobFailed| match failed {
            JobFailed::NoAnswer(why) => Failed::Unknown(format!("the terminal did not answer: {why}")),
            plainly => Failed::Plainly(plainly.to_string()),
        };
        let asked = self.supervisor.lock().await.ask(terminal, operation).map_err(failed)?;
        asked.await.map_err(failed)
    }

    async fn users(&self, terminal: &str) -> Result<Value, Failed> {
        let found = self.drive(terminal, Operation::Users).await?;
        let users = found.get("users").and_then(Value::as_array).cloned().unwrap_or_default();
        let names = users.iter().filter_map(Value::as_str).take(1000);
        let pseudonyms = names.map(|user| self.key.pseudonym(user)).collect();
        let count = found.get("count").and_then(Value::as_u64).unwrap_or(users.len() as u64);
        Ok(json!(results::Users { count, pseudonyms }))
    }

    async fn config_show(&self) -> Result<Value, Failed> {
        let (confirmed, in_force, trial) = self.reloader.set_from_afar();
        let loaded = config::load_with(self.reloader.path(), DRIVERS, &in_force);
        let config = loaded.map_err(|rejected| Failed::Plainly(rejected.to_string()))?;
        let table = |table| serde_json::to_value(masked(&table)).unwrap_or_default();
        Ok(json!(results::ConfigShown { config: table(config.table), from_afar: table(confirmed.table()), trial }))
    }

    async fn config_set(&self, order: &Order) -> Result<Value, Failed> {
        let args::ConfigSet { key, value, confirm_within_s } = remote::args(order)?;
        let value = match value {
            Value::Null => None,
            value => Some(toml::Value::try_from(&value).map_err(|error| Failed::Plainly(error.to_string()))?),
        };
        let within = Duration::from_secs(confirm_within_s.unwrap_or(600).into());
        let applied = self.reloader.set(&order.id, &key, value, within).await.map_err(Failed::Plainly)?;
        let restarted = applied.started as u64;
        Ok(json!(results::ConfigSet { key, restarted, seconds_left: Some(within.as_secs()) }))
    }
}

#[async_trait]
impl Acts for Hands {
    async fn act(&self, order: &Order, progress: Progress) -> Result<Value, Failed> {
        let terminal = order.terminal.as_deref().unwrap_or_default();
        match order.command.as_str() {
            "health" => Ok(json!(status::gateway(&self.sources))),
            "terminals" => self.terminals(order),
            "conditions" => self.conditions(order),
            "logs" => self.logs(order),
            "punches" => self.punches(order).await,
            "why" => self.why(order).await,
            "doctor" => self.doctor(order).await,
            "bundle" => self.bundle(order, &progress).await,
            "report" => self.report(order, &progress).await,
            "bundle.read" => self.bundle_part(order),
            "config.show" => self.config_show().await,
            "terminal.info" => self.drive(terminal, Operation::Info).await,
            "terminal.users" => self.users(terminal).await,
            "reconcile" => {
                let args::Period { from, to } = remote::args(order)?;
                progress.tell("the terminal's log is compared with the ledger");
                self.drive(terminal, Operation::Reconcile { from, to }).await
            }
            "replay" => self.replay(order, &progress).await,
            "terminal.time-set" => match self.sources.clock.doubt() {
                Some(doubt) => Err(Failed::Plainly(format!("the gateway's own clock cannot be believed: {doubt}"))),
                None => self.drive(terminal, Operation::TimeSet).await,
            },
            "driver.restart" => match self.supervisor.lock().await.restart(terminal) {
                true => Ok(json!(results::Restarting { restarting: true })),
                false => Err(Failed::Plainly("there is no such terminal".into())),
            },
            "terminal.message" => {
                let args::Message { text } = remote::args(order)?;
                self.drive(terminal, Operation::Message { text }).await
            }
            "trace" => self.trace(order, &progress).await,
            "terminal.restart" => self.drive(terminal, Operation::Restart).await,
            "config.set" => self.config_set(order).await,
            "config.confirm" => {
                let args::ConfigConfirm { set } = remote::args(order)?;
                let key = self.reloader.confirm(&set).await.map_err(Failed::Plainly)?;
                Ok(json!(results::ConfigSet { key, restarted: 0, seconds_left: None }))
            }
            "incident.acknowledge" => {
                let args::IncidentAcknowledge { number } = remote::args(order)?;
                let (incidents, by) = (self.sources.incidents.clone(), progress.by().to_owned());
                let done = tokio::task::spawn_blocking(move || incidents.acknowledge(number, &by, "command")).await;
                let done = done.map_err(|error| Failed::Unknown(error.to_string()))?;
                done.map(|incident| json!(incident)).map_err(|why| Failed::Plainly(why.to_string()))
            }
            "gateway.restart" => Ok(json!(results::Restarting { restarting: true })),
            "terminal.unlock" => {
                let args = remote::args::<args::Unlock>(order)?;
                let operation = Operation::Unlock { door: args.door(), seconds: args.seconds.unwrap_or(5) };
                self.drive(terminal, operation).await
            }
            "user.put" => {
                let args::UserPut { user: id, name, card } = remote::args(order)?;
                self.drive(terminal, Operation::UserPut(User { id, name, card })).await
            }
            "user.delete" => {
                let args::UserDelete { user: id } = remote::args(order)?;
                self.drive(terminal, Operation::UserDelete { id }).await
            }
            "terminal.clear-log" => self.clear_log(terminal, &progress).await,
            other => Err(Failed::Plainly(format!("this version has no act for {other}"))),
        }
    }

    fn settled(&self, order: &Order, standing: Standing) {
        if order.command == "gateway.restart" && standing == Standing::Successful {
            self.restart.notify_one();
        }
    }
}
