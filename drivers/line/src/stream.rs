//! An open line: bytes in, bytes out.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_serial::SerialStream;

/// A serial port, or the TCP connection that stands in for one. A port whose adapter was pulled reads as closed, as a
/// connection does whose other side left.
pub enum Stream {
    Serial(SerialStream),
    Tcp(TcpStream),
}

impl Stream {
    pub fn is_serial(&self) -> bool {
        matches!(self, Self::Serial(_))
    }

    /// Drops what has arrived and was not read: answers to questions that nobody asks any more, and noise. How many bytes
    /// that were. Never waits. An error means that the line is gone.
    pub fn poll_drain(self: &mut Pin<&mut Self>, cx: &mut Context<'_>) -> io::Result<usize> {
        let (mut room, mut dropped) = ([0; 256], 0);
        // Somebody who talks without end is not waited for: what is left will be seen as noise.
        while dropped < 64 * 1024 {
            let mut buffer = ReadBuf::new(&mut room);
            match self.as_mut().poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Ok(())) => dropped += buffer.filled().len(),
            }
        }
        Ok(dropped)
    }

    /// Reads what has arrived, for those who poll: never waits, [`io::ErrorKind::WouldBlock`] when nothing has. An end of
    /// the line is an error, as in all reading here.
    pub fn try_read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Serial(port) => port.try_read(room),
            Self::Tcp(stream) => stream.try_read(room),
        };
        match read {
            Ok(0) if !room.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        }
    }

    /// Writes what goes out at once; never waits.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Serial(port) => port.try_write(bytes),
            Self::Tcp(stream) => stream.try_write(bytes),
        }
    }

    /// Returns when [`Stream::try_read`] is worth a try. Safe to drop.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Serial(port) => port.readable().await,
            Self::Tcp(stream) => stream.readable().await,
        }
    }

    /// [`Stream::poll_drain`] for those who wait anyway.
    pub async fn drain(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *self).poll_drain(cx))).await
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_serial() { "Serial" } else { "Tcp" })
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Serial(port) => Pin::new(port).poll_read(cx, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Serial(port) => Pin::new(port).poll_write(cx, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Its own flush waits in the kernel until the last bit is on the wire, and everybody else with it. Bytes leave
            // a port by themselves.
            Self::Serial(_) => Poll::Ready(Ok(())),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Serial(_) => Poll::Ready(Ok(())),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
