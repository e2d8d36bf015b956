//! One reader on a bus: its session with the library.

mod judged;
mod told;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use driver_api::{Raw, Store, Terminal, Trouble};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use libosdp::{ControlPanel, ControlPanelBuilder, OsdpCommand, OsdpEvent, OsdpFlag, PdInfoBuilder};
use tokio::time::Instant;

use crate::{
    card::Keys,
    settings::Settings,
    wire::{Seen, Tap, Wire, lock},
};

/// A command that was not answered within this will not be.
const ANSWER: Duration = Duration::from_millis(230);
/// Without a word for so long, a reader is away; on a full bus a round alone takes a while, and the standard allows eight
/// seconds.
const SILENCE: Duration = Duration::from_secs(3);
const SILENCE_EACH: Duration = Duration::from_millis(250);

/// What makes two punches of one second equal: person, reader, format.
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
    silence: Duration,
    failures: u32,
    pub(crate) online: bool,
    why: String,
    began: Instant,
    up_since: Option<Instant>,
    drops: u64,
    /// When its session broke off.
    broke: Option<Instant>,
    keys: Vec<(i32, Keys)>,
    counted: VecDeque<(Key, DateTime, u32)>,
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

impl Reader {
    pub(crate) fn new(
        settings: Settings,
        zone: TimeZone,
        terminal: Terminal,
        wire: Arc<Mutex<Wire>>,
        neighbours: u32,
    ) -> Self {
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
            silence: SILENCE.max(SILENCE_EACH * neighbours),
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
        // The library keeps the channel of each session for ever, some hundred bytes: what was seen is not kept along.
        let seen = std::mem::take(&mut *lock(&self.seen)).renewed();
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
            "answers_of_others": seen.foreign,
            "bytes_nobody_asked_for": lock(&self.wire).unasked,
            "round_trip_ms": seen.round_trip_ms,
        })
    }
}
