//! A simulated board: real bytes over real sockets, UDP and TCP on one port.
//!
//! For tests, the demo and training. It shares nothing with the driver but packets and dates, which are held to published
//! bytes by their own tests; a client that is not ours is run against it in `tests/peers/uhppote`.
//!
//! ```no_run
//! # async fn f() -> std::io::Result<()> {
//! use driver_uhppote::sim::{Model, Simulator};
//! let board = Simulator::start(Model::default(), 0).await?;
//! println!("udp://{}", board.address());
//! board.swipe(12345678);
//! # Ok(()) }
//! ```

mod answers;
mod fault;
mod state;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, MutexGuard},
};

use jiff::{SignedDuration, civil::DateTime, tz::TimeZone};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

pub use self::{
    fault::{Fault, Harm},
    state::{Entry, Gone},
};
use self::{state::State, wire::Shared};

/// Which board is simulated.
#[derive(Debug, Clone)]
pub struct Model {
    pub serial: u32,
    /// Firmware, two packed decimals.
    pub version: [u8; 2],
    /// The zone of its wall clock.
    pub zone: TimeZone,
    /// Events that its ring holds.
    pub capacity: usize,
    /// The index of its first event.
    pub first: u32,
    /// Live events begin with 0x19, as those of firmware 6.62 do.
    pub old_events: bool,
    /// Asked for an event beyond the newest one, it gives the newest one.
    pub clamps: bool,
    /// What it answers when an event is not in its ring any more.
    pub gone: Gone,
    /// TCP: so many bytes in each write; 0 is all.
    pub pieces: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            serial: 405_419_896,
            version: [0x08, 0x92],
            zone: TimeZone::UTC,
            capacity: 100_000,
            first: 1,
            old_events: false,
            clamps: false,
            gone: Gone::Overwritten,
            pieces: 0,
        }
    }
}

/// A board on loopback. Gone when dropped.
pub struct Simulator {
    address: SocketAddr,
    shared: Shared,
    socket: Arc<UdpSocket>,
    _servers: JoinSet<()>,
}

impl Simulator {
    /// Starts one at this port of the loopback address; 0 takes a free one.
    pub async fn start(model: Model, port: u16) -> io::Result<Self> {
        let (tcp, udp) = bind(port).await?;
        let address = tcp.local_addr()?;
        let shared = Shared::new(State::new(model).into());
        let socket = Arc::new(udp);
        let mut servers = JoinSet::new();
        servers.spawn(wire::serve_udp(socket.clone(), shared.clone()));
        servers.spawn(wire::serve_tcp(tcp, shared.clone()));
        Ok(Self { address, shared, socket, _servers: servers })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Somebody holds a card to reader 1 of door 1, now, and is let in.
    pub fn swipe(&self, card: u32) {
        let local = self.now();
        self.record(Entry { card, local, ..Entry::default() });
    }

    /// An event: into the ring, and told live to the listener that was set.
    pub fn record(&self, entry: Entry) {
        let (datagram, listener) = {
            let mut state = self.state();
            state.record(entry);
            (state.live_event(), state.listener)
        };
        self.send(&datagram, listener);
    }

    /// An event whose datagram is lost.
    pub fn record_unheard(&self, entry: Entry) {
        self.state().record(entry);
    }

    /// Events whose datagrams are lost, all at one moment.
    pub fn record_all(&self, entries: impl IntoIterator<Item = Entry>) {
        let entries: Vec<Entry> = entries.into_iter().collect(); // may ask us for the time
        let mut state = self.state();
        entries.into_iter().for_each(|entry| state.record(entry));
    }

    /// Tells its newest event again.
    pub fn tell_again(&self) {
        let (datagram, listener) = {
            let state = self.state();
            (state.live_event(), state.listener)
        };
        self.send(&datagram, listener);
    }

    /// These bytes to its listener, as they are.
    pub fn blurt(&self, bytes: &[u8]) {
        let listener = self.state().listener;
        self.send(bytes, listener);
    }

    fn send(&self, bytes: &[u8], listener: Option<SocketAddr>) {
        if let Some(listener) = listener {
            // A datagram may get lost, here too.
            let _ = self.socket.try_send_to(bytes, listener);
        }
    }

    /// The factory's settings: its ring is empty and begins at 1 again, its index and its listener are gone.
    pub fn reset(&self) {
        self.state().reset();
    }

    /// The same, and by the time that somebody looks these events are in its ring.
    pub fn reset_with(&self, entries: impl IntoIterator<Item = Entry>) {
        let entries: Vec<Entry> = entries.into_iter().collect(); // may ask us for the time
        let mut state = self.state();
        state.reset();
        entries.into_iter().for_each(|entry| state.record(entry));
    }

    /// Some of its memory is spoilt: these events are gone from the middle of the ring.
    pub fn spoil(&self, indexes: std::ops::RangeInclusive<u32>) {
        self.state().ring.retain(|(index, _)| !indexes.contains(index));
    }

    /// From now on a copy of each datagram comes so much later than the first, and each answer takes a little longer than that:
    /// the copy arrives when the next question is on its way. Not at all if nothing.
    pub fn double(&self, after: Option<std::time::Duration>) {
        self.state().doubled = after;
    }

    /// What its ring holds, oldest first, each with its index.
    pub fn ring(&self) -> Vec<(u32, Entry)> {
        self.state().ring.iter().cloned().collect()
    }

    /// The index that it keeps for whoever reads it.
    pub fn index(&self) -> u32 {
        self.state().index
    }

    pub fn set_listener(&self, listener: Option<SocketAddr>) {
        self.state().listener = listener;
    }

    pub fn listener(&self) -> Option<SocketAddr> {
        self.state().listener
    }

    /// From now on its clock is so far from ours; nothing: it has no date at all.
    pub fn set_clock_offset(&self, offset: Option<SignedDuration>) {
        self.state().offset = offset;
    }

    pub fn clock_offset(&self) -> Option<SignedDuration> {
        self.state().offset
    }

    /// Its wall time.
    pub fn now(&self) -> DateTime {
        self.state().now().unwrap_or(DateTime::constant(2000, 1, 1, 0, 0, 0, 0))
    }

    /// How often each door, from door 1, was opened from afar.
    pub fn opened(&self) -> [u32; 4] {
        self.state().opened
    }

    /// The cards that it knows, by place; 0 where one was deleted.
    pub fn set_cards(&self, cards: &[u32]) {
        self.state().cards = cards.to_vec();
    }

    /// Adds a fault; see [`Fault`].
    pub fn harm(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Every function it was asked for, in order.
    pub fn journal(&self) -> Vec<u8> {
        self.state().journal.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().expect("no part of the simulator panics while it holds this")
    }
}

/// The same port for both, so that an address can be written without saying which.
async fn bind(port: u16) -> io::Result<(TcpListener, UdpSocket)> {
    let mut tries = 0;
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((tcp, udp)),
            Err(_) if port == 0 && tries < 20 => tries += 1, // free for TCP and taken for UDP: try another
            Err(error) => return Err(error),
        }
    }
}
