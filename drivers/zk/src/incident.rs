//! What happened to a terminal's log, and stays told when it is over: punches that are lost do not come back with the next one.

use std::{sync::MutexGuard, time::Duration};

use driver_api::{Report, Trouble};
use tokio::time::Instant;
use tracing::info;

use crate::{cursor::Compared, record::Form, serve::Serving};

/// It stays told for so long, unless somebody takes note of it before.
const HELD: Duration = Duration::from_secs(86_400);

/// Remembered from session to session.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    cleared: Option<Instant>,
    overrun: Option<Instant>,
    /// Records that it says it holds and did not give, and whether they were as many the time before.
    gap: (u64, bool),
}

impl Incidents {
    fn happened(&mut self, trouble: Trouble, now: Instant) {
        match trouble {
            Trouble::LogCleared => self.cleared = Some(now),
            Trouble::LogOverrun => self.overrun = Some(now),
            _ => {}
        }
    }

    /// Those that need not be told any more.
    fn over(&mut self, now: Instant) -> Vec<Trouble> {
        let held = [(Trouble::LogCleared, &mut self.cleared), (Trouble::LogOverrun, &mut self.overrun)];
        let mut over = Vec::new();
        for (trouble, since) in held {
            if since.is_none_or(|since| now.duration_since(since) > HELD) {
                *since = None;
                over.push(trouble);
            }
        }
        over
    }

    /// A comparison found so many missing. One may be wrong: a count that is ahead of its log for a moment. Two are not.
    fn found_missing(&mut self, missing: u64) {
        let (before, told) = self.gap;
        self.gap = (missing, missing > 0 && (told || missing == before));
    }

    /// Whether it keeps back part of its log, comparison after comparison.
    pub(crate) fn keeps_back(&self) -> bool {
        self.gap.1
    }
}

impl Serving<'_> {
    pub(crate) fn incidents(&self) -> MutexGuard<'_, Incidents> {
        self.incidents.lock().expect("nobody panics while holding a few numbers")
    }

    /// Compares a log with what is known of it: so many of its records were read before, and whether a full one holds none of those.
    pub(crate) async fn compare(&mut self, records: &[u8], form: Form, told: u32) -> (usize, bool) {
        let count = (records.len() / form.size()) as u64;
        let compared = match &self.cursor {
            Some(cursor) if cursor.records > 0 => cursor.compare(records, form),
            // All that it held had come live.
            _ if self.held() > count => Compared::Gone,
            Some(_) => Compared::Grown { known: 0 },
            None => return (0, false),
        };
        match compared {
            Compared::Grown { known } => {
                self.log_is_well();
                return (known, false);
            }
            Compared::Wrapped => {
                // All that it overwrote had been read: nothing is lost.
                info!("the terminal overwrote the oldest of its log");
                self.log_is_well();
            }
            Compared::Shrunk => {
                self.lost_records(Trouble::LogShrank, count);
                self.drop_cursor().await;
            }
            Compared::Gone if self.sizes.capacity.is_some_and(|capacity| capacity > 0 && told >= capacity) => {
                return (0, true);
            }
            Compared::Gone => {
                self.lost_records(Trouble::LogCleared, count);
                self.drop_cursor().await;
            }
        }
        (0, false)
    }

    /// Records that were read before are gone from its log.
    pub(crate) fn lost_records(&self, trouble: Trouble, records: u64) {
        let before = self.held();
        let cause = match trouble {
            Trouble::LogOverrun => format!(
                "its log is full with {records} records, and none of the {before} read before is among them; what it \
                 overwrote since was never read, unless exactly {records} were recorded"
            ),
            Trouble::LogShrank => {
                format!("{before} records were in its log, now there are {records}, the latest of them among those")
            }
            _ => format!("{before} records were in its log, now there are {records}, and not the same; all were read"),
        };
        self.incidents().happened(trouble, Instant::now());
        self.terminal.trouble(trouble, cause);
    }

    /// A full log holds nothing of what was read before. Something is lost if its oldest record had not come `before` live.
    pub(crate) async fn overran(&mut self, oldest_is_new: bool, records: u64) {
        if oldest_is_new {
            self.lost_records(Trouble::LogOverrun, records);
            self.drop_cursor().await;
        } else {
            info!("the terminal overwrote all that was read, and what it overwrote since came live");
            self.log_is_well();
        }
    }

    /// It grows as it should. What was lost before is told on for its time.
    pub(crate) fn log_is_well(&self) {
        self.terminal.relief(Trouble::LogShrank);
        for trouble in self.incidents().over(Instant::now()) {
            self.terminal.relief(trouble);
        }
    }

    /// Somebody looked after it.
    pub(crate) fn took_note(&self) {
        let gap = self.incidents().gap;
        *self.incidents() = Incidents { gap, ..Incidents::default() };
        self.terminal.relief(Trouble::LogCleared);
        self.terminal.relief(Trouble::LogOverrun);
    }

    /// Of those that it says it holds it gave so many. Only whole comparisons that come by themselves say more of it.
    pub(crate) fn tell_gap(&self, told: u32, gave: u64, compared: bool) {
        let missing = u64::from(told).saturating_sub(gave);
        self.terminal.report(Report::Gaps { missing });
        if !compared {
            return;
        }
        self.incidents().found_missing(missing);
        if self.incidents().keeps_back() {
            let cause = format!("it says that it holds {told} records and gives {gave} of them, time after time");
            self.terminal.trouble(Trouble::LogUnreadable, cause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_told_for_a_day() {
        let start = Instant::now();
        let mut incidents = Incidents::default();
        assert_eq!(incidents.over(start), [Trouble::LogCleared, Trouble::LogOverrun]);
        incidents.happened(Trouble::LogOverrun, start);
        assert_eq!(incidents.over(start + HELD), [Trouble::LogCleared]);
        assert_eq!(incidents.over(start + HELD + Duration::from_secs(1)), [Trouble::LogCleared, Trouble::LogOverrun]);
    }

    #[test]
    fn what_is_missing_once_may_be_a_count_that_was_ahead() {
        let mut incidents = Incidents::default();
        let mut keeps_back = |missing| {
            incidents.found_missing(missing);
            incidents.keeps_back()
        };
        assert!(![1, 0, 2, 1].map(&mut keeps_back).contains(&true));
        assert!(keeps_back(1) && keeps_back(2), "it stays told while any are missing");
        assert!(!keeps_back(0) && !keeps_back(2));
    }
}
