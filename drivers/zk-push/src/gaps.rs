//! Comparing a terminal's log with our ledger: ask how many punches a period holds, have them sent again, count.
//!
//! Some terminals do not send by themselves what was punched while we were away. So after each absence, once a day
//! and on request, the terminal is asked for the time since the last comparison, with a day before it. What we had
//! already is dropped as a twin. Long times are asked for in pieces, one after the other: the terminal is weak, and its
//! owner wants to punch.

use std::collections::VecDeque;

use driver_api::Job;
use jiff::{Span, civil::DateTime};

use crate::{commands::Command, settings::Dialect};

/// The longest period of one question, in days.
const LONGEST: i64 = 31;
/// No more questions than that in one comparison: nearly twenty years.
const MOST_PERIODS: usize = 240;

/// The vendor's code for a time-out, for a terminal that says nothing at all.
pub(crate) const NO_ANSWER: i64 = -1003;

/// One comparison under way.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Who asked for it, if anybody did.
    pub job: Option<Job>,
    /// It covers everything since the last one, so that the next may start where it ends.
    pub whole: bool,
    from: DateTime,
    to: DateTime,
    periods: VecDeque<(DateTime, DateTime)>,
    current: Option<Step>,
    counts: bool,
    expected: Option<u64>,
    received: u64,
    new: u64,
    missing: u64,
    /// What it counts in periods of which it sent nothing.
    silent: u64,
    refused: Option<i64>,
}

#[derive(Debug)]
struct Step {
    from: DateTime,
    to: DateTime,
    /// How many punches the terminal says to hold in it.
    sum: Option<u64>,
    received: u64,
    /// The question was answered; punches may still be on their way until the terminal polls again.
    answered: bool,
    again: Again,
}

/// Some units send nothing for a question that is letter by letter one that they answered before. So it is put in other words, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Due,
    Asked,
}

/// What a finished comparison found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Punches that the terminal says to hold in the time asked for, where it counts them.
    pub expected: Option<u64>,
    /// Punches that it sent for it; all of them are stored.
    pub received: u64,
    /// Of those so many were not here.
    pub new: u64,
    /// Of what it counts so many are not here, or more.
    pub missing: u64,
    /// It counts punches and sends none: that our ledger holds as many proves nothing.
    pub unproven: bool,
    /// The code with which it refused to answer.
    pub refused: Option<i64>,
    /// The time asked for.
    pub from: DateTime,
    pub to: DateTime,
}

impl Comparison {
    pub(crate) fn new(from: DateTime, to: DateTime, whole: bool, dialect: Dialect, job: Option<Job>) -> Self {
        let mut periods = VecDeque::new();
        let mut start = from;
        while start <= to && periods.len() < MOST_PERIODS {
            let whole = start.checked_add(Span::new().days(LONGEST)).unwrap_or(to);
            let end = if dialect == Dialect::Security { to } else { whole.min(to) };
            periods.push_back((start, end));
            match end.checked_add(Span::new().seconds(1)) {
                Ok(next) => start = next,
                Err(_) => break,
            }
        }
        let counts = dialect == Dialect::Attendance;
        Self {
            job,
            whole,
            from,
            to,
            periods,
            current: None,
            counts,
            expected: None,
            received: 0,
            new: 0,
            missing: 0,
            silent: 0,
            refused: None,
        }
    }

    /// The next question, when the one before is done with; `None` when there is none left, or one still runs.
    pub(crate) fn next(&mut self) -> Option<Command> {
        if let Some(step) = self.current.as_mut().filter(|step| step.again == Again::Due) {
            step.again = Again::Asked;
            let from = step.from.checked_sub(Span::new().seconds(1)).unwrap_or(step.from);
            return Some(Command::QueryPunches { from, to: step.to });
        }
        if self.current.is_some() || self.refused.is_some() {
            return None;
        }
        let (from, to) = self.periods.pop_front()?;
        self.current = Some(Step { from, to, sum: None, received: 0, answered: false, again: Again::No });
        Some(if self.counts { Command::CountPunches { from, to } } else { Command::QueryPunches { from, to } })
    }

    /// The terminal answered (or did not: `None`); returns what to ask then.
    pub(crate) fn answered(&mut self, command: &Command, code: Option<i64>, sum: Option<u64>) -> Option<Command> {
        let step = self.current.as_mut()?;
        match command {
            Command::CountPunches { from, to } => {
                step.sum = sum.filter(|_| code.is_some_and(|code| code >= 0));
                self.counts = step.sum.is_some(); // what it cannot count once, it is not asked again
                Some(Command::QueryPunches { from: *from, to: *to })
            }
            _ => {
                step.answered = true;
                self.refused = match code {
                    Some(code) if code < 0 => Some(code),
                    Some(_) => None,
                    None => Some(NO_ANSWER),
                };
                None
            }
        }
    }

    /// A question could not be asked.
    pub(crate) fn give_up(&mut self) {
        self.current = None;
        self.refused = Some(NO_ANSWER);
    }

    /// Whether a punch of this time was asked for.
    pub(crate) fn asks_for(&self, local: DateTime) -> bool {
        self.current.as_ref().is_some_and(|step| (step.from..=step.to).contains(&local))
    }

    /// A punch arrived and is stored.
    pub(crate) fn received(&mut self, local: DateTime) {
        if self.asks_for(local)
            && let Some(step) = &mut self.current
        {
            step.received += 1;
        }
    }

    /// Of punches that arrived so many were not here before.
    pub(crate) fn brought(&mut self, new: u64) {
        self.new += new;
    }

    /// Records arrived that could not be read, and are kept raw: the terminal counts them too.
    pub(crate) fn unreadable(&mut self, records: u64) {
        if let Some(step) = &mut self.current {
            step.received += records;
        }
    }

    /// The terminal polls: what it had to say about an answered question is said.
    pub(crate) fn polled(&mut self) {
        if let Some(step) = &mut self.current
            && step.answered
            && (step.received, step.again) == (0, Again::No)
            && step.sum.is_some_and(|sum| sum > 0)
            && self.refused.is_none()
        {
            (step.answered, step.again) = (false, Again::Due);
            return;
        }
        if let Some(step) = self.current.take_if(|step| step.answered) {
            self.received += step.received;
            if let Some(sum) = step.sum {
                *self.expected.get_or_insert(0) += sum;
                if step.received == 0 {
                    self.silent += sum;
                } else {
                    self.missing += sum.saturating_sub(step.received);
                }
            }
        }
    }

    /// What was found, once everything was asked and answered, with so many records in our ledger.
    pub(crate) fn found(&self, held: u64) -> Option<Found> {
        let over = self.current.is_none() && (self.periods.is_empty() || self.refused.is_some());
        let Self { expected, received, new, refused, from, to, .. } = *self;
        let missing = self.missing + self.silent.saturating_sub(held);
        let unproven = self.silent > 0 && missing == 0;
        over.then_some(Found { expected, received, new, missing, unproven, refused, from, to })
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn day(day: i8) -> DateTime {
        date(2026, 11, day).at(8, 0, 0, 0)
    }

    #[test]
    fn what_is_missing_is_found() {
        let mut it = Comparison::new(day(1), day(3), true, Dialect::Attendance, None);
        let count = it.next().unwrap();
        let query = it.answered(&count, Some(0), Some(3)).unwrap();
        assert_eq!(query, Command::QueryPunches { from: day(1), to: day(3) });
        assert!(it.asks_for(day(2)) && !it.asks_for(day(4)));
        it.received(day(2));
        it.received(day(4));
        it.received(day(3));
        it.brought(1);
        assert_eq!(it.answered(&query, Some(0), None), None);
        assert_eq!(it.found(9), None, "more may be on its way");
        it.polled();
        assert_eq!(it.next(), None);
        let wanted = Found {
            expected: Some(3),
            received: 2,
            new: 1,
            missing: 1,
            unproven: false,
            refused: None,
            from: day(1),
            to: day(3),
        };
        assert_eq!(it.found(9), Some(wanted));
    }

    #[test]
    fn what_is_counted_and_not_sent_is_asked_for_once_more_and_never_taken_for_here() {
        for (sent, held, missing, unproven) in [(0, 1, 2, false), (0, 7, 0, true), (3, 7, 0, false), (2, 7, 1, false)] {
            let mut it = Comparison::new(day(1), day(3), true, Dialect::Attendance, None);
            let count = it.next().unwrap();
            let query = it.answered(&count, Some(0), Some(3)).unwrap();
            it.answered(&query, Some(0), None);
            it.polled();
            let again = it.next().expect("it is asked again");
            assert!(again != query && it.next().is_none(), "in other words, and once");
            (0..sent).for_each(|_| it.received(day(2)));
            it.answered(&again, Some(0), None);
            it.polled();
            let found = it.found(held).unwrap();
            assert_eq!((found.missing, found.unproven), (missing, unproven), "{sent} sent, {held} held");
        }
    }

    #[test]
    fn a_long_time_is_asked_for_in_pieces_without_holes() {
        let mut it = Comparison::new(
            date(2026, 1, 1).at(0, 0, 0, 0),
            date(2026, 4, 1).at(0, 0, 0, 0),
            true,
            Dialect::Attendance,
            None,
        );
        let mut end: Option<DateTime> = None;
        let mut questions = 0;
        while let Some(command) = it.next() {
            let Command::CountPunches { from, to } = command.clone() else { panic!("{command:?}") };
            assert!(end.is_none_or(|end| end.checked_add(Span::new().seconds(1)).unwrap() == from));
            end = Some(to);
            let query = it.answered(&command, Some(0), Some(0)).unwrap();
            it.answered(&query, Some(0), None);
            it.polled();
            questions += 1;
        }
        assert_eq!((questions, end), (3, Some(date(2026, 4, 1).at(0, 0, 0, 0))));
        assert_eq!(it.found(0).unwrap().missing, 0);
    }

    #[test]
    fn a_terminal_that_cannot_count_is_asked_once_and_one_that_refuses_is_left_alone() {
        let mut it = Comparison::new(day(1), day(3), true, Dialect::Attendance, None);
        let count = it.next().unwrap();
        let query = it.answered(&count, Some(-1002), None).unwrap();
        it.answered(&query, Some(-1004), None);
        it.polled();
        let found = it.found(0).unwrap();
        assert_eq!((found.expected, found.refused), (None, Some(-1004)));
    }
}
