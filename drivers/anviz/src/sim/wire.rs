//! The sockets and lines of simulated terminals.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    select,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::sleep,
};

use super::{
    Model,
    fault::{Fault, Harm},
    unit::Unit,
};
use crate::{
    frame::{Frame, Parser},
    record::{Record, seconds},
};

pub(super) type Shared = Arc<Mutex<State>>;

/// A line with its terminals.
#[derive(Default)]
pub(super) struct State {
    pub(super) units: Vec<Unit>,
    pub(super) faults: Vec<Fault>,
    pub(super) pieces: usize,
    /// An answer that comes again.
    echo: Vec<u8>,
    visitors: Vec<UnboundedSender<Push>>,
}

/// What is sent unasked.
#[derive(Debug, Clone)]
pub(super) enum Push {
    Bytes(Vec<u8>),
    Close,
}

/// What is sent for one question.
#[derive(Default)]
struct Answer {
    bytes: Vec<u8>,
    after: Duration,
    close: bool,
}

impl State {
    pub(super) fn shared(models: Vec<Model>) -> Shared {
        let units = models.into_iter().map(Unit::new).collect();
        Arc::new(Mutex::new(Self { units, ..Self::default() }))
    }

    /// To all who are connected; how many those are.
    pub(super) fn push(&mut self, push: &Push) -> usize {
        self.visitors.retain(|visitor| visitor.send(push.clone()).is_ok());
        let count = self.visitors.len();
        if matches!(push, Push::Close) {
            self.visitors.clear();
        }
        count
    }

    fn answer(&mut self, question: &Frame) -> Answer {
        let mut answer = Answer::default();
        if question.is_answer() {
            return answer; // to our heartbeat
        }
        for at in 0..self.units.len() {
            let unit = &self.units[at];
            if unit.deaf || (question.unit != 0 && question.unit != unit.model.unit) {
                continue;
            }
            let harm = self.harm(question.command);
            if matches!(harm, Some(Harm::Deaf)) {
                continue;
            }
            answer.bytes.append(&mut self.echo);
            if let Some(Harm::Punch(user)) = harm {
                let unit = &mut self.units[at];
                let seconds = seconds(unit.now(), unit.model.epoch);
                let raw = Record { user, seconds, backup: 8, kind: 0x80, work_code: 0 }.encode();
                unit.log.push(raw);
                answer.bytes.extend(unit.told(&raw));
            }
            let Some(frame) = self.units[at].answer(question) else { continue };
            let mut bytes = frame.encode();
            match harm {
                Some(Harm::Mute) => bytes.clear(),
                Some(Harm::Corrupt) => bytes[5] ^= 0x10,
                Some(Harm::Bytes(rubbish)) => bytes = [rubbish, bytes].concat(),
                Some(Harm::Instead(rubbish)) => bytes = rubbish,
                Some(Harm::Twice) => bytes = bytes.repeat(2),
                Some(Harm::Echo) => self.echo = bytes.clone(),
                Some(Harm::Late(millis)) => answer.after = Duration::from_millis(millis),
                Some(Harm::Foreign) => bytes = Frame { unit: frame.unit + 77, ..frame }.encode(),
                Some(Harm::Result(result)) => bytes = Frame::answer(frame.unit, frame.command, result, []).encode(),
                Some(Harm::Close) => answer.close = true,
                Some(Harm::Deaf | Harm::Punch(_)) | None => {}
            }
            answer.bytes.extend(bytes);
        }
        answer
    }

    fn harm(&mut self, asked: u8) -> Option<Harm> {
        let at = self.faults.iter().position(|fault| fault.command.is_none_or(|it| it == asked))?;
        let fault = &mut self.faults[at];
        fault.times = fault.times.saturating_sub(1);
        let harm = fault.harm.clone();
        if fault.times == 0 {
            self.faults.remove(at);
        }
        Some(harm)
    }
}

pub(super) async fn accept(door: TcpListener, shared: Shared) {
    let mut visitors = JoinSet::new();
    while let Ok((stream, _)) = door.accept().await {
        let shared = shared.clone();
        visitors.spawn(async move {
            let _ = stream.set_nodelay(true);
            // A client that went away is no news here.
            let _ = visit(stream, &shared).await;
        });
    }
}

pub(super) async fn dial(to: SocketAddr, shared: Shared) {
    loop {
        if let Ok(stream) = TcpStream::connect(to).await {
            let _ = stream.set_nodelay(true);
            // Who hangs up is called again.
            let _ = visit(stream, &shared).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

pub(super) async fn visit(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    let (push, mut pushed) = unbounded_channel();
    {
        let mut state = lock(shared);
        state.visitors.push(push);
        state.units.iter_mut().for_each(|unit| unit.logged_in = false);
    }
    let mut parser = Parser::default();
    loop {
        while let Some(question) = parser.next() {
            let (answer, pieces) = {
                let mut state = lock(shared);
                (state.answer(&question), state.pieces)
            };
            if !answer.after.is_zero() {
                sleep(answer.after).await;
            }
            if answer.close {
                return stream.shutdown().await;
            }
            write(&mut stream, &answer.bytes, pieces).await?;
        }
        select! {
            read = stream.read_buf(parser.room()) => if read? == 0 { return Ok(()) },
            push = pushed.recv() => match push {
                Some(Push::Bytes(bytes)) => {
                    let pieces = lock(shared).pieces;
                    write(&mut stream, &bytes, pieces).await?;
                }
                Some(Push::Close) | None => return stream.shutdown().await,
            },
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], pieces: usize) -> io::Result<()> {
    for piece in bytes.chunks(if pieces == 0 { bytes.len().max(1) } else { pieces }) {
        stream.write_all(piece).await?;
        stream.flush().await?;
        // Lets the other side read before the next piece, so that pieces do not melt together.
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().expect("no part of the simulator panics while it holds this")
}
