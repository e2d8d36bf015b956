//! Simulated readers on one bus, over TCP as a serial server does, and over a pseudo terminal.
//!
//! They are the library's own peripheral devices: good for wiring, timing, restarts and security, no proof of conformance. A
//! test with another build of it, and the recorded frames, stand beside.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libosdp::{
    Channel, ChannelError, OsdpCardFormats, OsdpCommand, OsdpEvent, OsdpEventCardRead, OsdpEventKeyPress, OsdpFlag,
    OsdpStatusReport, OsdpStatusReportType, PdCapEntity, PdCapability, PdId, PdInfoBuilder, PeripheralDevice,
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

use crate::frame::{Finder, Found, Frame, MOST, code, crc};

/// How often the library is looked after.
const STEP: Duration = Duration::from_millis(2);
/// Events that a reader holds until somebody asks for them.
const MOST_WAITING: usize = 64;

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

/// Something that goes wrong with what is said on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An answer is lost.
    Lost,
    /// A bit of an answer is wrong.
    Flipped,
    /// These bytes in front of an answer.
    Before(Vec<u8>),
    /// These bytes in its place.
    Instead(Vec<u8>),
    /// An answer that was recorded before, with its old message authentication, in place of the right one.
    Replayed,
    /// The same with the sequence number that is due, and a checksum that fits.
    Forged,
    /// Somebody in the middle hides that the reader can do a secure channel.
    Downgraded,
    /// It comes after this time.
    Late(Duration),
}

struct Pd {
    unit: u8,
    device: PeripheralDevice,
    ports: Arc<Mutex<Ports>>,
    off: bool,
    waiting: VecDeque<OsdpEvent>,
    /// What it tells now, and whether it was said: it is kept until the next command shows that it was heard.
    telling: Option<(OsdpEvent, bool)>,
    heard: Finder,
    raw: Vec<u8>,
    /// The command before, and what was said to it.
    last: Option<(Frame, Vec<u8>)>,
}

#[derive(Default)]
struct Ports {
    heard: VecDeque<u8>,
    said: Vec<u8>,
}

/// A reader's ends, as the library sees them.
struct Tap {
    unit: u8,
    ports: Arc<Mutex<Ports>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Channel for Tap {
    fn get_id(&self) -> i32 {
        self.unit.into()
    }

    fn read(&mut self, room: &mut [u8]) -> Result<usize, ChannelError> {
        let mut ports = lock(&self.ports);
        let count = room.len().min(ports.heard.len());
        for (to, from) in room.iter_mut().zip(ports.heard.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, ChannelError> {
        lock(&self.ports).said.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ChannelError> {
        lock(&self.ports).heard.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<(), ChannelError> {
        Ok(())
    }
}

struct Shared {
    pds: Mutex<Vec<Pd>>,
    faults: Mutex<VecDeque<Fault>>,
    /// Lasts until it is taken away.
    standing: Mutex<Option<Fault>>,
    recorded: Mutex<VecDeque<Vec<u8>>>,
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
        let mut pds = lock(&self.shared.pds);
        let waiting = &mut pds[reader].waiting;
        if waiting.len() < MOST_WAITING {
            waiting.push_back(event);
        }
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
        lock(&self.shared.faults).extend(faults);
    }

    /// Spoils every answer from now on, or none any more.
    pub fn harm_all(&self, fault: Option<Fault>) {
        *lock(&self.shared.standing) = fault;
    }

    /// Faults that did not happen yet.
    pub fn faults_left(&self) -> usize {
        lock(&self.shared.faults).len()
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

impl Pd {
    fn new(model: &Model, commands: Arc<Mutex<Vec<(u8, String)>>>) -> io::Result<Self> {
        let wrong = |_| io::Error::other("the library refused a simulated reader");
        let ports = Arc::<Mutex<Ports>>::default();
        let item = |compliance, items| PdCapEntity::new(compliance, items);
        let mut info = PdInfoBuilder::new()
            .name(&format!("sim-{}", model.unit))
            .and_then(|info| info.address(model.unit.into()))
            .and_then(|info| info.baud_rate(115_200))
            .map_err(wrong)?
            .id(&PdId::from_number(model.unit))
            .capability(PdCapability::ContactStatusMonitoring(item(1, 1)))
            .capability(PdCapability::OutputControl(item(1, 2)))
            .capability(PdCapability::CardDataFormat(item(1, 0)))
            .capability(PdCapability::LedControl(item(1, 1)))
            .capability(PdCapability::AudibleOutput(item(1, 1)))
            .capability(PdCapability::CommunicationSecurity(item(u8::from(model.key.is_some() || model.install), 1)));
        if let Some(key) = model.key {
            info = info.secure_channel_key(key);
        }
        info = match (model.install, model.key) {
            (true, _) => info.flag(OsdpFlag::InstallMode),
            (false, Some(_)) => info.flag(OsdpFlag::EnforceSecure),
            (false, None) => info,
        };
        let tap = Tap { unit: model.unit, ports: ports.clone() };
        let mut device = PeripheralDevice::new(info, Box::new(tap)).map_err(wrong)?;
        let unit = model.unit;
        device.set_command_callback(move |command| {
            let name = match command {
                OsdpCommand::Output(it) => format!("output {} {}", it.output_no, it.timer_count),
                OsdpCommand::Led(it) => format!("led {:?}", it.temporary.on_color),
                OsdpCommand::Buzzer(it) => format!("buzzer {}", it.rep_count),
                OsdpCommand::KeySet(_) => "key".into(),
                OsdpCommand::Status(_) => return 0,
                _ => "other".into(),
            };
            lock(&commands).push((unit, name));
            0
        });
        Ok(Self {
            unit,
            device,
            ports,
            off: false,
            waiting: VecDeque::new(),
            telling: None,
            heard: Finder::default(),
            raw: Vec::new(),
            last: None,
        })
    }

    /// Hears what is on the bus, and says its part.
    fn step(&mut self, heard: &[u8]) -> Vec<u8> {
        if self.off {
            return Vec::new();
        }
        self.heard.feed(heard);
        self.raw.extend(heard);
        while let Some(found) = self.heard.next_frame() {
            let Found::Frame(frame) = found else { continue };
            let raw = std::mem::take(&mut self.raw);
            if frame.reply || frame.address != self.unit {
                continue;
            }
            match &self.last {
                // Its answer got lost. The standard wants it said again; the library would say something new, and what it
                // told before were gone.
                Some((last, said)) if *last == frame && frame.sequence != 0 => return said.clone(),
                _ => {
                    if let Some((event, true)) = self.telling.take_if(|(_, said)| *said)
                        && frame.sequence == 0
                    {
                        self.waiting.push_front(event);
                    }
                    self.last = Some((frame, Vec::new()));
                    lock(&self.ports).heard.extend(raw);
                }
            }
        }
        if self.raw.len() > MOST {
            self.raw.clear();
        }
        if self.telling.is_none()
            && self.device.is_online()
            && let Some(event) = self.waiting.front()
            && self.device.notify_event(event.clone()).is_ok()
        {
            self.telling = self.waiting.pop_front().map(|event| (event, false));
        }
        self.device.refresh();
        let said = std::mem::take(&mut lock(&self.ports).said);
        let mut finder = Finder::default();
        finder.feed(&said);
        if let Some(Found::Frame(frame)) = finder.next_frame()
            && matches!(frame.code, code::LSTATR | code::RAW | code::KEYPAD)
            && let Some((_, told)) = &mut self.telling
        {
            *told = true;
        }
        if let Some((_, last)) = &mut self.last {
            last.extend(&said);
        }
        said
    }
}

impl Shared {
    fn new(models: &[Model]) -> io::Result<Arc<Self>> {
        let commands = Arc::<Mutex<Vec<_>>>::default();
        let pds = models.iter().map(|model| Pd::new(model, commands.clone())).collect::<io::Result<Vec<_>>>()?;
        Ok(Arc::new(Self {
            pds: Mutex::new(pds),
            faults: Mutex::default(),
            standing: Mutex::default(),
            recorded: Mutex::default(),
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
            let fault = lock(&self.faults).pop_front().or_else(|| lock(&self.standing).clone());
            let (by, answer) = self.spoil(fault, answer);
            late = late.max(by);
            said.extend(answer);
        }
        (late, said)
    }

    fn spoil(&self, fault: Option<Fault>, mut answer: Vec<u8>) -> (Duration, Vec<u8>) {
        let now = Duration::ZERO;
        let mut recorded = lock(&self.recorded);
        let old = recorded.front().cloned();
        // A frame that told something is worth more than an acknowledgement.
        if answer.len() > 16 || recorded.is_empty() {
            recorded.push_back(answer.clone());
        }
        if recorded.len() > 4 {
            recorded.pop_front();
        }
        let start = answer.iter().position(|byte| *byte == 0x53).unwrap_or(0);
        match fault {
            None => (now, answer),
            Some(Fault::Lost) => (now, Vec::new()),
            Some(Fault::Flipped) => {
                let at = answer.len() / 2;
                answer[at] ^= 0x10;
                (now, answer)
            }
            Some(Fault::Before(bytes)) => (now, [bytes, answer].concat()),
            Some(Fault::Instead(bytes)) => (now, bytes),
            Some(Fault::Replayed) => (now, old.unwrap_or_default()),
            Some(Fault::Forged) => {
                let Some(mut forged) = old else { return (now, Vec::new()) };
                let from = forged.iter().position(|byte| *byte == 0x53).unwrap_or(0);
                if let (Some(due), Some(mine)) = (answer.get(start + 4).copied(), forged.get_mut(from + 4)) {
                    *mine = *mine & !3 | due & 3;
                }
                sign(&mut forged, from);
                (now, forged)
            }
            Some(Fault::Downgraded) => {
                let mut finder = Finder::default();
                finder.feed(&answer);
                if let Some(Found::Frame(frame)) = finder.next_frame()
                    && frame.code == code::PDCAP
                {
                    for at in (start + 6..answer.len().saturating_sub(2)).step_by(3) {
                        if answer[at] == 9 {
                            answer[at + 1] = 0;
                        }
                    }
                    sign(&mut answer, start);
                }
                (now, answer)
            }
            Some(Fault::Late(by)) => (by, answer),
        }
    }
}

/// Gives a changed frame a checksum that fits.
fn sign(frame: &mut [u8], start: usize) {
    if let Some(end) = frame.len().checked_sub(2).filter(|end| *end > start) {
        let sum = crc(&frame[start..end]).to_le_bytes();
        frame[end..].copy_from_slice(&sum);
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
