//! Readers, turnstiles and door boards that speak Modbus, over TCP and on serial lines, by register maps.
//!
//! There is no standard for who punched on Modbus: every product has its registers, and a [`map::Map`] says where. See
//! README.md beside this crate for the products and for how to write a map; `maps/` holds those that ship.
//!
//! Pure: [`map`] (what a map is), [`schema`] (its file, checked), [`value`] (registers and what they mean), [`record`] (one
//! event). At work: `bus` (one question at a time on a line), `unit` (one terminal: look, store, acknowledge), `serve`
//! (each in its turn).
//!
//! Nothing is written but what the map names: the acknowledgement, the release of a latch, doors, the clock.

mod bus;
mod cursor;
#[cfg(feature = "decoders")]
pub mod decoders;
mod discover;
pub mod map;
pub mod maps;
pub mod record;
pub mod schema;
mod serve;
mod settings;
#[cfg(feature = "sim")]
pub mod sim;
mod unit;
pub mod value;

use std::sync::Arc;

use driver_api::{
    Delivery, Driver, DriverError, Kind, Line, Link, Problem, Problems, Section, TerminalBlock, async_trait,
};
use jiff::tz::TimeZone;
use line::{Bus as SharedLine, Member, Port};

use crate::{bus::Bus, serve::Serving, settings::Settings, unit::Unit};

pub use crate::discover::FINDER;

/// This driver's entry in the gateway's list.
pub const KIND: Kind = Kind {
    name: "modbus",
    title: "readers, turnstiles and door boards on Modbus TCP and RTU, by register maps",
    // What holds for all of them; what a map promises beyond is told for each terminal.
    delivery: Delivery::None,
    operations: serve::OPERATIONS,
    plan,
};

fn plan(section: Section, blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<Line> {
    section.finish(problems);
    let mut members = Vec::new();
    for TerminalBlock { name, zone, section } in blocks {
        if let Some(settings) = Settings::take(section, problems) {
            members.push(Member { name, address: settings.address.clone(), of: (settings, zone) });
        }
    }
    let buses = line::buses(members, problems);
    for bus in &buses {
        check(bus, problems);
    }
    let line = |bus: SharedLine<(Settings, TimeZone)>| Line {
        key: bus.key.clone(),
        terminals: bus.members.iter().map(|member| member.name.clone()).collect(),
        driver: Arc::new(Modbus { bus }),
    };
    buses.into_iter().map(line).collect()
}

/// Each unit once, and one framing, on a line.
fn check(bus: &SharedLine<(Settings, TimeZone)>, problems: &mut Problems) {
    for (index, member) in bus.members.iter().enumerate() {
        for other in &bus.members[..index] {
            let mut wrong = |key: &str, value: String, why: String, mend: &str| {
                let key = format!("terminal {:?} {key}", member.name);
                problems.errors.push(Problem { key, value, why, mend: mend.into() });
            };
            if other.of.0.unit == member.of.0.unit {
                let why = format!("{:?} has this unit on the same line", other.name);
                wrong("unit", member.of.0.unit.to_string(), why, "give each terminal of a line its own unit");
            }
            if other.of.0.framing != member.of.0.framing {
                let value = format!("{:?}", member.of.0.framing).to_lowercase();
                wrong("framing", value, format!("{:?} on the same line has another", other.name), "give both the same");
            }
        }
    }
}

/// One line with its terminals.
struct Modbus {
    bus: SharedLine<(Settings, TimeZone)>,
}

#[async_trait]
impl Driver for Modbus {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        let mut units = Vec::new();
        let first = &self.bus.members[0].of.0;
        let mut silence = first.silence;
        for (member, terminal) in self.bus.members.iter().zip(link.terminals()) {
            let (settings, zone) = &member.of;
            let index = terminal.name().bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31) + u32::from(byte));
            units.push(Unit::new(settings, zone, terminal.clone(), index).await);
            silence = silence.max(settings.silence);
        }
        let port = Port::new(self.bus.address.clone());
        let mut serving = Serving::new(Bus::new(port, first.framing, silence), units);
        // Whatever is going on is dropped when it is time to leave: what is not acknowledged is still in the terminal.
        tokio::select! {
            () = link.closing() => Ok(()),
            never = serving.run(&link) => match never {},
        }
    }
}
