//! Whether somebody moved the gateway's clock while it ran, by the time since the machine was started.
//!
//! Terminals are measured by our clock: when it is moved by a day, all of them seem to have moved by a day, and somebody would
//! go and set them wrong. A time server that keeps the clock has moved it to where it belongs; of anybody else nobody knows.

use jiff::Timestamp;

/// Smaller steps are told by nobody: two looks are no closer to each other than that on a machine that is busy. Seconds.
const LEAST: i64 = 5;
/// Told for so long, unless it is taken back.
const TOLD: i64 = 86_400;

#[derive(Debug, Default)]
pub(super) struct Steps {
    /// What the clock said when it was last looked at, and how long the machine had been up.
    seen: Option<(i64, i64)>,
    step: Option<Step>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    by: i64,
    /// What the clock said before.
    said: i64,
    /// How long the machine had been up.
    up: i64,
}

impl Steps {
    /// By which step the clock is not where it was, if nobody vouches for it. Seconds; `up` counts while the machine sleeps, too.
    pub(super) fn look(&mut self, now: i64, up: i64, is_kept: impl FnOnce() -> bool) -> Option<String> {
        if let Some((then, since)) = self.seen.replace((now, up)) {
            let by = (now - then) - (up - since);
            if by.abs() > LEAST {
                let before = self.step.unwrap_or(Step { by: 0, said: then, up });
                self.step = Some(Step { by: before.by + by, ..before });
            }
        }
        let told = |step: &Step| step.by.abs() > LEAST && up - step.up < TOLD;
        self.step = self.step.filter(told);
        let Step { by, said, .. } = self.step?;
        if is_kept() {
            self.step = None;
            return None;
        }
        let said = Timestamp::from_second(said).unwrap_or(Timestamp::MAX);
        let side = if by > 0 { "ahead" } else { "back" };
        Some(format!("it was put {side} by {} s when it said {said}, and no time server keeps it", by.abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    #[test]
    fn a_step_is_told_until_it_is_taken_back_or_a_day_has_passed() {
        let mut steps = Steps::default();
        let mut look = |ahead: i64, up: i64| steps.look(NOW + ahead + up, up, || false);
        assert_eq!((look(0, 0), look(4, 30), look(0, 60)), (None, None, None), "a busy machine");
        let told = look(86_400, 90).unwrap();
        assert!(told.starts_with("it was put ahead by 86400 s when it said 2026-11-18T11:07:40Z"), "{told}");
        assert_eq!(look(86_400, 3600), Some(told));
        assert_eq!(look(1, 3630), None, "taken back");
        assert!(look(-3600, 3660).unwrap().starts_with("it was put back by 3601 s"));
        assert!(look(-3600, 3660 + TOLD - 1).is_some());
        assert_eq!(look(-3600, 3660 + TOLD), None);
    }

    #[test]
    fn a_time_server_may_do_so_and_a_machine_may_sleep() {
        let mut steps = Steps::default();
        assert_eq!(steps.look(NOW, 0, || false), None);
        assert_eq!(steps.look(NOW + 28_800, 28_800, || false), None, "eight hours asleep");
        assert!(steps.look(NOW + 90_000, 28_801, || false).is_some());
        assert_eq!(steps.look(NOW + 90_010, 28_811, || true), None);
        assert_eq!(steps.look(NOW + 90_020, 28_821, || false), None);
    }
}
