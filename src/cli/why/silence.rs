//! Whether a silence is usual, in words.

use std::io::{self, Write};

use super::{moment_of, word};
use crate::{
    cli::{
        out::{Out, Tone, harmless},
        words,
    },
    inquiry::{Judgement, Silence},
};

pub(super) fn show(silence: &Silence, now: &[String], out: &mut Out) -> io::Result<()> {
    let name = harmless(&silence.terminal);
    match (silence.last, silence.now) {
        (Some(last), Some(there)) => {
            let day = last.strftime("%A %Y-%m-%d %H:%M:%S");
            let since = words::lasting(u64::try_from(there.duration_since(last).as_secs()).unwrap_or(0));
            // Smaller ones nobody sees on a wall.
            let off = silence.skew_ms.filter(|skew| skew.unsigned_abs() >= 60_000);
            let right =
                off.map_or_else(String::new, |skew| format!(" (set right: it was off by {})", words::skew(skew)));
            writeln!(out, "{name}: the last punch was on {day} by its clock{right}, {since} ago")?;
        }
        _ if silence.untold > 0 => writeln!(out, "{name}: when its last punch was cannot be told")?,
        _ => writeln!(out, "{name}: there is no punch of it on this disk")?,
    }
    let (all, with) = (silence.weeks.len(), silence.weeks.iter().filter(|count| **count > 0).count());
    let counts = format!("in the same hours, {with} of the {all} weeks before had punches");
    match silence.judgement {
        Judgement::Unusual => writeln!(out, "{}: {counts}", out.toned(Tone::Bad, "this is not usual"))?,
        Judgement::Usual => writeln!(out, "{}: {counts}", out.toned(Tone::Good, "this is usual"))?,
        Judgement::Either => writeln!(out, "this happens: {counts}")?,
        Judgement::TooYoung => {
            writeln!(out, "what is usual cannot be told yet: its punches go back less than two weeks")?
        }
        Judgement::NoPunch => writeln!(out, "either nobody has punched there yet, or it was never read")?,
        Judgement::NoTime => {
            writeln!(out, "{}", out.toned(Tone::Bad, "what is usual cannot be told: look at its clock"))?
        }
    }
    if silence.untold > 0 {
        let punches =
            if silence.untold == 1 { "1 punch" } else { &format!("{} punches", words::count(silence.untold)) };
        writeln!(out, "{punches} of it carry times that say nothing: its clock was never set, or ran ahead of now")?;
    }
    if let Some((at, standing)) = silence.standing {
        writeln!(out, "the terminal is noted as {} since {}", word(&standing), moment_of(at))?;
    }
    for line in now {
        writeln!(out, "now: {}", harmless(line))?;
    }
    Ok(())
}
