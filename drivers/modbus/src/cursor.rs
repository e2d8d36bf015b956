//! What the driver remembers of a terminal between two looks at it, and over a restart.

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

/// Saved as JSON. All of it may be old or gone: then events are read again, and known again by their numbers and times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cursor {
    /// The number of the last event that was stored.
    pub(crate) sequence: Option<u64>,
    /// Events that have no time of their own and are not acknowledged yet, with the time that we gave them: read again
    /// after a crash, they must get the same one, or they would be other punches.
    pub(crate) given: Vec<(u64, DateTime, u32)>,
    /// Each way of a counter: as last read, and people in all.
    pub(crate) counters: Vec<(u64, u64)>,
    /// Events that were lost in the terminal.
    pub(crate) lost: u64,
}

impl Cursor {
    pub(crate) fn parse(saved: &[u8]) -> Option<Self> {
        serde_json::from_slice(saved).ok()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and dates always make JSON")
    }

    /// The time that was given to these words before, and *n-th such*; else what is given them from now on.
    pub(crate) fn given_to(&mut self, words: &[u16], fresh: (DateTime, u32)) -> (DateTime, u32) {
        // FNV-1a: it is saved, so it must stay the same between versions.
        let mark = words.iter().flat_map(|word| word.to_be_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        if let Some((_, local, nth)) = self.given.iter().find(|(known, ..)| *known == mark) {
            return (*local, *nth);
        }
        self.given.push((mark, fresh.0, fresh.1));
        fresh
    }
}

/// How far a counter that wraps at `2^bits` went.
pub(crate) fn went(from: u64, to: u64, bits: usize) -> u64 {
    let step = to.wrapping_sub(from);
    if bits >= 64 { step } else { step & ((1 << bits) - 1) }
}
