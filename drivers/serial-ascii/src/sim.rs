//! Simulated readers that send the real bytes: over TCP as a serial server does, and over a pseudo terminal.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    select,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_serial::{SerialPort, SerialStream};

/// Until a reader that waits sends again.
const AGAIN: Duration = Duration::from_millis(400);
const TICK: Duration = Duration::from_millis(20);

/// What kind of reader it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Frames with a checksum; sent once.
    Rdm6300,
    /// The same with CR LF in front of the end.
    Id12,
    /// A number and a line end; sent once.
    Digits,
    /// `R01:...:IN`; the reader's number is part of the frame.
    Direction,
    /// Speaks when it is asked: `@01R`.
    Polled,
    /// Keeps a frame until it hears ACK.
    Waiting,
}

impl Product {
    /// The name of its description.
    pub fn reader(self) -> &'static str {
        match self {
            Self::Rdm6300 => "rdm6300",
            Self::Id12 => "id-12",
            Self::Digits => "digits",
            Self::Direction => "reader-card-direction",
            Self::Polled => "polled-ascii",
            Self::Waiting => "ack-line",
        }
    }

    /// The bytes of a read.
    pub fn frame(self, unit: &str, number: u64, person: &str) -> Vec<u8> {
        let xor = |text: &str| text.bytes().fold(0, |sum, byte| sum ^ byte);
        match self {
            Self::Rdm6300 | Self::Id12 => {
                let card: u32 = person.parse().unwrap_or(0);
                let sum = card.to_be_bytes().iter().fold(1, |sum, byte| sum ^ byte);
                let end = if self == Self::Id12 { "\r\n" } else { "" };
                format!("\x0201{card:08X}{sum:02X}{end}\x03").into_bytes()
            }
            Self::Digits => format!("{person}\r\n").into_bytes(),
            Self::Direction => format!("R{unit}:{person}:IN\n").into_bytes(),
            Self::Polled => {
                let body = format!("@{unit};{person}");
                format!("{body}*{:02X}\r", xor(&body)).into_bytes()
            }
            Self::Waiting => {
                let body = format!("#{number:04},{person}");
                format!("{body}*{:02X}\r", xor(&body)).into_bytes()
            }
        }
    }
}

#[derive(Debug)]
struct Device {
    unit: String,
    product: Product,
    waiting: VecDeque<Vec<u8>>,
    number: u64,
    forgotten: usize,
    /// Answers that it does not hear.
    deaf: usize,
    sent: Option<Instant>,
    last: Vec<u8>,
    acks: usize,
    naks: usize,
    off: bool,
}

#[derive(Debug)]
struct Shared {
    devices: Mutex<Vec<Device>>,
    raw: Mutex<VecDeque<Vec<u8>>>,
    changed: watch::Sender<u64>,
    cut: watch::Sender<u64>,
    /// How bytes are handed on: so many at a time, with a pause.
    pace: Mutex<Option<(usize, Duration)>>,
    served: watch::Sender<usize>,
}

/// One line with readers on it.
pub struct Simulator {
    shared: Arc<Shared>,
    place: Place,
    _serving: JoinSet<()>,
}

enum Place {
    Tcp(SocketAddr),
    Pty(PathBuf),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Simulator {
    /// Readers behind a serial server on a TCP port of loopback (0: any). Units are `01`, `02`, ...
    pub async fn tcp(products: &[Product], port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let place = Place::Tcp(listener.local_addr()?);
        let shared = Shared::new(products);
        let mut serving = JoinSet::new();
        let door = shared.clone();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Fails on a connection that is gone already.
                let _ = stream.set_nodelay(true);
                // A serial server has one client at a time.
                serve(stream, &door).await;
            }
        });
        Ok(Self { shared, place, _serving: serving })
    }

    /// Readers on a serial line: a pseudo terminal.
    pub fn serial(products: &[Product]) -> io::Result<Self> {
        let (mut far, near) = SerialStream::pair()?;
        let path = near.name().ok_or_else(|| io::Error::other("a pseudo terminal without a name"))?;
        drop(near);
        let shared = Shared::new(products);
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
            Place::Pty(path) => format!("serial://{}?baud=9600", path.display()),
        }
    }

    /// Somebody shows a card at a reader (from 0). One that only sends keeps it until somebody listens: people come when
    /// the line is up.
    pub fn punch(&self, device: usize, person: &str) {
        {
            let mut devices = lock(&self.shared.devices);
            let it = &mut devices[device];
            it.number += 1;
            let frame = it.product.frame(&it.unit, it.number, person);
            it.waiting.push_back(frame);
        }
        self.shared.changed.send_modify(|count| *count += 1);
    }

    /// These bytes go over the line as they are.
    pub fn send(&self, bytes: &[u8]) {
        lock(&self.shared.raw).push_back(bytes.to_vec());
        self.shared.changed.send_modify(|count| *count += 1);
    }

    /// The last frame once more: the card is still held. Of one that waits: it does not hear its next answer.
    pub fn repeat(&self, device: usize) {
        let last = {
            let mut devices = lock(&self.shared.devices);
            let it = &mut devices[device];
            if it.product == Product::Waiting {
                it.deaf += 1;
                return;
            }
            it.last.clone()
        };
        self.send(&last);
    }

    /// Everything that is sent from now on comes in pieces, with pauses.
    pub fn pace(&self, pace: Option<(usize, Duration)>) {
        *lock(&self.shared.pace) = pace;
    }

    /// Switches a reader off, or on again.
    pub fn switch(&self, device: usize, on: bool) {
        lock(&self.shared.devices)[device].off = !on;
    }

    /// Frames that it let go because it was told that they are stored.
    pub fn forgotten(&self, device: usize) -> usize {
        lock(&self.shared.devices)[device].forgotten
    }

    /// Frames that it still has.
    pub fn waiting(&self, device: usize) -> usize {
        lock(&self.shared.devices)[device].waiting.len()
    }

    /// Answers that were heard: ACK, NAK.
    pub fn answers(&self, device: usize) -> (usize, usize) {
        let devices = lock(&self.shared.devices);
        (devices[device].acks, devices[device].naks)
    }

    /// Cuts the connection, or drops what is on the serial line.
    pub fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// Waits until somebody is connected; a pseudo terminal always is.
    pub async fn until_served(&self) {
        // The sender lives as long as we do.
        let _ = self.shared.served.subscribe().wait_for(|served| *served > 0).await;
    }
}

impl Shared {
    fn new(products: &[Product]) -> Arc<Self> {
        let device = |(index, product): (usize, &Product)| Device {
            unit: format!("{:02}", index + 1),
            product: *product,
            waiting: VecDeque::new(),
            number: 0,
            forgotten: 0,
            deaf: 0,
            sent: None,
            last: Vec::new(),
            acks: 0,
            naks: 0,
            off: false,
        };
        Arc::new(Self {
            devices: Mutex::new(products.iter().enumerate().map(device).collect()),
            raw: Mutex::default(),
            changed: watch::Sender::new(0),
            cut: watch::Sender::new(0),
            pace: Mutex::default(),
            served: watch::Sender::new(0),
        })
    }

    /// What goes out now.
    fn outgoing(&self) -> Vec<u8> {
        let mut out: Vec<u8> = lock(&self.raw).drain(..).flatten().collect();
        for device in lock(&self.devices).iter_mut().filter(|device| !device.off) {
            match device.product {
                Product::Polled => {}
                Product::Waiting => {
                    if let Some(frame) = device.waiting.front()
                        && device.sent.is_none_or(|sent| sent.elapsed() > AGAIN)
                    {
                        device.sent = Some(Instant::now());
                        out.extend(frame);
                    }
                }
                _ => {
                    for frame in device.waiting.drain(..) {
                        out.extend(&frame);
                        device.last = frame;
                    }
                }
            }
        }
        out
    }

    /// What is answered to something heard.
    fn heard(&self, bytes: &[u8], asked: &mut Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        for device in lock(&self.devices).iter_mut().filter(|device| device.product == Product::Waiting) {
            for byte in bytes {
                match byte {
                    0x06 => {
                        device.acks += 1;
                        // Nothing is under way: it belongs to nothing.
                        let asked = device.sent.take().is_some();
                        if device.deaf > 0 {
                            device.deaf -= 1;
                        } else if asked && device.waiting.pop_front().is_some() {
                            device.forgotten += 1;
                        }
                    }
                    0x15 => {
                        device.naks += 1;
                        device.sent = None;
                    }
                    _ => {}
                }
            }
        }
        asked.extend(bytes);
        while let Some(end) = asked.iter().position(|byte| *byte == b'\r') {
            let question: Vec<u8> = asked.drain(..=end).collect();
            let mut devices = lock(&self.devices);
            let Some(device) = devices.iter_mut().find(|device| {
                device.product == Product::Polled
                    && question == format!("@{}R\r", device.unit).as_bytes()
                    && !device.off
            }) else {
                continue;
            };
            match device.waiting.pop_front() {
                Some(frame) => {
                    device.last.clone_from(&frame);
                    out.extend(frame);
                }
                None => {
                    let body = format!("@{}", device.unit);
                    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
                    out.extend(format!("{body}*{sum:02X}\r").into_bytes());
                }
            }
        }
        asked.truncate(64);
        out
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], shared: &Shared) -> io::Result<()> {
    let pace = *lock(&shared.pace);
    let Some((size, pause)) = pace else { return stream.write_all(bytes).await };
    for piece in bytes.chunks(size) {
        stream.write_all(piece).await?;
        sleep(pause).await;
    }
    Ok(())
}

/// Serves one connection until it ends or is cut.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let mut cut = shared.cut.subscribe();
    let mut changed = shared.changed.subscribe();
    let (mut room, mut asked) = ([0; 256], Vec::new());
    // A pseudo terminal that nobody has open says so when it is read; what is written meanwhile would only fill it.
    match timeout(Duration::from_millis(10), stream.read(&mut room)).await {
        Ok(Ok(0) | Err(_)) => return,
        Ok(Ok(count)) => asked.extend(&room[..count]),
        Err(_) => {}
    }
    shared.served.send_modify(|served| *served += 1);
    for device in lock(&shared.devices).iter_mut() {
        device.sent = None;
    }
    loop {
        let out = shared.outgoing();
        if !out.is_empty() && write(&mut stream, &out, shared).await.is_err() {
            break;
        }
        select! {
            _ = cut.changed() => break,
            _ = changed.changed() => {}
            () = sleep(TICK) => {}
            read = stream.read(&mut room) => match read {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    let out = shared.heard(&room[..count], &mut asked);
                    if !out.is_empty() && write(&mut stream, &out, shared).await.is_err() {
                        break;
                    }
                }
            },
        }
    }
    shared.served.send_modify(|served| *served -= 1);
}
