//! Publishes what others may know: state, birth and health; what matters at once, the rest each minute.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    courier::Board,
    health::TerminalState,
    incident::Incident,
    inquiry::Standing,
    status::{self, Sources},
    wire::{self, health as doc, suffix},
};

/// Nothing that is known is older on the broker.
const EVERY: Duration = Duration::from_secs(60);
/// What changes in bunches is published once.
const BUNCH: Duration = Duration::from_millis(500);

pub(super) struct Publisher {
    sources: Sources,
    board: Board,
    /// Of each document: what it said that matters at once, and when it was last published.
    published: HashMap<String, (u64, Instant)>,
    /// How each terminal stood when it was last noted.
    noted: HashMap<String, Standing>,
}

impl Publisher {
    pub(super) fn new(sources: Sources, board: Board) -> Self {
        Self { sources, board, published: HashMap::new(), noted: HashMap::new() }
    }

    /// Counts its turns in `turns`.
    pub(super) async fn run(mut self, turns: Arc<AtomicU64>) {
        let mut changes = self.sources.health.changes();
        let mut spool = self.sources.spool.changes();
        let mut link = self.sources.link.clone();
        let mut incidents = self.sources.incidents.changes();
        // What a former run left on the broker and is over now must be taken back.
        let left = self.sources.incidents.open_now().into_iter().map(|it| suffix::incident(&it.code));
        self.published.extend(left.map(|suffix| (suffix, (0, Instant::now()))));
        loop {
            status::judge(&self.sources);
            self.note();
            self.publish();
            turns.fetch_add(1, Ordering::Relaxed);
            let headline = status::headline(&self.sources);
            super::tell_systemd(&[sd_notify::NotifyState::Status(&headline)]);
            let was = link.borrow_and_update().state;
            let link_changed = async {
                // The sender lives as long as the courier; without it nothing changes any more.
                while link.changed().await.is_ok() {
                    if link.borrow_and_update().state != was {
                        return;
                    }
                }
                std::future::pending().await
            };
            tokio::select! {
                _ = changes.changed() => {}
                _ = spool.changed() => {}
                _ = incidents.changed() => {}
                () = link_changed => {}
                () = self.sources.health.ripened(EVERY / 4) => {}
            }
            tokio::time::sleep(BUNCH).await;
        }
    }

    /// Keeps in the journal how terminals stood when, for whoever asks later where a punch was.
    fn note(&mut self) {
        for (name, terminal) in self.sources.health.terminals() {
            let standing = match terminal.state {
                TerminalState::Connecting => Standing::Connecting,
                TerminalState::Online => Standing::Online,
                TerminalState::Offline => Standing::Offline,
                TerminalState::Refused => Standing::Refused,
            };
            if self.noted.get(&name) != Some(&standing) {
                self.sources.spool.stands(&name, standing);
                self.noted.insert(name, standing);
            }
        }
    }

    fn publish(&mut self) {
        let (state, reason) = status::state(&self.sources);
        self.board.state(state, reason);

        let birth = status::birth(&self.sources);
        let ledgers: Vec<_> = birth.ledgers.iter().map(|it| (&it.terminal, &it.serial, it.ledger)).collect();
        let terminals: Vec<_> = birth.terminals.iter().map(|it| (&it.name, &it.driver)).collect();
        let mark = mark(&(ledgers, terminals, &birth.key_ids, &birth.commands));
        self.set(suffix::BIRTH.into(), mark, || wire::json(&birth));

        let gateway = status::gateway(&self.sources);
        let mark = self::mark(&(
            gateway.terminals,
            gateway.terminals_online,
            &gateway.link.state,
            &gateway.link.broker,
            wrong(&gateway.conditions),
        ));
        self.set(suffix::HEALTH.into(), mark, || gateway.document());

        let incidents = status::incidents(&self.sources);
        self.take_back("incident/", |suffix| incidents.keys().any(|code| *suffix == suffix::incident(code)));
        for (code, report) in incidents {
            let open = |it: &Incident| (it.number, it.acknowledged.is_some(), it.escalated, it.breached, it.reopened);
            let mark = self::mark(&report.open.iter().map(open).collect::<Vec<_>>());
            self.set(suffix::incident(&code), mark, || report.document());
        }

        let terminals = status::terminals(&self.sources);
        self.take_back("health/", |it| terminals.iter().any(|(name, _)| *it == suffix::terminal_health(name)));
        for (name, terminal) in terminals {
            let mark = self::mark(&(
                (terminal.since, terminal.delivery, terminal.failed_reads, terminal.gaps_open),
                (&terminal.serial, &terminal.firmware),
                wrong(&terminal.conditions),
            ));
            self.set(suffix::terminal_health(&name), mark, || terminal.document());
        }
    }

    /// Takes documents off the broker that are not there any more.
    fn take_back(&mut self, prefix: &str, is_there: impl Fn(&String) -> bool) {
        let mine = self.published.keys().filter(|suffix| suffix.starts_with(prefix));
        let gone: Vec<String> = mine.filter(|suffix| !is_there(suffix)).cloned().collect();
        for suffix in gone {
            self.board.clear(&suffix);
            self.published.remove(&suffix);
        }
    }

    /// Publishes a document that says something new, or was not published for a while.
    fn set(&mut self, suffix: String, mark: u64, document: impl FnOnce() -> Vec<u8>) {
        let due = |(before, at): &(u64, Instant)| *before != mark || at.elapsed() + BUNCH >= EVERY;
        if self.published.get(&suffix).is_none_or(due) {
            self.board.set(&suffix, document());
            // Spread over the minute, so that a gateway with many terminals does not speak in bursts.
            let jitter = EVERY.mul_f64(rand::random_range(0.0..0.25));
            let at = Instant::now().checked_sub(jitter).unwrap_or_else(Instant::now);
            self.published.insert(suffix, (mark, at));
        }
    }
}

fn wrong(conditions: &[doc::Condition]) -> Vec<(&str, Option<&str>, &str)> {
    conditions.iter().map(|it| (it.code.as_str(), it.subject.as_deref(), it.cause.as_str())).collect()
}

fn mark(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
