//! Health: what is known of each terminal, and what is wrong now.
//!
//! One shared notebook. Drivers' reports and the supervisor write into it through the gateway; whoever shows health
//! (the topics, the local command line, systemd) reads snapshots. It holds facts and conditions, publishes nothing itself.

mod engine;
mod firmware;
mod hours;
mod registry;
mod terminal;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use driver_api::{Clock, Report, Trouble};
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};
use tracing::info;

pub use engine::Kept;
use engine::{Engine, Key, Moment};
pub use firmware::{FLAWS, Flaw, flaws_of};
pub use registry::{Code, ConditionKind, Severity, Words};
pub use terminal::{TerminalHealth, TerminalState};

/// What a site says of itself that health is judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthSettings {
    /// Files that each backup touches, and how old they may be.
    pub backups: Vec<(PathBuf, Duration)>,
}

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
    conditions: Engine,
    /// When people punch at each terminal.
    hours: BTreeMap<String, hours::Hours>,
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
        let (key, cause) = (key(code, subject), cause.into());
        self.edit(|notes, now| notes.conditions.raise(key, cause, now));
    }

    /// That is over, or was never so. What comes and goes is held for a while.
    pub fn clear(&self, code: Code, subject: Option<&str>) {
        let key = key(code, subject);
        self.edit(|notes, now| notes.conditions.clear(&key, now));
    }

    /// That is over for everybody whom it was about.
    pub fn clear_all(&self, code: Code) {
        self.edit(|notes, now| notes.conditions.clear_those(|(other, _)| *other == code, now));
    }

    /// That is over for everybody who is not one of these.
    pub fn keep(&self, code: Code, wanted: impl Fn(&str) -> bool) {
        let over = |(other, subject): &Key| *other == code && !subject.as_deref().is_some_and(&wanted);
        self.edit(|notes, now| notes.conditions.clear_those(over, now));
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
        let (mut notes, now) = (self.notes(), Moment::now());
        notes.conditions.settle(now);
        let one = |(key, raised): (&Key, &engine::Raised)| {
            let cause = with_its_past(&raised.cause, raised.is_so(), notes.conditions.returns(key));
            Condition { kind: key.0.kind(), subject: key.1.clone(), since: raised.since, cause }
        };
        let mut shown: Vec<Condition> = notes.conditions.shown(now).map(one).collect();
        shown.sort_by_key(|condition| (condition.kind.severity, condition.since));
        shown
    }

    /// Since when something is wrong with the gateway itself, and why; also what is only remembered from before a restart.
    pub fn known(&self, code: Code) -> Option<(Timestamp, String)> {
        let notes = self.notes();
        let raised = notes.conditions.get(&key(code, None)).filter(|raised| raised.is_so())?;
        Some((raised.since, raised.cause.clone()))
    }

    /// When a condition will have to be shown, or is over, if nothing else happens.
    pub fn next_change(&self) -> Option<Instant> {
        self.notes().conditions.next_change(Moment::now())
    }

    /// Which terminals share a switch, a host or a bus, by its name: what happens to most of them at once is one thing.
    pub fn set_groups(&self, groups: BTreeMap<String, BTreeSet<String>>) {
        self.edit(|notes, _| {
            notes.conditions.set_groups(groups);
            true
        });
    }

    /// What is to be remembered over a restart, by subject; empty is the gateway itself.
    pub fn kept(&self) -> BTreeMap<String, Vec<Kept>> {
        let mut notes = self.notes();
        notes.conditions.settle(Moment::now());
        notes.conditions.kept()
    }

    /// Takes back what was remembered: shown at once with its old `since`, and dropped if nobody raises it again.
    pub fn restore(&self, subject: &str, kept: Vec<Kept>) {
        self.edit(|notes, now| {
            notes.conditions.restore(subject, kept, now);
            true
        });
    }

    /// Begins to know a terminal, or keeps what it knows of it.
    pub fn know(&self, name: &str, driver: &'static str, delivery: driver_api::Delivery) {
        self.edit(|notes, now| {
            let known = notes.terminals.get(name);
            if known.is_some_and(|known| known.driver == driver) {
                return false;
            }
            notes.terminals.insert(name.to_owned(), TerminalHealth::new(driver, delivery));
            let cause = format!("its driver {driver} has waited for it since {}", now.wall);
            notes.conditions.raise(key(Code::TerminalNeverHeard, Some(name)), cause, now);
            true
        });
    }

    /// Forgets a terminal and all that was wrong with it.
    pub fn forget(&self, name: &str) {
        self.edit(|notes, _| {
            notes.conditions.forget(name);
            notes.hours.remove(name);
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
                for code in Code::UNSERVED.iter().chain(&[Code::TerminalNeverHeard]) {
                    self.clear(*code, Some(name));
                }
            }
            Report::Clock(clock) => self.judge_jump(name, clock),
            _ => {}
        }
        let identity = matches!(report, Report::Identity { .. });
        let online = matches!(report, Report::Online);
        let mut news = false;
        self.edit(|notes, _| {
            news = notes.terminals.get_mut(name).is_some_and(|terminal| terminal.take(report));
            news
        });
        if online && news {
            info!(terminal = name, "terminal online");
        }
        if identity {
            self.judge_firmware(name);
        }
    }

    /// Whether flaws of what a terminal runs are published.
    fn judge_firmware(&self, name: &str) {
        let Some(terminal) = self.notes().terminals.get(name).cloned() else { return };
        let told = |flaw: &Flaw| format!("{}: {}; see {}", flaw.name, flaw.effect, flaw.source);
        let told: Vec<String> = firmware::flaws(&terminal).map(told).collect();
        let runs = terminal.firmware.or(terminal.model).unwrap_or_default();
        let cause = (!told.is_empty()).then(|| format!("{runs}: {}", told.join("; ")));
        self.set(Code::TerminalFirmwareFlawed, Some(name), cause);
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
        self.edit(|notes, _| notes.terminals.get_mut(name).is_some_and(|terminal| terminal.enter(state)));
    }

    /// Why a terminal is not served, from the first moment on.
    pub fn unserved_by(&self, name: &str) -> Option<(Code, String)> {
        let notes = self.notes();
        Code::UNSERVED.iter().find_map(|code| {
            let raised = notes.conditions.get(&key(*code, Some(name)))?;
            raised.is_so().then(|| (*code, raised.cause.clone()))
        })
    }

    /// A punch of this terminal became durable; `local` is what its clock said.
    pub fn punched(&self, name: &str, at: Timestamp) {
        self.edit(|notes, now| {
            let Some(terminal) = notes.terminals.get_mut(name) else { return false };
            terminal.last_punch = terminal.last_punch.max(Some(at));
            let (hour, now) = (hours::hour(at), hours::hour(now.wall));
            match notes.hours.get_mut(name) {
                Some(hours) => hours.mark(hour, now),
                None => notes.hours.entry(name.to_owned()).or_default().mark(hour, now),
            }
            true
        });
    }

    /// People punched at this terminal in these hours since 1970, as its ledger tells.
    pub fn punched_in(&self, name: &str, all: impl IntoIterator<Item = i64>) {
        self.edit(|notes, now| {
            let (kept, now) = (notes.hours.entry(name.to_owned()).or_default(), hours::hour(now.wall));
            all.into_iter().for_each(|hour| kept.mark(hour, now));
            false
        });
    }

    /// Whether terminals are silent in hours in which they usually are not; asked now and then.
    pub fn judge_silence(&self, now: Timestamp) {
        let hour = hours::hour(now);
        let verdicts: Vec<(String, bool, Option<hours::Unusual>)> = {
            let notes = self.notes();
            let of = |name: &String| notes.hours.get(name).cloned().unwrap_or_default();
            let online = |it: &TerminalHealth| it.state == TerminalState::Online;
            let one = |(name, it): (&String, &TerminalHealth)| {
                let hours = of(name);
                (name.clone(), hours.after(hour - 3), hours.unusual(hour).filter(|_| online(it)))
            };
            notes.terminals.iter().map(one).collect()
        };
        let silent = verdicts.iter().filter(|(_, _, unusual)| unusual.is_some()).count();
        let busy = verdicts.iter().any(|(_, busy, _)| *busy);
        // One of one is told of that one; many together are a holiday.
        let all = (silent >= 3 && !busy).then(|| format!("{silent} terminals that are usually busy now are silent"));
        self.set(Code::AllSilent, None, all);
        for (name, _, unusual) in verdicts {
            let cause = unusual.map(|hours::Unusual { hours, weeks, with }| {
                format!("no punch for {hours} whole hours; in the same hours of {with} of the last {weeks} weeks there were some")
            });
            self.set(Code::TerminalSilent, Some(&name), cause);
        }
    }

    /// Whether a terminal is there and served.
    pub fn is_online(&self, name: &str) -> bool {
        self.notes().terminals.get(name).is_some_and(|terminal| terminal.state == TerminalState::Online)
    }

    /// All terminals, by name.
    pub fn terminals(&self) -> BTreeMap<String, TerminalHealth> {
        self.notes().terminals.clone()
    }

    /// Rises with every change, for those who show health.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Waits until a condition is due to be shown, or over, or `longest` has passed.
    pub async fn ripened(&self, longest: Duration) {
        let due = self.next_change().map_or(longest, |due| due.saturating_duration_since(Instant::now()).min(longest));
        tokio::time::sleep(due).await;
    }

    /// Conditions settle when somebody looks: this is in the way of every punch.
    fn edit(&self, edit: impl FnOnce(&mut Notes, Moment) -> bool) {
        let news = edit(&mut self.notes(), Moment::now());
        if news {
            self.0.changed.send_modify(|count| *count += 1);
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().expect("nobody panics while holding the notebook: its edits only assign")
    }
}

/// A cause, and what else there is to know: that it is only held, and how often it came back.
fn with_its_past(cause: &str, is_so: bool, returns: u32) -> String {
    let past = match returns {
        0 => None,
        1 => Some("it came back once in the last hours".to_owned()),
        more => Some(format!("it came back {more} times in the last hours")),
    };
    let held = (!is_so).then(|| HELD.to_owned());
    let notes: Vec<String> = held.into_iter().chain(past).collect();
    if notes.is_empty() { cause.to_owned() } else { format!("{cause} ({})", notes.join("; ")) }
}

/// What a cause says while its condition is held.
const HELD: &str = "well again, and held";

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

fn key(code: Code, subject: Option<&str>) -> Key {
    (code, subject.map(str::to_owned))
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
