//! Simulated push terminals: both dialects, over real sockets, with the habits of real ones.
//!
//! A terminal keeps a record until it has read `OK` for it; on anything else it sends it again, with what came since in
//! the same upload. It starts with a handshake, polls for commands, and carries them out. Faults are put in by hand:
//! requests that end in the middle, answers that are never read, rubbish, a terminal that does not send by itself what
//! it recorded while nobody listened.

mod answers;
mod http;
mod life;
mod log;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::{civil::DateTime, tz::TimeZone};
use tokio::{sync::Notify, task::JoinHandle};

use self::log::Log;
pub use self::log::Record;

/// What a simulated terminal is.
#[derive(Debug, Clone)]
pub struct Model {
    pub serial: String,
    /// The gateway.
    pub server: SocketAddr,
    /// Security dialect instead of attendance.
    pub security: bool,
    /// Records in one upload, at most.
    pub batch: usize,
    /// Between two polls; a real one takes it from the handshake's `Delay`.
    pub poll: Duration,
    /// Until it tries again after a failure; a real one takes it from `ErrorDelay`.
    pub retry: Duration,
    /// Its connections stay open.
    pub keep_alive: bool,
    /// Older firmware: it really goes on from the stamp that the handshake tells.
    pub resumes_by_stamp: bool,
    /// A record is gone from its log once `OK` came for it: whoever said `OK` too early has lost it for good.
    pub forgets: bool,
    /// The zone of its wall.
    pub zone: TimeZone,
    /// `pushver` in its handshake.
    pub version: &'static str,
    /// Numbers of its users.
    pub users: Vec<String>,
}

impl Model {
    pub fn new(serial: impl Into<String>, server: SocketAddr) -> Self {
        Self {
            serial: serial.into(),
            server,
            security: false,
            batch: 100,
            poll: Duration::from_millis(200),
            retry: Duration::from_millis(50),
            keep_alive: false,
            resumes_by_stamp: false,
            forgets: false,
            zone: TimeZone::UTC,
            version: "2.4.1",
            users: Vec::new(),
        }
    }

    pub fn security(self) -> Self {
        Self { security: true, version: "3.1.2", ..self }
    }
}

/// What shall go wrong with the next upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It ends in the middle of its body.
    CutRequest,
    /// It is whole, and the terminal hangs up without reading the answer.
    HangUp,
}

/// A terminal at work. It stops when this is dropped.
#[derive(Debug)]
pub struct PushTerminal {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    model: Model,
    state: Mutex<State>,
    /// Something is to be sent.
    news: Notify,
    /// The connection of the moment breaks.
    cut: Notify,
}

#[derive(Debug, Default)]
struct State {
    log: Log,
    /// Number, with name and card.
    users: BTreeMap<String, (String, String)>,
    faults: Vec<Fault>,
    garbage: Vec<Vec<u8>>,
    /// What the last handshake told.
    options: String,
    handshakes: usize,
    /// Commands that it was given, as text.
    commands: Vec<String>,
    /// Answers other than 200.
    refusals: usize,
    switched_off: bool,
    /// Where the gateway is now, when not where the model has it.
    moved_to: Option<SocketAddr>,
}

impl PushTerminal {
    /// Switches a terminal on. The gateway need not be there yet.
    pub fn start(model: Model) -> Self {
        let users = model.users.iter().map(|pin| (pin.clone(), <_>::default())).collect();
        let state = State { log: Log::new(model.forgets), users, ..State::default() };
        let shared = Arc::new(Shared { model, state: Mutex::new(state), news: Notify::new(), cut: Notify::new() });
        let task = tokio::spawn(life::live(shared.clone()));
        Self { shared, task }
    }

    /// The time on its wall, in whole seconds.
    pub fn now(&self) -> DateTime {
        crate::when::now_in(&self.shared.model.zone, jiff::Timestamp::now())
    }

    /// Somebody punches now.
    pub fn punch(&self, person: &str) {
        self.record(Record::new(person, self.now()));
    }

    /// A record comes into the log.
    pub fn record(&self, record: Record) {
        self.shared.state().log.push(record, true);
        self.shared.news.notify_one();
    }

    /// A record that it keeps, and does not send by itself.
    pub fn record_silently(&self, record: Record) {
        self.shared.state().log.push(record, false);
    }

    /// Records since long ago, one every ten seconds up to `last`, as after an outage.
    pub fn backlog(&self, count: usize, last: DateTime) {
        let mut state = self.shared.state();
        for at in (0..count).rev() {
            let ago = jiff::Span::new().seconds(10 * i64::try_from(at).unwrap_or(0));
            let time = last.checked_sub(ago).unwrap_or(last);
            state.log.push(Record::new(format!("{}", 1000 + at % 97), time), true);
        }
        drop(state);
        self.shared.news.notify_one();
    }

    /// It sends everything again that it ever recorded.
    pub fn resend_all(&self) {
        self.shared.state().log.forget_answers();
        self.shared.news.notify_one();
    }

    /// How many records it may have forgotten, because `OK` came for them.
    pub fn acknowledged(&self) -> usize {
        self.shared.state().log.acknowledged()
    }

    pub fn recorded(&self) -> usize {
        self.shared.state().log.len()
    }

    /// The next uploads go wrong like this.
    pub fn fault(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// Breaks the connection of the moment.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// These bytes come before anything else: alone on a connection, and as the body of an upload.
    pub fn garbage(&self, bytes: &[u8]) {
        self.shared.state().garbage.push(bytes.to_vec());
        self.shared.news.notify_one();
    }

    /// From now on it finds the gateway there.
    pub fn dial(&self, server: SocketAddr) {
        self.shared.state().moved_to = Some(server);
        self.shared.cut.notify_waiters();
    }

    /// Off: it neither sends nor polls. On again, it starts with a handshake.
    pub fn switch(&self, on: bool) {
        self.shared.state().switched_off = !on;
        self.shared.cut.notify_waiters();
        self.shared.news.notify_one();
    }

    /// Its users by number, with name and card.
    pub fn users(&self) -> BTreeMap<String, (String, String)> {
        self.shared.state().users.clone()
    }

    /// The commands that it was given so far.
    pub fn commands(&self) -> Vec<String> {
        self.shared.state().commands.clone()
    }

    pub fn handshakes(&self) -> usize {
        self.shared.state().handshakes
    }

    /// What the last handshake told.
    pub fn options(&self) -> String {
        self.shared.state().options.clone()
    }

    /// Answers other than success so far.
    pub fn refusals(&self) -> usize {
        self.shared.state().refusals
    }
}

impl Drop for PushTerminal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn server(&self) -> SocketAddr {
        self.state().moved_to.unwrap_or(self.model.server)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding this")
    }
}
