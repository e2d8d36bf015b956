//! *n-th such* for uploads, which are pieces of a log with borders that shift from one try to the next.
//!
//! # The rule
//! Equal records (person, second, status, verify) are counted **within one unbroken run of the same second in one
//! upload**, from 1. Where the second changes, counting starts anew.
//!
//! Why, case by case:
//!
//! * *The same upload again, or its lines in other borders, or with newer lines behind:* a record that stands alone in its
//!   second is the first such each time. Two equal ones in one upload are first and second each time. All twins.
//! * *Two genuine equal punches in one upload:* first and second, both live. A log is written in the order of events,
//!   so they stand in one run.
//! * *One record twice in an upload* (a queue joined with a dump of the log): between the two stand other seconds, so
//!   both are the first such, and one is a twin. No phantom.
//! * *Two genuine equal punches, each in its own upload:* the bytes are those of a repeated upload whose answer got
//!   lost, and nothing in the protocol tells the two apart (`Stamp` is a constant on newer firmware). The second is
//!   taken for a twin, since a phantom could never be taken back, and a loss can be mended: the daily comparison asks
//!   for the whole day again, and there both stand in one run. The second such is then new, and lives on under its
//!   own id. The same holds when a border of uploads falls between the two.
//! * *A record of a security terminal* has an index of its own that tells it from all others, so it is not counted.
//!
//! A repeated upload can only bring numbers that the longest upload had before: counts never exceed what one run
//! of the terminal's own log held. So: never a phantom; a loss only in the one ambiguous case, until the next comparison.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use jiff::civil::DateTime;

/// Numbers the records of one upload, in their order. Cheap where seconds differ, linear where they do not.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    second: Option<DateTime>,
    seen: HashMap<u64, u32>,
    hasher: RandomState,
}

impl Runs {
    /// The number of the next record of this upload, from 1.
    pub(crate) fn nth(&mut self, local: DateTime, person: &[u8], status: &[u8], verify: &[u8]) -> u32 {
        if self.second != Some(local) {
            self.second = Some(local);
            self.seen.clear();
        }
        let key = (person, status.trim_ascii(), verify.trim_ascii());
        let count = self.seen.entry(self.hasher.hash_one(key)).or_insert(0);
        *count += 1;
        *count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    /// A record is a person and a second; an id is what one upload makes of it.
    type Record = (u8, i8);
    type Id = (u8, i8, u32);

    fn upload(records: &[Record]) -> Vec<Id> {
        let mut runs = Runs::default();
        let at = |second| date(2026, 11, 22).at(8, 0, second, 0);
        records
            .iter()
            .map(|(person, second)| (*person, *second, runs.nth(at(*second), &[*person], b"0", b"1")))
            .collect()
    }

    #[test]
    fn two_genuine_punches_in_one_second_of_one_upload_both_live() {
        assert_eq!(upload(&[(1, 5), (2, 5), (1, 5)]), [(1, 5, 1), (2, 5, 1), (1, 5, 2)]);
    }

    #[test]
    fn a_repeated_upload_brings_nothing_new() {
        let log = [(1, 5), (1, 5), (2, 6)];
        assert_eq!(upload(&log), upload(&log));
    }

    #[test]
    fn a_log_that_stands_twice_in_one_upload_gives_no_phantom() {
        let twice = upload(&[(1, 5), (2, 6), (1, 5), (2, 6)]);
        assert_eq!(twice[..2], twice[2..]);
    }

    #[test]
    fn a_border_between_equal_punches_is_mended_by_the_next_comparison() {
        let mut held: HashSet<Id> = upload(&[(1, 5)]).into_iter().collect();
        held.extend(upload(&[(1, 5), (2, 6)])); // a repetition, or the second of two? nobody can tell
        assert_eq!(held.len(), 2);
        held.extend(upload(&[(1, 5), (1, 5), (2, 6)])); // the day, asked for again
        assert_eq!(held.len(), 3);
    }

    proptest! {
        #[test]
        fn whatever_the_borders_no_phantom_and_the_whole_log_brings_all(
            mut log in prop::collection::vec((0..3_u8, 0..6_i8), 1..30),
            pieces in prop::collection::vec((0..30_usize, 0..30_usize), 0..12),
        ) {
            log.sort_by_key(|(_, second)| *second);
            let truth: HashSet<Id> = upload(&log).into_iter().collect();
            prop_assert_eq!(truth.len(), log.len());
            let mut held = HashSet::new();
            for (from, to) in pieces {
                let (from, to) = (from.min(log.len()), to.min(log.len()));
                held.extend(upload(&log[from.min(to)..from.max(to)]));
                prop_assert!(held.is_subset(&truth), "a phantom");
            }
            held.extend(upload(&log));
            prop_assert_eq!(held, truth);
        }
    }
}
