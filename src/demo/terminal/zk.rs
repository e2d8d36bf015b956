//! `zk`: the gateway dials, and reads the terminal's log.

use std::io;

use async_trait::async_trait;
use driver_zk::{
    record::Form,
    sim::{Cutting, Fault, Harm, Model, Simulator},
};
use jiff::{civil::DateTime, tz::TimeZone};
use rand::{RngExt, rngs::StdRng};

use super::{Act, By, Seen, Simulated, noise};

pub(super) struct Zk {
    udp: bool,
    comm_key: u32,
    cutting: Cutting,
    simulator: Simulator,
}

impl Zk {
    /// The one with this number, counted from 0; three forms take turns.
    pub(super) async fn open(index: u16, serial: &str, zone: &TimeZone) -> io::Result<Self> {
        let (form, cutting) = match index % super::IN_TURN {
            0 => (Form::Text(40), Cutting::Packets),
            1 => (Form::Text(49), Cutting::Glued),
            _ => (Form::Number16, Cutting::Packets),
        };
        let comm_key = 471_100 + u32::from(index);
        let model = Model { serial: serial.into(), comm_key, zone: zone.clone(), cutting, ..Model::of(form) };
        let simulator = Simulator::start(model, 0).await?;
        for uid in 1..40 {
            simulator.add_user(uid, &(1000 + uid).to_string(), "Demo");
        }
        Ok(Self { udp: form == Form::Number16, comm_key, cutting, simulator })
    }
}

/// Of this vendor's terminals.
pub(super) fn verify(by: By) -> u8 {
    match by {
        By::Password => 0,
        By::Finger => 1,
        By::Face => 15,
    }
}

#[async_trait]
impl Simulated for Zk {
    fn driver(&self) -> &'static str {
        "zk"
    }

    fn section(&self) -> String {
        "reconcile = \"5s\"\n".into()
    }

    fn block(&self) -> String {
        let (scheme, address) = (if self.udp { "udp" } else { "tcp" }, self.simulator.address());
        // The time-out is short so that those who watch see soon that a line is dead.
        format!("address = \"{scheme}://{address}\"\ntimeout = \"2s\"\n")
    }

    fn secret(&self) -> Option<(&'static str, String)> {
        Some(("comm_key_file", self.comm_key.to_string()))
    }

    fn now(&self) -> DateTime {
        self.simulator.now()
    }

    fn seen(&self, act: &Act) -> Seen {
        let (verify, direction) = (verify(act.by), u8::from(act.leaves));
        Seen { local: Some(act.local), verify: Some(verify.into()), direction: Some(direction.into()) }
    }

    fn punch(&self, act: &Act) {
        self.simulator.punch_at(&act.person.to_string(), act.local, verify(act.by), act.leaves.into());
    }

    async fn harm(&self, chance: &mut StdRng) -> &'static str {
        let next = |harm: Harm| self.simulator.harm(Fault { command: None, times: 1, harm });
        match chance.random_range(0..10) {
            0 => {
                self.simulator.cut();
                "the line is cut"
            }
            1 => {
                self.simulator.reboot();
                "it reboots and says nothing of it"
            }
            2 => {
                self.simulator.blurt(&noise(chance));
                "noise comes over the line"
            }
            3 => {
                let size = chance.random_range(1..20);
                self.simulator.change(|model| model.cutting = Cutting::Pieces(size));
                "its packets come in small pieces from now on"
            }
            4 => {
                next(Harm::CutAfter(chance.random_range(1..60)));
                "its next answer is cut short, and the line with it"
            }
            5 => {
                next(Harm::Corrupt);
                "a bit of its next answer turns over"
            }
            6 => {
                next(Harm::Short);
                "its next answer lacks a byte"
            }
            7 => {
                next(Harm::Stall);
                "it does not answer the next question"
            }
            8 => {
                next(Harm::Stale);
                "an old answer comes before its next one"
            }
            _ => {
                next(Harm::Foreign);
                "its next answer is to a question that nobody asked"
            }
        }
    }

    async fn heal(&self) {
        self.simulator.heal();
        self.simulator.change(|model| model.cutting = self.cutting);
    }
}
