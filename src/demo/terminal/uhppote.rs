//! `uhppote`: a door board, whose ring of events is read on by index.

use std::io;

use async_trait::async_trait;
use driver_api::Raw;
use driver_uhppote::sim::{Entry, Fault, Harm, Model, Simulator};
use jiff::{civil::DateTime, tz::TimeZone};
use rand::{RngExt, rngs::StdRng};

use super::{Act, Seen, Simulated, noise};

/// A board with one door.
const SERIAL: u32 = 105_419_896;
const DOOR: u8 = 1;

pub(super) struct Uhppote {
    board: Simulator,
}

impl Uhppote {
    pub(super) async fn open(zone: &TimeZone) -> io::Result<Self> {
        let model = Model { serial: SERIAL, zone: zone.clone(), ..Model::default() };
        Ok(Self { board: Simulator::start(model, 0).await? })
    }
}

/// Which of the door's two readers.
fn reader(act: &Act) -> u8 {
    if act.leaves { 2 } else { 1 }
}

#[async_trait]
impl Simulated for Uhppote {
    fn driver(&self) -> &'static str {
        "uhppote"
    }

    fn section(&self) -> String {
        "poll = \"1s\"\n".into()
    }

    fn block(&self) -> String {
        format!("address = \"udp://{}\"\nserial = {SERIAL}\ntimeout = \"500ms\"\n", self.board.address())
    }

    fn now(&self) -> DateTime {
        self.board.now()
    }

    fn seen(&self, act: &Act) -> Seen {
        let direction = Some(Raw::Text(format!("{DOOR}/{}", reader(act))));
        Seen { local: Some(act.local), verify: Some(Entry::default().reason.into()), direction }
    }

    fn punch(&self, act: &Act) {
        let (local, direction) = (act.local, reader(act));
        self.board.record(Entry { card: act.person, local, door: DOOR, direction, ..Entry::default() });
    }

    async fn harm(&self, chance: &mut StdRng) -> &'static str {
        let (harm, words) = match chance.random_range(0..6) {
            0 => (Harm::Deaf, "the next question gets lost"),
            1 => (Harm::Mute, "its next answer gets lost"),
            2 => (Harm::Bytes(noise(chance)), "noise comes before its next answer"),
            3 => (Harm::Late, "its next answer comes before the one behind it"),
            4 => (Harm::Echo, "its next answer comes twice"),
            _ => (Harm::Foreign, "another board answers in its place"),
        };
        self.board.harm(Fault::times(1, harm));
        words
    }

    async fn heal(&self) {
        self.board.heal();
    }
}
