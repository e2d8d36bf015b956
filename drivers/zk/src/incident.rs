//! What happened to a terminal's log, and stays told when it is over: punches that are lost do not come back with the next one.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use driver_api::{NotStored, Report, Store, Terminal, Trouble};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{cursor::Compared, record::Form, serve::Serving};

/// It stays told for so long, unless somebody takes note of it before.
const HELD: Duration = Duration::from_secs(86_400);
/// Under this they are remembered: in the journal, since the condition must not be over because the gateway was started anew.
const KEY: &str = "incidents";

/// Remembered from session to session, and the first two from run to run.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    cleared: Option<Happened>,
    overrun: Option<Happened>,
    /// What was remembered by the run before is known.
    recalled: bool,
    /// Records that it says it holds and did not give, and whether they were as many the time before.
    gap: (u64, bool),
}

#[derive(Debug)]
struct Happened {
    until: Instant,
    note: Note,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    at: Timestamp,
    cause: String,
}

/// As they are remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Notes {
    cleared: Option<Note>,
    overrun: Option<Note>,
}

/// Tells what happened in the run before, where it is still to be told. Once in a run, and before the log is said to be well.
pub(crate) async fn recall(incidents: &Mutex<Incidents>, terminal: &Terminal, store: &Store) -> Result<(), NotStored> {
    if lock(incidents).recalled {
        return Ok(());
    }
    let notes = store.remembered(KEY).await?;
    // What cannot be read was written by another version.
    let notes: Notes = notes.and_then(|notes| serde_json::from_slice(&notes).ok()).unwrap_or_default();
    let mut incidents = lock(incidents);
    for (trouble, note) in [(Trouble::LogCleared, notes.cleared), (Trouble::LogOverrun, notes.overrun)] {
        let Some(note) = note else { continue };
        // By a clock that is put right later it may lie ahead.
        let passed = Timestamp::now().duration_since(note.at).try_into().unwrap_or(Duration::ZERO);
        if passed < HELD {
            terminal.trouble(trouble, note.cause.as_str());
            let happened = Happened { until: Instant::now() + (HELD - passed), note };
            *incidents.held(trouble).expect("one of the two") = Some(happened);
        }
    }
    incidents.recalled = true;
    Ok(())
}

fn lock(incidents: &Mutex<Incidents>) -> MutexGuard<'_, Incidents> {
    incidents.lock().expect("nobody panics while holding a few numbers")
}

impl Incidents {
    fn held(&mut self, trouble: Trouble) -> Option<&mut Option<Happened>> {
        match trouble {
            Trouble::LogCleared => Some(&mut self.cleared),
            Trouble::LogOverrun => Some(&mut self.overrun),
            _ => None,
        }
    }

    /// Whether it is one that stays told.
    fn happened(&mut self, trouble: Trouble, cause: &str, now: Instant) -> bool {
        let note = Note { at: Timestamp::now(), cause: cause.to_owned() };
        self.held(trouble).map(|held| *held = Some(Happened { until: now + HELD, note })).is_some()
    }

    /// Those that need not be told any more.
    fn over(&mut self, now: Instant) -> Vec<Trouble> {
        let mut over = Vec::new();
        for trouble in [Trouble::LogCleared, Trouble::LogOverrun] {
            let held = self.held(trouble).expect("one of the two");
            if held.as_ref().is_none_or(|happened| now > happened.until) {
                *held = None;
                over.push(trouble);
            }
        }
        over
    }

    fn notes(&self) -> Vec<u8> {
        let note = |happened: &Option<Happened>| happened.as_ref().map(|happened| happened.note.clone());
        let notes = Notes { cleared: note(&self.cleared), overrun: note(&self.overrun) };
        serde_json::to_vec(&notes).expect("times and texts always make JSON")
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
        lock(self.incidents)
    }

    /// Not remembered is told until the gateway is started anew.
    async fn remember_incidents(&self) {
        let notes = self.incidents().notes();
        if let Err(error) = self.store.remember(KEY, notes).await {
            warn!(%error, "what happened to a log is not remembered");
        }
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
                self.lost_records(Trouble::LogShrank, count).await;
                self.drop_cursor().await;
            }
            Compared::Gone if self.sizes.capacity.is_some_and(|capacity| capacity > 0 && told >= capacity) => {
                return (0, true);
            }
            Compared::Gone => {
                self.lost_records(Trouble::LogCleared, count).await;
                self.drop_cursor().await;
            }
        }
        (0, false)
    }

    /// Records that were read before are gone from its log.
    pub(crate) async fn lost_records(&self, trouble: Trouble, records: u64) {
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
        let stays = self.incidents().happened(trouble, &cause, Instant::now());
        self.terminal.trouble(trouble, cause);
        if stays {
            self.remember_incidents().await;
        }
    }

    /// A full log holds nothing of what was read before. Something is lost if its oldest record had not come `before` live.
    pub(crate) async fn overran(&mut self, oldest_is_new: bool, records: u64) {
        if oldest_is_new {
            self.lost_records(Trouble::LogOverrun, records).await;
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
    pub(crate) async fn took_note(&self) {
        let before = {
            let mut incidents = self.incidents();
            (incidents.cleared.take(), incidents.overrun.take())
        };
        self.terminal.relief(Trouble::LogCleared);
        self.terminal.relief(Trouble::LogOverrun);
        if !matches!(before, (None, None)) {
            self.remember_incidents().await;
        }
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
        assert!(incidents.happened(Trouble::LogOverrun, "full", start));
        assert!(!incidents.happened(Trouble::LogShrank, "shorter", start));
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
