//! Where a punch is, and whether a silence is usual: out of the journal alone, while the daemon runs or not.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    path::Path,
};

use jiff::{Timestamp, ToSpan, civil::DateTime, tz::Offset};

use super::{
    look::{Unseen, look},
    ranges::Ranges,
    record::{PunchRecord, Record, RetiredRecord, ZoneNames, wall_time},
    segment::Position,
};
use crate::{
    inquiry::{Around, Judgement, Near, Question, Silence, Standing, Trail, Way},
    ledger::Ledger,
    wire::{Topics, suffix},
};

/// Nearest punches of the person that are told.
const NEAR: usize = 4;
/// A raw record is counted when it was kept so long after the time asked for, in milliseconds.
const ASIDE: i64 = 86_400_000;

#[derive(Default)]
struct Known {
    around: Around,
    /// `utc` minus `local` of its punch nearest to the time asked for, in milliseconds.
    shift: Option<(i64, i64)>,
    standing: Vec<(i64, Standing)>,
    aside: Vec<i64>,
}

#[derive(Default)]
struct Tracer {
    ledgers: BTreeMap<u32, Ledger>,
    terminals: BTreeMap<String, Known>,
    gateway: Vec<(i64, Standing)>,
    found: Vec<(u32, Way)>,
    near: Vec<(i64, Near)>,
    /// Numbers that are there, and those that the journal says are lost.
    there: BTreeMap<u32, Ranges>,
    lost: BTreeMap<u32, Ranges>,
    /// The last number of each ledger by the index, where something may be missing.
    last: BTreeMap<u32, u64>,
    /// Punches of which only ids are left.
    retired: u64,
    confirmed: BTreeMap<u32, Ranges>,
    confirmed_at: BTreeMap<u32, Vec<(u64, u64, i64)>>,
    zones: ZoneNames,
}

/// What this disk knows of a punch.
pub fn trace(state_dir: &Path, question: &Question) -> io::Result<Trail> {
    let mut tracer = Tracer::default();
    let unseen = look(state_dir, |at, record| tracer.take(question, at, record))?;
    let places = unseen.places;
    tracer.indexed(unseen);
    Ok(Trail { unreadable: places, ..tracer.trail(question) })
}

impl Tracer {
    fn take(&mut self, question: &Question, at: Position, record: &Record<'_>) {
        match record {
            Record::Ledger(it) => {
                self.ledgers.entry(it.number).or_insert_with(|| it.ledger());
                self.terminal(it.terminal);
            }
            Record::Punch(punch) => self.punch(question, at, punch),
            Record::SetAside(it) => {
                if let Some(ledger) = self.ledgers.get(&it.ledger) {
                    let name = ledger.terminal.clone();
                    let known = self.terminal(&name);
                    known.around.set_aside_all += 1;
                    known.aside.push(it.stored);
                }
            }
            Record::Confirmed(it) => self.confirmed.entry(it.ledger).or_default().insert(it.first, it.last),
            Record::ConfirmedAt(it) => {
                self.confirmed.entry(it.ledger).or_default().insert(it.first, it.last);
                self.confirmed_at.entry(it.ledger).or_default().push((it.first, it.last, it.at));
            }
            Record::Lost(it) if it.first <= it.last => {
                self.lost.entry(it.ledger).or_default().insert(it.first, it.last);
            }
            Record::Retired(it) if it.first != 0 => self.retired(question, it),
            Record::Standing(it) => match (it.standing(), it.terminal) {
                (Some(standing), "") => self.gateway.push((it.at, standing)),
                (Some(standing), name) => self.terminal(name).standing.push((it.at, standing)),
                (None, _) => {}
            },
            _ => {}
        }
    }

    fn terminal(&mut self, name: &str) -> &mut Known {
        if !self.terminals.contains_key(name) {
            let around = Around { terminal: name.into(), ..Around::default() };
            self.terminals.insert(name.into(), Known { around, ..Known::default() });
        }
        self.terminals.get_mut(name).expect("it was put there")
    }

    /// Only times and ids are left: whose they are nobody can tell here.
    fn retired(&mut self, question: &Question, retired: &RetiredRecord<'_>) {
        self.there.entry(retired.ledger).or_default().insert(retired.first, retired.last);
        self.retired += retired.ids().count() as u64;
        let Some(name) = self.ledgers.get(&retired.ledger).map(|ledger| ledger.terminal.clone()) else { return };
        let around = &mut self.terminal(&name).around;
        for local in retired.ids().filter_map(|(local, _)| wall_time(local).ok()) {
            around.retired += u64::from(question.covers(local));
            around.neighbour(question, local);
        }
    }

    /// What of its end the journal has lost is known to the index, and terminals of which nothing else is left.
    fn indexed(&mut self, unseen: Unseen) {
        for (number, (ledger, next)) in unseen.indexed {
            self.terminal(&ledger.terminal);
            self.ledgers.entry(number).or_insert(ledger);
            self.last.insert(number, next - 1);
        }
    }

    fn punch(&mut self, question: &Question, at: Position, punch: &PunchRecord<'_>) {
        self.there.entry(punch.ledger).or_default().insert(punch.seq, punch.seq);
        let Some(ledger) = self.ledgers.get(&punch.ledger) else { return };
        let Ok(local) = wall_time(punch.local) else { return };
        let name = ledger.terminal.clone();
        let far = question.distance_s(local);
        let shift = punch.utc_ms() - punch.local.saturating_mul(1000);
        let known = self.terminal(&name);
        let around = &mut known.around;
        if known.shift.is_none_or(|(before, _)| far < before) {
            known.shift = Some((far, shift));
        }
        around.punches += u64::from(question.covers(local));
        around.neighbour(question, local);
        if punch.person() != question.person {
            return;
        }
        if !question.covers(local) || !question.asks_of(&name) {
            self.near.push((far, Near { terminal: name, local, id: driver_api::PunchId(punch.id) }));
            if self.near.len() > 64 {
                self.near.sort_by_key(|(far, _)| *far);
                self.near.truncate(NEAR);
            }
            return;
        }
        let (Some(ledger), Ok(entry)) = (self.ledgers.get(&punch.ledger), punch.entry(&mut self.zones)) else { return };
        let topic =
            Topics::new(&ledger.tenant, &ledger.gateway).map(|topics| topics.of(&suffix::punch(&ledger.terminal)));
        let way = Way {
            terminal: name,
            serial: ledger.serial.clone(),
            ledger: ledger.begun,
            seq: entry.seq,
            id: entry.id,
            person: entry.person,
            local: entry.local,
            zone: entry.zone.to_string(),
            utc: entry.utc,
            clock: entry.clock,
            origin: entry.origin,
            flags: entry.flags,
            durable: entry.stored,
            segment: at.segment,
            offset: at.offset,
            topic: topic.unwrap_or_default(),
            delivered: false,
            delivered_by: None,
        };
        self.found.push((punch.ledger, way));
    }

    fn trail(mut self, question: &Question) -> Trail {
        self.near.sort_by_key(|(far, _)| *far);
        self.near.truncate(NEAR);
        let mut found = Vec::new();
        for (number, mut way) in self.found {
            way.delivered = self.confirmed.get(&number).is_some_and(|ranges| ranges.contains(way.seq));
            let told = self.confirmed_at.get(&number).into_iter().flatten();
            let mine = told.filter(|(first, last, _)| (*first..=*last).contains(&way.seq)).map(|(_, _, at)| *at).min();
            way.delivered_by = mine.and_then(|at| Timestamp::from_millisecond(at).ok());
            found.push(way);
        }
        // Without any punch of it, a terminal's wall is taken as the machine's own.
        let other = self.terminals.values().find_map(|it| it.shift);
        let begin = |shift: i64| {
            let wall = Offset::UTC.to_timestamp(question.at).map_or(0, Timestamp::as_millisecond);
            let at = wall.saturating_add(shift);
            (at.saturating_sub(question.within_s * 1000), at.saturating_add(question.within_s * 1000))
        };
        for (number, ledger) in &self.ledgers {
            let mut lost = self.lost.remove(number).unwrap_or_default();
            let there = self.there.remove(number).unwrap_or_default();
            let last = there.iter().last().map_or(0, |(_, last)| last);
            let last = self.last.get(number).map_or(last, |indexed| last.max(*indexed));
            there.missing(1, last).into_iter().for_each(|(first, last)| lost.insert(first, last));
            if let Some(known) = self.terminals.get_mut(&ledger.terminal) {
                known.around.lost.extend(lost.iter());
            }
        }
        let mut terminals = Vec::new();
        let gateway = changes(&self.gateway, begin(other.map_or(0, |(_, shift)| shift)));
        for (name, Known { mut around, shift, standing, aside }) in self.terminals {
            let (from, to) = begin(shift.or(other).map_or(0, |(_, shift)| shift));
            around.standing = changes(&standing, (from, to));
            let then = from.saturating_add(question.within_s * 1000);
            around.then = standing.iter().rev().find(|(at, _)| *at <= then).map(|(_, standing)| *standing);
            around.set_aside = aside.iter().filter(|at| (from..to.saturating_add(ASIDE)).contains(at)).count() as u64;
            if question.asks_of(&name) {
                terminals.push(around);
            }
        }
        let near = self.near.into_iter().map(|(_, near)| near).collect();
        Trail { found, near, terminals, gateway, unreadable: 0, retired: self.retired, now: Vec::new() }
    }
}

/// How it was when a time began, and what changed in it, and the first change behind it.
fn changes(all: &[(i64, Standing)], (from, to): (i64, i64)) -> Vec<(Timestamp, Standing)> {
    let before = all.iter().rev().find(|(at, _)| *at <= from);
    let within = all.iter().filter(|(at, _)| (from + 1..=to).contains(at));
    let behind = all.iter().find(|(at, _)| *at > to);
    let told = before.into_iter().chain(within).chain(behind);
    told.filter_map(|(at, standing)| Some((Timestamp::from_millisecond(*at).ok()?, *standing))).collect()
}

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
pub fn silence(state_dir: &Path, terminal: &str, now: Timestamp) -> io::Result<Silence> {
    let mut names: BTreeMap<u32, bool> = BTreeMap::new();
    // Weeks before now are some thousand punches; a terminal with more of them is not silent.
    let mut recent: VecDeque<(DateTime, i64)> = VecDeque::new();
    let (mut first, mut last): (Option<DateTime>, Option<(DateTime, i64)>) = (None, None);
    let mut standing = None;
    look(state_dir, |_, record| match record {
        Record::Ledger(it) => _ = names.insert(it.number, it.terminal == terminal),
        Record::Standing(it) if it.terminal == terminal => {
            standing = it.standing().and_then(|standing| Some((Timestamp::from_millisecond(it.at).ok()?, standing)));
        }
        Record::Punch(punch) if names.get(&punch.ledger) == Some(&true) => {
            let Ok(local) = wall_time(punch.local) else { return };
            let shift = punch.utc_ms() - punch.local.saturating_mul(1000);
            // A clock that was never set, or runs ahead, says nothing of hours.
            if local.year() < 2010 || punch.utc_ms() > now.as_millisecond().saturating_add(60_000) {
                return;
            }
            first = Some(first.map_or(local, |first| first.min(local)));
            last = last.max(Some((local, shift)));
            let old = now.as_millisecond() - punch.utc_ms();
            if old < (Silence::WEEKS as i64 + 1) * 7 * ASIDE {
                recent.push_back((local, shift));
            }
        }
        _ => {}
    })?;
    let Some((last, shift)) = last else {
        let judgement = Judgement::NoPunch;
        return Ok(Silence {
            terminal: terminal.into(),
            last: None,
            now: None,
            weeks: Vec::new(),
            judgement,
            standing,
        });
    };
    let there = Timestamp::from_millisecond(now.as_millisecond().saturating_sub(shift)).unwrap_or(now);
    let there = Offset::UTC.to_datetime(there);
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
    let judgement = Silence::judge(&weeks);
    Ok(Silence { terminal: terminal.into(), last: Some(last), now: Some(there), weeks, judgement, standing })
}
