//! Health: what is known of each terminal, and what is wrong now.
//!
//! One shared notebook. Drivers' reports and the supervisor write into it through the gateway; whoever shows health
//! (the topics, the local command line, systemd) reads snapshots. It holds facts and conditions, publishes nothing itself.

mod registry;
mod terminal;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use driver_api::{Clock, Report, Trouble};
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::info;

pub use registry::{Code, ConditionKind, Severity, Words};
pub use terminal::{TerminalHealth, TerminalState};

/// The shared notebook. Cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    notes: Mutex<Notes>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Notes {
    terminals: BTreeMap<String, TerminalHealth>,
    conditions: BTreeMap<(Code, Option<String>), Raised>,
}

/// A condition as it was raised.
#[derive(Debug, Clone)]
struct Raised {
    since: Timestamp,
    /// For how long it has lasted: the wall clock may jump.
    started: Instant,
    cause: String,
}

/// A named thing that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub kind: &'static ConditionKind,
    /// The terminal or broker it is about; `None` is the gateway itself.
    pub subject: Option<String>,
    pub since: Timestamp,
    /// What happened, in words, from whoever saw it.
    pub cause: String,
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Inner { notes: Mutex::default(), changed: watch::channel(0).0 }))
    }
}

impl Health {
    /// Something is wrong from now on, until [`Health::clear`]. Raised again, only its cause is renewed.
    pub fn raise(&self, code: Code, subject: Option<&str>, cause: impl Into<String>) {
        let cause = cause.into();
        self.edit(|notes| {
            let raised = notes.conditions.entry((code, subject.map(str::to_owned))).or_insert_with(|| Raised {
                since: Timestamp::now(),
                started: Instant::now(),
                cause: String::new(),
            });
            let news = raised.cause != cause;
            raised.cause = cause;
            news
        });
    }

    /// That is over, or was never so.
    pub fn clear(&self, code: Code, subject: Option<&str>) {
        self.edit(|notes| notes.conditions.remove(&(code, subject.map(str::to_owned))).is_some());
    }

    /// That is over for everybody whom it was about.
    pub fn clear_all(&self, code: Code) {
        self.edit(|notes| {
            let before = notes.conditions.len();
            notes.conditions.retain(|(other, _), _| *other != code);
            notes.conditions.len() != before
        });
    }

    /// That is over for everybody who is not one of these.
    pub fn keep(&self, code: Code, wanted: impl Fn(&str) -> bool) {
        self.edit(|notes| {
            let before = notes.conditions.len();
            let over = |subject: &Option<String>| !subject.as_deref().is_some_and(&wanted);
            notes.conditions.retain(|(other, subject), _| *other != code || !over(subject));
            notes.conditions.len() != before
        });
    }

    /// Raises or clears, as one looks at it.
    pub fn set(&self, code: Code, subject: Option<&str>, cause: Option<String>) {
        match cause {
            Some(cause) => self.raise(code, subject, cause),
            None => self.clear(code, subject),
        }
    }

    /// The conditions to be shown: those that have lasted long enough and are not explained by another one. Worst first.
    pub fn conditions(&self) -> Vec<Condition> {
        let notes = self.notes();
        let lasts =
            |(code, _): &(Code, Option<String>), raised: &Raised| raised.started.elapsed() >= code.kind().shown_after;
        let mut shown: Vec<Condition> = notes
            .conditions
            .iter()
            .filter(|(key, raised)| lasts(key, raised) && !notes.explained(key))
            .map(|((code, subject), raised)| Condition {
                kind: code.kind(),
                subject: subject.clone(),
                since: raised.since,
                cause: raised.cause.clone(),
            })
            .collect();
        shown.sort_by_key(|condition| (condition.kind.severity, condition.since));
        shown
    }

    /// When a condition that is still too young will have to be shown.
    pub fn next_to_be_shown(&self) -> Option<Instant> {
        let notes = self.notes();
        let due = notes.conditions.iter().map(|((code, _), raised)| raised.started + code.kind().shown_after);
        due.filter(|due| *due > Instant::now()).min()
    }

    /// Begins to know a terminal, or keeps what it knows of it.
    pub fn know(&self, name: &str, driver: &'static str, delivery: driver_api::Delivery) {
        self.edit(|notes| {
            let known = notes.terminals.get(name);
            if known.is_some_and(|known| known.driver == driver) {
                return false;
            }
            notes.terminals.insert(name.to_owned(), TerminalHealth::new(driver, delivery));
            true
        });
    }

    /// Forgets a terminal and all that was wrong with it.
    pub fn forget(&self, name: &str) {
        self.edit(|notes| {
            notes.conditions.retain(|(_, subject), _| subject.as_deref() != Some(name));
            notes.terminals.remove(name).is_some()
        });
    }

    /// Takes a driver's report of a terminal.
    pub fn report(&self, name: &str, report: Report) {
        match report {
            Report::Trouble { trouble, cause } => return self.raise(Code::of(trouble), Some(name), cause),
            Report::Relief(trouble) => return self.clear(Code::of(trouble), Some(name)),
            Report::Offline { why } => {
                return self.unserved(name, TerminalState::Offline, Code::TerminalOffline, &why);
            }
            Report::Online => {
                for code in Code::UNSERVED {
                    self.clear(*code, Some(name));
                }
            }
            Report::Clock(clock) => self.judge_jump(name, clock),
            _ => {}
        }
        let online = matches!(report, Report::Online);
        let mut news = false;
        self.edit(|notes| {
            news = notes.terminals.get_mut(name).is_some_and(|terminal| terminal.take(report));
            news
        });
        if online && news {
            info!(terminal = name, "terminal online");
        }
    }

    /// Whether a terminal's clock moved by itself since it was last looked at.
    fn judge_jump(&self, name: &str, clock: Clock) {
        let before = self.notes().terminals.get(name).map(|terminal| terminal.clock);
        match before.and_then(|before| jumped(before, clock)) {
            Some(ms) => {
                let cause = format!("it moved by {} s at {}", ms / 1000, Timestamp::now());
                self.clear(Code::TerminalClockJumped, Some(name));
                self.raise(Code::TerminalClockJumped, Some(name), cause);
            }
            None => {
                let key = (Code::TerminalClockJumped, Some(name.to_owned()));
                let right = clock.skew_ms.is_some_and(|skew| skew.saturating_abs() < JUMP);
                let steady = self.notes().conditions.get(&key).is_some_and(|raised| raised.started.elapsed() >= STEADY);
                let set_right =
                    before.and_then(|it| it.skew_ms).is_some_and(|skew| skew.saturating_abs() >= JUMP) && right;
                if steady || set_right {
                    self.clear(Code::TerminalClockJumped, Some(name));
                }
            }
        }
    }

    /// A terminal is not served any more, for this reason.
    pub fn unserved(&self, name: &str, state: TerminalState, code: Code, cause: &str) {
        for other in Code::UNSERVED.iter().filter(|other| **other != code) {
            self.clear(*other, Some(name));
        }
        self.raise(code, Some(name), cause);
        self.edit(|notes| notes.terminals.get_mut(name).is_some_and(|terminal| terminal.enter(state)));
    }

    /// Why a terminal is not served, from the first moment on.
    pub fn unserved_by(&self, name: &str) -> Option<(Code, String)> {
        let notes = self.notes();
        let subject = Some(name.to_owned());
        Code::UNSERVED.iter().find_map(|code| {
            notes.conditions.get(&(*code, subject.clone())).map(|raised| (*code, raised.cause.clone()))
        })
    }

    /// A punch of this terminal became durable; `local` is what its clock said.
    pub fn punched(&self, name: &str, at: Timestamp) {
        self.edit(|notes| {
            let Some(terminal) = notes.terminals.get_mut(name) else { return false };
            terminal.last_punch = terminal.last_punch.max(Some(at));
            true
        });
    }

    /// All terminals, by name.
    pub fn terminals(&self) -> BTreeMap<String, TerminalHealth> {
        self.notes().terminals.clone()
    }

    /// Rises with every change, for those who show health.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Waits until a condition is due to be shown or `longest` is over.
    pub async fn ripened(&self, longest: Duration) {
        let due = self.next_to_be_shown().map_or(longest, |due| (due - Instant::now()).min(longest));
        tokio::time::sleep(due).await;
    }

    fn edit(&self, edit: impl FnOnce(&mut Notes) -> bool) {
        let news = edit(&mut self.notes());
        if news {
            self.0.changed.send_modify(|count| *count += 1);
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().expect("nobody panics while holding the notebook: its edits only assign")
    }
}

/// A smaller step is no jump, in milliseconds.
const JUMP: i64 = 60_000;
/// A clock that jumped has settled after so long.
const STEADY: Duration = Duration::from_secs(600);

/// By how much a clock certainly moved between two looks, in milliseconds. Who sets it right makes no jump of it.
fn jumped(before: Clock, now: Clock) -> Option<i64> {
    let moved = now.skew_ms?.saturating_sub(before.skew_ms?);
    let doubt = before.err_ms.unwrap_or(0).saturating_add(now.err_ms.unwrap_or(0));
    let right = now.skew_ms?.saturating_abs() < JUMP;
    (moved.saturating_abs().saturating_sub(doubt) > JUMP && !right).then_some(moved)
}

impl Notes {
    /// Whether something else that is wrong explains this.
    fn explained(&self, (code, subject): &(Code, Option<String>)) -> bool {
        code.kind().explained_by.iter().any(|cause| {
            self.conditions.contains_key(&(*cause, None)) || self.conditions.contains_key(&(*cause, subject.clone()))
        })
    }
}

impl Code {
    /// The condition of a driver's trouble.
    pub fn of(trouble: Trouble) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.kind().code == trouble.code())
            .expect("every trouble has a condition: a test goes through all of them")
    }
}

#[cfg(test)]
mod tests {
    use driver_api::Delivery;

    use super::*;

    #[test]
    fn every_trouble_of_a_driver_has_a_condition() {
        for trouble in Trouble::ALL {
            assert_eq!(Code::of(*trouble).kind().code, trouble.code());
        }
    }

    #[test]
    fn every_condition_says_what_to_do_in_both_languages() {
        for code in Code::ALL {
            let kind = code.kind();
            for text in [kind.title, kind.text, kind.mend] {
                assert!(!text.en.is_empty() && !text.zh.is_empty(), "{}", kind.code);
            }
            assert!(kind.code.chars().all(|c| c.is_ascii_lowercase() || c == '-') && kind.code.len() <= 40);
        }
    }

    #[test]
    fn a_condition_keeps_its_since_and_takes_the_latest_cause() {
        let health = Health::default();
        health.raise(Code::DiskFull, None, "first");
        let since = health.conditions()[0].since;
        health.raise(Code::DiskFull, None, "second");
        let shown = health.conditions();
        assert_eq!((shown.len(), shown[0].since, shown[0].cause.as_str()), (1, since, "second"));
        health.clear(Code::DiskFull, None);
        assert_eq!(health.conditions(), []);
    }

    #[test]
    fn a_young_condition_is_not_shown_yet() {
        let health = Health::default();
        health.raise(Code::TerminalOffline, Some("front-door"), "no route");
        assert_eq!(health.conditions(), []);
        assert!(health.next_to_be_shown().is_some());
    }

    #[test]
    fn the_cause_hides_its_consequences() {
        let health = Health::default();
        health.raise(Code::TerminalClockOff, Some("front-door"), "26 years behind");
        health.raise(Code::TerminalClockOff, Some("canteen"), "2 hours ahead");
        assert_eq!(health.conditions().len(), 2);
        health.raise(Code::TerminalClockUnset, Some("front-door"), "it is the year 2000 there");
        let shown: Vec<_> = health.conditions().into_iter().map(|c| (c.kind.code, c.subject)).collect();
        assert_eq!(
            shown,
            [
                ("terminal-clock-unset", Some("front-door".to_owned())),
                ("terminal-clock-off", Some("canteen".to_owned()))
            ]
        );
    }

    #[test]
    fn a_clock_that_jumps_is_told_until_it_is_set_right_or_has_been_steady() {
        let health = Health::default();
        health.know("front-door", "zk", Delivery::Logged);
        let look = |skew| {
            let clock = Clock { skew_ms: Some(skew), err_ms: Some(500), how: driver_api::ClockSource::Probed };
            health.report("front-door", Report::Clock(clock));
            health.conditions().iter().any(|it| it.kind.code == "terminal-clock-jumped")
        };
        assert!(!look(200) && !look(30_000) && !look(59_000), "a drift is no jump");
        assert!(look(3_600_000), "an hour at once is one");
        assert!(look(3_600_100), "and is told for a while");
        assert!(!look(100), "until somebody sets it right");
        assert!(look(-86_400_000));
        let long_ago = Instant::now().checked_sub(STEADY).unwrap();
        health.edit(|notes| {
            notes.conditions.values_mut().for_each(|raised| raised.started = long_ago);
            true
        });
        assert!(!look(-86_400_000), "or it has been steady");
    }

    #[test]
    fn a_terminal_that_comes_back_is_well_again() {
        let health = Health::default();
        health.know("front-door", "zk", Delivery::Logged);
        health.unserved("front-door", TerminalState::Refused, Code::TerminalRefuses, "wrong key");
        assert_eq!(health.conditions().len(), 1);
        health.report("front-door", Report::Online);
        assert_eq!(health.conditions(), []);
        assert_eq!(health.terminals()["front-door"].state, TerminalState::Online);
    }

    #[test]
    fn one_terminal_of_a_line_may_be_away() {
        let health = Health::default();
        health.know("turnstile-1", "modbus", Delivery::Acked);
        health.report("turnstile-1", Report::Delivery(Delivery::Link));
        health.report("turnstile-1", Report::Online);
        health.report("turnstile-1", Report::Offline { why: "no answer from unit 3".into() });
        let known = health.terminals()["turnstile-1"].clone();
        assert_eq!((known.state, known.delivery), (TerminalState::Offline, Delivery::Link));
        assert!(health.next_to_be_shown().is_some(), "the condition is raised, and young");
        health.report("turnstile-1", Report::Online);
        assert!(health.next_to_be_shown().is_none());
        assert_eq!(health.terminals()["turnstile-1"].state, TerminalState::Online);
    }
}
