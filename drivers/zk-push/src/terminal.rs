//! One terminal: who it is, what is remembered of it, whether it may speak, and what it is told at its start.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use driver_api::{Clock, NotStored, Report, Store, Trouble};
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
    punches::Reading,
    settings::{Dialect, Settings, TerminalSettings},
    skew::{Finding, Skew},
    target::Query,
    when,
};

/// An address moves for good when nobody has spoken from the old one for so long.
const ADDRESS_SETTLES: Duration = Duration::from_secs(86_400);
/// Signs of life are reported no more often.
const SEEN_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Terminal {
    pub settings: TerminalSettings,
    pub store: Store,
    pub(crate) inner: Mutex<Inner>,
    /// Without a request for so long it was away.
    away_after: Duration,
}

/// What changes.
pub(crate) struct Inner {
    pub cursor: Cursor,
    saved: Cursor,
    pub errands: Errands,
    pub skew: Skew,
    /// The latest punch in its wall time, as far as it lies in the past.
    pub latest: Option<DateTime>,
    pub seen: Option<Instant>,
    told: Option<Instant>,
    /// When it last spoke from the address that it is pinned to.
    at_home: Option<Instant>,
    moved: bool,
    /// The zone's offset that it was last told.
    pub offset: Option<Offset>,
    /// Where uploads come from at this moment.
    uploading: Vec<IpAddr>,
    cloned: Option<Instant>,
    /// Templates, photos and the like that came and were thrown away, since this run began.
    pub(crate) dropped: u64,
}

/// Whether a request may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Served,
    /// Its punches are taken; it gets no commands, since it may be somebody else.
    WithoutCommands,
    Refused,
}

impl Terminal {
    /// A terminal with what is remembered of it.
    pub(crate) async fn load(settings: TerminalSettings, store: Store, listener: &Settings) -> Self {
        let cursor = store.load_cursor().await.map(|bytes| Cursor::read(&bytes)).unwrap_or_default();
        let latest = store.holdings().await.latest;
        let inner = Inner {
            saved: cursor.clone(),
            errands: Errands::new(&settings.serial),
            cursor,
            skew: Skew::default(),
            latest,
            seen: None,
            told: None,
            at_home: None,
            moved: false,
            offset: None,
            uploading: Vec::new(),
            cloned: None,
            dropped: 0,
        };
        let away_after = (listener.poll * 3).max(Duration::from_secs(90));
        Self { settings, store, inner: Mutex::new(inner), away_after }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding this")
    }

    pub(crate) fn report(&self, report: Report) {
        self.store.terminal().report(report);
    }

    /// Checks where it speaks from.
    pub(crate) fn admit(&self, peer: IpAddr, now: Instant) -> Admission {
        let terminal = self.store.terminal();
        let mut inner = self.inner();
        if !self.settings.from.is_empty() {
            let fits = self.settings.from.iter().any(|network| network.holds(peer));
            if std::mem::replace(&mut inner.moved, !fits) == fits {
                if fits {
                    terminal.relief(Trouble::AddressChanged);
                } else {
                    terminal.trouble(
                        Trouble::AddressChanged,
                        format!("refused: it speaks from {peer}, which `from` does not hold"),
                    );
                    warn!(%peer, "terminal refused at an address that is not its own");
                }
            }
            return if fits { Admission::Served } else { Admission::Refused };
        }
        let home = *inner.cursor.address.get_or_insert(peer);
        if home == peer {
            inner.at_home = Some(now);
            if std::mem::take(&mut inner.moved) {
                terminal.relief(Trouble::AddressChanged);
            }
            return Admission::Served;
        }
        let since = *inner.at_home.get_or_insert(now);
        if now.duration_since(since) >= ADDRESS_SETTLES {
            inner.cursor.address = Some(peer);
            inner.at_home = Some(now);
            inner.moved = false;
            terminal.relief(Trouble::AddressChanged);
            return Admission::Served;
        }
        if !std::mem::replace(&mut inner.moved, true) {
            let cause =
                format!("it spoke from {home} before and from {peer} now; it gets no commands until that is settled");
            terminal.trouble(Trouble::AddressChanged, cause);
            warn!(%peer, %home, "terminal came from another address");
        }
        Admission::WithoutCommands
    }

    /// A sign of life.
    pub(crate) fn seen(&self, now: Instant) {
        let mut inner = self.inner();
        let back = inner.seen.is_none_or(|seen| now.duration_since(seen) >= self.away_after);
        inner.seen = Some(now);
        if back {
            inner.told = Some(now);
            self.store.terminal().online();
            // Not all send by themselves what was punched meanwhile.
            let latest = inner.latest;
            inner.errands.was_away(latest, now);
            info!("terminal came");
        } else if inner.told.is_none_or(|told| now.duration_since(told) >= SEEN_EVERY) {
            inner.told = Some(now);
            self.store.terminal().seen();
        }
    }

    /// Whether it has spoken lately.
    pub(crate) fn connected(&self, now: Instant) -> bool {
        self.inner().seen.is_some_and(|seen| now.duration_since(seen) < self.away_after)
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.settings.dialect.or(self.inner().cursor.dialect).unwrap_or(Dialect::Attendance)
    }

    /// It showed by what it asks for which dialect it speaks. That sticks: given the other dialect's answers it would
    /// connect, look healthy and send nothing.
    pub(crate) fn speaks(&self, dialect: Dialect) {
        let mut inner = self.inner();
        if self.settings.dialect.is_none() && inner.cursor.dialect != Some(dialect) {
            info!(?dialect, "terminal showed its dialect");
            inner.cursor.dialect = Some(dialect);
        }
    }

    /// The answer to a start.
    pub(crate) fn handshake(&self, query: Query<'_>, listener: &Settings, now: Timestamp) -> String {
        if query.get("DeviceType").is_some_and(|kind| kind.eq_ignore_ascii_case("acc")) {
            self.speaks(Dialect::Security);
        }
        let mut inner = self.inner();
        let short = |key| {
            query.get(key).map(|text| text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(32).collect())
        };
        inner.cursor.version = short("pushver");
        inner.cursor.language = short("language").or(inner.cursor.language.take());
        drop(inner);
        let text = self.offer(listener, now, |offer| match self.dialect() {
            Dialect::Attendance => handshake::attendance(offer),
            Dialect::Security => handshake::security(offer, true),
        });
        info!(dialect = ?self.dialect(), "terminal started");
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
        let told = |clock: Clock| self.report(Report::Clock(clock));
        match self.inner().skew.upload(ahead) {
            Finding::Right(clock) => {
                told(clock);
                terminal.relief(Trouble::ClockOff);
            }
            Finding::Off(clock) => {
                told(clock);
                let cause = format!("its punches arrive with times that are {} s off", ahead / 1000);
                terminal.trouble(Trouble::ClockOff, cause);
            }
            Finding::Nothing => {}
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
    }

    /// An upload begins; it ends when the guard goes. Two at once under one serial number are a clone or a forgery, or a
    /// terminal that gave up and tried again, which comes from one address.
    pub(crate) fn upload(&self, peer: IpAddr, now: Instant) -> Uploading<'_> {
        const QUIET: Duration = Duration::from_secs(3600);
        let terminal = self.store.terminal();
        let mut inner = self.inner();
        if inner.uploading.iter().any(|other| *other != peer) {
            warn!(%peer, "two uploads came at once under one serial number");
            terminal.trouble(
                Trouble::AddressChanged,
                format!("two uploads at once under its serial number, one from {peer}: a clone?"),
            );
            inner.cloned = Some(now);
        } else if inner.cloned.take_if(|since| now.duration_since(*since) >= QUIET).is_some() && !inner.moved {
            terminal.relief(Trouble::AddressChanged);
        }
        inner.uploading.push(peer);
        Uploading { terminal: self, peer }
    }
}

/// An upload under way.
pub(crate) struct Uploading<'a> {
    terminal: &'a Terminal,
    peer: IpAddr,
}

impl Drop for Uploading<'_> {
    fn drop(&mut self) {
        let mut inner = self.terminal.inner();
        if let Some(at) = inner.uploading.iter().position(|peer| *peer == self.peer) {
            inner.uploading.swap_remove(at);
        }
    }
}
