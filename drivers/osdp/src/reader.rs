//! One reader on a bus: its session with the library, what it told, and what is to be said of it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use driver_api::{
    Batch, Clock, ClockSource, Direction, DirectionMark, Mark, Origin, Punch, Raw, Report, SetAside, Store, Terminal,
    Trouble, VerifyMark,
};
use jiff::{Timestamp, tz::TimeZone};
use libosdp::{
    ControlPanel, ControlPanelBuilder, OsdpCardFormats, OsdpCommand, OsdpEvent, OsdpFlag, OsdpStatusReport,
    OsdpStatusReportType, PdInfoBuilder,
};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    card::{self, Keys},
    settings::Settings,
    wire::{Security, Seen, Tap, Wire, lock},
};

/// A session that does not come about is begun anew after so long, then twice as long, and so on: the library itself gives a
/// reader up for five minutes.
const AGAIN: (Duration, u32) = (Duration::from_secs(5), 6);
/// A session that broke off is begun anew after so long.
const BREATH: Duration = Duration::from_millis(500);
/// A command that was not answered within this will not be.
const ANSWER: Duration = Duration::from_millis(230);
/// Without a word for so long, a reader is away.
const SILENCE: Duration = Duration::from_secs(3);
/// Its tamper switch and its power are asked for this often, beside what it tells by itself.
const STATUS_EVERY: Duration = Duration::from_secs(30);
/// Signs of life are told this often.
const TOLD_EVERY: Duration = Duration::from_secs(20);
/// Without a broken frame for so long the line is well again.
const QUIET: Duration = Duration::from_secs(20);
/// Broken frames among which a line is called noisy.
const NOISY: u64 = 3;
/// Punches of which second and count are known.
const REMEMBERED: usize = 1024;

type Key = (String, Option<Raw>, Option<Raw>);

pub(crate) struct Reader {
    pub(crate) terminal: Terminal,
    settings: Settings,
    zone: TimeZone,
    store: Store,
    wire: Arc<Mutex<Wire>>,
    seen: Arc<Mutex<Seen>>,
    session: Option<Session>,
    pairing: bool,
    failures: u32,
    pub(crate) online: bool,
    why: String,
    began: Instant,
    up_since: Option<Instant>,
    drops: u64,
    /// When its session broke off.
    broke: Option<Instant>,
    keys: Vec<(i32, Keys)>,
    counted: VecDeque<(Key, jiff::civil::DateTime, u32)>,
    told: Option<Instant>,
    asked_status: Instant,
    noise: (u64, Instant),
    noisy: bool,
    pub(crate) stored: u64,
    refused: u64,
}

/// The library's part, and where its events arrive.
struct Session {
    panel: ControlPanel,
    events: mpsc::Receiver<OsdpEvent>,
}

/// A whole number of seconds.
fn second(at: Timestamp, zone: &TimeZone) -> jiff::civil::DateTime {
    let local = at.to_zoned(zone.clone()).datetime();
    local.with().subsec_nanosecond(0).build().unwrap_or(local)
}

impl Reader {
    pub(crate) fn new(settings: Settings, zone: TimeZone, terminal: Terminal, wire: Arc<Mutex<Wire>>) -> Self {
        let store = terminal.store(settings.serial.as_deref().unwrap_or(terminal.name()));
        let now = Instant::now();
        if settings.key.is_none() {
            let cause = "its line is plain text (insecure = true): anybody on the cable can read and make punches";
            terminal.trouble(Trouble::UnsafeKey, cause);
        }
        Self {
            terminal,
            settings,
            zone,
            store,
            wire,
            seen: Arc::default(),
            session: None,
            pairing: false,
            failures: 0,
            online: false,
            why: String::new(),
            began: now,
            up_since: None,
            drops: 0,
            broke: None,
            keys: Vec::new(),
            counted: VecDeque::new(),
            told: None,
            asked_status: now,
            noise: (0, now),
            noisy: false,
            stored: 0,
            refused: 0,
        }
    }

    /// Begins its session anew: after the line was opened, after a failure, when pairing begins or ends.
    pub(crate) fn begin(&mut self) {
        self.session = None;
        let seen = lock(&self.seen).renewed();
        self.seen = Arc::new(Mutex::new(seen));
        self.broke = None;
        self.began = Instant::now();
        self.pairing = self.settings.pair_until.is_some_and(|until| until > Timestamp::now());
        // Beyond these checks of ours the library has none to fail with.
        self.session = self.new_session();
        if self.session.is_none() {
            self.offline("the library refused this reader's settings");
        }
    }

    fn new_session(&self) -> Option<Session> {
        let mut info = PdInfoBuilder::new().name(&format!("pd-{}", self.settings.unit)).ok()?;
        info = info.address(self.settings.unit.into()).ok()?.baud_rate(9600).ok()?.flag(OsdpFlag::IgnoreUnsolicited);
        if let Some(key) = &self.settings.key {
            info = info.secure_channel_key(key.0);
            // While it is paired the library may use the factory's key, and at once gives it ours over that.
            if !self.pairing {
                info = info.flag(OsdpFlag::EnforceSecure);
            }
        }
        let tap = Tap { address: self.settings.unit, wire: self.wire.clone(), seen: self.seen.clone() };
        let mut panel = ControlPanelBuilder::new().add_channel(Box::new(tap), vec![info]).build().ok()?;
        let (told, events) = mpsc::channel();
        panel.set_event_callback(move |_, event| {
            // Fails only when the session is over, and then nobody wants it.
            let _ = told.send(event);
            0
        });
        Some(Session { panel, events })
    }

    /// Gives it its turn; whether it has asked something.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(session) = &mut self.session else { return false };
        let before = lock(&self.seen).asked;
        session.panel.refresh();
        lock(&self.seen).asked != before
    }

    /// Whether the bus is free of it: it was answered, or will not be.
    pub(crate) fn is_done(&self) -> bool {
        let seen = lock(&self.seen);
        seen.answered || seen.asked.is_none_or(|asked| asked.elapsed() > ANSWER)
    }

    fn is_secure(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.panel.is_sc_active(0))
    }

    /// What it told since the last turn, as punches. Nothing is believed outside of the secure channel, where there is one to be.
    pub(crate) fn take(&mut self) -> Batch {
        let mut batch = Batch::default();
        let events: Vec<OsdpEvent> =
            self.session.as_ref().map(|session| session.events.try_iter().collect()).unwrap_or_default();
        let trusted = self.settings.key.is_none() || self.is_secure();
        let now = Instant::now();
        for event in events {
            if !trusted {
                self.refused += 1;
                let cause = format!("it told {} events outside of the secure channel; none was taken", self.refused);
                self.terminal.trouble(Trouble::ChannelUnsafe, cause);
                continue;
            }
            match event {
                OsdpEvent::CardRead(read) => {
                    let wiegand = read.format == OsdpCardFormats::Wiegand;
                    match card::person(wiegand, read.nr_bits, &read.data, self.settings.show) {
                        Ok(person) => {
                            let punch = self.punch(person, card::by_card(wiegand), read.reader_no);
                            batch.punches.push(punch);
                        }
                        Err(reason) => batch.set_aside.push(SetAside {
                            raw: format!("{wiegand} {} {}", read.nr_bits, data_encoding::HEXUPPER.encode(&read.data))
                                .into_bytes(),
                            reason,
                            nth: 1,
                        }),
                    }
                }
                OsdpEvent::KeyPress(press) if self.settings.keys => {
                    let at = self.keys.iter().position(|(reader, _)| *reader == press.reader_no);
                    // A reader has a keypad or two: whoever counts further makes them up.
                    let at = match at {
                        Some(at) => at,
                        None if self.keys.len() < 8 => {
                            self.keys.push((press.reader_no, Keys::default()));
                            self.keys.len() - 1
                        }
                        None => continue,
                    };
                    for person in self.keys[at].1.press(&press.data, now) {
                        let punch = self.punch(person, card::by_keys(), press.reader_no);
                        batch.punches.push(punch);
                    }
                }
                OsdpEvent::Status(report) => self.status(&report),
                OsdpEvent::KeyPress(_) | OsdpEvent::MfgReply(_) => {}
            }
        }
        for at in 0..self.keys.len() {
            let reader = self.keys[at].0;
            if let Some(person) = self.keys[at].1.expire(now) {
                let punch = self.punch(person, card::by_keys(), reader);
                batch.punches.push(punch);
            }
        }
        batch
    }

    fn punch(&mut self, person: String, verify: VerifyMark, reader: i32) -> Punch {
        let local = second(Timestamp::now(), &self.zone);
        let value = u8::try_from(reader).ok().and_then(|reader| self.settings.directions.get(&reader).copied());
        let direction: DirectionMark =
            Mark { value: value.unwrap_or(Direction::Unknown), raw: Some(Raw::Number(reader.into())) };
        let key: Key = (person.clone(), direction.raw.clone(), verify.raw.clone());
        let equal = self.counted.iter().filter(|(other, at, _)| *other == key && *at == local);
        let nth = equal.map(|(.., nth)| *nth).max().unwrap_or(0) + 1;
        self.counted.push_back((key, local, nth));
        if self.counted.len() > REMEMBERED {
            self.counted.pop_front();
        }
        // Our own clock, late by a round of the bus.
        let clock = Clock { skew_ms: Some(0), err_ms: Some(1000), how: ClockSource::Arrival };
        Punch {
            person,
            local,
            zone: None,
            direction,
            verify,
            work_code: None,
            native: None,
            nth,
            origin: Origin::Live,
            clock,
            flags: Vec::new(),
        }
    }

    /// Tamper switch and power, the first two of its own status.
    fn status(&mut self, report: &OsdpStatusReport) {
        if !matches!(report.type_, OsdpStatusReportType::Local) {
            return;
        }
        let told =
            [(Trouble::Tampered, "its tamper switch is open"), (Trouble::PowerFailing, "its power supply fails")];
        for (at, (trouble, cause)) in told.into_iter().enumerate().take(report.nr_entries) {
            match report.report[at] {
                0 => self.terminal.relief(trouble),
                _ => self.terminal.trouble(trouble, cause),
            }
        }
    }

    /// The batch is on disk.
    pub(crate) fn is_stored(&mut self, batch: &Batch) {
        self.stored += batch.punches.len() as u64;
        if let Some(raw) = batch.set_aside.first() {
            self.terminal.trouble(Trouble::RecordsSetAside, raw.reason.clone());
        }
        if self.settings.confirm && !batch.punches.is_empty() {
            for command in crate::bus::signal(Some(driver_api::Light::Green), 1, 1) {
                // A queue that is full of signals needs no other one.
                let _ = self.command(command);
            }
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn command(&mut self, command: OsdpCommand) -> Result<(), libosdp::OsdpError> {
        match &mut self.session {
            Some(session) => session.panel.send_command(0, command),
            None => Err(libosdp::OsdpError::Command),
        }
    }

    /// The answer to a command since `after` answers.
    pub(crate) fn answer_to(&self, code: u8, after: u64) -> Option<u8> {
        let seen = lock(&self.seen);
        let fresh = (seen.answers - after.min(seen.answers)) as usize;
        seen.log.iter().rev().take(fresh).find(|(command, _)| *command == code).map(|(_, reply)| *reply)
    }

    pub(crate) fn answers(&self) -> u64 {
        lock(&self.seen).answers
    }

    /// Looks how it is, and says what changed. To be called some times a second.
    pub(crate) fn judge(&mut self) {
        let Some(session) = &self.session else { return };
        let online = session.panel.is_online(0) && (self.settings.key.is_none() || session.panel.is_sc_active(0));
        let (security, heard, answers, broken, round_trip) = {
            let seen = lock(&self.seen);
            (seen.security, seen.heard, seen.answers, seen.broken, seen.round_trip_ms)
        };
        let silent = heard.map_or(self.began, |heard| heard).elapsed();
        self.judge_noise(broken);
        if self.pairing && online {
            // It has its key: from now on nothing else will do. Whoever is shown before that is shown too soon.
            info!(terminal = self.terminal.name(), "paired");
            self.terminal.relief(Trouble::UnsafeKey);
            self.settings.pair_until = None;
            return self.begin();
        }
        if online && silent < SILENCE {
            if !self.online {
                self.up(security);
            }
            self.tell(round_trip);
        } else if self.online {
            self.drops += 1;
            let why = if silent >= SILENCE { "it does not answer any more" } else { "its session broke off" };
            // One wrong bit ends the library's session; the next one may be well.
            self.broke = (silent < SILENCE).then(Instant::now);
            let secure = self.settings.key.is_some() && silent < SILENCE;
            if secure {
                let cause =
                    format!("the secure channel broke off, {} times so far: a bad line, or somebody in it", self.drops);
                self.terminal.trouble(Trouble::ChannelUnsafe, cause);
            }
            self.offline(why);
        } else if self.began.elapsed() > SILENCE {
            let (why, unsafe_channel) = self.why_not(security, answers, broken);
            if unsafe_channel {
                self.terminal.trouble(Trouble::ChannelUnsafe, why.clone());
            }
            self.offline(&why);
        }
        if let Some(until) = self.settings.pair_until {
            let open = until > Timestamp::now();
            if open && self.began.elapsed() < Duration::from_millis(300) {
                self.terminal.trouble(Trouble::UnsafeKey, format!("it may be given its key until {until}"));
            }
            // The window is over.
            if self.pairing && !open {
                self.terminal.relief(Trouble::UnsafeKey);
                self.settings.pair_until = None;
                return self.begin();
            }
        }
        self.begin_again();
    }

    /// Why there is no session, and whether that is for want of a secure channel.
    fn why_not(&self, security: Security, answers: u64, broken: u64) -> (String, bool) {
        let unit = self.settings.unit;
        let secure = self.settings.key.is_some();
        match (answers, security) {
            (0, _) if broken > 0 => (
                format!("nothing at address {unit} can be read: wrong speed, or a bad line ({broken} broken frames)"),
                false,
            ),
            (0, _) => (format!("nobody answers at address {unit}"), false),
            (_, Security::NotAsked) if secure => {
                (format!("the reader at address {unit} offers no secure channel, or somebody hides it"), true)
            }
            (_, Security::Refused) if secure => (format!("the reader at address {unit} refuses our key"), true),
            (_, Security::Challenged | Security::Agreed) if secure => {
                (format!("the reader at address {unit} does not have our key"), true)
            }
            _ => (format!("the reader at address {unit} answers, but no session comes about"), false),
        }
    }

    fn begin_again(&mut self) {
        if self.online {
            return;
        }
        let (pause, most) = AGAIN;
        if self.broke.is_some_and(|broke| broke.elapsed() > BREATH) {
            return self.begin();
        }
        // Beyond these the library's own five minutes hold: each new session leaves some bytes of memory behind.
        if self.failures < most && self.began.elapsed() > pause * (1 << self.failures) {
            self.failures += 1;
            self.begin();
        }
    }

    /// Somebody who was away is back: so may this one be.
    pub(crate) fn encourage(&mut self) {
        if !self.online && self.began.elapsed() > AGAIN.0 {
            self.failures = 0;
        }
    }

    fn up(&mut self, security: Security) {
        self.online = true;
        self.failures = 0;
        self.up_since = Some(Instant::now());
        self.why.clear();
        let Some(session) = &self.session else { return };
        let (mut model, mut firmware) = (String::new(), String::new());
        if let Ok(id) = session.panel.get_pd_id(0) {
            model = format!(
                "vendor {:02X}{:02X}{:02X}, model {}",
                id.vendor_code.0, id.vendor_code.1, id.vendor_code.2, id.model
            );
            firmware = format!("{}.{}.{}", id.firmware_version.0, id.firmware_version.1, id.firmware_version.2);
        }
        let platform = match (self.settings.key.is_some(), security) {
            (true, _) => "OSDP, secure channel",
            _ => "OSDP, plain text",
        };
        let serial = self.store.serial().to_owned();
        self.terminal.report(Report::Identity { serial, model, firmware, platform: platform.into() });
        self.terminal.online();
        info!(terminal = self.terminal.name(), unit = self.settings.unit, platform, "served");
        self.ask_status();
    }

    fn ask_status(&mut self) {
        self.asked_status = Instant::now();
        let report = OsdpStatusReport { type_: OsdpStatusReportType::Local, nr_entries: 0, report: [0; 64] };
        // Asked again in half a minute.
        let _ = self.command(OsdpCommand::Status(report));
    }

    fn tell(&mut self, round_trip: u64) {
        if self.told.is_none_or(|told| told.elapsed() > TOLD_EVERY) {
            self.told = Some(Instant::now());
            self.terminal.report(Report::RoundTrip { ms: round_trip });
        }
        if self.up_since.is_some_and(|since| since.elapsed() > Duration::from_secs(2)) {
            self.terminal_is_well();
        }
        if self.asked_status.elapsed() > STATUS_EVERY {
            self.ask_status();
        }
    }

    /// It has been served for a while.
    fn terminal_is_well(&mut self) {
        self.up_since = None;
        self.terminal.relief(Trouble::ChannelUnsafe);
    }

    fn judge_noise(&mut self, broken: u64) {
        let (before, since) = self.noise;
        if broken >= before + NOISY {
            self.noise = (broken, Instant::now());
            self.noisy = true;
            self.terminal.report(Report::FailedRead { why: "a frame was broken".into() });
            self.terminal.trouble(Trouble::LineNoisy, format!("{broken} broken frames so far"));
        } else if self.noisy && since.elapsed() > QUIET {
            self.noisy = false;
            self.terminal.relief(Trouble::LineNoisy);
        }
    }

    /// It is not served, for this reason.
    pub(crate) fn offline(&mut self, why: &str) {
        if self.online || self.why != why {
            warn!(terminal = self.terminal.name(), why, "not served");
            self.terminal.offline(why);
            self.why = why.to_owned();
        }
        self.online = false;
        self.up_since = None;
    }

    /// The line is gone, and its session with it.
    pub(crate) fn end(&mut self, why: &str) {
        self.session = None;
        self.failures = 0;
        self.offline(why);
    }

    pub(crate) fn info(&self) -> serde_json::Value {
        let seen = lock(&self.seen);
        serde_json::json!({
            "unit": self.settings.unit,
            "online": self.online,
            "secure": self.is_secure(),
            "why_not": self.why,
            "pairing": self.pairing,
            "stored": self.stored,
            "refused_outside_of_the_channel": self.refused,
            "sessions_lost": self.drops,
            "answers": seen.answers,

            "unanswered": seen.unanswered,
            "broken_frames": seen.broken,
            "bytes_nobody_asked_for": lock(&self.wire).unasked,
            "round_trip_ms": seen.round_trip_ms,
        })
    }
}
