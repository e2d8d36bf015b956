//! Retention: what of a delivered segment is left when its time is over. Its ids and heads, for ever: a terminal may send
//! its whole log again in ten years.

mod damaged;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

use super::{
    board::Board,
    committer::Request,
    group::Group,
    note::{self, NoteKind},
    record::{PunchRecord, Record, RetiredRecord, ZoneNames},
    segment::{Position, SEGMENT_HEADER, SegmentFile, SegmentHeader, list, segment_path, stub_path},
    walk::{Step, Walk},
};

/// Retires what is due, and tells how many segments that were.
pub(super) fn retire(board: &Board, retention: Duration) -> io::Result<usize> {
    let dir = board.journal_dir();
    let destinations = board.destinations();
    // Where nothing is ever delivered nothing is ever retired.
    let Some(drained) = destinations.iter().map(|it| it.state().drained).min() else { return Ok(0) };
    let done = drained.segment.min(board.end.borrow().segment);
    let (mut retired, mut recorded, mut failed) = (0, false, None);
    let files = list(&dir)?;
    let numbers: BTreeSet<u64> = files.iter().map(|file| file.number).collect();
    for file in files.into_iter().filter(|file| !file.retired) {
        if file.number >= done || !is_old(&file, retention)? {
            break;
        }
        let Some(stub) = stub(board, &file, retention)? else { break };
        let follows = file.number == 1 || numbers.contains(&(file.number - 1));
        if stub.damaged || !follows {
            // One that cannot be done with must not keep the others, whose room may be what is needed.
            if let Err(error) = damaged::settle(board, &file, &mut recorded) {
                failed.get_or_insert(error);
                continue;
            }
        }
        write(board, &file, stub)?;
        retired += 1;
    }
    if retired > 0 {
        // The index learns of it; a committer that has ended needs it no more.
        let _ = board.requests.send(Request::Changed);
    }
    failed.map_or(Ok(retired), Err)
}

/// By its last change: a look at the file's name costs nothing, reading all of it does.
fn is_old(file: &SegmentFile, retention: Duration) -> io::Result<bool> {
    let changed = fs::metadata(&file.path)?.modified()?;
    Ok(SystemTime::now().duration_since(changed).is_ok_and(|age| age >= retention))
}

/// A segment full of notes has no stub that is worth it, in bytes.
const STUB_LIMIT: usize = 2 << 20;

struct Stub {
    group: Group,
    /// Number of the segment's last group.
    number: u64,
    /// The last punch of each ledger in it.
    last: BTreeMap<u32, u64>,
    /// Not all that was written to the segment stands there, up to where the next one begins.
    damaged: bool,
}

/// What is left of a segment; `None` when a punch in it is younger than it should be, or not confirmed after all.
fn stub(board: &Board, file: &SegmentFile, retention: Duration) -> io::Result<Option<Stub>> {
    let before =
        Timestamp::now().as_millisecond().saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
    let destinations = board.destinations();
    let end = *board.end.borrow();
    let mut walk = Walk::new(&board.journal_dir(), board.seed(), Position { segment: file.number, offset: 0 });
    let mut stub = Stub { group: Group::new(board.seed()), number: 0, last: BTreeMap::new(), damaged: false };
    let (mut runs, mut unread) = (Runs::default(), false);
    loop {
        match walk.next(Some(end))? {
            Step::End { .. } => break,
            // Before the next segment's first group too: this one was cut short, or a whole one is gone.
            Step::Missing { .. } => {
                stub.damaged = true;
                continue;
            }
            Step::Group { at } if at.segment > file.number => {
                if unread {
                    // The stub stands for the groups in the bytes that cannot be read, too.
                    stub.number = walk.group() - 1;
                }
                break;
            }
            Step::Damage { at } | Step::Tail { at } if at.segment > file.number => break,
            Step::Group { .. } => stub.number = walk.group(),
            // What the disk does not give today it may give to a repair.
            Step::Damage { .. } | Step::Tail { .. } if walk.unread().is_some() => return Ok(None),
            Step::Damage { .. } | Step::Tail { .. } => (unread, stub.damaged) = (true, true),
        }
        for record in walk.records().flatten() {
            match record {
                Record::Ledger(_) => runs.named(&mut stub.group, &record),
                Record::Punch(punch) => {
                    let confirmed = destinations.iter().all(|it| it.state().is_confirmed(punch.ledger, punch.seq));
                    if punch.stored() > before || !confirmed {
                        return Ok(None);
                    }
                    runs.punch(&mut stub.group, &punch);
                    stub.last.insert(punch.ledger, punch.seq);
                }
                Record::SetAside(aside) => runs.set_aside(&mut stub.group, aside.ledger, aside.id),
                // What is lost stays lost, whatever becomes of its neighbours.
                Record::Lost(_) | Record::Settled(_) => stub.group.push(&record),
                Record::Note(ref note) => match newest_only(note.kind) {
                    // An old time says nothing beside a newer one.
                    Some(NoteKind::Time) => {}
                    // An older one says nothing beside a newer one of the same key. That a condition is over must stay: a stub
                    // may hold that it was not.
                    Some(kind) => {
                        let newest = note::find(board, kind, note.key).map_err(io::Error::other)?;
                        if newest.is_some_and(|it| it.stored.as_millisecond() == note.stored) {
                            stub.group.push(&record);
                        }
                    }
                    None => stub.group.push(&record),
                },
                Record::Retired(_) | Record::Confirmed(_) | Record::ConfirmedAt(_) => {}
                Record::Repaired(_) | Record::Standing(_) => {}
            }
        }
    }
    if stub.group.bytes() > STUB_LIMIT {
        return Ok(None);
    }
    runs.finish(&mut stub.group);
    // Without a whole group there is no number under which records of it could stand.
    Ok((stub.number > 0 || stub.group.is_empty()).then_some(stub))
}

/// Kinds of which only the newest of a key is worth anything, and which come again and again.
fn newest_only(kind: u8) -> Option<NoteKind> {
    [NoteKind::Time, NoteKind::Condition, NoteKind::Driver].into_iter().find(|it| *it as u8 == kind)
}

/// Whether a stub need not keep anything of such a record.
pub(super) fn may_go(record: &Record<'_>) -> bool {
    match record {
        Record::Note(note) => newest_only(note.kind).is_some(),
        Record::Ledger(_) | Record::Punch(_) | Record::SetAside(_) | Record::Lost(_) | Record::Settled(_) => false,
        Record::Retired(_) | Record::Confirmed(_) | Record::ConfirmedAt(_) => true,
        Record::Repaired(_) | Record::Standing(_) => true,
    }
}

/// Ids of consecutive punches, as they become records of a stub.
#[derive(Default)]
struct Runs {
    named: Vec<u32>,
    punches: BTreeMap<u32, Run>,
    set_aside: BTreeMap<u32, Vec<u8>>,
    zones: ZoneNames,
}

struct Run {
    first: u64,
    last: u64,
    head: [u8; 32],
    ids: Vec<u8>,
}

impl Runs {
    fn named(&mut self, group: &mut Group, record: &Record<'_>) {
        if let Record::Ledger(ledger) = record
            && !self.named.contains(&ledger.number)
        {
            self.named.push(ledger.number);
            group.push(record);
        }
    }

    fn punch(&mut self, group: &mut Group, punch: &PunchRecord<'_>) {
        let full = |run: &Run| run.last + 1 != punch.seq || run.ids.len() >= RetiredRecord::LIMIT * 24;
        if self.punches.get(&punch.ledger).is_some_and(full) {
            self.flush(group, punch.ledger);
        }
        let head = punch.entry(&mut self.zones).map(|entry| entry.head().0).unwrap_or_default();
        let run = self.punches.entry(punch.ledger).or_insert_with(|| Run {
            first: punch.seq,
            last: punch.seq,
            head,
            ids: Vec::new(),
        });
        (run.last, run.head) = (punch.seq, head);
        RetiredRecord::push(&mut run.ids, punch.local, punch.id);
    }

    fn flush(&mut self, group: &mut Group, ledger: u32) {
        if let Some(Run { first, last, head, ids }) = self.punches.remove(&ledger) {
            group.push(&Record::Retired(RetiredRecord { ledger, first, last, head, ids: &ids }));
        }
    }

    fn set_aside(&mut self, group: &mut Group, ledger: u32, id: [u8; 16]) {
        let ids = self.set_aside.entry(ledger).or_default();
        RetiredRecord::push(ids, 0, id);
        if ids.len() >= RetiredRecord::LIMIT * 24 {
            group.push(&Record::Retired(RetiredRecord { ledger, first: 0, last: 0, head: [0; 32], ids }));
            ids.clear();
        }
    }

    fn finish(mut self, group: &mut Group) {
        let ledgers: Vec<u32> = self.punches.keys().copied().collect();
        ledgers.into_iter().for_each(|ledger| self.flush(group, ledger));
        for (ledger, ids) in self.set_aside.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            group.push(&Record::Retired(RetiredRecord { ledger, first: 0, last: 0, head: [0; 32], ids: &ids }));
        }
    }
}

/// The stub is durable under its name before the segment goes.
fn write(board: &Board, file: &SegmentFile, mut stub: Stub) -> io::Result<()> {
    let (dir, disk) = (board.journal_dir(), &board.disk);
    let unfinished = dir.join(format!("{:08}.tmp", file.number));
    let header = SegmentHeader { store: board.store, segment: file.number, first_group: stub.number };
    let out = disk.create(&unfinished)?;
    out.write_at(&header.bytes(), 0)?;
    // One that only ever held what was refused leaves a header, and no group.
    if stub.number > 0 {
        out.write_at(stub.group.seal(stub.number), SEGMENT_HEADER as u64)?;
    }
    out.sync()?;
    drop(out);
    disk.rename(&unfinished, &stub_path(&dir, file.number))?;
    disk.sync_dir(&dir)?;
    {
        let mut catalogue = board.catalogue();
        for (ledger, last) in stub.last {
            if let Some(state) = catalogue.change(ledger) {
                state.retired = state.retired.max(last);
            }
        }
    }
    disk.remove(&segment_path(&dir, file.number))?;
    disk.sync_dir(&dir)
}
