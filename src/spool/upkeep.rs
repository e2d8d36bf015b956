//! Keeping the index up with the journal, and building it anew when it fails.

use std::{
    fs,
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{
    board::Board,
    committer::Committer,
    index::{Applied, Index, IndexError, Writes},
    reindex,
    seen::Seen,
    status::SpoolTrouble,
};

/// An index that cannot even be built is not tried at once again: that reads the whole journal.
const REBUILD_RETRY: Duration = Duration::from_secs(10);

impl Committer {
    /// The index is set aside and built anew. Punches are refused when even that fails, and it is tried again later.
    pub(super) fn index_failed(&mut self, error: &IndexError) {
        if self.rebuild_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        let limit = self.journal.end();
        let rebuilt = reindex::rebuild_index(&self.board, &mut self.seen, limit, &error.to_string());
        let begun = rebuilt.is_ok();
        match rebuilt.and_then(|()| self.try_write_index()) {
            Ok(()) => {
                (self.rebuild_at, self.unindexed_since) = (None, None);
                self.board.trouble(SpoolTrouble::IndexFailed, None);
            }
            Err(cause) => {
                *self.board.index.write().unwrap_or_else(PoisonError::into_inner) = None;
                if begun {
                    // It is not whole, and would be set aside at each attempt.
                    let _ = fs::remove_dir_all(self.board.state_dir.join("index"));
                }
                self.rebuild_at = Some(Instant::now() + REBUILD_RETRY);
                self.board.trouble(SpoolTrouble::IndexFailed, Some(cause.to_string()));
            }
        }
    }

    pub(super) fn write_index(&mut self) {
        self.unindexed_since = None;
        if let Err(error) = self.try_write_index() {
            self.index_failed(&error);
        }
    }

    fn try_write_index(&mut self) -> Result<(), IndexError> {
        let index = self.board.index.read().unwrap_or_else(PoisonError::into_inner);
        let index = index.as_ref().ok_or_else(IndexError::missing)?;
        let applied =
            Applied::new(self.board.store, self.journal.last(), self.journal.last_group(), self.journal.end());
        write_index(&self.board, index, &mut self.seen, applied)
    }
}

/// Tells the index everything that is new, up to `applied`.
pub(super) fn write_index(
    board: &Board,
    index: &Index,
    seen: &mut Seen,
    mut applied: Applied,
) -> Result<(), IndexError> {
    // Without one it is not believed at the next start, as where its group is retired by then.
    applied.crc = reindex::crc_at(&board.journal_dir(), applied.last).unwrap_or_default();
    let mut writes = Writes::default();
    seen.write(&mut writes);
    let ledgers = {
        let mut catalogue = board.catalogue();
        let changed = catalogue.take_changed();
        changed.iter().filter_map(|number| catalogue.get(*number)).for_each(|state| writes.ledger(state));
        writes.reserved(catalogue.reserved());
        changed
    };
    let destinations = board.destinations();
    let confirmed: Vec<_> = destinations.iter().map(|it| it.write(&mut writes)).collect();
    writes.applied(&applied);
    match index.write(writes) {
        Ok(()) => {
            seen.written();
            Ok(())
        }
        Err(error) => {
            board.catalogue().put_back(ledgers);
            destinations.iter().zip(confirmed).for_each(|(it, changed)| it.write_again(changed));
            Err(error)
        }
    }
}
