//! `anviz`: the gateway dials, takes what is marked as new, and marks it as read when it is on disk.

use std::io;

use async_trait::async_trait;
use driver_anviz::sim::{Fault, Harm, Model, Simulator};
use jiff::{civil::DateTime, tz::TimeZone};
use rand::{RngExt, rngs::StdRng};

use super::{Act, By, Seen, Simulated, noise};

pub(super) struct Anviz {
    serial: String,
    terminal: Simulator,
}

impl Anviz {
    pub(super) async fn open(serial: &str, zone: &TimeZone) -> io::Result<Self> {
        let model = Model { serial: serial.into(), zone: zone.clone(), ..Model::default() };
        Ok(Self { serial: serial.into(), terminal: Simulator::listen(vec![model], 0).await? })
    }
}

/// A bit for each thing that was shown; there is no camera.
fn backup(by: By) -> u8 {
    match by {
        By::Password => 4,
        By::Finger => 1,
        By::Face => 8,
    }
}

#[async_trait]
impl Simulated for Anviz {
    fn driver(&self) -> &'static str {
        "anviz"
    }

    fn section(&self) -> String {
        "poll = \"2s\"\n".into()
    }

    fn block(&self) -> String {
        let address = self.terminal.address().expect("it listens");
        format!("address = \"tcp://{address}\"\nserial = \"{}\"\ntimeout = \"1s\"\n", self.serial)
    }

    fn now(&self) -> DateTime {
        self.terminal.now(0)
    }

    fn seen(&self, act: &Act) -> Seen {
        let (verify, direction) = (backup(act.by), u8::from(act.leaves));
        Seen { local: Some(act.local), verify: Some(verify.into()), direction: Some(direction.into()) }
    }

    fn punch(&self, act: &Act) {
        self.terminal.punch_at(0, act.person.into(), act.local, backup(act.by), act.leaves.into());
    }

    async fn harm(&self, chance: &mut StdRng) -> &'static str {
        let (harm, words) = match chance.random_range(0..10) {
            0 => {
                self.terminal.cut();
                return "the line is cut";
            }
            1 => {
                self.terminal.blurt(&noise(chance));
                return "noise comes over the line";
            }
            2 => {
                self.terminal.set_pieces(chance.random_range(1..20));
                return "its bytes come in small pieces from now on";
            }
            3 => (Harm::Deaf, "it does not hear the next question"),
            4 => (Harm::Mute, "its next answer gets lost"),
            5 => (Harm::Corrupt, "a bit of its next answer turns over"),
            6 => (Harm::Bytes(noise(chance)), "noise comes before its next answer"),
            7 => (Harm::Twice, "its next answer comes twice"),
            8 => (Harm::Echo, "an old answer comes before its next but one"),
            _ => (Harm::Foreign, "another terminal answers in its place"),
        };
        self.terminal.harm(Fault::times(1, harm));
        words
    }

    async fn heal(&self) {
        self.terminal.heal();
        self.terminal.set_pieces(0);
    }
}
