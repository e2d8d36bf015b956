//! How far a terminal's clock is off, seen from when its punches arrive. A backlog is no sign of a wrong clock.

use std::collections::VecDeque;

use driver_api::{Clock, ClockSource};

/// Further off than this somebody should know. Milliseconds, as everything here.
const OFF: i64 = 120_000;
/// A late punch says nothing; three in a row that are late by the same time do.
const AGREEING: usize = 3;
const AGREEMENT: i64 = 30_000;
/// Terminals write whole seconds, and take some to send.
pub(crate) const ERROR: i64 = 10_000;
/// A record that lies no further from our time is one that has just happened, seen through a clock that is a little off.
pub(crate) const JUST_NOW: i64 = 600_000;
/// Uploads with more records than this are a backlog.
pub(crate) const LIVE: usize = 5;

/// The latest few differences between a terminal's time and ours.
#[derive(Debug, Default)]
pub(crate) struct Skew {
    late: VecDeque<i64>,
}

/// What an upload says about the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    Right(Clock),
    Off(Clock),
    Nothing,
}

impl Skew {
    /// `ahead`: the newest record's time minus ours, of an upload of at most [`LIVE`] records.
    pub(crate) fn upload(&mut self, ahead: i64) -> Finding {
        let clock = Clock { skew_ms: Some(ahead), err_ms: Some(ERROR), how: ClockSource::Arrival };
        if ahead.abs() <= OFF {
            self.late.clear();
            return Finding::Right(clock);
        }
        if ahead > OFF {
            return Finding::Off(clock); // nobody punches in the future
        }
        if self.late.len() == AGREEING {
            self.late.pop_front();
        }
        self.late.push_back(ahead);
        let agree = self.late.iter().all(|late| (late - ahead).abs() <= AGREEMENT);
        if self.late.len() == AGREEING && agree { Finding::Off(clock) } else { Finding::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_no_skew_and_a_steady_delay_is() {
        let mut skew = Skew::default();
        assert!(matches!(skew.upload(-2_000), Finding::Right(_)));
        for late in [-9_000_000, -8_000_000, -7_000_000, -600_000] {
            assert_eq!(skew.upload(late), Finding::Nothing);
        }
        assert_eq!(skew.upload(-3_600_000), Finding::Nothing);
        assert_eq!(skew.upload(-3_601_000), Finding::Nothing);
        assert!(matches!(skew.upload(-3_599_000), Finding::Off(clock) if clock.skew_ms == Some(-3_599_000)));
        assert!(matches!(skew.upload(7_200_000), Finding::Off(_)));
    }
}
