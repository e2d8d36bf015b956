//! `serial-ascii`: a reader on a serial line that keeps a frame until it hears that it is stored.

use std::{io, time::Duration};

use async_trait::async_trait;
use driver_serial_ascii::sim::{Product, Simulator};
use jiff::{civil::DateTime, tz::TimeZone};
use rand::{RngExt, rngs::StdRng};

use super::{Act, Seen, Simulated, noise, wall};

pub(super) struct SerialAscii {
    line: Simulator,
    zone: TimeZone,
}

impl SerialAscii {
    pub(super) fn open(zone: &TimeZone) -> io::Result<Self> {
        Ok(Self { line: Simulator::serial(&[Product::Waiting])?, zone: zone.clone() })
    }
}

#[async_trait]
impl Simulated for SerialAscii {
    fn driver(&self) -> &'static str {
        "serial-ascii"
    }

    fn block(&self) -> String {
        let reader = Product::Waiting.reader();
        format!("address = \"{}\"\nreader = \"{reader}\"\n", self.line.address())
    }

    fn now(&self) -> DateTime {
        wall(&self.zone)
    }

    /// A number and a card: no codes, no clock.
    fn seen(&self, _: &Act) -> Seen {
        Seen { local: None, verify: None, direction: None }
    }

    fn punch(&self, act: &Act) {
        self.line.punch(0, &act.person.to_string());
    }

    async fn harm(&self, chance: &mut StdRng) -> &'static str {
        match chance.random_range(0..3) {
            0 => {
                self.line.send(&noise(chance));
                "noise comes over the line"
            }
            1 => {
                self.line.repeat(0);
                "it does not hear that its next frame was taken"
            }
            _ => {
                self.line.pace(Some((chance.random_range(1..4), Duration::from_millis(3))));
                "its bytes come in small pieces from now on"
            }
        }
    }

    async fn heal(&self) {
        self.line.pace(None);
    }
}
