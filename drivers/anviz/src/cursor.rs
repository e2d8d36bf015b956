//! How many of a terminal's records are marked as read, by our own doing. If there are more, somebody else reads it too.

use serde::{Deserialize, Serialize};

use crate::record::Counters;

/// Saved as JSON. Losing it costs a read of the whole log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Records marked as read when we last looked.
    read: u32,
    /// The same if a clearing that was under way has happened.
    perhaps: u32,
    /// Records in its log.
    records: u32,
    /// The whole log was to be read, and was not yet.
    #[serde(default)]
    pub(crate) whole: bool,
}

/// How the terminal's counters compare with what we left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    AsWeLeftIt,
    /// More are marked as read than we marked.
    ReadByOthers {
        records: u32,
    },
    /// Nothing is marked as read any more, although its log did not get smaller.
    AllNew {
        marked: u32,
    },
    /// It holds fewer records than before.
    Shrank {
        before: u32,
    },
}

impl Cursor {
    pub(crate) fn parse(saved: &[u8]) -> Option<Self> {
        serde_json::from_slice(saved).ok()
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("three numbers always make JSON")
    }

    pub(crate) fn of(counters: &Counters) -> Self {
        let read = counters.read().unwrap_or(0);
        Self { read, perhaps: read, records: counters.records, whole: false }
    }

    pub(crate) fn compare(&self, counters: &Counters) -> Compared {
        if counters.records < self.records {
            return Compared::Shrank { before: self.records };
        }
        if counters.records > 0 && counters.read() == Some(0) && self.read > 0 {
            return Compared::AllNew { marked: self.read };
        }
        // A full log overwrites its oldest: then less of it is marked as read, and that is nobody's doing.
        match counters.read().unwrap_or(0).checked_sub(self.perhaps.max(self.read)) {
            Some(records @ 1..) => Compared::ReadByOthers { records },
            _ => Compared::AsWeLeftIt,
        }
    }

    /// Records marked as read, as far as we know.
    pub(crate) fn read(&self) -> u32 {
        self.read
    }

    /// Before so many more are marked by us.
    pub(crate) fn will_mark(mut self, count: u32) -> Self {
        self.perhaps = self.read.saturating_add(count);
        self
    }

    /// After so many more were.
    pub(crate) fn marked(mut self, count: u32) -> Self {
        self.read = self.read.saturating_add(count);
        self.perhaps = self.read;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(records: u32, new: u32) -> Counters {
        Counters { users: 0, records, new }
    }

    #[test]
    fn a_terminal_that_others_read_is_known_by_its_marks() {
        let cursor = Cursor::of(&counters(100, 10));
        assert_eq!(cursor.compare(&counters(105, 15)), Compared::AsWeLeftIt);
        assert_eq!(cursor.compare(&counters(105, 0)), Compared::ReadByOthers { records: 15 });
        assert_eq!(cursor.compare(&counters(99, 9)), Compared::Shrank { before: 100 });
        // A clearing whose answer got lost may have happened or not.
        let cursor = cursor.will_mark(10);
        for new in [10, 0] {
            assert_eq!(cursor.compare(&counters(100, new)), Compared::AsWeLeftIt);
        }
        assert_eq!(cursor.compare(&counters(101, 0)), Compared::ReadByOthers { records: 1 });
        assert_eq!(cursor.marked(10).compare(&counters(101, 1)), Compared::AsWeLeftIt);
    }

    #[test]
    fn a_full_log_that_overwrites_its_oldest_is_no_sign_of_others() {
        let cursor = Cursor::of(&counters(1000, 0));
        assert_eq!(cursor.compare(&counters(1000, 3)), Compared::AsWeLeftIt);
        // Up to what nobody has read.
        assert_eq!(cursor.compare(&counters(1000, 1000)), Compared::AllNew { marked: 1000 });
        assert_eq!(Cursor::of(&counters(10, 10)).compare(&counters(20, 20)), Compared::AsWeLeftIt);
        assert_eq!(Cursor::of(&counters(1000, 3)).marked(3).compare(&counters(1000, 1)), Compared::AsWeLeftIt);
    }

    #[test]
    fn a_cursor_reads_back_what_it_wrote_and_nothing_else() {
        let cursor = Cursor::of(&counters(100, 10)).will_mark(3);
        assert_eq!(Cursor::parse(&cursor.to_bytes()), Some(cursor));
        assert_eq!(Cursor::parse(b"{}"), None);
    }
}
