//! What a simulated terminal holds, and who is connected to it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp, ToSpan, civil::DateTime};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    encode::{self, Entry},
    fault::Fault,
    model::Model,
};
use crate::{
    command::{ATTENDANCE, ask},
    frame::Packet,
};

pub(super) struct State {
    pub(super) model: Model,
    /// Records as they lie in its memory.
    pub(super) log: Vec<u8>,
    pub(super) users: Vec<User>,
    /// Nobody can punch: it was disabled.
    pub(super) closed: bool,
    /// What its screen shows.
    pub(super) screen: String,
    /// Its clock minus ours.
    pub(super) offset: SignedDuration,
    /// A lie about the number of records.
    pub(super) claimed: Option<u32>,
    pub(super) faults: Vec<Fault>,
    pub(super) journal: Vec<u16>,
    pub(super) acknowledged: usize,
    /// Bytes of users and log that were asked for and sent.
    pub(super) bulk_bytes: usize,
    pub(super) visitors: HashMap<u64, Visitor>,
    pub(super) next_visitor: u64,
    pub(super) next_session: u16,
}

/// Somebody who may punch.
pub(super) struct User {
    /// Internal number, and printed id.
    pub(super) uid: u16,
    pub(super) id: String,
    /// The entry as it lies in its memory.
    pub(super) raw: Vec<u8>,
}

/// A client: a TCP connection, or a UDP address.
pub(super) struct Visitor {
    pub(super) session: u16,
    pub(super) logged_in: bool,
    pub(super) registered: bool,
    /// What was prepared for reading in chunks.
    pub(super) snapshot: Vec<u8>,
    pub(super) push: UnboundedSender<Push>,
}

/// What is sent to a client unasked.
#[derive(Debug, Clone)]
pub(super) enum Push {
    /// An inner packet.
    Packet(Vec<u8>),
    Bytes(Vec<u8>),
    Close,
    /// Neither read nor write nor close any more.
    Die,
}

impl State {
    pub(super) fn new(model: Model) -> Self {
        Self {
            model,
            log: Vec::new(),
            users: Vec::new(),
            closed: false,
            screen: String::new(),
            offset: SignedDuration::ZERO,
            claimed: None,
            faults: Vec::new(),
            journal: Vec::new(),
            acknowledged: 0,
            bulk_bytes: 0,
            visitors: HashMap::new(),
            next_visitor: 0,
            next_session: 0x1234,
        }
    }

    /// Its wall time.
    pub(super) fn now(&self) -> DateTime {
        let now = Timestamp::now();
        let there = now.checked_add(self.offset).unwrap_or(now);
        let local = there.to_zoned(self.model.zone.clone()).datetime();
        local.with().subsec_nanosecond(0).build().expect("a whole second is a time")
    }

    pub(super) fn arrive(&mut self, push: UnboundedSender<Push>) -> u64 {
        self.next_visitor += 1;
        let visitor = Visitor { session: 0, logged_in: false, registered: false, snapshot: Vec::new(), push };
        self.visitors.insert(self.next_visitor, visitor);
        self.next_visitor
    }

    pub(super) fn record(&mut self, person: &str, local: DateTime, verify: u8, state: u8) {
        let entry = Entry { person, number: self.number(person), local, verify, state };
        encode::record(&mut self.log, self.model.form, &entry);
    }

    pub(super) fn event(&self, person: &str, local: DateTime, verify: u8, state: u8) -> Vec<u8> {
        encode::event(self.model.event, &Entry { person, number: self.number(person), local, verify, state })
    }

    /// An event as a packet for a client.
    pub(super) fn event_packet(data: &[u8]) -> Vec<u8> {
        Packet::new(ask::EVENT, ATTENDANCE, 0, data).encode()
    }

    pub(super) fn tell(&mut self, data: &[u8]) {
        let packet = Self::event_packet(data);
        for visitor in self.visitors.values().filter(|visitor| visitor.registered) {
            // Who is just leaving hears nothing any more.
            let _ = visitor.push.send(Push::Packet(packet.clone()));
        }
    }

    /// To everybody. Whoever is closed or dead is a visitor no more.
    pub(super) fn push_all(&mut self, push: &Push) {
        for visitor in self.visitors.values() {
            // Who is just leaving hears nothing any more.
            let _ = visitor.push.send(push.clone());
        }
        if matches!(push, Push::Close | Push::Die) {
            self.visitors.clear();
        }
    }

    pub(super) fn fill(&mut self, records: usize) {
        let start = self.now().checked_sub(1.hour()).unwrap_or(DateTime::MIN);
        let form = self.model.form;
        self.log.reserve_exact(records * form.size());
        for index in 0..records {
            let before = SignedDuration::from_secs(10 * (records - index) as i64);
            let local = start.checked_sub(before).unwrap_or(DateTime::MIN);
            let person = (1000 + index % 500).to_string();
            let state = u8::from(index % 1000 >= 500);
            let entry = Entry { person: &person, number: self.number(&person), local, verify: 1, state };
            encode::record(&mut self.log, form, &entry);
        }
    }

    pub(super) fn records(&self) -> u32 {
        self.claimed.unwrap_or((self.log.len() / self.model.form.size()) as u32)
    }

    /// What it writes where there is no room for text. Terminals with 16-byte records know printed numbers, those with
    /// 8 bytes only their own.
    fn number(&self, person: &str) -> u32 {
        let user = self.users.iter().find(|user| user.id == person).map(|user| u32::from(user.uid));
        let printed = person.parse().ok();
        let inner = self.model.form.size() == 8;
        if inner { user.or(printed) } else { printed.or(user) }.unwrap_or(0)
    }
}
