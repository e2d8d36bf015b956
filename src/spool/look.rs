//! One look through all of a journal, for whoever asks something of it: every record that can be read, and how much cannot.

use std::{collections::BTreeMap, io, path::Path};

use super::{
    index_copy, lock,
    record::Record,
    segment::{Position, list, seed},
    verify::files::absent,
    walk::{Step, Walk, store_id},
};
use crate::ledger::Ledger;

/// What such a look could not see.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    /// Places that cannot be read, each counted once, as `verify` does.
    pub(super) places: usize,
    /// Whether the journal does not go as far as it once did.
    pub(super) end_lost: bool,
    /// Segments of which not even the ids are there any more.
    pub(super) absent: Vec<u64>,
    /// When a repair put something in the place of ids that could not be read, in milliseconds since 1970.
    pub(super) mended: Vec<i64>,
    /// How far the index knows each ledger, with the number of its next punch: asked where something may be missing.
    pub(super) indexed: BTreeMap<u32, (Ledger, u64)>,
}

/// Shows `each` every record, while the daemon runs or not.
pub(super) fn look(state_dir: &Path, mut each: impl FnMut(Position, &Record<'_>)) -> io::Result<Unseen> {
    let dir = state_dir.join("journal");
    let mut unseen = Unseen::default();
    // Without the store's id nothing of any file can be read.
    let Some(store) = store_id(&dir)? else {
        unseen.places = list(&dir)?.len();
        return Ok(unseen);
    };
    let files = list(&dir)?;
    let is_stub = |number: u64| files.iter().find(|it| it.number > number).is_some_and(|next| next.retired);
    // What is left of a segment tells nothing of its neighbours; a segment that is gone is missed by its groups.
    unseen.absent = absent(files.iter().map(|it| it.number)).into_iter().filter(|number| is_stub(*number)).collect();
    unseen.places = unseen.absent.len();
    let held = lock::is_held(&dir);
    let left = lock::peek(&dir);
    let read_index = || index_copy::read(state_dir, left.as_ref(), &store);
    // Before the journal is read: a daemon that starts now, or that cannot be seen from here, writes that first.
    let mut told = if held || left.as_ref().is_some_and(lock::Content::is_closed) { None } else { read_index() };
    let mut walk = Walk::whole(&dir, seed(&store));
    let closed_at = left.as_ref().and_then(lock::Content::closed_at).filter(|_| !held);
    let mut last = 0;
    // Where the damaged bytes end behind which groups may be missing, which are those of the bytes themselves.
    let mut damage = None;
    let mut damaged_end = false;
    loop {
        let step = walk.next(None)?;
        last = last.max(walk.group());
        let at = match step {
            Step::End { .. } => break,
            // It is being written.
            Step::Tail { .. } if held => break,
            // A write that a crash cut short, of which the next start keeps what is whole.
            Step::Tail { at } if closed_at.is_none() && walk.is_cut_short() => at,
            Step::Tail { at } => {
                unseen.places += 1;
                damaged_end = true;
                at
            }
            Step::Missing { at, .. } => {
                unseen.places += usize::from(damage.take() != Some(at));
                continue;
            }
            Step::Damage { at } => {
                unseen.places += 1;
                damage = Some(walk.position());
                at
            }
            Step::Group { at } => at,
        };
        for record in walk.records().flatten() {
            if let Record::Repaired(it) = &record
                && files.iter().any(|file| file.retired && file.number == at.segment)
            {
                unseen.mended.push(it.at);
            }
            each(at, &record);
        }
    }
    let mut end = closed_at;
    if told.is_none() && (closed_at.is_some_and(|closed_at| closed_at > last) || !held && unseen.places > 0) {
        told = read_index();
    }
    if let Some(told) = told {
        end = end.or(Some(told.group));
        unseen.indexed = told.ledgers.into_iter().map(|(number, kept)| (number, kept.stand())).collect();
    }
    unseen.end_lost = damaged_end || end.is_some_and(|end| end > last);
    unseen.places += usize::from(unseen.end_lost && !damaged_end);
    Ok(unseen)
}
