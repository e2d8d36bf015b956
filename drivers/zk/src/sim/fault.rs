//! What can go wrong at a simulated terminal.

use crate::frame::{Packet, wrap};

/// Something goes wrong when this command is answered.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The command; `None` for whichever comes next.
    pub command: Option<u16>,
    /// How often it happens.
    pub times: u32,
    pub harm: Harm,
}

#[derive(Debug, Clone)]
pub enum Harm {
    /// No answer.
    Stall,
    /// The connection is closed in place of an answer.
    Close,
    /// So many bytes of the answer, and then the connection is closed.
    CutAfter(usize),
    /// A bit of each data packet, or of the answer itself, is wrong.
    Corrupt,
    /// Data packets lack their last byte.
    Short,
    /// The size of a snapshot, as told.
    Size(u32),
    /// This code in place of an answer.
    Code(u16),
    /// These bytes in place of an answer.
    Bytes(Vec<u8>),
    /// In front of the answer, another one to the question before.
    Stale,
    /// All answers carry a reply id that nobody asked with.
    Foreign,
    /// The second packet of data and the third come in the other order.
    Overtaken,
    /// The second packet of data comes twice, and the third is lost.
    Repeated,
    /// All packets come twice.
    Doubled,
    /// The last packet comes first, and the first last.
    Backwards,
    /// In front of each packet of the answer, somebody's punch.
    Event(String),
}

impl Fault {
    /// Happens once, at this command.
    pub fn once(command: u16, harm: Harm) -> Self {
        Self { command: Some(command), times: 1, harm }
    }

    /// Happens whenever this command comes.
    pub fn always(command: u16, harm: Harm) -> Self {
        Self { command: Some(command), times: u32::MAX, harm }
    }
}

/// What is sent for one request, and what comes after.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Inner packets, encoded.
    pub(super) packets: Vec<Vec<u8>>,
    /// Sent in place of the packets, without wrapper.
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) close: bool,
    /// Close everybody: it restarts.
    pub(super) restart: bool,
}

impl Answer {
    pub(super) fn one(packet: &Packet) -> Self {
        Self { packets: vec![packet.encode()], ..Self::default() }
    }

    /// The same answer, gone wrong.
    pub(super) fn harmed(mut self, harm: &Harm, asked: &Packet, session: u16) -> Self {
        let data = |packet: &[u8]| packet[..2] == crate::command::reply::DATA.to_le_bytes();
        match harm {
            Harm::Stall => self.packets.clear(),
            Harm::Close => {
                self.packets.clear();
                self.close = true;
            }
            Harm::CutAfter(bytes) => {
                let mut whole: Vec<u8> = self.packets.drain(..).flat_map(|inner| wrap(&inner)).collect();
                whole.truncate(*bytes);
                self.bytes = Some(whole);
                self.close = true;
            }
            Harm::Corrupt => {
                let any = self.packets.iter().any(|packet| data(packet));
                for packet in self.packets.iter_mut().filter(|packet| !any || data(packet)) {
                    if let Some(byte) = packet.last_mut() {
                        *byte ^= 0x10;
                    }
                }
            }
            Harm::Short => {
                for packet in self.packets.iter_mut().filter(|packet| data(packet)) {
                    let (whole, _) = Packet::decode(packet).expect("it was encoded here");
                    let less = &whole.data[..whole.data.len().saturating_sub(1)];
                    *packet = Packet { data: less.to_vec(), ..whole }.encode();
                }
            }
            Harm::Size(size) => {
                let mut told = vec![0; 13];
                told[1..5].copy_from_slice(&size.to_le_bytes());
                told[5..9].copy_from_slice(&size.to_le_bytes());
                self = Self::one(&Packet::new(crate::command::reply::OK, session, asked.reply, told));
            }
            Harm::Code(code) => self = Self::one(&Packet::new(*code, session, asked.reply, [])),
            Harm::Bytes(bytes) => {
                self.packets.clear();
                self.bytes = Some(bytes.clone());
            }
            Harm::Stale => {
                let late = Packet::new(crate::command::reply::OK, session, asked.reply.wrapping_sub(1), [7; 4]);
                self.packets.insert(0, late.encode());
            }
            Harm::Foreign => {
                for packet in &mut self.packets {
                    let (whole, _) = Packet::decode(packet).expect("it was encoded here");
                    *packet = Packet { reply: asked.reply.wrapping_add(1000), ..whole }.encode();
                }
            }
            Harm::Overtaken | Harm::Repeated => {
                let of_data: Vec<usize> = (0..self.packets.len()).filter(|index| data(&self.packets[*index])).collect();
                if let [_, second, third, ..] = of_data[..] {
                    match harm {
                        Harm::Overtaken => self.packets.swap(second, third),
                        _ => self.packets[third] = self.packets[second].clone(),
                    }
                }
            }
            Harm::Doubled => {
                self.packets = self.packets.into_iter().flat_map(|packet| [packet.clone(), packet]).collect()
            }
            Harm::Backwards => self.packets.reverse(),
            Harm::Event(_) => {} // it needs the terminal's state: see `State::answer`
        }
        self
    }
}
