//! One simulated terminal of the demo: what people do at it, what its punch will then say, and how a config names it.

mod anviz;
mod modbus;
mod osdp;
mod serial_ascii;
mod uhppote;
mod zk;
mod zk_push;

use std::{io, net::SocketAddr};

use async_trait::async_trait;
use driver_api::Raw;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use rand::{RngExt, rngs::StdRng};

use self::{
    anviz::Anviz, modbus::Modbus, osdp::Osdp, serial_ascii::SerialAscii, uhppote::Uhppote, zk::Zk, zk_push::ZkPush,
};
use super::Cast;

/// So many kinds there are in turn.
const IN_TURN: u16 = 5;

pub(super) struct Terminal {
    pub(super) name: String,
    /// What it is, in a few words.
    pub(super) kind: &'static str,
    pub(super) it: Box<dyn Simulated>,
}

/// What somebody does at a terminal.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub(super) person: u32,
    /// What the wall shows meanwhile.
    pub(super) local: DateTime,
    pub(super) by: By,
    pub(super) leaves: bool,
}

/// How somebody is recognised, where there is a choice.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    Password,
    Finger,
    /// Or a card, where there is no camera.
    Face,
}

/// What its punch will say of it: codes as the terminal has them.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// `None` where the terminal has no clock.
    pub(super) local: Option<DateTime>,
    pub(super) verify: Option<Raw>,
    pub(super) direction: Option<Raw>,
}

/// A simulated terminal of whichever driver.
#[async_trait]
pub(super) trait Simulated: Send + Sync {
    /// As in `driver = "..."`.
    fn driver(&self) -> &'static str;

    /// The lines of `[driver.<name>]`, the same for all terminals of a driver.
    fn section(&self) -> String {
        String::new()
    }

    /// The lines of its own block, beside name, driver and secret.
    fn block(&self) -> String;

    /// The key that names a file with its secret, and what is in that file.
    fn secret(&self) -> Option<(&'static str, String)> {
        None
    }

    /// The time on its wall.
    fn now(&self) -> DateTime;

    fn seen(&self, act: &Act) -> Seen;

    /// Whether two equal punches of one second are two records.
    fn books_twice(&self) -> bool {
        true
    }

    fn punch(&self, act: &Act);

    /// Does it some harm that a line or a power supply may do; which, in words. None that may cost a punch: what the class of
    /// its driver does not promise is no test of the gateway.
    async fn harm(&self, chance: &mut StdRng) -> &'static str;

    /// No more harm; its line is as good as new.
    async fn heal(&self);
}

impl Terminal {
    /// All that stand in this demo. Those that push go to `gateway`, which need not be there yet.
    pub(super) async fn gather(cast: Cast, gateway: SocketAddr, zone: &TimeZone) -> io::Result<Vec<Self>> {
        let mut terminals = Vec::new();
        match cast {
            Cast::InTurn(count) => {
                for index in 0..count {
                    terminals.push(Self::in_turn(index, gateway, zone).await?);
                }
            }
            Cast::OfEachDriver => {
                let all: [(&str, &str, Box<dyn Simulated>); 7] = [
                    ("front-door", "zk, over TCP", Box::new(Zk::open(0, &serial(0), zone).await?)),
                    ("warehouse", "zk-push, over HTTP", Box::new(ZkPush::open(&serial(1), gateway, zone, false))),
                    ("workshop", "anviz, over TCP", Box::new(Anviz::open(&serial(2), zone).await?)),
                    ("turnstile", "modbus, an event memory over TCP", Box::new(Modbus::open(zone).await?)),
                    ("side-door", "uhppote, over UDP", Box::new(Uhppote::open(zone).await?)),
                    ("gate", "osdp, a secure channel on a serial line", Box::new(Osdp::open(zone)?)),
                    ("canteen", "serial-ascii, a reader on a serial line", Box::new(SerialAscii::open(zone)?)),
                ];
                terminals.extend(all.map(|(name, kind, it)| Self { name: name.into(), kind, it }));
            }
        }
        Ok(terminals)
    }

    /// The one with this number, counted from 0.
    async fn in_turn(index: u16, gateway: SocketAddr, zone: &TimeZone) -> io::Result<Self> {
        let name = match index {
            0 => "front-door".to_owned(),
            1 => "canteen".to_owned(),
            2 => "workshop".to_owned(),
            3 => "warehouse".to_owned(),
            _ => format!("terminal-{}", index + 1),
        };
        let serial = serial(index);
        let (kind, it): (_, Box<dyn Simulated>) = match index % IN_TURN {
            0 => ("records of 40 bytes, TCP", Box::new(Zk::open(index, &serial, zone).await?)),
            1 => ("records of 49 bytes, TCP, packets glued together", Box::new(Zk::open(index, &serial, zone).await?)),
            2 => ("records of 16 bytes, UDP", Box::new(Zk::open(index, &serial, zone).await?)),
            3 => ("pushes over HTTP, attendance", Box::new(ZkPush::open(&serial, gateway, zone, false))),
            _ => ("pushes over HTTP, security", Box::new(ZkPush::open(&serial, gateway, zone, true))),
        };
        Ok(Self { name, kind, it })
    }
}

fn serial(index: u16) -> String {
    format!("DEMO{:09}", index + 1)
}

/// A wall clock that is right, for terminals that have none of their own: that of whoever stands before them.
fn wall(zone: &TimeZone) -> DateTime {
    let local = Timestamp::now().to_zoned(zone.clone()).datetime();
    local.with().subsec_nanosecond(0).build().expect("a whole second is a time")
}

/// Bytes of no meaning.
fn noise(chance: &mut StdRng) -> Vec<u8> {
    (0..chance.random_range(1..200)).map(|_| chance.random()).collect()
}
