//! Card readers and keypads that speak OSDP 2 on RS-485, or behind a serial server.
//!
//! The protocol is LibOSDP's (crate `libosdp`): secure channel, sequence numbers and repetitions. Around it: one thread for each
//! bus that gives each reader its turn (`bus`), one session of the library for each reader (`reader`), so that one that is
//! silent or has the wrong key is begun anew without its neighbours, and a look at the bytes that pass by (`wire`, [`frame`])
//! for what the library does not tell.
//!
//! # What is promised
//! Class `link`. A reader holds some events and gives them one by one; the next question acknowledges the last answer, which is
//! before our disk has it. So an event is lost when we are killed between these two, some milliseconds; while the store does not
//! take events, nobody is asked, readers go offline, show it, and keep what they hold.
//!
//! # The id of a punch
//! A reader has no clock, no log and no numbers: a punch is made of card, reader number, format and the second of its arrival in
//! the terminal's zone. Equal ones in one second are told apart by a count, in this run. A reader never tells an event twice: an
//! answer that got lost is asked for again under its sequence number. The standard wants the reader to say it again; one that
//! says something new instead (LibOSDP's own do) has lost what it told.

mod bus;
pub mod card;
#[cfg(feature = "decoders")]
pub mod decoders;
pub mod frame;
mod reader;
mod settings;
#[cfg(feature = "sim")]
pub mod sim;
mod wire;

use std::sync::Arc;

use driver_api::{
    Delivery, Driver, DriverError, Kind, Line, Link, Problem, Problems, Section, TerminalBlock, async_trait,
};
use jiff::tz::TimeZone;
use line::{Bus as SharedLine, Member, Port};

use crate::settings::Settings;

/// This driver's entry in the gateway's list.
pub const KIND: Kind = Kind {
    name: "osdp",
    title: "card readers and keypads that speak OSDP on RS-485",
    delivery: Delivery::Link,
    operations: bus::OPERATIONS,
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
        for (index, member) in bus.members.iter().enumerate() {
            let twin = bus.members[..index].iter().find(|other| other.of.0.unit == member.of.0.unit);
            if let Some(twin) = twin {
                problems.errors.push(Problem {
                    key: format!("terminal {:?} unit", member.name),
                    value: member.of.0.unit.to_string(),
                    why: format!("{:?} has this address on the same bus", twin.name),
                    mend: "give each reader of a bus its own address".into(),
                });
            }
        }
    }
    let line = |bus: SharedLine<(Settings, TimeZone)>| Line {
        key: bus.key.clone(),
        terminals: bus.members.iter().map(|member| member.name.clone()).collect(),
        driver: Arc::new(Osdp { port: Arc::new(Port::new(bus.address.clone())), bus }),
    };
    buses.into_iter().map(line).collect()
}

/// One bus with its readers.
struct Osdp {
    /// Lives as long as the config, so that it knows an adapter again.
    port: Arc<Port>,
    bus: SharedLine<(Settings, TimeZone)>,
}

#[async_trait]
impl Driver for Osdp {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        let members = self.bus.members.iter().map(|member| member.of.clone()).collect();
        bus::run(self.port.clone(), members, link).await
    }
}
