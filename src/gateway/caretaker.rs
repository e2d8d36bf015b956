//! Looks after health: remembers what is wrong over a restart, notices silence and terminals that nobody runs, keeps the clocks
//! of incidents, and writes each minute's numbers down.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use driver_api::Frame;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use tokio::{
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::traces::Traces;
use crate::{
    audit::Audit,
    courier::Board,
    doctor::{self, Examination},
    health::{Code, Health, Kept},
    incident::{Change, Incident},
    logging::Recent,
    metrics::{Metrics, MetricsSettings, RING_FILE, Ring},
    spool::{self, NoteKind, Spool},
    status::{self, Sources},
    supervisor::Supervisor,
    wire::suffix,
};

/// Incidents are looked at so often, and what is wrong is written down.
const TURN: Duration = Duration::from_secs(2);

/// Past punches are read so long after the start: what is urgent comes first.
const PAST_AFTER: Duration = Duration::from_secs(60);
/// Weeks of them that are read, in hours.
const PAST: i64 = 10 * 168;
/// Evidence must be there in the first minute.
const EVIDENCE: Duration = Duration::from_secs(50);
/// Incidents of which evidence is gathered at once; a storm of them has one cause.
const GATHERING: usize = 2;
/// Lines of the log that are kept as evidence.
const LINES: usize = 200;

pub(super) struct Caretaker {
    pub(super) sources: Sources,
    pub(super) supervisor: Arc<Mutex<Supervisor>>,
    pub(super) board: Board,
    pub(super) recent: Recent,
    pub(super) audit: Audit,
    pub(super) traces: Traces,
    /// Of the config, for the doctor.
    pub(super) config: std::path::PathBuf,
    pub(super) memory: Memory,
}

impl Caretaker {
    pub(super) async fn run(self) {
        let Self { sources, supervisor, board, recent, audit, traces, config, mut memory } = self;
        let mut ring = open_ring(&sources).await;
        let gathering = Arc::new(tokio::sync::Semaphore::new(GATHERING));
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (began, mut minute, mut past_read, mut noted) = (Instant::now(), 0, false, true);
        loop {
            turns.tick().await;
            memory.keep(&sources.health, &sources.spool).await;
            let changes = look(&sources, &board).await;
            sources.health.set(Code::IncidentsNotKept, None, sources.incidents.trouble());
            judge_audit(&sources.health, &audit).await;
            for (change, incident) in changes {
                tell(change, &incident);
                if change == Change::Opened
                    && let Ok(place) = gathering.clone().try_acquire_owned()
                {
                    let frames = incident.subject.as_ref().map(|name| traces.last_of(name)).unwrap_or_default();
                    let gathered = gather(sources.clone(), config.clone(), recent.clone(), frames, incident);
                    tokio::spawn(async move {
                        gathered.await;
                        drop(place);
                    });
                }
            }
            let ended = supervisor.lock().await.ended();
            judge_runs(&sources.health, ended);
            let now = Timestamp::now();
            if now.as_second().div_euclid(60) == minute {
                continue;
            }
            minute = now.as_second().div_euclid(60);
            if ring.is_none() {
                ring = open_ring(&sources).await;
            }
            if let Some(ring) = &ring {
                let put = write_minute(&sources, ring.clone(), minute).await;
                if put.is_ok() != noted {
                    noted = put.is_ok();
                    match put {
                        Ok(()) => info!("the numbers of each minute are written down again"),
                        Err(error) => warn!(%error, "the numbers of this minute could not be written down"),
                    }
                }
            }
            if !past_read && began.elapsed() >= PAST_AFTER {
                past_read = true;
                tokio::spawn(read_past(sources.clone()));
            }
            if past_read && sources.clock.doubt().is_none() {
                sources.health.judge_silence(now);
            }
        }
    }
}

async fn open_ring(sources: &Sources) -> Option<Arc<Ring>> {
    let path = sources.state_dir.join(RING_FILE);
    let opened = tokio::task::spawn_blocking(move || Ring::open(&path)).await;
    match opened.map_err(std::io::Error::other).and_then(|opened| opened) {
        Ok(ring) => Some(Arc::new(ring)),
        Err(error) => {
            warn!(%error, "numbers of past minutes cannot be kept now");
            None
        }
    }
}

async fn write_minute(sources: &Sources, ring: Arc<Ring>, minute: i64) -> std::io::Result<()> {
    let snapshot = status::numbers(sources);
    let put = tokio::task::spawn_blocking(move || ring.put(minute, |name| snapshot.value(name))).await;
    put.map_err(std::io::Error::other)?
}

/// In which hours people usually punch, out of the journal.
async fn read_past(sources: Sources) {
    let from = Timestamp::now().as_second().div_euclid(3600) - PAST;
    let state_dir = sources.state_dir.clone();
    match tokio::task::spawn_blocking(move || spool::punch_hours(&state_dir, from)).await {
        Ok(Ok(all)) => all.into_iter().for_each(|(name, hours)| sources.health.punched_in(&name, hours)),
        Ok(Err(error)) => warn!(%error, "the journal could not be read for usual hours"),
        // The gateway is closing.
        Err(_) => {}
    }
}

/// Whether the audit log can be written; tried again here, since nobody may have anything to write.
async fn judge_audit(health: &Health, audit: &Audit) {
    if audit.trouble().is_some() {
        let again = audit.clone();
        // The gateway is closing, if this fails.
        let _ = tokio::task::spawn_blocking(move || again.retry()).await;
    }
    health.set(Code::AuditNotWritten, None, audit.trouble());
}

/// Terminals that stand in the config and that no task looks after.
fn judge_runs(health: &Health, ended: Vec<String>) {
    health.keep(Code::TerminalNotRun, |name| ended.iter().any(|it| it == name));
    for name in ended {
        health.raise(Code::TerminalNotRun, Some(&name), "the task of its line has ended");
    }
}

/// Before a port or socket that could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Answers whoever asks for numbers, as soon as that can be; the gateway does not wait for it.
pub(super) async fn serve_numbers(sources: Sources, settings: MetricsSettings, closing: CancellationToken) {
    loop {
        match Metrics::open(&settings).await {
            Ok(metrics) => {
                sources.health.clear(Code::MetricsNotServed, None);
                let looked_at = sources.clone();
                return metrics.run(Arc::new(move || status::numbers(&looked_at)), closing).await;
            }
            Err(error) => {
                let source = std::error::Error::source(&error).map(|it| format!(": {it}")).unwrap_or_default();
                sources.health.raise(Code::MetricsNotServed, None, format!("{error}{source}"));
            }
        }
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Lets the clocks of incidents go on, and sees which of them the broker knows.
async fn look(sources: &Sources, board: &Board) -> Vec<(Change, Incident)> {
    let (seen, incidents) = (status::seen(sources), sources.incidents.clone());
    let untold: Vec<String> = incidents
        .open_now()
        .into_iter()
        .filter(|incident| incident.notified.is_none() && board.is_known(&suffix::incident(&incident.code)))
        .map(|incident| incident.code)
        .collect();
    let looked = tokio::task::spawn_blocking(move || {
        let mut changes: Vec<_> = untold.iter().flat_map(|code| incidents.notified(code)).collect();
        changes.extend(incidents.look(&seen));
        changes
    });
    looked.await.unwrap_or_default()
}

fn tell(change: Change, incident: &Incident) {
    let Incident { number, code, subject, cause, .. } = incident;
    let subject = subject.as_deref().unwrap_or_default();
    match change {
        Change::Opened => warn!(number, code, subject, cause, "incident opened"),
        Change::Reopened => warn!(number, code, subject, cause, "incident opened again"),
        Change::Escalated => warn!(number, code, subject, cause, "incident escalated: its target comes near"),
        Change::Breached => warn!(number, code, subject, cause, "incident breached its target"),
        Change::Resolved => info!(number, code, subject, "incident resolved"),
        Change::Notified | Change::Acknowledged => {}
    }
}

/// What can be found out while it is fresh: what the doctor sees, how everything stands, the last frames of the terminal's wire,
/// what was logged.
async fn gather(sources: Sources, config: std::path::PathBuf, recent: Recent, frames: Vec<Frame>, incident: Incident) {
    let subject = incident.subject.clone();
    let standing = status::lines::status(&sources);
    let known = sources.health.terminals();
    let terminal = subject.clone().filter(|name| known.contains_key(name));
    let terminals: Vec<_> = status::lines::terminals(&sources)
        .into_iter()
        .filter(|line| terminal.as_ref().is_none_or(|name| line.name == *name))
        .take(LINES)
        .collect();
    let lines = recent.lines();
    let log: Vec<_> = lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .map(|line| json!({ "at": line.at, "level": line.level, "message": line.message, "fields": line.fields }))
        .collect();
    let (spool, link) = (sources.spool.status(), sources.link.borrow().clone());
    let examined = timeout(EVIDENCE, doctor::examine(&Examination { config, terminal })).await;
    let evidence = json!({
        "at": Timestamp::now(),
        "incident": incident,
        "status": standing,
        "terminals": terminals,
        "frames": frames,
        "journal": {
            "bytes": spool.journal_bytes,
            "free_bytes": spool.free_bytes,
            "commit_p50_ms": spool.commits.p50.as_secs_f64() * 1e3,
            "commit_p99_ms": spool.commits.p99.as_secs_f64() * 1e3,
            "undelivered": spool.queues.first().map(|queue| queue.undelivered),
            "troubles": spool.troubles.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "findings": spool.findings.iter().map(|it| &it.text).collect::<Vec<_>>(),
        },
        "courier": {
            "state": link.state.name(),
            "since": link.since,
            "cause": link.cause.as_ref().map(|cause| &cause.words),
            "refusal": link.refusal,
            "published": link.counters.published,
            "acknowledged": link.counters.acked,
            "refused": link.counters.refused,
            "in_flight": link.counters.in_flight,
            "reconnects": link.reconnects(),
        },
        "doctor": examined.ok(),
        "log": log,
    });
    let (incidents, number) = (sources.incidents.clone(), incident.number);
    match tokio::task::spawn_blocking(move || incidents.keep_evidence(number, &evidence)).await {
        Ok(Ok(())) => info!(number, "evidence of the incident was kept"),
        Ok(Err(error)) => warn!(number, %error, "evidence of the incident could not be kept"),
        // The gateway is closing.
        Err(_) => {}
    }
}

/// Remembers in the store what is wrong, as notes: they ride with the next group of punches, or have one of their own.
#[derive(Default)]
pub(super) struct Memory {
    /// What is on disk, by subject: codes, and since when.
    written: BTreeMap<String, Vec<(String, i64)>>,
}

/// How long a disk that takes nothing is waited for; and when the gateway closes.
const PATIENCE: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_secs(1);

fn mark(all: &[Kept]) -> Vec<(String, i64)> {
    all.iter().map(|kept| (kept.code.clone(), kept.since)).collect()
}

impl Memory {
    /// Takes back what a former run remembered.
    pub(super) async fn recall(health: &Health, spool: &Spool) -> Self {
        let mut written = BTreeMap::new();
        match spool.notes(NoteKind::Condition).await {
            Ok(notes) => {
                for note in notes {
                    // Empty is over; what another version wrote may say nothing to us.
                    let Ok(kept) = postcard::from_bytes::<Vec<Kept>>(&note.body) else { continue };
                    written.insert(note.key.clone(), mark(&kept));
                    health.restore(&note.key, kept);
                }
            }
            Err(error) => warn!(%error, "what was wrong before the restart cannot be read"),
        }
        Self { written }
    }

    /// Writes down what has changed; what the disk does not take is tried again.
    pub(super) async fn keep(&mut self, health: &Health, spool: &Spool) {
        let kept = health.kept();
        let gone: Vec<String> = self.written.keys().filter(|key| !kept.contains_key(*key)).cloned().collect();
        let over = gone.into_iter().map(|key| (key, vec![], vec![]));
        let news = kept.into_iter().filter(|(key, all)| self.written.get(key) != Some(&mark(all)));
        let news = news.filter_map(|(key, all)| {
            let body = postcard::to_allocvec(&all).ok()?;
            Some((key, mark(&all), body))
        });
        let write = async |(key, mark, body): (String, Vec<_>, Vec<u8>)| {
            let stored = spool.note(NoteKind::Condition, &key, body).await;
            stored.is_ok().then_some((key, mark))
        };
        let changes: Vec<_> = over.chain(news).collect();
        if changes.is_empty() {
            return;
        }
        let done = timeout(PATIENCE, join_all(changes.into_iter().map(write))).await;
        for (key, mark) in done.unwrap_or_default().into_iter().flatten() {
            match mark.is_empty() {
                true => _ = self.written.remove(&key),
                false => _ = self.written.insert(key, mark),
            }
        }
    }

    /// The same at the end of a run, when nobody keeps it up any more; a disk that is slow is not waited for.
    pub(super) async fn keep_last(health: &Health, spool: &Spool) {
        // What is lost of it costs a `since` that begins anew.
        let _ = timeout(LAST, Self::keep_all(health, spool)).await;
    }

    async fn keep_all(health: &Health, spool: &Spool) {
        let mut memory = Self::default();
        if let Ok(notes) = spool.notes(NoteKind::Condition).await {
            let read = notes.into_iter().filter_map(|note| {
                let kept = postcard::from_bytes::<Vec<Kept>>(&note.body).ok()?;
                Some((note.key, mark(&kept)))
            });
            memory.written = read.collect();
        }
        memory.keep(health, spool).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_terminal_that_nobody_runs_is_told_until_somebody_does() {
        let health = Health::default();
        let shown = |ended: &[&str]| {
            judge_runs(&health, ended.iter().map(|name| (*name).to_owned()).collect());
            health.conditions().into_iter().map(|it| (it.kind.code, it.subject)).collect::<Vec<_>>()
        };
        let canteen = ("terminal-not-run", Some("canteen".to_owned()));
        assert_eq!(shown(&["canteen"]), []);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(shown(&["canteen"]), [canteen]);
        assert_eq!(shown(&[]), []);
    }
}
