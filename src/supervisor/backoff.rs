//! How long to wait before the next attempt at a terminal.

use std::time::Duration;

use crate::health::Code;

/// Doubles from attempt to attempt, with jitter so that many terminals do not come all at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
    refusals: u32,
}

impl Backoff {
    /// The next pause, by what went wrong.
    pub(super) fn next(&mut self, code: Code) -> Duration {
        // A terminal needs a second or three to free its one slot. A refused key is not knocked at in a loop: the terminal
        // is busy with us meanwhile, and some lock out. But one refusal alone may be the answer to a question that was damaged
        // on its way, and is asked about once more.
        let (first, longest, before) = match code {
            Code::TerminalRefuses => {
                self.refusals = self.refusals.saturating_add(1);
                if self.refusals == 1 { (5, 5, 0) } else { (60, 300, self.refusals - 2) }
            }
            Code::TerminalBusy => (5, 60, self.attempts),
            _ => (2, 30, self.attempts),
        };
        let seconds = (first << before.min(16)).min(longest);
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
    }

    #[test]
    fn one_refusal_is_asked_about_soon_and_no_key_is_knocked_at_in_a_loop() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.next(Code::TerminalOffline);
        }
        assert!(backoff.next(Code::TerminalRefuses) < Duration::from_secs(7));
        let pauses: Vec<f64> = (0..5).map(|_| backoff.next(Code::TerminalRefuses).as_secs_f64()).collect();
        assert!((45.0..75.0).contains(&pauses[0]) && (90.0..150.0).contains(&pauses[1]), "{pauses:?}");
        assert!(pauses[4] >= 225.0, "{pauses:?}");
    }
}
