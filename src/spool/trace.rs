//! Where a punch is: out of the journal alone, while the daemon runs or not.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use jiff::{Timestamp, civil::DateTime, tz::Offset};

use super::{
    look::{Unseen, look},
    ranges::Ranges,
    record::{PunchRecord, Record, RetiredRecord, ZoneNames, wall_time},
    segment::Position,
    silence::note,
};
use crate::{
    inquiry::{Around, Near, Question, Site, Standing, Trail, Way},
    ledger::Ledger,
    wire::{Topics, suffix},
};

/// Nearest punches of the person that are told.
const NEAR: usize = 4;
/// A raw record is counted when it was kept so long after the time asked for, in milliseconds.
const ASIDE: i64 = DAY;
/// In milliseconds.
const DAY: i64 = 86_400_000;

#[derive(Default)]
struct Known {
    around: Around,
    /// Of its punch nearest to the time asked for.
    shift: Option<Shift>,
    standing: Vec<(i64, Standing)>,
    aside: Vec<i64>,
}

/// What leads from a terminal's wall to an instant of ours, in milliseconds.
#[derive(Clone, Copy)]
struct Shift {
    far: i64,
    /// Its zone: `utc` minus `local`.
    zone: i64,
    /// How far its clock was ahead.
    skew: i64,
}

impl Shift {
    /// The moment of our clock at which the wall shows this; read as if the clock were right, or as it was.
    fn moments(self, wall: DateTime) -> [i64; 2] {
        let wall = Offset::UTC.to_timestamp(wall).map_or(0, Timestamp::as_millisecond);
        let right = wall.saturating_add(self.zone);
        [right, right.saturating_sub(self.skew)]
    }
}

/// Numbers that the journal says are lost.
struct LostNumbers {
    first: u64,
    last: u64,
    /// They became durable before this, in milliseconds since 1970.
    until: i64,
    /// As many came again.
    made_good: bool,
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
    lost: BTreeMap<u32, Vec<LostNumbers>>,
    /// The last number of each ledger by the index, where something may be missing.
    last: BTreeMap<u32, u64>,
    /// Punches of which only ids are left.
    retired: u64,
    confirmed: BTreeMap<u32, Ranges>,
    confirmed_at: BTreeMap<u32, Vec<(u64, u64, i64)>>,
    zones: ZoneNames,
    known: BTreeSet<String>,
    /// When the last punch of each ledger became durable.
    stored: BTreeMap<u32, i64>,
}

/// What this disk knows of a punch.
pub fn trace(state_dir: &Path, question: &Question, site: &Site, now: Timestamp) -> io::Result<Trail> {
    let known = site.terminals.keys().cloned().collect();
    let mut tracer = Tracer { known, ..Tracer::default() };
    let unseen = look(state_dir, |at, record| tracer.take(question, at, record))?;
    let places = unseen.places;
    tracer.indexed(unseen);
    Ok(Trail { unreadable: places, ..tracer.trail(question, site, now) })
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
                let lost = LostNumbers { first: it.first, last: it.last, until: it.until, made_good: false };
                self.lost.entry(it.ledger).or_default().push(lost);
            }
            Record::Settled(it) if it.made_good => {
                let told = self.lost.get_mut(&it.ledger).into_iter().flatten();
                let told = told.filter(|lost| it.first <= lost.first && lost.last <= it.last);
                told.for_each(|lost| lost.made_good = true);
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
            note(&mut self.known, name);
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
        self.stored.insert(punch.ledger, punch.stored());
        let Some(ledger) = self.ledgers.get(&punch.ledger) else { return };
        let Ok(local) = wall_time(punch.local) else { return };
        let name = ledger.terminal.clone();
        // What its clock would have shown, had it been right: for who asks by another clock.
        let skew = punch.skew_ms();
        let right = skew
            .and_then(|skew| wall_time(punch.local.saturating_mul(1000).saturating_sub(skew).div_euclid(1000)).ok());
        let by_corrected = !question.covers(local) && right.is_some_and(|right| question.covers(right));
        let covered = by_corrected || question.covers(local);
        let far = question.distance_s(local).min(right.map_or(i64::MAX, |right| question.distance_s(right)));
        let zone = punch.utc_ms().saturating_sub(punch.local.saturating_mul(1000));
        // Who names this year does not go by a clock that stands in another one.
        let skew = skew.filter(|skew| skew.saturating_abs() <= DAY).unwrap_or(0);
        let known = self.terminal(&name);
        let around = &mut known.around;
        if known.shift.is_none_or(|before| far < before.far) {
            known.shift = Some(Shift { far, zone, skew });
        }
        around.punches += u64::from(covered);
        if !covered {
            around.neighbour(question, local);
        }
        if punch.person() != question.person {
            return;
        }
        if !covered || !question.asks_of(&name) {
            self.near.push((far, Near { terminal: name, local, id: driver_api::PunchId(punch.id) }));
            if self.near.len() > 64 {
                self.near.sort_by_key(|(far, _)| *far);
                self.near.truncate(NEAR);
            }
            return;
        }
        let (Some(ledger), Ok(entry)) = (self.ledgers.get(&punch.ledger), punch.entry(&mut self.zones)) else { return };
        let corrected = entry.corrected();
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
            corrected,
            corrected_local: right,
            by_corrected,
            clock: entry.clock,
            origin: entry.origin,
            flags: entry.flags,
            durable: entry.stored,
            segment: at.segment,
            offset: at.offset,
            topic: String::new(),
            other_topic: None,
            delivered: false,
            delivered_by: None,
        };
        self.found.push((punch.ledger, way));
    }

    fn trail(mut self, question: &Question, site: &Site, now: Timestamp) -> Trail {
        self.near.sort_by_key(|(far, _)| *far);
        self.near.truncate(NEAR);
        let mut found = Vec::new();
        let present = self.present(site);
        for (number, mut way) in std::mem::take(&mut self.found) {
            way.delivered = self.confirmed.get(&number).is_some_and(|ranges| ranges.contains(way.seq));
            let told = self.confirmed_at.get(&number).into_iter().flatten();
            let mine = told.filter(|(first, last, _)| (*first..=*last).contains(&way.seq)).map(|(_, _, at)| *at).min();
            way.delivered_by = mine.and_then(|at| Timestamp::from_millisecond(at).ok());
            if let Some(ledger) = self.ledgers.get(&number) {
                (way.topic, way.other_topic) = self.topics(ledger, &way, present.as_ref());
            }
            found.push(way);
        }
        let shifts: BTreeMap<&str, Shift> =
            self.terminals.iter().filter_map(|(name, it)| Some((&**name, it.shift?))).collect();
        let other = shifts.values().next().copied();
        // Without any punch of it, a terminal's wall is that of its zone, or as another one's.
        let shift = |name: &str| {
            let other = other.filter(|_| site.zone.is_none() && !site.terminals.contains_key(name));
            shifts.get(name).copied().or(other).unwrap_or_else(|| by_zone(site, name, question.at))
        };
        let moments: BTreeMap<String, [i64; 2]> =
            self.terminals.keys().map(|name| (name.clone(), shift(name).moments(question.at))).collect();
        let within = question.within_s.saturating_mul(1000);
        let around_ours = |at: i64| (at.saturating_sub(within), at.saturating_add(within));
        let gateway = other.unwrap_or_else(|| by_zone(site, "", question.at)).moments(question.at)[1];
        for (number, ledger) in &self.ledgers {
            let recorded = self.lost.remove(number).unwrap_or_default();
            let mut there = self.there.remove(number).unwrap_or_default();
            recorded.iter().for_each(|lost| there.insert(lost.first, lost.last));
            let last = self.last.get(number).map_or(there.last(), |indexed| there.last().max(*indexed));
            let mut lost: Ranges = there.missing(1, last).into_iter().collect();
            // What came again is not missing, and what was punched when the loss was known is none of it.
            let from = moments.get(&ledger.terminal).map_or(i64::MIN, |at| around_ours(at[0].min(at[1])).0);
            let may_be = recorded.iter().filter(|lost| !lost.made_good && from <= lost.until);
            may_be.for_each(|it| lost.insert(it.first, it.last));
            if let Some(known) = self.terminals.get_mut(&ledger.terminal) {
                known.around.lost.extend(lost.iter());
            }
        }
        let mut terminals = Vec::new();
        let gateway = changes(&self.gateway, around_ours(gateway));
        for (name, Known { mut around, standing, aside, .. }) in self.terminals {
            let [right, then] = moments.get(&name).copied().unwrap_or_default();
            let (from, to) = around_ours(then);
            around.standing = changes(&standing, (from, to));
            around.to_come = then.min(right) > now.as_millisecond();
            around.then = standing.iter().rev().find(|(at, _)| *at <= then).map(|(_, standing)| *standing);
            around.then = around.then.filter(|_| !around.to_come);
            around.set_aside = aside.iter().filter(|at| (from..to.saturating_add(ASIDE)).contains(at)).count() as u64;
            if question.asks_of(&name) {
                terminals.push(around);
            }
        }
        let near = self.near.into_iter().map(|(_, near)| near).collect();
        let (retired, known) = (self.retired, self.known);
        Trail { found, near, terminals, gateway, unreadable: 0, retired, known, now: Vec::new() }
    }

    /// By which tenant and id the gateway delivers now: as the config has it, or else as the newest ledger was begun.
    fn present(&self, site: &Site) -> Option<(String, String)> {
        let newest = || self.ledgers.values().max_by_key(|ledger| ledger.begun);
        site.ids.clone().or_else(|| newest().map(|ledger| (ledger.tenant.clone(), ledger.gateway.clone())))
    }

    /// Where a punch is or will be published, and where it may be instead. That is by the name that the gateway has while it
    /// delivers, which may be another one than when the punch came.
    fn topics(&self, ledger: &Ledger, way: &Way, present: Option<&(String, String)>) -> (String, Option<String>) {
        let topic = |tenant: &str, gateway: &str| {
            Topics::new(tenant, gateway).map(|topics| topics.of(&suffix::punch(&ledger.terminal))).unwrap_or_default()
        };
        let then = topic(&ledger.tenant, &ledger.gateway);
        let Some((tenant, gateway)) = present else { return (then, None) };
        let now = topic(tenant, gateway);
        if now == then {
            return (then, None);
        }
        let is_present = |it: &&Ledger| (&it.tenant, &it.gateway) == (tenant, gateway);
        // The first ledger of the new name was begun some time after the move.
        let moved = self.ledgers.values().filter(is_present).map(|ledger| ledger.begun).min();
        let is_then = |it: &&Ledger| (&it.tenant, &it.gateway) == (&ledger.tenant, &ledger.gateway);
        let of_then = self.ledgers.iter().filter(|(_, it)| is_then(it)).map(|(number, _)| number);
        let last = of_then.filter_map(|number| self.stored.get(number)).max().copied();
        match (way.delivered, way.delivered_by) {
            (false, _) => (now, None),
            (true, Some(at)) if moved.is_some_and(|moved| at.as_second() >= moved) => (now, None),
            (true, Some(at)) if last.is_some_and(|last| at.as_millisecond() <= last) => (then, None),
            (true, _) => (then, Some(now)),
        }
    }
}

/// As the zone of a terminal has it.
fn by_zone(site: &Site, terminal: &str, wall: DateTime) -> Shift {
    let zone = site.of(terminal);
    let at = zone.to_ambiguous_timestamp(wall).compatible().unwrap_or(Timestamp::UNIX_EPOCH);
    Shift { far: i64::MAX, zone: -i64::from(zone.to_offset(at).seconds()) * 1000, skew: 0 }
}

/// How it was when a time began, and what changed in it, and the first change behind it.
fn changes(all: &[(i64, Standing)], (from, to): (i64, i64)) -> Vec<(Timestamp, Standing)> {
    let before = all.iter().rev().find(|(at, _)| *at <= from);
    let within = all.iter().filter(|(at, _)| (from + 1..=to).contains(at));
    let behind = all.iter().find(|(at, _)| *at > to);
    let told = before.into_iter().chain(within).chain(behind);
    told.filter_map(|(at, standing)| Some((Timestamp::from_millisecond(*at).ok()?, *standing))).collect()
}
