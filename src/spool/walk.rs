//! Walking through the whole journal, segment after segment: the one way in which it is ever read.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    group::{records, salvage},
    lock,
    record::Record,
    segment::{Piece, Position, SegmentFile, SegmentHeader, SegmentReader, StoreId, list},
};

/// One step of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole group.
    Group { at: Position },
    /// Bytes that are no group, with more of the journal behind them.
    Damage { at: Position },
    /// Bytes that are no group at the journal's end: a torn write, or damage of the last group.
    Tail { at: Position },
    /// Groups with these numbers should stand before here.
    Missing { at: Position, first: u64, last: u64 },
    /// Nothing more, so far; a later step finds what was written meanwhile.
    End { at: Position },
}

pub(super) struct Walk {
    dir: PathBuf,
    seed: u32,
    at: Position,
    reader: Option<(u64, bool, SegmentReader)>,
    /// The highest number of a group so far; 0 where the walk began in the middle.
    group: u64,
    /// A group that was read while others before it are missing.
    held_back: Option<Step>,
    damaged: bool,
    /// It began at the very first group, so that even those before the first one found can be missed.
    from_start: bool,
}

impl Walk {
    /// From the group that begins at `from`.
    pub(super) fn new(dir: &Path, seed: u32, from: Position) -> Self {
        Self {
            dir: dir.into(),
            seed,
            at: from,
            reader: None,
            group: 0,
            held_back: None,
            damaged: false,
            from_start: false,
        }
    }

    /// Through all of it, from the group that was the first one ever.
    pub(super) fn whole(dir: &Path, seed: u32) -> Self {
        Self { from_start: true, ..Self::new(dir, seed, Position::default()) }
    }

    /// As [`Walk::new`], where the group before is known by its number.
    pub(super) fn after(dir: &Path, seed: u32, from: Position, group: u64) -> Self {
        Self { group, ..Self::new(dir, seed, from) }
    }

    /// Where the next step reads.
    pub(super) fn position(&self) -> Position {
        self.at
    }

    /// The highest number of a group so far; 0 before the first. It never falls: a file may begin with older groups, and
    /// whoever counts on from them gives numbers that are used.
    pub(super) fn group(&self) -> u64 {
        self.group
    }

    /// The damaged bytes, after [`Step::Damage`] and [`Step::Tail`].
    pub(super) fn bytes(&self) -> &[u8] {
        self.reader.as_ref().map_or(&[], |(_, _, reader)| reader.body())
    }

    /// What of the damaged bytes the disk does not give, in words.
    pub(super) fn unread(&self) -> Option<String> {
        self.reader.as_ref().and_then(|(_, _, reader)| reader.unread())
    }

    /// Whether the file in which it stands is to be kept as it is.
    pub(super) fn is_part_read(&self) -> io::Result<bool> {
        self.reader.as_ref().map_or(Ok(false), |(_, _, reader)| reader.is_part_read())
    }

    /// Whether the damaged bytes are records up to where they break off, as those of a write that a crash cut short are. Then
    /// they go on where each ledger ends, and the next start keeps them.
    pub(super) fn is_cut_short(&self) -> bool {
        let bytes = self.bytes();
        match &salvage(self.seed, bytes).lost[..] {
            [] => true,
            [lost] => lost.end == bytes.len(),
            _ => false,
        }
    }

    /// The records of what was read; all that can be had of damaged bytes. `None` is one of a newer version.
    pub(super) fn records(&self) -> Box<dyn Iterator<Item = Option<Record<'_>>> + '_> {
        if self.damaged {
            Box::new(salvage(self.seed, self.bytes()).records.into_iter().map(Some))
        } else {
            Box::new(records(self.bytes()))
        }
    }

    /// Reads on, at most to `limit`, which is the durable end of a journal that is being written.
    pub(super) fn next(&mut self, limit: Option<Position>) -> io::Result<Step> {
        if let Some(step) = self.held_back.take() {
            return Ok(step);
        }
        loop {
            if limit.is_some_and(|limit| self.at >= limit) || !self.arrive()? {
                return Ok(Step::End { at: self.at });
            }
            let Some((segment, retired, reader)) = &mut self.reader else { return Ok(Step::End { at: self.at }) };
            let (segment, retired) = (*segment, *retired);
            let here = limit.filter(|limit| limit.segment == segment).map(|limit| limit.offset);
            let mut piece = reader.next(here)?;
            let ended = matches!(piece, Piece::End { .. } | Piece::Tail { .. });
            let next = if ended && here.is_none() { self.file_behind(segment)? } else { None };
            if let (&(Piece::End { offset } | Piece::Tail { offset }), Some(_), Some((_, _, reader))) =
                (&piece, &next, &mut self.reader)
            {
                // It may have grown until its successor came, and what was under way is whole by now.
                reader.again_from(offset);
                piece = reader.next(None)?;
            }
            let offset = self.reader.as_ref().map_or(0, |(_, _, reader)| reader.offset());
            self.at = Position { segment, offset };
            self.damaged = false;
            match piece {
                Piece::Group { offset, number } => {
                    let at = Position { segment, offset };
                    let expected = self.group + 1;
                    let known = self.group != 0 || self.from_start;
                    self.group = self.group.max(number);
                    // A stub stands for all groups of its segment, and what a repair put there for all that it replaces.
                    if known && number > expected && !retired && !self.replaces(expected, number) {
                        self.held_back = Some(Step::Group { at });
                        return Ok(Step::Missing { at, first: expected, last: number - 1 });
                    }
                    return Ok(Step::Group { at });
                }
                Piece::Damage { offset } => {
                    self.damaged = true;
                    return Ok(Step::Damage { at: Position { segment, offset } });
                }
                Piece::Tail { offset } => {
                    self.damaged = true;
                    let at = Position { segment, offset };
                    // What the disk does not give may be anything, and may be read one day: it is no write that was cut short.
                    let is_damage = next.is_some() || self.unread().is_some();
                    return Ok(if is_damage { Step::Damage { at } } else { Step::Tail { at } });
                }
                Piece::End { .. } => match next {
                    Some(file) => self.at = Position { segment: file.number, offset: 0 },
                    None => {
                        if let Some((_, _, reader)) = &mut self.reader {
                            reader.refresh();
                        }
                        return Ok(Step::End { at: self.at });
                    }
                },
            }
        }
    }

    /// Whether the group just read, which is group `last`, stands for lost ones from `first` on.
    fn replaces(&self, first: u64, last: u64) -> bool {
        let told = records(self.bytes()).next().flatten();
        matches!(told, Some(Record::Repaired(told)) if told.first_group <= first && told.last_group == last)
    }

    /// Opens the segment at `self.at`, or the next one there is. Tells whether there is one.
    fn arrive(&mut self) -> io::Result<bool> {
        if self.reader.as_ref().is_some_and(|(segment, _, _)| *segment == self.at.segment) {
            return Ok(true);
        }
        self.reader = None;
        for _ in 0..3 {
            let files = list(&self.dir)?;
            let Some(file) = files.into_iter().find(|file| file.number >= self.at.segment) else { return Ok(false) };
            // A stub is another file than the segment that it stands for: old offsets mean nothing in it.
            let same = file.number == self.at.segment && !file.retired;
            let offset = if same { self.at.offset } else { 0 };
            // A file that is read from its start may hold groups of any number: it may have been swapped with another.
            let before = if offset > 0 { self.group } else { 0 };
            match SegmentReader::after(&file.path, self.seed, offset, before) {
                Ok(reader) => {
                    self.at = Position { segment: file.number, offset: reader.offset() };
                    self.reader = Some((file.number, file.retired, reader));
                    return Ok(true);
                }
                // It was retired between the listing and now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// It found no segment to stand in.
    pub(super) fn is_nowhere(&self) -> bool {
        self.reader.is_none()
    }

    fn file_behind(&self, segment: u64) -> io::Result<Option<SegmentFile>> {
        Ok(list(&self.dir)?.into_iter().find(|file| file.number > segment))
    }
}

/// The id of the store in this journal: from its lock file, where a segment says the same or none says anything, else from
/// the headers, of which most are its own.
pub(super) fn store_id(dir: &Path) -> io::Result<Option<StoreId>> {
    let mut told: Vec<(StoreId, usize)> = Vec::new();
    for file in list(dir)? {
        let Some(header) = SegmentHeader::of_file(&file.path)? else { continue };
        match told.iter_mut().find(|(store, _)| *store == header.store) {
            Some((_, files)) => *files += 1,
            None => told.push((header.store, 1)),
        }
    }
    let locked = lock::peek(dir).and_then(|content| content.store());
    if let Some(locked) = locked
        && (told.is_empty() || told.iter().any(|(store, _)| *store == locked))
    {
        return Ok(Some(locked));
    }
    // Of equal ones the first.
    let most = told.iter().map(|(_, files)| *files).max();
    Ok(told.iter().find(|(_, files)| Some(*files) == most).map(|(store, _)| *store))
}
