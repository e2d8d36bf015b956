//! What a look at a store shows.

use jiff::Timestamp;
use serde::Serialize;

use crate::ledger::Head;

/// What a look at every byte of a journal showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    pub segments: usize,
    /// Segments of which only ids are left, since they were delivered long ago.
    pub retired_segments: usize,
    pub groups: u64,
    /// Punches with all they hold.
    pub punches: u64,
    /// Punches of which the id is left.
    pub retired_punches: u64,
    pub set_aside: u64,
    pub ledgers: Vec<LedgerReport>,
    pub faults: Vec<Fault>,
    /// Groups that were lost and that a repair has accounted for.
    pub repaired_groups: u64,
    /// Bytes at the very end that are no whole group: a write that is under way or was cut short. It is no fault.
    pub unfinished_bytes: usize,
    /// Punches in them that are whole: they are counted as the others, since the next start keeps them.
    pub unfinished_punches: u64,
    /// Whether a daemon has the store open.
    pub in_use: bool,
    /// What is odd and costs nothing: files that are none of the journal's, a lock file that tells nothing.
    pub notes: Vec<String>,
}

/// What a store is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is missing and nothing is wrong.
    Whole,
    /// Nothing is wrong any more; what is missing is recorded as lost.
    Mended,
    /// Something is wrong, or missing without a word.
    Damaged,
}

impl VerifyReport {
    /// Whether nothing is missing and nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.verdict() == Verdict::Whole
    }

    pub fn verdict(&self) -> Verdict {
        let mut missing = self.ledgers.iter().flat_map(|ledger| &ledger.missing).peekable();
        match () {
            () if !self.faults.is_empty() => Verdict::Damaged,
            () if missing.peek().is_none() => Verdict::Whole,
            () if missing.all(|hole| hole.recorded.is_some()) => Verdict::Mended,
            () => Verdict::Damaged,
        }
    }
}

/// What the journal holds of one ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerReport {
    pub terminal: String,
    pub serial: String,
    pub ledger: i64,
    pub punches: u64,
    /// The last number.
    pub last: u64,
    /// The head after it.
    pub head: Head,
    /// Numbers up to `last` that are not there.
    pub missing: Vec<Missing>,
    /// Punches that are there and that no broker has confirmed.
    pub undelivered: u64,
}

/// Numbers of a ledger that are not in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    pub first: u64,
    pub last: u64,
    /// Where the first punch behind the hole stands; absent where there is none.
    pub segment: Option<u64>,
    pub offset: Option<u64>,
    /// What the journal itself says of it; absent: not a word.
    pub recorded: Option<Recorded>,
}

/// That numbers are lost, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    pub at: Timestamp,
    pub why: String,
    /// `made good`: as many punches came again under new numbers; `acknowledged`: somebody has taken note.
    pub settled: Option<&'static str>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub segment: u64,
    /// Bytes from the start of the segment's file.
    pub offset: u64,
    pub what: String,
    pub mend: &'static str,
}
