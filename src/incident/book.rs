//! The rules: when an incident opens, is escalated, breaches its target and ends. Pure; time is handed in.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;

use super::{Acknowledged, Change, Incident, NotAcknowledged, Seen, Targets};

/// What comes back so soon is the same incident again.
const SAME: Duration = Duration::from_secs(3600);
/// After a start nothing is resolved so soon: whoever saw it must look again first.
const GRACE: Duration = Duration::from_secs(120);
/// Ended ones that are remembered, for those that come back.
const REMEMBERED: usize = 200;

pub(super) struct Book {
    targets: Targets,
    open: BTreeMap<u64, Running>,
    /// Lately resolved, with the book's own time of it.
    ended: VecDeque<(Duration, Incident)>,
    next: u64,
    breaches: u64,
    /// For how long this book has been open.
    time: Duration,
}

struct Running {
    incident: Incident,
    /// How long it has been open, counted.
    open: Duration,
    /// By a former run, and not seen by this one so far.
    former: bool,
}

/// How long incidents had been open when that was written down.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct OpenTimes {
    pub(super) at: Option<Timestamp>,
    /// Seconds, by number.
    pub(super) open: BTreeMap<u64, u64>,
}

impl Book {
    /// What a former run left: each incident as it was last.
    pub(super) fn of(kept: BTreeMap<u64, Incident>, times: OpenTimes, targets: Targets, now: Timestamp) -> Self {
        let next = kept.last_key_value().map_or(1, |(number, _)| number + 1);
        let breaches = kept.values().filter(|incident| incident.breached.is_some()).count() as u64;
        let mut book =
            Self { targets, open: BTreeMap::new(), ended: VecDeque::new(), next, breaches, time: Duration::ZERO };
        // While nobody counted, the wall clock did; a clock that went back has counted nothing.
        let away = times.at.map_or(0, |at| now.as_second() - at.as_second()).max(0).unsigned_abs();
        for (number, mut incident) in kept {
            match incident.resolved {
                None => {
                    let counted = times.open.get(&number).map(|open| open.saturating_add(away));
                    let by_wall = (now.as_second() - incident.opened.as_second()).max(0).unsigned_abs();
                    let open = counted.unwrap_or(by_wall).max(incident.open_s);
                    incident.open_s = open;
                    book.open.insert(number, Running { incident, open: Duration::from_secs(open), former: true });
                }
                Some(at) if (0..SAME.as_secs() as i64).contains(&(now.as_second() - at.as_second())) => {
                    book.remember(incident);
                }
                Some(_) => {}
            }
        }
        book
    }

    pub(super) fn look(&mut self, seen: &[Seen], now: Timestamp, passed: Duration) -> Vec<(Change, Incident)> {
        self.time += passed;
        let mut changes = Vec::new();
        for running in self.open.values_mut() {
            running.open += passed;
            running.incident.open_s = running.open.as_secs();
        }
        for one in seen {
            let mine = |incident: &Incident| incident.code == one.code && incident.subject == one.subject;
            match self.open.values_mut().find(|running| mine(&running.incident)) {
                Some(running) => {
                    running.former = false;
                    running.incident.cause.clone_from(&one.cause);
                }
                None => changes.extend(self.begin(one, now)),
            }
        }
        let is_over = |running: &Running| {
            let about = |one: &Seen| one.code == running.incident.code && one.subject == running.incident.subject;
            !seen.iter().any(about)
        };
        let over: Vec<u64> = match self.time < GRACE {
            // Those of this run are known well enough.
            true => self.open.iter().filter(|(_, it)| !it.former && is_over(it)).map(|it| *it.0).collect(),
            false => self.open.iter().filter(|(_, it)| is_over(it)).map(|it| *it.0).collect(),
        };
        for number in over {
            let Some(mut running) = self.open.remove(&number) else { continue };
            running.incident.resolved = Some(now);
            changes.push((Change::Resolved, running.incident.clone()));
            self.remember(running.incident);
        }
        for running in self.open.values_mut() {
            let (incident, open) = (&mut running.incident, running.open);
            let target = Duration::from_secs(incident.target_s);
            // Nobody has taken it: earlier than when somebody works on it.
            let early = if incident.acknowledged.is_some() { target * 3 / 4 } else { target / 2 };
            if open >= early && incident.escalated.is_none() {
                incident.escalated = Some(now);
                changes.push((Change::Escalated, incident.clone()));
            }
            if open >= target && incident.breached.is_none() {
                incident.breached = Some(now);
                self.breaches += 1;
                changes.push((Change::Breached, incident.clone()));
            }
        }
        changes
    }

    fn begin(&mut self, one: &Seen, now: Timestamp) -> Option<(Change, Incident)> {
        let target = match one.severity {
            "high" => self.targets.high,
            "medium" => self.targets.medium,
            _ => self.targets.low,
        }?;
        let same = |(ended, incident): &(Duration, Incident)| {
            incident.code == one.code && incident.subject == one.subject && self.time.saturating_sub(*ended) < SAME
        };
        if let Some(at) = self.ended.iter().rposition(same)
            && let Some((_, mut incident)) = self.ended.remove(at)
        {
            incident.resolved = None;
            incident.reopened += 1;
            incident.cause.clone_from(&one.cause);
            let open = Duration::from_secs(incident.open_s);
            self.open.insert(incident.number, Running { incident: incident.clone(), open, former: false });
            return Some((Change::Reopened, incident));
        }
        let incident = Incident {
            number: self.next,
            code: one.code.into(),
            subject: one.subject.clone(),
            severity: one.severity.into(),
            cause: one.cause.clone(),
            first_seen: one.since,
            opened: now,
            notified: None,
            acknowledged: None,
            escalated: None,
            breached: None,
            resolved: None,
            target_s: target.as_secs(),
            open_s: 0,
            reopened: 0,
        };
        self.next += 1;
        self.open.insert(incident.number, Running { incident: incident.clone(), open: Duration::ZERO, former: false });
        Some((Change::Opened, incident))
    }

    fn remember(&mut self, incident: Incident) {
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((self.time, incident));
    }

    pub(super) fn notified(&mut self, code: &str, now: Timestamp) -> Vec<(Change, Incident)> {
        let of = |running: &&mut Running| running.incident.code == code && running.incident.notified.is_none();
        let told = self.open.values_mut().filter(of).map(|running| {
            running.incident.notified = Some(now);
            (Change::Notified, running.incident.clone())
        });
        told.collect()
    }

    pub(super) fn acknowledge(&mut self, number: u64, by: Acknowledged) -> Result<Incident, NotAcknowledged> {
        let running = self.open.get_mut(&number).ok_or(NotAcknowledged::NotOpen(number))?;
        if let Some(Acknowledged { by, at, .. }) = running.incident.acknowledged.clone() {
            return Err(NotAcknowledged::Already { by, at });
        }
        running.incident.acknowledged = Some(by);
        Ok(running.incident.clone())
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.values().map(|running| &running.incident)
    }

    pub(super) fn breaches(&self) -> u64 {
        self.breaches
    }
}
