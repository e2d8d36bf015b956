//! Sets of sequence numbers as ranges: what a destination has confirmed, what was handed out, what is lost.

use std::collections::BTreeMap;

/// A set of numbers, kept as ranges that neither touch nor overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `first..=last`; an empty range adds nothing.
    pub(super) fn insert(&mut self, mut first: u64, mut last: u64) {
        if first > last {
            return;
        }
        // The one before swallows us or touches us; those behind are swallowed.
        if let Some((&start, &end)) = self.0.range(..=first).next_back()
            && end.saturating_add(1) >= first
        {
            first = start;
            last = last.max(end);
        }
        while let Some((&start, &end)) = self.0.range(first..=last.saturating_add(1)).next() {
            last = last.max(end);
            self.0.remove(&start);
        }
        self.0.insert(first, last);
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, &end)| end >= number)
    }

    pub(super) fn covers(&self, first: u64, last: u64) -> bool {
        self.0.range(..=first).next_back().is_some_and(|(_, &end)| end >= last)
    }

    /// How many numbers are in it.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The greatest number in it, or 0.
    pub(super) fn last(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, last)| *last)
    }

    /// The last number of the range that starts at 1, or 0.
    pub(super) fn through(&self) -> u64 {
        self.0.first_key_value().filter(|(first, _)| **first <= 1).map_or(0, |(_, last)| *last)
    }

    /// What of `first..=last` is not in it.
    pub(super) fn missing(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        let mut next = first;
        let start = self.0.range(..=first).next_back().map_or(first, |(start, _)| *start);
        for (&from, &to) in self.0.range(start..=last) {
            if from > next {
                missing.push((next, from - 1));
            }
            next = next.max(to.saturating_add(1));
        }
        if next <= last {
            missing.push((next, last));
        }
        missing
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(first, last)| (*first, *last))
    }
}

impl FromIterator<(u64, u64)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(ranges: I) -> Self {
        let mut set = Self::default();
        for (first, last) in ranges {
            set.insert(first, last);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set_of_numbers(inserts in prop::collection::vec((1u64..60, 0u64..9), 0..40), at in 1u64..60, long in 0u64..20) {
            let mut ranges = Ranges::default();
            let mut plain = BTreeSet::new();
            for (first, long) in inserts {
                ranges.insert(first, first + long);
                plain.extend(first..=first + long);
            }
            prop_assert_eq!(ranges.count(), plain.len() as u64);
            prop_assert_eq!(ranges.contains(at), plain.contains(&at));
            prop_assert_eq!(ranges.covers(at, at + long), (at..=at + long).all(|n| plain.contains(&n)));
            prop_assert_eq!(ranges.through(), (1..).take_while(|n| plain.contains(n)).last().unwrap_or(0));
            let missing: BTreeSet<u64> = ranges.missing(at, at + long).into_iter().flat_map(|(a, b)| a..=b).collect();
            let expected: BTreeSet<u64> = (at..=at + long).filter(|n| !plain.contains(n)).collect();
            prop_assert_eq!(missing, expected);
            let mut end = 0;
            for (first, last) in ranges.iter() {
                prop_assert!(first <= last && (end == 0 || first > end + 1));
                end = last;
            }
        }
    }
}
