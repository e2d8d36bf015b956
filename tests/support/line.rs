//! A line to a broker that can be cut and stalled.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Whole,
    /// Connections stay, new ones are accepted, nothing passes.
    Stalled,
    /// Connections end, and new ones end at once.
    Cut,
}

/// A TCP proxy in front of a port of this machine.
pub struct Line {
    pub port: u16,
    wire: watch::Sender<Wire>,
    task: JoinHandle<()>,
}

impl Line {
    pub async fn to(port: u16) -> Self {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let here = door.local_addr().unwrap().port();
        let (wire, state) = watch::channel(Wire::Whole);
        let task = tokio::spawn(async move {
            loop {
                let (near, _) = door.accept().await.unwrap();
                if *state.borrow() == Wire::Cut {
                    continue;
                }
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { continue };
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                tokio::spawn(pass(from_near, to_far, state.clone()));
                tokio::spawn(pass(from_far, to_near, state.clone()));
            }
        });
        Self { port: here, wire, task }
    }

    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<Wire>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if state.wait_for(|wire| *wire != Wire::Stalled).await.is_err() || *state.borrow() == Wire::Cut {
            return;
        }
        tokio::select! {
            _ = state.changed() => {}
            read = from.read(&mut buffer) => {
                let Ok(count @ 1..) = read else { return };
                // What was read before a stall passes after it, like bytes in the air.
                if state.wait_for(|wire| *wire != Wire::Stalled).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
