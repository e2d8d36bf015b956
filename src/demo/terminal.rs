//! One simulated terminal of the demo: dialled by the gateway, or dialling in.

use std::{io, net::SocketAddr, time::Duration};

use driver_zk::{
    record::Form,
    sim::{Cutting, Model, Simulator},
};
use driver_zk_push::sim::{self as push, PushTerminal};
use jiff::{civil::DateTime, tz::TimeZone};

/// So many kinds there are; terminals take turns in them.
const KINDS: u16 = 5;

pub(super) struct Terminal {
    pub(super) name: String,
    /// What it is, in a few words.
    pub(super) kind: &'static str,
    pub(super) way: Way,
}

/// How it and the gateway come together.
pub(super) enum Way {
    /// `zk`: the gateway dials, and reads its log.
    Dialled { udp: bool, comm_key: u32, cutting: Cutting, simulator: Simulator },
    /// `zk-push`: it dials the gateway, and keeps each record until it is told `OK`.
    Pushes { serial: String, terminal: PushTerminal },
}

impl Terminal {
    /// The terminal with this number, counted from 0.
    pub(super) async fn open(index: u16, gateway: SocketAddr, zone: &TimeZone) -> io::Result<Self> {
        let name = match index {
            0 => "front-door".to_owned(),
            1 => "canteen".to_owned(),
            2 => "workshop".to_owned(),
            3 => "warehouse".to_owned(),
            _ => format!("terminal-{}", index + 1),
        };
        let serial = format!("DEMO{:09}", index + 1);
        let (kind, way) = match index % KINDS {
            0 => ("records of 40 bytes, TCP", dialled(index, serial, Form::Text(40), zone).await?),
            1 => (
                "records of 49 bytes, TCP, packets glued together",
                dialled(index, serial, Form::Text(49), zone).await?,
            ),
            2 => ("records of 16 bytes, UDP", dialled(index, serial, Form::Number16, zone).await?),
            3 => ("pushes over HTTP, attendance", pushes(serial, gateway, zone, false)),
            _ => ("pushes over HTTP, security", pushes(serial, gateway, zone, true)),
        };
        Ok(Self { name, kind, way })
    }

    /// The time on its wall.
    pub(super) fn now(&self) -> DateTime {
        match &self.way {
            Way::Dialled { simulator, .. } => simulator.now(),
            Way::Pushes { terminal, .. } => terminal.now(),
        }
    }

    /// Whether two equal punches of one second are two records: those that push refuse the second, as their makers say.
    pub(super) fn books_twice(&self) -> bool {
        matches!(self.way, Way::Dialled { .. })
    }

    pub(super) fn punch_at(&self, person: &str, local: DateTime, verify: u8, direction: u8) {
        match &self.way {
            Way::Dialled { simulator, .. } => {
                simulator.punch_at(person, local, verify, direction);
            }
            Way::Pushes { terminal, .. } => {
                let record = push::Record::new(person, local);
                terminal.record(push::Record { status: direction, verify, ..record });
            }
        }
    }
}

async fn dialled(index: u16, serial: String, form: Form, zone: &TimeZone) -> io::Result<Way> {
    let udp = form == Form::Number16;
    let cutting = if form == Form::Text(49) { Cutting::Glued } else { Cutting::Packets };
    let comm_key = 471_100 + u32::from(index);
    let model = Model { serial, comm_key, zone: zone.clone(), cutting, ..Model::of(form) };
    let simulator = Simulator::start(model, 0).await?;
    for uid in 1..40 {
        simulator.add_user(uid, &(1000 + uid).to_string(), "Demo");
    }
    Ok(Way::Dialled { udp, comm_key, cutting, simulator })
}

fn pushes(serial: String, gateway: SocketAddr, zone: &TimeZone, security: bool) -> Way {
    let model = push::Model {
        zone: zone.clone(),
        batch: 10,
        poll: Duration::from_secs(2),
        retry: Duration::from_millis(500),
        users: (1..40).map(|uid| (1000 + uid).to_string()).collect(),
        ..push::Model::new(&serial, gateway)
    };
    let terminal = PushTerminal::start(if security { model.security() } else { model });
    Way::Pushes { serial, terminal }
}
