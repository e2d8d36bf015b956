//! How far a terminal's clock is off, and whether it may be set. Pure: the caller asks the terminal.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use crate::{Clock, ClockSource};

/// Bounds that lie further apart than this are no drift: somebody set the clock, or it forgot the time. Milliseconds.
const MOVED: i64 = 2_000;
/// A live punch may be told so much later than it was made, and seem so much too early where clocks are slewed.
const LATE: i64 = 5_000;
const EARLY: i64 = 1_000;

/// What is known of a terminal's skew: it lies between two bounds, in milliseconds; positive is ahead.
///
/// A terminal tells whole seconds, so one question leaves a second of doubt. Questions asked at odd moments each leave
/// another second, and the truth lies in all of them: the bounds close in without a single extra question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    low: i64,
    high: i64,
}

impl Skew {
    /// From one question: asked at `before`, answered at `after` by our clock, and what the terminal said.
    pub fn sample(before: Timestamp, after: Timestamp, terminal: DateTime, zone: &TimeZone) -> Option<Self> {
        let said = instant_near(terminal, after, zone)?;
        let low = said.duration_since(after);
        let high = said.duration_since(before) + SignedDuration::from_secs(1);
        Some(Self { low: i64::try_from(low.as_millis()).ok()?, high: i64::try_from(high.as_millis()).ok()? })
    }

    /// Both are true; or the newer alone, when a clock was set in between.
    pub fn and(self, newer: Self) -> Self {
        let both = Self { low: self.low.max(newer.low), high: self.high.min(newer.high) };
        if both.low <= both.high { both } else { newer }
    }

    /// Whether the clock was moved between this and the newer one.
    pub fn has_moved(self, newer: Self) -> bool {
        newer.low > self.high + MOVED || newer.high < self.low - MOVED
    }

    /// Whether a clock with this skew can have written this wall time, in whole seconds, on what was told at `told_at`, when it
    /// was told within a few seconds. What does not fit was told later, or the clock has been moved.
    pub fn fits(self, local: DateTime, told_at: Timestamp, zone: &TimeZone) -> bool {
        let Some(wrote) = self.instant(local, told_at, zone) else { return false };
        let ahead = wrote.duration_since(told_at).as_millis() + i128::from(self.middle_ms());
        ahead + 1000 >= i128::from(self.low - LATE) && ahead <= i128::from(self.high + EARLY)
    }

    /// When by our clock it was, when a clock with this skew said so, some time near to `near`.
    pub fn instant(self, local: DateTime, near: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let skew = SignedDuration::from_millis(self.middle_ms());
        let there = near.checked_add(skew).unwrap_or(near);
        instant_near(local, there, zone)?.checked_sub(skew).ok()
    }

    /// The best guess, in milliseconds.
    pub fn middle_ms(self) -> i64 {
        self.low + (self.high - self.low) / 2
    }

    /// How far that guess may be wrong, in milliseconds.
    pub fn error_ms(self) -> i64 {
        (self.high - self.low + 1) / 2
    }

    /// As it travels with each punch.
    pub fn as_clock(self) -> Clock {
        Clock { skew_ms: Some(self.middle_ms()), err_ms: Some(self.error_ms()), how: ClockSource::Probed }
    }

    /// Whether it is certainly off by more than `limit`.
    pub fn exceeds(self, limit: Duration) -> bool {
        let limit = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        self.low > limit || self.high < -limit
    }

    /// Whether the terminal is certainly ahead of us.
    pub fn is_ahead(self) -> bool {
        self.low > 0
    }

    /// The terminal's wall time now.
    pub fn wall_time(self, zone: &TimeZone) -> DateTime {
        let now = Timestamp::now();
        let there = now.checked_add(SignedDuration::from_millis(self.middle_ms())).unwrap_or(now);
        there.to_zoned(zone.clone()).datetime()
    }

    /// For people.
    pub fn words(self) -> String {
        let middle = self.middle_ms();
        // Nearest, not cut: 4:59:59.99 is 5 h.
        let seconds = rounded(middle.unsigned_abs(), 1000);
        let side = if middle > 0 { "ahead" } else { "behind" };
        let far = match seconds {
            0..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", rounded(seconds, 60)),
            7200..172_800 => format!("{} h", rounded(seconds, 3600)),
            _ => format!("{} days", rounded(seconds, 86_400)),
        };
        let hour = if (3540..=3660).contains(&seconds) { ": summer time, or another zone?" } else { "" };
        format!("its clock is {far} {side}{hour}")
    }
}

/// A wall time as an instant. Where clocks are put back it happens twice; the one meant is the one nearer to `near`.
fn instant_near(local: DateTime, near: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let twice = zone.to_ambiguous_zoned(local);
    let (earlier, later) = (twice.clone().earlier().ok()?.timestamp(), twice.later().ok()?.timestamp());
    let distance = |instant: Timestamp| instant.duration_since(near).abs();
    Some(if distance(earlier) <= distance(later) { earlier } else { later })
}

/// How many units that is, to the nearest.
fn rounded(size: u64, unit: u64) -> u64 {
    size.saturating_add(unit / 2) / unit
}

/// Why a terminal's clock is not set, although it is off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSet {
    /// Punches after the step would carry times that the log has passed already: their order would be lost, and two
    /// punches of one person could become one.
    #[error("it is not put back before {until}, the time of the last punch in its log")]
    PunchesAhead { until: DateTime },
    #[error("our own clock is not to be trusted at the moment")]
    OurClock,
}

/// Whether the clock may be set to `ours` now. `latest` is the newest time in the log; times beyond the terminal's own clock
/// stem from an earlier, worse one, and are no reason.
pub fn may_set(
    skew: Skew,
    ours: DateTime,
    terminals: DateTime,
    latest: Option<DateTime>,
    trusted: bool,
) -> Result<(), NotSet> {
    if !trusted {
        return Err(NotSet::OurClock);
    }
    match latest.filter(|latest| *latest <= terminals) {
        Some(until) if skew.is_ahead() && ours <= until => Err(NotSet::PunchesAhead { until }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn one_question_leaves_a_second_and_the_round_trip_of_doubt() {
        let (before, after) = (at("2026-11-20T00:58:31.100Z"), at("2026-11-20T00:58:31.300Z"));
        let skew = Skew::sample(before, after, date(2026, 11, 20).at(0, 58, 41, 0), &TimeZone::UTC).unwrap();
        assert_eq!((skew.low, skew.high), (9_700, 10_900));
        assert_eq!((skew.middle_ms(), skew.error_ms()), (10_300, 600));
        assert!(skew.exceeds(Duration::from_secs(9)) && !skew.exceeds(Duration::from_secs(10)));
    }

    #[test]
    fn more_questions_close_in_on_the_truth() {
        let first = Skew { low: -600, high: 500 };
        assert_eq!(first.and(Skew { low: -100, high: 1000 }), Skew { low: -100, high: 500 });
        assert_eq!(first.and(Skew { low: 9000, high: 10_100 }), Skew { low: 9000, high: 10_100 });
    }

    #[test]
    fn a_drift_is_no_move() {
        let first = Skew { low: -600, high: 500 };
        assert!(![-1_100, 600, 1_500].iter().any(|low| first.has_moved(Skew { low: *low, high: low + 1_000 })));
        assert!(
            first.has_moved(Skew { low: 2_501, high: 3_500 }) && first.has_moved(Skew { low: -3_700, high: -2_700 })
        );
    }

    #[test]
    fn a_live_punch_fits_the_clock_that_made_it() {
        let (told_at, local) = (at("2026-11-20T01:00:00.500Z"), date(2026, 11, 20).at(2, 0, 0, 0));
        let fits = |low| Skew { low, high: low + 500 }.fits(local, told_at, &TimeZone::UTC);
        // An hour ahead; told at once, and five seconds later.
        assert!(fits(3_599_500) && fits(3_604_000));
        // It moved by an hour, or by some seconds; or is told much later.
        assert!(![0, 7_200_000, 3_597_900, 3_606_000].into_iter().any(fits));
    }

    #[test]
    fn a_wall_time_that_happens_twice_is_the_one_near_now() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let terminal = date(2026, 10, 25).at(2, 30, 0, 0);
        for now in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
            let skew = Skew::sample(at(now), at(now), terminal, &zone).unwrap();
            assert_eq!(skew.middle_ms(), 500, "{now}");
        }
    }

    #[test]
    fn a_distance_is_said_to_the_nearest() {
        for (ms, said) in [
            (17_999_990, "its clock is 5 h ahead"),
            (-17_999_990, "its clock is 5 h behind"),
            (1_500, "its clock is 2 s ahead"),
            (3_599_600, "its clock is 60 min ahead: summer time, or another zone?"),
            (119_999, "its clock is 2 min ahead"),
            (300_000_000, "its clock is 3 days ahead"),
        ] {
            assert_eq!(Skew { low: ms, high: ms }.words(), said, "{ms}");
        }
    }

    #[test]
    fn a_clock_is_not_put_back_over_punches() {
        let day = date(2026, 11, 20);
        let (ours, terminals) = (day.at(8, 0, 0, 0), day.at(9, 0, 0, 0));
        let ahead = Skew { low: 3_599_500, high: 3_600_500 };
        let until = day.at(8, 30, 0, 0);
        assert_eq!(may_set(ahead, ours, terminals, Some(until), true), Err(NotSet::PunchesAhead { until }));
        assert_eq!(may_set(ahead, ours, terminals, Some(day.at(7, 59, 59, 0)), true), Ok(()));
        assert_eq!(may_set(ahead, ours, terminals, Some(date(2063, 1, 1).at(0, 0, 0, 0)), true), Ok(()));
        assert_eq!(may_set(ahead, ours, terminals, None, true), Ok(()));
        assert_eq!(may_set(ahead, ours, terminals, None, false), Err(NotSet::OurClock));
        let behind = Skew { low: -3_600_500, high: -3_599_500 };
        assert_eq!(may_set(behind, terminals, ours, Some(ours), true), Ok(()));
    }
}
