//! How a simulated terminal answers each command. No sockets here.

use jiff::SignedDuration;

use super::{
    encode,
    fault::{Answer, Harm},
    model::Bulk,
    state::{State, User},
};
use crate::{
    command::{ask, reply},
    commkey,
    frame::Packet,
    time,
    user::Width,
};

/// Clients that are not ours send these too.
mod also {
    pub(super) const SET_OPTION: u16 = 12;
    pub(super) const START_VERIFY: u16 = 60;
    pub(super) const CANCEL_CAPTURE: u16 = 62;
    pub(super) const STATE: u16 = 64;
    pub(super) const CLEAR_SCREEN: u16 = 67;
    pub(super) const PIN_WIDTH: u16 = 69;
    pub(super) const REFRESH_OPTION: u16 = 1014;
    pub(super) const TEST_VOICE: u16 = 1017;
}

impl State {
    /// The answer to a request of this visitor, faults and all. `datagrams` limits data packets to what fits in one.
    pub(super) fn answer(&mut self, visitor: u64, asked: &Packet, datagrams: bool) -> Answer {
        if asked.command == reply::OK {
            self.acknowledged += 1;
            return Answer::default();
        }
        self.journal.push(asked.command);
        let answer = self.sound_answer(visitor, asked, datagrams);
        let session = self.visitors.get(&visitor).map_or(0, |visitor| visitor.session);
        let fits = |command: Option<u16>| command.is_none_or(|command| command == asked.command);
        let Some(index) = self.faults.iter().position(|fault| fits(fault.command)) else { return answer };
        let fault = &mut self.faults[index];
        fault.times = fault.times.saturating_sub(1);
        let harm = fault.harm.clone();
        if fault.times == 0 {
            self.faults.remove(index);
        }
        if let Harm::Event(person) = &harm {
            return self.with_events(answer, person);
        }
        answer.harmed(&harm, asked, session)
    }

    fn with_events(&mut self, mut answer: Answer, person: &str) -> Answer {
        let now = self.now();
        let mut packets = Vec::new();
        for (index, packet) in answer.packets.into_iter().enumerate() {
            let person = if index == 0 { person.to_owned() } else { format!("{person}{index}") };
            self.record(&person, now, 1, 0);
            packets.push(Self::event_packet(&self.event(&person, now, 1, 0)));
            packets.push(packet);
        }
        answer.packets = packets;
        answer
    }

    fn sound_answer(&mut self, id: u64, asked: &Packet, datagrams: bool) -> Answer {
        let now = self.now();
        let Some(visitor) = self.visitors.get_mut(&id) else { return Answer::default() };
        if asked.command == ask::CONNECT {
            visitor.session = self.next_session;
            self.next_session = self.next_session.wrapping_add(0x101).max(1);
            visitor.logged_in = self.model.comm_key == 0;
            visitor.registered = false;
        }
        let session = visitor.session;
        let say = |code: u16, data: &[u8]| Answer::one(&Packet::new(code, session, asked.reply, data));
        match asked.command {
            ask::CONNECT if visitor.logged_in => return say(reply::OK, &[]),
            ask::CONNECT => return say(reply::UNAUTH, &[]),
            ask::AUTH => {
                let tick = asked.data.get(2).copied().unwrap_or_default();
                visitor.logged_in = asked.data == commkey::scramble(self.model.comm_key, session, tick);
                return say(if visitor.logged_in { reply::OK } else { reply::UNAUTH }, &[]);
            }
            _ if !visitor.logged_in || asked.session != session => return say(reply::UNAUTH, &[]),
            _ => {}
        }
        let int =
            |at: usize| asked.data.get(at..at + 4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        match asked.command {
            ask::EXIT => Answer { close: true, ..say(reply::OK, &[]) },
            ask::RESTART => Answer { restart: true, ..say(reply::OK, &[]) },
            ask::ENABLE | ask::DISABLE => {
                self.closed = asked.command == ask::DISABLE;
                say(reply::OK, &[])
            }
            ask::REFRESH | ask::UNLOCK | also::CLEAR_SCREEN => say(reply::OK, &[]),
            ask::WRITE_SCREEN => match asked.data.split_at_checked(4) {
                Some((_, text)) => {
                    self.screen = String::from_utf8_lossy(text).into_owned();
                    say(reply::OK, &[])
                }
                None => say(reply::ERROR, &[]),
            },
            ask::WRITE_USER => say(if self.write_user(&asked.data) { reply::OK } else { reply::ERROR }, &[]),
            ask::DELETE_USER => {
                let uid = asked.data.first_chunk().map(|uid| u16::from_le_bytes(*uid));
                let before = self.users.len();
                self.users.retain(|user| Some(user.uid) != uid);
                say(if self.users.len() < before { reply::OK } else { reply::ERROR }, &[])
            }
            also::SET_OPTION | also::START_VERIFY | also::CANCEL_CAPTURE => say(reply::OK, &[]),
            also::REFRESH_OPTION | also::TEST_VOICE => say(reply::OK, &[]),
            also::STATE => Answer::one(&Packet::new(reply::OK, 0, asked.reply, [])),
            also::PIN_WIDTH => say(reply::OK, &[9]),
            ask::CLEAR_LOG => {
                self.log.clear();
                say(reply::OK, &[])
            }
            ask::VERSION => say(reply::OK, format!("{}\0", self.model.firmware).as_bytes()),
            ask::OPTION => match self.option(&asked.data) {
                Some(answer) => say(reply::OK, answer.as_bytes()),
                None => say(reply::ERROR, &[]),
            },
            ask::SIZES => say(reply::OK, &encode::sizes(&self.model, self.users.len(), self.records())),
            ask::GET_TIME => say(reply::OK, &time::encode(now).to_le_bytes()),
            ask::SET_TIME => match int(0).and_then(time::decode) {
                Some(wanted) => {
                    let zone = self.model.zone.clone();
                    let at = |local| zone.to_ambiguous_zoned(local).compatible().map(|zoned| zoned.timestamp());
                    if let (Ok(wanted), Ok(now)) = (at(wanted), at(now)) {
                        self.offset += wanted.duration_since(now);
                        // Set at the beginning of a second, whatever our own clock is in the middle of.
                        self.offset -= SignedDuration::from_nanos(into_second());
                    }
                    say(reply::OK, &[])
                }
                None => say(reply::ERROR, &[]),
            },
            ask::EVENT => {
                visitor.registered = int(0).is_some_and(|mask| mask & 1 != 0);
                say(reply::OK, &[])
            }
            ask::FREE => {
                visitor.snapshot = Vec::new();
                say(reply::OK, &[])
            }
            ask::BUFFER if self.model.bulk == Bulk::Legacy => say(reply::UNKNOWN, &[]),
            ask::BUFFER => {
                let wanted = asked.data.get(1..3).map_or(0, |two| u16::from_le_bytes([two[0], two[1]]));
                let Some(body) = self.body(wanted) else { return say(reply::ERROR, &[]) };
                if body.len() <= self.model.inline {
                    return say(reply::DATA, &body);
                }
                let mut told = vec![0; 13];
                told[1..5].copy_from_slice(&(body.len() as u32).to_le_bytes());
                told[5..9].copy_from_slice(&(body.len() as u32).to_le_bytes());
                self.visitors.entry(id).and_modify(|visitor| visitor.snapshot = body);
                say(reply::OK, &told)
            }
            ask::CHUNK => {
                let (start, size) = (int(0).unwrap_or(0) as usize, int(4).unwrap_or(0) as usize);
                if size > self.model.largest_chunk {
                    return Answer { close: true, ..Answer::default() };
                }
                let end =
                    if self.model.bulk == Bulk::Heedless { visitor.snapshot.len() } else { start.saturating_add(size) };
                let chunk = visitor.snapshot.get(start..end);
                match chunk.map(<[u8]>::to_vec) {
                    Some(chunk) if !chunk.is_empty() => self.bulk(session, asked.reply, &chunk, datagrams),
                    _ => say(reply::ERROR, &[]),
                }
            }
            ask::USERS | ask::LOG => match self.body(asked.command) {
                Some(body) if body.len() > 4 => {
                    let bare = self.model.bulk == Bulk::Bare && body.len() <= self.model.inline;
                    if bare { say(reply::OK_DATA, &body) } else { self.bulk(session, asked.reply, &body, datagrams) }
                }
                _ => say(reply::OK, &[]),
            },
            _ => say(reply::UNKNOWN, &[]),
        }
    }

    /// Count of bytes, and the bytes.
    fn body(&self, command: u16) -> Option<Vec<u8>> {
        let mut body = vec![0; 4];
        match command {
            ask::USERS => {
                for user in &self.users {
                    body.extend_from_slice(&user.raw);
                }
            }
            ask::LOG => body.extend_from_slice(&self.log),
            _ => return None,
        }
        let length = (body.len() - 4) as u32;
        body[..4].copy_from_slice(&length.to_le_bytes());
        Some(body)
    }

    /// A user in 28 or 72 bytes, new or known by its internal number.
    fn write_user(&mut self, raw: &[u8]) -> bool {
        let width = if self.model.long_users { Width::Long } else { Width::Short };
        let Ok(user) = width.decode(raw) else { return false };
        self.users.retain(|other| other.uid != user.uid);
        self.users.push(User { uid: user.uid, id: user.id, raw: raw.to_vec() });
        true
    }

    fn bulk(&mut self, session: u16, asked: u16, data: &[u8], datagrams: bool) -> Answer {
        self.bulk_bytes += data.len();
        let most = if datagrams { self.model.datagram.max(1) } else { self.model.data_packet.clamp(1, 0xffc0) };
        let packet = |code: u16, data: &[u8]| Packet::new(code, session, asked, data).encode();
        let mut packets = Vec::new();
        if self.model.bulk != Bulk::Bare {
            let size = (data.len() as u32).to_le_bytes();
            packets.push(packet(reply::PREPARE, &[size, [0, 0x10, 0, 0]].concat()));
        }
        packets.extend(data.chunks(most).map(|part| packet(reply::DATA, part)));
        if self.model.bulk != Bulk::Bare {
            packets.push(packet(reply::OK, &[]));
        }
        Answer { packets, ..Answer::default() }
    }

    /// `name=value` and a NUL. Clients may leave out the NUL behind the name.
    fn option(&self, asked: &[u8]) -> Option<String> {
        let name = asked.split(|byte| *byte == 0).next().unwrap_or_default();
        let model = &self.model;
        let value = match name {
            b"~SerialNumber" => &*model.serial,
            b"~DeviceName" => &model.name,
            b"~Platform" => &model.platform,
            b"MAC" => &model.mac,
            b"~OS" => "1",
            b"~ZKFPVersion" => "10",
            b"~PIN2Width" => "9",
            b"DeviceID" => "1",
            b"~UserExtFmt" if model.long_users => "1",
            b"~UserExtFmt" => "0",
            _ => return None,
        };
        Some(format!("{}={value}\0", String::from_utf8_lossy(name)))
    }
}

fn into_second() -> i64 {
    i64::from(jiff::Timestamp::now().subsec_nanosecond())
}
