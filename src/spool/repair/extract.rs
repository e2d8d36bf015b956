//! What can be had of one damaged file: its whole groups wherever they stand, and the bytes between them. Pure; no I/O.

use std::ops::Range;

use super::super::{
    group::{GROUP_HEADER, GROUP_MAGIC, GroupHeader, records, whole},
    record::Record,
};

/// A file taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::spool) struct Extract {
    /// In the order of the file.
    pub(in crate::spool) groups: Vec<Whole>,
    /// What is no group, and the number of the group before it; 0 for none. Nothing but zeros is left out at the end.
    pub(in crate::spool) rests: Vec<(u64, Range<usize>)>,
    /// Those of them whose records have no number between two groups: they belong behind the group with this number.
    pub(super) joined: Vec<(u64, Range<usize>)>,
}

/// A whole group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::spool) struct Whole {
    pub(in crate::spool) number: u64,
    /// The same, or the first of those lost ones for which it stands since a repair.
    pub(super) from: u64,
    pub(in crate::spool) place: Range<usize>,
    pub(in crate::spool) seal: Seal,
    /// Whether its punches go on where those before it end; nobody knows of one without punches.
    pub(super) goes_on: Option<bool>,
    pub(super) stands: Stands,
}

/// By its number, its length and its CRC: two groups that have the same are the same.
pub(in crate::spool) type Seal = (u64, usize, [u8; 4]);

/// How a group stands among those before it (twice.rs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// In its own place.
    Alone,
    /// It is one of those before, once more.
    Again,
    /// It has the number of another, with other records: they belong behind the group with this number.
    Behind(u64),
}

impl Extract {
    /// Whether groups follow each other without anything between them.
    pub(super) fn is_clean(&self) -> bool {
        self.rests.is_empty() && self.is_rising()
    }

    /// Whether its groups follow each other, whatever stands between them.
    pub(super) fn is_rising(&self) -> bool {
        self.groups.windows(2).all(|pair| pair[0].number < pair[1].number && pair[1].from <= pair[0].number + 1)
    }
}

/// Takes a file apart from `start` on: behind its header, where that is whole. Zeros before `unread` may be anything.
pub(in crate::spool) fn extract(seed: u32, bytes: &[u8], start: usize, unread: usize) -> Extract {
    let mut found = Extract::default();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).max(unread.min(bytes.len()));
    let (mut at, mut rest, mut before) = (start, start, 0);
    while at < used {
        let group = GroupHeader::read(&bytes[at..]).map(|header| (header.number, at..at + GROUP_HEADER + header.body));
        match group.filter(|(_, place)| bytes.get(place.clone()).is_some_and(|group| whole(seed, group))) {
            Some((number, place)) => {
                found.rests.extend((rest < at).then_some((before, rest..at)));
                before = number;
                (at, rest) = (place.end, place.end);
                let told = records(&bytes[place.start + GROUP_HEADER..place.end]).next().flatten();
                let from = match told {
                    Some(Record::Repaired(told)) if told.last_group == number => told.first_group.min(number),
                    _ => number,
                };
                let crc = bytes[place.start + 20..place.start + GROUP_HEADER].try_into().expect("four bytes");
                let seal = (number, place.len(), crc);
                found.groups.push(Whole { number, from, place, seal, goes_on: None, stands: Stands::Alone });
            }
            None => {
                let behind = &bytes[(at + 1).min(used)..used];
                let next = behind.windows(GROUP_MAGIC.len()).position(|window| window == GROUP_MAGIC);
                at = next.map_or(used, |next| at + 1 + next);
            }
        }
    }
    // A group may end in zeros, behind the last byte that is used.
    found.rests.extend((rest < used).then_some((before, rest..used)));
    found
}

/// Whether these bytes, which are no group of their place, are whole groups of other places.
pub(in crate::spool) fn are_groups(seed: u32, bytes: &[u8]) -> bool {
    let found = extract(seed, bytes, 0, 0);
    !found.groups.is_empty() && found.rests.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spool::{group::Group, record::ConfirmedRecord};

    fn group(number: u64) -> Vec<u8> {
        let mut group = Group::new(5);
        group.push(&Record::Confirmed(ConfirmedRecord { destination: "mqtt", ledger: 1, first: number, last: number }));
        group.seal(number).to_vec()
    }

    #[test]
    fn groups_are_found_wherever_they_stand() {
        let bytes = [&b"junk"[..], &group(3), &group(1), b"PGgp and more", &group(4), b"end", &[0; 50]].concat();
        let found = extract(5, &bytes, 0, 0);
        assert_eq!(found.groups.iter().map(|group| group.number).collect::<Vec<_>>(), [3, 1, 4]);
        let rests: Vec<_> = found.rests.iter().map(|(before, place)| (*before, &bytes[place.clone()])).collect();
        assert_eq!(rests, [(0, &b"junk"[..]), (1, b"PGgp and more"), (4, b"end")]);
        assert!(!found.is_clean());
        let room = [group(7), group(8), vec![0; 9]].concat();
        assert!(extract(5, &room, 0, 0).is_clean());
        assert!(!extract(5, &room, 0, room.len() - 1).is_clean(), "what cannot be read is no room");
    }

    proptest! {
        #[test]
        fn every_byte_is_a_group_or_a_rest(mut bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..60) {
            bytes.extend_from_slice(&group(9)[cut.min(20)..]);
            bytes.extend_from_slice(&group(10));
            bytes.push(1);
            let found = extract(5, &bytes, 0, 0);
            let mut places: Vec<_> = found.groups.iter().map(|group| group.place.clone()).chain(found.rests.iter().map(|(_, place)| place.clone())).collect();
            places.sort_by_key(|place| place.start);
            prop_assert!(places.windows(2).all(|pair| pair[0].end == pair[1].start));
            prop_assert_eq!((places[0].start, places[places.len() - 1].end), (0, bytes.len()));
        }
    }
}
