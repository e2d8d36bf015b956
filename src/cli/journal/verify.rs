//! Recomputes the chain of every ledger.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::Arc,
};

use serde::Serialize;

use super::Damage;
use crate::{
    cli::{
        out::{Out, Tone},
        table::{Cell, Table},
        words,
    },
    ledger::{Entry, Head, Ledger},
};

/// Faults that are told of one ledger; more are only counted.
const TOLD: usize = 20;

/// One ledger, as far as this disk still holds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct LedgerCheck {
    pub(super) terminal: String,
    pub(super) serial: String,
    pub(super) ledger: i64,
    /// The first number on this disk; what was before it has been delivered, and its retention is over.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) punches: u64,
    /// The chain's head after `last`.
    pub(super) head: Head,
    pub(super) faults: u64,
    /// The first of them in words.
    pub(super) told: Vec<String>,
}

/// What came out of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Verified {
    /// By terminal, then by age.
    pub(super) ledgers: Vec<LedgerCheck>,
    pub(super) damages: Vec<Damage>,
}

/// Goes through all punches once.
pub(super) fn verify(punches: impl Iterator<Item = Result<(Arc<Ledger>, Entry), Damage>>) -> Verified {
    let mut checks: HashMap<Arc<Ledger>, LedgerCheck> = HashMap::new();
    let mut damages = Vec::new();
    for punch in punches {
        match punch {
            Err(damage) => damages.push(damage),
            Ok((ledger, entry)) => match checks.get_mut(&ledger) {
                Some(check) => check.follow(&entry),
                None => {
                    checks.insert(ledger.clone(), LedgerCheck::begin(&ledger, &entry));
                }
            },
        }
    }
    let mut ledgers: Vec<LedgerCheck> = checks.into_values().collect();
    ledgers.sort_by(|a, b| (&a.terminal, a.ledger, &a.serial).cmp(&(&b.terminal, b.ledger, &b.serial)));
    Verified { ledgers, damages }
}

impl LedgerCheck {
    fn begin(ledger: &Ledger, entry: &Entry) -> Self {
        let mut check = Self {
            terminal: ledger.terminal.clone(),
            serial: ledger.serial.clone(),
            ledger: ledger.begun,
            first: entry.seq,
            last: entry.seq,
            punches: 1,
            head: entry.head(),
            faults: 0,
            told: Vec::new(),
        };
        if entry.seq == 1 && entry.prev != ledger.origin() {
            check.fault("number 1 does not begin at the ledger's name".into());
        }
        check
    }

    fn follow(&mut self, entry: &Entry) {
        let expected = self.last + 1;
        if entry.seq > expected {
            self.fault(format!("{} missing", range(expected, entry.seq - 1)));
        } else if entry.seq < expected {
            self.fault(format!("number {} comes after number {}", entry.seq, self.last));
        } else if entry.prev != self.head {
            self.fault(format!(
                "number {} does not follow from number {}: one of them was changed",
                entry.seq, self.last
            ));
        }
        self.last = entry.seq;
        self.punches += 1;
        self.head = entry.head();
    }

    fn fault(&mut self, words: String) {
        self.faults += 1;
        if self.told.len() < TOLD {
            self.told.push(words);
        }
    }
}

fn range(first: u64, last: u64) -> String {
    if first == last { format!("number {first} is") } else { format!("numbers {first} to {last} are") }
}

impl Verified {
    pub(super) fn whole(&self) -> bool {
        self.damages.is_empty() && self.ledgers.iter().all(|ledger| ledger.faults == 0)
    }

    pub(super) fn write_json(&self, out: &mut Out) -> io::Result<()> {
        self.ledgers.iter().try_for_each(|ledger| out.json(ledger))?;
        self.damages.iter().try_for_each(|Damage(damage)| out.json(&serde_json::json!({ "damage": damage })))
    }

    pub(super) fn write_text(&self, out: &mut Out) -> io::Result<()> {
        if self.ledgers.is_empty() && self.damages.is_empty() {
            return writeln!(out, "there is no punch on this disk");
        }
        let mut table = Table::new(["TERMINAL", "SERIAL", "LEDGER", "FIRST", "LAST", "PUNCHES", "CHAIN", "HEAD"]);
        for check in &self.ledgers {
            let chain = match check.faults {
                0 => Cell::text("whole").toned(Tone::Good),
                faults => Cell::text(format!("{faults} faults")).toned(Tone::Bad),
            };
            table.push([
                Cell::text(&check.terminal),
                Cell::text(&check.serial),
                Cell::number(check.ledger),
                Cell::number(check.first),
                Cell::number(check.last),
                Cell::number(words::count(check.punches)),
                chain,
                Cell::text(&check.head.to_string()[..16]),
            ]);
        }
        table.write(out, true)?;
        for check in &self.ledgers {
            for words in &check.told {
                writeln!(out, "{} ledger {}: {words}", check.terminal, check.ledger)?;
            }
            if check.faults > TOLD as u64 {
                writeln!(out, "{} ledger {}: and {} more", check.terminal, check.ledger, check.faults - TOLD as u64)?;
            }
        }
        for Damage(damage) in &self.damages {
            writeln!(out, "damaged: {damage}")?;
        }
        if !self.whole() {
            writeln!(out, "terminals that still have a log bring missing punches again: punchgate reconcile TERMINAL")?;
        }
        Ok(())
    }
}
