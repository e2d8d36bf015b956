//! Which events are punches, and what is made of them. README.md has the same in words.

use std::collections::{BTreeMap, BTreeSet};

use driver_api::{Batch, Clock, Direction, Flag, Mark, Origin, Punch, Raw, SetAside, Verify};

use crate::event::{Event, Kind};

/// A board whose clock says less than this was never set.
pub(crate) const FIRST_SANE_YEAR: i16 = 2015;

/// By config: what counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Whether a card that was denied is a punch too.
    pub(crate) denied: bool,
    /// The doors at which people clock; all when empty.
    pub(crate) doors: BTreeSet<u8>,
    /// Meanings of `door/reader`, where they are not the usual ones.
    pub(crate) directions: BTreeMap<(u8, u8), Direction>,
}

impl Rules {
    /// Adds what this event means to a batch. Doors, buttons and alarms mean nothing here.
    pub(crate) fn book(&self, event: &Event, origin: Origin, clock: Clock, batch: &mut Batch) {
        match event.kind {
            Kind::Card if !self.counts(event) => {}
            Kind::Card => match self.punch(event, origin, clock) {
                Ok(punch) => batch.punches.push(punch),
                Err(why) => batch.set_aside.push(set_aside(event, why)),
            },
            Kind::Door | Kind::Alarm | Kind::None | Kind::Overwritten => {}
            Kind::Other(_) => batch.set_aside.push(set_aside(event, "the event is of a kind that is not known")),
        }
    }

    fn counts(&self, event: &Event) -> bool {
        (event.granted || self.denied) && (self.doors.is_empty() || self.doors.contains(&event.door))
    }

    fn punch(&self, event: &Event, origin: Origin, clock: Clock) -> Result<Punch, &'static str> {
        if event.card == 0 {
            return Err("the event names no card");
        }
        let local = event.local.ok_or("the event's time is no real date")?;
        let mut flags = Vec::new();
        if local.year() < FIRST_SANE_YEAR {
            flags.push(Flag::ClockUnset);
        }
        if !event.granted {
            flags.push(Flag::Denied);
        }
        let usual = match event.direction {
            1 => Direction::In,
            2 => Direction::Out,
            _ => Direction::Unknown,
        };
        let reader = (event.door, event.direction);
        Ok(Punch {
            person: event.card.to_string(),
            local,
            zone: None,
            direction: Mark {
                value: self.directions.get(&reader).copied().unwrap_or(usual),
                raw: Some(Raw::Text(format!("{}/{}", event.door, event.direction))),
            },
            verify: Mark { value: Verify::Card, raw: Some(event.reason.into()) },
            work_code: None,
            // The index begins anew when the board is reset; then the time beside it in the id is another.
            native: Some(event.index.to_string()),
            nth: 1,
            origin,
            clock,
            flags,
        })
    }
}

fn set_aside(event: &Event, why: &str) -> SetAside {
    SetAside { raw: event.raw.to_vec(), reason: why.to_owned(), nth: 1 }
}

#[cfg(test)]
mod tests {
    use crate::packet::Packet;

    use super::*;

    /// Card 12345678 at door 2, reader 1, granted.
    fn event() -> Event {
        let bytes = [0x0b, 0x35, 0, 0, 1, 1, 2, 1, 0x4e, 0x61, 0xbc, 0, 0x20, 0x26, 0x11, 0x22, 8, 1, 5, 1];
        Event::of(&Packet::new(0xb0, 1).with(8, &bytes))
    }

    fn book(rules: &Rules, event: &Event) -> Batch {
        let mut batch = Batch::default();
        rules.book(event, Origin::Live, Clock::UNKNOWN, &mut batch);
        batch
    }

    #[test]
    fn a_granted_card_is_a_punch_and_a_denied_one_where_that_is_wished() {
        let (granted, denied) = (event(), Event { granted: false, reason: 6, ..event() });
        let batch = book(&Rules::default(), &granted);
        assert_eq!(batch.punches[0].person, "12345678");
        assert_eq!(batch.punches[0].native.as_deref(), Some("13579"));
        assert_eq!(batch.punches[0].direction.raw, Some(Raw::Text("2/1".into())));
        assert_eq!(book(&Rules::default(), &denied), Batch::default());
        let batch = book(&Rules { denied: true, ..Rules::default() }, &denied);
        assert_eq!((&batch.punches[0].flags[..], &batch.punches[0].verify.raw), (&[Flag::Denied][..], &Some(6.into())));
    }

    #[test]
    fn doors_and_directions_are_as_the_config_says() {
        let only = |doors: &[u8]| Rules { doors: doors.iter().copied().collect(), ..Rules::default() };
        assert_eq!(book(&only(&[1, 3]), &event()), Batch::default());
        assert_eq!(book(&only(&[2]), &event()).punches[0].direction.value, Direction::In);
        let rules = Rules { directions: [((2, 1), Direction::Out)].into(), ..Rules::default() };
        assert_eq!(book(&rules, &event()).punches[0].direction.value, Direction::Out);
    }

    #[test]
    fn doors_buttons_and_alarms_are_no_punches_and_what_makes_no_sense_is_kept() {
        for kind in [Kind::Door, Kind::Alarm, Kind::None, Kind::Overwritten] {
            assert_eq!(book(&Rules::default(), &Event { kind, ..event() }), Batch::default());
        }
        for odd in
            [Event { kind: Kind::Other(9), ..event() }, Event { card: 0, ..event() }, Event { local: None, ..event() }]
        {
            let batch = book(&Rules::default(), &odd);
            assert_eq!((batch.punches.len(), batch.set_aside.len()), (0, 1), "{odd:?}");
            assert_eq!(batch.set_aside[0].raw, odd.raw);
        }
    }
}
