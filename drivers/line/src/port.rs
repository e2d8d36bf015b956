//! The place where a line is found: opened, locked, and found again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use driver_api::{Address, DriverError, Parity, SerialLine};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_serial::SerialStream;
use tracing::{debug, info};

use crate::Stream;

/// Where udev names adapters by what they are, whichever number they got.
const BY_ID: &str = "/dev/serial/by-id";
/// Between two attempts at a line that is gone: at first, and at most. An adapter that comes back is served within this.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));

/// Where a line is found. Lives as long as the line is in the config, so that it knows an adapter again.
#[derive(Debug)]
pub struct Port {
    address: Address,
    by_id: PathBuf,
    /// The name below `by_id` of the adapter that was there first.
    adapter: Mutex<Option<PathBuf>>,
}

impl Port {
    pub fn new(address: Address) -> Self {
        Self::with_names_in(address, BY_ID)
    }

    /// The same where adapters are named in another folder: for tests, which have no udev.
    pub fn with_names_in(address: Address, by_id: impl Into<PathBuf>) -> Self {
        Self { address, by_id: by_id.into(), adapter: Mutex::default() }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Opens the line, within `limit` (the time that a TCP connection may take). A port is locked: a second program, or a
    /// second driver, is told [`DriverError::Busy`].
    pub async fn open(&self, limit: Duration) -> Result<Stream, DriverError> {
        let unreachable = |source| DriverError::Unreachable { peer: self.address.to_string(), source };
        match &self.address {
            Address::Tcp { host, port } => {
                let target = (host.trim_start_matches('[').trim_end_matches(']').to_owned(), *port);
                let connecting = timeout(limit, TcpStream::connect(target)).await;
                let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
                prepare(&stream).map_err(unreachable)?;
                Ok(Stream::Tcp(stream))
            }
            Address::Serial(line) => self.open_serial(line).await.map(Stream::Serial),
            Address::Udp { .. } => Err(unreachable(io::Error::new(
                io::ErrorKind::Unsupported,
                "udp:// carries no line: write serial:// or tcp://",
            ))),
        }
    }

    /// Tries until the line is open, at intervals of half a second to four; `failed` hears why not, each time.
    pub async fn open_at_last(&self, limit: Duration, mut failed: impl FnMut(&DriverError)) -> Stream {
        let mut pause = PAUSES.0;
        loop {
            match self.open(limit).await {
                Ok(stream) => return stream,
                Err(error) => failed(&error),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn open_serial(&self, line: &SerialLine) -> Result<SerialStream, DriverError> {
        let peer = self.address.to_string();
        let unreachable = |source| DriverError::Unreachable { peer: peer.clone(), source };
        let path = self.path_of(line).map_err(&unreachable)?;
        let builder = tokio_serial::new(path.to_string_lossy(), line.baud)
            .parity(match line.parity {
                Parity::None => tokio_serial::Parity::None,
                Parity::Even => tokio_serial::Parity::Even,
                Parity::Odd => tokio_serial::Parity::Odd,
            })
            .stop_bits(if line.stop_bits == 2 { tokio_serial::StopBits::Two } else { tokio_serial::StopBits::One });
        // Some adapters take their time to be set up, and the thread with them.
        let opened = spawn_blocking(move || SerialStream::open(&builder)).await;
        let opened = opened.map_err(|error| unreachable(io::Error::other(error)))?;
        match opened {
            Ok(stream) => {
                self.remember(&path);
                Ok(stream)
            }
            Err(error) => Err(match explain(&path, &error) {
                Trouble::Busy(reason) => DriverError::Busy { peer, reason },
                Trouble::Absent(source) => unreachable(source),
            }),
        }
    }

    /// The path under which the line is to be found now.
    fn path_of(&self, line: &SerialLine) -> io::Result<PathBuf> {
        let configured = PathBuf::from(&line.path);
        let Some(adapter) = self.adapter.lock().expect("nobody panics while holding a path").clone() else {
            return Ok(configured);
        };
        if adapter.exists() {
            return Ok(adapter);
        }
        // Our adapter is away. Whoever has its name now may have other terminals: their punches are not ours.
        match self.name_of(&configured) {
            None => Ok(configured),
            Some(other) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "{} is another adapter now ({}), and ours ({}) is not plugged in: plug it in again, or reload the \
                     config if it was replaced",
                    line.path,
                    file_name(&other),
                    file_name(&adapter)
                ),
            )),
        }
    }

    /// Learns which adapter it is that stands at `path`.
    fn remember(&self, path: &Path) {
        let mut adapter = self.adapter.lock().expect("nobody panics while holding a path");
        if adapter.is_none()
            && let Some(name) = self.name_of(path)
        {
            info!(adapter = file_name(&name), "this adapter will be known again under any name");
            *adapter = Some(name);
        }
    }

    /// The name below `by_id` of what stands at `path`.
    fn name_of(&self, path: &Path) -> Option<PathBuf> {
        let device = fs::canonicalize(path).ok()?;
        let names = fs::read_dir(&self.by_id).ok()?.flatten().map(|entry| entry.path());
        names.filter(|name| fs::canonicalize(name).is_ok_and(|other| other == device)).min()
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A serial server that was unplugged leaves without a word.
    let alive = TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    SockRef::from(stream).set_tcp_keepalive(&alive.with_retries(3))
}

enum Trouble {
    Busy(String),
    Absent(io::Error),
}

/// What is wrong with a port that does not open, and how it is mended.
fn explain(path: &Path, error: &tokio_serial::Error) -> Trouble {
    debug!(%error, kind = ?error.kind(), path = %path.display(), "port not opened");
    let shown = path.display();
    let absent = |kind, words: String| Trouble::Absent(io::Error::new(kind, words));
    let Ok(meta) = fs::metadata(path) else {
        let words = "there is no such port: plug the adapter in; ls -l /dev/serial/by-id shows those that are there";
        return absent(io::ErrorKind::NotFound, words.into());
    };
    if !std::os::unix::fs::FileTypeExt::is_char_device(&meta.file_type()) {
        return absent(io::ErrorKind::InvalidInput, "this is no serial port: correct the path in the address".into());
    }
    let words = error.to_string();
    match error.kind() {
        tokio_serial::ErrorKind::Io(io::ErrorKind::PermissionDenied) => absent(
            io::ErrorKind::PermissionDenied,
            format!(
                "the gateway may not open it: put its user into the group that ls -l {shown} shows, and see that its unit \
                 has a DeviceAllow= for it"
            ),
        ),
        _ if words.contains("lock") || words.contains("busy") => {
            Trouble::Busy(format!("another program holds it: fuser -v {shown} shows which one"))
        }
        tokio_serial::ErrorKind::Io(kind) => absent(kind, words),
        tokio_serial::ErrorKind::NoDevice => absent(io::ErrorKind::NotFound, words),
        tokio_serial::ErrorKind::InvalidInput => absent(
            io::ErrorKind::InvalidInput,
            format!("{words}: the adapter does not have this speed, or this is no serial port"),
        ),
        tokio_serial::ErrorKind::Unknown => absent(io::ErrorKind::Other, words),
    }
}
