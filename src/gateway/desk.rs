//! Answers the local command line.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use driver_api::{Operation, async_trait};
use jiff::{Timestamp, civil::DateTime};
use tokio::sync::{Mutex, broadcast};

use crate::{
    audit::Audit,
    config,
    console::{ConditionLine, Desk, Failed, LogLine, PunchFilter, PunchLine, Status, TerminalLine},
    health::Code,
    incident::{self, Incident},
    inquiry::{Question, Silence, Site, Trail},
    logging::Recent,
    spool::{self, Filter},
    status::{self, Sources},
    supervisor::Supervisor,
};

fn unreadable(error: io::Error) -> Failed {
    Failed { why: format!("the journal cannot be read: {error}"), mend: "look at punchgate conditions".into() }
}

/// Lines that a slow asker may be behind.
const BEHIND: usize = 1024;

/// Letters of a name that are kept.
const NAME: usize = 80;

pub(super) struct FrontDesk {
    sources: Sources,
    supervisor: Arc<Mutex<Supervisor>>,
    audit: Audit,
    recent: Recent,
    config: PathBuf,
}

impl FrontDesk {
    pub(super) fn new(
        sources: Sources,
        supervisor: Arc<Mutex<Supervisor>>,
        audit: Audit,
        recent: Recent,
        config: PathBuf,
    ) -> Self {
        Self { sources, supervisor, audit, recent, config }
    }
}

/// As the config has it now; nothing of it where somebody is at work on it.
fn site(config: &Path) -> Site {
    config::site(config).unwrap_or_default()
}

#[async_trait]
impl Desk for FrontDesk {
    async fn status(&self) -> Status {
        status::lines::status(&self.sources)
    }

    async fn terminals(&self) -> Vec<TerminalLine> {
        status::lines::terminals(&self.sources)
    }

    async fn conditions(&self) -> Vec<ConditionLine> {
        status::lines::conditions(&self.sources)
    }

    async fn punches(&self, filter: &PunchFilter) -> Result<Vec<PunchLine>, Failed> {
        let PunchFilter { terminal, person, since, limit } = filter.clone();
        let found = self.sources.spool.recent(Filter { terminal, person, since, limit }).await;
        let found = found.map_err(unreadable)?;
        let ledgers = self.sources.spool.status().ledgers;
        let through = |ledger: &crate::ledger::Ledger| {
            let known = ledgers.iter().find(|status| *status.ledger == *ledger);
            known.and_then(|status| status.confirmed_through.first()).map_or(0, |(_, through)| *through)
        };
        Ok(found
            .iter()
            .rev()
            .map(|(ledger, entry)| PunchLine::of(ledger, entry, entry.seq <= through(ledger)))
            .collect())
    }

    fn live(&self) -> broadcast::Receiver<PunchLine> {
        // Only while somebody follows: a punch that nobody looks at costs nothing.
        let mut committed = self.sources.spool.subscribe();
        let (lines, live) = broadcast::channel(BEHIND);
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = committed.recv() => next,
                    () = lines.closed() => return,
                };
                match next {
                    // The asker may have left just now.
                    Ok(one) => _ = lines.send(PunchLine::of(&one.ledger, &one.entry, false)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        live
    }

    async fn why(&self, question: &Question) -> Result<Trail, Failed> {
        let (state_dir, asked) = (self.sources.state_dir.clone(), question.clone());
        let config = self.config.clone();
        let read = move || spool::trace(&state_dir, &asked, &site(&config), Timestamp::now());
        let trail = tokio::task::spawn_blocking(read).await;
        let mut trail = trail.map_err(io::Error::other).and_then(|trail| trail).map_err(unreadable)?;
        trail.now = status::lines::standing(&self.sources, |name| question.asks_of(name));
        Ok(trail)
    }

    async fn silence(&self, terminal: &str) -> Result<(Silence, Vec<String>), Failed> {
        let (state_dir, name) = (self.sources.state_dir.clone(), terminal.to_owned());
        let config = self.config.clone();
        let read = move || spool::silence(&state_dir, &name, &site(&config), Timestamp::now());
        let silence = tokio::task::spawn_blocking(read).await;
        let silence = silence.map_err(io::Error::other).and_then(|silence| silence).map_err(unreadable)?;
        Ok((silence, status::lines::standing(&self.sources, |name| name == terminal)))
    }

    async fn reconcile(
        &self,
        terminal: &str,
        from: Option<DateTime>,
        to: Option<DateTime>,
    ) -> Result<serde_json::Value, Failed> {
        let failed = |error: driver_api::JobFailed| Failed {
            mend: match error {
                driver_api::JobFailed::UnknownTerminal => "see punchgate terminals for their names".into(),
                _ => format!("see punchgate terminals, and its driver's page for what {terminal} can do"),
            },
            why: error.to_string(),
        };
        let told = serde_json::json!({ "act": "reconcile", "terminal": terminal, "from": from, "to": to });
        if let Err(error) = self.audit.tell("console", told).await {
            // It only reads, and is asked for most when something is wrong with the disk.
            tracing::warn!(%error, "the audit log cannot be written");
        }
        let operation = Operation::Reconcile { from, to };
        let asked = self.supervisor.lock().await.ask(terminal, operation).map_err(failed)?;
        asked.await.map_err(failed)
    }

    async fn logs(&self) -> Vec<LogLine> {
        let line = |line: crate::logging::Line| LogLine {
            at: line.at,
            level: line.level.into(),
            message: line.message,
            fields: line.fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        self.recent.lines().into_iter().map(line).collect()
    }

    async fn incidents(&self, all: bool) -> Result<Vec<Incident>, Failed> {
        if !all {
            return Ok(self.sources.incidents.open_now());
        }
        let state_dir = self.sources.state_dir.clone();
        let read = tokio::task::spawn_blocking(move || incident::history(&state_dir)).await;
        let mut all = read.map_err(io::Error::other).and_then(|read| read).map_err(|error| Failed {
            why: format!("the incidents cannot be read: {error}"),
            mend: "look at punchgate conditions".into(),
        })?;
        // How long the open ones are open is written down now and then; here it is known.
        all.extend(self.sources.incidents.open_now().into_iter().map(|it| (it.number, it)));
        Ok(all.into_values().collect())
    }

    async fn acknowledge_incident(&self, number: u64, by: &str) -> Result<Incident, Failed> {
        let by: String = by.chars().filter(|c| !c.is_control()).take(NAME).collect();
        if by.trim().is_empty() {
            return Err(Failed { why: "it must say by whom".into(), mend: "add --by NAME".into() });
        }
        let told = serde_json::json!({ "act": "incident.acknowledge", "number": number, "by": by });
        if let Err(error) = self.audit.tell("console", told).await {
            tracing::warn!(%error, "the audit log cannot be written");
        }
        let incidents = self.sources.incidents.clone();
        let done = tokio::task::spawn_blocking(move || incidents.acknowledge(number, &by, "local")).await;
        let failed = |why: String| Failed { why, mend: "see punchgate incidents".into() };
        done.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }

    async fn acknowledge(&self, terminal: Option<&str>) -> Result<u64, Failed> {
        if let Some(terminal) = terminal
            && !self.sources.spool.status().ledgers.iter().any(|status| status.ledger.terminal == terminal)
        {
            let (why, mend) =
                (format!("there is no punch of a terminal {terminal:?} here"), "see punchgate terminals".into());
            return Err(Failed { why, mend });
        }
        let told = serde_json::json!({ "act": "acknowledge", "terminal": terminal });
        // It changes what people are told of a loss: without a line of the log it is not done.
        self.audit.tell("console", told).await.map_err(|error| Failed {
            why: format!("the audit log cannot be written: {error}"),
            mend: "see punchgate doctor".into(),
        })?;
        let count = self.sources.spool.acknowledge(terminal).await;
        let failed =
            |error: driver_api::NotStored| Failed { why: error.to_string(), mend: "see punchgate conditions".into() };
        let count = count.map_err(failed)?;
        if terminal.is_none() {
            self.sources.spool.restored_is_known();
            self.sources.health.clear(Code::StoreRestored, None);
        }
        Ok(count)
    }
}
