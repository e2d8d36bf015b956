//! `punchgate why`: the way of a punch, or where it is missing; and whether a silence is usual.

mod silence;
mod trail;

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Timestamp, civil::DateTime};

use super::{
    FAILED, Failure, OK,
    args::{self, WhyArgs},
    ask,
    journal::unheard_of,
    out::Out,
    today,
};
use crate::{
    config,
    console::{Answer, AskError, Request},
    inquiry::{Judgement, NotWall, Question, Site, Wall},
    spool, status,
};

/// More than that would be every punch of the person.
const WITHIN: Duration = Duration::from_secs(31 * 86_400);

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

/// How far a punch may be from the time asked for.
pub(super) fn within(text: &str) -> Result<Duration, String> {
    let within = args::period(text)?;
    match within > WITHIN {
        true => Err("write 31d or less: what is further away is another punch".into()),
        false => Ok(within),
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
    let site = site(args).unwrap_or_else(|| match &args.state_dir {
        Some(state_dir) => today::of_store(state_dir),
        None => today::of_daemon(&args.ask, terminal),
    });
    let today = today::today(&site, terminal)?;
    Ok((today.date.to_datetime(time), today.note))
}

/// What the config says, where there is one that is meant: another store is another gateway's.
fn site(args: &WhyArgs) -> Option<Site> {
    let elsewhere = args.state_dir.is_some() || args.ask.socket.is_some();
    (args.ask.config.is_some() || !elsewhere).then(|| today::of_config(args.ask.config.as_deref())).flatten()
}

pub(super) fn why(args: &WhyArgs, out: &mut Out) -> Result<u8, Failure> {
    match (&args.silent, &args.person, args.time) {
        (Some(terminal), ..) => silent(args, terminal, out),
        (None, Some(person), Some(at)) => {
            let within_s = i64::try_from(args.within.as_secs()).unwrap_or(i64::MAX / 2000);
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

/// What came of asking the daemon.
enum Asked {
    Answered(Answer),
    /// The disk is to be read: somebody named it.
    Not,
    /// The disk is to be read: nobody answers.
    InVain(AskError),
}

impl Asked {
    fn of(args: &WhyArgs, request: &Request) -> Result<Self, Failure> {
        if args.state_dir.is_some() {
            return Ok(Self::Not);
        }
        match ask::one(&args.ask, request) {
            Ok(answer) => Ok(Self::Answered(answer)),
            Err(error @ AskError::Unreachable { .. }) => Ok(Self::InVain(error)),
            Err(error) => Err(error.into()),
        }
    }

    fn is_denied(&self) -> bool {
        let denied = io::ErrorKind::PermissionDenied;
        matches!(self, Self::InVain(AskError::Unreachable { source, .. }) if source.kind() == denied)
    }

    /// Why it was the disk alone.
    fn words(&self) -> &'static str {
        match self {
            Self::Answered(_) => "",
            Self::Not => "the daemon was not asked: this is from the disk alone",
            Self::InVain(_) if self.is_denied() => "this user may not ask the daemon: this is from the disk alone",
            Self::InVain(_) => "the daemon does not answer: this is from the disk alone",
        }
    }

    /// Reads the disk.
    fn disk<T>(&self, args: &WhyArgs, read: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, Failure> {
        let Some(state_dir) = state_dir(args, self)? else { return Err(self.denied("the config")) };
        read(&state_dir).map_err(|error| self.unreadable(&state_dir, &error))
    }

    fn unreadable(&self, state_dir: &Path, error: &io::Error) -> Failure {
        let journal = format!("the journal below {}", state_dir.display());
        let before = match self {
            Self::InVain(_) if self.is_denied() && error.kind() == io::ErrorKind::PermissionDenied => {
                return self.denied(&journal);
            }
            Self::InVain(_) if self.is_denied() => "this user may not ask the daemon, and ",
            Self::InVain(_) => "the daemon does not answer, and ",
            Self::Answered(_) | Self::Not => "",
        };
        let start = if before.is_empty() { "" } else { ", or start the daemon: systemctl start punchgate" };
        match error.kind() {
            // One file that is gone is not the folder.
            io::ErrorKind::NotFound if !state_dir.join("journal").is_dir() => Failure::failed(
                format!("{before}there is no journal below {}", state_dir.display()),
                format!("name the right folder with --state-dir{start}"),
            ),
            _ => Failure::failed(
                format!("{before}{journal} cannot be read: {error}"),
                "ask as root or as the gateway's user, or name the folder with --state-dir",
            ),
        }
    }

    fn denied(&self, what: &str) -> Failure {
        Failure::failed(
            format!("this user may neither ask the daemon nor read {what}"),
            "ask as root, or as a user of the group punchgate",
        )
    }
}

/// Where the journal is; nothing where this user may not even read that.
fn state_dir(args: &WhyArgs, asked: &Asked) -> Result<Option<PathBuf>, Failure> {
    let config = args.ask.config.as_deref().unwrap_or(config::DEFAULT_PATH.as_ref());
    match &args.state_dir {
        Some(folder) => Ok(Some(folder.clone())),
        None if asked.is_denied() && File::open(config).is_err() => Ok(None),
        None => Ok(Some(config::places(config)?.state_dir)),
    }
}

fn punch(args: &WhyArgs, question: &Question, out: &mut Out) -> Result<u8, Failure> {
    let asked = Asked::of(args, &Request::Why { question: question.clone() })?;
    let trail = match asked {
        Asked::Answered(Answer::Trail(trail)) => *trail,
        Asked::Answered(answer) => return Err(ask::unexpected(&answer)),
        asked => {
            let site = site(args).unwrap_or_default();
            let mut trail = asked.disk(args, |disk| spool::trace(disk, question, &site, Timestamp::now()))?;
            trail.now.push(asked.words().into());
            trail
        }
    };
    if args.ask.json {
        out.json(&trail)?;
    } else {
        let unheard = question.terminal.as_ref().filter(|name| !trail.known.contains(*name));
        if let Some(name) = unheard {
            return Err(unheard_of(name, &trail.known, trail.unreadable));
        }
        trail::show(&trail, question, out)?;
    }
    Ok(if trail.found.is_empty() { FAILED } else { OK })
}

fn silent(args: &WhyArgs, terminal: &str, out: &mut Out) -> Result<u8, Failure> {
    let asked = Asked::of(args, &Request::Silence { terminal: terminal.into() })?;
    let (silence, now) = match asked {
        Asked::Answered(Answer::Silence { silence, now }) => (*silence, now),
        Asked::Answered(answer) => return Err(ask::unexpected(&answer)),
        asked => {
            let site = site(args).unwrap_or_default();
            let silence = asked.disk(args, |disk| spool::silence(disk, terminal, &site, Timestamp::now()))?;
            (silence, vec![asked.words().into()])
        }
    };
    if args.ask.json {
        out.json(&silence)?;
    } else if !silence.known.contains(terminal) {
        return Err(unheard_of(terminal, &silence.known, silence.unreadable));
    } else {
        silence::show(&silence, &now, out)?;
    }
    let well = matches!(silence.judgement, Judgement::Usual | Judgement::Either | Judgement::TooYoung);
    Ok(if well { OK } else { FAILED })
}

/// A moment of the gateway's clock, with its zone beside the zones of terminals.
fn moment_of(instant: Timestamp) -> String {
    status::lines::moment(instant)
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}
