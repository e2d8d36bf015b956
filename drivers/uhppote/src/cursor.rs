//! Our mark in a board's ring: up to where everything is on our disk. It saves work and proves little, so it is checked
//! against the ring and the ledger before it is used; without one the whole ring is read, and what is known is a twin.

use driver_api::Holdings;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// Saved as JSON after the punches that it speaks of are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The last event that was dealt with; 0 for none.
    pub(crate) index: u32,
    /// What stood at that index, to know the ring again.
    seal: Option<Seal>,
    /// What the ledger held at that time.
    records: u64,
    /// What the ring overwrote before it was read, until somebody has taken note.
    pub(crate) lost: Option<Lost>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    local: Option<DateTime>,
    kind: u8,
    door: u8,
    card: u32,
}

/// Events that nobody will ever read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) count: u64,
}

impl Lost {
    pub(crate) fn words(&self) -> String {
        let Self { first, last, count } = self;
        format!("{count} events between {first} and {last} were gone from its ring before they were read")
    }
}

impl Cursor {
    pub(crate) fn parse(saved: &[u8]) -> Option<Self> {
        serde_json::from_slice(saved).ok()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and a date always make JSON")
    }

    /// Whether the ledger still holds what it held. A ledger that was begun anew holds less.
    pub(crate) fn is_believable(&self, holdings: &Holdings) -> bool {
        holdings.punches + holdings.set_aside >= self.records
    }

    /// This event, and all before it, are dealt with.
    pub(crate) fn pass(&mut self, event: &Event, holdings: &Holdings) {
        self.index = event.index;
        self.seal = Some(seal(event));
        self.records = holdings.punches + holdings.set_aside;
    }

    /// All up to here is gone, or dealt with otherwise.
    pub(crate) fn skip_to(&mut self, index: u32) {
        self.index = index;
        self.seal = None;
    }

    /// Whether this event, read anew, is the one that stood there.
    pub(crate) fn fits(&self, event: &Event) -> bool {
        self.seal.as_ref().is_none_or(|known| *known == seal(event))
    }

    pub(crate) fn has_seal(&self) -> bool {
        self.seal.is_some()
    }

    /// Events from `first` to `last` are gone.
    pub(crate) fn lose(&mut self, first: u32, last: u32) -> &Lost {
        let count = u64::from(last - first) + 1;
        let before = self.lost.take();
        let first = before.as_ref().map_or(first, |lost| lost.first);
        let count = before.map_or(0, |lost| lost.count) + count;
        self.lost.insert(Lost { first, last, count })
    }
}

fn seal(event: &Event) -> Seal {
    Seal { local: event.local, kind: event.kind.code(), door: event.door, card: event.card }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Packet;

    #[test]
    fn a_cursor_knows_its_event_again_and_no_other() {
        let event = Event::of(&Packet::new(0xb0, 1).with(8, &[7, 0, 0, 0, 1, 1, 1, 1, 9]));
        let mut cursor = Cursor::default();
        assert!(cursor.fits(&event), "a cursor that knows nothing has nothing against it");
        cursor.pass(&event, &Holdings { punches: 5, set_aside: 1, latest: None });
        assert!(cursor.fits(&event) && !cursor.fits(&Event { card: 8, ..event }));
        assert_eq!(Cursor::parse(&cursor.to_bytes()), Some(cursor.clone()));
        assert!(!cursor.is_believable(&Holdings { punches: 5, set_aside: 0, latest: None }));
        assert_eq!(Cursor::parse(b"{}"), None);
    }

    #[test]
    fn losses_add_up() {
        let mut cursor = Cursor::default();
        cursor.lose(10, 19);
        assert_eq!(*cursor.lose(40, 40), Lost { first: 10, last: 40, count: 11 });
    }
}
