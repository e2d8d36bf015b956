//! Simulated readers on one bus, over TCP as a serial server does, and over a pseudo terminal.
//!
//! They are the library's own peripheral devices: good for wiring, timing, restarts and security, no proof of conformance. A
//! test with another build of it, and the recorded frames, stand beside.

mod fault;
mod pd;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libosdp::{
    OsdpCardFormats, OsdpEvent, OsdpEventCardRead, OsdpEventKeyPress, OsdpStatusReport, OsdpStatusReportType,
};
use line::wiegand;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    select,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_serial::{SerialPort, SerialStream};

pub use self::fault::Fault;
use self::{fault::Line, pd::Pd};

/// How often the library is looked after.
const STEP: Duration = Duration::from_millis(2);

/// How a reader is set up.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its address, 0 to 126.
    pub unit: u8,
    /// Its key; without one it speaks plain text.
    pub key: Option<[u8; 16]>,
    /// It takes a new key over the factory's.
    pub install: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared {
    pds: Mutex<Vec<Pd>>,
    line: Mutex<Line>,
    /// Bytes that anybody on the bus says.
    raw: Mutex<Vec<u8>>,
    commands: Arc<Mutex<Vec<(u8, String)>>>,
    cut: watch::Sender<u64>,
}

/// One bus with readers on it.
pub struct Simulator {
    shared: Arc<Shared>,
    place: Place,
    _serving: JoinSet<()>,
}

enum Place {
    Tcp(SocketAddr),
    Pty(PathBuf),
}

impl Simulator {
    /// Readers behind a serial server on a TCP port of loopback (0: any).
    pub async fn tcp(models: &[Model], port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let place = Place::Tcp(listener.local_addr()?);
        let shared = Shared::new(models)?;
        let mut serving = JoinSet::new();
        let door = shared.clone();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Fails on a connection that is gone already.
                let _ = stream.set_nodelay(true);
                serve(stream, &door).await;
            }
        });
        Ok(Self { shared, place, _serving: serving })
    }

    /// Readers on a serial line: a pseudo terminal.
    pub fn serial(models: &[Model]) -> io::Result<Self> {
        let (mut far, near) = SerialStream::pair()?;
        let path = near.name().ok_or_else(|| io::Error::other("a pseudo terminal without a name"))?;
        drop(near);
        let shared = Shared::new(models)?;
        let mut serving = JoinSet::new();
        let door = shared.clone();
        serving.spawn(async move {
            loop {
                serve(&mut far, &door).await;
                // Nobody has the near end open: a pseudo terminal says so with an error, again and again.
                sleep(Duration::from_millis(5)).await;
            }
        });
        Ok(Self { shared, place: Place::Pty(path.into()), _serving: serving })
    }

    /// As it is written in a config.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Tcp(address) => format!("tcp://{address}"),
            Place::Pty(path) => format!("serial://{}?baud=115200", path.display()),
        }
    }

    /// Somebody shows a card with this number, as 34 bits.
    pub fn punch(&self, reader: usize, person: &str) {
        self.card(reader, 34, wiegand::encode(34, person.parse().unwrap_or(0)), true);
    }

    /// A card with these bits.
    pub fn card(&self, reader: usize, bits: usize, data: Vec<u8>, wiegand: bool) {
        let format = if wiegand { OsdpCardFormats::Wiegand } else { OsdpCardFormats::Unspecified };
        let read = OsdpEventCardRead { reader_no: 0, format, direction: false, nr_bits: bits, data };
        self.tell(reader, OsdpEvent::CardRead(read));
    }

    /// Somebody types.
    pub fn keys(&self, reader: usize, keys: &str) {
        self.tell(reader, OsdpEvent::KeyPress(OsdpEventKeyPress::new(keys.as_bytes().to_vec())));
    }

    /// Its tamper switch and its power are so now.
    pub fn status(&self, reader: usize, tampered: bool, power_fails: bool) {
        let mut report = [0; 64];
        (report[0], report[1]) = (tampered.into(), power_fails.into());
        let status = OsdpStatusReport { type_: OsdpStatusReportType::Local, nr_entries: 2, report };
        self.tell(reader, OsdpEvent::Status(status));
    }

    fn tell(&self, reader: usize, event: OsdpEvent) {
        lock(&self.shared.pds)[reader].tell(event);
    }

    /// Switches a reader off, or on again as it was set up.
    pub fn switch(&self, reader: usize, on: bool) {
        lock(&self.shared.pds)[reader].off = !on;
    }

    /// Puts another reader in its place.
    pub fn replace(&self, reader: usize, model: &Model) {
        if let Ok(pd) = Pd::new(model, self.shared.commands.clone()) {
            lock(&self.shared.pds)[reader] = pd;
        }
    }

    /// Spoils the next answers, one fault each.
    pub fn harm(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared.line).next.extend(faults);
    }

    /// Spoils every answer from now on, or none any more.
    pub fn harm_all(&self, fault: Option<Fault>) {
        lock(&self.shared.line).standing = fault;
    }

    /// Faults that did not happen yet.
    pub fn faults_left(&self) -> usize {
        lock(&self.shared.line).next.len()
    }

    /// Somebody on the bus says this.
    pub fn send(&self, bytes: &[u8]) {
        lock(&self.shared.raw).extend(bytes);
    }

    /// Commands that readers were given: the unit, and which.
    pub fn commands(&self) -> Vec<(u8, String)> {
        lock(&self.shared.commands).clone()
    }

    /// Whether a reader has a secure channel.
    pub fn is_secure(&self, reader: usize) -> bool {
        lock(&self.shared.pds)[reader].device.is_sc_active()
    }

    /// Cuts the connection.
    pub fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }
}

impl Shared {
    fn new(models: &[Model]) -> io::Result<Arc<Self>> {
        let commands = Arc::<Mutex<Vec<_>>>::default();
        let pds = models.iter().map(|model| Pd::new(model, commands.clone())).collect::<io::Result<Vec<_>>>()?;
        Ok(Arc::new(Self {
            pds: Mutex::new(pds),
            line: Mutex::default(),
            raw: Mutex::default(),
            commands,
            cut: watch::Sender::new(0),
        }))
    }

    /// What the readers say to what was heard, and how late.
    fn step(&self, heard: &[u8]) -> (Duration, Vec<u8>) {
        let mut said = std::mem::take(&mut *lock(&self.raw));
        let mut late = Duration::ZERO;
        for pd in lock(&self.pds).iter_mut() {
            let answer = pd.step(heard);
            if answer.is_empty() {
                continue;
            }
            let (by, answer) = lock(&self.line).spoil(answer);
            late = late.max(by);
            said.extend(answer);
        }
        (late, said)
    }
}

/// Serves one connection until it ends or is cut.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let mut cut = shared.cut.subscribe();
    let mut room = [0; 512];
    // A pseudo terminal that nobody has open says so when it is read; what is written meanwhile would only fill it.
    let mut heard = match timeout(Duration::from_millis(10), stream.read(&mut room)).await {
        Ok(Ok(0) | Err(_)) => return,
        Ok(Ok(count)) => count,
        Err(_) => 0,
    };
    loop {
        let (late, said) = shared.step(&room[..heard]);
        heard = 0;
        if !late.is_zero() {
            sleep(late).await;
        }
        if !said.is_empty() && stream.write_all(&said).await.is_err() {
            return;
        }
        select! {
            _ = cut.changed() => return,
            () = sleep(STEP) => {}
            read = stream.read(&mut room) => match read {
                Ok(0) | Err(_) => return,
                Ok(count) => heard = count,
            },
        }
    }
}
