//! Reading the board's ring of events from our mark on, and what is said when it does not hold what it should.
//!
//! The order, which is the promise: events are read; all of a batch is on our disk (`Store::put` returned); then our mark
//! moves past them and is saved; then, where the config wants it, the index that the board keeps follows.

use driver_api::{Batch, DriverError, Origin, Report, Stored, Trouble};
use jiff::civil::DateTime;
use tracing::{info, warn};

use crate::{event::Event, serve::Serving};

/// Events stored in one go.
const BATCH: usize = 200;
/// Events read before others have their turn.
const ROUND: u32 = 2000;
/// An event that should be there and is not is asked for so often, each time in another round, before it is given up.
const DENIALS: u32 = 3;
/// Events that no datagram told of before it is said that none come.
const UNTOLD: u32 = 3;

/// What reading came to.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Outcome {
    /// Events read.
    pub(crate) records: u64,
    pub(crate) new: usize,
    pub(crate) twins: usize,
    pub(crate) set_aside: usize,
}

impl Outcome {
    fn add(&mut self, stored: Stored) {
        self.new += stored.new;
        self.twins += stored.twins;
        self.set_aside += stored.set_aside;
    }
}

/// Events read and not stored yet.
#[derive(Default)]
struct Read {
    batch: Batch,
    events: usize,
    last: Option<Event>,
}

impl Serving<'_> {
    /// Reads what is new, up to [`ROUND`] events of it; whether that was all.
    pub(crate) async fn catch_up(&mut self) -> Result<bool, DriverError> {
        let mut status = self.status().await?;
        if status.newest < self.cursor.index {
            // Not on the word of one datagram, which may be an old one.
            status = self.status().await?;
            if status.newest < self.cursor.index {
                self.begin_anew(status.newest).await?;
            }
        }
        let newest = status.newest;
        // A ring that was filled anew up to our very mark shows it by what the state tells of its newest event.
        let moved = newest > self.cursor.index || !self.cursor.fits(&status.last);
        if moved && self.cursor.has_seal() {
            match self.board.event(self.cursor.index).await? {
                Some(event) if !self.cursor.fits(&event) => self.begin_anew(newest).await?,
                _ => {} // known again; or gone, which shows when the next one is asked for
            }
        }
        if self.cursor.index == 0 && newest > 0 {
            // What went before is nobody's loss: it was never promised to us.
            let oldest = self.board.oldest().await?.unwrap_or(1);
            self.cursor.skip_to(oldest.saturating_sub(1));
        }
        let all = self.read_to(newest).await?;
        if self.cursor.index >= newest {
            self.terminal.relief(Trouble::LogUnreadable);
        }
        if all && !self.settled {
            self.settled = true;
            self.untold = 0;
            // The last session may have ended between our mark and its index.
            if self.settings.set_index && self.cursor.index > 0 && self.board.index().await? != self.cursor.index {
                self.board.set_index(self.cursor.index).await?;
            }
        }
        if all {
            let missing = self.cursor.lost.as_ref().map_or(0, |lost| lost.count);
            self.terminal.report(Report::Gaps { missing });
        }
        Ok(all)
    }

    async fn read_to(&mut self, newest: u32) -> Result<bool, DriverError> {
        let mut read = Read::default();
        let (mut next, mut events) = (self.cursor.index.saturating_add(1), 0);
        while next <= newest && next < u32::MAX {
            if events >= ROUND {
                self.book(read).await?;
                return Ok(false);
            }
            events += 1;
            match self.board.event(next).await? {
                Some(event) => {
                    self.denials = 0;
                    self.tell_untold(event.index);
                    let origin = if event.index <= self.announced { Origin::Live } else { Origin::Backfill };
                    self.take(&mut read, event, origin);
                    next += 1;
                    if read.events >= BATCH {
                        self.book(std::mem::take(&mut read)).await?;
                    }
                }
                None => {
                    self.book(std::mem::take(&mut read)).await?;
                    let Some(after) = self.past_hole(next, newest).await? else { return Ok(true) };
                    next = after;
                }
            }
        }
        self.book(read).await?;
        Ok(true)
    }

    fn take(&mut self, read: &mut Read, event: Event, origin: Origin) {
        self.latest = self.latest.max(event.local);
        self.settings.rules.book(&event, origin, self.clock(), &mut read.batch);
        read.events += 1;
        read.last = Some(event);
    }

    /// Makes what was read durable, and only then moves the mark.
    async fn book(&mut self, read: Read) -> Result<Stored, DriverError> {
        let Some(last) = read.last else { return Ok(Stored::default()) };
        let mut stored = Stored::default();
        if !read.batch.punches.is_empty() || !read.batch.set_aside.is_empty() {
            stored = self.store.put(read.batch).await?;
        }
        if stored.set_aside > 0 {
            let cause = format!("{} events made no sense; they are kept as they are", stored.set_aside);
            self.terminal.trouble(Trouble::RecordsSetAside, cause);
        } else if stored.new > 0 {
            self.terminal.relief(Trouble::RecordsSetAside);
        }
        let holdings = self.store.holdings().await;
        self.cursor.pass(&last, &holdings);
        self.save().await;
        if self.settings.set_index {
            self.board.set_index(last.index).await?;
        }
        Ok(stored)
    }

    async fn save(&mut self) {
        // Not saved is not lost: it is read again, and is a twin.
        if let Err(error) = self.store.save_cursor(self.cursor.to_bytes()).await {
            warn!(%error, "mark not saved");
        }
    }

    /// Event `next` is not there. Where to go on; `None` when that is better asked another time.
    async fn past_hole(&mut self, next: u32, newest: u32) -> Result<Option<u32>, DriverError> {
        if let Some(oldest) = self.board.oldest().await?
            && oldest > next
        {
            // The ring may have gone on turning meanwhile, so the oldest may be newer than our newest.
            self.denials = 0;
            self.lose(next, oldest - 1).await;
            return Ok(Some(oldest));
        }
        self.denials += 1;
        if self.denials < DENIALS {
            return Ok(None);
        }
        // A hole, where there is something behind it. A newest one that is told and not given may yet come.
        if self.board.event(newest).await?.is_none() {
            let cause = format!("it says that its newest event is {newest}, and gives none from {next} on");
            self.terminal.trouble(Trouble::LogUnreadable, cause);
            return Ok(None);
        }
        let mut after = next + 1;
        while after < newest && after - next < ROUND && self.board.event(after).await?.is_none() {
            after += 1;
        }
        self.denials = 0;
        warn!(index = next, after, newest, "events are missing in the ring");
        self.lose(next, after - 1).await;
        Ok(Some(after))
    }

    /// These events are gone for ever; that is told, and remembered until somebody has taken note.
    async fn lose(&mut self, first: u32, last: u32) {
        let cause = self.cursor.lose(first, last).words();
        tracing::error!(first, last, "events were overwritten before they were read");
        self.cursor.skip_to(last);
        self.save().await;
        self.terminal.trouble(Trouble::EventsLost, cause);
    }

    /// The ring is another than the one that our mark is in: the board was reset, or its memory replaced.
    async fn begin_anew(&mut self, newest: u32) -> Result<(), DriverError> {
        let mark = self.cursor.index;
        let cause = format!(
            "its events are numbered anew: {mark} were read before, now the newest is {newest}; all that it holds is read"
        );
        info!(mark, newest, "the ring begins anew");
        self.terminal.trouble(Trouble::LogShrank, cause);
        self.cursor.skip_to(0);
        Ok(())
    }

    fn tell_untold(&mut self, index: u32) {
        if self.ear.is_none() || !self.settled || index <= self.announced {
            return;
        }
        self.untold += 1;
        if self.untold >= UNTOLD {
            let cause = format!("{} events were read that it had not told of", self.untold);
            self.terminal.trouble(Trouble::NoLiveEvents, cause);
        }
    }

    /// Reads all that the ring holds, whatever our mark says, and takes note of what was lost.
    pub(crate) async fn reread(
        &mut self,
        from: Option<DateTime>,
        to: Option<DateTime>,
    ) -> Result<Outcome, DriverError> {
        while !self.catch_up().await? {}
        let mut outcome = Outcome::default();
        let (first, last) = (self.board.oldest().await?.unwrap_or(1), self.cursor.index);
        let mut batch = Batch::default();
        for index in first..=last {
            // What is overwritten while we read was read before: the mark is past it.
            let Some(event) = self.board.event(index).await? else { continue };
            let inside = |local| from.is_none_or(|from| from <= local) && to.is_none_or(|to| local <= to);
            if event.local.is_none_or(inside) {
                outcome.records += 1;
                self.settings.rules.book(&event, Origin::Reread, self.clock(), &mut batch);
            }
            if batch.punches.len() + batch.set_aside.len() >= BATCH {
                outcome.add(self.store.put(std::mem::take(&mut batch)).await?);
            }
        }
        outcome.add(self.store.put(batch).await?);
        if self.cursor.lost.take().is_some() {
            self.save().await;
        }
        self.terminal.relief(Trouble::EventsLost);
        self.terminal.relief(Trouble::LogShrank);
        self.terminal.report(Report::Gaps { missing: 0 });
        Ok(outcome)
    }
}
