//! One terminal: who it is, what is remembered of it, whether it may speak, and what it is told at its start.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use driver_api::{Holdings, NotStored, Report, Store, Trouble};
use encoding_rs::Encoding;
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use tracing::{info, warn};

use crate::{
    codes::VerifyTable,
    cursor::Cursor,
    errands::Errands,
    handshake::{self, Offer},
    name, options,
    presence::{Presence, Sign},
    punches::Reading,
    settings::{Dialect, Settings, TerminalSettings},
    skew::{Finding, Skew},
    target::Query,
    unreadable::{self, Obstacle, Unreadable},
    when,
    whereabouts::{Admission, News, Whereabouts},
};

pub(crate) struct Terminal {
    pub settings: TerminalSettings,
    pub store: Store,
    pub(crate) inner: Mutex<Inner>,
}

/// What changes.
pub(crate) struct Inner {
    pub cursor: Cursor,
    saved: Cursor,
    pub errands: Errands,
    pub skew: Skew,
    /// The latest punch in its wall time, as far as it lies in the past.
    pub latest: Option<DateTime>,
    pub presence: Presence,
    whereabouts: Whereabouts,
    /// The zone's offset that it was last told.
    pub offset: Option<Offset>,
    /// Whether its clock was told to be off; `None` before anything was told.
    clock_off: Option<bool>,
    /// Whether it was told never to have been set.
    clock_unset: Option<bool>,
    pub unreadable: Unreadable,
    /// Records of it in our ledger, those set aside among them.
    pub held: u64,
    /// Records were set aside since the last comparison of its log.
    pub set_aside: bool,
    /// Templates, photos and the like that came and were thrown away, since this run began.
    pub dropped: u64,
}

impl Terminal {
    /// A terminal with what is remembered of it.
    pub(crate) async fn load(settings: TerminalSettings, store: Store, listener: &Settings) -> Self {
        let cursor = store.load_cursor().await.map(|bytes| Cursor::read(&bytes)).unwrap_or_default();
        let Holdings { latest, punches, set_aside } = store.holdings().await;
        let known = latest.is_some() || cursor != Cursor::default();
        let inner = Inner {
            saved: cursor.clone(),
            errands: Errands::new(&settings.serial),
            cursor,
            skew: Skew::default(),
            latest,
            presence: Presence::new(listener, known, Instant::now()),
            whereabouts: Whereabouts::default(),
            offset: None,
            clock_off: None,
            clock_unset: None,
            unreadable: Unreadable::new(listener),
            held: punches + set_aside,
            set_aside: false,
            dropped: 0,
        };
        Self { settings, store, inner: Mutex::new(inner) }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding this")
    }

    pub(crate) fn report(&self, report: Report) {
        self.store.terminal().report(report);
    }

    /// Checks where it speaks from.
    pub(crate) fn admit(&self, peer: IpAddr, now: Instant) -> Admission {
        let mut inner = self.inner();
        let Inner { cursor, whereabouts, .. } = &mut *inner;
        let (admission, news) = whereabouts.admit(&self.settings.from, &mut cursor.address, peer, now);
        self.tell(news, peer);
        admission
    }

    fn tell(&self, news: Option<News>, peer: IpAddr) {
        match news {
            None => {}
            Some(News::Relief) => self.store.terminal().relief(Trouble::AddressChanged),
            Some(News::Trouble(cause)) => {
                warn!(%peer, "terminal spoke from an address that is not its own");
                self.store.terminal().trouble(Trouble::AddressChanged, cause);
            }
        }
    }

    /// It speaks, and is served.
    pub(crate) fn seen(&self, now: Instant) {
        let mut inner = self.inner();
        match inner.presence.served(now) {
            Some(Sign::Came) => {
                self.store.terminal().online();
                // Not all send by themselves what was punched meanwhile.
                let latest = inner.latest;
                let first = latest.is_none() && inner.cursor.compared_to.is_none();
                inner.errands.comparing.was_away(latest, first, now);
                info!("terminal came");
            }
            Some(Sign::Seen) => self.store.terminal().seen(),
            None => {}
        }
    }

    /// Tells when it has not spoken for too long.
    pub(crate) fn miss(&self, now: Instant) {
        if let Some(why) = self.inner().presence.look(now) {
            info!(terminal = self.settings.name, "terminal is away");
            self.store.terminal().offline(why);
        }
    }

    /// A request of it begins; it ends when the guard goes.
    pub(crate) fn request(&self) -> Requesting<'_> {
        self.inner().presence.request_begins();
        Requesting { terminal: self }
    }

    /// Whether it has spoken lately.
    pub(crate) fn connected(&self, now: Instant) -> bool {
        self.inner().presence.is_there(now)
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.settings.dialect.or(self.inner().cursor.dialect).unwrap_or(Dialect::Attendance)
    }

    /// It showed by what it asks for which dialect it speaks. That sticks: given the other dialect's answers it would
    /// connect, look healthy and send nothing. Where it said itself what it is, that counts: one stray request would turn it
    /// else.
    pub(crate) fn shows(&self, dialect: Dialect) {
        if !self.inner().cursor.dialect_told {
            self.speaks(dialect);
        }
    }

    fn speaks(&self, dialect: Dialect) {
        let mut inner = self.inner();
        if self.settings.dialect.is_none() && inner.cursor.dialect != Some(dialect) {
            info!(?dialect, "terminal showed its dialect");
            inner.cursor.dialect = Some(dialect);
        }
    }

    /// The answer to a start. Whoever speaks from an address that is not its own is answered in the dialect that it asks for,
    /// and changes nothing.
    pub(crate) fn handshake(
        &self,
        query: Query<'_>,
        admission: Admission,
        listener: &Settings,
        now: Timestamp,
    ) -> String {
        let told = query.get("DeviceType").and_then(|kind| Dialect::told(&kind));
        if let Some(told) = told.filter(|_| admission == Admission::Served) {
            self.speaks(told);
            self.inner().cursor.dialect_told = true;
        }
        let dialect = self.settings.dialect.or(told).unwrap_or_else(|| self.dialect());
        let mut inner = self.inner();
        let short = |key| {
            query.get(key).map(|text| text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(32).collect())
        };
        inner.cursor.version = short("pushver");
        inner.cursor.language = short("language").or(inner.cursor.language.take());
        drop(inner);
        let text = self.offer(listener, now, |offer| match dialect {
            Dialect::Attendance => handshake::attendance(offer),
            Dialect::Security => handshake::security(offer, true),
        });
        info!(?dialect, "terminal started");
        text
    }

    /// Builds an answer from what it is to be told now.
    pub(crate) fn offer(&self, listener: &Settings, now: Timestamp, text: impl FnOnce(&Offer<'_>) -> String) -> String {
        let offset = self.settings.zone.to_offset(now);
        let cursor = {
            let mut inner = self.inner();
            inner.offset = Some(offset);
            inner.cursor.clone()
        };
        let stamp = |table: &str| cursor.stamps.get(table).map(String::as_str);
        text(&Offer {
            serial: &self.settings.serial,
            version: cursor.version.as_deref(),
            // 0: everything again; 9999: what is new, on firmware that looks at it at all.
            attlog_stamp: stamp("ATTLOG").unwrap_or(if self.settings.history { "0" } else { "9999" }),
            operlog_stamp: stamp("OPERLOG").unwrap_or("9999"),
            poll: listener.poll.as_secs(),
            error_delay: listener.error_delay.as_secs(),
            offset,
            zone_style: self.settings.zone_style,
            exchange_tried: cursor.exchange_tried,
        })
    }

    /// How its bytes are read now.
    pub(crate) fn reading(&self, now: Timestamp) -> Reading {
        let inner = self.inner();
        let version = inner.cursor.version.as_deref().and_then(options::version);
        let iso_stamps = inner.cursor.stamps.get("ATTLOG").is_some_and(|stamp| stamp.contains('T'));
        let newer = version.is_some_and(|version| version >= [2, 2, 0]) && !iso_stamps;
        let table = if newer { VerifyTable::Newer } else { VerifyTable::Older };
        let fallback = self.fallback(&inner);
        Reading { table, fallback, zone: self.settings.zone.clone(), now }
    }

    pub(crate) fn encoding(&self) -> &'static Encoding {
        self.fallback(&self.inner())
    }

    fn fallback(&self, inner: &Inner) -> &'static Encoding {
        name::fallback(self.settings.encoding, inner.cursor.language.as_deref())
    }

    /// Its wall time by our clock.
    pub(crate) fn wall(&self, now: Timestamp) -> DateTime {
        when::now_in(&self.settings.zone, now)
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.settings.zone
    }

    /// Saves what is remembered, if that changed. A failure costs work later, and no punch.
    pub(crate) async fn save(&self) {
        let cursor = {
            let mut inner = self.inner();
            if inner.cursor == inner.saved {
                return;
            }
            inner.saved = inner.cursor.clone();
            inner.cursor.bytes()
        };
        if let Err(error) = self.store.save_cursor(cursor).await {
            self.not_saved(&error);
        }
    }

    fn not_saved(&self, error: &NotStored) {
        warn!(%error, "what is remembered of a terminal was not saved");
        self.inner().saved = Cursor::default();
    }

    /// What an upload of few records says about its clock.
    pub(crate) fn clock(&self, ahead: i64) {
        let terminal = self.store.terminal();
        let mut inner = self.inner();
        match inner.skew.upload(ahead) {
            Finding::Right(clock) => {
                self.report(Report::Clock(clock));
                if inner.clock_off.replace(false) != Some(false) {
                    terminal.relief(Trouble::ClockOff);
                }
            }
            Finding::Off(clock) => {
                self.report(Report::Clock(clock));
                if inner.clock_off.replace(true) != Some(true) {
                    let cause = format!("its punches arrive with times that are {} s off", ahead / 1000);
                    terminal.trouble(Trouble::ClockOff, cause);
                }
            }
            Finding::Nothing => return,
        }
        if inner.clock_unset.replace(false) != Some(false) {
            terminal.relief(Trouble::ClockUnset);
        }
    }

    /// A live punch came with the date of a factory.
    pub(crate) fn clock_unset(&self) {
        if self.inner().clock_unset.replace(true) != Some(true) {
            self.store.terminal().trouble(Trouble::ClockUnset, "a live punch came with a date of 2000 or before");
        }
    }

    /// Whether what it uploads of a table is over the limit. It sends the same again until somebody raises that, so somebody
    /// must know; what else it uploads meanwhile is no sign that it is over.
    pub(crate) fn too_long(&self, table: String, why: Option<String>) {
        let table = Obstacle::TooLong(table);
        let mut inner = self.inner();
        let news = match why {
            Some(why) => inner.unreadable.begins(table, why, Instant::now()),
            None => inner.unreadable.ends(&table),
        };
        self.tell_unreadable(news);
    }

    /// What was in the way of its log, and is not any more.
    pub(crate) fn look_at_obstacles(&self, now: Instant) {
        let mut inner = self.inner();
        if inner.presence.is_there(now) {
            let news = inner.unreadable.look(now);
            self.tell_unreadable(news);
        }
    }

    pub(crate) fn tell_unreadable(&self, news: Option<unreadable::News>) {
        match news {
            Some(unreadable::News::Trouble(why)) => self.store.terminal().trouble(Trouble::LogUnreadable, why),
            Some(unreadable::News::Relief) => self.store.terminal().relief(Trouble::LogUnreadable),
            None => {}
        }
    }

    /// It told something of itself.
    pub(crate) fn about(&self, about: &options::About) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        if about.model.is_some() || about.firmware.is_some() || about.platform.is_some() {
            self.report(Report::Identity {
                serial: self.settings.serial.clone(),
                model: text(&about.model),
                firmware: text(&about.firmware),
                platform: text(&about.platform),
            });
        }
        if about.users.is_some() || about.records.is_some() {
            self.report(Report::Counts { records: about.records, capacity: None, users: about.users });
        }
        if let Some(records) = about.records {
            self.counted(records);
        }
    }

    /// It said how many records its log holds. Fewer than before: somebody deleted some, or all.
    fn counted(&self, records: u64) {
        let before = self.inner().cursor.records.replace(records);
        let Some(before) = before.filter(|before| *before != records) else { return };
        let terminal = self.store.terminal();
        if records > before {
            terminal.relief(Trouble::LogShrank);
            terminal.relief(Trouble::LogCleared);
        } else {
            let trouble = if records == 0 { Trouble::LogCleared } else { Trouble::LogShrank };
            terminal.trouble(trouble, format!("{before} records were in its log, now there are {records}"));
        }
    }

    /// An upload begins; it ends when the guard goes.
    pub(crate) fn upload(&self, peer: IpAddr, now: Instant) -> Uploading<'_> {
        let news = self.inner().whereabouts.upload_begins(peer, now);
        self.tell(news, peer);
        Uploading { terminal: self, peer }
    }
}

/// A request under way.
pub(crate) struct Requesting<'a> {
    terminal: &'a Terminal,
}

impl Drop for Requesting<'_> {
    fn drop(&mut self) {
        self.terminal.inner().presence.request_ends();
    }
}

/// An upload under way.
pub(crate) struct Uploading<'a> {
    terminal: &'a Terminal,
    peer: IpAddr,
}

impl Drop for Uploading<'_> {
    fn drop(&mut self) {
        self.terminal.inner().whereabouts.upload_ends(self.peer);
    }
}
