//! `punchgate journal proof`: one terminal's day in a few lines, the same on both sides.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
};

use jiff::{ToSpan, civil::Date};

use super::{state_dir, unreadable};
use crate::{
    cli::{
        FAILED, Failure, OK,
        args::ProofArgs,
        out::{Out, harmless},
        today, words,
    },
    inquiry::Wall,
    spool::{self, Doubtful, Proof},
};

/// A day as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    Date(Date),
    /// So many days before the terminal's today.
    Ago(i64),
}

/// A date, `today` or `yesterday`.
pub(in crate::cli) fn day(text: &str) -> Result<Day, String> {
    match (text, Wall::parse(text)) {
        ("today", _) => Ok(Day::Ago(0)),
        ("yesterday", _) => Ok(Day::Ago(1)),
        (_, Ok(Wall::Day(date))) => Ok(Day::Date(date)),
        _ => Err("write a date such as 2026-11-20, today or yesterday".into()),
    }
}

/// The date, and what is to be said of it.
fn date(args: &ProofArgs, state_dir: &Path) -> Result<(Date, Option<String>), Failure> {
    let back = match args.day {
        Day::Date(date) => return Ok((date, None)),
        Day::Ago(days) => days,
    };
    let site = match &args.disk.state_dir {
        Some(_) => today::of_store(state_dir),
        None => today::of_config(Some(&args.disk.config)).unwrap_or_else(|| today::of_store(state_dir)),
    };
    let today = today::today(&site, Some(&args.terminal))?;
    let date = today.date.checked_sub(back.days()).map_err(|error| Failure::failed(error.to_string(), ""))?;
    Ok((date, today.note))
}

pub(in crate::cli) fn proof_command(args: &ProofArgs, out: &mut Out) -> Result<u8, Failure> {
    let state_dir = state_dir(&args.disk)?;
    let (day, note) = date(args, &state_dir)?;
    let proof = spool::prove(&state_dir, &args.terminal, day).map_err(|error| unreadable(&state_dir, &error))?;
    if args.json {
        out.json(&proof)?;
    } else if !proof.knows_terminal() {
        return Err(unheard_of(&proof.terminal, &proof.known, proof.unreadable));
    } else {
        show(&proof, out)?;
        remarks(&proof, out)?;
        if let Some(note) = note {
            writeln!(out, "\n{note}")?;
        }
    }
    Ok(if proof.is_whole() { OK } else { FAILED })
}

/// A name that was mistyped has no punches on any day; that is no proof of anything.
pub(in crate::cli) fn unheard_of(terminal: &str, known: &BTreeSet<String>, unreadable: usize) -> Failure {
    let known: Vec<String> = known.iter().map(|name| harmless(name)).collect();
    let readable = if unreadable > 0 { ", as far as it can be read" } else { "" };
    let mend = match known.is_empty() {
        true => "name the right folder with --state-dir; nothing of any terminal is in this one".into(),
        false => format!("it knows: {}; write the name as in the config", known.join(", ")),
    };
    Failure::failed(format!("this store has never heard of a terminal named {}{readable}", harmless(terminal)), mend)
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
    for Doubtful { ledger, first, last } in &proof.doubtful {
        let what = match last {
            None => format!("whether ledger {ledger} had more numbers, from {first} on, is not known; they"),
            Some(last) if first == last => format!("number {first} of ledger {ledger} cannot be read or is lost, and"),
            Some(last) => format!("numbers {first} to {last} of ledger {ledger} cannot be read or are lost, and"),
        };
        writeln!(out, "\nthe count may not be whole: {what} may be of this day")?;
    }
    if proof.end_lost {
        writeln!(
            out,
            "\nthe count may not be whole: the journal once went further, and its end is damaged or its last files are gone"
        )?;
    }
    if proof.absent > 0 {
        let files = if proof.absent == 1 { "1 file is" } else { &format!("{} files are", words::count(proof.absent)) };
        writeln!(
            out,
            "\nthe count may not be whole: {files} gone that had the ids of punches delivered long ago (.ids)"
        )?;
    }
    if proof.nameless > 0 {
        writeln!(
            out,
            "\nthe count may not be whole: there were punches of a terminal that nothing names any more, and all that is left of \
             them is that they were delivered"
        )?;
    }
    if proof.unreadable > 0 || proof.ledgers.iter().any(|ledger| ledger.missing > 0) {
        writeln!(out, "\nthe journal has holes: punchgate journal verify")?;
    }
    Ok(())
}
