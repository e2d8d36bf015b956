//! Questions and answers, over UDP or TCP.
//!
//! Answers carry nothing of their question but its function, and datagrams come late, or twice: the answer to an older
//! question would be taken for that to a newer one. A late one goes to the port from which its question came. So over UDP each
//! question is asked from a port of its own, where nothing but its own answer can arrive, and a port is used again only
//! where the answer names what was asked for. TCP keeps the order, and a connection with a question that was not answered in
//! time is closed.

use std::{io, net::SocketAddr, time::Duration};

use driver_api::{Address, DriverError};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

use crate::packet::{LENGTH, Packet};

/// A question is asked so often; all of them but the opening of a door may be asked twice.
pub(crate) const ATTEMPTS: u32 = 3;
/// After an answer that names something else, ours has this part of the time left.
const BEHIND: u32 = 5;
/// Room for a datagram: enough to see that it is too long.
const DATAGRAM: usize = 512;

/// The way to a board.
#[derive(Debug)]
pub(crate) struct Wire {
    address: Address,
    /// As people know it.
    peer: String,
    target: SocketAddr,
    patience: Duration,
    link: Option<Connected>,
    /// The next question needs a way on which no other was asked.
    used: bool,
    /// What came and answered no question of ours.
    pub(crate) strays: u64,
}

#[derive(Debug)]
enum Connected {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// What came of a question.
enum Heard {
    Answer(Packet),
    /// Only what names something else.
    Another,
    Nothing,
}

impl Wire {
    /// Looks up where the board is; asks nothing yet.
    pub(crate) async fn open(address: &Address, patience: Duration) -> Result<Self, DriverError> {
        let peer = address.to_string();
        let (Address::Udp { host, port } | Address::Tcp { host, port }) = address else {
            let source = io::Error::new(io::ErrorKind::Unsupported, "no serial lines here");
            return Err(DriverError::Unreachable { peer, source });
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found =
            timeout(patience, lookup_host((host, *port))).await.unwrap_or_else(|_| Err(timed_out("no name server")));
        let target = match found {
            Ok(mut found) => {
                found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
            }
            Err(error) => Err(error),
        };
        let target = target.map_err(|source| DriverError::Unreachable { peer: peer.clone(), source })?;
        Ok(Self { address: address.clone(), peer, target, patience, link: None, used: false, strays: 0 })
    }

    pub(crate) fn target(&self) -> SocketAddr {
        self.target
    }

    /// Asks, up to `attempts` times, until an answer comes that is of this function and serial number (any, if ours is 0).
    pub(crate) async fn ask(&mut self, question: &Packet, attempts: u32) -> Result<Packet, DriverError> {
        self.used = true;
        self.attempts(question, attempts, |_| false).await
    }

    /// The same where an answer to this question `names` what was asked for. One that does not is believed only where no other
    /// question was asked.
    pub(crate) async fn ask_for(
        &mut self,
        question: &Packet,
        names: impl Fn(&Packet) -> bool,
    ) -> Result<Packet, DriverError> {
        self.attempts(question, ATTEMPTS, names).await
    }

    async fn attempts(
        &mut self,
        question: &Packet,
        attempts: u32,
        names: impl Fn(&Packet) -> bool,
    ) -> Result<Packet, DriverError> {
        let (strays, mut trouble) = (self.strays, timed_out("no answer"));
        let mut asked = 0;
        while asked < attempts {
            let alone = self.connect().await;
            let attempt = match alone {
                Ok(alone) => self.attempt(question, |answer| alone || names(answer)).await,
                Err(error) => Err(error),
            };
            match attempt {
                Ok(Heard::Answer(answer)) => return Ok(answer),
                // To have been told of another does not count: now it is asked where nobody else answers.
                Ok(Heard::Another) => {}
                Ok(Heard::Nothing) => asked += 1,
                Err(error) => {
                    trouble = error;
                    asked += 1;
                }
            }
            self.leave();
        }
        let peer = self.peer.clone();
        if self.strays > strays && trouble.kind() == io::ErrorKind::TimedOut {
            let what = format!("{} answers to {question:?}, and none of them fits", self.strays - strays);
            return Err(DriverError::Garbled { peer, what });
        }
        Err(DriverError::Unreachable { peer, source: trouble })
    }

    /// Sees to it that there is a way to the board; whether nothing else can answer on it.
    async fn connect(&mut self) -> io::Result<bool> {
        let is_udp = matches!(self.address, Address::Udp { .. });
        if self.link.is_none() || (is_udp && self.used) {
            let connected = timeout(self.patience, connect(&self.address, self.target)).await;
            // The socket of before is closed only now: two that are open cannot have the same port.
            self.link = Some(connected.map_err(|_| timed_out("no connection"))??);
            self.used = false;
            return Ok(true);
        }
        Ok(!is_udp)
    }

    async fn attempt(&mut self, question: &Packet, fits: impl Fn(&Packet) -> bool) -> io::Result<Heard> {
        let mut deadline = Instant::now() + self.patience;
        let mut heard = Heard::Nothing;
        let link = self.link.as_mut().expect("it was connected before");
        link.forget();
        timeout_at(deadline, link.send(question)).await.map_err(|_| timed_out("no connection"))??;
        loop {
            let mut buffer = [0; DATAGRAM];
            let Ok(length) = timeout_at(deadline, link.receive(&mut buffer)).await else { return Ok(heard) };
            let length = length?;
            match Packet::parse(&buffer[..length]) {
                Ok(answer)
                    if answer.function() == question.function()
                        && (answer.serial() == question.serial() || question.serial() == 0) =>
                {
                    if fits(&answer) {
                        return Ok(Heard::Answer(answer));
                    }
                    // That to an older question; or to ours, by which the board says no. Ours may be just behind.
                    debug!(?answer, "answer dropped that names something else");
                    heard = Heard::Another;
                    deadline = deadline.min(Instant::now() + self.patience / BEHIND);
                }
                Ok(answer) => {
                    debug!(?answer, "answer dropped that fits no question");
                    self.strays += 1;
                }
                Err(error) => {
                    debug!(%error, "bytes dropped that are no message");
                    self.strays += 1;
                    if matches!(link, Connected::Tcp(_)) {
                        return Ok(Heard::Nothing); // where the next message begins is anybody's guess
                    }
                }
            }
        }
    }

    /// Whatever still answers on this way finds nobody.
    fn leave(&mut self) {
        self.used = true;
        if matches!(self.link, Some(Connected::Tcp(_))) {
            self.link = None;
        }
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> DriverError {
        DriverError::Refused { peer: self.peer.clone(), reason: reason.into() }
    }
}

impl Connected {
    async fn send(&mut self, packet: &Packet) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(packet.as_bytes()).await.map(drop),
            Self::Tcp(stream) => stream.write_all(packet.as_bytes()).await,
        }
    }

    /// The next datagram, or the next 64 bytes.
    async fn receive(&mut self, buffer: &mut [u8; DATAGRAM]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.recv(buffer).await,
            // Given up in the middle, the connection is thrown away.
            Self::Tcp(stream) => stream.read_exact(&mut buffer[..LENGTH]).await,
        }
    }

    /// Throws away what has arrived.
    fn forget(&mut self) {
        let mut void = [0; DATAGRAM];
        let mut read = || match self {
            Self::Udp(socket) => socket.try_recv(&mut void),
            Self::Tcp(stream) => stream.try_read(&mut void),
        };
        // An end or an error is met again when the question is sent. Bounded: a flood must not hold us here.
        for _ in 0..1000 {
            match read() {
                Ok(1..) => {}
                _ => break,
            }
        }
    }
}

async fn connect(address: &Address, target: SocketAddr) -> io::Result<Connected> {
    if matches!(address, Address::Tcp { .. }) {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        let alive = TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
        SockRef::from(&stream).set_tcp_keepalive(&alive.with_retries(3))?;
        return Ok(Connected::Tcp(stream));
    }
    let local = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    // From then on the kernel drops what comes from anybody else.
    socket.connect(target).await?;
    Ok(Connected::Udp(socket))
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what.to_owned())
}
