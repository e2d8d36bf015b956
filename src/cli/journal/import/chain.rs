//! What the chain of an export says of its lines: whose they are, and whether they are as they were written.

use std::{collections::HashMap, fmt};

use data_encoding::HEXLOWER;
use driver_api::Punch;
use jiff::Timestamp;

use super::fields::{EXPORTED, Line, Wrong};
use crate::ledger::{Entry, Head};

/// Where a line stands in the chain of its ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) ledger: i64,
    pub(super) seq: u64,
    pub(super) prev: [u8; 32],
    pub(super) head: [u8; 32],
}

pub(super) fn head(text: &str) -> Result<[u8; 32], Wrong> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| (format!("{text:?} is no head of a chain, which has 64 digits of 0-9 and a-f"), EXPORTED))
}

/// Whether the head that a line has comes out of the line. It is over `seq`, `id`, `person`, `local`, the two codes as read, and
/// `prev`.
pub(super) fn comes_out(link: &Link, id: driver_api::PunchId, punch: &Punch) -> bool {
    let entry = Entry {
        seq: link.seq,
        id,
        prev: Head(link.prev),
        person: punch.person.clone(),
        local: punch.local,
        direction: punch.direction.clone(),
        verify: punch.verify.clone(),
        // The rest is not in it.
        zone: "".into(),
        utc: Timestamp::UNIX_EPOCH,
        clock: punch.clock,
        work_code: None,
        origin: punch.origin,
        native: None,
        flags: Vec::new(),
        stored: Timestamp::UNIX_EPOCH,
    };
    entry.head() == Head(link.head)
}

/// The last line of each chain, by its head. Where two lines contradict each other nobody knows which was changed: there are two
/// answers then, and the next line shows which holds.
#[derive(Default)]
pub(super) struct Chains(HashMap<[u8; 32], Vec<Owner>>);

/// Whose a line is, and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    terminal: String,
    serial: String,
    ledger: i64,
    seq: u64,
}

impl Owner {
    fn next(self) -> Self {
        Self { seq: self.seq.wrapping_add(1), ..self }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { terminal, serial, ledger, seq } = self;
        write!(f, "number {seq} of {terminal}, serial {serial}, ledger {ledger}")
    }
}

impl Chains {
    /// Whoever follows a line in the chain is of the same terminal. One that follows none of them is taken at its word: an
    /// export may begin anywhere, and may have holes.
    pub(super) fn follow(&mut self, line: &Line) -> Result<(), Wrong> {
        let Line { terminal, serial, link, .. } = line;
        let says = Owner { terminal: terminal.clone(), serial: serial.clone(), ledger: link.ledger, seq: link.seq };
        let due: Vec<Owner> = self.0.remove(&link.prev).into_iter().flatten().map(Owner::next).collect();
        let Some(first) = due.first().filter(|_| !due.contains(&says)).cloned() else {
            self.0.insert(link.head, vec![says]);
            return Ok(());
        };
        let why =
            format!("by its chain it is {first}, and it says that it is {says}: it or the line before was changed");
        self.0.insert(link.head, vec![first, says]);
        Err((why, EXPORTED))
    }
}
