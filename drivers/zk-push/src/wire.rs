//! The connection between a terminal and the HTTP library: mends what terminals write and the library refuses, keeps
//! the deadlines, and holds back what is no part of a request.
//!
//! Three habits of terminals are the reason:
//! * Raw spaces and other bytes in request targets (`INFO=Ver 6.8.0(build640), 2, 0`), which hyper answers with 400.
//!   The request line is split at its first and last space, and the target between them is percent-encoded.
//! * Bodies longer than their `Content-Length`. What follows must not be parsed as another request, so the library sees
//!   nothing behind a body until it has answered; [`Surplus`] tells the server, which then closes. Line ends that nobody
//!   counted are nothing, and the beginning of a next request is no sign that the last line was cut.
//! * Pauses anywhere. A head has its deadline from its first byte on, an idle connection a longer one.
//!
//! Not mended: a second request behind a chunked body in the same packet goes to the library as it is.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::head::{self, Behind, Framing};

/// From the first byte of a head to its last.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(10);
/// Without a request.
const IDLE_TIME: Duration = Duration::from_secs(75);
/// From a head to our answer, whatever happens in between. The body's own deadline is shorter.
const ANSWER_TIME: Duration = Duration::from_secs(180);
/// A longer head goes to the library unread, which answers 431.
const LONGEST_HEAD: usize = 16 << 10;

/// Whether more bytes came than the request announced, or it announced its end in two ways.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surplus(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    surplus: AtomicBool,
    cut: AtomicBool,
    both: AtomicBool,
}

impl Surplus {
    pub(crate) fn seen(&self) -> bool {
        self.0.surplus.load(Ordering::Relaxed)
    }

    /// The last line of the body goes on behind it.
    pub(crate) fn cuts_a_line(&self) -> bool {
        self.0.cut.load(Ordering::Relaxed)
    }

    /// Bytes came behind a body.
    fn note(&self, bytes: &[u8]) {
        if let Behind::Surplus { cut } = head::behind(bytes) {
            self.0.surplus.store(true, Ordering::Relaxed);
            self.0.cut.fetch_or(cut, Ordering::Relaxed);
        }
    }

    /// A length and chunks at once.
    pub(crate) fn two_ends(&self) -> bool {
        self.0.both.load(Ordering::Relaxed)
    }
}

pub(crate) struct Wire<S> {
    inner: S,
    /// Read and not yet looked at or handed on.
    held: Vec<u8>,
    /// Mended heads on their way to the library.
    out: Vec<u8>,
    state: State,
    answered: bool,
    surplus: Surplus,
    gate: Option<Waker>,
    deadline: Pin<Box<Sleep>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A head is to come, or has begun.
    Head { begun: bool },
    /// So much of the body is to come.
    Body(u64),
    /// The library finds the end: chunked, or a head that it will refuse.
    Open,
    /// The request is complete; the answer is awaited. With a body before it, what comes now is surplus.
    Gate { body: bool },
}

impl<S> Wire<S> {
    pub(crate) fn new(inner: S) -> Self {
        let deadline = Box::pin(sleep(HEAD_TIME));
        let (held, out) = (Vec::new(), Vec::new());
        let state = State::Head { begun: true }; // whoever connects has something to say
        Self { inner, held, out, state, answered: false, surplus: Surplus::default(), gate: None, deadline }
    }

    pub(crate) fn surplus(&self) -> Surplus {
        self.surplus.clone()
    }

    /// Looks for a whole head in what is held. True if there is something for the library.
    fn take_head(&mut self) -> bool {
        // Empty lines in front of a request are nothing (and no head that ends at once).
        let empty = self.held.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.held.drain(..empty);
        let Some(end) = head::end(&self.held) else {
            if self.held.len() > LONGEST_HEAD {
                self.out.append(&mut self.held);
                self.state = State::Open;
            }
            return !self.out.is_empty();
        };
        let rest = self.held.split_off(end);
        let whole = std::mem::replace(&mut self.held, rest);
        self.state = match head::framing(&whole) {
            Framing::Length(0) => State::Gate { body: false },
            Framing::Length(length) => State::Body(length),
            Framing::Other => State::Open,
            Framing::Both => {
                self.surplus.0.both.store(true, Ordering::Relaxed);
                State::Open
            }
        };
        self.answered = false;
        self.deadline.as_mut().reset(Instant::now() + ANSWER_TIME);
        self.out = head::mended(whole);
        true
    }

    /// The answer is on its way: the next request may come.
    fn open_gate(&mut self) {
        if matches!(self.state, State::Gate { .. } | State::Open) && self.answered {
            self.state = State::Head { begun: !self.held.is_empty() };
            let time = if self.held.is_empty() { IDLE_TIME } else { HEAD_TIME };
            self.deadline.as_mut().reset(Instant::now() + time);
        }
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Reads into `held`; the number of bytes, 0 at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [0; 4096];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
        self.held.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_in_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request, or no answer, in time")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.open_gate();
        loop {
            if !this.out.is_empty() {
                hand_on(&mut this.out, into, usize::MAX);
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Head { begun } => {
                    if this.take_head() {
                        continue;
                    }
                    match this.poll_fill(cx) {
                        Poll::Ready(read) => {
                            if read? == 0 {
                                // The library shall see the end, and what was left of a head in front of it.
                                this.out.append(&mut this.held);
                                this.state = State::Open;
                                if this.out.is_empty() {
                                    return Poll::Ready(Ok(()));
                                }
                            } else if !begun {
                                this.state = State::Head { begun: true };
                                this.deadline.as_mut().reset(Instant::now() + HEAD_TIME);
                            }
                        }
                        Poll::Pending => return this.poll_in_time(cx),
                    }
                }
                State::Body(left) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    let given = if this.held.is_empty() {
                        ready!(poll_at_most(&mut this.inner, cx, into, most))?
                    } else {
                        hand_on(&mut this.held, into, most)
                    };
                    let left = left - given as u64;
                    this.state = if left == 0 { State::Gate { body: true } } else { State::Body(left) };
                    if left == 0 {
                        this.surplus.note(&this.held);
                    }
                    return Poll::Ready(Ok(()));
                }
                State::Open if this.held.is_empty() => return Pin::new(&mut this.inner).poll_read(cx, into),
                State::Open => {
                    hand_on(&mut this.held, into, usize::MAX);
                    return Poll::Ready(Ok(()));
                }
                State::Gate { body } => {
                    this.gate = Some(cx.waker().clone());
                    if !this.held.is_empty() {
                        return this.poll_in_time(cx); // one packet of it is enough to know, and more is not wanted
                    }
                    match this.poll_fill(cx) {
                        Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                        Poll::Ready(Ok(_)) if body => this.surplus.note(&this.held),
                        Poll::Ready(Ok(_)) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => return this.poll_in_time(cx),
                    }
                }
            }
        }
    }
}

/// Moves the front of `from` on; returns how much.
fn hand_on(from: &mut Vec<u8>, into: &mut ReadBuf<'_>, most: usize) -> usize {
    let count = from.len().min(into.remaining()).min(most);
    into.put_slice(&from[..count]);
    from.drain(..count);
    count
}

fn poll_at_most<S: AsyncRead + Unpin>(
    inner: &mut S,
    cx: &mut Context<'_>,
    into: &mut ReadBuf<'_>,
    most: usize,
) -> Poll<io::Result<usize>> {
    let most = most.min(into.remaining());
    let mut space = ReadBuf::new(into.initialize_unfilled_to(most));
    ready!(Pin::new(inner).poll_read(cx, &mut space))?;
    let count = space.filled().len();
    into.advance(count);
    Poll::Ready(Ok(count))
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // "100 Continue" is no answer yet.
        if !this.answered && !bytes.starts_with(b"HTTP/1.1 1") {
            this.answered = true;
            if let Some(waiting) = this.gate.take() {
                waiting.wake();
            }
        }
        Pin::new(&mut this.inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
