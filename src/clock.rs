//! Whether the gateway's own clock may be believed.
//!
//! What is known to be past is the floor: the clock may not fall behind its own records. A clock that was in the future for a
//! while has put records there, and once it is right again it would be doubted until that future has come. So the time line
//! on which the clock was first believed is kept, by the monotonic clock: when a step forward is taken back and the clock is on
//! that line again, then before and after agree, and what lay between was wrong.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use jiff::Timestamp;

/// No present moment lies before this build's own time. 2025-11-13.
const BUILT_AFTER: i64 = 1_763_000_000;
/// Smaller steps back are a time server at work.
const TOLERANCE: i64 = 60;

/// The latest second that is known to be past: that of the last durable punch.
#[derive(Debug, Default)]
pub struct Clock {
    known: Mutex<Known>,
}

/// All in seconds since 1970.
#[derive(Debug, Default)]
struct Known {
    floor: i64,
    /// The floor as it was without what was stored off the line.
    firm: i64,
    /// The line: what the clock said when it was first believed, and when that was.
    line: Option<(i64, Instant)>,
}

impl Clock {
    /// This moment is past.
    pub fn passed(&self, moment: Timestamp) {
        self.known().passed(moment.as_second(), Instant::now());
    }

    /// The latest second that is known to be past.
    pub fn floor(&self) -> i64 {
        self.known().floor
    }

    /// Why the clock may not be believed now, if so.
    pub fn doubt(&self) -> Option<String> {
        self.known().doubt(Timestamp::now(), Instant::now())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn passed(&mut self, moment: i64, at: Instant) {
        self.floor = self.floor.max(moment);
        // Before there is a line, it is what a former run left.
        if self.line.is_none() || self.is_on_line(moment, at) {
            self.firm = self.firm.max(moment);
        }
    }

    fn is_on_line(&self, now: i64, at: Instant) -> bool {
        self.line.is_some_and(|(then, since)| {
            let passed = i64::try_from(at.duration_since(since).as_secs()).unwrap_or(i64::MAX);
            (now - then - passed).abs() <= TOLERANCE
        })
    }

    fn doubt(&mut self, now: Timestamp, at: Instant) -> Option<String> {
        let second = now.as_second();
        if second < BUILT_AFTER {
            return Some(format!("it says {now}, which is before this version of Punchgate was made"));
        }
        if second + TOLERANCE < self.floor && second + TOLERANCE >= self.firm && self.is_on_line(second, at) {
            self.floor = self.firm;
        }
        if second + TOLERANCE < self.floor {
            let floor = Timestamp::from_second(self.floor).unwrap_or(Timestamp::MAX);
            return Some(format!("it says {now}, but punches were stored at {floor}"));
        }
        self.line.get_or_insert((second, at));
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_before_its_own_records_is_not_believed() {
        let (mut clock, now) = (Known::default(), Instant::now());
        assert!(clock.doubt(at("1970-01-01T00:03:00Z"), now).is_some());
        assert_eq!(clock.doubt(at("2026-11-24T08:00:00Z"), now), None);
        let later = now + Duration::from_secs(3600);
        clock.passed(at("2026-11-24T09:00:00Z").as_second(), later);
        let doubt = clock.doubt(at("2026-11-24T08:00:00Z"), later).unwrap();
        assert!(doubt.contains("punches were stored at 2026-11-24T09:00:00Z"), "{doubt}");
        assert_eq!(clock.doubt(at("2026-11-24T08:59:30Z"), later), None);
    }

    #[test]
    fn a_clock_that_comes_back_from_the_future_is_believed_again() {
        let (mut clock, now) = (Known::default(), Instant::now());
        clock.passed(at("2026-11-24T07:00:00Z").as_second(), now); // by a former run
        assert_eq!(clock.doubt(at("2026-11-24T08:00:00Z"), now), None);
        let later = now + Duration::from_secs(60);
        clock.passed(at("2026-12-24T08:01:00Z").as_second(), later);
        assert_eq!(clock.doubt(at("2026-12-24T08:01:00Z"), later), None, "who knows which of the two is right");
        let later = now + Duration::from_secs(600);
        assert!(clock.doubt(at("2026-12-20T08:10:00Z"), later).is_some(), "neither the one nor the other");
        assert_eq!(clock.doubt(at("2026-11-24T08:10:00Z"), later), None);
        clock.passed(at("2026-11-24T08:10:00Z").as_second(), later);
        // The floor of the line itself holds as before.
        assert!(clock.doubt(at("2026-11-24T08:00:00Z"), later).is_some());
    }

    #[test]
    fn what_a_former_run_stored_is_not_forgotten_for_a_line_of_ones_own() {
        let (mut clock, now) = (Known::default(), Instant::now());
        clock.passed(at("2026-11-24T09:00:00Z").as_second(), now);
        for seconds in [0, 10, 100] {
            let (time, later) = (at("2026-11-20T08:00:00Z"), now + Duration::from_secs(seconds));
            let time = Timestamp::from_second(time.as_second() + seconds as i64).unwrap();
            // Punches go on to be stored while the clock is doubted.
            assert!(clock.doubt(time, later).is_some());
            clock.passed(time.as_second(), later);
        }
        assert_eq!(clock.doubt(at("2026-11-24T09:01:00Z"), now + Duration::from_secs(200)), None);
    }
}
