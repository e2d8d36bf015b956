//! The sockets of a simulated terminal.

use std::{
    collections::HashMap,
    future::pending,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    select,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
};

use super::{
    model::{Cutting, Second},
    state::{Push, State},
};
use crate::frame::{Packet, WRAPPER, frame_length, wrap};

pub(super) type Shared = Arc<Mutex<State>>;

pub(super) async fn serve_tcp(door: TcpListener, shared: Shared) {
    let mut visitors = JoinSet::new();
    // A terminal out of file descriptors is of no use to anybody: it ends.
    while let Ok((stream, _)) = door.accept().await {
        let (push, pushed) = unbounded_channel();
        let id = {
            let mut state = lock(&shared);
            // Some clients look with a connection of their own whether the port is open: that takes no place.
            let taken = state.visitors.values().any(|visitor| visitor.session != 0);
            match state.model.second {
                Second::Closed if taken => continue,
                Second::TakesOver if taken => {
                    state.push_all(&Push::Close);
                    state.arrive(push)
                }
                Second::Ignored if taken => {
                    visitors.spawn(async move { ignore(stream).await });
                    continue;
                }
                _ => state.arrive(push),
            }
        };
        let shared = shared.clone();
        visitors.spawn(async move {
            // A client that went away is no news here.
            let _ = visit(stream, pushed, id, &shared).await;
            lock(&shared).visitors.remove(&id);
        });
    }
}

async fn ignore(mut stream: TcpStream) {
    let mut void = [0; 512];
    while stream.read(&mut void).await.is_ok_and(|length| length > 0) {}
}

async fn visit(mut stream: TcpStream, mut pushed: UnboundedReceiver<Push>, id: u64, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        while let Some(length) =
            frame_length(&buffer).map_err(io::Error::other)?.filter(|length| buffer.len() >= *length)
        {
            let packet = Packet::decode(&buffer[WRAPPER..length]).map_err(io::Error::other)?.0;
            buffer.drain(..length);
            let (answer, cutting) = {
                let mut state = lock(shared);
                (state.answer(id, &packet, false), state.model.cutting)
            };
            match answer.bytes {
                Some(bytes) => stream.write_all(&bytes).await?,
                None => send(&mut stream, &answer.packets, cutting).await?,
            }
            if answer.restart {
                lock(shared).push_all(&Push::Close);
            }
            if answer.close {
                return stream.shutdown().await;
            }
        }
        select! {
            read = stream.read_buf(&mut buffer) => if read? == 0 { return Ok(()) },
            push = pushed.recv() => match push {
                Some(Push::Packet(inner)) => {
                    let cutting = lock(shared).model.cutting;
                    send(&mut stream, &[inner], cutting).await?;
                }
                Some(Push::Bytes(bytes)) => stream.write_all(&bytes).await?,
                Some(Push::Die) => {
                    let _held_open = stream;
                    return pending().await;
                }
                Some(Push::Close) | None => return Ok(()),
            },
        }
    }
}

async fn send(stream: &mut TcpStream, packets: &[Vec<u8>], cutting: Cutting) -> io::Result<()> {
    match cutting {
        Cutting::Packets => {
            for inner in packets {
                stream.write_all(&wrap(inner)).await?;
            }
        }
        Cutting::Paced(millis) => {
            for inner in packets {
                stream.write_all(&wrap(inner)).await?;
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
        }
        Cutting::Glued => stream.write_all(&glue(packets)).await?,
        Cutting::Pieces(size) => {
            for piece in glue(packets).chunks(size.max(1)) {
                stream.write_all(piece).await?;
                // Lets the other side read before the next piece, so that pieces do not melt together.
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(())
}

fn glue(packets: &[Vec<u8>]) -> Vec<u8> {
    packets.iter().flat_map(|inner| wrap(inner)).collect()
}

pub(super) async fn serve_udp(socket: UdpSocket, shared: Shared) {
    let socket = Arc::new(socket);
    let mut known: HashMap<SocketAddr, u64> = HashMap::new();
    let mut pushers = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let Ok((packet, Ok(()))) = Packet::decode(&buffer[..length]) else { continue };
        let answer = {
            let mut state = lock(&shared);
            known.retain(|_, id| state.visitors.contains_key(id));
            let id = *known.entry(peer).or_insert_with(|| {
                let (push, pushed) = unbounded_channel();
                pushers.spawn(push_datagrams(socket.clone(), peer, pushed));
                state.arrive(push)
            });
            let answer = state.answer(id, &packet, true);
            if answer.close {
                state.visitors.remove(&id);
            }
            if answer.restart {
                state.push_all(&Push::Close);
            }
            answer
        };
        for datagram in answer.bytes.iter().chain(&answer.packets) {
            // A client that is gone is told by nobody on UDP.
            let _ = socket.send_to(datagram, peer).await;
        }
    }
}

async fn push_datagrams(socket: Arc<UdpSocket>, peer: SocketAddr, mut pushed: UnboundedReceiver<Push>) {
    while let Some(Push::Packet(datagram) | Push::Bytes(datagram)) = pushed.recv().await {
        // The same here.
        let _ = socket.send_to(&datagram, peer).await;
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, State> {
    shared.lock().expect("no part of the simulator panics while it holds this")
}
