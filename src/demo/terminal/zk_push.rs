//! `zk-push`: the terminal dials the gateway, and keeps each record until it is told `OK`.

use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;
use driver_zk_push::sim::{Fault, Model, PushTerminal, Record};
use jiff::{civil::DateTime, tz::TimeZone};
use rand::{RngExt, rngs::StdRng};
use tokio::time::sleep;

use super::{Act, Seen, Simulated, noise, zk::verify};

/// How long it is off when somebody pulls its plug.
const OFF: Duration = Duration::from_secs(1);

pub(super) struct ZkPush {
    serial: String,
    gateway: SocketAddr,
    terminal: PushTerminal,
}

impl ZkPush {
    pub(super) fn open(serial: &str, gateway: SocketAddr, zone: &TimeZone, security: bool) -> Self {
        let model = Model {
            zone: zone.clone(),
            batch: 10,
            poll: Duration::from_secs(2),
            retry: Duration::from_millis(500),
            users: (1..40).map(|uid| (1000 + uid).to_string()).collect(),
            ..Model::new(serial, gateway)
        };
        let terminal = PushTerminal::start(if security { model.security() } else { model });
        Self { serial: serial.into(), gateway, terminal }
    }
}

#[async_trait]
impl Simulated for ZkPush {
    fn driver(&self) -> &'static str {
        "zk-push"
    }

    fn section(&self) -> String {
        format!("listen = \"{}\"\npoll = \"2s\"\nerror_delay = \"1s\"\n", self.gateway)
    }

    fn block(&self) -> String {
        format!("serial = \"{}\"\n", self.serial)
    }

    fn now(&self) -> DateTime {
        self.terminal.now()
    }

    fn seen(&self, act: &Act) -> Seen {
        let (verify, direction) = (verify(act.by), u8::from(act.leaves));
        Seen { local: Some(act.local), verify: Some(verify.into()), direction: Some(direction.into()) }
    }

    /// They refuse the second one, as their makers say.
    fn books_twice(&self) -> bool {
        false
    }

    fn punch(&self, act: &Act) {
        let record = Record::new(act.person.to_string(), act.local);
        self.terminal.record(Record { status: act.leaves.into(), verify: verify(act.by), ..record });
    }

    /// It has no answers that could be harmed: its uploads are.
    async fn harm(&self, chance: &mut StdRng) -> &'static str {
        match chance.random_range(0..6) {
            0 => {
                self.terminal.cut();
                "the line is cut"
            }
            1 => {
                self.terminal.fault(Fault::CutRequest);
                "its next upload ends in the middle"
            }
            2 => {
                self.terminal.fault(Fault::HangUp);
                "it hangs up before it has read that its next upload was taken"
            }
            3 => {
                self.terminal.garbage(&noise(chance));
                "noise comes over the line"
            }
            4 => {
                self.terminal.resend_all();
                "it sends everything again that it holds"
            }
            _ => {
                self.terminal.switch(false);
                sleep(OFF).await;
                self.terminal.switch(true);
                "it was switched off for a moment"
            }
        }
    }

    async fn heal(&self) {
        self.terminal.switch(true);
    }
}
