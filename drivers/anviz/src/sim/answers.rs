//! What a simulated terminal answers.

use jiff::Timestamp;

use super::unit::Unit;
use crate::{
    command::{CLEAR_MARKS, ask, never, page},
    frame::Frame,
    record::{clock, encode_clock, u24},
};

impl Unit {
    /// The answer; nothing where it is silent.
    pub(super) fn answer(&mut self, question: &Frame) -> Option<Frame> {
        self.journal.push((question.command, question.data.clone()));
        let unit = self.model.unit;
        let well = |data: Vec<u8>| Some(Frame::answer(unit, question.command, 0, data));
        let fail = |result| Some(Frame::answer(unit, question.command, result, []));
        let padded = |text: &str, size: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(size, 0);
            bytes
        };
        if self.model.login.is_some() && !self.logged_in && question.command != ask::LOGIN {
            return fail(1);
        }
        match question.command {
            ask::LOGIN => {
                let Some((user, password)) = &self.model.login else { return fail(1) };
                self.logged_in = question.data == [padded(user, 12), padded(password, 12)].concat();
                if self.logged_in { well(vec![]) } else { fail(1) }
            }
            ask::SERIAL | ask::MODEL | ask::CONFIG | ask::MORE_CONFIG if self.model.old => None,
            ask::SERIAL => well(padded(&self.model.serial, 16)),
            ask::MODEL => well(padded(&self.model.name, 8)),
            ask::CONFIG => well(padded(&self.model.firmware, 18)),
            ask::UNIT => well(unit.to_be_bytes().to_vec()),
            ask::MORE_CONFIG => {
                let mut config = vec![0; 15];
                config[4] = self.live.into();
                well(config)
            }
            ask::SET_MORE_CONFIG => {
                match question.data.get(4) {
                    Some(0xff) | None => {}
                    Some(live) => self.live = *live == 1,
                }
                well(vec![])
            }
            ask::GET_CLOCK => well(encode_clock(self.now()).to_vec()),
            ask::SET_CLOCK => {
                let Some(local) = clock(&question.data) else { return fail(1) };
                let there = local.to_zoned(self.model.zone.clone()).expect("a terminal's time is in range");
                self.offset = there.timestamp().duration_since(Timestamp::now());
                well(vec![])
            }
            ask::COUNTERS => {
                let numbers = [self.users.len(), 80, 3, 118, self.log.len(), self.log.len() - self.read];
                well(numbers.iter().flat_map(|number| three(*number)).collect())
            }
            ask::RECORDS => {
                let [which, most] = question.data[..] else { return fail(1) };
                match which {
                    page::FIRST_OF_ALL => self.pointer = 0,
                    page::FIRST_NEW => self.pointer = self.read,
                    page::NEXT => {}
                    _ => return fail(1),
                }
                let start = self.pointer.min(self.log.len());
                let end = (start + usize::from(most.min(page::MOST))).min(self.log.len());
                self.pointer = end;
                let count = u8::try_from(end - start).expect("a page holds few");
                well([&[count][..], self.log[start..end].as_flattened()].concat())
            }
            ask::USERS => {
                let [which, most] = question.data[..] else { return fail(1) };
                match which {
                    page::FIRST_OF_ALL => self.user_pointer = 0,
                    page::NEXT => {}
                    _ => return fail(1),
                }
                let start = self.user_pointer.min(self.users.len());
                let end = (start + usize::from(most.min(page::MOST_USERS))).min(self.users.len());
                self.user_pointer = end;
                let one = |user: &u64| {
                    let name = "Demo".encode_utf16().flat_map(u16::to_be_bytes);
                    let mut record: Vec<u8> = user.to_be_bytes()[3..]
                        .iter()
                        .copied()
                        .chain([0x50, 0x4d, 0x2f, 1, 2, 3, 4])
                        .chain(name)
                        .collect();
                    record.resize(40, 0);
                    record
                };
                let count = u8::try_from(end - start).expect("a page holds few");
                well([vec![count], self.users[start..end].iter().flat_map(one).collect()].concat())
            }
            ask::CLEAR => {
                let (Some(&kind), Some(count)) = (question.data.first(), u24(question.data.get(1..).unwrap_or(&[])))
                else {
                    return fail(1);
                };
                let before = self.read;
                match kind {
                    CLEAR_MARKS => self.read = (self.read + count as usize).min(self.log.len()),
                    never::CLEAR_ALL_MARKS => self.read = self.log.len(),
                    never::CLEAR_RECORDS => {
                        (self.log, self.read) = (Vec::new(), 0);
                        return well(three(0).to_vec());
                    }
                    _ => return fail(1),
                }
                well(three(self.read - before).to_vec())
            }
            ask::OPEN => {
                self.opened += 1;
                well(vec![])
            }
            _ if self.model.old => None,
            _ => fail(1),
        }
    }
}

fn three(number: usize) -> [u8; 3] {
    let [_, high, middle, low] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    [high, middle, low]
}
