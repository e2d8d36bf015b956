//! The line between gateway and broker, which can be shut: bytes go through as they are, TLS and all.
//!
//! The embedded broker has nothing but memory. Killed with an acknowledged punch that its subscriber does not have yet, or
//! fed by the gateway before the subscriber is back, it would lose punches, and none of it would be the gateway's doing. So
//! an outage begins here, before the broker is killed, and ends here, after the subscriber has come back.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub(super) struct Valve {
    port: u16,
    broker: SocketAddr,
    /// Whatever is open, all of it gone with the set.
    open: JoinSet<()>,
}

impl Valve {
    /// Between this port and the broker's, both on loopback; shut.
    pub(super) fn new(port: u16, broker: u16) -> Self {
        Self { port, broker: (Ipv4Addr::LOCALHOST, broker).into(), open: JoinSet::new() }
    }

    pub(super) async fn open(&mut self) -> io::Result<()> {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let broker = self.broker;
        self.open.spawn(async move {
            let mut lines = JoinSet::new();
            // What cannot be accepted cannot be passed on either: the gateway comes again.
            while let Ok((mut gateway, _)) = door.accept().await {
                lines.spawn(async move {
                    let Ok(mut broker) = TcpStream::connect(broker).await else { return };
                    // Either side may end it, and both know what to do then.
                    let _ = gateway.set_nodelay(true).and(broker.set_nodelay(true));
                    let _ = copy_bidirectional(&mut gateway, &mut broker).await;
                });
                while lines.try_join_next().is_some() {}
            }
        });
        Ok(())
    }

    /// Nothing passes any more, and nobody answers at the port. Returns when that is so.
    pub(super) async fn shut(&mut self) {
        self.open.shutdown().await;
    }
}

/// A free port below those from which kernels take one for each outgoing connection: so it is still free after an outage.
/// Demos that begin at the same moment look in different places.
pub(super) fn free_port() -> io::Result<u16> {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    const OWN: u16 = 8;
    let mut tries = 0;
    loop {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        let port = if asked < OWN {
            20_000 + (std::process::id() % 1250) as u16 * OWN + asked
        } else {
            rand::random_range(20_000..30_000)
        };
        match std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) if tries == 100 => return Err(error),
            Err(_) => tries += 1,
        }
    }
}
