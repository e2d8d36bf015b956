//! Readers that send lines or frames: RFID and Mifare modules, barcode scanners, Wiegand converters, data collectors, on
//! serial lines and behind serial servers.
//!
//! One driver, configured: a [`reader::Reader`] says how frames are cut, checked and read. `readers/` holds those that ship;
//! README.md beside this crate says how to write another.
//!
//! Pure: [`framing`] (a stream and its frames), [`checksum`], [`decode`] (a frame and what it says). At work: `booking` (which
//! reads are one punch), `serve` (the line).
//!
//! Nearly all of these readers have no clock, no memory and wait for nobody: a punch is gone if nobody listens. Only a reader
//! that `waits` keeps its frame until it hears that it is on our disk.

mod booking;
pub mod checksum;
pub mod decode;
#[cfg(feature = "decoders")]
pub mod decoders;
mod fading;
pub mod framing;
pub mod reader;
pub mod readers;
mod serve;
mod settings;
#[cfg(feature = "sim")]
pub mod sim;

use std::sync::Arc;

use driver_api::{
    Delivery, Driver, DriverError, Kind, Line, Link, Problem, Problems, Section, TerminalBlock, async_trait,
};
use jiff::tz::TimeZone;
use line::{Bus, Member, Port};

use crate::{booking::Booking, serve::Serving, settings::Settings};

/// This driver's entry in the gateway's list.
pub const KIND: Kind = Kind {
    name: "serial-ascii",
    title: "readers that send lines or frames: RFID modules, scanners, Wiegand converters, on serial lines and TCP",
    // What holds for all of them; a reader that waits is told for its terminal.
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
    let line = |bus: Bus<(Settings, TimeZone)>| Line {
        key: bus.key.clone(),
        terminals: bus.members.iter().map(|member| member.name.clone()).collect(),
        driver: Arc::new(SerialAscii { port: Port::new(bus.address.clone()), bus }),
    };
    buses.into_iter().map(line).collect()
}

/// One kind of reader on a line, and each with its own unit.
fn check(bus: &Bus<(Settings, TimeZone)>, problems: &mut Problems) {
    for (index, member) in bus.members.iter().enumerate().skip(1) {
        let mine = &member.of.0;
        let mut wrong = |key: &str, value: String, why: String, mend: &str| {
            let key = format!("terminal {:?} {key}", member.name);
            problems.errors.push(Problem { key, value, why, mend: mend.into() });
        };
        for other in &bus.members[..index] {
            let theirs = &other.of.0;
            if theirs.named != mine.named {
                let why =
                    format!("{:?} on the same line is another reader: nobody can tell their frames apart", other.name);
                wrong("reader", format!("{:?}", mine.named), why, "give each its own line, or both the same reader");
            } else if mine.unit.is_none() || theirs.unit.is_none() || mine.unit == theirs.unit {
                let why = format!("{:?} is on the same line, and no other unit", other.name);
                let value = mine.unit.as_ref().map(|unit| format!("{unit:?}")).unwrap_or_default();
                wrong("unit", value, why, "give each reader of a line the unit that its frames say");
            }
        }
    }
}

/// One line with its readers.
struct SerialAscii {
    /// Lives as long as the config, so that it knows an adapter again.
    port: Port,
    bus: Bus<(Settings, TimeZone)>,
}

#[async_trait]
impl Driver for SerialAscii {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        let mut bookings = Vec::new();
        for (member, terminal) in self.bus.members.iter().zip(link.terminals()) {
            let (settings, zone) = &member.of;
            bookings.push(Booking::new(settings, zone, terminal.clone()).await);
        }
        let settings = &self.bus.members[0].of.0;
        let mut serving = Serving::new(&self.port, settings.reader.clone(), settings.timeout, bookings);
        // Whatever is going on is dropped when it is time to leave: a reader that waits still has what was not acknowledged.
        tokio::select! {
            () = link.closing() => Ok(()),
            never = serving.run(&link) => match never {},
        }
    }
}
