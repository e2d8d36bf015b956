//! The sockets of a simulated board.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use super::state::State;
use crate::packet::{LENGTH, Packet};

pub(super) type Shared = Arc<Mutex<State>>;

pub(super) async fn serve_udp(socket: Arc<UdpSocket>, shared: Shared) {
    let mut buffer = [0; 512];
    let mut copies = JoinSet::new();
    loop {
        // An ICMP error of somebody who left is none of ours.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Ok(question) = Packet::parse(&buffer[..length]) else { continue };
        let (answer, doubled) = {
            let mut state = lock(&shared);
            (state.answer(&question), state.doubled)
        };
        if let Some(after) = doubled {
            tokio::time::sleep(after * 3 / 2).await;
        }
        for packet in answer.packets {
            // Who asked may be gone: nobody is told of that on UDP.
            let _ = socket.send_to(&packet, from).await;
            if let Some(after) = doubled {
                let socket = socket.clone();
                copies.spawn(async move {
                    tokio::time::sleep(after).await;
                    // The same here.
                    let _ = socket.send_to(&packet, from).await;
                });
            }
        }
        while copies.try_join_next().is_some() {}
    }
}

pub(super) async fn serve_tcp(door: TcpListener, shared: Shared) {
    let mut visitors = JoinSet::new();
    while let Ok((stream, _)) = door.accept().await {
        let shared = shared.clone();
        visitors.spawn(async move {
            // A client that went away is no news here.
            let _ = visit(stream, &shared).await;
        });
    }
}

async fn visit(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; LENGTH];
    loop {
        stream.read_exact(&mut buffer).await?;
        let question = Packet::parse(&buffer).map_err(io::Error::other)?;
        let (answer, pieces) = {
            let mut state = lock(shared);
            (state.answer(&question), state.model.pieces)
        };
        for packet in answer.packets {
            for piece in packet.chunks(if pieces == 0 { packet.len().max(1) } else { pieces }) {
                stream.write_all(piece).await?;
                tokio::task::yield_now().await;
            }
        }
        if answer.close {
            return stream.shutdown().await;
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().expect("no part of the simulator panics while it holds this")
}
