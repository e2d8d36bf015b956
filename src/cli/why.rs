//! `punchgate why`: the way of a punch, or where it is missing; and whether a silence is usual.

use std::{io, io::Write};

use driver_api::{Clock, Flag};
use jiff::{Timestamp, civil::DateTime};

use super::{
    FAILED, Failure, OK,
    args::WhyArgs,
    ask,
    out::{Out, Tone, harmless},
    today, words,
};
use crate::{
    config,
    console::{Answer, AskError, Request},
    inquiry::{Around, Judgement, NotWall, Question, Silence, Standing, Trail, Wall, Way, Zones},
    spool,
};

/// `2026-11-20T08:58`, `2026-11-20 08:58:31`, or `08:58` of today.
pub(super) fn wall_time(text: &str) -> Result<Wall, String> {
    match Wall::parse(text) {
        Ok(wall @ (Wall::Moment(_) | Wall::Time(_))) => Ok(wall),
        Err(zoned @ NotWall::Zoned { .. }) => Err(zoned.to_string()),
        // A date alone is midnight, which nobody means.
        Ok(Wall::Day(_)) | Err(NotWall::Unread) => {
            Err("write 2026-11-20T08:58 or 08:58, as the terminal's clock shows it".into())
        }
    }
}

/// The moment by the terminal's clock, and what is to be said of the day that was taken.
fn moment(args: &WhyArgs, at: Wall) -> Result<(DateTime, Option<String>), Failure> {
    let time = match at {
        Wall::Moment(moment) => return Ok((moment, None)),
        Wall::Day(day) => return Ok((day.into(), None)),
        Wall::Time(time) => time,
    };
    let terminal = args.terminal.as_deref();
    let zones = zones(args).unwrap_or_else(|| match &args.state_dir {
        Some(state_dir) => today::of_store(state_dir),
        None => today::of_daemon(&args.ask, terminal),
    });
    let today = today::today(&zones, terminal)?;
    Ok((today.date.to_datetime(time), today.note))
}

/// What the config says, where there is one that is meant: another store is another gateway's.
fn zones(args: &WhyArgs) -> Option<Zones> {
    let elsewhere = args.state_dir.is_some() || args.ask.socket.is_some();
    (args.ask.config.is_some() || !elsewhere).then(|| today::of_config(args.ask.config.as_deref())).flatten()
}

pub(super) fn why(args: &WhyArgs, out: &mut Out) -> Result<u8, Failure> {
    match (&args.silent, &args.person, args.time) {
        (Some(terminal), ..) => silent(args, terminal, out),
        (None, Some(person), Some(at)) => {
            let within_s = i64::try_from(args.within.as_secs()).unwrap_or(i64::MAX / 2000).min(31 * 86_400);
            let (at, note) = moment(args, at)?;
            let question = Question { person: person.clone(), at, within_s, terminal: args.terminal.clone() };
            if let Some(note) = note.filter(|_| !args.ask.json) {
                writeln!(out, "{note}")?;
            }
            punch(args, &question, out)
        }
        _ => Err(Failure::Usage {
            why: "a person and a time, or --silent TERMINAL".into(),
            mend: "punchgate why 007 2026-11-20T08:58".into(),
        }),
    }
}

/// Asks the daemon; where there is none, nothing comes back, and the disk is to be read.
fn of_daemon(args: &WhyArgs, request: &Request) -> Result<Option<Answer>, Failure> {
    if args.state_dir.is_some() {
        return Ok(None);
    }
    match ask::one(&args.ask, request) {
        Ok(answer) => Ok(Some(answer)),
        Err(AskError::Unreachable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn state_dir(args: &WhyArgs) -> Result<std::path::PathBuf, Failure> {
    match &args.state_dir {
        Some(folder) => Ok(folder.clone()),
        None => {
            let config = args.ask.config.as_deref().unwrap_or(config::DEFAULT_PATH.as_ref());
            Ok(config::places(config)?.state_dir)
        }
    }
}

fn unreadable(error: &io::Error, args: &WhyArgs) -> Failure {
    let state_dir = state_dir(args).map(|folder| folder.display().to_string()).unwrap_or_default();
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::failed(
            format!("the daemon does not answer, and there is no journal below {state_dir}"),
            "name the right folder with --state-dir, or start the daemon: systemctl start punchgate",
        );
    }
    Failure::failed(
        format!("the daemon does not answer, and the journal below {state_dir} cannot be read: {error}"),
        "ask as root or as the gateway's user, or name the folder with --state-dir",
    )
}

fn punch(args: &WhyArgs, question: &Question, out: &mut Out) -> Result<u8, Failure> {
    let (trail, live) = match of_daemon(args, &Request::Why { question: question.clone() })? {
        Some(Answer::Trail(trail)) => (*trail, true),
        Some(answer) => return Err(ask::unexpected(&answer)),
        None => (spool::trace(&state_dir(args)?, question).map_err(|error| unreadable(&error, args))?, false),
    };
    if args.ask.json {
        out.json(&trail)?;
    } else {
        show(&trail, question, live, out)?;
    }
    Ok(if trail.found.is_empty() { FAILED } else { OK })
}

fn show(trail: &Trail, question: &Question, live: bool, out: &mut Out) -> io::Result<()> {
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
    if !live {
        writeln!(out, "  now        the daemon does not answer: this is from the disk alone")?;
    }
    Ok(())
}

fn show_way(way: &Way, out: &mut Out) -> io::Result<()> {
    let local = way.local.to_string().replace('T', " ");
    writeln!(out, "punch {} of person {} at {}", way.id, harmless(&way.person), way.terminal)?;
    writeln!(out, "  terminal   {local} by its clock ({}), which is {}; {}", way.zone, way.utc, clock(way.clock))?;
    let origin = word(&way.origin);
    let flags: Vec<String> = way.flags.iter().map(|flag: &Flag| word(flag)).collect();
    let odd = if flags.is_empty() { String::new() } else { format!("; odd about it: {}", flags.join(", ")) };
    writeln!(out, "  read       {origin}, from serial {}{odd}", harmless(&way.serial))?;
    let durable = words::wall(way.durable);
    writeln!(
        out,
        "  durable    {durable} as number {} of ledger {}, in segment {} from byte {}",
        way.seq, way.ledger, way.segment, way.offset
    )?;
    match (way.delivered, way.delivered_by) {
        (true, Some(at)) => writeln!(out, "  delivered  by {}, confirmed by the broker", words::wall(at))?,
        (true, None) => writeln!(out, "  delivered  confirmed by the broker; when was not noted")?,
        (false, _) => writeln!(out, "  delivered  {}", out.toned(Tone::Doubtful, "not yet: it waits for the broker"))?,
    }
    let Way { topic, terminal, ledger, seq, .. } = way;
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
        all.iter().map(|(at, standing)| format!("{} since {}", word(standing), words::wall(*at))).collect();
    told.join(", ")
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}

fn silent(args: &WhyArgs, terminal: &str, out: &mut Out) -> Result<u8, Failure> {
    let request = Request::Silence { terminal: terminal.into() };
    let (silence, now) = match of_daemon(args, &request)? {
        Some(Answer::Silence { silence, now }) => (*silence, now),
        Some(answer) => return Err(ask::unexpected(&answer)),
        None => {
            let silence = spool::silence(&state_dir(args)?, terminal, Timestamp::now());
            let now = vec!["the daemon does not answer: this is from the disk alone".into()];
            (silence.map_err(|error| unreadable(&error, args))?, now)
        }
    };
    if args.ask.json {
        out.json(&silence)?;
    } else {
        show_silence(&silence, &now, out)?;
    }
    Ok(if matches!(silence.judgement, Judgement::Unusual | Judgement::NoPunch) { FAILED } else { OK })
}

fn show_silence(silence: &Silence, now: &[String], out: &mut Out) -> io::Result<()> {
    let name = harmless(&silence.terminal);
    match (silence.last, silence.now) {
        (Some(last), Some(there)) => {
            let day = last.strftime("%A %Y-%m-%d %H:%M:%S");
            let since = words::lasting(u64::try_from(there.duration_since(last).as_secs()).unwrap_or(0));
            writeln!(out, "{name}: the last punch was on {day} by its clock, {since} ago")?;
        }
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
    }
    if let Some((at, standing)) = silence.standing {
        writeln!(out, "the terminal is noted as {} since {}", word(&standing), words::wall(at))?;
    }
    for line in now {
        writeln!(out, "now: {}", harmless(line))?;
    }
    Ok(())
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
        show(trail, &question, true, &mut Out::plain(page.clone())).unwrap();
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
