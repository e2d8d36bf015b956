//! In which hours somebody punches at a terminal, as far back as eight weeks; and whether its present silence is unusual.
//!
//! One bit an hour, counted from 1970: a week is 168 of them, whatever the zone. A change to summer time moves habits by an
//! hour against the weeks before, which is why short silences are not judged.

use jiff::Timestamp;

/// Weeks that are compared.
const WEEKS: i64 = 8;
/// Fewer weeks tell nothing.
const FEWEST: usize = 3;
const WEEK: i64 = 168;
/// Whole hours of silence that are judged at least.
const SHORTEST: i64 = 2;
/// And at most: an older silence is told by now, or the site has changed its ways.
const LONGEST: i64 = WEEK;
const WORDS: usize = 30;
const KEPT: i64 = WORDS as i64 * 64;

/// The hours with a punch, of the last eleven weeks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hours {
    /// The first hour that is kept; a multiple of 64.
    base: i64,
    bits: [u64; WORDS],
    first: Option<i64>,
    last: Option<i64>,
}

impl Default for Hours {
    fn default() -> Self {
        Self { base: 0, bits: [0; WORDS], first: None, last: None }
    }
}

/// A silence in hours in which it is not usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusual {
    /// Whole hours without a punch.
    pub(super) hours: i64,
    /// Weeks that were compared, and those in which somebody punched in these hours.
    pub(super) weeks: usize,
    pub(super) with: usize,
}

/// The hour of a moment.
pub(super) fn hour(at: Timestamp) -> i64 {
    at.as_second().div_euclid(3600)
}

impl Hours {
    /// Somebody punched in this hour. What is not near `now` says nothing: a clock was wrong.
    pub(super) fn mark(&mut self, hour: i64, now: i64) {
        if hour > now + 1 || hour < now - (WEEKS + 2) * WEEK {
            return;
        }
        self.reach(now.max(hour));
        if hour < self.base {
            return;
        }
        let at = (hour - self.base) as usize;
        self.bits[at / 64] |= 1 << (at % 64);
        self.first = Some(self.first.map_or(hour, |first| first.min(hour)));
        self.last = self.last.max(Some(hour));
    }

    /// Moves the window so that this hour is in it.
    fn reach(&mut self, hour: i64) {
        if hour < self.base + KEPT {
            return;
        }
        let base = (hour - KEPT + 1).div_euclid(64) * 64 + 64;
        let words = (base - self.base) / 64;
        match usize::try_from(words) {
            Ok(words) if words < WORDS => {
                self.bits.rotate_left(words);
                self.bits[WORDS - words..].fill(0);
            }
            _ => self.bits = [0; WORDS],
        }
        self.base = base;
    }

    fn any(&self, from: i64, to: i64) -> bool {
        (from.max(self.base)..=to.min(self.base + KEPT - 1)).any(|hour| {
            let at = (hour - self.base) as usize;
            self.bits[at / 64] & (1 << (at % 64)) != 0
        })
    }

    /// Somebody punched after this hour.
    pub(super) fn after(&self, hour: i64) -> bool {
        self.last.is_some_and(|last| last > hour)
    }

    /// Whether it is unusual that nobody has punched since the last one; `now` is the hour that is not over yet.
    pub(super) fn unusual(&self, now: i64) -> Option<Unusual> {
        let (first, from, to) = (self.first?, self.last? + 1, now - 1);
        let hours = to - from + 1;
        if !(SHORTEST..=LONGEST).contains(&hours) {
            return None;
        }
        let mut weeks = 0;
        let mut with = 0;
        for shift in (1..=WEEKS).map(|week| week * WEEK) {
            if first > from - shift {
                break;
            }
            weeks += 1;
            with += usize::from(self.any(from - shift, to - shift));
        }
        (weeks >= FEWEST && with * 4 >= weeks * 3).then_some(Unusual { hours, weeks, with })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten weeks of a door that is used on five days from 8 to 18.
    fn door(until: i64) -> Hours {
        let mut hours = Hours::default();
        for hour in until - 10 * WEEK..until {
            let (day, of_day) = (hour.div_euclid(24).rem_euclid(7), hour.rem_euclid(24));
            if day < 5 && (8..18).contains(&of_day) {
                hours.mark(hour, hour);
            }
        }
        hours
    }

    /// A Monday, if day 0 is one, far from 1970.
    const MONDAY: i64 = 2_970 * WEEK;

    #[test]
    fn a_silence_is_unusual_in_hours_in_which_people_punch_and_in_no_others() {
        let hours = door(MONDAY);
        // The weekend and the night before Monday, hour for hour.
        for now in MONDAY - 2 * 24..MONDAY + 8 {
            assert_eq!(hours.unusual(now), None, "{} hours before Monday", MONDAY - now);
        }
        let told = (MONDAY + 8..MONDAY + 24).find(|now| hours.unusual(*now).is_some());
        assert_eq!(told, Some(MONDAY + 9), "the first working hour has passed in silence");
        let unusual = hours.unusual(MONDAY + 10).unwrap();
        assert_eq!((unusual.weeks, unusual.with), (8, 8));

        let mut back = hours.clone();
        back.mark(MONDAY + 10, MONDAY + 10);
        assert_eq!(back.unusual(MONDAY + 11), None);
        assert!(back.after(MONDAY) && !hours.after(MONDAY));
    }

    #[test]
    fn a_young_ledger_and_a_wrong_clock_tell_nothing() {
        let mut young = Hours::default();
        for hour in MONDAY - 2 * WEEK..MONDAY {
            young.mark(hour, hour);
        }
        assert_eq!(young.unusual(MONDAY + 12), None);
        let mut wrong = door(MONDAY);
        wrong.mark(MONDAY + 4000, MONDAY);
        wrong.mark(5, MONDAY);
        assert_eq!(wrong, door(MONDAY));
        assert_eq!(Hours::default().unusual(MONDAY), None);
        assert_eq!(wrong.unusual(MONDAY + 5000), None, "after a week it is no news");
    }

    #[test]
    fn the_window_moves_with_time_and_forgets_nothing_that_is_compared() {
        let mut hours = Hours::default();
        for hour in 0..60 * WEEK {
            hours.mark(hour, hour);
        }
        let now = 60 * WEEK + 5;
        assert_eq!(hours.unusual(now).map(|it| it.weeks), Some(8));
        assert!(hours.any(now - 9 * WEEK, now - 9 * WEEK));
        hours.mark(200 * WEEK, 200 * WEEK);
        assert!(!hours.any(0, 199 * WEEK), "a long pause empties it");
    }
}
