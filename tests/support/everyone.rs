//! One simulated terminal of each driver, each well, silent or talking rubbish.

use std::{fs, net::SocketAddr, path::Path};

use driver_anviz::sim as anviz;
use driver_modbus::sim as modbus;
use driver_osdp::sim as osdp;
use driver_serial_ascii::sim as serial;
use driver_uhppote::sim as uhppote;
use driver_zk::sim as zk;
use driver_zk_push::sim as push;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::push::free_address;

/// The terminals, each of another driver.
pub const NAMES: [&str; 7] = ["front-door", "warehouse", "workshop", "turnstile", "side-door", "gate", "canteen"];
const KEY: [u8; 16] = [7; 16];
/// So long that it lasts until it is healed.
const LASTING: u32 = 1_000_000;

/// What is wrong with a terminal, until it is healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Illness {
    /// It is there, and does not answer.
    Silent,
    /// It answers rubbish.
    Rubbish,
}

pub struct Everyone {
    pub zk: zk::Simulator,
    push: push::PushTerminal,
    anviz: anviz::Simulator,
    modbus: modbus::Simulator,
    uhppote: uhppote::Simulator,
    osdp: osdp::Simulator,
    serial: serial::Simulator,
    /// Where the gateway is to listen for the one that pushes.
    listen: SocketAddr,
}

impl Everyone {
    pub async fn start() -> Self {
        let listen = free_address();
        let device = modbus::Device::new(modbus::Product::Fifo);
        let reader = osdp::Model { unit: 1, key: Some(KEY), install: false };
        Self {
            zk: zk::Simulator::start(zk::Model { serial: "EVERYONE01".into(), ..Default::default() }, 0).await.unwrap(),
            push: push::PushTerminal::start(push::Model::new("EVERYONE02", listen)),
            anviz: anviz::Simulator::listen(vec![anviz::Model::default()], 0).await.unwrap(),
            modbus: modbus::Simulator::tcp(modbus::Form::Tcp, 0, vec![(1, device)]).await.unwrap(),
            uhppote: uhppote::Simulator::start(uhppote::Model::default(), 0).await.unwrap(),
            osdp: osdp::Simulator::serial(&[reader]).unwrap(),
            serial: serial::Simulator::serial(&[serial::Product::Waiting]).unwrap(),
            listen,
        }
    }

    /// Drivers' sections and terminals' blocks, impatient; a key goes into this folder.
    pub fn blocks(&self, folder: &Path) -> String {
        let key = folder.join("everyone.key");
        fs::write(&key, "07".repeat(16)).unwrap();
        let [zk, push, anviz, modbus, uhppote, osdp, serial] = NAMES;
        let head = |name: &str, driver: &str| format!("[[terminal]]\nname = \"{name}\"\ndriver = \"{driver}\"\n");
        let sections = [
            format!("[driver.zk-push]\nlisten = \"{}\"\n", self.listen),
            "[driver.anviz]\npoll = \"500ms\"\n".into(),
            "[driver.uhppote]\npoll = \"500ms\"\n".into(),
            head(zk, "zk") + &format!("address = \"tcp://{}\"\ntimeout = \"1s\"\n", self.zk.address()),
            head(push, "zk-push") + "serial = \"EVERYONE02\"\n",
            head(anviz, "anviz")
                + &format!("address = \"tcp://{}\"\ntimeout = \"500ms\"\n", self.anviz.address().unwrap()),
            head(modbus, "modbus")
                + &format!(
                    "address = \"{}\"\nmap = \"event-fifo\"\npoll = \"50ms\"\ntimeout = \"200ms\"\n",
                    self.modbus.address()
                ),
            head(uhppote, "uhppote")
                + &format!("address = \"udp://{}\"\nserial = 405419896\ntimeout = \"300ms\"\n", self.uhppote.address()),
            head(osdp, "osdp") + &format!("address = \"{}\"\nunit = 1\nkey_file = {key:?}\n", self.osdp.address()),
            head(serial, "serial-ascii") + &format!("address = \"{}\"\nreader = \"ack-line\"\n", self.serial.address()),
        ];
        sections.join("\n")
    }

    /// Somebody punches.
    pub fn punch(&self, at: usize, person: u32) {
        match at {
            0 => self.zk.punch(&person.to_string()),
            1 => self.push.punch(&person.to_string()),
            2 => self.anviz.punch(0, person.into()),
            3 => self.modbus.punch(1, person),
            4 => self.uhppote.swipe(person),
            5 => self.osdp.punch(0, &person.to_string()),
            _ => self.serial.punch(0, &person.to_string()),
        }
    }

    /// From now on something is wrong with this one. Saying it again makes it say its rubbish again.
    pub async fn harm(&self, at: usize, illness: Illness) {
        self.heal(at);
        let noise: Vec<u8> = (0..400_usize).map(|byte| (byte * 31 + at * 17) as u8).collect();
        let silent = illness == Illness::Silent;
        match at {
            0 => {
                let harm = if silent { zk::Harm::Stall } else { zk::Harm::Bytes(noise) };
                self.zk.harm(zk::Fault { command: None, times: LASTING, harm });
            }
            1 => {
                self.push.switch(false);
                // Somebody promises a body and sends a little of it, or something else.
                if let Ok(mut stream) = TcpStream::connect(self.listen).await {
                    let head = "POST /iclock/cdata?SN=EVERYONE02&table=ATTLOG HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n";
                    let bytes = if silent { [head.as_bytes(), &noise].concat() } else { noise };
                    // It may be refused at once.
                    let _ = stream.write_all(&bytes).await;
                }
            }
            2 => {
                let harm = if silent { anviz::Harm::Deaf } else { anviz::Harm::Instead(noise) };
                self.anviz.harm(anviz::Fault::times(LASTING, harm));
            }
            3 => {
                let fault = if silent { modbus::Fault::Unheard } else { modbus::Fault::Instead(noise) };
                self.modbus.harm(None, vec![fault; 2000]);
            }
            4 => {
                let harm = if silent { uhppote::Harm::Deaf } else { uhppote::Harm::Instead(noise) };
                self.uhppote.harm(uhppote::Fault::times(LASTING, harm));
            }
            5 => {
                let fault = if silent { osdp::Fault::Lost } else { osdp::Fault::Instead(noise) };
                self.osdp.harm_all(Some(fault));
            }
            _ => {
                self.serial.switch(0, false);
                if !silent {
                    self.serial.send(&noise);
                }
            }
        }
    }

    pub fn heal(&self, at: usize) {
        match at {
            0 => self.zk.heal(),
            1 => self.push.switch(true),
            2 => self.anviz.heal(),
            3 => self.modbus.heal(),
            4 => self.uhppote.heal(),
            5 => self.osdp.harm_all(None),
            _ => self.serial.switch(0, true),
        }
    }
}
