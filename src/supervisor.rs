//! Runs the drivers' lines: each in a task of its own, started again when it fails, left alone when a reload does not
//! concern it.

mod backoff;
mod end;

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use driver_api::{Gateway, Job, JobFailed, Kind, Link, Operation};
use futures_util::FutureExt;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use crate::{
    drivers::PlannedLine,
    health::{Code, Health},
};
use backoff::Backoff;
pub use end::End;

/// How long a line may take to leave when told to.
const LEAVING: Duration = Duration::from_secs(3);
/// After so long without trouble, the next failure is treated as the first.
const SETTLED: Duration = Duration::from_secs(60);

/// All lines at work.
pub struct Supervisor {
    gateway: Arc<dyn Gateway>,
    health: Health,
    running: HashMap<String, Running>,
}

/// One line at work.
struct Running {
    fingerprint: u64,
    terminals: Vec<String>,
    operations: &'static [&'static str],
    /// Where the present run takes jobs; none between two runs.
    jobs: Arc<Mutex<Option<mpsc::Sender<Job>>>>,
    /// Ends the present run; the next one begins at once.
    again: Arc<Notify>,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

/// What a reload did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    pub started: usize,
    pub stopped: usize,
    pub untouched: usize,
}

impl Supervisor {
    pub fn new(gateway: Arc<dyn Gateway>, health: Health) -> Self {
        Self { gateway, health, running: HashMap::new() }
    }

    /// Runs exactly these lines from now on. Lines that are the same as before are not disturbed.
    pub async fn apply(&mut self, lines: Vec<PlannedLine>) -> Applied {
        let mut applied = Applied::default();
        let mut kept = HashMap::new();
        let mut fresh = Vec::new();
        for planned in lines {
            let key = format!("{}/{}", planned.driver.name, planned.line.key);
            match self.running.remove(&key) {
                Some(running) if running.fingerprint == planned.fingerprint => {
                    applied.untouched += 1;
                    kept.insert(key, running);
                }
                Some(changed) => {
                    self.running.insert(key.clone(), changed);
                    fresh.push((key, planned));
                }
                None => fresh.push((key, planned)),
            }
        }
        // What is left is gone or changed: it leaves before its successors come, since they may want the same port.
        applied.stopped = self.running.len();
        let left: Vec<String> = self.running.values().flat_map(|running| running.terminals.clone()).collect();
        stop_all(std::mem::replace(&mut self.running, kept)).await;
        for (key, planned) in fresh {
            applied.started += 1;
            let running = self.start(planned);
            self.running.insert(key, running);
        }
        for terminal in left.iter().filter(|name| !self.serves(name)) {
            self.health.forget(terminal);
        }
        applied
    }

    /// Stops all lines; those that do not leave in time are abandoned, which loses nothing: what was not stored was
    /// not acknowledged.
    pub async fn stop(self) {
        stop_all(self.running).await;
    }

    /// Asks a terminal's driver to do something.
    pub fn ask(
        &self,
        terminal: &str,
        operation: Operation,
    ) -> Result<impl Future<Output = Result<serde_json::Value, JobFailed>> + Send + 'static, JobFailed> {
        let line = self.running.values().find(|running| running.terminals.iter().any(|name| name == terminal));
        let line = line.ok_or(JobFailed::UnknownTerminal)?;
        if !line.operations.contains(&operation.name()) {
            return Err(JobFailed::NotSupported);
        }
        let jobs = line.jobs.lock().expect("nobody panics while holding it").clone();
        let (job, outcome) = Job::new(terminal, operation);
        jobs.ok_or(JobFailed::NotConnected)?.try_send(job).map_err(|_| JobFailed::NotConnected)?;
        Ok(async move { outcome.await.unwrap_or_else(|_| Err(JobFailed::NoAnswer("the connection ended".into()))) })
    }

    /// Whether a terminal's driver offers this.
    pub fn offers(&self, terminal: &str, operation: &str) -> bool {
        let line = self.running.values().find(|running| running.terminals.iter().any(|name| name == terminal));
        line.is_some_and(|line| line.operations.contains(&operation))
    }

    /// Ends the connection of a terminal's line and begins it anew. Whether there is such a terminal.
    pub fn restart(&self, terminal: &str) -> bool {
        let line = self.running.values().find(|running| running.terminals.iter().any(|name| name == terminal));
        line.map(|line| line.again.notify_one()).is_some()
    }

    /// Terminals whose line has ended although nobody told it to: it should be started again for ever.
    pub fn ended(&self) -> Vec<String> {
        let ended = self.running.values().filter(|running| running.task.is_finished());
        ended.flat_map(|running| running.terminals.iter().cloned()).collect()
    }

    fn serves(&self, terminal: &str) -> bool {
        self.running.values().any(|running| running.terminals.iter().any(|name| name == terminal))
    }

    fn start(&self, planned: PlannedLine) -> Running {
        let PlannedLine { driver, line, fingerprint } = planned;
        for terminal in &line.terminals {
            self.health.know(terminal, driver.name, driver.delivery);
        }
        let closing = CancellationToken::new();
        let jobs = Arc::new(Mutex::new(None));
        let again = Arc::new(Notify::new());
        let terminals = line.terminals.clone();
        let span = match &terminals[..] {
            [terminal] => info_span!("line", driver = driver.name, terminal),
            _ => info_span!("line", driver = driver.name, line = line.key),
        };
        let keeper = Keeper { kind: driver, line, gateway: self.gateway.clone(), health: self.health.clone() };
        let task = keeper.keep_running(jobs.clone(), again.clone(), closing.clone());
        let task = tokio::spawn(task.instrument(span));
        Running { fingerprint, terminals, operations: driver.operations, jobs, again, closing, task }
    }
}

async fn stop_all(running: HashMap<String, Running>) {
    for line in running.values() {
        line.closing.cancel();
    }
    for (_, mut line) in running {
        if timeout(LEAVING, &mut line.task).await.is_err() {
            line.task.abort();
        }
    }
}

/// Keeps one line running.
struct Keeper {
    kind: &'static Kind,
    line: driver_api::Line,
    gateway: Arc<dyn Gateway>,
    health: Health,
}

impl Keeper {
    async fn keep_running(
        self,
        jobs: Arc<Mutex<Option<mpsc::Sender<Job>>>>,
        again: Arc<Notify>,
        closing: CancellationToken,
    ) {
        let mut backoff = Backoff::default();
        let mut told: Option<Code> = None;
        loop {
            let (link, parts) = Link::new(self.gateway.clone(), &self.line.terminals);
            *jobs.lock().expect("nobody panics while holding it") = Some(parts.jobs);
            let began = Instant::now();
            let run = AssertUnwindSafe(self.line.driver.run(link)).catch_unwind();
            tokio::pin!(run);
            let outcome = tokio::select! {
                outcome = &mut run => outcome,
                () = again.notified() => {
                    // The driver may be gone already.
                    let _ = parts.closing.send(true);
                    if timeout(LEAVING, &mut run).await.is_err() {
                        warn!("the driver did not leave in time, and is abandoned");
                    }
                    *jobs.lock().expect("nobody panics while holding it") = None;
                    info!("line begun anew, as it was ordered");
                    continue;
                }
                () = closing.cancelled() => {
                    // The driver may be gone already.
                    let _ = parts.closing.send(true);
                    run.await
                }
            };
            *jobs.lock().expect("nobody panics while holding it") = None;
            if closing.is_cancelled() {
                return;
            }
            let end = End::of(outcome);
            if began.elapsed() >= SETTLED {
                backoff = Backoff::default();
                told = None;
            }
            for terminal in &self.line.terminals {
                self.health.unserved(terminal, end.state, end.code, &end.cause);
            }
            let pause = backoff.next(end.code);
            if told != Some(end.code) {
                told = Some(end.code);
                warn!(
                    cause = end.cause,
                    kind = end.code.kind().code,
                    retry_ms = pause.as_millis() as u64,
                    "line ended"
                );
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = closing.cancelled() => return,
            }
            info!(delivery = ?self.kind.delivery, "line started again");
        }
    }
}

#[cfg(test)]
mod tests;
