//! One line with its terminals: one question at a time, and a fresh start after each that was not answered.
//!
//! A late answer has the form of a right one: on a serial line nothing tells which question it belongs to. So the line is
//! given up after a time-out, what still comes is dropped while it is opened anew, and what lies unread before a question
//! is dropped before it is asked.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context as Waker, Poll},
    time::Duration,
};

use line::{Port, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_modbus::{
    Error, ExceptionCode, ProtocolError, Request, Response, Slave,
    client::{Client, Context, rtu, tcp},
    slave::SlaveContext,
};

use crate::map::{Block, MOST_READ, Target};

/// How questions are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Framing {
    /// With a header, on TCP.
    Tcp,
    /// With a checksum: on serial lines, and through serial servers.
    Rtu,
}

/// A question that brought no answer of use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("the line is gone: {0}")]
    Gone(io::Error),
    #[error("no answer that makes sense: {0}")]
    Garbled(String),
    /// It answered, and will not.
    #[error("it answered {}", meaning(*.0))]
    Exception(ExceptionCode),
}

fn meaning(code: ExceptionCode) -> String {
    let words = match code {
        ExceptionCode::IllegalFunction => "it does not know this function: the map does not fit",
        ExceptionCode::IllegalDataAddress => "it has no such address: the map does not fit",
        ExceptionCode::IllegalDataValue => "it does not take this value or length: the map does not fit",
        ExceptionCode::ServerDeviceFailure => "it failed",
        ExceptionCode::Acknowledge | ExceptionCode::ServerDeviceBusy => "it is busy",
        ExceptionCode::GatewayPathUnavailable => "the Modbus gateway has no way to it",
        ExceptionCode::GatewayTargetDevice => "it does not answer the Modbus gateway",
        _ => "something that is in no standard",
    };
    format!("exception {:02X}: {words}", u8::from(code))
}

pub(crate) struct Bus {
    pub(crate) port: Port,
    framing: Framing,
    /// Between two frames, and for what comes late.
    silence: Duration,
    context: Option<Context>,
    quiet_from: Instant,
}

impl Bus {
    pub(crate) fn new(port: Port, framing: Framing, silence: Duration) -> Self {
        Self { port, framing, silence, context: None, quiet_from: Instant::now() }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.context.is_some()
    }

    /// Takes an open line.
    pub(crate) async fn begin(&mut self, mut stream: Stream) {
        if self.framing == Framing::Rtu {
            // What was on its way to the one who had the line before.
            sleep(self.silence).await;
        }
        // An error shows itself again with the first question.
        let _ = stream.drain().await;
        let wire = Wire { stream, asking: false };
        self.context = Some(match self.framing {
            Framing::Tcp => tcp::attach(wire),
            Framing::Rtu => rtu::attach(wire),
        });
    }

    pub(crate) fn close(&mut self) {
        self.context = None;
    }

    /// Asks one unit. After anything but an answer the line is closed.
    async fn ask(&mut self, unit: u8, limit: Duration, request: Request<'_>) -> Result<Response, Failed> {
        let Some(context) = &mut self.context else {
            return Err(Failed::Gone(io::ErrorKind::NotConnected.into()));
        };
        if self.framing == Framing::Rtu {
            sleep_until(self.quiet_from).await;
        }
        context.set_slave(Slave(unit));
        let outcome = timeout(limit, context.call(request)).await;
        self.quiet_from = Instant::now() + self.silence;
        let failed = match outcome {
            Ok(Ok(Ok(response))) => return Ok(response),
            Ok(Ok(Err(exception))) => return Err(Failed::Exception(exception)),
            Ok(Err(Error::Protocol(ProtocolError::HeaderMismatch { message, .. }))) => Failed::Garbled(message),
            Ok(Err(Error::Protocol(ProtocolError::FunctionCodeMismatch { request, .. }))) => {
                Failed::Garbled(format!("another function than {request} answered"))
            }
            Ok(Err(Error::Transport(error))) => match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Failed::Garbled(error.to_string()),
                _ => Failed::Gone(error),
            },
            Err(_) => Failed::Silent(limit),
        };
        self.close();
        Err(failed)
    }

    /// An answer of another length, or with another echo, is no answer.
    fn odd<T>(&mut self, what: &str) -> Result<T, Failed> {
        self.close();
        Err(Failed::Garbled(what.to_owned()))
    }

    /// Reads registers, however many.
    pub(crate) async fn registers(&mut self, unit: u8, limit: Duration, block: Block) -> Result<Vec<u16>, Failed> {
        let mut words = Vec::with_capacity(block.words.into());
        while words.len() < block.words.into() {
            let addr = block.addr.wrapping_add(words.len() as u16);
            let count = (block.words - words.len() as u16).min(MOST_READ);
            let request = match block.fc {
                4 => Request::ReadInputRegisters(addr, count),
                _ => Request::ReadHoldingRegisters(addr, count),
            };
            match self.ask(unit, limit, request).await? {
                Response::ReadInputRegisters(read) | Response::ReadHoldingRegisters(read)
                    if read.len() == usize::from(count) =>
                {
                    words.extend(read);
                }
                _ => return self.odd("it sent another number of registers than asked for"),
            }
        }
        Ok(words)
    }

    /// Reads one bit.
    pub(crate) async fn bit(&mut self, unit: u8, limit: Duration, fc: u8, addr: u16) -> Result<bool, Failed> {
        let request = if fc == 1 { Request::ReadCoils(addr, 1) } else { Request::ReadDiscreteInputs(addr, 1) };
        match self.ask(unit, limit, request).await? {
            // Bits come in whole bytes.
            Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits) if bits.len() == 8 => Ok(bits[0]),
            _ => self.odd("it sent another number of bits than asked for"),
        }
    }

    /// Writes registers, or a coil.
    pub(crate) async fn write(
        &mut self,
        unit: u8,
        limit: Duration,
        target: Target,
        words: &[u16],
    ) -> Result<(), Failed> {
        let Target { fc, addr } = target;
        let first = words.first().copied().unwrap_or(0);
        let (request, expected) = match fc {
            5 => (Request::WriteSingleCoil(addr, first != 0), Response::WriteSingleCoil(addr, first != 0)),
            6 => (Request::WriteSingleRegister(addr, first), Response::WriteSingleRegister(addr, first)),
            _ => (
                Request::WriteMultipleRegisters(addr, words.into()),
                Response::WriteMultipleRegisters(addr, words.len() as u16),
            ),
        };
        if self.ask(unit, limit, request).await? == expected {
            Ok(())
        } else {
            self.odd("it confirmed another write than the one asked for")
        }
    }
}

/// Drops what was not read when the next question begins.
struct Wire {
    stream: Stream,
    /// A question is being written.
    asking: bool,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Waker<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.asking = false;
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Waker<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.asking {
            let dropped = Pin::new(&mut this.stream).poll_drain(cx)?;
            if dropped > 0 {
                tracing::debug!(dropped, "bytes that nobody asked for");
            }
            this.asking = true;
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Waker<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Waker<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
