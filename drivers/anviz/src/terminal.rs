//! One terminal on a line: who it is, what is new in its log, how is its clock.

use std::{collections::HashSet, time::Duration};

use driver_api::{Clock, DriverError, Link, Report, Skew, Store, Terminal, Trouble};
use jiff::civil::DateTime;
use tokio::time::Instant;
use tracing::info;

use crate::{
    command::{ask, meaning},
    cursor::{Compared, Cursor},
    frame::Frame,
    record::{self, Counters, Raw},
    settings::Settings,
    wire::{NoAnswer, Wire},
};

/// Questions that may be asked twice are asked so often.
pub(crate) const ATTEMPTS: u32 = 2;
/// After a failure, the next visit on a bus; later each time, up to twenty seconds.
const AGAIN: Duration = Duration::from_millis(500);
const SELDOM: Duration = Duration::from_secs(20);
/// What others did is told for so long after it was last seen.
const ODD: Duration = Duration::from_secs(86_400);
/// Live records remembered until the log has them.
const ANNOUNCED: usize = 1000;
/// Farther from the terminal's clock no punch can be that has just happened: the epoch is another day.
const A_DAY_OR_SO: i64 = 20 * 3600;

/// Why a visit came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// A terminal, and all that is known of it in this session.
pub(crate) struct Serving<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) link: &'a Link,
    pub(crate) terminal: Terminal,
    /// As it answers; 0 until it did, where the config does not say.
    pub(crate) unit: u32,
    pub(crate) known: Option<Known>,
    pub(crate) counters: Counters,
    pub(crate) skew: Option<Skew>,
    /// The newest time in its log, as far as it was read.
    pub(crate) latest: Option<DateTime>,
    /// When it is visited next.
    pub(crate) due: Instant,
    /// When its clock is looked at next.
    pub(crate) clock_due: Instant,
    /// Live records that the log did not bring yet.
    pub(crate) announced: HashSet<Raw>,
    pub(crate) told_at: Instant,
    /// Records stored, and not yet marked as read: those of the last second, which may go on.
    pub(crate) pending: Vec<Raw>,
    pub(crate) pending_since: Instant,
    /// The page that was stored last, and how much of it is not marked: these may come again, and are twins then.
    pub(crate) booked: Vec<Raw>,
    /// The page that was marked last, as received: it cannot come again.
    pub(crate) done: Option<Vec<u8>>,
    /// What must stand at the start of the next page.
    pub(crate) expected: Option<Vec<Raw>>,
    /// Records asked for in one page: fewer after damage.
    pub(crate) size: u8,
    /// When somebody else's doings were last seen.
    pub(crate) odd_since: Option<Instant>,
    /// It does not take marks away: its new records do not move on, and what lies behind the first page is read another way.
    pub(crate) marks_refused: bool,
    /// Its whole log was to be read, and could not be.
    pub(crate) whole_failed: bool,
    /// Records that it held when that other way was gone last, and when that was.
    pub(crate) swept: Option<(u32, Instant)>,
    failures: u32,
    rubbish: (u64, u64, u64),
}

/// A terminal that told who it is.
pub(crate) struct Known {
    pub(crate) store: Store,
    /// Its serial number, empty where it tells none.
    pub(crate) told: String,
    pub(crate) model: String,
    pub(crate) firmware: String,
    pub(crate) cursor: Option<Cursor>,
    /// The whole log must be read: others marked records as read, or it is the first time.
    pub(crate) whole: bool,
    pub(crate) whole_after: Instant,
    /// Its counters were not compared yet in this session: the cursor may be older than our last mark, after a power cut.
    pub(crate) fresh: bool,
    /// Records may have been marked by others; the whole log tells.
    pub(crate) suspect: bool,
}

impl<'a> Serving<'a> {
    pub(crate) fn new(settings: &'a Settings, link: &'a Link, unit: u32) -> Option<Self> {
        let terminal = link.terminal(&settings.name)?.clone();
        let now = Instant::now();
        Some(Self {
            settings,
            link,
            terminal,
            unit,
            known: None,
            counters: Counters::default(),
            skew: None,
            latest: None,
            due: now,
            clock_due: now,
            announced: HashSet::new(),
            told_at: now,
            pending: Vec::new(),
            pending_since: now,
            booked: Vec::new(),
            done: None,
            expected: None,
            size: crate::command::page::MOST,
            odd_since: None,
            marks_refused: false,
            whole_failed: false,
            swept: None,
            failures: 0,
            rubbish: (0, 0, 0),
        })
    }

    /// Asks whatever may be asked twice.
    pub(crate) async fn ask(&self, wire: &mut Wire, command: u8, data: &[u8]) -> Result<Frame, NoAnswer> {
        // Who was silent before does not keep the others of his line waiting twice.
        let attempts = if self.failures == 0 { ATTEMPTS } else { 1 };
        wire.ask(&Frame::question(self.unit, command, data), attempts, |_| true).await
    }

    /// One visit: whatever is new, and the clock now and then.
    pub(crate) async fn visit(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        wire.patience = self.settings.timeout;
        self.rubbish = wire.rubbish();
        if self.known.is_none() {
            self.identify(wire).await?;
        }
        self.count(wire).await?;
        self.terminal.seen();
        // An echo of that page would have come in front of the counters. From here on the same bytes are another page.
        self.done = None;
        let clock = Instant::now() >= self.clock_due;
        if clock {
            self.measure_clock(wire).await?;
        }
        self.due = Instant::now() + self.settings.poll;
        self.read(wire).await?;
        if clock {
            self.look_after_clock(wire).await?;
            self.clock_due = Instant::now() + self.settings.poll;
        }
        self.failures = 0;
        if self.odd_since.is_some_and(|since| since.elapsed() > ODD) {
            self.took_note();
        }
        self.watch_line(wire);
        Ok(())
    }

    /// It could not be served, and others on its line can.
    pub(crate) fn fail(&mut self, why: impl Into<String>) {
        self.terminal.offline(why);
        self.known = None; // who comes back may be another
        (self.pending, self.done, self.expected) = (Vec::new(), None, None);
        self.booked.clear();
        let pause = AGAIN * 2_u32.saturating_pow(self.failures.min(10));
        self.failures += 1;
        self.due = Instant::now() + pause.min(SELDOM);
    }

    /// A record that the terminal told of by itself: a reason to look, and a test of the epoch.
    pub(crate) fn hint(&mut self, raw: Raw) {
        self.told_at = Instant::now();
        self.due = self.told_at;
        self.terminal.relief(Trouble::NoLiveEvents);
        if self.announced.len() < ANNOUNCED {
            self.announced.insert(raw);
        }
        let local = record::Record::of(&raw).local(self.settings.codes.epoch);
        if let (Some(skew), Some(local)) = (self.skew, local) {
            let there = skew.wall_time(&self.settings.zone);
            let off = local.duration_since(there).as_secs();
            if off.abs() > A_DAY_OR_SO {
                let cause = format!(
                    "it told of a punch at {local} when its own clock said {there}: epoch = {:?} may be a day off",
                    self.settings.codes.epoch.to_string()
                );
                self.terminal.trouble(Trouble::EpochSuspect, cause);
            } else {
                self.terminal.relief(Trouble::EpochSuspect);
            }
        }
    }

    /// Switches the real-time mode on, and leaves all else as it is.
    pub(crate) async fn switch_live_on(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        const BYTES: usize = 15;
        const REAL_TIME: usize = 4;
        let answer = self.ask_if_known(wire, ask::MORE_CONFIG).await?;
        let cause = match answer.as_ref().map(|answer| answer.data.as_slice()) {
            Some(config) if config.len() >= BYTES && config[REAL_TIME] == 1 => return Ok(()),
            Some(config) if config.len() >= BYTES => {
                let mut keep = [0xff; BYTES];
                keep[REAL_TIME] = 1;
                let answer = self.ask(wire, ask::SET_MORE_CONFIG, &keep).await?;
                if answer.result == 0 {
                    info!("terminal's real-time mode switched on");
                    return Ok(());
                }
                format!("it answered {} when its real-time mode was switched on", meaning(answer.result))
            }
            _ => "it does not tell whether its real-time mode is on".to_owned(),
        };
        self.terminal.trouble(Trouble::NoLiveEvents, cause);
        Ok(())
    }

    /// Asks what it holds, and compares that with what we left.
    pub(crate) async fn count(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        let answer = self.ask(wire, ask::COUNTERS, &[]).await?;
        let counters = Counters::of(&answer.data).filter(|_| answer.result == 0);
        let Some(counters) = counters else {
            return Err(wire.garbled("it does not tell how many records it holds").into());
        };
        self.counters = counters;
        let [records, users] = [counters.records, counters.users].map(|count| Some(u64::from(count)));
        self.terminal.report(Report::Counts { records, capacity: None, users });
        let Some(known) = &mut self.known else { return Ok(()) };
        let fresh = std::mem::take(&mut known.fresh);
        let as_we_left_it = known.cursor.is_some_and(|cursor| cursor.compare(&counters) == Compared::AsWeLeftIt);
        if !fresh && (counters.new > 0 || !as_we_left_it) {
            self.confirm_identity(wire).await?;
        }
        let Some(known) = &mut self.known else { return Ok(()) };
        match known.cursor.map(|cursor| cursor.compare(&counters)) {
            None => {
                // The first time: what others have read before is ours to read too, where that is wanted.
                known.whole |= self.settings.history && counters.read().is_some_and(|read| read > 0);
            }
            Some(Compared::AsWeLeftIt) => {}
            Some(Compared::ReadByOthers { .. }) if fresh => (known.whole, known.suspect) = (true, true),
            Some(Compared::ReadByOthers { records }) => {
                let cause = format!("{records} records were marked as read, and not by us");
                self.terminal.trouble(Trouble::OtherReader, cause);
                self.odd_since = Some(Instant::now());
                known.whole = true;
                self.expected = None;
            }
            Some(Compared::AllNew { marked }) => {
                let cause = format!(
                    "{marked} records were marked as read, and all {} in its log are new: it was full and overwrote \
                     those, and perhaps others that nobody had read; or somebody cleared it",
                    counters.records
                );
                self.terminal.trouble(Trouble::LogOverrun, cause);
                self.odd_since = Some(Instant::now());
                (self.pending, self.done, self.expected) = (Vec::new(), None, None);
                self.booked.clear();
            }
            Some(Compared::Shrank { before }) => {
                let cause = format!("{before} records were in its log, now there are {}", counters.records);
                self.terminal.trouble(Trouble::LogShrank, cause);
                self.odd_since = Some(Instant::now());
                known.whole = true;
                (self.pending, self.done, self.expected) = (Vec::new(), None, None);
                self.booked.clear();
            }
        }
        known.cursor = Some(Cursor::of(&counters));
        Ok(())
    }

    /// Somebody knows of others' doings, or they are long past.
    pub(crate) fn took_note(&mut self) {
        self.odd_since = None;
        self.terminal.relief(Trouble::OtherReader);
        self.terminal.relief(Trouble::LogShrank);
        self.terminal.relief(Trouble::LogOverrun);
    }

    /// Says when much of what comes is rubbish, until none does.
    fn watch_line(&mut self, wire: &Wire) {
        let (noise, damaged, strays) = wire.rubbish();
        let before = self.rubbish;
        if (noise, damaged, strays) == before {
            self.terminal.relief(Trouble::LineNoisy);
            return;
        }
        let cause = format!(
            "{} frames with a wrong checksum, {} that answered no question, {} other bytes",
            damaged - before.1,
            strays - before.2,
            noise - before.0
        );
        self.terminal.trouble(Trouble::LineNoisy, cause);
    }

    pub(crate) fn clock(&self) -> Clock {
        self.skew.map_or(Clock::UNKNOWN, Skew::as_clock)
    }
}
