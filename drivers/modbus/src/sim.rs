//! Simulated terminals that speak the real bytes: over TCP, over TCP as a serial server does, over a pseudo terminal.
//!
//! Written from the protocol and not with the library that the driver uses, so that the two check each other.

mod device;
mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_serial::{SerialPort, SerialStream};

pub use self::device::{Device, Product};
pub use self::wire::{Form, crc};

/// Something that goes wrong with one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It does what it was told, and its answer is lost.
    Lost,
    /// The question never arrives.
    Unheard,
    /// The answer comes so much later.
    Late(Duration),
    /// Bytes in front of it.
    Before(Vec<u8>),
    /// Bytes in the middle of it.
    Inside(Vec<u8>),
    /// The answer comes twice.
    Twice,
    /// The answer comes again in front of the answer to the next question.
    Echo,
    /// Its byte that says how long it is says this; its checksum fits.
    Length(u8),
    /// It is an answer with so many registers, whatever was asked for.
    Registers(u8),
    /// It is an answer to another function.
    Function(u8),
    /// A bit is wrong.
    Flipped,
    /// Another unit answers.
    WrongUnit,
    /// It refuses with this exception.
    Exception(u8),
    /// These bytes in its place.
    Instead(Vec<u8>),
    /// Its bytes come one by one.
    Dripping,
}

/// One line with terminals on it.
pub struct Simulator {
    shared: Arc<Shared>,
    place: Place,
    _serving: JoinSet<()>,
}

enum Place {
    Tcp(SocketAddr),
    Pty(PathBuf),
}

struct Shared {
    state: Mutex<State>,
    /// Changes when all connections are cut.
    cut: watch::Sender<u64>,
}

struct State {
    devices: BTreeMap<u8, Device>,
    faults: VecDeque<(Option<u8>, Fault)>,
    /// Units that are switched off.
    dead: Vec<u8>,
    questions: BTreeMap<u8, u64>,
    /// An answer that comes again.
    echo: Vec<u8>,
}

impl Simulator {
    /// Terminals behind a TCP port of loopback (0: any), framed as Modbus TCP or, behind a serial server, as RTU.
    pub async fn tcp(form: Form, port: u16, devices: Vec<(u8, Device)>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let place = Place::Tcp(listener.local_addr()?);
        let shared = Shared::new(devices);
        let mut serving = JoinSet::new();
        let door = shared.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // Fails on a connection that is gone already.
                let _ = stream.set_nodelay(true);
                connections.spawn(wire::serve(stream, form, door.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { shared, place, _serving: serving })
    }

    /// Terminals on a serial line: a pseudo terminal.
    pub fn serial(devices: Vec<(u8, Device)>) -> io::Result<Self> {
        let (far, near) = SerialStream::pair()?;
        let path = near.name().ok_or_else(|| io::Error::other("a pseudo terminal without a name"))?;
        drop(near);
        let shared = Shared::new(devices);
        let mut serving = JoinSet::new();
        serving.spawn(wire::serve_serial(far, shared.clone()));
        Ok(Self { shared, place: Place::Pty(path.into()), _serving: serving })
    }

    /// As it is written in a config.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Tcp(address) => format!("tcp://{address}"),
            Place::Pty(path) => format!("serial://{}?baud=115200", path.display()),
        }
    }

    /// The pseudo terminal, or an empty path.
    pub fn path(&self) -> PathBuf {
        match &self.place {
            Place::Tcp(_) => PathBuf::new(),
            Place::Pty(path) => path.clone(),
        }
    }

    /// Looks at a device, or changes it.
    ///
    /// # Panics
    /// When there is no such unit.
    pub fn with<T>(&self, unit: u8, what: impl FnOnce(&mut Device) -> T) -> T {
        what(self.shared.state().devices.get_mut(&unit).expect("a unit of this simulator"))
    }

    /// Somebody shows a card.
    pub fn punch(&self, unit: u8, person: u32) {
        self.with(unit, |device| device.punch(person));
    }

    /// Spoils the next answers, of one unit or of any, one fault each.
    pub fn harm(&self, unit: Option<u8>, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state().faults.extend(faults.into_iter().map(|fault| (unit, fault)));
    }

    /// No more faults.
    pub fn heal(&self) {
        self.shared.state().faults.clear();
    }

    /// Faults that did not happen yet.
    pub fn faults_left(&self) -> usize {
        self.shared.state().faults.len()
    }

    /// Switches a unit off, or on again.
    pub fn switch(&self, unit: u8, on: bool) {
        let mut state = self.shared.state();
        state.dead.retain(|dead| *dead != unit);
        if !on {
            state.dead.push(unit);
        }
    }

    /// How many questions a unit was asked.
    pub fn questions(&self, unit: u8) -> u64 {
        self.shared.state().questions.get(&unit).copied().unwrap_or(0)
    }

    /// Cuts all connections, in the middle of whatever goes on.
    pub fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }
}

impl Shared {
    fn new(devices: Vec<(u8, Device)>) -> Arc<Self> {
        let state = State {
            devices: devices.into_iter().collect(),
            faults: VecDeque::new(),
            dead: Vec::new(),
            questions: BTreeMap::new(),
            echo: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state), cut: watch::Sender::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
