//! Whether the gateway's own clock may be believed.
//!
//! What is known to be past is the floor: the clock may not fall behind its own records. A clock that was in the future for a
//! while has put records there, and once it is right again it would be doubted until that future has come. So the time line
//! on which the clock was first believed is kept, by the monotonic clock: when a step forward is taken back and the clock is on
//! that line again, then before and after agree, and what lay between was wrong.
//!
//! When the future came first, before any line or in a former run, no line leads back. Then it takes somebody's word that the
//! clock is right: a time server's that keeps it, or that of whoever set it while we ran, once it has gone evenly for a while.
//! A clock does not move by itself; but one that came up behind its records and was never touched is most likely an empty
//! battery, however evenly it goes. Such a word is enough for terminals. The floor stays: signed commands go by it, and an old
//! one must not come to life because somebody turned the clock back.

mod step;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use self::step::Steps;
use crate::host;

/// No present moment lies before this build's own time. 2025-11-13.
const BUILT_AFTER: i64 = 1_763_000_000;
/// Smaller steps back are a time server at work.
const TOLERANCE: i64 = 60;
/// A clock that was set, and has gone evenly for so long, was meant to be set so.
const EVEN: Duration = Duration::from_secs(600);
/// Asking who keeps the clock takes some system calls, and is not done for every request.
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// The latest second that is known to be past: that of the last durable punch.
#[derive(Debug)]
pub struct Clock {
    known: Mutex<Known>,
    is_kept: fn() -> bool,
}

impl Default for Clock {
    /// A clock that nobody keeps.
    fn default() -> Self {
        Self::new(|| false)
    }
}

/// All in seconds since 1970.
#[derive(Debug, Default)]
struct Known {
    floor: i64,
    /// The floor as it was without what was stored off the line.
    firm: i64,
    /// The line: what the clock said when it was first believed, and when that was.
    line: Option<(i64, Instant)>,
    /// What the clock said when it was last looked at, and when that was.
    seen: Option<(i64, Instant)>,
    /// When it was last found to have been set.
    set: Option<Instant>,
    /// Whether a time server keeps it, and when that was asked.
    kept: Option<(bool, Instant)>,
    steps: Steps,
}

impl Clock {
    /// `is_kept`: whether a time server keeps this machine's clock.
    pub fn new(is_kept: fn() -> bool) -> Self {
        Self { known: Mutex::default(), is_kept }
    }

    /// This moment is past.
    pub fn passed(&self, moment: Timestamp) {
        self.known().passed(moment.as_second(), Instant::now());
    }

    /// The latest second that is known to be past.
    pub fn floor(&self) -> i64 {
        self.known().floor
    }

    /// The same as an instant; nothing where nothing is known to be past.
    pub fn floor_time(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.floor()).ok().filter(|floor| floor.as_second() > 0)
    }

    /// Why the clock may not be believed now, if so.
    pub fn doubt(&self) -> Option<String> {
        self.known().doubt(Timestamp::now(), Instant::now(), self.is_kept)
    }

    /// By which step it is not where it was, while nobody vouches for it. To be looked at every few seconds.
    pub fn stepped(&self) -> Option<String> {
        let up = i64::try_from(host::up()?.as_secs()).ok()?;
        let (mut known, now) = (self.known(), Timestamp::now().as_second());
        let mut steps = std::mem::take(&mut known.steps);
        let told = steps.look(now, up, || known.asked(Instant::now(), self.is_kept));
        known.steps = steps;
        told
    }

    /// Whether it lies behind its own records. It may be believed all the same, but not for how old a signature is.
    pub fn is_behind(&self) -> bool {
        Timestamp::now().as_second() + TOLERANCE < self.floor()
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
        self.line.is_some_and(|line| goes_on(line, now, at))
    }

    /// Whether somebody says that the clock is right, although it lies behind its records.
    fn is_vouched_for(&mut self, at: Instant, is_kept: fn() -> bool) -> bool {
        if self.set.is_some_and(|set| at.duration_since(set) >= EVEN) {
            return true;
        }
        self.asked(at, is_kept)
    }

    /// Whether a time server keeps it.
    fn asked(&mut self, at: Instant, is_kept: fn() -> bool) -> bool {
        let known = self.kept.filter(|(_, asked)| at.duration_since(*asked) < ASKED_EVERY);
        let (kept, _) = *self.kept.insert(known.unwrap_or_else(|| (is_kept(), at)));
        kept
    }

    fn doubt(&mut self, now: Timestamp, at: Instant, is_kept: fn() -> bool) -> Option<String> {
        let second = now.as_second();
        if self.seen.replace((second, at)).is_some_and(|seen| !goes_on(seen, second, at)) {
            self.set = Some(at);
        }
        if second < BUILT_AFTER {
            return Some(format!("it says {now}, which is before this version of Punchgate was made"));
        }
        if second + TOLERANCE < self.floor && second + TOLERANCE >= self.firm && self.is_on_line(second, at) {
            self.floor = self.firm;
        }
        if second + TOLERANCE < self.floor && !self.is_vouched_for(at, is_kept) {
            let floor = Timestamp::from_second(self.floor).unwrap_or(Timestamp::MAX);
            return Some(format!("it says {now}, but punches were stored at {floor}"));
        }
        self.line.get_or_insert((second, at));
        None
    }
}

/// Whether a clock that said `then` at `since` would by now say this, had nobody set it.
fn goes_on((then, since): (i64, Instant), now: i64, at: Instant) -> bool {
    let passed = i64::try_from(at.duration_since(since).as_secs()).unwrap_or(i64::MAX);
    (now - then - passed).abs() <= TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: fn() -> bool = || false;
    const TIME_SERVER: fn() -> bool = || true;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_floor_is_shown_while_the_clock_is_believed() {
        let clock = Clock::default();
        assert_eq!(clock.floor_time(), None);
        clock.passed(at("2026-11-24T08:00:00Z"));
        assert_eq!(clock.floor_time(), Some(at("2026-11-24T08:00:00Z")));
    }

    #[test]
    fn a_clock_before_its_own_records_is_not_believed() {
        let (mut clock, now) = (Known::default(), Instant::now());
        assert!(clock.doubt(at("1970-01-01T00:03:00Z"), now, NOBODY).is_some());
        assert_eq!(clock.doubt(at("2026-11-24T08:00:00Z"), now, NOBODY), None);
        let later = now + Duration::from_secs(3600);
        clock.passed(at("2026-11-24T09:00:00Z").as_second(), later);
        let doubt = clock.doubt(at("2026-11-24T08:00:00Z"), later, NOBODY).unwrap();
        assert!(doubt.contains("punches were stored at 2026-11-24T09:00:00Z"), "{doubt}");
        assert_eq!(clock.doubt(at("2026-11-24T08:59:30Z"), later, NOBODY), None);
    }

    #[test]
    fn a_clock_that_comes_back_from_the_future_is_believed_again() {
        let (mut clock, now) = (Known::default(), Instant::now());
        clock.passed(at("2026-11-24T07:00:00Z").as_second(), now); // by a former run
        assert_eq!(clock.doubt(at("2026-11-24T08:00:00Z"), now, NOBODY), None);
        let later = now + Duration::from_secs(60);
        clock.passed(at("2026-12-24T08:01:00Z").as_second(), later);
        assert_eq!(clock.doubt(at("2026-12-24T08:01:00Z"), later, NOBODY), None, "who knows which of the two is right");
        let later = now + Duration::from_secs(600);
        assert!(clock.doubt(at("2026-12-20T08:10:00Z"), later, NOBODY).is_some(), "neither the one nor the other");
        assert_eq!(clock.doubt(at("2026-11-24T08:10:00Z"), later, NOBODY), None);
        clock.passed(at("2026-11-24T08:10:00Z").as_second(), later);
        // The floor of the line itself holds as before.
        assert!(clock.doubt(at("2026-11-24T08:00:00Z"), later, NOBODY).is_some());
    }

    #[test]
    fn what_a_former_run_stored_is_not_forgotten_for_a_line_of_ones_own() {
        let (mut clock, now) = (Known::default(), Instant::now());
        clock.passed(at("2026-11-24T09:00:00Z").as_second(), now);
        for seconds in [0, 10, 100] {
            let (time, later) = (at("2026-11-20T08:00:00Z"), now + Duration::from_secs(seconds));
            let time = Timestamp::from_second(time.as_second() + seconds as i64).unwrap();
            // Punches go on to be stored while the clock is doubted.
            assert!(clock.doubt(time, later, NOBODY).is_some());
            clock.passed(time.as_second(), later);
        }
        assert_eq!(clock.doubt(at("2026-11-24T09:01:00Z"), now + Duration::from_secs(200), NOBODY), None);
    }

    #[test]
    fn a_clock_that_a_time_server_keeps_is_believed_behind_what_was_stored_in_the_future() {
        let (mut clock, now) = (Known::default(), Instant::now());
        let future = at("2028-01-03T17:21:12Z").as_second();
        clock.passed(future, now); // by a former run, whose clock was 400 days ahead
        assert!(clock.doubt(at("2026-11-29T17:21:27Z"), now, NOBODY).is_some());
        let later = now + Duration::from_secs(20);
        assert_eq!(clock.doubt(at("2026-11-29T17:21:47Z"), later, TIME_SERVER), None);
        assert_eq!(clock.floor, future, "signed commands go by it as before");
        assert!(clock.doubt(at("1970-01-01T00:03:00Z"), later, TIME_SERVER).is_some());
    }

    #[test]
    fn a_clock_that_was_set_right_while_we_ran_is_believed_when_it_has_gone_evenly() {
        let (mut clock, now) = (Known::default(), Instant::now());
        assert_eq!(clock.doubt(at("2026-11-29T16:00:00Z"), now, NOBODY), None, "8 hours ahead, and who would know");
        clock.passed(at("2026-11-29T16:01:00Z").as_second(), now + Duration::from_secs(60));
        let right = at("2026-11-29T08:02:00Z").as_second();
        let mut after = |seconds: u64| {
            let time = Timestamp::from_second(right + seconds as i64).unwrap();
            clock.doubt(time, now + Duration::from_secs(120 + seconds), NOBODY)
        };
        assert!(after(0).is_some());
        assert!(after(590).is_some());
        assert_eq!(after(601), None);
        assert_eq!(after(3600), None);
        // Set once more, it has to show itself again.
        assert!(clock.doubt(at("2026-11-28T09:10:00Z"), now + Duration::from_secs(3800), NOBODY).is_some());
    }

    #[test]
    fn a_clock_that_came_up_behind_its_records_is_not_believed_for_going_evenly() {
        let (mut clock, now) = (Known::default(), Instant::now());
        clock.passed(at("2026-11-24T09:00:00Z").as_second(), now);
        for hours in 0..24 {
            let time = Timestamp::from_second(at("2026-11-20T08:00:00Z").as_second() + hours * 3600).unwrap();
            let later = now + Duration::from_secs(hours as u64 * 3600);
            assert!(clock.doubt(time, later, NOBODY).is_some(), "{hours}");
        }
    }
}
