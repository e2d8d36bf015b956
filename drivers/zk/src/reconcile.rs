//! Comparing the terminal's log with ours: when it is read, what of it is new, and what is said about it.

use std::time::Duration;

use driver_api::{DriverError, Origin, Report, Stored, Trouble};
use jiff::{Timestamp, civil::DateTime};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::{
    booking::Log,
    command::{ask, reply},
    cursor::{Compared, Cursor},
    download::{BODY_LIMIT, Download, ReadFailed, What, abandon},
    form::{self, Hints},
    names, record,
    serve::Serving,
    sizes,
    user::People,
};

/// Punches stored in one go: kind to memory, and each go waits for the disk.
const BATCH: usize = 1000;
/// After a failed read the next try comes after this, then later each time, up to the usual interval.
const AGAIN: Duration = Duration::from_secs(5);

/// Which part of the log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Whatever is new, and nothing is read if the terminal's count says that nothing is.
    New,
    /// All of it between these times, read in any case.
    Between(Option<DateTime>, Option<DateTime>),
}

/// What a comparison came to.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Outcome {
    pub(crate) records: u64,
    pub(crate) new: usize,
    pub(crate) twins: usize,
    pub(crate) set_aside: usize,
    /// Of all records those that make no punch, kept raw now or before.
    #[serde(skip)]
    pub(crate) unread: usize,
}

impl Serving<'_> {
    /// The comparison that comes by itself. A log that cannot be read is reported and tried again later; the session goes on.
    pub(crate) async fn read_log(&mut self) -> Result<(), DriverError> {
        match self.reconcile(Wanted::New).await {
            Ok(_) => {
                self.failures = 0;
                self.next_read = Instant::now() + self.settings.reconcile;
                Ok(())
            }
            Err(ReadFailed::Lost(error)) => {
                if !matches!(error, DriverError::NotStored(_)) {
                    self.terminal.report(Report::FailedRead { why: error.to_string() });
                }
                Err(error)
            }
            Err(failed) => {
                self.read_failed(&failed);
                Ok(())
            }
        }
    }

    pub(crate) fn read_failed(&mut self, failed: &ReadFailed) {
        let why = failed.to_string();
        if self.failures == 0 {
            warn!(why, "log not read");
        }
        self.failures += 1;
        let pause = AGAIN * 2_u32.saturating_pow(self.failures.min(10) - 1);
        self.next_read = Instant::now() + pause.min(self.settings.reconcile);
        if let (Some(told), Some(cursor)) = (self.sizes.records, &self.cursor) {
            let missing = u64::from(told).saturating_sub(cursor.records + self.since_read);
            self.terminal.report(Report::Gaps { missing });
        }
        self.terminal.report(Report::FailedRead { why: why.clone() });
        self.terminal.trouble(Trouble::LogUnreadable, why);
    }

    /// Compares, and reads and stores what is wanted.
    pub(crate) async fn reconcile(&mut self, wanted: Wanted) -> Result<Outcome, ReadFailed> {
        self.ask_sizes().await?;
        self.book_events(true).await?;
        let told = self.sizes.records.unwrap_or(0);
        if wanted == Wanted::New && self.is_unmoved(told) {
            debug!(told, "log not read, its count has not moved");
            self.relieve();
            return Ok(Outcome { records: told.into(), ..Outcome::default() });
        }
        let limit = self.sizes.capacity.filter(|capacity| *capacity >= told && *capacity > 0);
        let limit = limit.map_or(BODY_LIMIT, |capacity| 4 + capacity as usize * record::LONGEST);
        let body = match self.download_log(limit).await {
            // No snapshot of a log that the terminal calls empty: there is none.
            Err(ReadFailed::Refused(reply::ERROR)) if self.sizes.records == Some(0) => Vec::new(),
            other => other?,
        };
        let outcome = self.store_log(&body, told, wanted).await?;
        self.relieve();
        if outcome.new > 0 {
            info!(records = outcome.records, new = outcome.new, twins = outcome.twins, "log read");
        }
        Ok(outcome)
    }

    /// Whether the count proves that nothing was recorded since the last complete read: it is not zero (some firmware
    /// always says zero), not stuck at the end of a full log, and has not stood still while punches came.
    fn is_unmoved(&self, told: u32) -> bool {
        let full = self.sizes.capacity.is_some_and(|capacity| told >= capacity);
        let Some(cursor) = &self.cursor else { return false };
        let told = u64::from(told);
        told > 0 && !full && self.since_read == 0 && told == cursor.told && told == cursor.records
    }

    pub(crate) async fn ask_sizes(&mut self) -> Result<(), DriverError> {
        let answer = self.session.request(ask::SIZES, &[]).await?;
        self.sizes = if answer.command == reply::OK { sizes::decode(&answer.data) } else { sizes::Sizes::default() };
        let [records, capacity, users] =
            [self.sizes.records, self.sizes.capacity, self.sizes.users].map(|count| count.map(u64::from));
        self.terminal.report(Report::Counts { records, capacity, users });
        match (records, capacity) {
            (Some(records), Some(capacity)) if capacity > 0 && records * 10 > capacity * 9 => {
                let cause =
                    format!("{records} of {capacity} records; when it is full it stops, or overwrites the oldest");
                self.terminal.trouble(Trouble::LogNearlyFull, cause);
            }
            _ => self.terminal.relief(Trouble::LogNearlyFull),
        }
        Ok(())
    }

    /// Reads the whole log; live punches that come in between are stored on the way.
    async fn download_log(&mut self, limit: usize) -> Result<Vec<u8>, ReadFailed> {
        let mut manner = self.manner();
        let read = async {
            let mut download = Download::begin(self.session, What::Log, limit, &mut manner).await?;
            while !download.is_whole() {
                if let Err(failed) = download.step(self.session, &mut manner).await {
                    return Err(abandon(self.session, failed).await);
                }
                self.book_events(false).await?;
            }
            download.finish(self.session, &mut manner).await
        };
        let read = read.await;
        self.remember(manner);
        read
    }

    async fn store_log(&mut self, body: &[u8], told: u32, wanted: Wanted) -> Result<Outcome, ReadFailed> {
        let bad = |error: &dyn std::error::Error| ReadFailed::Bad(error.to_string());
        let records = record::records(body).map_err(|error| bad(&error))?;
        if records.is_empty() {
            self.book_events(true).await?;
            self.compare_empty(told);
            return Ok(Outcome::default());
        }
        let hints = Hints { count: Some(told).filter(|told| *told > 0), now: self.latest_now(), known: self.form };
        let form = form::choose(records, &hints).map_err(|error| {
            let start = records[..records.len().min(128)].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            debug!(start, "log of an unknown layout");
            bad(&error)
        })?;
        if self.form != Some(form) {
            self.form = Some(form);
            // Before anything is booked by it: who reads this log again, after whatever may happen, reads it alike.
            self.save(&Cursor::begun(form)).await;
        }
        let nobody = People::default();
        let people = if form.is_numeric() { self.people(Duration::ZERO).await?.clone() } else { nobody };
        // First what came live, so that it is booked as that.
        self.book_events(true).await?;
        let mut log = Log::new(records, form, &people);
        let former = names::former(&self.store, log.numbers()).await.map_err(DriverError::from)?;
        let known = match (&self.cursor, wanted) {
            (Some(cursor), Wanted::New) => match cursor.compare(records, form) {
                Compared::Grown { known } => {
                    self.log_is_well();
                    known
                }
                Compared::Wrapped => {
                    // All that it overwrote had been read: nothing is lost.
                    info!("the terminal overwrote the oldest of its log");
                    self.log_is_well();
                    0
                }
                Compared::Shrunk => {
                    self.lost_records(Trouble::LogShrank, log.count() as u64);
                    0
                }
                Compared::Gone => {
                    let full = self.sizes.capacity.is_some_and(|capacity| capacity > 0 && told >= capacity);
                    let trouble = if full { Trouble::LogOverrun } else { Trouble::LogCleared };
                    self.lost_records(trouble, log.count() as u64);
                    0
                }
            },
            _ => 0,
        };
        let missed = self.live && self.reads > 0;
        let origin = if missed || wanted != Wanted::New { Origin::Reread } else { Origin::Backfill };
        let book = self.book(origin);
        let inside = |local: DateTime| match wanted {
            Wanted::New => true,
            Wanted::Between(from, to) => from.is_none_or(|from| from <= local) && to.is_none_or(|to| local <= to),
        };
        let mut outcome = Outcome { records: log.count() as u64, ..Outcome::default() };
        while let Some(mut batch) = log.batch(BATCH, known, inside, &book) {
            if batch.punches.is_empty() && batch.set_aside.is_empty() {
                continue;
            }
            batch.former.clone_from(&former);
            outcome.unread += batch.set_aside.len();
            let Stored { new, twins, set_aside } = self.store.put(batch).await.map_err(DriverError::from)?;
            outcome.new += new;
            outcome.twins += twins;
            outcome.set_aside += set_aside;
        }
        if outcome.set_aside > 0 {
            let cause =
                format!("{} records of its log could not be read; they are kept as they are", outcome.set_aside);
            self.terminal.trouble(Trouble::RecordsSetAside, cause);
        } else if wanted == Wanted::New && !self.odd_events {
            // What was set aside stays counted; what came since can be read.
            self.terminal.relief(Trouble::RecordsSetAside);
        }
        if missed && outcome.new > 0 && self.lively == 0 {
            let cause = format!("{} punches were found in its log that it had not told of", outcome.new);
            self.terminal.trouble(Trouble::NoLiveEvents, cause);
        }
        self.latest = self.latest.max(log.latest());
        if wanted == Wanted::New {
            self.done(Cursor::of(records, form, told.into(), log.latest())).await;
        }
        self.terminal.report(Report::Gaps { missing: u64::from(told).saturating_sub(outcome.records) });
        Ok(outcome)
    }

    /// A read is complete, and all of it is on disk.
    async fn done(&mut self, cursor: Cursor) {
        self.reads += 1;
        self.since_read = 0;
        if self.cursor.as_ref() != Some(&cursor) {
            self.save(&cursor).await;
            self.cursor = Some(cursor);
        }
    }

    /// Not saved is not lost: the next read is a longer one.
    async fn save(&self, cursor: &Cursor) {
        if let Err(error) = self.store.save_cursor(cursor.to_bytes()).await {
            warn!(%error, "cursor not saved");
        }
    }

    /// Its log was emptied by us: nothing is missing when the next comparison finds nothing.
    pub(crate) async fn forget_log(&mut self) {
        self.cursor = None;
        self.since_read = 0;
        self.log_is_well();
        match self.form {
            Some(form) => self.save(&Cursor::begun(form)).await,
            None => debug!("a log was emptied that was never read"),
        }
    }

    fn compare_empty(&mut self, told: u32) {
        self.reads += 1;
        if self.cursor.as_ref().is_some_and(|cursor| cursor.records > 0) {
            self.lost_records(Trouble::LogCleared, 0);
            self.cursor = None;
        }
        self.terminal.report(Report::Gaps { missing: told.into() });
    }

    /// Records that were read before are gone from its log.
    fn lost_records(&self, trouble: Trouble, records: u64) {
        let before = self.cursor.as_ref().map_or(0, |cursor| cursor.records);
        let cause = match trouble {
            Trouble::LogOverrun => {
                format!("its log is full with {records} records, and none of the {before} read before is among them")
            }
            Trouble::LogShrank => {
                format!("{before} records were in its log, now there are {records}, the latest of them among those")
            }
            _ => format!("{before} records were in its log, now there are {records}, and not the same; all were read"),
        };
        self.terminal.trouble(trouble, cause);
    }

    fn log_is_well(&self) {
        for trouble in [Trouble::LogShrank, Trouble::LogCleared, Trouble::LogOverrun] {
            self.terminal.relief(trouble);
        }
    }

    fn relieve(&mut self) {
        self.terminal.relief(Trouble::LogUnreadable);
        if self.session.damaged() == self.damaged {
            self.terminal.relief(Trouble::LineNoisy);
        }
    }

    /// The later of the terminal's wall time and ours.
    fn latest_now(&self) -> DateTime {
        let ours = Timestamp::now();
        let ahead = self.skew.map_or(0, |skew| skew.middle_ms()).max(0);
        let now = ours.checked_add(jiff::SignedDuration::from_millis(ahead)).unwrap_or(ours);
        now.to_zoned(self.zone.clone()).datetime()
    }
}
