//! `modbus`: an event memory with an acknowledge register, looked at several times a second.

use std::{io, time::Duration};

use async_trait::async_trait;
use driver_modbus::sim::{Device, Fault, Form, Product, Simulator};
use jiff::{civil::DateTime, tz::TimeZone};
use rand::{RngExt, rngs::StdRng};

use super::{Act, By, Seen, Simulated, wall};

const UNIT: u8 = 1;

pub(super) struct Modbus {
    line: Simulator,
    zone: TimeZone,
}

impl Modbus {
    pub(super) async fn open(zone: &TimeZone) -> io::Result<Self> {
        let line = Simulator::tcp(Form::Tcp, 0, vec![(UNIT, Device::new(Product::Fifo))]).await?;
        Ok(Self { line, zone: zone.clone() })
    }
}

/// As the map `event-fifo` has it.
fn verify(by: By) -> u8 {
    match by {
        By::Password => 0,
        By::Finger => 1,
        By::Face => 15,
    }
}

#[async_trait]
impl Simulated for Modbus {
    fn driver(&self) -> &'static str {
        "modbus"
    }

    fn block(&self) -> String {
        let address = self.line.address();
        format!("address = \"{address}\"\nunit = {UNIT}\nmap = \"event-fifo\"\npoll = \"250ms\"\ntimeout = \"500ms\"\n")
    }

    fn now(&self) -> DateTime {
        wall(&self.zone)
    }

    fn seen(&self, act: &Act) -> Seen {
        let (verify, direction) = (verify(act.by), u8::from(act.leaves));
        Seen { local: Some(act.local), verify: Some(verify.into()), direction: Some(direction.into()) }
    }

    fn punch(&self, act: &Act) {
        let (verify, direction) = (verify(act.by).into(), act.leaves.into());
        self.line.with(UNIT, |device| device.punch_at(act.person, act.local, verify, direction));
    }

    /// No wrong bits: on TCP the network itself has checksums, and Modbus has none there.
    async fn harm(&self, chance: &mut StdRng) -> &'static str {
        let (fault, words) = match chance.random_range(0..8) {
            0 => {
                self.line.cut();
                return "the line is cut";
            }
            1 => (Fault::Lost, "its next answer gets lost"),
            2 => (Fault::Unheard, "it does not hear the next question"),
            3 => (Fault::Late(Duration::from_millis(700)), "its next answer comes too late"),
            4 => (Fault::Twice, "its next answer comes twice"),
            5 => (Fault::WrongUnit, "another unit answers in its place"),
            6 => (Fault::Exception(6), "it says that it is busy"),
            _ => (Fault::Dripping, "its next answer comes byte by byte"),
        };
        self.line.harm(Some(UNIT), [fault]);
        words
    }

    async fn heal(&self) {
        self.line.heal();
    }
}
