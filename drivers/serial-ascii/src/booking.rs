//! Which reads are one punch, and one terminal's way to the store.
//!
//! # The rule
//! Most readers have neither clock nor memory nor number: what makes a punch is that its frame arrived. Its time is ours, in the
//! terminal's zone, in whole seconds; so its id is made of person, direction and the second of arrival. From this follows:
//!
//! * The same card with the same direction again, within `repeat_window` after it was last seen, is the same punch: readers
//!   repeat while a card is held. Nothing is stored. The window moves along, so a card that is held for a minute is one punch.
//! * Beyond the window it is another punch. If it falls into the same second (a window below one second, or clocks that were put
//!   back), it is the next such: counted among the last [`REMEMBERED`] punches of this run.
//! * A restart forgets windows and counts. An equal read in the same second as one before the restart is taken for it, and one
//!   within the window, but in another second, is a punch of its own.
//! * A reader that tells its own time: that time is the punch's, and an equal frame is the same punch for ever.
//! * A reader that numbers its reads: the number is part of the id (`native`), and the same number and card as in the frame before
//!   is the same punch, whenever it comes.
//! * A reader that waits for its answer sends again what was not answered. The second that was given to a frame stands in its
//!   punch, so the frame has the same id after a crash in between: what was saved may be older, and then the newest punch on disk
//!   tells. Once its answer was sent, an equal frame without a number is judged by the window again. When we are killed before
//!   it is on disk that the answer was given (some seconds), and the same card comes first within [`SENT_AGAIN`] after the
//!   start, that one is taken for the one before.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use driver_api::{
    Batch, Clock, ClockSource, Direction, Mark, NotStored, Origin, Punch, Raw, Report, SetAside, Store, Terminal,
    Trouble, Verify,
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::{
    decode::{Read, whole},
    fading::Fading,
    settings::Settings,
};

/// Punches of which the second and count are known.
pub(crate) const REMEMBERED: usize = 4096;
/// Frames kept raw within an hour: a reader that talks rubbish shall not fill the disk.
const ASIDE_AN_HOUR: u32 = 60;
/// Between two attempts at a store that refuses. Nothing else is read meanwhile: bytes wait on the line.
const STORE_PAUSE: Duration = Duration::from_millis(200);
/// A frame that a crash left without its answer comes again so soon after the start.
pub(crate) const SENT_AGAIN: Duration = Duration::from_secs(600);
/// Whose clock runs behind by more than this may be telling an old read, and nothing is learnt of its clock.
const OLD_NEWS_MS: i64 = 10_000;

/// What is saved of the last frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    card: String,
    direction: Option<Raw>,
    sequence: Option<String>,
    local: DateTime,
    nth: u32,
    /// The reader was told that it is stored.
    answered: bool,
    /// Punches that its ledger held before.
    #[serde(default)]
    before: u64,
}

impl Given {
    /// What was given last, and whether that is known of its answer too.
    async fn last(store: &Store) -> (Option<Self>, bool) {
        let saved: Option<Self> = store.load_cursor().await.and_then(|saved| serde_json::from_slice(&saved).ok());
        let held = store.holdings().await;
        let is_last = |given: &Self| held.latest <= Some(given.local) && held.punches <= given.before + 1;
        if held.punches == 0 || saved.as_ref().is_some_and(is_last) {
            return (saved, true);
        }
        let Some(newest) = store.newest().await else { return (saved, true) };
        let Punch { person: card, local, native: sequence, nth, .. } = newest;
        let before = held.punches.saturating_sub(1);
        let given = Self { card, direction: newest.direction.raw, sequence, local, nth, answered: false, before };
        match saved {
            Some(saved) if (Self { answered: false, before, ..saved.clone() }) == given => (Some(saved), true),
            _ => (Some(given), false),
        }
    }
}

type Key = (String, Option<Raw>);

pub(crate) struct Booking {
    pub(crate) terminal: Terminal,
    pub(crate) unit: Option<String>,
    store: Store,
    zone: TimeZone,
    window: Duration,
    direction: Option<Direction>,
    /// It waits, or numbers its reads: what was given to a frame must outlive us.
    lasting: bool,
    own_time: bool,
    late_ms: i64,
    given: Option<Given>,
    /// Since when it is not known whether that was answered.
    unsure: Option<Instant>,
    seen: HashMap<Key, Instant>,
    counted: VecDeque<(Key, DateTime, u32)>,
    aside_since: Instant,
    aside: u32,
    events_lost: Fading,
    set_aside: Fading,
    pub(crate) online: bool,
    pub(crate) answered_at: Instant,
    pub(crate) stored: u64,
    pub(crate) repeats: u64,
    pub(crate) lost: u64,
}

impl Booking {
    pub(crate) async fn new(settings: &Settings, zone: &TimeZone, terminal: Terminal) -> Self {
        let store = terminal.store(settings.serial.as_deref().unwrap_or(terminal.name()));
        let reader = &settings.reader;
        let numbers = reader.pattern.as_ref().is_some_and(|it| it.0.capture_names().flatten().any(|it| it == "seq"));
        let lasting = reader.waits || numbers;
        let (given, is_sure) = if lasting { Given::last(&store).await } else { (None, true) };
        if reader.waits {
            terminal.report(Report::Delivery(driver_api::Delivery::Acked));
        }
        Self {
            unit: settings.unit.clone(),
            store,
            zone: zone.clone(),
            window: settings.repeat,
            direction: settings.direction,
            lasting,
            own_time: reader.time.is_some(),
            late_ms: reader.poll.as_ref().map_or(100, |poll| poll.every.as_millis() as i64),
            given,
            unsure: (!is_sure).then(Instant::now),
            seen: HashMap::new(),
            counted: VecDeque::new(),
            aside_since: Instant::now(),
            aside: 0,
            events_lost: Fading::new(Trouble::EventsLost),
            set_aside: Fading::new(Trouble::RecordsSetAside),
            online: false,
            answered_at: Instant::now(),
            stored: 0,
            repeats: 0,
            lost: 0,
            terminal,
        }
    }

    /// Whether frames of this unit are of this terminal.
    pub(crate) fn is(&self, unit: Option<&str>) -> bool {
        self.unit.is_none() || self.unit.as_deref() == unit
    }

    /// Makes a read durable, however long the store takes; dropped when it is time to leave.
    pub(crate) async fn book(&mut self, read: Read) {
        let now = Instant::now();
        let arrival = Timestamp::now();
        let wall = whole(arrival.to_zoned(self.zone.clone()).datetime());
        let Some((local, nth)) = self.judge(&read, now, wall) else {
            self.repeats += 1;
            return;
        };
        let given = Given {
            card: read.card.clone(),
            direction: read.direction.raw.clone(),
            sequence: read.sequence.clone(),
            local,
            nth,
            answered: false,
            before: if self.lasting { self.store.holdings().await.punches } else { 0 },
        };
        self.tell_gap(&read);
        (self.given, self.unsure) = (Some(given), None);
        let direction = match (&read.direction.raw, self.direction) {
            (None, Some(value)) => Mark { value, raw: None },
            _ => read.direction,
        };
        let punch = Punch {
            person: read.card,
            local,
            zone: None,
            direction,
            verify: Mark { value: Verify::Card, raw: None },
            work_code: None,
            native: read.sequence,
            nth,
            origin: Origin::Live,
            clock: self.clock(local, arrival),
            flags: Vec::new(),
        };
        self.until_stored(Batch::from(vec![punch])).await;
        self.stored += 1;
        self.events_lost.look(&self.terminal);
        self.set_aside.look(&self.terminal);
    }

    /// The second and the count of a read; `None` when it is a repetition of one that is stored.
    fn judge(&mut self, read: &Read, now: Instant, wall: DateTime) -> Option<(DateTime, u32)> {
        if let Some(local) = read.time {
            return Some((local, 1));
        }
        let key: Key = (read.card.clone(), read.direction.raw.clone());
        let window = self.window;
        let seen = self.seen.insert(key.clone(), now);
        if self.seen.len() > REMEMBERED {
            self.seen.retain(|_, at| now.duration_since(*at) <= window);
        }
        let within = seen.is_some_and(|at| now.duration_since(at) <= window);
        let same = self.given.as_ref().filter(|given| {
            given.card == read.card && given.direction == read.direction.raw && given.sequence == read.sequence
        });
        match same {
            // Its answer was never sent: it comes again because of that, and whether it was stored is not known.
            Some(given) if self.lasting && !given.answered && self.unsure.is_none_or(|it| now - it <= SENT_AGAIN) => {
                return Some((given.local, given.nth));
            }
            Some(given) if given.sequence.is_some() => return None,
            _ => {}
        }
        if within && read.sequence.is_none() {
            return None;
        }
        let equal = self.counted.iter().filter(|(other, at, _)| *other == key && *at == wall);
        let nth = equal.map(|(.., nth)| *nth).max().unwrap_or(0) + 1;
        // Numbers tell equal reads apart; without one, the count does.
        let nth = if read.sequence.is_some() { 1 } else { nth };
        self.counted.push_back((key, wall, nth));
        if self.counted.len() > REMEMBERED {
            self.counted.pop_front();
        }
        Some((wall, nth))
    }

    fn clock(&self, local: DateTime, arrival: Timestamp) -> Clock {
        if !self.own_time {
            // Our own clock, late by what the frame takes on its way.
            return Clock { skew_ms: Some(0), err_ms: Some(self.late_ms), how: ClockSource::Arrival };
        }
        let told = self.zone.to_ambiguous_timestamp(local).compatible().ok();
        let skew = told.map(|told| told.as_millisecond() - arrival.as_millisecond());
        match skew {
            Some(skew) if skew > -OLD_NEWS_MS => {
                Clock { skew_ms: Some(skew), err_ms: Some(1000), how: ClockSource::Arrival }
            }
            _ => Clock::UNKNOWN,
        }
    }

    /// A number that jumped says what we missed.
    fn tell_gap(&mut self, read: &Read) {
        let number = |sequence: &Option<String>| sequence.as_ref().and_then(|number| number.parse::<u64>().ok());
        let last = self.given.as_ref().and_then(|given| number(&given.sequence));
        if let (Some(last), Some(now)) = (last, number(&read.sequence))
            && let Some(missing) = now.checked_sub(last + 1).filter(|missing| (1..10_000).contains(missing))
        {
            self.lost += missing;
            let cause = format!("its number went from {last} to {now}; {} reads were missed so far", self.lost);
            warn!(terminal = self.terminal.name(), missing, "reads missed");
            self.events_lost.tell(&self.terminal, cause);
        }
    }

    /// The reader was told that it is stored.
    pub(crate) async fn answered(&mut self) {
        let Some(given) = self.given.as_mut().filter(|given| !given.answered) else { return };
        given.answered = true;
        if self.lasting {
            // Not saved, the same frame is taken for the same punch once more: see the head of this file.
            let _ = self.save().await;
        }
    }

    /// Keeps a frame that says nothing, with its reason. Equal ones are kept once.
    pub(crate) async fn set_aside(&mut self, raw: &[u8], reason: &str) {
        if self.aside_since.elapsed() > Duration::from_secs(3600) {
            (self.aside_since, self.aside) = (Instant::now(), 0);
        }
        self.aside += 1;
        if self.aside > ASIDE_AN_HOUR {
            return;
        }
        let raw = raw[..raw.len().min(SetAside::LIMIT)].to_vec();
        let aside = SetAside { raw, reason: reason.to_owned(), nth: 1 };
        self.until_stored(Batch { set_aside: vec![aside], ..Batch::default() }).await;
        self.set_aside.tell(&self.terminal, reason.to_owned());
    }

    async fn until_stored(&self, batch: Batch) {
        loop {
            let stored = async {
                if self.lasting && !batch.punches.is_empty() {
                    self.save().await?;
                }
                self.store.put(batch.clone()).await
            };
            match stored.await {
                Ok(_) => return,
                // The gateway tells of its own disk.
                Err(_) => sleep(STORE_PAUSE).await,
            }
        }
    }

    async fn save(&self) -> Result<(), NotStored> {
        let saved = serde_json::to_vec(&self.given).expect("plain data has a JSON form");
        self.store.save_cursor(saved).await
    }

    pub(crate) fn is_online(&mut self, model: &str) {
        self.answered_at = Instant::now();
        if !self.online {
            self.online = true;
            let serial = self.store.serial().to_owned();
            let (firmware, platform) = (String::new(), "serial".into());
            self.terminal.report(Report::Identity { serial, model: model.to_owned(), firmware, platform });
            self.terminal.online();
        }
    }

    pub(crate) fn is_offline(&mut self, why: &str) {
        if self.online {
            warn!(terminal = self.terminal.name(), why, "not served");
        }
        self.online = false;
        self.terminal.offline(why);
    }
}
