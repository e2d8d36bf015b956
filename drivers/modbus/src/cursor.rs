//! What the driver remembers of a terminal between two looks at it, and over a restart.

use driver_api::{NotStored, Store};
use jiff::{SignedDuration, Timestamp, civil::DateTime};
use serde::{Deserialize, Serialize};

/// Saved as JSON. All of it may be old or gone: then events are read again, and known again by their numbers and times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cursor {
    /// The number of the last event that was stored.
    pub(crate) sequence: Option<u64>,
    /// Punches in the ledger at that time.
    pub(crate) records: u64,
    /// Where the terminal's tail stands after what we acknowledged last.
    pub(crate) tail: Option<u16>,
    /// Each way of a counter: as last read, and people in all.
    pub(crate) counters: Vec<(u64, u64)>,
    /// Events that were lost in the terminal.
    pub(crate) lost: u64,
    pub(crate) told: Option<Told>,
}

/// A loss stays told for so long, whoever serves the terminal meanwhile: what is lost does not come back with the next punch.
const HELD: SignedDuration = SignedDuration::from_hours(24);

/// That events were lost in a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) at: Timestamp,
    pub(crate) cause: String,
}

impl Told {
    /// What goes on is told as that, from time to time.
    pub(crate) fn is_old(&self, now: Timestamp) -> bool {
        now.duration_since(self.at) > SignedDuration::from_hours(1)
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.at) > HELD
    }
}

impl Cursor {
    pub(crate) fn parse(saved: &[u8]) -> Option<Self> {
        serde_json::from_slice(saved).ok()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and dates always make JSON")
    }

    /// A crash may have taken the last ones that were saved, never a punch: where the ledger holds more than when this was
    /// saved, the number of its newest punch is the last that was stored.
    pub(crate) async fn load(store: &Store) -> Self {
        let mut cursor = store.load_cursor().await.and_then(|saved| Self::parse(&saved)).unwrap_or_default();
        let held = store.holdings().await.punches;
        if held > cursor.records {
            let newest = store.newest().await.and_then(|punch| punch.native?.parse().ok());
            cursor.sequence = newest.or(cursor.sequence);
            cursor.tail = None;
        }
        cursor.records = held;
        cursor
    }
}

/// Events that have no time of their own and are not acknowledged yet, with the time that we gave them: read again after a
/// crash, they must get the same one, or they would be other punches. So these are as durable as punches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Given(Vec<(u64, DateTime, u32)>);

impl Given {
    const KEY: &str = "given";

    pub(crate) async fn load(store: &Store) -> Result<Self, NotStored> {
        let remembered = store.remembered(Self::KEY).await?;
        Ok(remembered.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default())
    }

    pub(crate) async fn save(&self, store: &Store) -> Result<(), NotStored> {
        store.remember(Self::KEY, serde_json::to_vec(self).expect("numbers and dates always make JSON")).await
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The time that was given to these words before, and *n-th such*; else what is given them from now on.
    pub(crate) fn to(&mut self, words: &[u16], fresh: (DateTime, u32)) -> (DateTime, u32) {
        // FNV-1a: it is saved, so it must stay the same between versions.
        let mark = words.iter().flat_map(|word| word.to_be_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        if let Some((_, local, nth)) = self.0.iter().find(|(known, ..)| *known == mark) {
            return (*local, *nth);
        }
        self.0.push((mark, fresh.0, fresh.1));
        fresh
    }
}

/// How far a counter that wraps at `2^bits` went.
pub(crate) fn went(from: u64, to: u64, bits: usize) -> u64 {
    let step = to.wrapping_sub(from);
    if bits >= 64 { step } else { step & ((1 << bits) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_for_a_day() {
        let told = Told { at: Timestamp::UNIX_EPOCH, cause: String::new() };
        let after = |hours| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        assert!(!told.is_over(after(-1)) && !told.is_over(after(24)) && told.is_over(after(25)));
    }
}
