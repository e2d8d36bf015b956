//! Refusals: what the broker answered that it does not take, and when it is asked again.
//!
//! A broker may refuse one terminal's topic and take all others. So the punches of a refused terminal stay with the outbox
//! until the next attempt, and the others go on. When nothing is taken at all, nothing more is tried until then.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Terminals whose punches are held until `retry_at`.
    held: HashSet<String>,
    /// Documents to be published again then.
    documents: HashSet<String>,
    retry_at: Option<Instant>,
    /// How often each was refused since something of it was taken.
    attempts: HashMap<String, u32>,
    /// Refusals since anything was taken.
    streak: usize,
}

impl Refusals {
    pub(super) fn refused(&mut self, terminal: &str) {
        self.streak += 1;
        self.hold(terminal);
    }

    pub(super) fn document_refused(&mut self, suffix: &str) {
        self.documents.insert(suffix.to_owned());
        self.postpone(suffix);
    }

    /// Something that is not sent now has to be tried again with the others.
    fn hold(&mut self, terminal: &str) {
        // Several of one terminal may be on their way: their refusals are one.
        if self.held.insert(terminal.to_owned()) {
            self.postpone(terminal);
        }
    }

    fn postpone(&mut self, key: &str) {
        let attempts = self.attempts.entry(key.to_owned()).or_insert(0);
        let pause = Duration::from_secs(1 << (*attempts).min(6)).min(Duration::from_secs(60));
        *attempts += 1;
        let due = Instant::now() + pause.mul_f64(rand::random_range(0.75..1.25));
        self.retry_at = Some(self.retry_at.map_or(due, |retry| retry.max(due)));
    }

    pub(super) fn taken(&mut self, key: &str) {
        self.streak = 0;
        if !self.held.contains(key) {
            self.attempts.remove(key);
        }
    }

    /// Whether this terminal's punches wait.
    pub(super) fn holds(&self, terminal: &str) -> bool {
        self.held.contains(terminal)
    }

    /// Whether to take anything at all. `window`: how many refusals in a row say that the broker takes nothing.
    pub(super) fn stop(&self, window: usize) -> bool {
        self.is_due() || self.streak >= window
    }

    pub(super) fn is_due(&self) -> bool {
        self.retry_at.is_some_and(|retry| retry <= Instant::now())
    }

    /// The next attempt waits for nothing more.
    pub(super) fn retry_now(&mut self) {
        self.retry_at = Some(Instant::now());
    }

    /// The next attempt begins: the documents to be published again.
    pub(super) fn retry(&mut self) -> HashSet<String> {
        self.held.clear();
        self.retry_at = None;
        self.streak = 0;
        std::mem::take(&mut self.documents)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.retry_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_refused_terminal_waits_longer_each_time_and_holds_no_other() {
        let mut refusals = Refusals::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            refusals.refused("canteen");
            refusals.refused("canteen");
            refusals.taken("front-door");
            assert!(refusals.holds("canteen") && !refusals.holds("front-door") && !refusals.stop(4));
            let begun = Instant::now();
            while !refusals.is_due() {
                tokio::time::advance(Duration::from_millis(100)).await;
            }
            pauses.push(begun.elapsed().as_secs_f64());
            refusals.retry();
            assert!(!refusals.holds("canteen"));
        }
        assert!(pauses[0] < 1.5 && pauses[3] > 4.0 && pauses[7] < 76.0, "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_takes_nothing_is_not_asked_more() {
        let mut refusals = Refusals::default();
        for terminal in ["a", "b", "c", "d"] {
            assert!(!refusals.stop(4));
            refusals.refused(terminal);
        }
        assert!(refusals.stop(4));
    }
}
