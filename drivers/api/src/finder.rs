//! Terminals that nobody told us of: what a driver asks at an address when a person looks for them. Never part of a running
//! driver: it books nothing, logs in nowhere, and leaves what it found as it was.

use std::{future::Future, net::SocketAddr, pin::Pin, time::Duration};

/// How a driver finds its terminals.
pub struct Finder {
    /// As in `driver = "zk"`.
    pub driver: &'static str,
    pub reach: Reach,
    /// Asks at this address for so long at most; everything that answered as one of this driver's.
    pub ask: fn(SocketAddr, Duration) -> Finding,
}

/// What a question brings, in time.
pub type Finding = Pin<Box<dyn Future<Output = Vec<Found>> + Send>>;

/// Where a finder asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Each address of a network, at this port.
    Tcp(u16),
    /// The same; not where something of this driver was found over TCP.
    Udp(u16),
    /// A network's broadcast address, at this port.
    Broadcast(u16),
    /// Nowhere: terminals dial in, and are listened for at this port of ours.
    Listen(u16),
}

impl Reach {
    pub fn port(self) -> u16 {
        match self {
            Self::Tcp(port) | Self::Udp(port) | Self::Broadcast(port) | Self::Listen(port) => port,
        }
    }
}

/// Something that answered. Empty text where it does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub vendor: String,
    pub model: String,
    pub serial: String,
    pub firmware: String,
    /// As in `address = "..."`; where it called from, of one that dials in.
    pub address: String,
    /// What a person should know of it.
    pub note: String,
    /// The lines of its `[[terminal]]` block, behind name and driver.
    pub block: String,
}

/// Text as it may be shown and written into a block: short, without what could play tricks.
pub fn shown(text: &str) -> String {
    let plain = |letter: &char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\') || *letter == ' ';
    text.chars().filter(plain).take(64).collect::<String>().trim().to_owned()
}
