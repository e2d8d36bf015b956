//! What a repair puts in place of what is damaged: for each file that is not as it should be, a new one, made of the whole
//! groups of the old one and of the records that can be had from between them. Nothing is written here.

mod groups;
mod losses;
mod why;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
};

use jiff::Timestamp;

use self::why::fault_of;
use super::{
    super::{
        group::{Group, salvage},
        lock::Content,
        record::{Record, RepairedRecord},
        segment::{SEGMENT_HEADER, SegmentHeader, seed, segment_path},
        verify::files::HeaderFault,
    },
    RepairError, RepairLoss,
    survey::{Home, Source, Survey, read},
};

/// A piece of a new file.
pub(super) enum Piece {
    /// A whole group of a file that is there.
    Copy(PathBuf, Range<usize>),
    New(Vec<u8>),
}

/// A file to be written, under its own name.
pub(super) struct NewFile {
    pub(super) number: u64,
    pub(super) retired: bool,
    pub(super) header: SegmentHeader,
    pub(super) pieces: Vec<Piece>,
    /// Why the old one cannot stay.
    pub(super) why: String,
    /// There is none: only the names of its neighbours tell of it.
    pub(super) is_absent: bool,
}

#[derive(Default)]
pub(super) struct Plan {
    pub(super) files: Vec<NewFile>,
    /// Files that are set aside: those that are replaced, and those that belong nowhere.
    pub(super) aside: Vec<PathBuf>,
    /// Those of them that the disk does not give as a whole, so that nobody can copy them.
    pub(super) part_read: Vec<PathBuf>,
    /// Punches and other records out of damaged bytes, that are in the new files.
    pub(super) punches: u64,
    pub(super) others: u64,
    /// Records that are whole and have no place any more; the files set aside hold them.
    pub(super) left_out: u64,
    pub(super) losses: Vec<RepairLoss>,
    /// Terminals whose ledger ends here.
    pub(super) ended: Vec<String>,
    /// Ledgers that were delivered, and that nothing names any more.
    pub(super) nameless: Vec<String>,
    pub(super) last_group: u64,
}

struct Planner<'s> {
    survey: &'s mut Survey,
    plan: Plan,
    now: Timestamp,
    /// The last group so far.
    group: u64,
    /// The journal lost something behind its last whole group.
    lost_end: bool,
    /// The last group, with others behind it, that cannot be read as a whole.
    damaged_to: u64,
    /// Numbers are missing that nobody has recorded as lost, whatever took them.
    untold: bool,
}

/// `None` where nothing is damaged.
pub(super) fn plan(survey: &mut Survey, now: Timestamp) -> Result<Option<Plan>, RepairError> {
    let homes = std::mem::take(&mut survey.homes);
    let strays = std::mem::take(&mut survey.strays);
    let untold = survey.ledgers.values().any(|known| known.ledger.is_some() && !known.untold().is_empty());
    let plan = Plan { left_out: survey.unlike, punches: survey.salvaged, ..Plan::default() };
    let mut planner = Planner { survey, plan, now, group: 0, lost_end: false, damaged_to: 0, untold };
    planner.plan.aside = strays;
    planner.plan.part_read = std::mem::take(&mut planner.survey.part_read);
    let last = homes.last_key_value().map_or(0, |(number, _)| *number);
    let mut before = 0;
    for (&number, home) in &homes {
        // What stands behind here, to know what should stand in here.
        let behind = homes.range(number + 1..).find_map(|(_, home)| first_group(home));
        let next = homes.get(&(number + 1)).and_then(sure_first_group);
        let here = if home.retired { None } else { first_group(home).or(behind) };
        planner.fill_hole(before, number, here, home.retired);
        planner.home(number, home, (next, behind), number == last)?;
        before = number;
    }
    planner.end(last)?;
    let Planner { mut plan, .. } = planner;
    // One file may hold what belongs to two places.
    let mut aside = BTreeSet::new();
    plan.aside.retain(|path| aside.insert(path.clone()));
    Ok((!plan.files.is_empty() || !plan.aside.is_empty()).then_some(plan))
}

/// The first group of a place, as far as that is known: none where nothing of it can be read.
fn first_group(home: &Home) -> Option<u64> {
    // A stub has the number of its segment's last group, and nobody knows the first any more.
    if home.retired {
        return None;
    }
    let told = home.sources.iter().filter_map(|it| it.header).map(|header| header.first_group).min();
    told.into_iter().chain(home.from()).min()
}

/// The same, where it is sure that no group stood before it in its own file.
fn sure_first_group(home: &Home) -> Option<u64> {
    let begins_odd =
        |source: &Source| source.header.is_none() && source.extract.rests.iter().any(|(before, _)| *before == 0);
    first_group(home).filter(|_| !home.sources.iter().any(begins_odd))
}

impl Planner<'_> {
    /// Files between two that are there: one in their place tells which groups they had.
    fn fill_hole(&mut self, before: u64, number: u64, next: Option<u64>, retired: bool) {
        if before + 1 >= number {
            return;
        }
        let name = format!("{:08}", before + 1);
        match next {
            Some(next) if next > self.group + 1 => {
                let (first, last) = (self.group + 1, next - 1);
                self.damaged_to = self.damaged_to.max(last);
                let pieces = vec![Piece::New(self.marker(first, last, Vec::new(), &BTreeMap::new()))];
                let why = format!("{name}.seg is not there: groups {first} to {last} are lost");
                self.file(before + 1, false, first, pieces, why);
                self.group = last;
            }
            Some(_) => {}
            // Nothing can be read from here on: what stood there is told behind it all.
            None if !retired => {}
            // Between stubs: only a name tells that something was there.
            None => {
                self.damaged_to = self.damaged_to.max(self.group + 1);
                for gone in before + 1..number {
                    let mut group = Group::new(seed(&self.survey.store));
                    let at = self.now.as_millisecond();
                    let (first_group, last_group) = (self.group, self.group);
                    group.push(&Record::Repaired(RepairedRecord { first_group, last_group, at }));
                    let pieces = vec![Piece::New(group.seal(self.group.max(1)).to_vec())];
                    let why = format!("{gone:08}.ids is not there: the ids in it are lost");
                    self.file(gone, true, self.group.max(1), pieces, why);
                    self.plan.files.last_mut().expect("it was put there").is_absent = true;
                }
            }
        }
    }

    fn file(&mut self, number: u64, retired: bool, first_group: u64, pieces: Vec<Piece>, why: String) {
        let header = SegmentHeader { store: self.survey.store, segment: number, first_group };
        self.plan.files.push(NewFile { number, retired, header, pieces, why, is_absent: false });
    }

    /// One place of the journal: left alone where its one file is as it should be. `behind` is the first group of the
    /// next file, and the first one that can be read of any behind this.
    fn home(
        &mut self,
        number: u64,
        home: &Home,
        (next, behind): (Option<u64>, Option<u64>),
        is_last: bool,
    ) -> Result<(), RepairError> {
        let groups = home.groups();
        // Whether more was durable than what is whole: then nothing here is a write that a crash cut short.
        let durable = self.survey.left.as_ref().is_some_and(Content::is_closed)
            || self.survey.indexed_to > groups.last().copied().unwrap_or(self.group);
        let mut why = Vec::new();
        for source in &home.sources {
            why.extend(fault_of(source, home, number));
        }
        why.extend(self.changed_in(number));
        // Of a header that was not written to its end, something may be there.
        let in_header = |(_, place): &(u64, Range<usize>)| place.end <= SEGMENT_HEADER;
        let is_unused =
            |source: &Source| source.extract.groups.is_empty() && source.extract.rests.iter().all(in_header);
        let unused = home.sources.iter().all(is_unused);
        let in_place = !home.sources.iter().any(|it| matches!(it.fault, Some(HeaderFault::Misplaced(_))));
        if is_last && unused && !durable && in_place {
            // Begun and never used: the daemon knows what to do about it.
            return Ok(());
        }
        let first = if home.retired { groups.first().copied() } else { Some(self.group + 1) };
        let from = home.from();
        let starts_late = !home.retired && from.is_some_and(|first| first > self.group + 1);
        let ends_early =
            !home.retired && next.is_some_and(|next| groups.last().copied().unwrap_or(self.group) + 1 < next);
        if starts_late {
            why.push(format!("groups {} to {} are missing", self.group + 1, from.unwrap_or(1) - 1));
        }
        if ends_early && why.is_empty() {
            why.push("groups are missing at its end".into());
        }
        // The daemon cuts off by itself what a crash left at the end.
        let torn_only = is_last
            && !durable
            && self.only_torn(home)
            && self.edits_in(number).next().is_none()
            && !self.untold
            && self.plan.files.is_empty()
            && self.plan.aside.is_empty();
        if why.is_empty() || torn_only {
            self.group = groups.last().copied().unwrap_or(self.group).max(self.group);
            return Ok(());
        }
        let (pieces, last) = self.rebuild(number, home, behind, is_last)?;
        let part_read = home.sources.iter().any(|source| !source.unread.is_empty());
        let unsure = last == self.group || durable || part_read;
        self.lost_end |= is_last && unsure && !home.retired && self.has_tail(home);
        self.plan.aside.extend(home.sources.iter().map(|source| source.path.clone()));
        if !pieces.is_empty() {
            let first = home.sources.iter().find_map(|it| it.header).map(|it| it.first_group).or(first).unwrap_or(last);
            self.file(number, home.retired, first, pieces, why.join("; "));
        }
        self.group = self.group.max(last);
        Ok(())
    }

    /// Whether all that is odd in a file is what stands behind its last group.
    fn only_torn(&self, home: &Home) -> bool {
        let [source] = &home.sources[..] else { return false };
        let last = source.extract.groups.last().map_or(0, |group| group.number);
        source.fault.is_none()
            && source.unread.is_empty()
            && source.too_long.is_none()
            && source.extract.is_rising()
            && source.extract.rests.iter().all(|(before, _)| *before == last)
    }

    fn has_tail(&self, home: &Home) -> bool {
        let last = home.groups().last().copied().unwrap_or(0);
        let tail =
            |source: &Source| source.extract.groups.is_empty() || source.extract.rests.iter().any(|it| it.0 == last);
        home.sources.iter().any(tail)
    }

    /// The pieces of a new file, and the number of its last group.
    fn rebuild(
        &mut self,
        number: u64,
        home: &Home,
        behind: Option<u64>,
        is_last: bool,
    ) -> Result<(Vec<Piece>, u64), RepairError> {
        let groups = home.joined();
        // An earlier version may have counted on from an old group: then a file begins with numbers that those before have.
        let mut last = match groups.first() {
            Some(first) if !home.retired => self.group.min(first.from.saturating_sub(1)),
            _ => self.group,
        };
        let mut salvaged = Vec::new();
        for source in &home.sources {
            let bytes = read(&source.path)?;
            for (before, place) in &source.extract.rests {
                let before = if *before == 0 { last } else { *before };
                salvaged.push((before, bytes[place.clone()].to_vec()));
            }
        }
        let mut pieces = Vec::new();
        let (mut held, seed) = (None, seed(&self.survey.store));
        for group in &groups {
            if group.from > last + 1 && !home.retired {
                self.damaged_to = self.damaged_to.max(group.from - 1);
                pieces.extend(self.fill(last + 1, group.from - 1, &mut salvaged, home));
            }
            let edits = (number, group.number, 0)..=(number, group.number, usize::MAX);
            let edited = self.survey.edits.range(edits).next().is_some();
            pieces.push(match &group.parts[..] {
                [part] if !edited => Piece::Copy(home.sources[part.source].path.clone(), part.place.clone()),
                _ => {
                    let body = group.body(seed, &mut held, &mut |source| read(&home.sources[source].path))?;
                    Piece::New(self.edited(number, group.number, &body.unwrap_or_default()))
                }
            });
            last = last.max(group.number);
        }
        let number = home.sources.iter().find_map(|it| it.header).map(|it| it.first_group);
        match behind {
            _ if home.retired && groups.is_empty() => {
                let number = number.or(behind.map(|next| next - 1)).unwrap_or(last + 1).max(1);
                salvaged.iter_mut().for_each(|(before, _)| *before = number - 1);
                self.damaged_to = self.damaged_to.max(number);
                pieces.extend(self.fill(number, number, &mut salvaged, home));
                last = last.max(number);
            }
            Some(next) if next > last + 1 && !home.retired => {
                self.damaged_to = self.damaged_to.max(next - 1);
                pieces.extend(self.fill(last + 1, next - 1, &mut salvaged, home));
                last = next - 1;
            }
            None if is_last && salvaged.iter().any(|(before, _)| *before == last) => {
                pieces.extend(self.fill(last + 1, last + 1, &mut salvaged, home));
                last += 1;
            }
            _ => {}
        }
        // What is left has no group that it could have been: copies of what stands elsewhere, most likely.
        for (_, bytes) in salvaged {
            let found = salvage(seed, &bytes).records;
            self.plan.left_out += found.into_iter().filter(|record| self.is_new(record)).count() as u64;
        }
        Ok((pieces, last))
    }

    fn is_new(&self, record: &Record<'_>) -> bool {
        match record {
            Record::Punch(punch) => {
                !self.survey.ledgers.get(&punch.ledger).is_some_and(|it| it.found.contains(punch.seq))
            }
            _ => false,
        }
    }

    /// What is behind the last file: groups that were there when the store was closed, and a last group that records
    /// what is lost.
    fn end(&mut self, last: u64) -> Result<(), RepairError> {
        let closed_at = self.survey.left.as_ref().and_then(Content::closed_at).unwrap_or(0);
        let mut pieces = Vec::new();
        let mut why = Vec::new();
        let first = self.group + 1;
        if closed_at > self.group {
            self.lost_end = true;
            why.push(format!("groups {first} to {closed_at} are lost: the journal had them when it was closed"));
            pieces.push(Piece::New(self.marker(first, closed_at, Vec::new(), &BTreeMap::new())));
            self.group = closed_at;
        }
        if self.plan.files.is_empty() && self.plan.aside.is_empty() && pieces.is_empty() && !self.untold {
            return Ok(());
        }
        let lost = self.losses();
        if !lost.is_empty() {
            why.push("records what is lost".into());
            for part in lost.chunks(500) {
                self.group += 1;
                pieces.push(Piece::New(self.told(part)));
            }
        }
        if !pieces.is_empty() {
            // A folder may bear the name of the next file.
            let free = |number: &u64| segment_path(&self.survey.dir, *number).symlink_metadata().is_err();
            let number = (last + 1..).find(free).unwrap_or(last + 1);
            self.file(number, false, first, pieces, why.join("; "));
        }
        self.plan.last_group = self.group;
        Ok(())
    }
}
