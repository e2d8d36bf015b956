//! When a terminal's log is compared with ours, and what follows from what was found.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use driver_api::{Job, JobFailed, Report, Trouble};
use jiff::{Timestamp, ToSpan, civil::DateTime};
use serde_json::json;
use tracing::{info, warn};

use crate::{
    commands::{Command, meaning},
    errands::second,
    gaps::{Comparison, Found, NO_ANSWER},
    queue::Purpose,
    settings::Dialect,
    terminal::{Inner, Terminal},
    unreadable::Obstacle,
};

/// A terminal that came back is left in peace for up to so many seconds, and not all are asked at the same moment.
const REST: u64 = 60;
/// A comparison that found something missing, or came to nothing, is made again after this long.
const AGAIN: Duration = Duration::from_secs(900);
/// Nobody is asked for more than that by itself.
const LONGEST_DAYS: i64 = 92;
/// A gap that does not close after so many tries is looked at in the ordinary course of things.
const MOST_IN_VAIN: u8 = 3;
const UNPROVEN: &str = "it counts punches of that time and sends none of them: whether all are here cannot be told";

/// The comparison under way, and when the next one is due.
pub(crate) struct Comparing {
    pub comparison: Option<Comparison>,
    due: Option<Instant>,
    /// What was the latest punch when it went away.
    before: Option<DateTime>,
    /// The time in which punches are missing.
    gap: Option<(DateTime, DateTime)>,
    rest: Duration,
    /// Comparisons in a row that found something missing.
    in_vain: u8,
}

impl Comparing {
    pub(crate) fn new(serial: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        serial.hash(&mut hasher);
        let rest = Duration::from_secs(hasher.finish() % REST);
        Self { comparison: None, due: None, before: None, gap: None, rest, in_vain: 0 }
    }

    /// It is back. `first`: nobody has ever seen it, so it sends its log by itself now, and is asked later.
    pub(crate) fn was_away(&mut self, latest: Option<DateTime>, first: bool, now: Instant) {
        self.before = self.before.or(latest);
        let due = now + if first { AGAIN } else { self.rest };
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }
}

impl Terminal {
    /// Compares a time, or everything since the last comparison with a day before it.
    pub(crate) fn compare(&self, from: Option<DateTime>, to: Option<DateTime>, job: Option<Job>, now: Timestamp) {
        let dialect = self.dialect();
        let wall = self.wall(now);
        let mut inner = self.inner();
        let known =
            [inner.cursor.compared_to, inner.errands.comparing.before, inner.latest].into_iter().flatten().min();
        let since = known.map_or(wall - 31.days(), |known| known.min(wall) - 1.day());
        let since =
            inner.errands.comparing.gap.map_or(since, |(from, _)| from.min(since)).max(wall - LONGEST_DAYS.days());
        let whole = from.is_none() && to.is_none();
        let (from, to) = (from.unwrap_or(since), to.unwrap_or(wall));
        if inner.errands.comparing.comparison.is_some() {
            if let Some(job) = job {
                job.done(Err(JobFailed::Refused("a comparison is under way".into())));
            }
            return;
        }
        if from > to {
            if let Some(job) = job {
                job.done(Err(JobFailed::Refused("the time ends before it begins".into())));
            }
            return;
        }
        inner.errands.comparing.due = Some(Instant::now() + self.settings.reconcile);
        inner.errands.comparing.comparison = Some(Comparison::new(from, to, whole, dialect, job));
        self.step(&mut inner, dialect, now);
    }

    /// Asks the next question of a comparison, or ends it.
    pub(crate) fn step(&self, inner: &mut Inner, dialect: Dialect, now: Timestamp) {
        let Some(comparison) = &mut inner.errands.comparing.comparison else { return };
        if let Some(command) = comparison.next() {
            self.ask(inner, command, dialect, now);
        }
        let held = inner.held;
        let found = inner.errands.comparing.comparison.as_ref().and_then(|comparison| comparison.found(held));
        let Some(found) = found else { return };
        let (job, whole) = match inner.errands.comparing.comparison.take() {
            Some(comparison) => (comparison.job, comparison.whole),
            None => return,
        };
        match found.refused {
            None if found.unproven => {
                warn!("terminal counts punches and sends none");
                self.report(Report::FailedRead { why: UNPROVEN.into() });
            }
            None => {
                if whole && found.missing == 0 {
                    inner.errands.comparing.before = None;
                    inner.cursor.compared_to = Some(found.to);
                }
                self.tell_gap(inner, &found);
                if !std::mem::take(&mut inner.set_aside) {
                    self.store.terminal().relief(Trouble::RecordsSetAside);
                }
                info!(received = found.received, new = found.new, missing = found.missing, "log compared");
            }
            Some(code) => {
                let why = format!("asked for its punches it answered {code}: {}", meaning(code));
                warn!(code, "log not compared");
                self.report(Report::FailedRead { why });
            }
        }
        if found.refused.is_none() && found.missing == 0 && !found.unproven {
            inner.errands.comparing.in_vain = 0;
        } else if inner.errands.comparing.in_vain < MOST_IN_VAIN {
            inner.errands.comparing.in_vain += 1;
            inner.errands.comparing.due = Some(Instant::now() + AGAIN);
        }
        if let Some(job) = job {
            job.done(match found.refused {
                Some(NO_ANSWER) => Err(JobFailed::NoAnswer("it did not say what its log holds".into())),
                Some(code) => Err(JobFailed::Refused(format!("{code}: {}", meaning(code)))),
                None if found.unproven => Err(JobFailed::Refused(UNPROVEN.into())),
                None => Ok(json!({
                    "expected": found.expected,
                    "received": found.received,
                    "new": found.new,
                    "missing": found.missing,
                })),
            });
        }
    }

    /// Its question was not fetched. Of one that is away nothing was learnt: when it is back it is asked again.
    pub(crate) fn not_fetched(&self, inner: &mut Inner) {
        let comparison = &mut inner.errands.comparing.comparison;
        if !inner.presence.is_away() {
            comparison.iter_mut().for_each(Comparison::give_up);
        } else if let Some(job) = comparison.take().and_then(|comparison| comparison.job) {
            job.done(Err(JobFailed::NotConnected));
        }
    }

    /// Tells of punches that are not here, until they are: a time that is well says nothing of another one.
    fn tell_gap(&self, inner: &mut Inner, found: &Found) {
        let Some(expected) = found.expected else { return };
        let Found { missing, from, to, .. } = *found;
        let gap = &mut inner.errands.comparing.gap;
        let news = if missing > 0 {
            let (first, last) = gap.unwrap_or((from, to));
            *gap = Some((first.min(from), last.max(to)));
            let cause = format!(
                "it counts {expected} punches from {from} to {to}, and {missing} of them or more did not arrive"
            );
            inner.unreadable.begins(Obstacle::Gap, cause, Instant::now())
        } else if gap.is_none_or(|(first, last)| from <= first && last <= to) {
            *gap = None;
            inner.unreadable.ends(&Obstacle::Gap)
        } else {
            return;
        };
        self.report(Report::Gaps { missing });
        self.tell_unreadable(news);
    }

    /// Puts a question of the comparison into the queue; where it finds no place the comparison is given up.
    pub(crate) fn ask(&self, inner: &mut Inner, command: Command, dialect: Dialect, now: Timestamp) {
        let queued = inner.errands.queue.push(command, Purpose::Comparison, dialect, second(now), Instant::now());
        if queued.is_err()
            && let Some(comparison) = &mut inner.errands.comparing.comparison
        {
            comparison.give_up();
        }
    }

    /// Starts a comparison when its time has come.
    pub(crate) fn compare_when_due(&self, dialect: Dialect, instant: Instant, now: Timestamp) {
        if self.inner().errands.comparing.due.is_none_or(|due| instant < due) || !self.connected(instant) {
            return;
        }
        if dialect == Dialect::Attendance {
            self.compare(None, None, None, now);
        } else {
            // A security terminal can only be asked for its whole log: on request alone.
            self.inner().errands.comparing.due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::{
        bench::{self, NOW},
        cursor::Cursor,
    };

    async fn terminal(cursor: Cursor) -> Terminal {
        bench::terminal(cursor).await.0
    }

    /// Minutes go by, in which the terminal shows its signs of life.
    fn pass(terminal: &Terminal, instant: &mut Instant, minutes: u32) {
        for _ in 0..minutes {
            for _ in 0..2 {
                terminal.seen(*instant);
                *instant += Duration::from_secs(30);
            }
            terminal.tick(*instant, NOW);
        }
    }

    #[tokio::test]
    async fn after_an_absence_it_is_asked_for_the_time_since_the_last_comparison() {
        let compared_to = Some(date(2026, 11, 10).at(8, 0, 0, 0));
        let terminal = terminal(Cursor { compared_to, ..Cursor::default() }).await;
        let came = Instant::now();
        terminal.seen(came);
        let later = came + Duration::from_secs(REST);
        terminal.seen(later);
        terminal.tick(later, NOW);
        let commands = terminal.poll(true, NOW);
        let wanted = "VERIFY SUM ATTLOG StartTime=2026-11-09 08:00:00\tEndTime=2026-11-18 11:06:40\n";
        assert!(commands.ends_with(wanted), "{commands}");
        assert_eq!(terminal.poll(false, NOW), "", "no commands for somebody at another address");
    }

    #[tokio::test]
    async fn a_terminal_that_nobody_knew_sends_its_log_first_and_is_asked_later() {
        let terminal = terminal(Cursor::default()).await;
        let mut instant = Instant::now();
        pass(&terminal, &mut instant, 14);
        assert_eq!(terminal.poll(true, NOW), "");
        pass(&terminal, &mut instant, 1);
        assert!(terminal.poll(true, NOW).contains("VERIFY SUM ATTLOG StartTime=2026-10-18 "), "a month");
    }

    #[tokio::test]
    async fn a_gap_that_does_not_close_is_asked_for_a_few_times_and_then_daily() {
        let terminal =
            terminal(Cursor { compared_to: Some(date(2026, 11, 18).at(8, 0, 0, 0)), ..Cursor::default() }).await;
        let mut instant = Instant::now();
        let mut asked = 0;
        for _ in 0..200 {
            pass(&terminal, &mut instant, 1);
            let commands = terminal.poll(true, NOW);
            let Some(id) = commands.split(':').nth(1) else { continue };
            asked += 1;
            let sum = format!("ID={id}&Return=0&CMD=VERIFY SUM&AttlogSum=9");
            crate::commands::outcomes(sum.as_bytes()).iter().for_each(|outcome| terminal.outcome(outcome, NOW));
            let query = terminal.poll(true, NOW);
            let id = query.split(':').nth(1).unwrap();
            // One of nine comes.
            let comparing = |inner: &mut Inner| inner.errands.comparing.comparison.as_mut().unwrap().unreadable(1);
            comparing(&mut terminal.inner());
            let done = format!("ID={id}&Return=1&CMD=DATA");
            crate::commands::outcomes(done.as_bytes()).iter().for_each(|outcome| terminal.outcome(outcome, NOW));
            terminal.poll(true, NOW);
        }
        assert_eq!(asked, 1 + usize::from(MOST_IN_VAIN));
        assert_eq!(
            terminal.inner().cursor.compared_to,
            Some(date(2026, 11, 18).at(8, 0, 0, 0)),
            "the gap is not closed"
        );
    }

    #[tokio::test]
    async fn who_has_it_compared_learns_as_soon_as_it_is_away() {
        let terminal = terminal(Cursor::default()).await;
        let came = Instant::now();
        terminal.seen(came);
        let order = || Job::new("t", driver_api::Operation::Reconcile { from: None, to: None });
        let (job, mut answer) = order();
        terminal.job(job, NOW);
        terminal.tick(came + Duration::from_secs(29), NOW);
        assert!(answer.try_recv().is_err(), "it may come yet");
        let away = came + Duration::from_secs(60);
        terminal.tick(away, NOW);
        assert_eq!(answer.try_recv(), Ok(Err(JobFailed::NotConnected)));
        // It is no obstacle to the next one.
        terminal.seen(away);
        let (job, mut answer) = order();
        terminal.job(job, NOW);
        assert!(terminal.poll(true, NOW).contains(":VERIFY SUM ATTLOG ") && answer.try_recv().is_err());
    }

    #[tokio::test]
    async fn when_clocks_change_it_reads_its_options_again() {
        let terminal = terminal(Cursor::default()).await;
        terminal.inner().offset = Some(jiff::tz::Offset::constant(1));
        terminal.tick(Instant::now(), NOW);
        terminal.tick(Instant::now(), NOW);
        let commands = terminal.poll(true, NOW);
        assert!(commands.ends_with(":CHECK\n") && commands.lines().count() == 1, "{commands}");
    }
}
