//! `punchgate journal proof`: one terminal's day in a few lines, the same on both sides.

use std::io::{self, Write};

use jiff::{ToSpan, civil::Date};

use super::{state_dir, unreadable};
use crate::{
    cli::{FAILED, Failure, OK, args::ProofArgs, out::Out, words},
    spool::{self, Proof},
};

/// A date, `today` or `yesterday`.
pub(in crate::cli) fn day(text: &str) -> Result<Date, String> {
    let today = words::today();
    match text {
        "today" => Ok(today),
        "yesterday" => today.checked_sub(1.day()).map_err(|error| error.to_string()),
        date => date.parse().map_err(|_| "write a date such as 2026-11-20, today or yesterday".into()),
    }
}

pub(in crate::cli) fn proof_command(args: &ProofArgs, out: &mut Out) -> Result<u8, Failure> {
    let state_dir = state_dir(&args.disk)?;
    let proof = spool::prove(&state_dir, &args.terminal, args.day).map_err(|error| unreadable(&state_dir, &error))?;
    if args.json {
        out.json(&proof)?;
    } else {
        show(&proof, out)?;
        remarks(&proof, out)?;
    }
    let whole = proof.unreadable == 0 && proof.ledgers.iter().all(|ledger| ledger.missing == 0);
    Ok(if whole { OK } else { FAILED })
}

/// The lines to be compared; `tests/peers/proof.py` writes the same.
fn show(proof: &Proof, out: &mut Out) -> io::Result<()> {
    let Proof { terminal, day, punches, first_time, last_time, sum, ledgers, .. } = proof;
    let groups: Vec<&str> = (0..sum.len() / 4).map(|group| &sum[group * 4..group * 4 + 4]).collect();
    writeln!(out, "terminal {terminal}")?;
    writeln!(out, "day      {day}")?;
    match (first_time, last_time) {
        (Some(first), Some(last)) => writeln!(out, "punches  {punches}, first {first}, last {last}")?,
        _ => writeln!(out, "punches  0")?,
    }
    writeln!(out, "sum      {}", groups.join("-"))?;
    for ledger in ledgers {
        writeln!(
            out,
            "ledger   {} of {}: {} to {}, {} missing",
            ledger.ledger, ledger.serial, ledger.first, ledger.last, ledger.missing
        )?;
        let head = ledger.head.map_or_else(|| "retired".into(), |head| head.to_string());
        writeln!(out, "head     {head}")?;
    }
    Ok(())
}

/// What explains a difference.
fn remarks(proof: &Proof, out: &mut Out) -> io::Result<()> {
    let undelivered: u64 = proof.ledgers.iter().map(|ledger| ledger.undelivered).sum();
    if undelivered > 0 {
        writeln!(
            out,
            "\n{} of them are not delivered yet: the other side will differ until they are",
            words::count(undelivered)
        )?;
    }
    if proof.unreadable > 0 || proof.ledgers.iter().any(|ledger| ledger.missing > 0) {
        writeln!(out, "\nthe journal has holes: punchgate journal verify")?;
    }
    Ok(())
}
