//! `osdp`: a card reader on a serial line, over a secure channel with a key of its own.

use std::{io, time::Duration};

use async_trait::async_trait;
use driver_osdp::sim::{Fault, Model, Simulator};
use jiff::{civil::DateTime, tz::TimeZone};
use rand::{RngExt, rngs::StdRng};

use super::{Act, Seen, Simulated, noise, wall};

const UNIT: u8 = 1;

pub(super) struct Osdp {
    bus: Simulator,
    key: [u8; 16],
    zone: TimeZone,
}

impl Osdp {
    pub(super) fn open(zone: &TimeZone) -> io::Result<Self> {
        let key = rand::random();
        let bus = Simulator::serial(&[Model { unit: UNIT, key: Some(key), install: false }])?;
        Ok(Self { bus, key, zone: zone.clone() })
    }
}

#[async_trait]
impl Simulated for Osdp {
    fn driver(&self) -> &'static str {
        "osdp"
    }

    fn block(&self) -> String {
        format!("address = \"{}\"\nunit = {UNIT}\ncard = \"number\"\n", self.bus.address())
    }

    fn secret(&self) -> Option<(&'static str, String)> {
        Some(("key_file", data_encoding::HEXLOWER.encode(&self.key)))
    }

    fn now(&self) -> DateTime {
        wall(&self.zone)
    }

    /// A card with Wiegand's parity, at the first of the housing's readers. It has no clock.
    fn seen(&self, _: &Act) -> Seen {
        Seen { local: None, verify: Some(1.into()), direction: Some(0.into()) }
    }

    fn punch(&self, act: &Act) {
        self.bus.punch(0, &act.person.to_string());
    }

    /// The line is never cut: what a reader was just telling then is lost, or told again as something new.
    async fn harm(&self, chance: &mut StdRng) -> &'static str {
        let (fault, words) = match chance.random_range(0..4) {
            0 => (Fault::Lost, "its next answer gets lost"),
            1 => (Fault::Flipped, "a bit of its next answer turns over"),
            2 => (Fault::Before(noise(chance)), "noise comes before its next answer"),
            _ => (Fault::Late(Duration::from_millis(260)), "its next answer comes too late"),
        };
        self.bus.harm([fault]);
        words
    }

    async fn heal(&self) {}
}
