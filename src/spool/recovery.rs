//! Opening a store: comparing index and journal, reading what the index missed, and mending what a crash left.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use super::{
    SpoolSettings,
    board::Board,
    catalogue::Catalogue,
    committer::Committer,
    disk::{
        Disk, create_dir,
        readout::{At, of_place},
    },
    doubt::Doubt,
    ending,
    index::{Applied, Index, IndexError, Kept},
    journal::Journal,
    lock::{LeftAs, Lock},
    losses::{self, Behind},
    mend::{Told, mend_tail, report_damage},
    places,
    record::{Record, ZoneNames},
    reindex::{is_of, new_index, open_index},
    repair,
    replay::{QUARANTINE, Replay, Unnamed},
    seen::Seen,
    segment::{Position, list},
    snapshot::RESTORE_UNFINISHED,
    stand::KeptLedger,
    status::{FindingKind, SpoolTrouble},
    upkeep::write_index,
    verify::files::{Headed, absent, headed},
    walk::{Step, Walk, store_id},
};
use crate::owner::{Stranger, not_ours};

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error("cannot use {}", .path.display())]
    Disk { path: PathBuf, source: io::Error },
    /// Nothing in it was touched: what this version cannot read is not damage.
    #[error(
        "{} was written by a newer version of Punchgate: install that one again, or one that is newer still",
        .0.display()
    )]
    Newer(PathBuf),
    /// A half of something must not be served, and nothing was touched.
    #[error(
        "{} says that a restore was cut off: say the same punchgate restore again, which finishes it",
        .0.display()
    )]
    RestoreUnfinished(PathBuf),
    /// Root was here, and left what the daemon's user cannot open.
    #[error("{0}")]
    NotOurs(Stranger),
    #[error("the index can neither be opened nor built anew: {0}")]
    Index(String),
    /// What stands where it does not belong is to be set aside before anything is read.
    #[error("nothing can be set aside in {}: make it a folder that the gateway's user may write to", .path.display())]
    Quarantine { path: PathBuf, source: io::Error },
}

impl OpenError {
    pub(super) fn disk(path: &Path, source: io::Error) -> Self {
        let At { path, cause: source } = of_place(path, source);
        if path.ends_with(QUARANTINE) { Self::Quarantine { path, source } } else { Self::Disk { path, source } }
    }
}

impl OpenError {
    /// The same, with the file that is in the way where that is one of another user.
    pub(super) fn named(self, state_dir: &Path) -> Self {
        match &self {
            Self::Disk { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                not_ours(state_dir).map_or(self, Self::NotOurs)
            }
            _ => self,
        }
    }
}

/// How long a group of ids may grow during a rebuild before the index gets them.
pub(super) const REPLAY_IDS: usize = 16_384;
/// An index that could not be made at the start is tried again this soon.
const INDEX_RETRY: Duration = Duration::from_secs(5);

pub(super) fn open(
    settings: &SpoolSettings,
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
) -> Result<(Arc<Board>, Committer), OpenError> {
    let dir = settings.state_dir.join("journal");
    let failed = |source| OpenError::disk(&dir, source);
    let unfinished = settings.state_dir.join(RESTORE_UNFINISHED);
    if unfinished.exists() {
        return Err(OpenError::RestoreUnfinished(unfinished));
    }
    create_dir(&*disk, &settings.state_dir).and_then(|()| create_dir(&*disk, &dir)).map_err(failed)?;
    let (mut lock, mut left) = Lock::take(&dir).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse(dir.clone()),
        _ => failed(source),
    })?;
    if repair::finish(&settings.state_dir, &*disk, &lock).map_err(failed)?.is_some() {
        tracing::info!("a repair that was cut off was finished");
        left = lock.left().map_err(failed)?;
    }
    if let Some(newer) = headed(&dir, None).map_err(failed)?.into_iter().find(Headed::is_newer) {
        return Err(OpenError::Newer(newer.file.path));
    }
    let store = store_id(&dir).map_err(failed)?.unwrap_or_else(rand::random);
    let (requests, inbox) = mpsc::channel();
    let board = Arc::new(Board::new(settings, disk.clone(), store, requests));
    places::put_in_order(&board).map_err(failed)?;

    let mut journal = Journal::new(&dir, disk, store, segment_bytes, settings.min_free_bytes);
    let mut seen = Seen::default();
    let index_path = settings.state_dir.join("index");
    let opened = match &left {
        _ if !index_path.exists() => Err("there is none".to_owned()),
        LeftAs::Cut(_) => Err("the machine went down with the store open, and sled does not sync its files".into()),
        LeftAs::Unknown | LeftAs::Closed(..) | LeftAs::Died(_) => open_index(&index_path),
    };
    let closed_at = if let LeftAs::Closed(_, group) = left { group } else { 0 };
    // Whether an index, even one that is not used, tells how far each ledger went.
    let mut known = closed_at == 0;
    let trusted = opened.and_then(|(index, kept)| match is_of(&dir, &kept.applied, &store) {
        Ok(()) => {
            known |= kept.applied.group >= closed_at;
            Ok((index, kept))
        }
        Err(why) => {
            known |= kept.applied.store == store && kept.applied.group >= closed_at;
            // It may know numbers that this journal has lost.
            if kept.applied.store == store {
                remember(&mut board.catalogue(), kept.ledgers);
            }
            Err(why)
        }
    });
    let mut told = Told {
        closed_at,
        unsure: false,
        doubt: Doubt::default(),
        ahead: board.catalogue().iter().map(|state| (state.number, state.next - 1)).collect(),
    };
    *board.catalogue() = Catalogue::default();
    let (mut index, from, group) = match trusted {
        Ok((index, kept)) => {
            lock.opened(&store).map_err(failed)?;
            let (from, group) = (kept.applied.end, kept.applied.group);
            journal.go_on(kept.applied.last, group, kept.applied.last.segment);
            restore(&board, kept);
            (Ok(index), from, group)
        }
        Err(why) => {
            let is_empty = list(&dir).map_err(failed)?.is_empty();
            let fresh = !index_path.exists() && is_empty;
            if left == LeftAs::Unknown && !is_empty {
                // Segments alone: whose they are, and how far they went, is told by nothing.
                lock.begin_anew();
            }
            let index = new_index(&board, &index_path, (!fresh).then_some(why));
            lock.opened(&store).map_err(failed)?;
            (index, Position::default(), 0)
        }
    };
    if let Ok(good) = &index {
        match catch_up(&board, &mut journal, Some(good), &mut seen, from, group, &mut told) {
            Ok(()) => {}
            Err(OpenError::Index(cause)) => index = Err(IndexError::failed(cause)),
            Err(error) => return Err(error),
        }
    }
    let mut committer_waits = None;
    if let Err(error) = &index {
        // On a full disk there is no room for an index. What lies in the journal can be delivered without one; who has a
        // punch is told to keep it until the index can be built.
        seen = Seen::default();
        catch_up(&board, &mut journal, None, &mut seen, Position::default(), 0, &mut told)?;
        board.trouble(SpoolTrouble::IndexFailed, Some(error.to_string()));
        committer_waits = Some(Instant::now() + INDEX_RETRY);
    }
    for (&ledger, &last) in &told.ahead {
        told.doubt.hear(ledger, last);
    }
    let behind: Vec<_> = told.doubt.heard().map(|(ledger, last)| Behind { ledger, last }).collect();
    losses::record(&board, &mut journal, &behind);
    let nameless = told.doubt.nameless(|number| board.catalogue().get(number).is_some());
    nameless.into_iter().for_each(|text| board.find(FindingKind::Damage, text));
    let goes_on =
        ending::told_of_all(&board, &mut journal, &told) && (known || ending::has_its_end(&board, &mut journal, &told));
    if !goes_on {
        // It could not be written: the next start is to do it.
        lock.begin_anew();
        lock.opened(&store).map_err(failed)?;
    }
    if lock.is_copied() && ending::begin_anew(&board, &mut journal) {
        lock.begun_anew();
        lock.opened(&store).map_err(failed)?;
    }
    board.end.send_replace(journal.end());
    *board.index.write().unwrap_or_else(std::sync::PoisonError::into_inner) = index.ok();
    let mut committer = Committer::new(board.clone(), journal, seen, lock, inbox);
    committer.rebuild_at = committer_waits;
    Ok((board, committer))
}

/// Keeps how far an index that is not used knew each ledger.
fn remember(catalogue: &mut Catalogue, ledgers: Vec<(u32, KeptLedger)>) {
    ledgers.into_iter().for_each(|(number, ledger)| catalogue.restore(number, ledger));
}

fn restore(board: &Board, kept: Kept) {
    remember(&mut board.catalogue(), kept.ledgers);
    for (name, destination) in kept.destinations {
        board.destination(&name).state().drained = destination.drained;
    }
    board.catalogue().reserve(kept.reserved);
    for (name, ledger, ranges) in kept.confirmed {
        board.destination(&name).state().restore(ledger, ranges);
    }
}

/// Reads the journal from where the index ends, mends its tail, and makes it ready to go on.
fn catch_up(
    board: &Board,
    journal: &mut Journal,
    index: Option<&Index>,
    seen: &mut Seen,
    from: Position,
    group: u64,
    told: &mut Told,
) -> Result<(), OpenError> {
    let dir = board.journal_dir();
    let failed = |source| OpenError::disk(&board.journal_dir(), source);
    let failed_index = |error: IndexError| OpenError::Index(error.to_string());
    let (mut last, mut number) = (journal.last(), group);
    // What is left of a segment tells nothing of its neighbours: only its name does.
    let mut gaps: VecDeque<u64> = match group {
        0 => absent(list(&dir).map_err(failed)?.iter().map(|file| file.number)).into(),
        _ => VecDeque::new(),
    };
    let mut unnamed = Unnamed::new();
    let mut walk = match group {
        0 => Walk::whole(&dir, board.seed()),
        _ => Walk::after(&dir, board.seed(), from, group),
    };
    loop {
        let step = walk.next(None).map_err(failed)?;
        while gaps.front().is_some_and(|gap| *gap < walk.position().segment) {
            gaps.pop_front();
            told.doubt.damage(number.max(1));
        }
        match step {
            Step::End { at } => {
                go_on(board, journal, last, number, (at, walk.is_part_read().map_err(failed)?)).map_err(failed)?;
                return Ok(());
            }
            Step::Missing { at, first, last } => {
                let text =
                    format!("groups {first} to {last} are missing before segment {} byte {}", at.segment, at.offset);
                board.find(FindingKind::Damage, text);
                told.doubt.damage(last);
                continue;
            }
            Step::Tail { at } => {
                journal.go_on(last, number, at.segment);
                if mend_tail(board, journal, at, walk.bytes(), told)? {
                    // What was kept of it is read next.
                    walk = Walk::after(&dir, board.seed(), at, number);
                    continue;
                }
                report_damage(board, at, &walk);
            }
            Step::Damage { at } => report_damage(board, at, &walk),
            // One with an older number is read, and the journal does not go on from it.
            Step::Group { at } if walk.group() > number => (last, number) = (at, walk.group()),
            Step::Group { .. } => {}
        }
        let (Step::Group { at } | Step::Damage { at } | Step::Tail { at }) = step else { continue };
        let orphans = {
            let mut catalogue = board.catalogue();
            let mut replay = Replay {
                catalogue: &mut catalogue,
                seen,
                index,
                destinations: &mut |name| board.destination_bare(name),
                zones: ZoneNames::default(),
                orphans: 0,
                unnamed: &mut unnamed,
            };
            replay.take(at, walk.records()).map_err(failed_index)?;
            replay.orphans
        };
        match step {
            Step::Damage { .. } => told.doubt.damage(number + 1),
            _ => walk.records().flatten().for_each(|record| told.doubt.look(&record)),
        }
        if orphans > 0 {
            let text = format!(
                "segment {} byte {}: {orphans} records of ledgers that nothing names, or of a newer version; they stay where they are",
                at.segment, at.offset
            );
            board.find(FindingKind::Damage, text);
        }
        if let Some(index) = index
            && seen.fresh() >= REPLAY_IDS
        {
            write_index(board, index, seen, Applied::new(board.store, last, number, walk.position()))
                .map_err(failed_index)?;
        }
    }
}

/// An index that was written before a retirement knows nothing of it; the stubs do. They were made one after the other, so the
/// first one from behind that brings no news ends it.
fn recall_retired(board: &Board) -> io::Result<()> {
    let dir = board.journal_dir();
    for stub in list(&dir)?.into_iter().rev().filter(|file| file.retired) {
        let behind = Position { segment: stub.number + 1, offset: 0 };
        let mut walk = Walk::new(&dir, board.seed(), Position { segment: stub.number, offset: 0 });
        let (mut runs, mut news) = (0, 0);
        while !matches!(walk.next(Some(behind))?, Step::End { .. }) {
            let mut catalogue = board.catalogue();
            for record in walk.records().flatten() {
                if let Record::Retired(retired) = record
                    && retired.first != 0
                {
                    runs += 1;
                    news += usize::from(catalogue.recall_retired(retired.ledger, retired.last));
                }
            }
        }
        if runs > 0 && news == 0 {
            break;
        }
    }
    Ok(())
}

/// The journal goes on behind its last group: in the same segment, when that is the newest and is no stub, and when all of it
/// could be read. What could not is kept as it is.
fn go_on(
    board: &Board,
    journal: &mut Journal,
    last: Position,
    group: u64,
    (end, part_read): (Position, bool),
) -> io::Result<()> {
    recall_retired(board)?;
    // What is retired was confirmed, even where the confirmation itself is retired too.
    board.destinations().iter().for_each(|it| drop(board.destination(&it.name)));
    let Some(newest) = list(&board.journal_dir())?.pop() else {
        journal.go_on(last, group, 0);
        return Ok(());
    };
    journal.go_on(last, group, newest.number);
    if newest.number == end.segment && !newest.retired && !part_read {
        journal.resume(newest.number, end.offset, 0)?;
    }
    Ok(())
}
