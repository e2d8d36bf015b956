//! What is wrong, over time: when a condition is shown, when it is over, and what hides it. Pure: every moment is handed in.
//!
//! A condition ripens before it is shown and is held before it is over, each for as long as its kind says. What comes and goes
//! is held the longer the oftener it came back, so that a bad cable makes a few alarms a day and not a thousand. What another
//! condition explains is kept and not shown. When most terminals of one group (a subnet, a bus) go away together, that is
//! one condition of the group, and the terminals' own are its consequences.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::registry::Code;

/// By the clock that people see, and by the one that never jumps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) wall: Timestamp,
    pub(super) mono: Instant,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { wall: Timestamp::now(), mono: Instant::now() }
    }
}

/// A code and whom it is about; `None` is the gateway itself.
pub(super) type Key = (Code, Option<String>);

/// A condition as it was raised.
#[derive(Debug, Clone)]
pub(super) struct Raised {
    pub(super) since: Timestamp,
    pub(super) started: Instant,
    /// When it last became so: later than the start when it had been held meanwhile.
    again: Instant,
    pub(super) cause: String,
    /// It has lasted long enough to be shown.
    ripe: bool,
    /// Since when it is well again; it is held for a while.
    quiet: Option<Instant>,
    /// It is from before the restart, read at this moment, and nobody has said since whether it is still so.
    remembered: Option<Instant>,
}

impl Raised {
    fn new(now: Moment, cause: String) -> Self {
        let Moment { wall: since, mono } = now;
        Self { since, started: mono, again: mono, cause, ripe: false, quiet: None, remembered: None }
    }

    /// Whether it is so now, and not only held.
    pub(super) fn is_so(&self) -> bool {
        self.quiet.is_none()
    }
}

/// How often a condition came back.
#[derive(Debug, Clone, Copy)]
struct Past {
    ended: Instant,
    returns: u32,
}

/// A condition to be remembered over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub code: String,
    /// Milliseconds since 1970.
    pub since: i64,
    pub cause: String,
}

/// Who is gone for longer than this has come to an end; who comes back sooner comes and goes.
const COMES_BACK: Duration = Duration::from_secs(2 * 3600);
/// The first time that something is held because it came back, and the longest.
const HOLD: Duration = Duration::from_secs(60);
const LONGEST_HOLD: Duration = Duration::from_secs(3600);
/// What is remembered from before a restart is dropped when nobody has raised it again for so long.
const REMEMBERED: Duration = Duration::from_secs(900);
/// Terminals that go away in this time may be going away together, and are waited for.
const TOGETHER: Duration = Duration::from_secs(60);
/// Fewer terminals are no group.
const GROUP: usize = 3;
/// Causes are kept up to this length, in characters.
const KEPT_CAUSE: usize = 200;
/// Terminals named in a cause.
const NAMED: usize = 8;

/// A cause that is well again and only held hides what goes on for this long without it no more: what is its consequence has
/// ended by then, or the cause is back.
const EMERGES: Duration = Duration::from_secs(30);

/// When a held cause explains this no longer, if it lasted until then.
fn emerges(raised: &Raised, cause: &Raised) -> Option<Instant> {
    let at = cause.quiet?.max(raised.again) + EMERGES;
    raised.quiet.is_none_or(|quiet| quiet >= at).then_some(at)
}

#[derive(Default)]
pub(super) struct Engine {
    raised: BTreeMap<Key, Raised>,
    past: BTreeMap<Key, Past>,
    /// Terminals that share something, by its name.
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl Engine {
    /// It is so. Whether that is news, the cause included.
    pub(super) fn raise(&mut self, key: Key, cause: String, now: Moment) -> bool {
        match self.raised.get_mut(&key) {
            Some(raised) => {
                let news = raised.cause != cause || raised.quiet.is_some();
                if raised.quiet.is_some() {
                    raised.again = now.mono;
                }
                (raised.cause, raised.quiet, raised.remembered) = (cause, None, None);
                news
            }
            None => {
                // What was well for long begins anew.
                let long_ago = |past: &Past| now.mono.saturating_duration_since(past.ended) >= COMES_BACK;
                if self.past.get(&key).is_some_and(long_ago) {
                    self.past.remove(&key);
                }
                self.raised.insert(key, Raised::new(now, cause));
                true
            }
        }
    }

    /// It is not so. Whether that is news.
    pub(super) fn clear(&mut self, key: &Key, now: Moment) -> bool {
        let Some(raised) = self.raised.get_mut(key) else { return false };
        raised.remembered = None;
        let news = raised.quiet.is_none();
        raised.quiet.get_or_insert(now.mono);
        if key.0.kind().clears_after.is_zero() {
            self.raised.remove(key);
        }
        news
    }

    /// Clears all that are like this; whether any was.
    pub(super) fn clear_those(&mut self, like: impl Fn(&Key) -> bool, now: Moment) -> bool {
        let keys: Vec<Key> = self.raised.keys().filter(|key| like(key)).cloned().collect();
        keys.iter().fold(false, |news, key| self.clear(key, now) | news)
    }

    /// Forgets all that is about somebody who is not there any more.
    pub(super) fn forget(&mut self, subject: &str) {
        self.raised.retain(|(_, about), _| about.as_deref() != Some(subject));
        self.past.retain(|(_, about), _| about.as_deref() != Some(subject));
    }

    pub(super) fn set_groups(&mut self, groups: BTreeMap<String, BTreeSet<String>>) {
        let gone = |subject: &Option<String>| subject.as_ref().is_some_and(|name| !groups.contains_key(name));
        self.raised.retain(|(code, subject), _| *code != Code::TerminalsCutOff || !gone(subject));
        self.groups = groups;
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Raised> {
        self.raised.get(key)
    }

    /// How often it came back lately.
    pub(super) fn returns(&self, key: &Key) -> u32 {
        self.past.get(key).map_or(0, |past| past.returns)
    }

    /// Lets time pass: what has lasted is shown, what was well for long enough is over. Whether anything changed.
    pub(super) fn settle(&mut self, now: Moment) -> bool {
        let mut news = self.judge_groups(now);
        let over: Vec<Key> =
            self.raised.iter().filter(|(key, raised)| self.is_over(key, raised, now)).map(|it| it.0.clone()).collect();
        for key in over {
            let Some(raised) = self.raised.remove(&key) else { continue };
            news |= raised.ripe;
            // What was remembered and not raised again never was of this run.
            if raised.ripe && raised.remembered.is_none() {
                let returns = self.past.get(&key).map_or(0, |past| past.returns);
                self.past.insert(key, Past { ended: now.mono, returns: returns + 1 });
            }
        }
        self.past.retain(|key, past| {
            self.raised.contains_key(key) || now.mono.saturating_duration_since(past.ended) < COMES_BACK
        });
        let ripe: Vec<Key> =
            self.raised.iter().filter(|(key, raised)| self.ripens(key, raised, now)).map(|it| it.0.clone()).collect();
        for key in ripe {
            if let Some(raised) = self.raised.get_mut(&key) {
                (raised.ripe, news) = (true, true);
            }
        }
        news
    }

    fn is_over(&self, key: &Key, raised: &Raised, now: Moment) -> bool {
        let passed = |since: Instant, time| now.mono.saturating_duration_since(since) >= time;
        raised.quiet.is_some_and(|since| passed(since, self.hold(key, raised)))
            || raised.remembered.is_some_and(|since| passed(since, REMEMBERED))
    }

    fn ripens(&self, key: &Key, raised: &Raised, now: Moment) -> bool {
        !raised.ripe && raised.is_so() && now.mono >= raised.started + self.shown_after(key, now)
    }

    /// For how long it must be well to be over.
    fn hold(&self, key: &Key, raised: &Raised) -> Duration {
        let least = key.0.kind().clears_after;
        match self.returns(key) {
            _ if !raised.ripe => least,
            0 => least,
            returns => least.max(HOLD).saturating_mul(1 << (returns - 1).min(10)).min(LONGEST_HOLD),
        }
    }

    /// For how long it must last to be shown: longer while others of its group go away too, since that may be one thing.
    fn shown_after(&self, (code, subject): &Key, now: Moment) -> Duration {
        let least = code.kind().shown_after;
        if *code != Code::TerminalOffline {
            return least;
        }
        let young = |name: &&String| {
            let mate = self.raised.get(&(Code::TerminalOffline, Some((*name).clone())));
            mate.is_some_and(|mate| mate.is_so() && now.mono.saturating_duration_since(mate.started) < TOGETHER)
        };
        let falling = self.groups_of(subject.as_deref()).any(|(_, all)| all.iter().filter(young).count() >= GROUP);
        if falling { least.max(TOGETHER) } else { least }
    }

    fn groups_of(&self, subject: Option<&str>) -> impl Iterator<Item = (&String, &BTreeSet<String>)> {
        self.groups.iter().filter(move |(_, all)| subject.is_some_and(|subject| all.contains(subject)))
    }

    /// Whether the terminals of a group went away together.
    fn judge_groups(&mut self, now: Moment) -> bool {
        let mut verdicts = Vec::new();
        for (name, all) in self.groups.iter().filter(|(_, all)| all.len() >= GROUP) {
            let away = all.iter().filter_map(|terminal| {
                let raised = self.raised.get(&(Code::TerminalOffline, Some(terminal.clone())))?;
                raised.is_so().then_some((terminal, raised))
            });
            let away: Vec<_> = away.collect();
            let key = (Code::TerminalsCutOff, Some(name.clone()));
            if away.len() >= GROUP && away.len() * 5 >= all.len() * 4 {
                let mut names: Vec<&str> = away.iter().take(NAMED).map(|(name, _)| name.as_str()).collect();
                if away.len() > NAMED {
                    names.push("...");
                }
                let cause = format!("{} of {} terminals do not answer: {}", away.len(), all.len(), names.join(", "));
                // A few may have been away long before the rest.
                let mut begun: Vec<(Timestamp, Instant)> = away.iter().map(|(_, it)| (it.since, it.started)).collect();
                begun.sort_by_key(|(_, started)| *started);
                verdicts.push((key, Some((cause, begun[begun.len() / 5]))));
            } else if away.len() * 2 < all.len() && self.raised.get(&key).is_some_and(Raised::is_so) {
                verdicts.push((key, None));
            }
        }
        let mut news = false;
        for (key, verdict) in verdicts {
            match verdict {
                Some((cause, (since, started))) => {
                    let fresh = !self.raised.contains_key(&key);
                    news |= self.raise(key.clone(), cause, now);
                    if let Some(raised) = self.raised.get_mut(&key).filter(|_| fresh) {
                        (raised.since, raised.started) = (since, started);
                    }
                }
                None => news |= self.clear(&key, now),
            }
        }
        news
    }

    /// Those to be shown.
    pub(super) fn shown(&self, now: Moment) -> impl Iterator<Item = (&Key, &Raised)> {
        self.raised.iter().filter(move |(key, raised)| raised.ripe && !self.is_explained(key, raised, now))
    }

    /// Whether something else that is wrong explains this.
    fn is_explained(&self, key: &Key, raised: &Raised, now: Moment) -> bool {
        self.causes_of(key).any(|cause| match cause.quiet {
            None => true,
            Some(_) => cause.ripe && emerges(raised, cause).is_none_or(|at| now.mono < at),
        })
    }

    /// What is raised, or held, of those that may explain this.
    fn causes_of(&self, (code, subject): &Key) -> impl Iterator<Item = &Raised> {
        let groups = self.groups_of(subject.as_deref()).map(|(group, _)| Some(group.clone()));
        let about: Vec<_> = [None, subject.clone()].into_iter().chain(groups).collect();
        let causes = code.kind().explained_by.iter();
        causes.flat_map(move |cause| about.clone().into_iter().filter_map(|about| self.raised.get(&(*cause, about))))
    }

    /// When something will have to be shown, or be over, if nothing else happens.
    pub(super) fn next_change(&self, now: Moment) -> Option<Instant> {
        let due = self.raised.iter().filter_map(|(key, raised)| match (raised.quiet, raised.ripe) {
            (Some(quiet), _) => Some(quiet + self.hold(key, raised)),
            (None, false) => Some(raised.started + self.shown_after(key, now)),
            (None, true) => None,
        });
        let emerging =
            self.raised.iter().flat_map(|(key, raised)| self.causes_of(key).filter_map(|cause| emerges(raised, cause)));
        due.chain(emerging).filter(|due| *due > now.mono).min()
    }

    /// Whether something is raised and not shown yet.
    #[cfg(test)]
    pub(super) fn is_anything_young(&self) -> bool {
        self.raised.values().any(|raised| raised.is_so() && !raised.ripe)
    }

    /// What is to be remembered over a restart, by subject: what has lasted, hidden or not.
    pub(super) fn kept(&self) -> BTreeMap<String, Vec<Kept>> {
        let mut kept: BTreeMap<String, Vec<Kept>> = BTreeMap::new();
        // Strangers come again by themselves; there may be any number of them.
        let worth = |(code, _): &&Key| *code != Code::TerminalUnknown;
        for (key, raised) in self.raised.iter().filter(|(key, raised)| raised.ripe && worth(key)) {
            let cause = raised.cause.chars().take(KEPT_CAUSE).collect();
            let since = raised.since.as_millisecond();
            let one = Kept { code: key.0.kind().code.into(), since, cause };
            kept.entry(key.1.clone().unwrap_or_default()).or_default().push(one);
        }
        kept
    }

    /// Takes back what was remembered. A code that this version does not know is left out.
    pub(super) fn restore(&mut self, subject: &str, all: Vec<Kept>, now: Moment) {
        for Kept { code, since, cause } in all {
            let Some(code) = Code::ALL.iter().copied().find(|it| it.kind().code == code) else { continue };
            // A clock that was wrong then, or is now, makes no future of the past.
            let since = Timestamp::from_millisecond(since).unwrap_or(now.wall).min(now.wall);
            let subject = Some(subject.to_owned()).filter(|subject| !subject.is_empty());
            let raised = Raised { since, ripe: true, remembered: Some(now.mono), ..Raised::new(now, cause) };
            self.raised.entry((code, subject)).or_insert(raised);
        }
    }

    /// As if it had begun long ago.
    #[cfg(test)]
    pub(super) fn age_all(&mut self, started: Instant) {
        self.raised.values_mut().for_each(|raised| raised.started = started);
    }
}
