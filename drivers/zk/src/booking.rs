//! From a terminal's records to punches: persons named, codes mapped, equal ones numbered.

use std::collections::{BTreeMap, HashMap};

use driver_api::{Batch, Clock, Direction, Flag, Mark, Occurrences, Origin, Punch, SetAside, Verify};
use jiff::civil::DateTime;

use crate::{
    record::{Form, Record, Unreadable, Who},
    time,
    user::People,
};

/// What all punches of one batch have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Book<'a> {
    pub(crate) origin: Origin,
    pub(crate) clock: Clock,
    /// Meanings of verify codes by config.
    pub(crate) verify: &'a BTreeMap<u8, Verify>,
}

impl Book<'_> {
    /// A record as a punch. `person` is known to the user list or not.
    pub(crate) fn punch(&self, record: &Record<'_>, person: String, known: bool, nth: u32) -> Punch {
        let mut flags = Vec::new();
        if record.local.year() < time::FIRST_SANE_YEAR {
            flags.push(Flag::ClockUnset);
        }
        if nth > 1 {
            flags.push(Flag::DuplicateSecond);
        }
        if !known {
            flags.push(Flag::UnknownPerson);
        }
        // Access panels log refusals too, with the highest bit set; 255 only says that nothing was chosen.
        if record.state & 0x80 != 0 && record.state != 0xff {
            flags.push(Flag::Denied);
        }
        Punch {
            person,
            local: record.local,
            zone: None,
            direction: Mark { value: direction(record.state), raw: Some(record.state.into()) },
            verify: Mark { value: self.verify(record.verify), raw: Some(record.verify.into()) },
            work_code: record.work_code.map(|code| code.to_string()),
            native: None,
            nth,
            origin: self.origin,
            clock: self.clock,
            flags,
        }
    }

    /// Tables contradict each other beyond these three; for the rest the config may know.
    fn verify(&self, code: u8) -> Verify {
        self.verify.get(&code).copied().unwrap_or(match code {
            0 => Verify::Password,
            1 => Verify::Finger,
            15 => Verify::Face,
            _ => Verify::Unknown,
        })
    }
}

fn direction(state: u8) -> Direction {
    match state {
        0 => Direction::In,
        1 => Direction::Out,
        2 => Direction::BreakOut,
        3 => Direction::BreakIn,
        4 => Direction::OvertimeIn,
        5 => Direction::OvertimeOut,
        _ => Direction::Unknown,
    }
}

/// A whole log, numbered as `driver_api` asks: see the head of its `identity` module.
pub(crate) struct Log<'a> {
    records: &'a [u8],
    form: Form,
    people: Numbers,
    equal: Occurrences,
    next: usize,
    /// From here on they are of the clock of now.
    of_now: usize,
    latest: Option<DateTime>,
}

/// What makes two records of one log equal. Exactly the fields of a punch's id: a work code, for one, is none of them.
#[derive(Hash)]
enum Key<'k> {
    Punch { person: &'k str, second: u32, verify: u8, state: u8 },
    Raw(&'k [u8]),
}

impl<'a> Log<'a> {
    /// Goes once through all records, keeping 8 bytes for each while it does.
    pub(crate) fn new(records: &'a [u8], form: Form, people: &People) -> Self {
        let people = Numbers::of(records, form, people);
        let mut latest = None;
        let equal = Occurrences::of(records.chunks_exact(form.size()).map(|raw| {
            let record = form.decode(raw);
            if let Ok(record) = &record {
                latest = latest.max(Some(record.local));
            }
            people.key(raw, &record)
        }));
        Self { records, form, people, equal, next: 0, of_now: 0, latest }
    }

    pub(crate) fn count(&self) -> usize {
        self.records.len() / self.form.size()
    }

    /// The numbers in it, with the names they have now.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (u32, &str)> {
        self.people.0.iter().map(|(number, (person, _))| (*number, person.as_str()))
    }

    /// Its clock was moved: the last records, as many as `of_now` says yes to, are of the clock of now, and of those before
    /// them nobody knows. Records lie in the order in which they were made, and a clock that was put back tells times twice.
    pub(crate) fn clock_moved(&mut self, of_now: impl Fn(DateTime) -> bool) {
        let size = self.form.size();
        let before = self
            .records
            .chunks_exact(size)
            .rposition(|raw| self.form.decode(raw).is_ok_and(|record| !of_now(record.local)));
        self.of_now = before.map_or(0, |index| index + 1);
    }

    /// The newest time in it.
    pub(crate) fn latest(&self) -> Option<DateTime> {
        self.latest
    }

    /// The next records, as one batch of at most `size`; those before `first`, and those that are not `wanted`, are
    /// counted and left out. `None` at the end.
    pub(crate) fn batch(
        &mut self,
        size: usize,
        first: usize,
        wanted: impl Fn(DateTime) -> bool,
        book: &Book<'_>,
    ) -> Option<Batch> {
        if self.next >= self.count() {
            return None;
        }
        let mut batch = Batch::default();
        let length = self.form.size();
        while self.next < self.count() && batch.punches.len() + batch.set_aside.len() < size {
            let raw = &self.records[self.next * length..][..length];
            let record = self.form.decode(raw);
            let nth = self.equal.nth(self.people.key(raw, &record));
            self.next += 1;
            if self.next <= first {
                continue;
            }
            match record {
                Ok(record) if wanted(record.local) => {
                    let (person, known) = self.people.name(record.who);
                    let clock = if self.next > self.of_now { book.clock } else { Clock::UNKNOWN };
                    batch.punches.push(Book { clock, ..*book }.punch(&record, person.to_owned(), known, nth));
                }
                Ok(_) => {}
                Err(why) => batch.set_aside.push(set_aside(raw, &why, nth)),
            }
        }
        Some(batch)
    }
}

/// A record, or an event, that became no punch.
pub(crate) fn set_aside(raw: &[u8], why: &impl ToString, nth: u32) -> SetAside {
    SetAside { raw: raw[..raw.len().min(SetAside::LIMIT)].to_vec(), reason: why.to_string(), nth }
}

/// The persons behind the numbers of one log, each looked up once.
struct Numbers(HashMap<u32, (String, bool)>);

impl Numbers {
    fn of(records: &[u8], form: Form, people: &People) -> Self {
        let mut numbers = HashMap::new();
        if form.is_numeric() {
            for record in records.chunks_exact(form.size()).filter_map(|raw| form.decode(raw).ok()) {
                if let Who::Number(number) = record.who {
                    numbers.entry(number).or_insert_with(|| named(number, people));
                }
            }
        }
        Self(numbers)
    }

    fn name<'n>(&'n self, who: Who<'n>) -> (&'n str, bool) {
        match who {
            Who::Text(text) => (text, true),
            Who::Number(number) => self.0.get(&number).map_or(("", false), |(person, known)| (person, *known)),
        }
    }

    fn key<'n>(&'n self, raw: &'n [u8], record: &Result<Record<'n>, Unreadable>) -> Key<'n> {
        match record {
            Ok(record) => {
                let person = self.name(record.who).0;
                Key::Punch { person, second: time::encode(record.local), verify: record.verify, state: record.state }
            }
            Err(_) => Key::Raw(raw),
        }
    }
}

/// The person behind a number, and whether the user list knows it for certain; else the number itself as text.
pub(crate) fn named(number: u32, people: &People) -> (String, bool) {
    let certain = !people.is_ambiguous(number);
    people.find(number).map_or_else(|| (number.to_string(), false), |person| (person, certain))
}
