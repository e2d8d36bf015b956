//! The wire to a terminal: whole inner packets over TCP or UDP, however the bytes arrive.

use std::{io, time::Duration};

use driver_api::Address;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use crate::frame::{FrameError, MAGIC, WRAPPER, frame_length, wrap};

/// Room for any UDP datagram.
const DATAGRAM: usize = 65_536;
/// Most room made for bytes that have not arrived yet.
const READ_AHEAD: usize = 64 * 1024;

/// A connection that carries inner packets.
#[derive(Debug)]
pub(crate) struct Wire {
    kind: Kind,
    /// TCP: what arrived and was not taken yet, from `start`. UDP: room for one datagram.
    buffer: Vec<u8>,
    start: usize,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// Why nothing more comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the terminal closed the connection")]
    Closed,
    #[error("the terminal closed the connection in the middle of a frame")]
    ClosedInside,
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Wire {
    /// Connects; the caller limits the time.
    pub(crate) async fn open(address: &Address) -> io::Result<Self> {
        let target = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let kind = match address {
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((target(host), *port)).await?;
                stream.set_nodelay(true)?;
                // A terminal that rebooted leaves without a FIN; the heartbeat finds it first, this in any case.
                let alive =
                    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
                SockRef::from(&stream).set_tcp_keepalive(&alive.with_retries(3))?;
                Kind::Tcp(stream)
            }
            Address::Udp { host, port } => {
                let peer = tokio::net::lookup_host((target(host), *port)).await?.next();
                let peer = peer.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
                let local = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                // One local port for the whole session: the terminal answers to where the question came from.
                let socket = UdpSocket::bind(local).await?;
                socket.connect(peer).await?;
                Kind::Udp(socket)
            }
            Address::Serial(_) => return Err(io::Error::new(io::ErrorKind::Unsupported, "no serial lines here")),
        };
        Ok(Self { kind, buffer: Vec::new(), start: 0 })
    }

    pub(crate) fn is_udp(&self) -> bool {
        matches!(self.kind, Kind::Udp(_))
    }

    /// Sends one inner packet.
    pub(crate) async fn send(&mut self, inner: &[u8]) -> io::Result<()> {
        match &mut self.kind {
            Kind::Tcp(stream) => stream.write_all(&wrap(inner)).await,
            Kind::Udp(socket) => socket.send(inner).await.map(drop),
        }
    }

    /// The next inner packet. Safe to drop in a `select!`.
    pub(crate) async fn receive(&mut self) -> Result<Vec<u8>, WireError> {
        match &mut self.kind {
            Kind::Tcp(stream) => loop {
                let waiting = &self.buffer[self.start..];
                let missing = match frame_length(waiting)? {
                    Some(length) if waiting.len() >= length => {
                        let inner = waiting[WRAPPER..length].to_vec();
                        self.start += length;
                        return Ok(inner);
                    }
                    Some(length) => length - waiting.len(),
                    None => WRAPPER,
                };
                if self.start > 0 {
                    self.buffer.drain(..self.start);
                    self.start = 0;
                }
                // By what is missing, but never more than a little: a length alone costs no memory.
                self.buffer.reserve(missing.clamp(4096, READ_AHEAD));
                if stream.read_buf(&mut self.buffer).await? == 0 {
                    return Err(if self.buffer.is_empty() { WireError::Closed } else { WireError::ClosedInside });
                }
            },
            Kind::Udp(socket) => loop {
                self.buffer.resize(DATAGRAM, 0);
                let length = socket.recv(&mut self.buffer).await?;
                let datagram = &self.buffer[..length];
                // A TCP frame in a datagram, or too little for a header, is nobody's answer.
                if !datagram.starts_with(&MAGIC) && length >= crate::frame::HEADER {
                    return Ok(datagram.to_vec());
                }
                tracing::debug!(length, "datagram dropped that is no packet");
            },
        }
    }
}
