//! One terminal on a bus: looked at, stored, acknowledged.

use std::{sync::Arc, time::Duration};

use driver_api::{Batch, Clock, ClockSource, Flag, NotStored, Origin, Punch, Report, Store, Terminal, Trouble};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    bus::{Bus, Failed},
    cursor::{Cursor, Given, Told, went},
    map::{Capture, Counter, Map, Record},
    record::set_aside,
    settings::Settings,
};

mod fifo;
mod latch;

/// Signs of life and round trips are told this often: a hundred terminals at each second are not news.
const TOLD_EVERY: Duration = Duration::from_secs(20);
/// Before a terminal whose answers make no sense is asked again.
const ODD_PAUSE: Duration = Duration::from_secs(5);
/// Between two questions to a silent terminal, in its time-outs: at most, where it has the line for itself.
const SILENT_ALONE: u32 = 8;
/// On a line with others: a silent terminal costs them its time-out each time, so it gets one part in so many.
const SILENT_SHARE: u32 = 200;
const SILENT_MOST: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));

/// Why a look at a terminal came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookFailed {
    #[error(transparent)]
    Bus(#[from] Failed),
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

/// When to look again.
pub(crate) enum Next {
    /// More is waiting.
    Soon,
    InTurn,
}

pub(crate) struct Unit {
    pub(crate) number: u8,
    pub(crate) limit: Duration,
    pub(crate) map: Arc<Map>,
    pub(crate) terminal: Terminal,
    zone: TimeZone,
    store: Store,
    poll: Duration,
    cursor: Cursor,
    given: Given,
    given_loaded: bool,
    /// When its next turn is.
    pub(crate) due: Instant,
    failures: u32,
    pub(crate) online: bool,
    told: Option<Instant>,
    /// Nothing waits in it any more: from now on events are live.
    caught_up: bool,
    /// What was told of it and is taken back when it is over, although it was served all the time.
    unreadable: bool,
    nearly_full: bool,
    /// Where the tail must stand after what we acknowledged.
    expected_tail: Option<u16>,
    shown: latch::Shown,
    /// The last event without a number: an equal one in the same second is the next such.
    latest: Option<(String, DateTime, u32)>,
    /// Events lost in this run.
    lost: u64,
    /// And that some are was told in it.
    loss_told: bool,
}

impl Unit {
    pub(crate) async fn new(settings: &Settings, zone: &TimeZone, terminal: Terminal, index: u32) -> Self {
        let serial = settings.serial.as_deref().unwrap_or(terminal.name()).to_owned();
        let store = terminal.store(&serial);
        let cursor = Cursor::load(&store).await;
        terminal.report(Report::Delivery(settings.map.delivery()));
        let poll = settings.poll.unwrap_or(settings.map.poll);
        Self {
            number: settings.unit,
            limit: settings.timeout,
            map: settings.map.clone(),
            zone: zone.clone(),
            store,
            poll,
            cursor,
            given: Given::default(),
            given_loaded: false,
            // In turn from the start, so that five hundred of them do not all ask in one moment.
            due: Instant::now() + poll.mul_f64(f64::from(index.wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX)) / 4,
            failures: 0,
            online: false,
            told: None,
            caught_up: false,
            unreadable: false,
            nearly_full: false,
            expected_tail: None,
            shown: latch::Shown::default(),
            latest: None,
            lost: 0,
            loss_told: false,
            terminal,
        }
    }

    /// Looks once; says when its next turn is.
    pub(crate) async fn look(&mut self, bus: &mut Bus) -> Result<(), LookFailed> {
        let begun = Instant::now();
        let map = self.map.clone();
        if !self.given_loaded {
            self.given = Given::load(&self.store).await?;
            self.given_loaded = true;
        }
        let unreadable = std::mem::take(&mut self.unreadable);
        let looked = match &map.capture {
            Capture::Fifo(fifo, record) => self.look_at_fifo(bus, fifo, record).await,
            Capture::Latch(latch, record) => self.look_at_latch(bus, latch, record).await,
            Capture::Counter(counter) => self.look_at_counter(bus, counter).await,
        };
        let next = looked.inspect_err(|_| self.unreadable |= unreadable)?;
        if !self.unreadable && (unreadable || !self.online) {
            self.terminal.relief(Trouble::LogUnreadable);
        }
        self.failures = 0;
        self.tell_old_loss();
        if !self.online {
            self.online = true;
            let serial = self.store.serial().to_owned();
            let model = map.title.clone();
            let (firmware, platform) = (String::new(), "Modbus".into());
            self.terminal.report(Report::Identity { serial, model, firmware, platform });
            self.terminal.online();
            info!(unit = self.number, terminal = self.terminal.name(), delivery = ?map.delivery(), "served");
        }
        if self.told.is_none_or(|told| told.elapsed() > TOLD_EVERY) {
            self.told = Some(Instant::now());
            self.terminal.report(Report::RoundTrip { ms: begun.elapsed().as_millis() as u64 });
            self.terminal.relief(Trouble::LineNoisy);
        }
        let now = Instant::now();
        self.due = match next {
            Next::Soon => now,
            // The rhythm is kept, and what was missed is not made up for.
            Next::InTurn => (self.due + self.poll).max(now),
        };
        Ok(())
    }

    /// A look came to nothing. `others`: somebody else on this line is served.
    pub(crate) fn failed(&mut self, why: &LookFailed, others: bool) {
        self.failures = self.failures.saturating_add(1);
        self.expected_tail = None;
        let words = format!("unit {}: {why}", self.number);
        let pause = match why {
            // The terminal keeps what we could not store, and is asked again in its turn.
            LookFailed::NotStored(_) => self.poll.max(Duration::from_millis(200)),
            LookFailed::Bus(Failed::Exception(code)) => {
                self.terminal.report(Report::FailedRead { why: words.clone() });
                if (1..=3).contains(&u8::from(*code)) {
                    self.unreadable = true;
                    self.terminal.trouble(Trouble::LogUnreadable, words.clone());
                }
                if self.failures >= 3 || !self.online {
                    self.offline(words);
                }
                self.silent_pause(others).min(ODD_PAUSE)
            }
            LookFailed::Bus(Failed::Garbled(_)) => {
                self.terminal.report(Report::FailedRead { why: words.clone() });
                self.terminal.trouble(Trouble::LineNoisy, words.clone());
                if self.failures >= 3 {
                    self.offline(words);
                }
                self.silent_pause(others).min(ODD_PAUSE)
            }
            LookFailed::Bus(Failed::Gone(_)) => {
                if self.failures >= 2 {
                    self.offline(words);
                }
                self.poll.min(self.limit)
            }
            LookFailed::Bus(Failed::Silent(_)) => {
                self.terminal.report(Report::FailedRead { why: words.clone() });
                // One lost answer is an everyday thing on a long cable.
                if self.failures >= 2 {
                    self.offline(words);
                }
                self.silent_pause(others)
            }
        };
        self.due = Instant::now() + pause;
    }

    fn silent_pause(&self, others: bool) -> Duration {
        let pause = self.limit * (1 << self.failures.min(10).saturating_sub(1));
        let shared = (self.limit * SILENT_SHARE).clamp(SILENT_MOST.0, SILENT_MOST.1);
        let most = if others { shared } else { self.limit * SILENT_ALONE };
        pause.min(most)
    }

    /// Nobody is there, or the line to it is gone.
    pub(crate) fn offline(&mut self, why: String) {
        if self.online || self.told.is_none() {
            warn!(terminal = self.terminal.name(), why, "not served");
            self.told = Some(Instant::now());
        }
        self.online = false;
        self.caught_up = false;
        self.terminal.report(Report::Offline { why });
    }

    /// Stores events in one go. `words` of each are what stood on the wire. Their numbers, and how many of
    /// them, from the front, were stored before.
    async fn store(
        &mut self,
        record: &Record,
        events: &[Vec<u16>],
        origin: Origin,
    ) -> Result<(Vec<u64>, usize), NotStored> {
        let now = Timestamp::now().to_zoned(self.zone.clone()).datetime();
        let now = now.with().subsec_nanosecond(0).build().unwrap_or(now);
        let (mut batch, mut numbers) = (Batch::default(), Vec::new());
        let before = self.given.len();
        let mut latest = self.latest.clone();
        for words in events {
            let event = match record.decode(words, &self.zone) {
                Ok(Some(event)) => event,
                Ok(None) => {
                    batch.set_aside.push(set_aside(words, "the record is empty, and counts as an event".into()));
                    continue;
                }
                Err(why) => {
                    batch.set_aside.push(set_aside(words, why));
                    continue;
                }
            };
            numbers.extend(event.sequence);
            let (local, nth) = match event.local {
                // Equal in all and with the terminal's own time: the same event, read again.
                Some(local) => (local, 1),
                None => {
                    let nth = match &latest {
                        Some((person, at, nth)) if *person == event.person && *at == now => nth + 1,
                        _ => 1,
                    };
                    self.given.to(words, (now, nth))
                }
            };
            latest = Some((event.person.clone(), local, nth));
            let clock = match event.local {
                Some(_) => Clock::UNKNOWN,
                // Our own clock, late by a look at most.
                None => {
                    let err_ms = Some(self.poll.as_millis() as i64);
                    Clock { skew_ms: Some(0), err_ms, how: ClockSource::Arrival }
                }
            };
            let mut flags = Vec::new();
            if local.year() < 2015 {
                flags.push(Flag::ClockUnset);
            }
            batch.punches.push(Punch {
                person: event.person,
                local,
                zone: None,
                direction: event.direction,
                verify: event.verify,
                work_code: None,
                native: event.sequence.map(|number| number.to_string()),
                nth,
                origin,
                clock,
                flags,
            });
        }
        if self.given.len() != before {
            // Before the punches: after a crash in between, the same event must get the same time.
            self.given.save(&self.store).await?;
        }
        let aside = batch.set_aside.first().map(|raw| raw.reason.clone());
        let stored = self.store.put(batch).await?;
        self.cursor.records += stored.new as u64;
        // What is read again after an acknowledgement that got lost are the oldest.
        let known = stored.twins.min(numbers.len());
        self.latest = latest;
        match aside {
            Some(reason) => self.terminal.trouble(Trouble::RecordsSetAside, reason),
            None => self.terminal.relief(Trouble::RecordsSetAside),
        }
        Ok((numbers, known))
    }

    async fn save(&self) -> Result<(), NotStored> {
        self.store.save_cursor(self.cursor.to_bytes()).await
    }

    /// Events that are gone for ever.
    fn tell_lost(&mut self, count: u64, how: &str) {
        self.lost = self.lost.saturating_add(count);
        self.cursor.lost = self.cursor.lost.saturating_add(count);
        warn!(terminal = self.terminal.name(), count, "events lost in the terminal");
        self.hold_loss(format!("{how}; {} lost since this gateway started to serve it", self.lost));
    }

    /// Told, and told on. The cursor is saved with whatever made us look.
    fn hold_loss(&mut self, cause: String) {
        self.terminal.trouble(Trouble::EventsLost, cause.as_str());
        self.loss_told = true;
        self.cursor.told = Some(Told { at: Timestamp::now(), cause });
    }

    /// What was lost before we came is told on for its time, and no longer.
    fn tell_old_loss(&mut self) {
        match &self.cursor.told {
            Some(told) if !told.is_over(Timestamp::now()) => {
                if !std::mem::replace(&mut self.loss_told, true) {
                    self.terminal.trouble(Trouble::EventsLost, told.cause.as_str());
                }
            }
            _ => {
                self.cursor.told = None;
                self.loss_told = false;
                self.terminal.relief(Trouble::EventsLost);
            }
        }
    }

    async fn look_at_counter(&mut self, bus: &mut Bus, counter: &Counter) -> Result<Next, LookFailed> {
        let words = bus.registers(self.number, self.limit, counter.read).await?;
        let first = self.cursor.counters.len() != counter.ways.len();
        let mut counters = Vec::new();
        for (index, way) in counter.ways.iter().enumerate() {
            let now = way.number(&words).unwrap_or(0);
            let (last, total) = if first { (now, 0) } else { self.cursor.counters[index] };
            let bits = way.words * 16;
            let step = went(last, now, bits);
            // More than half its range is no step forward: it was started anew, and counts from zero.
            let step = if step > went(1, 0, bits) / 2 { now } else { step };
            counters.push((now, total.saturating_add(step)));
        }
        if counters != self.cursor.counters {
            self.cursor.counters = counters;
            self.save().await?;
            let total = self.cursor.counters.iter().map(|(_, total)| total).sum();
            self.terminal.report(Report::Passages { total });
        } else if !self.online {
            let total = self.cursor.counters.iter().map(|(_, total)| total).sum();
            self.terminal.report(Report::Passages { total });
        }
        Ok(Next::InTurn)
    }

    pub(crate) fn info(&self) -> serde_json::Value {
        serde_json::json!({
            "model": self.map.title,
            "unit": self.number,
            "delivery": self.map.delivery(),
            "online": self.online,
            "last_number": self.cursor.sequence,
            "passages": self.cursor.counters.iter().map(|(_, total)| *total).collect::<Vec<_>>(),
            "events_lost": self.cursor.lost,
            "doors": self.map.actions.unlock.len(),
        })
    }

    /// The wall time to set its clock to.
    pub(crate) fn wall_time(&self, utc: bool) -> DateTime {
        let zone = if utc { TimeZone::UTC } else { self.zone.clone() };
        Timestamp::now().to_zoned(zone).datetime()
    }

    fn sequence_bits(record: &Record) -> usize {
        record.sequence.as_ref().map_or(16, |field| field.words * 16)
    }
}
