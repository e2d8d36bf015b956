//! What stands in a journal twice. A disk that loses its place may put an old group behind the last one; and a daemon that
//! took it for a new one counted on from there, and gave the numbers of groups that are there to others. Pure; no I/O.
//!
//! A group that is the same as one before it says nothing new, and is left out. One that only has the number of another
//! holds records like any: it is joined to the group that stands before it in the file, since there is no number between
//! two that follow each other, unless its punches are older than those before it. A punch that stands there once more, in whatever group, is left out of the later one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    path::PathBuf,
};

use super::{
    super::{
        group::{BODY_LIMIT, GROUP_HEADER, Group, records, salvage},
        ranges::Ranges,
        record::Record,
    },
    chain::{Edit, Place},
    extract::{Extract, Stands, Whole},
    survey::{Home, Source},
};

/// Says of each group how it stands among those before it.
pub(super) fn judge(homes: &mut BTreeMap<u64, Home>) {
    let (mut known, mut highest) = (BTreeSet::new(), 0);
    let mut strayed: Vec<(PathBuf, Whole)> = Vec::new();
    // All that is left of retired segments may bear one number.
    for home in homes.values_mut() {
        let first = home.sources.iter().filter_map(|source| source.header).map(|header| header.first_group).min();
        // Groups with lower numbers have their place in files before.
        let floor = first.unwrap_or(highest + 1);
        let (mut here, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for source in home.sources.iter_mut().filter(|_| !home.retired) {
            let (mut before, mut joins) = (0, false);
            for group in &mut source.extract.groups {
                let (number, older) = (group.number, group.number < floor);
                let is_taken = taken.contains(&number);
                group.stands = match group.goes_on {
                    _ if here.contains(&group.seal) || (older && known.contains(&group.seal)) => Stands::Again,
                    _ if number > before && !is_taken => Stands::Alone,
                    Some(true) if number <= before => Stands::Behind(before),
                    _ if is_taken && (number > before || group.goes_on.is_some()) => Stands::Behind(number),
                    // The one that it is the same as is lost.
                    Some(_) if older => {
                        strayed.push((source.path.clone(), group.clone()));
                        Stands::Again
                    }
                    None if is_taken || older || joins => Stands::Behind(before),
                    _ => Stands::Alone,
                };
                here.insert(group.seal);
                joins = matches!(group.stands, Stands::Behind(_));
                if group.stands == Stands::Alone {
                    taken.insert(number);
                    before = before.max(number);
                }
            }
            settle_rests(&mut source.extract);
        }
        known.append(&mut here);
        highest = home.groups().last().copied().unwrap_or(0).max(highest);
    }
    strayed.into_iter().for_each(|(path, group)| take_back(homes, path, group));
}

/// A group that stands behind those of a later file alone, and is older than all of them, goes back to its own.
fn take_back(homes: &mut BTreeMap<u64, Home>, path: PathBuf, group: Whole) {
    let mut open = homes.values_mut().filter(|home| !home.retired);
    let Some(mut place) = open.next() else { return };
    for home in open {
        let headed = home.sources.iter().filter_map(|source| source.header).map(|header| header.first_group).min();
        if headed.or(home.from()).is_some_and(|first| first <= group.number) {
            place = home;
        }
    }
    let extract = Extract { groups: vec![Whole { stands: Stands::Alone, ..group }], ..Extract::default() };
    place.sources.push(Source { path, header: None, fault: None, unread: Vec::new(), too_long: None, extract });
}

/// What is no group stands behind one that stays.
fn settle_rests(extract: &mut Extract) {
    let Extract { groups, rests, .. } = extract;
    for (before, place) in rests {
        let here = groups.iter().rev().filter(|group| group.place.end <= place.start);
        let stays = here.map(|group| match group.stands {
            Stands::Alone => Some(group.number),
            Stands::Behind(number) => Some(number),
            Stands::Again => None,
        });
        *before = stays.flatten().next().unwrap_or(0);
    }
}

/// Damaged bytes where groups have the numbers of others may hold punches, and no number is left for a group of them: they
/// are joined to the group before them, as whole ones are. `is_new` says whether they hold any that is nowhere else.
pub(super) fn join_rests(homes: &mut BTreeMap<u64, Home>, mut is_new: impl FnMut(&Source, &Range<usize>) -> bool) {
    let mut behind: Option<u64> = None;
    for home in homes.values_mut().rev().filter(|home| !home.retired) {
        let groups: BTreeMap<u64, u64> = home.alone().map(|group| (group.number, group.from)).collect();
        let has_no_room = |before: u64| {
            let next = groups.range(before + 1..).next().map(|(_, from)| *from).or(behind);
            groups.contains_key(&before) && next.is_some_and(|next| next <= before + 1)
        };
        for source in &mut home.sources {
            let rests = std::mem::take(&mut source.extract.rests);
            let (joined, rests) =
                rests.into_iter().partition(|(before, place)| has_no_room(*before) && is_new(source, place));
            (source.extract.joined, source.extract.rests) = (joined, rests);
        }
        behind = home.from().or(behind);
    }
}

/// A group as it should stand in its file, and what it is made of.
pub(super) struct Joined {
    pub(super) number: u64,
    pub(super) from: u64,
    pub(super) parts: Vec<Part>,
}

/// Where records of a group stand.
pub(super) struct Part {
    /// Which of the files.
    pub(super) source: usize,
    pub(super) place: Range<usize>,
    /// Not a group, but bytes that hold some records.
    pub(super) is_damaged: bool,
}

impl Part {
    fn long(&self) -> usize {
        self.place.len() - if self.is_damaged { 0 } else { GROUP_HEADER }
    }
}

impl Joined {
    fn long(&self) -> usize {
        self.parts.iter().map(Part::long).sum()
    }

    /// Its records; `read` gives the bytes of a file, of which the last one is held. `None` where they are not there any more.
    pub(super) fn body<E>(
        &self,
        seed: u32,
        held: &mut Option<(usize, Vec<u8>)>,
        read: &mut dyn FnMut(usize) -> Result<Vec<u8>, E>,
    ) -> Result<Option<Vec<u8>>, E> {
        let mut body = Vec::with_capacity(self.long());
        for Part { source, place, is_damaged } in &self.parts {
            if held.as_ref().is_none_or(|(held, _)| held != source) {
                *held = Some((*source, read(*source)?));
            }
            let Some(part) = held.as_ref().and_then(|(_, bytes)| bytes.get(place.clone())) else { return Ok(None) };
            if *is_damaged {
                let mut group = Group::new(seed);
                salvage(seed, part).records.iter().for_each(|record| group.push(record));
                body.extend_from_slice(&group.seal(self.number)[GROUP_HEADER..]);
            } else {
                body.extend_from_slice(&part[GROUP_HEADER..]);
            }
        }
        Ok(Some(body))
    }
}

impl Home {
    /// Its groups in the order of their numbers.
    pub(super) fn joined(&self) -> Vec<Joined> {
        let mut joined: BTreeMap<u64, Joined> = BTreeMap::new();
        let groups =
            || self.sources.iter().enumerate().flat_map(|(at, it)| it.extract.groups.iter().map(move |it| (at, it)));
        for (source, group) in groups().filter(|(_, group)| group.stands == Stands::Alone) {
            let parts = vec![Part { source, place: group.place.clone(), is_damaged: false }];
            joined.entry(group.number).or_insert(Joined { number: group.number, from: group.from, parts });
        }
        let behind = groups().filter_map(|(source, group)| match group.stands {
            Stands::Behind(number) => Some((number, Part { source, place: group.place.clone(), is_damaged: false })),
            Stands::Alone | Stands::Again => None,
        });
        let rests = self.sources.iter().enumerate().flat_map(|(source, it)| {
            it.extract
                .joined
                .iter()
                .map(move |(number, place)| (*number, Part { source, place: place.clone(), is_damaged: true }))
        });
        for (number, part) in behind.chain(rests) {
            if let Some(group) = joined.get_mut(&number) {
                group.parts.push(part);
            }
        }
        for group in joined.values_mut() {
            group.parts[1..].sort_by_key(|part| (part.source, part.place.start));
        }
        spread(joined.into_values().collect())
    }
}

/// The same records in the same order, and none of the groups longer than can be read.
fn spread(groups: Vec<Joined>) -> Vec<Joined> {
    if groups.iter().all(|group| group.long() <= BODY_LIMIT) {
        return groups;
    }
    let mut numbers: VecDeque<_> = groups.iter().map(|group| (group.number, group.from)).collect();
    let mut parts: VecDeque<_> = groups.into_iter().flat_map(|group| group.parts).collect();
    let mut spread: Vec<Joined> = Vec::new();
    while let Some(first) = parts.pop_front() {
        // The next file may have the numbers behind its last one, which costs nothing: each file counts for itself.
        let next = spread.last().map_or(1, |group| group.number + 1);
        let (number, from) = numbers.pop_front().unwrap_or((next, next));
        let mut group = Joined { number, from, parts: vec![first] };
        while parts.len() > numbers.len()
            && let Some(part) = parts.front()
            && group.long() + part.long() <= BODY_LIMIT
        {
            group.parts.extend(parts.pop_front());
        }
        spread.push(group);
    }
    spread
}

/// Punches that stand in the journal once more. Takes its groups in their order: [`Twice::look`], and where there are any,
/// [`Twice::compare`].
#[derive(Default)]
pub(super) struct Twice {
    seen: BTreeMap<u32, Ranges>,
    again: BTreeMap<Place, (u32, u64)>,
    /// The ids of the later ones that are not yet found to be those of the first, by ledger and number.
    ids: BTreeMap<(u32, u64), Vec<[u8; 16]>>,
}

impl Twice {
    pub(super) fn look(&mut self, file: u64, group: u64, body: &[u8], edits: &BTreeMap<Place, Edit>) {
        for (at, record) in records(body).enumerate() {
            let place = (file, group, at);
            match record {
                Some(Record::Punch(punch)) if !edits.contains_key(&place) => {
                    let seen = self.seen.entry(punch.ledger).or_default();
                    if seen.contains(punch.seq) {
                        self.again.insert(place, (punch.ledger, punch.seq));
                        self.ids.entry((punch.ledger, punch.seq)).or_default().push(punch.id);
                    } else {
                        seen.insert(punch.seq, punch.seq);
                    }
                }
                Some(Record::Retired(it)) if it.first != 0 => {
                    self.seen.entry(it.ledger).or_default().insert(it.first, it.last)
                }
                _ => {}
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.again.is_empty()
    }

    pub(super) fn compare(&mut self, file: u64, group: u64, body: &[u8], edits: &BTreeMap<Place, Edit>) {
        for (at, record) in records(body).enumerate() {
            let place = (file, group, at);
            match record {
                Some(Record::Punch(punch)) if !self.again.contains_key(&place) && !edits.contains_key(&place) => {
                    if let Some(ids) = self.ids.get_mut(&(punch.ledger, punch.seq)) {
                        ids.retain(|id| *id != punch.id);
                    }
                }
                // Which id is whose number's is not told there.
                Some(Record::Retired(it)) if it.first != 0 => {
                    let known: BTreeSet<_> = it.ids().map(|(_, id)| id.0).collect();
                    for (_, ids) in self.ids.range_mut((it.ledger, it.first)..=(it.ledger, it.last)) {
                        ids.retain(|id| !known.contains(id));
                    }
                }
                _ => {}
            }
        }
    }

    /// How many of them are other punches than those whose numbers they have.
    pub(super) fn unlike(&self) -> u64 {
        self.ids.values().map(|ids| ids.len() as u64).sum()
    }

    pub(super) fn edits(self) -> impl Iterator<Item = (Place, Edit)> {
        self.again.into_iter().map(|(place, (ledger, seq))| (place, Edit::Again { ledger, seq }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_group_gets_longer_than_can_be_read_and_none_of_its_parts_is_lost() {
        let part = |long: usize| Part { source: 0, place: 0..long + GROUP_HEADER, is_damaged: false };
        let group = |number: u64, parts: &[usize]| {
            let parts = parts.iter().map(|long| part(*long)).collect();
            Joined { number, from: number, parts }
        };
        let long = |groups: &[Joined]| groups.iter().flat_map(|it| it.parts.iter().map(Part::long)).collect::<Vec<_>>();
        const MIB: usize = 1 << 20;
        for crowd in [1, 3, 9, 30] {
            let groups = vec![group(7, &[9]), group(8, &vec![MIB + 1; crowd]), group(9, &[5])];
            let before = long(&groups);
            let after = spread(groups);
            assert_eq!(long(&after), before, "{crowd}");
            assert!(after.iter().all(|it| it.long() <= BODY_LIMIT && !it.parts.is_empty()), "{crowd}");
            let numbers: Vec<_> = after.iter().map(|it| it.number).collect();
            assert_eq!(numbers, (7..7 + numbers.len() as u64).collect::<Vec<_>>(), "{crowd}");
            assert!(numbers.len() >= 3, "{crowd}");
        }
    }
}
