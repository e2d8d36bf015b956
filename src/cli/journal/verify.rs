//! Shows what a look at every byte of the journal found.

use std::io::{self, Write};

use crate::{
    cli::{
        out::{Out, Tone},
        table::{Cell, Table},
        words,
    },
    spool::VerifyReport,
};

/// Faults that are told; more are only counted.
const TOLD: usize = 50;

pub(super) fn show(report: &VerifyReport, out: &mut Out) -> io::Result<()> {
    if report.ledgers.is_empty() && report.faults.is_empty() {
        return writeln!(out, "there is no punch on this disk");
    }
    let mut table = Table::new(["TERMINAL", "SERIAL", "LEDGER", "PUNCHES", "LAST", "MISSING", "HEAD"]);
    for ledger in &report.ledgers {
        let missing: u64 = ledger.missing.iter().map(|(first, last)| last - first + 1).sum();
        table.push([
            Cell::text(&ledger.terminal),
            Cell::text(&ledger.serial),
            Cell::number(ledger.ledger),
            Cell::number(words::count(ledger.punches)),
            Cell::number(ledger.last),
            match missing {
                0 => Cell::text("none").toned(Tone::Good),
                missing => Cell::text(words::count(missing)).toned(Tone::Bad),
            },
            Cell::text(&ledger.head.to_string()[..16]),
        ]);
    }
    table.write(out, true)?;
    for ledger in &report.ledgers {
        for (first, last) in ledger.missing.iter().take(TOLD) {
            let numbers = if first == last { format!("{first} is") } else { format!("{first} to {last} are") };
            writeln!(out, "{} ledger {}: {numbers} missing", ledger.terminal, ledger.ledger)?;
        }
    }
    for fault in report.faults.iter().take(TOLD) {
        writeln!(out, "segment {} byte {}: {}", fault.segment, fault.offset, fault.what)?;
    }
    if report.faults.len() > TOLD {
        writeln!(out, "and {} more faults", report.faults.len() - TOLD)?;
    }
    if report.is_whole() {
        writeln!(out, "every checksum, every number and every chain holds")
    } else {
        writeln!(out, "terminals that still have a log bring missing punches again: punchgate reconcile TERMINAL")
    }
}
