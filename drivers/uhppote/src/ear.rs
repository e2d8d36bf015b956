//! Where a board sends its live events: datagrams that nobody acknowledges and anybody may forge, so all they do is to make
//! us ask the board.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::UdpSocket;
use tracing::debug;

use crate::{
    event::Event,
    packet::{Packet, function},
};

#[derive(Debug)]
pub(crate) struct Ear {
    socket: UdpSocket,
    board: IpAddr,
    serial: u32,
}

impl Ear {
    pub(crate) async fn open(listen: SocketAddr, board: IpAddr, serial: u32) -> io::Result<Self> {
        Ok(Self { socket: UdpSocket::bind(listen).await?, board: board.to_canonical(), serial })
    }

    /// The index of the next event that our board tells of. Safe to drop in a `select!`.
    pub(crate) async fn hear(&self) -> u32 {
        loop {
            let mut buffer = [0; 128];
            let (length, from) = match self.socket.recv_from(&mut buffer).await {
                Ok(heard) => heard,
                Err(error) => {
                    debug!(%error, "live events could not be heard");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    continue;
                }
            };
            match Packet::parse(&buffer[..length]) {
                Ok(packet)
                    if from.ip().to_canonical() == self.board
                        && packet.serial() == self.serial
                        && packet.function() == function::STATUS =>
                {
                    return Event::of(&packet).index;
                }
                _ => debug!(%from, length, "datagram dropped that is no live event of this board"),
            }
        }
    }
}
