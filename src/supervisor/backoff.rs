//! How long to wait before the next attempt at a terminal.

use std::time::Duration;

use crate::health::Code;

/// Doubles from attempt to attempt, with jitter so that many terminals do not come all at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next pause, by what went wrong.
    pub(super) fn next(&mut self, code: Code) -> Duration {
        // A terminal needs a second or three to free its one slot. A refused key is not knocked at in a loop: the terminal
        // is busy with us meanwhile, and some lock out.
        let (first, longest) = match code {
            Code::TerminalRefuses => (60, 300),
            Code::TerminalBusy => (5, 60),
            _ => (2, 30),
        };
        let seconds = (first << self.attempts.min(16)).min(longest);
        self.attempts = self.attempts.saturating_add(1);
        Duration::from_secs(seconds).mul_f64(rand::random_range(0.75..1.25))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<f64> = (0..40).map(|_| backoff.next(Code::TerminalOffline).as_secs_f64()).collect();
        assert!((1.5..2.5).contains(&pauses[0]) && (3.0..5.0).contains(&pauses[1]));
        assert!(pauses[10..].iter().all(|pause| (22.5..37.5).contains(pause)));
        assert!(Backoff::default().next(Code::TerminalRefuses) >= Duration::from_secs(45));
    }
}
