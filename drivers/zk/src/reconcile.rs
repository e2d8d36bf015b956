//! Comparing the terminal's log with ours: when it is read, what of it is new, and what is said about it.

use std::time::Duration;

use driver_api::{DriverError, Flag, Origin, Report, Stored, Trouble};
use jiff::{Timestamp, civil::DateTime};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::{
    booking::Log,
    command::{ask, reply},
    count::Looks,
    cursor::Cursor,
    download::{self, BODY_LIMIT, Download, HEADER, Manner, ReadFailed, What, abandon},
    form::{self, Hints},
    glance::Glance,
    names, record,
    serve::Serving,
    sizes,
    user::People,
};

/// Punches stored in one go: kind to memory, and each go waits for the disk.
const BATCH: usize = 1000;
/// After a failed read the next try comes after this, then later each time, up to the usual interval.
const AGAIN: Duration = Duration::from_secs(5);

/// After so many reads in a row that broke the line, live punches come first.
const LIVE_FIRST: u32 = 3;
/// Then a read is tried after this, and later each time, up to the usual interval.
const APART: Duration = Duration::from_secs(30);

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
    /// And those of a clock that was never set.
    #[serde(skip)]
    pub(crate) undated: usize,
}

impl Serving<'_> {
    /// The comparison that comes by itself. A log that cannot be read is reported and tried again later; the session goes on.
    pub(crate) async fn read_log(&mut self) -> Result<(), DriverError> {
        let (began, reads) = (Instant::now(), self.reads);
        match self.reconcile(Wanted::New).await {
            Ok(_) => {
                self.failures = 0;
                self.looks = Looks::default();
                // A look at its ends says nothing of how long it takes.
                if self.reads > reads {
                    self.read_took = began.elapsed();
                }
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
        let limit = self.sizes.capacity.filter(|capacity| *capacity >= told && *capacity > 0);
        let limit = limit.map_or(BODY_LIMIT, |capacity| HEADER + capacity as usize * record::LONGEST);
        let looked = wanted == Wanted::New && self.may_be_unmoved(told);
        let body = match self.look_or_read(looked, limit).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                debug!(told, "log not read, it is the one that was read");
                self.tell_gap(told, told.into(), true);
                self.log_is_well();
                self.relieve();
                return Ok(Outcome { records: told.into(), ..Outcome::default() });
            }
            // No snapshot of a log that the terminal calls empty: there is none.
            Err(ReadFailed::Refused(reply::ERROR)) if self.sizes.records == Some(0) => Vec::new(),
            Err(failed) => {
                self.note_broken(&failed);
                return Err(failed);
            }
        };
        self.confirm_identity().await?;
        let known = self.cursor.clone();
        let outcome = self.store_log(&body, told, wanted).await?;
        if looked && known.is_some_and(|known| known.length().is_some() && self.cursor == Some(known)) {
            // It looked like another, and is not: what is asked for out of its middle is not what comes.
            self.remember(Manner { blind: true, ..self.manner() });
        }
        self.relieve();
        if outcome.new > 0 {
            info!(records = outcome.records, new = outcome.new, twins = outcome.twins, "log read");
        }
        Ok(outcome)
    }

    /// The log, or nothing when its ends say that it is the one that was read.
    async fn look_or_read(&mut self, look: bool, limit: usize) -> Result<Option<Vec<u8>>, ReadFailed> {
        let glance = if look { self.glance(limit).await? } else { Glance::Other };
        match glance {
            Glance::Same => Ok(None),
            Glance::Whole(body) => Ok(Some(body)),
            Glance::Other => self.download_log(limit).await.map(Some),
        }
    }

    /// A terminal that hangs up over its log would be dialled for ever, and no live punch arrive: so it is told, and the log
    /// waits while the rest is served.
    fn note_broken(&self, failed: &ReadFailed) {
        let ReadFailed::Lost(error) = failed else { return };
        if matches!(error, DriverError::NotStored(_)) {
            return;
        }
        let mut manner = self.manner();
        manner.broken += 1;
        if manner.broken >= LIVE_FIRST {
            let pause = APART * 2_u32.saturating_pow((manner.broken - LIVE_FIRST).min(10));
            manner.not_before = Some(Instant::now() + pause.min(self.settings.reconcile));
        }
        self.remember(manner);
        if manner.broken > 1 {
            let cause =
                format!("{} times in a row its connection ended while its log was read: {error}", manner.broken);
            self.terminal.trouble(Trouble::LogUnreadable, cause);
        }
    }

    /// Whether by its count nothing was recorded since the last complete read: it is not zero (some firmware always says
    /// zero), not stuck at the end of a full log, and has not stood still while punches came. Proof it is none.
    fn may_be_unmoved(&self, told: u32) -> bool {
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
            let (body, doubtful) = self.download_once(limit, &mut manner).await?;
            if !doubtful {
                return Ok(body);
            }
            let (again, _) = self.download_once(limit, &mut manner).await?;
            download::agreed(body, &again)
        };
        let read = read.await;
        self.remember(manner);
        read
    }

    async fn download_once(&mut self, limit: usize, manner: &mut Manner) -> Result<(Vec<u8>, bool), ReadFailed> {
        let mut download = Download::begin(self.session, What::Log, limit, manner).await?;
        while !download.is_whole() {
            if let Err(failed) = download.step(self.session, manner).await {
                return Err(abandon(self.session, failed).await);
            }
            self.book_events(false).await?;
        }
        let doubtful = download.is_doubtful(self.session);
        Ok((download.finish(self.session, manner).await?, doubtful))
    }

    async fn store_log(&mut self, body: &[u8], told: u32, wanted: Wanted) -> Result<Outcome, ReadFailed> {
        let bad = |error: &dyn std::error::Error| ReadFailed::Bad(error.to_string());
        let records = record::records(body).map_err(|error| bad(&error))?;
        if records.is_empty() {
            self.book_events(true).await?;
            if wanted == Wanted::New {
                self.compare_empty(told).await;
            }
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
        if let Some(moved) = self.moved() {
            log.clock_moved(|local| self.was_written_since(moved, local));
        }
        let former = names::former(&self.store, log.numbers()).await.map_err(DriverError::from)?;
        let (known, mut overran) = match wanted {
            Wanted::New => self.compare(records, form, told).await,
            Wanted::Between(..) => (0, false),
        };
        let missed = self.live && self.reads > 0;
        let origin = if missed || wanted != Wanted::New { Origin::Reread } else { Origin::Backfill };
        let book = self.book(origin);
        let inside = |local: DateTime| match wanted {
            Wanted::New => true,
            Wanted::Between(from, to) => from.is_none_or(|from| from <= local) && to.is_none_or(|to| local <= to),
        };
        let mut outcome = Outcome { records: log.count() as u64, ..Outcome::default() };
        // Of a log that was overwritten all around the oldest record comes alone: where that is here already, all that went
        // before it came live.
        while let Some(mut batch) = log.batch(if overran { 1 } else { BATCH }, known, inside, &book) {
            if batch.punches.is_empty() && batch.set_aside.is_empty() {
                continue;
            }
            batch.former.clone_from(&former);
            outcome.unread += batch.set_aside.len();
            outcome.undated += batch.punches.iter().filter(|punch| punch.flags.contains(&Flag::ClockUnset)).count();
            let Stored { new, twins, set_aside } = self.store.put(batch).await.map_err(DriverError::from)?;
            if std::mem::take(&mut overran) {
                self.overran(new > 0 || set_aside > 0, log.count() as u64).await;
            }
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
        self.tell_gap(told, outcome.records, wanted == Wanted::New);
        Ok(outcome)
    }

    /// A read is complete, and all of it is on disk.
    async fn done(&mut self, cursor: Cursor) {
        self.reads += 1;
        self.read_at = Some(Instant::now());
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
        self.since_read = 0;
        self.looks = Looks::default();
        self.took_note().await;
        self.terminal.relief(Trouble::LogShrank);
        self.drop_cursor().await;
    }

    /// What the cursor speaks of is gone, and whoever comes after us must not look for it. The form of its records stays.
    pub(crate) async fn drop_cursor(&mut self) {
        self.cursor = None;
        if let Some(form) = self.form {
            self.save(&Cursor::begun(form)).await;
        } else if let Err(error) = self.store.save_cursor(Vec::new()).await {
            warn!(%error, "cursor not saved");
        }
    }

    async fn compare_empty(&mut self, told: u32) {
        self.reads += 1;
        self.read_at = Some(Instant::now());
        self.since_read = 0;
        if self.held() > 0 {
            self.lost_records(Trouble::LogCleared, 0).await;
            self.drop_cursor().await;
        }
        self.tell_gap(told, 0, true);
    }

    fn relieve(&mut self) {
        self.remember(Manner { broken: 0, not_before: None, ..self.manner() });
        if !self.incidents().keeps_back() {
            self.terminal.relief(Trouble::LogUnreadable);
        }
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
