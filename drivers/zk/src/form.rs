//! Which layout a log's records have. Nothing in the protocol tells; the counts help, and they lie.

use std::collections::HashSet;

use jiff::{ToSpan, civil::DateTime};

use crate::{
    record::{Form, LONGEST, Record, Who},
    time::FIRST_SANE_YEAR,
};

/// What is known beside the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Hints {
    /// How many records the terminal says there are.
    pub count: Option<u32>,
    /// The later of the terminal's clock and ours: records lie before it, a day of grace added.
    pub now: DateTime,
    /// What was found the last time: it holds as long as it can.
    pub known: Option<Form>,
}

/// Why no layout is chosen: a wrong one would forge punches, so nothing is booked by guess.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    #[error("no record layout fits {bytes} bytes of log ({count} records by the terminal's count)")]
    NoneFits { bytes: usize, count: String },
    #[error(
        "{bytes} bytes of log ({count} records by the terminal's count) can be read in more than one way, and a guess would \
         forge punches: set the terminal's clock right and let a few people punch there, then it can be told"
    )]
    SeveralFit { bytes: usize, count: String },
}

/// Of 1000: what every good record gives.
const CLEAR: u32 = 600;
/// How far the best must be ahead of the next.
const AHEAD: u32 = 150;
/// A clock may be so many years ahead and still be no more than a wrong clock. A layout that is out of step by a byte scatters
/// its dates over more than a century.
const YEARS_AHEAD: i64 = 10;
/// Different times from which the lowest byte of one can be told from a code.
const DIFFERENT: usize = 4;
/// And so many records are looked at for it, from all over the log: a hostile one may be large.
const LOOKED_AT: usize = 1000;

/// Work codes are typed by people, 8 digits at most; a packed time is larger than that since 2004.
const LARGEST_WORK_CODE: u32 = 99_999_999;

/// Chooses a layout for the records of a whole log; `records` is not empty.
///
/// What was found the last time holds, since a terminal keeps its layout however wrong its clock is; it is given up only for
/// one that explains all where it explains next to nothing. At first contact the layout with the most plausible records
/// wins if it is clearly ahead; where some are about as plausible, a count that divides the bytes into the size of just one
/// of them decides.
pub fn choose(records: &[u8], hints: &Hints) -> Result<Form, Unclear> {
    let quotient = hints.count.map(|count| count as usize).filter(|count| *count > 0);
    let quotient = quotient.filter(|count| records.len().is_multiple_of(*count)).map(|count| records.len() / count);
    let mut candidates = vec![Form::A8, Form::B8, Form::Number16, Form::Text(40), Form::Text(49)];
    if let Some(size @ (41..=48 | 50..=LONGEST)) = quotient {
        candidates.push(Form::Text(size as u8));
    }
    candidates.extend(hints.known.filter(|known| !candidates.contains(known)));
    let mut looks: Vec<Look> = candidates
        .into_iter()
        .filter(|form| !records.is_empty() && records.len().is_multiple_of(form.size()))
        .map(|form| Look::at(records, form, hints.now))
        .collect();
    looks.sort_by_key(|look| std::cmp::Reverse(look.score));
    let is_told = |look: &Look| Some(look.form.size()) == quotient;
    if let Some(known) = looks.iter().find(|look| Some(look.form) == hints.known)
        && known.holds(&looks[0], is_told(known), is_told(&looks[0]))
    {
        return Ok(known.form);
    }
    let (bytes, count) = (records.len(), hints.count.map_or("unknown".into(), |count| count.to_string()));
    let best = looks.first().map_or(0, |best| best.score);
    let near: Vec<&Look> = looks.iter().filter(|look| look.score + AHEAD > best).collect();
    let told: Vec<&&Look> = near.iter().filter(|look| is_told(look)).collect();
    match (&near[..], &told[..]) {
        (_, [told]) => Ok(told.form),
        ([one], _) if best >= CLEAR => Ok(one.form),
        _ if best >= CLEAR || told.len() > 1 => Err(Unclear::SeveralFit { bytes, count }),
        _ => Err(Unclear::NoneFits { bytes, count }),
    }
}

/// What the records look like under one layout.
struct Look {
    form: Form,
    /// From 0 to 1000: dates, states, persons, and that time goes forward.
    score: u32,
    /// Records, and those that may be one.
    records: usize,
    sane: usize,
}

impl Look {
    fn at(records: &[u8], form: Form, now: DateTime) -> Self {
        let (mut points, mut forward, mut sane) = (0_u64, 0_u64, 0);
        let mut before: Option<DateTime> = None;
        for raw in records.chunks_exact(form.size()) {
            let Ok(record) = form.decode(raw) else { continue };
            let worth = plausible(&record, raw, now);
            points += worth;
            sane += usize::from(worth > 0);
            if worth > 0 && before.is_none_or(|before| before <= record.local) {
                forward += 1;
            }
            before = Some(record.local);
        }
        let count = records.len() / form.size();
        let score = ((points * 233 + forward * 301) / count as u64) as u32;
        let score = if form == Form::A8 && holds_codes_for_seconds(records) { score / 2 } else { score };
        Self { form, score, records: count, sane }
    }

    /// Whether this, which was found the last time, is still to be believed beside the best. A firmware that changes its layout
    /// leaves some of the old one looking sane: half of it where records become twice as long, which its count then says too.
    fn holds(&self, best: &Self, told: bool, other_told: bool) -> bool {
        let other = best.form != self.form && best.sane == best.records && best.score >= CLEAR;
        let next_to_nothing = self.sane * 10 <= self.records;
        let given_up = other && (next_to_nothing || other_told && !told && self.sane * 2 <= self.records);
        !given_up && (self.sane > 0 || told)
    }
}

/// Of 3 points: a date that can be, and a state that is known, for somebody. A clock that was never set, or is some years
/// ahead, is a wrong clock and tells of no wrong layout; but a layout that is out of step by a byte reads its dates as 2000 to
/// 2003, so that such years give less.
fn plausible(record: &Record<'_>, raw: &[u8], now: DateTime) -> u64 {
    let after = |span: jiff::Span| now.checked_add(span).unwrap_or(DateTime::MAX);
    // Two records of 8 bytes read as one of 16 have a time where the work code should be.
    let no_code = matches!(record.who, Who::Number(_)) && record.work_code.is_some_and(|code| code > LARGEST_WORK_CODE);
    if no_code || record.who == Who::Number(0) || record.local > after(YEARS_AHEAD.years()) {
        return 0;
    }
    let is_usual = record.local.year() >= FIRST_SANE_YEAR && record.local <= after(1.day());
    // And codes where nothing should be.
    let two_in_one = raw.len() == Form::Number16.size() && raw[10..12] != [0, 0];
    let state = is_state(record.state) && !two_in_one;
    if is_usual { 2 + u64::from(state) } else { 1 + u64::from(state) }
}

fn is_state(code: u8) -> bool {
    matches!(code, 0..=5 | 255)
}

/// Whether the lowest byte of each time would be one of the few codes for a state: it is one then, and the layout is
/// [`Form::B8`]. This tells the two apart in a log whose clock was never set.
fn holds_codes_for_seconds(records: &[u8]) -> bool {
    let size = Form::A8.size();
    let step = records.len() / size / LOOKED_AT + 1;
    let times: HashSet<&[u8]> = records.chunks_exact(size).step_by(step).map(|raw| &raw[3..]).collect();
    let codes = times.iter().filter(|time| is_state(time[0])).count();
    times.len() >= DIFFERENT && codes * 4 >= times.len() * 3
}
