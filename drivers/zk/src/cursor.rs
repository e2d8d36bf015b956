//! What the driver remembers of the last complete read of a log. It saves work and proves little, so it is checked
//! against the log and the ledger before it is used, and anything may happen to it.

use driver_api::Holdings;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::record::Form;

/// Saved as JSON after the punches that it speaks of are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Records in the log, as read.
    pub(crate) records: u64,
    /// Records in the log by the terminal's count just before that read.
    pub(crate) told: u64,
    pub(crate) form: Form,
    /// Over all those records.
    all: u64,
    /// Over the first of them. Cursors that were saved before a log was known by its ends have none: it is read once more.
    #[serde(default)]
    first: Option<u64>,
    /// Over the last of them.
    last: u64,
    /// The newest time among them.
    pub(crate) latest: Option<DateTime>,
}

/// How a log compares with the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It begins with all that was read before.
    Grown { known: usize },
    /// The beginning is gone, the end of what was read before is still there: a full log overwrites its oldest.
    Wrapped,
    /// The latest of what was read before is there, others are gone, and there are fewer records than before.
    Shrunk,
    /// Nothing of what was read before can be found: cleared, replaced, or overwritten all around.
    Gone,
}

impl Cursor {
    pub(crate) fn of(records: &[u8], form: Form, told: u64, latest: Option<DateTime>) -> Self {
        let mut each = records.chunks_exact(form.size());
        let first = each.next().map(hash);
        let last = each.next_back().map(hash).or(first).unwrap_or(0);
        Self { records: (records.len() / form.size()) as u64, told, form, all: hash(records), first, last, latest }
    }

    /// Of a log of which nothing was read yet, or that we emptied: nothing but its layout is known.
    pub(crate) fn begun(form: Form) -> Self {
        Self::of(&[], form, 0, None)
    }

    pub(crate) fn parse(saved: &[u8]) -> Option<Self> {
        serde_json::from_slice(saved).ok()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and a date always make JSON")
    }

    /// Bytes of the records, if they can be told by the first and the last of them.
    pub(crate) fn length(&self) -> Option<usize> {
        self.first?;
        usize::try_from(self.records).ok()?.checked_mul(self.form.size()).filter(|length| *length > 0)
    }

    /// Whether a log of as many records, which begins and ends with these two, is the one that was read.
    pub(crate) fn has_ends(&self, first: &[u8], last: &[u8]) -> bool {
        self.first == Some(hash(first)) && self.last == hash(last)
    }

    /// Whether the ledger can hold all that this cursor speaks of. A ledger that was begun anew holds less.
    pub(crate) fn is_believable(&self, holdings: &Holdings) -> bool {
        holdings.punches + holdings.set_aside >= self.records
    }

    pub(crate) fn compare(&self, records: &[u8], form: Form) -> Compared {
        let size = form.size();
        let known = usize::try_from(self.records).unwrap_or(usize::MAX);
        if form == self.form {
            let before = known.checked_mul(size).and_then(|length| records.get(..length));
            if before.is_some_and(|before| hash(before) == self.all) {
                return Compared::Grown { known };
            }
            if self.records > 0 && records.chunks_exact(size).any(|record| hash(record) == self.last) {
                return if records.len() / size >= known { Compared::Wrapped } else { Compared::Shrunk };
            }
        }
        Compared::Gone
    }
}

/// FNV-1a, over eight bytes at a time; it must stay the same between versions, and need not resist anybody: a terminal
/// that wants to hide its own punches need not show them.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    let mut words = bytes.chunks_exact(8);
    let mut hash = words.by_ref().fold(0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64, |hash, word| {
        step(hash, u64::from_le_bytes(word.try_into().expect("chunks are of eight bytes")))
    });
    for byte in words.remainder() {
        hash = step(hash, u64::from(*byte));
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(numbers: impl IntoIterator<Item = u8>) -> Vec<u8> {
        numbers.into_iter().flat_map(|number| [number; 16]).collect()
    }

    #[test]
    fn a_log_that_grew_is_known_by_its_beginning() {
        let cursor = Cursor::of(&log(1..=5), Form::Number16, 5, None);
        assert_eq!(cursor.compare(&log(1..=5), Form::Number16), Compared::Grown { known: 5 });
        assert_eq!(cursor.compare(&log(1..=9), Form::Number16), Compared::Grown { known: 5 });
        assert_eq!(cursor.compare(&log(2..=7), Form::Number16), Compared::Wrapped);
        assert_eq!(cursor.compare(&log(2..=5), Form::Number16), Compared::Shrunk);
        assert_eq!(cursor.compare(&log(11..=19), Form::Number16), Compared::Gone);
        assert_eq!(cursor.compare(&log(1..=5), Form::A8), Compared::Gone);
        assert_eq!(cursor.compare(&[], Form::Number16), Compared::Gone);
    }

    #[test]
    fn a_cursor_reads_back_what_it_wrote_and_nothing_else() {
        let cursor = Cursor::of(&log(1..=5), Form::Text(40), 5, Some(jiff::civil::date(2026, 1, 2).at(3, 4, 5, 0)));
        assert_eq!(Cursor::parse(&cursor.to_bytes()), Some(cursor));
        assert_eq!(Cursor::parse(b"{\"records\":1}"), None);
        assert_eq!(Cursor::parse(&[0xff; 9]), None);
    }

    #[test]
    fn a_log_is_known_by_its_ends_unless_they_were_not_saved() {
        let cursor = Cursor::of(&log(1..=5), Form::Number16, 5, None);
        assert_eq!(cursor.length(), Some(80));
        assert!(cursor.has_ends(&[1; 16], &[5; 16]));
        assert!(!cursor.has_ends(&[2; 16], &[5; 16]) && !cursor.has_ends(&[1; 16], &[6; 16]));
        let one = Cursor::of(&log(1..=1), Form::Number16, 1, None);
        assert!(one.has_ends(&[1; 16], &[1; 16]));
        let mut saved: serde_json::Value = serde_json::from_slice(&cursor.to_bytes()).unwrap();
        saved.as_object_mut().unwrap().remove("first");
        let old = Cursor::parse(saved.to_string().as_bytes()).unwrap();
        assert_eq!((old.length(), old.compare(&log(1..=5), Form::Number16)), (None, Compared::Grown { known: 5 }));
    }

    #[test]
    fn a_ledger_that_was_begun_anew_disproves_a_cursor() {
        let cursor = Cursor::of(&log(1..=5), Form::Number16, 5, None);
        assert!(cursor.is_believable(&Holdings { punches: 4, set_aside: 1, latest: None }));
        assert!(!cursor.is_believable(&Holdings { punches: 4, set_aside: 0, latest: None }));
    }
}
