//! What a simulated terminal holds.

use jiff::{SignedDuration, Timestamp, civil::DateTime};

use super::Model;
use crate::{command::said, frame::Frame, record::Raw};

pub(super) struct Unit {
    pub(super) model: Model,
    /// Every record, oldest first.
    pub(super) log: Vec<Raw>,
    /// How many of them, the oldest ones, are marked as read.
    pub(super) read: usize,
    /// Where the next page begins, and which records it is of.
    pub(super) pointer: usize,
    pub(super) users: Vec<u64>,
    /// Where the next page of users begins.
    pub(super) user_pointer: usize,
    /// Its clock minus ours.
    pub(super) offset: SignedDuration,
    pub(super) live: bool,
    pub(super) opened: u32,
    pub(super) deaf: bool,
    pub(super) logged_in: bool,
    pub(super) journal: Vec<(u8, Vec<u8>)>,
}

impl Unit {
    pub(super) fn new(model: Model) -> Self {
        Self {
            live: model.live,
            model,
            log: Vec::new(),
            read: 0,
            pointer: 0,
            users: (1000..1120).collect(),
            user_pointer: 0,
            offset: SignedDuration::ZERO,
            opened: 0,
            deaf: false,
            logged_in: false,
            journal: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> DateTime {
        let now = Timestamp::now();
        let there = now.checked_add(self.offset).unwrap_or(now);
        let local = there.to_zoned(self.model.zone.clone()).datetime();
        local.with().subsec_nanosecond(0).build().expect("a whole second is a time")
    }

    /// A record as it happens, as a frame.
    pub(super) fn told(&self, raw: &Raw) -> Vec<u8> {
        Frame::answer(self.model.unit, said::RECORD, 0, *raw).encode()
    }
}
