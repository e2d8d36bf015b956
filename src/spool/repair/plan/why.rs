//! Why a file cannot stay as it is, in words.

use std::collections::BTreeMap;

use super::{
    super::{
        super::{
            disk::readout::words,
            ranges::Ranges,
            verify::files::{HeaderFault, too_long},
        },
        chain::Edit,
        extract::Stands,
        survey::{Home, Source},
    },
    Planner,
};

/// Changed punches of one file that are told one by one, and runs of those that stand twice.
const TOLD: usize = 20;

impl Planner<'_> {
    pub(super) fn edits_in(&self, number: u64) -> impl Iterator<Item = Edit> {
        self.survey.edits.range((number, 0, 0)..=(number, u64::MAX, usize::MAX)).map(|(_, edit)| *edit)
    }

    /// What is not as it was written, in words.
    pub(super) fn changed_in(&self, number: u64) -> Vec<String> {
        let name = |ledger: u32| {
            let known = self.survey.ledgers.get(&ledger).and_then(|known| known.ledger.as_ref());
            known.map_or("a terminal", |ledger| &ledger.terminal)
        };
        let mut told = Vec::new();
        let mut heads = 0;
        let mut again: BTreeMap<u32, Ranges> = BTreeMap::new();
        for edit in self.edits_in(number) {
            match edit {
                Edit::Gone { ledger, seq } => {
                    told.push(format!("punch {seq} of {} was changed after it was written", name(ledger)));
                }
                Edit::Again { ledger, seq } => again.entry(ledger).or_default().insert(seq, seq),
                Edit::Head(_) => heads += 1,
            }
        }
        let more = told.len().saturating_sub(TOLD);
        told.truncate(TOLD);
        told.extend((more > 0).then(|| format!("and so were {more} more punches")));
        told.extend((heads > 0).then(|| format!("{heads} heads in it are not those of their chains")));
        for (ledger, numbers) in again {
            let told_of = numbers.iter().map(|(first, last)| match first == last {
                true => format!("punch {first} of {} stands in it a second time", name(ledger)),
                false => format!("punches {first} to {last} of {} stand in it a second time", name(ledger)),
            });
            told.extend(told_of.take(TOLD));
        }
        told
    }
}

pub(super) fn fault_of(source: &Source, home: &Home, number: u64) -> Option<String> {
    let name = source.name();
    match &source.fault {
        Some(HeaderFault::Misplaced(_)) => return Some(format!("{name} holds segment {number}")),
        Some(HeaderFault::Empty) => return Some(format!("{name} is empty")),
        Some(HeaderFault::Zeros) => return Some(format!("{name} begins with zeros")),
        Some(_) => return Some(format!("the header of {name} is damaged")),
        None => {}
    }
    if let Some(unread) = words(&source.unread, &name) {
        return Some(unread);
    }
    if let Some(long) = source.too_long {
        return Some(too_long(&name, long));
    }
    let damaged: usize = source.extract.rests.iter().chain(&source.extract.joined).map(|(_, place)| place.len()).sum();
    if damaged > 0 {
        return Some(format!("{damaged} bytes of {name} fail their checksum"));
    }
    let stand = |odd: fn(&Stands) -> bool| source.extract.groups.iter().filter(|group| odd(&group.stands)).count();
    let (again, behind) = (stand(|it| *it == Stands::Again), stand(|it| matches!(it, Stands::Behind(_))));
    if again + behind > 0 {
        let told = [(again, "stood before already"), (behind, "had the numbers of others")];
        let told: Vec<_> =
            told.iter().filter(|(count, _)| *count > 0).map(|(count, how)| format!("{count} {how}")).collect();
        return Some(format!("of the groups in {name} {}", told.join(" and ")));
    }
    if !source.extract.is_clean() {
        return Some(format!("groups in {name} are missing or out of order"));
    }
    (home.retired && source.extract.groups.is_empty()).then(|| format!("nothing of {name} can be read"))
}
