//! A simulated terminal: real bytes over real sockets, in every form that terminals are known to speak.
//!
//! For tests, the demo and training. It shares nothing with the driver but the pure parts (frames, times, the key), which
//! are held to published bytes by their own tests; two clients that are not ours are run against it in `tests/peers/zk`.
//!
//! ```no_run
//! # async fn f() -> std::io::Result<()> {
//! use driver_zk::sim::{Model, Simulator};
//! let terminal = Simulator::start(Model { comm_key: 1234, ..Model::default() }, 0).await?;
//! println!("tcp://{}", terminal.address());
//! terminal.add_user(1, "1001", "Ana");
//! terminal.punch("1001");
//! # Ok(()) }
//! ```

mod answers;
mod encode;
mod fault;
mod model;
mod state;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
};

use jiff::{SignedDuration, civil::DateTime};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

pub use self::{
    fault::{Fault, Harm},
    model::{Bulk, Cutting, EventForm, Model, Second},
};
use self::{
    state::{Push, State, User},
    wire::Shared,
};
use crate::record::Form;

/// A terminal on loopback, TCP and UDP on one port. Gone when dropped.
pub struct Simulator {
    address: SocketAddr,
    shared: Shared,
    _servers: JoinSet<()>,
}

impl Simulator {
    /// Starts one at this port of the loopback address; 0 takes a free one.
    pub async fn start(model: Model, port: u16) -> io::Result<Self> {
        let (tcp, udp) = bind(port).await?;
        let address = tcp.local_addr()?;
        let shared: Shared = Arc::new(Mutex::new(State::new(model)));
        let mut servers = JoinSet::new();
        servers.spawn(wire::serve_tcp(tcp, shared.clone()));
        servers.spawn(wire::serve_udp(udp, shared.clone()));
        Ok(Self { address, shared, _servers: servers })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Somebody punches now: into the log, and told live to whoever registered.
    pub fn punch(&self, person: &str) {
        let now = self.state().now();
        self.punch_at(person, now, 1, 0);
    }

    /// The same with a time and codes of one's own.
    pub fn punch_at(&self, person: &str, local: DateTime, verify: u8, state: u8) {
        let mut terminal = self.state();
        terminal.record(person, local, verify, state);
        let event = terminal.event(person, local, verify, state);
        terminal.tell(&event);
    }

    /// Somebody punches, and the event gets lost.
    pub fn punch_unheard(&self, person: &str) {
        let mut terminal = self.state();
        let now = terminal.now();
        terminal.record(person, now, 1, 0);
    }

    /// An event of these bytes, with nothing in the log.
    pub fn tell(&self, event: &[u8]) {
        self.state().tell(event);
    }

    /// Adds so many older records, of five hundred people, ten seconds apart and the last one an hour old.
    pub fn fill(&self, records: usize) {
        self.state().fill(records);
    }

    /// Appends bytes to the log as they are.
    pub fn append_raw(&self, record: &[u8]) {
        self.state().log.extend_from_slice(record);
    }

    /// Empties the log, as a person at the menu may.
    pub fn clear_log(&self) {
        self.state().log.clear();
    }

    /// Takes the oldest records away, as a full log does.
    pub fn overwrite(&self, records: usize) {
        let mut terminal = self.state();
        let bytes = (records * terminal.model.form.size()).min(terminal.log.len());
        terminal.log.drain(..bytes);
    }

    /// The log as it lies in the terminal.
    pub fn log(&self) -> Vec<u8> {
        self.state().log.clone()
    }

    /// How many records its log holds.
    pub fn records(&self) -> usize {
        let terminal = self.state();
        terminal.log.len() / terminal.model.form.size()
    }

    pub fn add_user(&self, uid: u16, id: &str, name: &str) {
        let mut terminal = self.state();
        let mut raw = Vec::new();
        encode::user(&mut raw, terminal.model.long_users, uid, id, name);
        terminal.users.push(User { uid, id: id.to_owned(), raw });
    }

    pub fn remove_user(&self, uid: u16) {
        self.state().users.retain(|user| user.uid != uid);
    }

    /// Entries of its user list, as they lie there.
    pub fn users(&self) -> Vec<Vec<u8>> {
        self.state().users.iter().map(|user| user.raw.clone()).collect()
    }

    /// Whether it lets people punch.
    pub fn is_open(&self) -> bool {
        !self.state().closed
    }

    /// What its screen shows.
    pub fn screen(&self) -> String {
        self.state().screen.clone()
    }

    /// From now on its clock is so far from ours.
    pub fn set_clock_offset(&self, offset: SignedDuration) {
        self.state().offset = offset;
    }

    pub fn clock_offset(&self) -> SignedDuration {
        self.state().offset
    }

    /// Its wall time.
    pub fn now(&self) -> DateTime {
        self.state().now()
    }

    /// From now on it lies about how many records it holds.
    pub fn claim_records(&self, count: Option<u32>) {
        self.state().claimed = count;
    }

    /// Adds a fault; see [`Fault`].
    pub fn harm(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Changes what it is, from the next packet on.
    pub fn change(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.state().model);
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.state().push_all(&Push::Close);
    }

    /// Sends these bytes, as they are, to all who are connected by TCP; how many they were.
    pub fn blurt(&self, bytes: &[u8]) -> usize {
        let mut terminal = self.state();
        terminal.push_all(&Push::Bytes(bytes.to_vec()));
        terminal.visitors.len()
    }

    /// The power fails and comes back: connections are dead and nobody says so, since a rebooted terminal sends no FIN.
    pub fn reboot(&self) {
        self.state().push_all(&Push::Die);
    }

    /// Every command received, in order.
    pub fn journal(&self) -> Vec<u16> {
        self.state().journal.clone()
    }

    /// Bytes of users and log that it sent in chunks, or in the old way.
    pub fn bulk_bytes(&self) -> usize {
        self.state().bulk_bytes
    }

    /// Events that were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.state().acknowledged
    }

    /// Who is connected, logged in or not.
    pub fn connected(&self) -> usize {
        self.state().visitors.len()
    }

    /// Who gets live punches.
    pub fn listeners(&self) -> usize {
        self.state().visitors.values().filter(|visitor| visitor.registered).count()
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

impl Model {
    /// What a terminal with records of this form usually speaks besides.
    pub fn of(form: Form) -> Self {
        let (event, long_users) = match form {
            Form::A8 | Form::B8 => (EventForm::Short10, false),
            Form::Number16 => (EventForm::Long12, false),
            Form::Text(40) => (EventForm::Text(32), true),
            Form::Text(_) => (EventForm::Text(52), true),
        };
        Self { form, event, long_users, ..Self::default() }
    }
}
