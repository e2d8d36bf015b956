//! The way of a punch, or where it is missing, in words.

use std::io::{self, Write};

use driver_api::{Clock, Flag};
use jiff::{Timestamp, civil::DateTime};

use super::{moment_of, word};
use crate::{
    cli::{
        out::{Out, Tone, harmless},
        words,
    },
    inquiry::{Around, Question, Standing, Trail, Way},
};

pub(super) fn show(trail: &Trail, question: &Question, out: &mut Out) -> io::Result<()> {
    for way in &trail.found {
        show_way(way, out)?;
    }
    if !trail.found.is_empty() {
        // Whoever misses one beside these shall not read that all is there.
        for around in &trail.terminals {
            show_lost(around, "it may be one more of this person", "one more of this person may be among them", out)?;
            show_retired(around, question, "one more of this person may be among them", out)?;
        }
    } else {
        let at = question.at.to_string().replace('T', " ");
        let within = words::lasting(question.within_s.unsigned_abs());
        let person = harmless(&question.person);
        let retired = trail.terminals.iter().any(|around| around.retired > 0);
        let missing = match retired {
            false => format!("there is no punch of person {person} within {within} of {at} on this disk"),
            true => format!(
                "whether person {person} punched within {within} of {at} cannot be told here: punches of that time were \
                 delivered, and this disk keeps only their ids"
            ),
        };
        writeln!(out, "{}", out.toned(Tone::Bad, &missing))?;
        for near in &trail.near {
            let local = near.local.to_string().replace('T', " ");
            writeln!(out, "  nearest    {} {local} ({})", harmless(&near.terminal), near.id)?;
        }
        let holes = trail.unreadable > 0 || trail.terminals.iter().any(|around| !around.lost.is_empty());
        if trail.near.is_empty() && holes {
            writeln!(
                out,
                "  nearest    none of this person in what can be read; some of the journal is missing, see below"
            )?;
        } else if trail.near.is_empty() && trail.retired > 0 {
            writeln!(
                out,
                "  nearest    none of this person in what is kept; of {} older punches only times and ids are left, and some \
                 of them may be of this person",
                words::count(trail.retired)
            )?;
        } else if trail.near.is_empty() {
            writeln!(out, "  nearest    none: no punch of this person was ever stored here; 007 is not 7")?;
        }
        for around in &trail.terminals {
            show_around(around, question, out)?;
        }
        if let Some(terminal) = question.terminal.as_ref().filter(|_| trail.terminals.is_empty()) {
            writeln!(out, "  {}  no punch and no connection of this terminal was ever noted here", harmless(terminal))?;
        }
        if !trail.gateway.is_empty() {
            writeln!(out, "  gateway    {}", standings(&trail.gateway))?;
        }
    }
    if trail.unreadable > 0 {
        let places = if trail.unreadable == 1 { "1 place" } else { &format!("{} places", trail.unreadable) };
        writeln!(
            out,
            "  journal    {places} of it cannot be read, and the punch may be there: punchgate journal verify"
        )?;
    }
    for line in &trail.now {
        writeln!(out, "  now        {}", harmless(line))?;
    }
    Ok(())
}

fn show_way(way: &Way, out: &mut Out) -> io::Result<()> {
    let local = way.local.to_string().replace('T', " ");
    writeln!(out, "punch {} of person {} at {}", way.id, harmless(&way.person), way.terminal)?;
    writeln!(out, "  terminal   {local} by its clock ({}), which is {}; {}", way.zone, way.utc, clock(way.clock))?;
    if let (Some(corrected), Some(local)) = (way.corrected, way.corrected_local) {
        let local = local.to_string().replace('T', " ");
        let only =
            if way.by_corrected { ": this is the time that was asked for, and its clock did not show it" } else { "" };
        writeln!(out, "  corrected  {local} there by the gateway's clock, which is {corrected}{only}")?;
    }
    let origin = word(&way.origin);
    let flags: Vec<String> = way.flags.iter().map(|flag: &Flag| word(flag)).collect();
    let odd = if flags.is_empty() { String::new() } else { format!("; odd about it: {}", flags.join(", ")) };
    writeln!(out, "  read       {origin}, from serial {}{odd}", harmless(&way.serial))?;
    let durable = moment_of(way.durable);
    writeln!(
        out,
        "  durable    {durable} as number {} of ledger {}, in segment {} from byte {}",
        way.seq, way.ledger, way.segment, way.offset
    )?;
    match (way.delivered, way.delivered_by) {
        (true, Some(at)) => writeln!(out, "  delivered  by {}, confirmed by the broker", moment_of(at))?,
        (true, None) => writeln!(out, "  delivered  confirmed by the broker; when was not noted")?,
        (false, _) => writeln!(out, "  delivered  {}", out.toned(Tone::Doubtful, "not yet: it waits for the broker"))?,
    }
    let Way { topic, terminal, ledger, seq, .. } = way;
    let topic = match &way.other_topic {
        None => topic.clone(),
        Some(other) => format!("{topic} or {other} (the gateway has had another name)"),
    };
    writeln!(out, "  topic      {topic}, in an event {terminal}/{ledger}/A-B with {seq} from A to B")
}

fn clock(clock: Clock) -> String {
    let Clock { skew_ms: Some(skew), err_ms, how } = clock else {
        return "how far its clock was off is not known".into();
    };
    let within = err_ms.map_or_else(String::new, |err| format!(", give or take {err} ms"));
    format!("its clock was off by {}{within} ({})", words::skew(skew), word(&how))
}

fn show_around(around: &Around, question: &Question, out: &mut Out) -> io::Result<()> {
    let wall = |time: DateTime| time.to_string().replace('T', " ");
    let mut said = match around.punches {
        0 if around.retired > 0 => "no punch in that time that is still kept here".to_owned(),
        0 => "nobody's punch in that time".to_owned(),
        1 => "1 punch of somebody in that time".to_owned(),
        count => format!("{} punches of others in that time", words::count(count)),
    };
    if let Some(before) = around.before {
        said += &format!(", the last before it {}", wall(before));
    }
    if let Some(after) = around.after {
        said += &format!(", the first after it {}", wall(after));
    }
    let name = harmless(&around.terminal);
    writeln!(out, "  {name}  {said}")?;
    if !around.standing.is_empty() {
        writeln!(out, "  {name}  {}", standings(&around.standing))?;
    }
    if around.set_aside_all > 0 {
        // One that came late may be of that time all the same: its own time is not known, or it would be a punch.
        writeln!(
            out,
            "  {name}  {} of its records that make no punch are kept, {} of them since then for a day: it may be one of them: \
             punchgate journal export --set-aside",
            words::count(around.set_aside_all),
            words::count(around.set_aside)
        )?;
    }
    show_lost(around, "it may be that one", "it may be one of them", out)?;
    if show_retired(around, question, "this person's may be among them", out)? {
        return Ok(());
    }
    let served = around.then == Some(Standing::Online);
    let what = match (served, around.then.is_none()) {
        _ if around.to_come => return writeln!(out, "  {name}  that time has not come yet there"),
        _ if served && (around.punches > 0 || !around.lost.is_empty()) => {
            "it was served then: ask it again, or look at its own screen"
        }
        (true, _) => "it was served then and told of nobody",
        (false, true) => "how it stood then was not noted",
        (false, false) => "it was not served then: what it recorded comes when it is, if it keeps a log",
    };
    writeln!(out, "  {name}  {what}: punchgate reconcile {name}")
}

fn show_lost(around: &Around, one: &str, some: &str, out: &mut Out) -> io::Result<()> {
    let name = harmless(&around.terminal);
    for (first, last) in &around.lost {
        match first == last {
            true => writeln!(out, "  {name}  number {first} is missing in the journal: {one}")?,
            false => writeln!(out, "  {name}  numbers {first} to {last} are missing in the journal: {some}")?,
        }
    }
    Ok(())
}

/// What retention took, and who still has it. Tells whether there is such.
fn show_retired(around: &Around, question: &Question, some: &str, out: &mut Out) -> io::Result<bool> {
    let (name, day) = (harmless(&around.terminal), question.at.date());
    let punches = match around.retired {
        0 => return Ok(false),
        1 => "1 punch".into(),
        many => format!("{} punches", words::count(many)),
    };
    writeln!(
        out,
        "  {name}  {punches} in that time were delivered and are kept here no longer, since retention is over: only times and \
         ids are left, {some}"
    )?;
    writeln!(
        out,
        "  {name}  ask the side that receives the punches, which has them with their persons; that it has all of that day is \
         told by: punchgate journal proof {name} {day}"
    )?;
    Ok(true)
}

fn standings(all: &[(Timestamp, Standing)]) -> String {
    let told: Vec<String> =
        all.iter().map(|(at, standing)| format!("{} since {}", word(standing), moment_of(*at))).collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::cli::tests::Page;

    fn said(trail: &Trail) -> String {
        let question =
            Question { person: "777".into(), at: date(2026, 10, 20).at(1, 10, 0, 0), within_s: 1800, terminal: None };
        let page = Page::default();
        show(trail, &question, &mut Out::plain(page.clone())).unwrap();
        page.text()
    }

    #[test]
    fn nobody_is_told_that_he_never_punched_where_only_ids_are_left() {
        let served = Around { terminal: "front-door".into(), then: Some(Standing::Online), ..Around::default() };
        let around = Around { retired: 50, set_aside_all: 2, ..served.clone() };
        let text = said(&Trail { terminals: vec![around], retired: 1000, ..Trail::default() });
        for words in [
            "whether person 777 punched within 30 min of 2026-10-20 01:10:00 cannot be told here",
            "none of this person in what is kept; of 1,000 older punches only times and ids are left",
            "front-door  50 punches in that time were delivered and are kept here no longer",
            "ask the side that receives the punches",
            "punchgate journal proof front-door 2026-10-20",
            "2 of its records that make no punch are kept, 0 of them since then for a day",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
        for words in ["there is no punch of person", "was ever stored", "nobody's punch", "told of nobody"] {
            assert!(!text.contains(words), "{words:?} is in\n{text}");
        }
        let text = said(&Trail { terminals: vec![served], ..Trail::default() });
        for words in ["there is no punch of person 777", "was ever stored here", "nobody's punch", "told of nobody"] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
    }
}
