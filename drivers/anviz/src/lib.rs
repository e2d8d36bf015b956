//! Anviz terminals and their relabelled kin ("TC-B" protocol): TCP port 5010, terminals that dial in, RS-485.
//!
//! The gateway asks the terminal for the records that are marked as new, and takes the mark away when they are on our disk;
//! the records stay in its log. Records that it tells of by itself only make it fast. See README.md beside this crate.
//!
//! Bytes, pure, each usable from a fuzz target: [`frame`], [`record`]. A line: `wire` (questions and answers), `bus` (we open
//! it), `dial_in` (terminals do), `serve` (whose turn it is). A terminal on it: `terminal`, `identity`, `download`,
//! `booking`, `timekeeping`, `jobs`.
//!
//! Never sent, whatever happens: [`command::never`].

mod booking;
mod bus;
pub mod command;
mod cursor;
#[cfg(feature = "decoders")]
pub mod decoders;
mod dial_in;
mod discover;
mod download;
pub mod frame;
mod identity;
mod jobs;
pub mod record;
mod serve;
mod settings;
#[cfg(feature = "sim")]
pub mod sim;
mod strangers;
mod terminal;
mod timekeeping;
mod whole;
mod wire;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use driver_api::{Delivery, Driver, Kind, Line, Problem, Problems, Section, TerminalBlock};
use line::{Member, Port, buses};

use crate::{
    bus::Bus,
    dial_in::DialIn,
    settings::{Defaults, Settings, Taken},
};

pub use crate::discover::FINDER;

/// This driver's entry in the gateway's list.
pub const KIND: Kind = Kind {
    name: "anviz",
    title: "Anviz terminals, TC-B protocol (TCP port 5010, dialling in, RS-485)",
    delivery: Delivery::Acked,
    operations: jobs::OPERATIONS,
    plan,
};

fn plan(section: Section, blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<Line> {
    let defaults = Defaults::take(section, problems);
    let (mut members, mut guests) = (Vec::new(), Vec::new());
    for block in blocks {
        match Settings::take(block, &defaults, problems) {
            Some(Taken { settings, address: Some(address) }) => {
                members.push(Member { name: settings.name.clone(), address, of: settings });
            }
            Some(Taken { settings, address: None }) => guests.push(settings),
            None => {}
        }
    }
    one_of_each(&guests, problems);
    let mut lines = Vec::new();
    for bus in buses(members, problems) {
        let terminals: Vec<Settings> = bus.members.into_iter().map(|member| member.of).collect();
        units_differ(&terminals, problems);
        let names = terminals.iter().map(|it| it.name.clone()).collect();
        let driver: Arc<dyn Driver> = Arc::new(Bus { port: Port::new(bus.address), terminals });
        lines.push(Line { key: bus.key, terminals: names, driver });
    }
    if let Some(listen) = defaults.listen {
        let names = guests.iter().map(|it| it.name.clone()).collect();
        let driver: Arc<dyn Driver> = Arc::new(DialIn { listen, terminals: guests });
        lines.push(Line { key: format!("listening at {listen}"), terminals: names, driver });
    }
    lines
}

/// Terminals on one line are told apart by their units.
fn units_differ(terminals: &[Settings], problems: &mut Problems) {
    let mut owners: HashMap<u32, &str> = HashMap::new();
    for terminal in terminals.iter().filter(|_| terminals.len() > 1) {
        let why = match (terminal.unit, owners.insert(terminal.unit, &terminal.name)) {
            (0, _) => "several terminals share its line, and each is asked by its number".to_owned(),
            (_, Some(other)) => format!("terminal {other:?} on the same line has the same number"),
            (_, None) => continue,
        };
        problems.errors.push(Problem {
            key: format!("terminal {:?} unit", terminal.name),
            value: Some(terminal.unit).filter(|unit| *unit != 0).map(|unit| unit.to_string()).unwrap_or_default(),
            why,
            mend: "give each terminal its own ID in its menu, and write it as unit = 2".into(),
        });
    }
}

/// Terminals that dial in are told apart by serial number, or by unit.
fn one_of_each(guests: &[Settings], problems: &mut Problems) {
    let mut seen = HashSet::new();
    for guest in guests {
        let (key, value) = match &guest.serial {
            Some(serial) => ("serial", serial.clone()),
            None => ("unit", guest.unit.to_string()),
        };
        if !seen.insert((key, value.clone())) {
            problems.errors.push(Problem {
                key: format!("terminal {:?} {key}", guest.name),
                value,
                why: "another terminal that dials in has the same".into(),
                mend: "write the serial number of each".into(),
            });
        }
    }
}
