//! Reading what is new, and marking it as read.
//!
//! The order, which is the promise: a page of new records is read; all of it is on our disk (`Store::put` returned); then,
//! and not before, so many records, the oldest ones, lose their mark "new". They stay in the log all the same.
//!
//! New records are always asked for from the first of them on. The terminal's own page pointer is shared with every other
//! program, moves when a question is heard whose answer gets lost, and would then skip a page, unread and marked.
//!
//! Equal records are told apart by their place among those of their second, so a page must begin where a second begins:
//! marks are taken only up to where a second ends, and those of the last second when it has been over for a while.
//! A clock that stands still, or was put back, goes on in a second that was marked: then a new record is taken for one that is
//! known. A twin that is no page of ours coming again is a sign of that, and the whole log numbers them.

use std::time::Duration;

use driver_api::{Batch, DriverError, Origin, Report, Stored, Trouble};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{
    booking::Equals,
    command::{CLEAR_MARKS, ask, meaning, page},
    cursor::Cursor,
    frame::Frame,
    record::{Raw, Record, page as decode, u24},
    terminal::{ATTEMPTS, Failed, Known, Serving},
    wire::{NoAnswer, Wire},
};

/// A second has certainly ended so long after one of its records was seen.
const SETTLED: Duration = Duration::from_millis(1200);
/// Pages of new records before others have their turn.
const PAGES: u32 = 40;
/// A log that could not be read as a whole is tried again after this.
pub(crate) const AGAIN: Duration = Duration::from_secs(60);

/// What a page of new records was.
enum Page {
    /// There may be more behind it.
    More,
    Last,
    /// It was full, and its records are still new: nothing behind it can be reached in this way.
    Stuck,
}

impl Serving<'_> {
    /// Reads whatever must be read now.
    pub(crate) async fn read(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        if self.known.as_ref().is_some_and(|known| known.whole && known.whole_after <= Instant::now()) {
            let outcome = self.read_whole(wire, None, None).await?;
            if outcome.is_none() {
                self.known().whole_after = Instant::now() + AGAIN;
            }
        }
        if self.counters.new == 0 && self.announced.is_empty() && self.pending.is_empty() {
            self.marks_refused = false; // there is nothing that it could refuse
            self.relieve();
            return Ok(());
        }
        for _ in 0..PAGES {
            match self.read_page(wire).await? {
                Page::More => {}
                Page::Stuck => return self.sweep(wire).await,
                Page::Last => {
                    // What was told and is not here by now was never in its log.
                    if self.told_at.elapsed() > SETTLED {
                        self.announced.clear();
                    }
                    if !self.pending.is_empty() {
                        self.due = self.due.min(Instant::now() + SETTLED + Duration::from_millis(50));
                    }
                    return Ok(());
                }
            }
        }
        self.due = Instant::now();
        Ok(())
    }

    /// Reads the next page of new records, stores it, and marks what may be marked.
    async fn read_page(&mut self, wire: &mut Wire) -> Result<Page, Failed> {
        let question = Frame::question(self.unit, ask::RECORDS, [page::FIRST_NEW, self.size]);
        let done = self.done.take();
        // What was marked as read is new no more: the same page again is an echo of the old answer.
        let answer = wire.ask(&question, ATTEMPTS, |answer| done.as_ref() != Some(&answer.data)).await;
        let answer = match answer {
            Err(NoAnswer::Damaged) => {
                self.size = (self.size / 3).max(1);
                return Err(NoAnswer::Damaged.into());
            }
            other => other?,
        };
        let records = match (answer.result, decode(&answer.data)) {
            (0, Ok(records)) if records.len() <= usize::from(self.size) => records,
            (0x05, _) => Vec::new(), // empty
            (0, Ok(records)) => {
                return self.unreadable(format!("a page of {} records, asked were {}", records.len(), self.size));
            }
            (0, Err(error)) => return self.unreadable(error.to_string()),
            (other, _) => return self.unreadable(format!("it answered {} when asked for its records", meaning(other))),
        };
        // What came in front of the answer is in it, as a rule.
        wire.told_by(self.unit).into_iter().for_each(|raw| self.hint(raw));
        if let Some(expected) = self.expected.take()
            && !records.starts_with(&expected)
        {
            // Somebody else marks records: what is new does not begin where we left it.
            let cause = "its new records do not begin where we left them";
            self.terminal.trouble(Trouble::OtherReader, cause);
            self.odd_since = Some(Instant::now());
            self.known().whole = true;
            self.pending.clear();
            self.booked.clear();
            return Ok(Page::Last);
        }
        let (stored, surprising) = self.store_page(&records).await?;
        if surprising {
            let times = || records.iter().filter_map(|raw| Record::of(raw).local(self.settings.codes.epoch));
            let (from, to) = (times().min(), times().max());
            self.booked.clear();
            if self.read_whole(wire, from, to).await?.is_none() {
                return Ok(Page::Last);
            }
            // Others may have marked records meanwhile: what is new is asked for again before any is marked.
            self.booked = records;
            return Ok(Page::More);
        }
        self.booked.clone_from(&records);
        if stored.new > 0 {
            debug!(records = records.len(), new = stored.new, "page stored");
        }
        let full = records.len() == usize::from(self.size);
        self.size = page::MOST;
        let ended = self.ended(&records, full);
        if ended == 0 {
            self.wait_for(&records);
        } else if !self.mark(wire, answer.data, &records, ended).await? {
            return Ok(if full { Page::Stuck } else { Page::Last });
        }
        self.relieve();
        Ok(if full { Page::More } else { Page::Last })
    }

    /// How many of these records lie in seconds that are over.
    fn ended(&self, records: &[Raw], full: bool) -> usize {
        let second = |at: usize| Record::of(&records[at]).seconds;
        let over = !full && records == self.pending && self.pending_since.elapsed() >= SETTLED;
        if records.is_empty() || over {
            return records.len();
        }
        match (1..records.len()).rev().find(|at| second(*at) != second(at - 1)) {
            Some(boundary) => boundary,
            // A whole page in one second: a clock that stands still. They cannot be told apart from those that follow.
            None if full => records.len(),
            None => 0,
        }
    }

    /// Makes a page durable, but for what is known to be so. Whether one was known that should not be.
    async fn store_page(&mut self, records: &[Raw]) -> Result<(Stored, bool), Failed> {
        let booked = records.iter().zip(&self.booked).take_while(|(now, before)| now == before).count();
        let mut twins = 0;
        let known = if records.starts_with(&self.pending) { self.pending.len() } else { 0 };
        let mut equals = Equals::default();
        let mut batch = Batch::default();
        for (at, raw) in records.iter().enumerate() {
            let nth = equals.nth(raw);
            if at < known {
                continue;
            }
            let origin = if self.announced.remove(raw) { Origin::Live } else { Origin::Backfill };
            let local = self.settings.codes.book(raw, nth, (origin, self.clock()), &mut batch);
            self.latest = self.latest.max(local);
            if at < booked {
                twins = batch.punches.len();
            }
        }
        if batch.punches.is_empty() && batch.set_aside.is_empty() {
            return Ok((Stored::default(), false));
        }
        let store = self.known().store.clone();
        let stored = store.put(batch).await.map_err(DriverError::from)?;
        self.tell_set_aside(stored);
        Ok((stored, stored.twins > twins))
    }

    /// Takes the mark "new" from the first `count` of these records. Asked once: done twice, it would take marks from
    /// records that nobody has read. Whether it was done.
    async fn mark(&mut self, wire: &mut Wire, data: Vec<u8>, records: &[Raw], count: usize) -> Result<bool, Failed> {
        let before = self.known().cursor.map(|cursor| cursor.read());
        let marked = u32::try_from(count).expect("a page holds few records");
        if let Some(cursor) = self.known().cursor {
            self.save(cursor.will_mark(marked)).await;
        }
        let [_, c0, c1, c2] = marked.to_be_bytes();
        let question = Frame::question(self.unit, ask::CLEAR, [CLEAR_MARKS, c0, c1, c2]);
        let answer = match wire.ask(&question, 1, |_| true).await {
            Ok(answer) => answer,
            Err(error) => {
                // It may have been done or not: either way the next page tells.
                self.pending.clear();
                let booked = std::mem::take(&mut self.booked);
                if !matches!(error, NoAnswer::Silence) {
                    return Err(error.into());
                }
                // Is it gone, or does it just not know this?
                self.count(wire).await?;
                if self.counters.read() == before {
                    self.booked = booked;
                    return Ok(self.not_marked("it did not answer when records were to be marked as read".into()));
                }
                return Ok(true);
            }
        };
        if answer.result != 0 || u24(&answer.data) != Some(marked) {
            let cause = match answer.result {
                0 => {
                    self.booked.clear(); // so many, or others, are marked
                    format!("{count} records were to be marked as read, and it says {:?}", u24(&answer.data))
                }
                other => format!("it answered {} when records were to be marked as read", meaning(other)),
            };
            self.pending.clear();
            return Ok(self.not_marked(cause));
        }
        self.marks_refused = false;
        if let Some(cursor) = self.known().cursor {
            self.save(cursor.marked(marked)).await;
        }
        self.done = Some(data);
        let rest = &records[count..];
        self.expected = Some(rest.to_vec());
        self.booked = rest.to_vec();
        self.wait_for(rest);
        Ok(true)
    }

    fn not_marked(&mut self, why: String) -> bool {
        self.marks_refused = true;
        self.tell_unreadable(why);
        false
    }

    /// These are stored, and not marked yet.
    fn wait_for(&mut self, rest: &[Raw]) {
        if self.pending != rest {
            self.pending = rest.to_vec();
            self.pending_since = Instant::now();
        }
    }

    pub(crate) async fn save(&mut self, mut cursor: Cursor) {
        let known = self.known();
        cursor.whole = known.whole;
        known.cursor = Some(cursor);
        let store = known.store.clone();
        // Not saved is not lost: at worst the whole log is read.
        if let Err(error) = store.save_cursor(cursor.to_bytes()).await {
            warn!(%error, "cursor not saved");
        }
    }

    /// Its log cannot be read in this way; that is told, and tried again with the next visit.
    fn unreadable(&self, why: String) -> Result<Page, Failed> {
        self.tell_unreadable(why);
        Ok(Page::Last)
    }

    pub(crate) fn tell_unreadable(&self, why: String) {
        warn!(why, "log not read");
        self.terminal.report(Report::FailedRead { why: why.clone() });
        self.terminal.trouble(Trouble::LogUnreadable, why);
    }

    pub(crate) fn relieve(&self) {
        if !self.marks_refused && !self.whole_failed {
            self.terminal.relief(Trouble::LogUnreadable);
        }
    }

    pub(crate) fn tell_set_aside(&self, stored: Stored) {
        if stored.set_aside > 0 {
            let cause = format!("{} records made no sense; they are kept as they are", stored.set_aside);
            self.terminal.trouble(Trouble::RecordsSetAside, cause);
        } else if stored.new > 0 {
            self.terminal.relief(Trouble::RecordsSetAside);
        }
    }

    pub(crate) fn known(&mut self) -> &mut Known {
        self.known.as_mut().expect("nothing is read of a terminal that did not tell who it is")
    }
}
