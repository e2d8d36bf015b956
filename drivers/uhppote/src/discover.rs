//! Boards that nobody told us of: asked by broadcast, and only when a person asks. Never part of a running driver.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use driver_api::{Finder, Finding, Reach};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

pub use crate::board::Controller;
use crate::packet::{PORT, Packet, function};

pub const FINDER: Finder = Finder { driver: crate::KIND.name, reach: Reach::Broadcast(PORT), ask: find };

/// More boards than this are not told apart: somebody is playing with us.
const MOST: usize = 1000;

/// A board that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub controller: Controller,
    /// Where its answer came from.
    pub from: SocketAddr,
}

impl Found {
    /// The `[[terminal]]` block that would serve it, ready to be pasted.
    pub fn block(&self) -> String {
        let (serial, from) = (self.controller.serial, self.from);
        format!(
            "[[terminal]]\nname = \"board-{serial}\"\ndriver = \"{}\"\naddress = \"udp://{from}\"\nserial = {serial}\n",
            crate::KIND.name
        )
    }
}

fn find(to: SocketAddr, patience: Duration) -> Finding {
    Box::pin(async move {
        // A network that lets nobody call has nobody.
        let found = discover(to, patience).await.unwrap_or_default();
        let one = |it: Found| driver_api::Found {
            vendor: "UHPPOTE or kin".into(),
            model: it.controller.model(),
            serial: it.controller.serial.to_string(),
            firmware: it.controller.version.clone(),
            address: format!("udp://{}", it.from),
            note: String::new(),
            block: format!("address = \"udp://{}\"\nserial = {}\n", it.from, it.controller.serial),
        };
        found.into_iter().map(one).collect()
    })
}

/// Asks every board that hears it who it is, and collects answers until `patience` is over. `to` is a broadcast address with
/// the boards' port, `192.0.2.255:60000` or `255.255.255.255:60000`, or one board's own.
pub async fn discover(to: SocketAddr, patience: Duration) -> io::Result<Vec<Found>> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    socket.set_broadcast(true)?;
    let deadline = Instant::now() + patience;
    let mut found = BTreeMap::new();
    let mut buffer = [0; 128];
    // Twice, since a datagram may get lost.
    for until in [Instant::now() + patience / 2, deadline] {
        socket.send_to(Packet::new(function::CONTROLLER, 0).as_bytes(), to).await?;
        while let Ok(received) = timeout_at(until, socket.recv_from(&mut buffer)).await {
            // An answer that came with an ICMP error is none; the socket goes on.
            let Ok((length, from)) = received else { continue };
            match Packet::parse(&buffer[..length]) {
                Ok(packet) if packet.function() == function::CONTROLLER && packet.serial() != 0 => {
                    if found.len() < MOST {
                        let controller = Controller::of(&packet);
                        found.entry(controller.serial).or_insert(Found { controller, from });
                    }
                }
                _ => tracing::debug!(%from, length, "datagram dropped that is no board's answer"),
            }
        }
    }
    Ok(found.into_values().collect())
}
