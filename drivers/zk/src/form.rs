//! Which layout a log's records have. Nothing in the protocol tells; the counts help, and they lie.

use jiff::{
    ToSpan,
    civil::{DateTime, date},
};

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
    /// What was found the last time.
    pub known: Option<Form>,
}

/// No layout explains the bytes, or several do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no record layout fits {bytes} bytes of log ({count} records by the terminal's count)")]
pub struct Unclear {
    pub bytes: usize,
    pub count: String,
}

/// Of 1000: what every good record gives.
const CLEAR: u32 = 600;
/// How far the best must be ahead of the next.
const AHEAD: u32 = 150;
/// Records looked at under each layout.
const SAMPLES: usize = 24;

/// Work codes are typed by people, 8 digits at most; a packed time is larger than that since 2004.
const LARGEST_WORK_CODE: u32 = 99_999_999;

/// Chooses a layout for the records of a whole log; `records` is not empty.
///
/// A count that divides the bytes into a known size decides, unless the records are plainly something else under it.
/// Without that, the layout with the most plausible records wins, if it is clearly ahead.
pub fn choose(records: &[u8], hints: &Hints) -> Result<Form, Unclear> {
    let quotient = hints.count.map(|count| count as usize).filter(|count| *count > 0);
    let quotient = quotient.filter(|count| records.len().is_multiple_of(*count)).map(|count| records.len() / count);
    let mut candidates = vec![Form::A8, Form::B8, Form::Number16, Form::Text(40), Form::Text(49)];
    if let Some(size @ 40..=LONGEST) = quotient {
        candidates.push(Form::Text(size as u8));
    }
    candidates.dedup();
    let mut scores: Vec<(u32, Form)> = candidates
        .into_iter()
        .filter(|form| !records.is_empty() && records.len().is_multiple_of(form.size()))
        .map(|form| (score(form, records, hints.now), form))
        .collect();
    // The best first; among equals, what was found the last time.
    scores.sort_by_key(|(score, form)| (std::cmp::Reverse(*score), Some(*form) != hints.known));
    let best = scores.first().copied();
    if let Some(told) = scores.iter().find(|(_, form)| Some(form.size()) == quotient)
        && best.is_none_or(|(best, _)| told.0 * 2 >= best || best < CLEAR)
    {
        return Ok(told.1);
    }
    let unclear =
        Unclear { bytes: records.len(), count: hints.count.map_or("unknown".into(), |count| count.to_string()) };
    let Some((best, form)) = best.filter(|(best, _)| *best >= CLEAR) else { return Err(unclear) };
    let next = scores.iter().skip(1).find(|(_, other)| *other != form).map_or(0, |(next, _)| *next);
    if best >= next + AHEAD || Some(form) == hints.known { Ok(form) } else { Err(unclear) }
}

/// How plausible the records are under a layout, from 0 to 1000: dates, states, persons, and that time goes forward.
fn score(form: Form, records: &[u8], now: DateTime) -> u32 {
    let count = records.len() / form.size();
    let samples = count.min(SAMPLES);
    let (mut good, mut forward) = (0, 0);
    let mut before: Option<DateTime> = None;
    for sample in 0..samples {
        let index = if samples == 1 { 0 } else { sample * (count - 1) / (samples - 1) };
        let raw = &records[index * form.size()..][..form.size()];
        let Ok(record) = form.decode(raw) else { continue };
        good += plausible(&record, now);
        if before.is_none_or(|before| before <= record.local) {
            forward += 1;
        }
        before = Some(record.local);
    }
    (good * 233 + forward * 301) / samples as u32
}

/// Of 3 points: a date that can be, and a state that is known, for somebody. Years in which these terminals were hardly
/// made give less: a layout that is out of step by a byte reads its dates as 2000 to 2003.
fn plausible(record: &Record<'_>, now: DateTime) -> u32 {
    let limit = now.checked_add(1.day()).unwrap_or(DateTime::MAX);
    // Two records of 8 bytes read as one of 16 have a time where the work code should be.
    let no_code = matches!(record.who, Who::Number(_)) && record.work_code.is_some_and(|code| code > LARGEST_WORK_CODE);
    if no_code || record.who == Who::Number(0) || record.local < date(2000, 1, 2).at(0, 0, 0, 0) || record.local > limit
    {
        return 0;
    }
    let date = if record.local.year() < FIRST_SANE_YEAR { 1 } else { 2 };
    date + u32::from(matches!(record.state, 0..=5 | 255))
}
