//! Whether the gateway's own clock may be believed.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// No present moment lies before this build's own time. 2025-11-13.
const BUILT_AFTER: i64 = 1_763_000_000;
/// Smaller steps back are a time server at work.
const TOLERANCE: i64 = 60;

/// The latest second that is known to be past: that of the last durable punch.
#[derive(Debug, Default)]
pub struct Clock {
    floor: AtomicI64,
}

impl Clock {
    /// This moment is past.
    pub fn passed(&self, moment: Timestamp) {
        self.floor.fetch_max(moment.as_second(), Ordering::Relaxed);
    }

    /// The latest second that is known to be past.
    pub fn floor(&self) -> i64 {
        self.floor.load(Ordering::Relaxed)
    }

    /// Why the clock may not be believed now, if so.
    pub fn doubt(&self) -> Option<String> {
        self.doubt_at(Timestamp::now())
    }

    fn doubt_at(&self, now: Timestamp) -> Option<String> {
        let floor = self.floor.load(Ordering::Relaxed);
        if now.as_second() < BUILT_AFTER {
            return Some(format!("it says {now}, which is before this version of Punchgate was made"));
        }
        if now.as_second() + TOLERANCE < floor {
            let floor = Timestamp::from_second(floor).unwrap_or(Timestamp::MAX);
            return Some(format!("it says {now}, but punches were stored at {floor}"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_its_own_records_is_not_believed() {
        let clock = Clock::default();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(clock.doubt_at(at("1970-01-01T00:03:00Z")).is_some());
        assert_eq!(clock.doubt_at(at("2026-11-24T08:00:00Z")), None);
        clock.passed(at("2026-11-24T09:00:00Z"));
        assert!(
            clock.doubt_at(at("2026-11-24T08:00:00Z")).unwrap().contains("punches were stored at 2026-11-24T09:00:00Z")
        );
        assert_eq!(clock.doubt_at(at("2026-11-24T08:59:30Z")), None);
    }
}
