//! Simulated terminals: real bytes over real sockets and lines, one terminal or a bus with several.
//!
//! For tests, the demo and training. They share nothing with the driver but frames and records, which are held to published
//! bytes by their own tests.
//!
//! ```no_run
//! # async fn f() -> std::io::Result<()> {
//! use driver_anviz::sim::{Model, Simulator};
//! let terminal = Simulator::listen(vec![Model::default()], 0).await?;
//! println!("tcp://{}", terminal.address().unwrap());
//! terminal.punch(0, 1001);
//! # Ok(()) }
//! ```

mod answers;
mod fault;
mod unit;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::MutexGuard,
};

use jiff::{
    SignedDuration,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};

pub use self::fault::{Fault, Harm};
use self::wire::{Push, Shared, State};
use crate::record::{Raw, Record, seconds};

/// Which terminal is simulated.
#[derive(Debug, Clone)]
pub struct Model {
    pub unit: u32,
    pub serial: String,
    pub name: String,
    pub firmware: String,
    /// The zone of its wall clock.
    pub zone: TimeZone,
    /// Where it begins to count seconds.
    pub epoch: Date,
    /// Says nothing at all to questions that it does not know: serial number, model, configuration.
    pub old: bool,
    /// Wants a login first.
    pub login: Option<(String, String)>,
    /// Tells of records as they happen.
    pub live: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            unit: 1,
            serial: "0250100912345678".into(),
            name: "T60".into(),
            firmware: "03.02.21".into(),
            zone: TimeZone::UTC,
            epoch: Date::constant(2000, 1, 2),
            old: false,
            login: None,
            live: true,
        }
    }
}

/// Terminals on one line. Gone when dropped.
pub struct Simulator {
    address: Option<SocketAddr>,
    shared: Shared,
    _servers: JoinSet<()>,
}

impl Simulator {
    /// Terminals behind this port of the loopback address; 0 takes a free one.
    pub async fn listen(models: Vec<Model>, port: u16) -> io::Result<Self> {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = Some(door.local_addr()?);
        let (shared, mut servers) = (State::shared(models), JoinSet::new());
        servers.spawn(wire::accept(door, shared.clone()));
        Ok(Self { address, shared, _servers: servers })
    }

    /// A terminal that dials this address, again and again.
    pub fn dial(model: Model, to: SocketAddr) -> Self {
        let (shared, mut servers) = (State::shared(vec![model]), JoinSet::new());
        servers.spawn(wire::dial(to, shared.clone()));
        Self { address: None, shared, _servers: servers }
    }

    /// Terminals on this line, for as long as it is open.
    pub fn on(models: Vec<Model>, mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (shared, mut servers) = (State::shared(models), JoinSet::new());
        let line = shared.clone();
        servers.spawn(async move {
            // While nobody has the near end open, a pseudo terminal gives errors: it will be opened again.
            while wire::visit(&mut stream, &line).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        Self { address: None, shared, _servers: servers }
    }

    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Somebody punches now, with a card, at the terminal of this number (from 0).
    pub fn punch(&self, terminal: usize, user: u64) {
        let local = self.now(terminal);
        self.punch_at(terminal, user, local, 0x08, 0x80);
    }

    /// The same with a time and codes of one's own.
    pub fn punch_at(&self, terminal: usize, user: u64, local: DateTime, backup: u8, kind: u8) {
        let mut state = self.state();
        let unit = &state.units[terminal];
        let seconds = seconds(local, unit.model.epoch);
        let raw = Record { user, seconds, backup, kind, work_code: 0 }.encode();
        let live = unit.live.then(|| unit.told(&raw));
        state.units[terminal].log.push(raw);
        if let Some(frame) = live {
            state.push(&Push::Bytes(frame));
        }
    }

    /// A record as it is, told live whatever its mode.
    pub fn happen(&self, terminal: usize, raw: &Raw) {
        let mut state = self.state();
        let frame = state.units[terminal].told(raw);
        state.push(&Push::Bytes(frame));
        state.units[terminal].log.push(*raw);
    }

    /// A record as it is, and nobody is told.
    pub fn record(&self, terminal: usize, raw: Raw) {
        self.state().units[terminal].log.push(raw);
    }

    /// So many older records, of five hundred people, a second apart.
    pub fn fill(&self, terminal: usize, records: u32) {
        let start = self.now(terminal);
        let mut state = self.state();
        let unit = &mut state.units[terminal];
        let last = seconds(start, unit.model.epoch).saturating_sub(3600);
        for at in 0..records {
            let (user, seconds) = (u64::from(1000 + at % 500), last - (records - at));
            unit.log.push(Record { user, seconds, backup: 1, kind: 0, work_code: 0 }.encode());
        }
    }

    /// A live record of these bytes, with nothing in the log.
    pub fn tell(&self, terminal: usize, raw: &Raw) {
        let mut state = self.state();
        let frame = state.units[terminal].told(raw);
        state.push(&Push::Bytes(frame));
    }

    /// Bytes to whoever is connected, as they are; how many those are.
    pub fn blurt(&self, bytes: &[u8]) -> usize {
        self.state().push(&Push::Bytes(bytes.to_vec()))
    }

    /// The users that it knows, each with a name.
    pub fn set_users(&self, terminal: usize, users: &[u64]) {
        self.state().units[terminal].users = users.to_vec();
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.state().push(&Push::Close);
    }

    /// Somebody else marks so many records as read.
    pub fn read_by_others(&self, terminal: usize, records: usize) {
        let mut state = self.state();
        let unit = &mut state.units[terminal];
        unit.read = (unit.read + records).min(unit.log.len());
    }

    /// Somebody clears the log at the menu.
    pub fn clear(&self, terminal: usize) {
        let mut state = self.state();
        (state.units[terminal].log, state.units[terminal].read) = (Vec::new(), 0);
    }

    /// Its log was full: it overwrote all but so many of its newest records.
    pub fn overwrite(&self, terminal: usize, keep: usize) {
        let mut state = self.state();
        let unit = &mut state.units[terminal];
        let gone = unit.log.len().saturating_sub(keep);
        unit.log.drain(..gone);
        unit.read = unit.read.saturating_sub(gone);
    }

    /// Takes a terminal from the bus, or puts it back.
    pub fn set_deaf(&self, terminal: usize, deaf: bool) {
        self.state().units[terminal].deaf = deaf;
    }

    /// Somebody exchanges the IDs of two terminals, or their plugs, in no time.
    pub fn swap(&self, terminal: usize, other: usize) {
        let mut state = self.state();
        let units = [terminal, other].map(|at| state.units[at].model.unit);
        (state.units[terminal].model.unit, state.units[other].model.unit) = (units[1], units[0]);
    }

    /// From now on it tells this serial number.
    pub fn set_serial(&self, terminal: usize, serial: &str) {
        self.state().units[terminal].model.serial = serial.to_owned();
    }

    /// Records in its log, and how many of them are marked as read.
    pub fn records(&self, terminal: usize) -> (usize, usize) {
        let state = self.state();
        (state.units[terminal].log.len(), state.units[terminal].read)
    }

    /// From now on its clock is so far from ours.
    pub fn set_clock_offset(&self, terminal: usize, offset: SignedDuration) {
        self.state().units[terminal].offset = offset;
    }

    pub fn clock_offset(&self, terminal: usize) -> SignedDuration {
        self.state().units[terminal].offset
    }

    /// Its wall time.
    pub fn now(&self, terminal: usize) -> DateTime {
        self.state().units[terminal].now()
    }

    /// Whether it tells of records as they happen.
    pub fn is_live(&self, terminal: usize) -> bool {
        self.state().units[terminal].live
    }

    /// How often its door was opened.
    pub fn opened(&self, terminal: usize) -> u32 {
        self.state().units[terminal].opened
    }

    /// Who is connected.
    pub fn connected(&self) -> usize {
        self.state().push(&Push::Bytes(Vec::new()))
    }

    /// Adds a fault; see [`Fault`].
    pub fn harm(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// How its bytes are cut: so many in each write; 0 is all.
    pub fn set_pieces(&self, pieces: usize) {
        self.state().pieces = pieces;
    }

    /// Every question a terminal was asked, in order: command and data.
    pub fn journal(&self, terminal: usize) -> Vec<(u8, Vec<u8>)> {
        self.state().units[terminal].journal.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().expect("no part of the simulator panics while it holds this")
    }
}
