//! Reading the whole log: the first time, when somebody else reads it too, when what is new does not move on, and when asked to.

use driver_api::{Batch, DriverError, Occurrences, Origin, Stored, Trouble};
use jiff::civil::DateTime;
use tokio::time::Instant;
use tracing::info;

use crate::{
    booking::{Key, key},
    command::{ask, meaning, page},
    cursor::Cursor,
    download::AGAIN,
    frame::Frame,
    record::{Raw, Record, page as decode},
    terminal::{Failed, Serving},
    wire::Wire,
};

/// Records of a log that are held in memory while it is read; no terminal has so many.
const MOST: usize = 1 << 19;
/// Punches stored in one go.
const BATCH: usize = 500;

/// What a read came to.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Outcome {
    pub(crate) records: usize,
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

impl Serving<'_> {
    /// Reads what lies behind a page that does not go away. That is the whole log, so it is not done with every visit.
    pub(crate) async fn sweep(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        let records = self.counters.records;
        if self.swept.is_some_and(|(held, at)| held == records || at.elapsed() < AGAIN) {
            return Ok(());
        }
        // Where the log's past is not wanted, it is not read for this either.
        let from = if self.settings.history { None } else { self.latest };
        if self.read_whole(wire, from, None).await?.is_some() {
            self.swept = Some((records, Instant::now()));
        }
        Ok(())
    }

    /// Reads the whole log and stores what lies between these times. Marks nothing. Nothing comes of it when the pages do not add
    /// up to what the terminal says it holds: then somebody else turned its pages.
    pub(crate) async fn read_whole(
        &mut self,
        wire: &mut Wire,
        from: Option<DateTime>,
        to: Option<DateTime>,
    ) -> Result<Option<Outcome>, Failed> {
        self.count(wire).await?;
        let least = self.counters.records as usize;
        let mut records: Vec<Raw> = Vec::new();
        let (mut which, mut last) = (page::FIRST_OF_ALL, None);
        loop {
            // Asked once: asked again for the next page, a terminal that had heard us would skip one.
            let question = Frame::question(self.unit, ask::RECORDS, [which, page::MOST]);
            let answer = wire.ask(&question, 1, |answer| last.as_ref() != Some(&answer.data)).await?;
            let found = match (answer.result, decode(&answer.data)) {
                (0, Ok(found)) => found,
                (0x05, _) => Vec::new(),
                (0, Err(error)) => return Ok(self.not_whole(error.to_string())),
                (other, _) => {
                    let why = format!("it answered {} when asked for its log", meaning(other));
                    return Ok(self.not_whole(why));
                }
            };
            records.extend_from_slice(&found);
            if found.len() < usize::from(page::MOST) || records.len() > MOST {
                break;
            }
            (which, last) = (page::NEXT, Some(answer.data));
        }
        self.count(wire).await?;
        let most = self.counters.records as usize;
        if !(least..=most).contains(&records.len()) {
            let why = format!("its pages held {} records, and it says {least} to {most}", records.len());
            return Ok(self.not_whole(why));
        }
        self.confirm_identity(wire).await?;
        let outcome = self.store_whole(&records, from, to).await?;
        let unread = self.counters.new as usize;
        let known = self.known();
        // A part of it that was asked for is not all of it.
        let is_part = from.is_some() || to.is_some();
        known.whole &= is_part;
        if !is_part && std::mem::take(&mut known.suspect) && outcome.new > unread {
            let cause = format!("{} records were marked as read while we were away", outcome.new - unread);
            self.terminal.trouble(Trouble::OtherReader, cause);
            self.odd_since = Some(Instant::now());
        }
        self.save(Cursor::of(&self.counters)).await;
        self.whole_failed = false;
        self.relieve();
        info!(records = outcome.records, new = outcome.new, twins = outcome.twins, "whole log read");
        Ok(Some(outcome))
    }

    async fn store_whole(
        &mut self,
        records: &[Raw],
        from: Option<DateTime>,
        to: Option<DateTime>,
    ) -> Result<Outcome, Failed> {
        let mut equal = Occurrences::of(records.iter().map(key));
        let mut outcome = Outcome { records: records.len(), ..Outcome::default() };
        let (store, clock) = (self.known().store.clone(), self.clock());
        for part in records.chunks(BATCH) {
            let mut batch = Batch::default();
            for raw in part {
                let nth = equal.nth::<Key>(key(raw));
                let local = Record::of(raw).local(self.settings.codes.epoch);
                self.latest = self.latest.max(local);
                let inside = |local| from.is_none_or(|from| from <= local) && to.is_none_or(|to: DateTime| local <= to);
                if local.is_none_or(inside) {
                    self.settings.codes.book(raw, nth, (Origin::Reread, clock), &mut batch);
                }
            }
            outcome.add(store.put(batch).await.map_err(DriverError::from)?);
        }
        self.tell_set_aside(Stored { new: outcome.new, twins: 0, set_aside: outcome.set_aside });
        Ok(outcome)
    }

    /// Its log cannot be read as a whole. Where that has to be, new records that can be read do not end it.
    fn not_whole(&mut self, why: String) -> Option<Outcome> {
        self.whole_failed = self.known().whole;
        self.tell_unreadable(why);
        None
    }
}
