//! How long to wait before the next attempt at a broker.

use std::time::Duration;

use tokio::time::Instant;

/// For so long after a connection was lost, a broker that is away is asked again twice a second: most outages are restarts,
/// and the first punch after them should not wait.
const SHORT_OUTAGE: Duration = Duration::from_secs(60);

/// Grows with each round over the list of brokers, with jitter so that many gateways do not come all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    brokers: u32,
    attempts: u32,
    since: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(brokers: usize) -> Self {
        Self { brokers: u32::try_from(brokers).unwrap_or(u32::MAX).max(1), attempts: 0, since: None }
    }

    /// After a success the next failure is the first.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
        self.since = None;
    }

    /// The next pause. `refused`: a person must act first, and some brokers lock out who knocks too often.
    pub(super) fn next(&mut self, refused: bool) -> Duration {
        let since = *self.since.get_or_insert_with(Instant::now);
        let round = self.attempts / self.brokers;
        self.attempts = self.attempts.saturating_add(1);
        let longest = match refused {
            true => 40.0,
            false if since.elapsed() < SHORT_OUTAGE => 0.5,
            false => 4.0,
        };
        // Within a round there are other brokers to be asked: soon.
        let first = if self.attempts.is_multiple_of(self.brokers) { 0.3 } else { 0.05 };
        let growth = if refused { 2.0_f64 } else { 1.3 };
        let seconds = (first * growth.powi(round.min(32) as i32)).min(longest);
        Duration::from_secs_f64(seconds).mul_f64(rand::random_range(0.75..1.25))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_short_outage_ends_within_a_second() {
        let mut backoff = Backoff::new(1);
        while backoff.since.is_none_or(|since| since.elapsed() < Duration::from_secs(30)) {
            let pause = backoff.next(false);
            assert!(pause <= Duration::from_millis(650));
            tokio::time::advance(pause).await;
        }
        tokio::time::advance(SHORT_OUTAGE).await;
        assert!(backoff.next(false) <= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_refuses_is_asked_rarely() {
        let mut backoff = Backoff::new(1);
        assert!(backoff.next(true) < Duration::from_secs(1));
        let last = (0..20).map(|_| backoff.next(true)).last().unwrap();
        assert!((30.0..=50.0).contains(&last.as_secs_f64()), "{last:?}");
        backoff.reset();
        assert!(backoff.next(true) < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn other_brokers_of_the_list_are_asked_at_once() {
        let mut backoff = Backoff::new(3);
        let pauses: Vec<f64> = (0..3).map(|_| backoff.next(false).as_secs_f64()).collect();
        assert!(pauses[0] < 0.1 && pauses[1] < 0.1 && pauses[2] > 0.2, "{pauses:?}");
    }
}
