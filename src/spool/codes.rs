//! The bytes that stand for directions, kinds of proof and the like in the journal: given once, for ever.

use driver_api::{ClockSource, Direction, Flag, Mark, Origin, Raw, Verify};
use serde::{Deserialize, Serialize};

use crate::inquiry::Standing;

/// A raw value, as the terminal gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Code<'a> {
    Number(i64),
    Text(&'a str),
}

/// A record whose checksum is right and whose content is not: written by a newer version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// A value with a byte of its own in the journal, for ever.
pub(super) trait Coded: Copy {
    fn code(self) -> u8;
    fn of_code(code: u8) -> Result<Self, Unreadable>;
}

/// Both ways from one list, and the compiler sees to it that no value is left out.
macro_rules! codes {
    ($type:ident: $($value:ident = $code:literal),+) => {
        impl Coded for $type {
            fn code(self) -> u8 {
                match self { $(Self::$value => $code),+ }
            }

            fn of_code(code: u8) -> Result<Self, Unreadable> {
                match code { $($code => Ok(Self::$value),)+ _ => Err(Unreadable) }
            }
        }
    };
}

codes!(Direction: Unknown = 0, In = 1, Out = 2, BreakOut = 3, BreakIn = 4, OvertimeIn = 5, OvertimeOut = 6);
codes!(Verify: Unknown = 0, Password = 1, Finger = 2, Card = 3, Face = 4, Palm = 5);
codes!(Origin: Live = 0, Backfill = 1, Reread = 2, Manual = 3, Import = 4);
codes!(ClockSource: Unknown = 0, Probed = 1, Arrival = 2);
codes!(Standing: Connecting = 0, Online = 1, Offline = 2, Refused = 3, Started = 4, Stopped = 5);
// The number of a bit.
codes!(Flag: ClockUnset = 0, Future = 1, DuplicateSecond = 2, UnknownTerminal = 3, UnknownPerson = 4, Denied = 5,
    AmbiguousTime = 6, NonexistentTime = 7);

pub(super) fn mark_out<T: Coded>(mark: &Mark<T>) -> (u8, Option<Code<'_>>) {
    let raw = mark.raw.as_ref().map(|raw| match raw {
        Raw::Number(number) => Code::Number(*number),
        Raw::Text(text) => Code::Text(text),
    });
    (mark.value.code(), raw)
}

pub(super) fn mark_in<T: Coded>((value, raw): &(u8, Option<Code<'_>>)) -> Result<Mark<T>, Unreadable> {
    let raw = raw.as_ref().map(|raw| match raw {
        Code::Number(number) => Raw::Number(*number),
        Code::Text(text) => Raw::Text((*text).to_owned()),
    });
    Ok(Mark { value: T::of_code(*value)?, raw })
}
