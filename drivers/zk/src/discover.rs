//! Terminals that nobody told us of. A session is opened and closed again, and no key is tried: one that wants a key says so, and
//! is known by that.

use std::{net::SocketAddr, time::Duration};

use driver_api::{Address, Finder, Finding, Found, Reach, shown};
use tokio::time::timeout;

use crate::{
    command::{ask, reply},
    frame::Packet,
    identity::{text, value},
    transport::Wire,
};

/// The protocol's own port.
const PORT: u16 = 4370;

pub const FINDER: Finder = Finder { driver: crate::KIND.name, reach: Reach::Tcp(PORT), ask: over_tcp };
/// For old ones.
pub const FINDER_UDP: Finder = Finder { driver: crate::KIND.name, reach: Reach::Udp(PORT), ask: over_udp };

fn over_tcp(at: SocketAddr, patience: Duration) -> Finding {
    Box::pin(find(Address::Tcp { host: at.ip().to_string(), port: at.port() }, patience))
}

fn over_udp(at: SocketAddr, patience: Duration) -> Finding {
    Box::pin(find(Address::Udp { host: at.ip().to_string(), port: at.port() }, patience))
}

async fn find(address: Address, patience: Duration) -> Vec<Found> {
    let found = async {
        let mut talk =
            Talk { wire: timeout(patience, Wire::open(&address)).await.ok()?.ok()?, session: 0, reply: 0, patience };
        let hello = talk.ask(ask::CONNECT, &[]).await?;
        talk.session = hello.session;
        let mut found = Found { vendor: "ZKTeco or kin".into(), address: address.to_string(), ..Found::default() };
        found.block = format!("address = \"{address}\"\n");
        match hello.command {
            reply::OK => {
                found.serial = talk.option("~SerialNumber").await;
                found.model = talk.option("~DeviceName").await;
                if let Some(version) = talk.ask(ask::VERSION, &[]).await.filter(|it| it.command == reply::OK) {
                    found.firmware = shown(&text(&version.data));
                }
                found.note = "it asks for no comm key: set one in its menu, and comm_key_file".into();
                if !found.serial.is_empty() {
                    found.block += &format!("serial = \"{}\"\n", found.serial);
                }
            }
            reply::UNAUTH => {
                found.note = "it asks for its comm key, and tells no more without".into();
                found.block += "comm_key_file = \"/etc/punchgate/NAME.key\"  # with its comm key\n";
            }
            _ => return None,
        }
        // Its only place is free again.
        talk.ask(ask::EXIT, &[]).await;
        Some(found)
    };
    found.await.into_iter().collect()
}

struct Talk {
    wire: Wire,
    session: u16,
    reply: u16,
    patience: Duration,
}

impl Talk {
    async fn ask(&mut self, command: u16, data: &[u8]) -> Option<Packet> {
        let question = Packet::new(command, self.session, self.reply, data.to_vec());
        self.reply = self.reply.wrapping_add(1);
        self.wire.send(&question.encode()).await.ok()?;
        let inner = timeout(self.patience, self.wire.receive()).await.ok()?.ok()?;
        match Packet::decode(&inner) {
            Ok((packet, Ok(()))) => Some(packet),
            _ => None,
        }
    }

    async fn option(&mut self, name: &str) -> String {
        let answer = self.ask(ask::OPTION, format!("{name}\0").as_bytes()).await;
        answer.filter(|it| it.command == reply::OK).map(|it| shown(&value(&it.data))).unwrap_or_default()
    }
}
