//! What a simulated board answers.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use jiff::{Timestamp, civil::DateTime};

use super::{
    fault::Harm,
    state::{Entry, Gone, State},
};
use crate::{
    bcd,
    packet::{MAGIC, Packet, function},
};

/// What is sent for one question.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) packets: Vec<Vec<u8>>,
    pub(super) close: bool,
}

impl State {
    pub(super) fn answer(&mut self, question: &Packet) -> Answer {
        let asked = question.function();
        let serial = question.serial();
        if serial != self.model.serial && !(serial == 0 && asked == function::CONTROLLER) {
            return Answer::default(); // not meant for us
        }
        self.journal.push(asked);
        let harm = self.harm(asked);
        if matches!(harm, Some(Harm::Deaf)) {
            return Answer::default();
        }
        let Some(packet) = self.packet(question) else { return Answer::default() };
        let bytes = packet.as_bytes().to_vec();
        let mut answer = Answer { packets: std::mem::take(&mut self.late), close: false };
        let echoes = std::mem::take(&mut self.echoes);
        match harm {
            Some(Harm::Mute) => {}
            Some(Harm::Close) => answer.close = true,
            Some(Harm::Bytes(rubbish)) => answer.packets.extend([rubbish, bytes]),
            Some(Harm::Instead(rubbish)) => answer.packets.push(rubbish),
            Some(Harm::Late) => self.late.push(bytes),
            Some(Harm::Echo) => {
                self.echoes.push(bytes.clone());
                answer.packets.push(bytes);
            }
            Some(Harm::Foreign) => {
                let mut other = bytes;
                other[4] ^= 1;
                answer.packets.push(other);
            }
            Some(Harm::Deaf) | None => answer.packets.push(bytes),
        }
        answer.packets.extend(echoes);
        answer
    }

    fn harm(&mut self, asked: u8) -> Option<Harm> {
        let at = self.faults.iter().position(|fault| fault.function.is_none_or(|it| it == asked))?;
        let fault = &mut self.faults[at];
        fault.times = fault.times.saturating_sub(1);
        let harm = fault.harm.clone();
        if fault.times == 0 {
            self.faults.remove(at);
        }
        Some(harm)
    }

    fn packet(&mut self, question: &Packet) -> Option<Packet> {
        let empty = Packet::new(question.function(), self.model.serial);
        Some(match question.function() {
            function::STATUS => self.status(),
            function::CONTROLLER => empty
                .with(8, &Ipv4Addr::LOCALHOST.octets())
                .with(12, &[255, 0, 0, 0])
                .with(20, &[0x00, 0x66, 0x19, 0x39, 0x55, 0x2d])
                .with(26, &self.model.version)
                .with(28, &[0x20, 0x18, 0x08, 0x16]),
            function::EVENT => self.event_at(empty, question.u32(8)),
            function::GET_INDEX => empty.with(8, &self.index.to_le_bytes()),
            function::SET_INDEX => {
                let wanted = question.u32(8);
                let newest = self.ring.back().map_or(0, |(index, _)| *index);
                let news = question.bytes::<4>(12) == MAGIC && wanted != self.index && wanted <= newest;
                if news {
                    self.index = wanted;
                }
                empty.with(8, &[news.into()])
            }
            function::GET_LISTENER => match self.listener {
                Some(SocketAddr::V4(to)) => empty.with(8, &to.ip().octets()).with(12, &to.port().to_le_bytes()),
                _ => empty,
            },
            function::SET_LISTENER => {
                let to = SocketAddrV4::new(Ipv4Addr::from(question.bytes::<4>(8)), question.u16(12));
                self.listener = Some(to.into()).filter(|_| to.port() != 0);
                empty.with(8, &[1])
            }
            0x32 => empty.with(8, &self.now().map(bcd::encode).unwrap_or_default()),
            function::SET_TIME => {
                if let Some(local) = bcd::date_time(question.bytes(8)) {
                    self.set_time(local);
                }
                empty.with(8, &self.now().map(bcd::encode).unwrap_or_default())
            }
            function::GET_DOOR => empty.with(8, &[question.byte(8), 3, 5]),
            function::OPEN_DOOR => {
                let door = usize::from(question.byte(8)).wrapping_sub(1);
                let there = self.opened.get_mut(door).map(|times| *times += 1).is_some();
                empty.with(8, &[there.into()])
            }
            function::CARDS => {
                let count = self.cards.iter().filter(|card| **card != 0).count();
                empty.with(8, &u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes())
            }
            function::CARD => {
                let place = (question.u32(8) as usize).wrapping_sub(1);
                // A deleted one leaves ones behind, beyond the last there is nothing.
                let card = self.cards.get(place).map_or(0, |card| if *card == 0 { u32::MAX } else { *card });
                empty.with(8, &card.to_le_bytes())
            }
            _ => return None, // silent, as real ones are
        })
    }

    fn event_at(&self, empty: Packet, index: u32) -> Packet {
        let (Some((oldest, _)), Some((newest, _))) = (self.ring.front(), self.ring.back()) else { return empty };
        let found: Option<&(u32, Entry)> = match index {
            0 => self.ring.front(),
            u32::MAX => self.ring.back(),
            index if index > *newest && self.model.clamps => self.ring.back(),
            index if index < *oldest => match self.model.gone {
                Gone::Overwritten => return empty.with(12, &[0xff]),
                Gone::Nothing => return empty,
                Gone::Newest => self.ring.back(),
            },
            index => self.ring.iter().find(|(other, _)| *other == index),
        };
        found.map_or(empty, |(index, entry)| Self::event(empty, *index, entry))
    }

    fn set_time(&mut self, local: DateTime) {
        let there = local.to_zoned(self.model.zone.clone()).expect("a board's time is in range");
        // As if it had begun to count at the start of that second.
        let now = Timestamp::now();
        self.offset = Some(there.timestamp().duration_since(now));
    }
}
