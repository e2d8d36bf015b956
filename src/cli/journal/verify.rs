//! Shows what a look at every byte of the journal found.

use std::io::{self, Write};

use crate::{
    cli::{
        out::{Out, Tone, harmless},
        table::{Cell, Table},
        words,
    },
    spool::{Missing, Recorded, Verdict, VerifyReport},
};

/// Faults that are told; more are only counted.
const TOLD: usize = 50;

pub(super) fn show(report: &VerifyReport, out: &mut Out) -> io::Result<()> {
    if report.ledgers.is_empty() && report.faults.is_empty() {
        return writeln!(out, "there is no punch on this disk");
    }
    let mut table = Table::new(["TERMINAL", "SERIAL", "LEDGER", "PUNCHES", "UNDELIVERED", "LAST", "MISSING", "HEAD"]);
    for ledger in &report.ledgers {
        let missing: u64 = ledger.missing.iter().map(|hole| hole.last - hole.first + 1).sum();
        table.push([
            Cell::text(&ledger.terminal),
            Cell::text(&ledger.serial),
            Cell::number(ledger.ledger),
            Cell::number(words::count(ledger.punches)),
            Cell::number(words::count(ledger.undelivered)),
            Cell::number(ledger.last),
            match missing {
                0 => Cell::text("none").toned(Tone::Good),
                missing => Cell::text(words::count(missing)).toned(Tone::Bad),
            },
            Cell::text(&ledger.head.to_string()[..16]),
        ]);
    }
    if !report.ledgers.is_empty() {
        table.write(out, true)?;
    }
    for ledger in &report.ledgers {
        for hole in ledger.missing.iter().take(TOLD) {
            writeln!(out, "{} ledger {}: {}", harmless(&ledger.terminal), ledger.ledger, told(hole))?;
        }
        if ledger.missing.len() > TOLD {
            writeln!(
                out,
                "{} ledger {}: and {} more holes",
                ledger.terminal,
                ledger.ledger,
                ledger.missing.len() - TOLD
            )?;
        }
    }
    for fault in report.faults.iter().take(TOLD) {
        match fault.segment {
            0 => writeln!(out, "{}", harmless(&fault.what))?,
            segment => writeln!(out, "segment {segment} byte {}: {}", fault.offset, harmless(&fault.what))?,
        }
    }
    if report.faults.len() > TOLD {
        writeln!(out, "and {} more faults", report.faults.len() - TOLD)?;
    }
    if report.unfinished_bytes > 0 {
        let end = if report.in_use {
            "the daemon is writing it now, or will look at it at its next start"
        } else {
            "a crash cut it short, so that nobody was told that it is stored, or it was damaged since; the next start keeps \
             what is whole up to the first hole in it, and all of its bytes in quarantine/"
        };
        let whole = match report.unfinished_punches {
            0 => String::new(),
            1 => "; 1 punch in it is whole, is counted here, and is kept".into(),
            many => format!("; {many} punches in it are whole, are counted here, and are kept"),
        };
        writeln!(
            out,
            "the journal ends in an unfinished write of {}: {end}{whole}",
            words::bytes(report.unfinished_bytes as u64)
        )?;
    }
    for note in &report.notes {
        writeln!(out, "note: {}", harmless(note))?;
    }
    match report.verdict() {
        Verdict::Whole => writeln!(out, "every checksum, every number and every chain holds"),
        Verdict::Mended => {
            writeln!(
                out,
                "every checksum and every chain holds; the missing numbers are recorded as lost, and stay missing"
            )?;
            writeln!(
                out,
                "    mend: terminals that still have a log bring those punches again, under new numbers: punchgate reconcile TERMINAL"
            )
        }
        Verdict::Damaged => {
            let mut mends: Vec<_> = report.faults.iter().map(|fault| fault.mend).collect();
            mends.sort_unstable();
            mends.dedup();
            for mend in mends {
                writeln!(out, "    mend: {mend}")?;
            }
            writeln!(
                out,
                "    mend: what punches are missing, terminals that still have a log bring again after that, under new numbers: punchgate reconcile TERMINAL"
            )
        }
    }
}

/// `41 to 45 are missing (before segment 2 byte 4096); recorded as lost on 2026-11-28 17:05:00: ...`
fn told(hole: &Missing) -> String {
    let Missing { first, last, segment, offset, recorded } = hole;
    let mut said = if first == last { format!("{first} is missing") } else { format!("{first} to {last} are missing") };
    if let (Some(segment), Some(offset)) = (segment, offset) {
        said += &format!(" (before segment {segment} byte {offset})");
    }
    if let Some(Recorded { at, why, settled }) = recorded {
        said += &format!("; recorded as lost at {}: {}", words::wall(*at), harmless(why));
        if let Some(settled) = settled {
            said += &format!("; {settled}");
        }
    }
    said
}
