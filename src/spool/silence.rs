//! When each terminal was punched at, and by which zone; and whether a silence is usual.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use jiff::{Timestamp, ToSpan, civil::DateTime, fmt::temporal::DateTimeParser};

use super::{
    look::look,
    record::{Record, wall_time},
};
use crate::inquiry::{Judgement, Silence, Site};

/// A week, in seconds.
const WEEK: i64 = 7 * 86_400;
/// A clock that was never set stands before this year.
const FIRST_YEAR: i16 = 2010;
/// A zone is less far from another one, in seconds.
const FAR: i64 = 27 * 3600;

/// In which hours since 1970 each terminal was punched at, from that hour on.
pub fn punch_hours(state_dir: &Path, from: i64) -> io::Result<BTreeMap<String, BTreeSet<i64>>> {
    let (mut names, mut hours): (BTreeMap<u32, String>, BTreeMap<String, BTreeSet<i64>>) = Default::default();
    look(state_dir, |_, record| match record {
        Record::Ledger(it) => _ = names.entry(it.number).or_insert_with(|| it.terminal.to_owned()),
        Record::Punch(punch) => {
            let hour = punch.utc_ms().div_euclid(3_600_000);
            if let Some(name) = names.get(&punch.ledger).filter(|_| hour >= from) {
                match hours.get_mut(name) {
                    Some(known) => _ = known.insert(hour),
                    None => _ = hours.insert(name.clone(), BTreeSet::from([hour])),
                }
            }
        }
        _ => {}
    })?;
    Ok(hours)
}

/// The zone of each terminal's clock, as its latest punch has it.
pub fn zones(state_dir: &Path) -> io::Result<BTreeMap<String, String>> {
    let (mut names, mut zones): (BTreeMap<u32, String>, BTreeMap<String, String>) = Default::default();
    look(state_dir, |_, record| match record {
        Record::Ledger(it) => _ = names.entry(it.number).or_insert_with(|| it.terminal.to_owned()),
        Record::Punch(punch) => {
            let Some(name) = names.get(&punch.ledger) else { return };
            match zones.get_mut(name) {
                Some(zone) if zone == punch.zone() => {}
                Some(zone) => punch.zone().clone_into(zone),
                None => _ = zones.insert(name.clone(), punch.zone().to_owned()),
            }
        }
        _ => {}
    })?;
    Ok(zones)
}

/// Whether a terminal that is silent usually is so in these hours, as its own past tells.
pub fn silence(state_dir: &Path, terminal: &str, site: &Site, now: Timestamp) -> io::Result<Silence> {
    let mut seen = Seen { first: None, last: None, recent: Vec::new(), untold: 0 };
    let mut names: BTreeMap<u32, bool> = BTreeMap::new();
    let mut known: BTreeSet<String> = site.terminals.keys().cloned().collect();
    let (mut zone, mut other, mut standing) = (String::new(), String::new(), None);
    let unseen = look(state_dir, |_, record| match record {
        Record::Ledger(it) => {
            names.insert(it.number, it.terminal == terminal);
            note(&mut known, it.terminal);
        }
        Record::Standing(it) => {
            note(&mut known, it.terminal);
            if it.terminal == terminal {
                standing = it.standing().and_then(|word| Some((Timestamp::from_millisecond(it.at).ok()?, word)));
            }
        }
        Record::Punch(punch) if names.get(&punch.ledger) == Some(&true) => {
            named(&mut zone, punch.zone());
            // As its clock would have shown it, had it been right, where it is known how far that was off.
            let skew = punch.skew_ms();
            let right = (punch.local.saturating_mul(1000)).saturating_sub(skew.unwrap_or(0)).div_euclid(1000);
            let moment = punch.utc_ms().saturating_sub(skew.unwrap_or(0));
            let ahead = moment > now.as_millisecond().saturating_add(60_000);
            seen.take(wall_time(right).ok().filter(|_| !ahead), skew, now);
        }
        Record::Punch(punch) => named(&mut other, punch.zone()),
        // Of those nobody knows how far the clock was off.
        Record::Retired(it) if it.first != 0 && names.get(&it.ledger) == Some(&true) => {
            it.ids().for_each(|(local, _)| seen.take(wall_time(local).ok(), None, now));
        }
        _ => {}
    })?;
    known.extend(unseen.indexed.values().map(|(ledger, _)| ledger.terminal.clone()));
    let read = |zone: &str| DateTimeParser::new().parse_time_zone(zone).ok();
    // Of one whose punches were all retired the config tells it, or else another terminal's, which hangs nearby.
    let configured = site.zone.is_some() || site.terminals.contains_key(terminal);
    let other = read(&other).filter(|_| !configured);
    let zone = read(&zone).or(other).unwrap_or_else(|| site.of(terminal));
    let there = now.to_zoned(zone).datetime();
    let Seen { first, last, recent, untold } = seen.until(there);
    let weeks = last.map_or_else(Vec::new, |(last, _)| weeks(first, last, there, &recent));
    let judgement = match last {
        None if untold > 0 => Judgement::NoTime,
        None => Judgement::NoPunch,
        Some(_) => Silence::judge(&weeks),
    };
    Ok(Silence {
        terminal: terminal.into(),
        last: last.map(|(last, _)| last),
        now: last.map(|_| there),
        weeks,
        judgement,
        skew_ms: last.and_then(|(_, skew)| skew),
        untold,
        known,
        unreadable: unseen.places,
        standing,
    })
}

fn named(zone: &mut String, name: &str) {
    if zone != name {
        name.clone_into(zone);
    }
}

pub(super) fn note(known: &mut BTreeSet<String>, terminal: &str) {
    if !terminal.is_empty() && !known.contains(terminal) {
        known.insert(terminal.to_owned());
    }
}

/// Punches of one terminal by its own wall, each with how far that was off.
struct Seen {
    first: Option<DateTime>,
    last: Option<(DateTime, Option<i64>)>,
    /// Weeks before now are some thousand punches; a terminal with more of them is not silent.
    recent: Vec<(DateTime, Option<i64>)>,
    /// Those whose time says nothing.
    untold: u64,
}

impl Seen {
    fn take(&mut self, local: Option<DateTime>, skew: Option<i64>, now: Timestamp) {
        let Some(local) = local.filter(|local| local.year() >= FIRST_YEAR) else {
            self.untold += 1;
            return;
        };
        let old = jiff::tz::Offset::UTC.to_datetime(now).duration_since(local).as_secs();
        match old < (Silence::WEEKS as i64 + 1) * WEEK + FAR {
            true => self.recent.push((local, skew)),
            false => {
                self.first = Some(self.first.map_or(local, |first| first.min(local)));
                self.last = self.last.max(Some((local, skew)));
            }
        }
    }

    /// What lies ahead of the terminal's present says nothing: its clock ran ahead.
    fn until(mut self, there: DateTime) -> Self {
        let all = self.recent.len();
        self.recent.retain(|(local, _)| there.duration_since(*local).as_secs() >= -60);
        self.untold += (all - self.recent.len()) as u64;
        self.first = self.first.into_iter().chain(self.recent.iter().map(|(local, _)| *local)).min();
        self.last = self.last.into_iter().chain(self.recent.iter().copied()).max_by_key(|(local, _)| *local);
        self
    }
}

/// Punches in the same hours of each week before that the ledger covers.
fn weeks(first: Option<DateTime>, last: DateTime, there: DateTime, recent: &[(DateTime, Option<i64>)]) -> Vec<u64> {
    let mut weeks = Vec::new();
    for week in 1..=Silence::WEEKS as i64 {
        let (Ok(from), Ok(to)) = (last.checked_sub((week * 7).days()), there.checked_sub((week * 7).days())) else {
            break;
        };
        if first.is_none_or(|first| first > from) {
            break;
        }
        weeks.push(recent.iter().filter(|(local, _)| from < *local && *local <= to).count() as u64);
    }
    weeks
}
