//! Commands that ask the running daemon.

use std::{fs, future::Future, io::Write, path::PathBuf};

use jiff::Timestamp;

use super::{
    Failure, OK,
    args::{AcknowledgeArgs, AskArgs, Language, PunchesArgs, ReconcileArgs},
    doctor::language,
    out::{Out, Tone, harmless},
    table::{Cell, Table},
    words,
};
use crate::{
    config,
    console::{self, Answer, Answers, AskError, ConditionLine, PunchFilter, PunchLine, Request, Status, TerminalLine},
};

pub(super) fn status(args: &AskArgs, out: &mut Out) -> Result<u8, Failure> {
    for answer in all(args, &Request::Status)? {
        let Answer::Status(status) = answer else { return Err(unexpected(&answer)) };
        if args.json { out.json(&status)? } else { show_status(&status, out)? }
    }
    Ok(OK)
}

pub(super) fn terminals(args: &AskArgs, out: &mut Out) -> Result<u8, Failure> {
    let mut table = Table::new([
        "TERMINAL",
        "STATE",
        "SINCE",
        "LAST SEEN",
        "LAST PUNCH",
        "CLOCK",
        "RECORDS",
        "PUNCHES",
        "TWINS",
        "ASIDE",
        "DRIVER",
        "DELIVERY",
        "SERIAL",
        "FIRMWARE",
    ]);
    let answers = all(args, &Request::Terminals)?;
    for answer in &answers {
        let Answer::Terminal(terminal) = answer else { return Err(unexpected(answer)) };
        if args.json { out.json(terminal)? } else { table.push(terminal_row(terminal)) }
    }
    match answers.len() {
        _ if args.json => {}
        0 => writeln!(out, "there is no terminal in the config")?,
        _ => table.write(out, true)?,
    }
    Ok(OK)
}

pub(super) fn conditions(args: &AskArgs, out: &mut Out) -> Result<u8, Failure> {
    let answers = all(args, &Request::Conditions)?;
    for answer in &answers {
        let Answer::Condition(condition) = answer else { return Err(unexpected(answer)) };
        if args.json { out.json(condition)? } else { show_condition(condition, out)? }
    }
    if answers.is_empty() && !args.json {
        writeln!(out, "nothing is wrong")?;
    }
    Ok(OK)
}

pub(super) fn reconcile(args: &ReconcileArgs, out: &mut Out) -> Result<u8, Failure> {
    if args.from.is_some_and(|from| args.to.is_some_and(|to| to < from)) {
        return Err(Failure::Usage {
            why: "the time ends before it begins".into(),
            mend: "swap --from and --to".into(),
        });
    }
    let request = Request::Reconcile { terminal: args.terminal.clone(), from: args.from, to: args.to };
    for answer in all(&args.ask, &request)? {
        let Answer::Outcome(outcome) = answer else { return Err(unexpected(&answer)) };
        match outcome.as_object().filter(|_| !args.ask.json) {
            None => out.json(&outcome)?,
            Some(outcome) => {
                writeln!(out, "{}: compared", harmless(&args.terminal))?;
                for (name, value) in outcome {
                    writeln!(out, "  {} {}", harmless(&name.replace('_', " ")), harmless(&value.to_string()))?;
                }
            }
        }
    }
    Ok(OK)
}

pub(super) fn acknowledge(args: &AcknowledgeArgs, out: &mut Out) -> Result<u8, Failure> {
    let request = Request::Acknowledge { terminal: args.terminal.clone() };
    for answer in all(&args.ask, &request)? {
        match answer {
            answer if args.ask.json => out.json(&answer)?,
            Answer::Acknowledged(0) => writeln!(out, "no loss was open")?,
            Answer::Acknowledged(count) => {
                writeln!(out, "{} lost are known now; their numbers stay missing", counted_punches(count))?
            }
            answer => return Err(unexpected(&answer)),
        }
    }
    Ok(OK)
}

pub(super) fn punches(args: &PunchesArgs, out: &mut Out) -> Result<u8, Failure> {
    let filter = PunchFilter {
        terminal: args.terminal.clone(),
        person: args.person.clone(),
        since: args.since,
        limit: args.limit,
    };
    let request = Request::Punches { filter, follow: args.follow };
    block_on(async {
        let mut answers = open(&args.ask, &request).await?;
        let mut table = Table::new(PUNCH);
        if args.follow {
            table = table.at_least([12, 6, 19, 8, 9, 8, 8, 9, 0]);
        }
        let mut headed = false;
        while let Some(answer) = answers.next().await? {
            match &answer {
                Answer::Punch(punch) if args.ask.json => out.json(punch)?,
                Answer::Punch(punch) => table.push(punch_row(punch)),
                Answer::Missed(_) if args.ask.json => out.json(&answer)?,
                Answer::Missed(count) => {
                    table.write(out, false)?;
                    writeln!(out, "({} not shown: they came too fast to read)", counted_punches(*count))?;
                }
                _ => return Err(unexpected(&answer)),
            }
            // Whoever watches wants each as it comes; a finished list is aligned as a whole.
            if args.follow {
                if !args.ask.json {
                    table.write(out, !headed)?;
                    headed = true;
                }
                out.flush()?;
            }
        }
        if !args.ask.json && !headed {
            table.write(out, true)?;
        }
        Ok(OK)
    })
}

/// Asks, and waits for the whole answer.
pub(super) fn all(args: &AskArgs, request: &Request) -> Result<Vec<Answer>, Failure> {
    block_on(async { Ok(open(args, request).await?.all().await?) })
}

/// Asks what has one answer.
pub(super) fn one(args: &AskArgs, request: &Request) -> Result<Answer, AskError> {
    let sockets = sockets(args).map_err(|_| nowhere())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| AskError::Broken(error.to_string()))?;
    runtime.block_on(async {
        let answers = first(&sockets, request).await?.all().await?;
        answers.into_iter().next().ok_or_else(|| AskError::Broken("it said nothing".into()))
    })
}

/// Asks at the first place where somebody answers.
async fn open(args: &AskArgs, request: &Request) -> Result<Answers, Failure> {
    Ok(first(&sockets(args)?, request).await?)
}

async fn first(sockets: &[PathBuf], request: &Request) -> Result<Answers, AskError> {
    let mut telling: Option<AskError> = None;
    for socket in sockets {
        match console::ask(socket, request).await {
            Ok(answers) => return Ok(answers),
            // A socket that is there tells more than one that is not.
            Err(error) if telling.is_none() || !is_absent(&error) => telling = Some(error),
            Err(_) => {}
        }
    }
    Err(telling.unwrap_or_else(nowhere))
}

fn nowhere() -> AskError {
    AskError::Unreachable { socket: config::SYSTEM_SOCKET.into(), source: std::io::ErrorKind::NotFound.into() }
}

fn is_absent(error: &AskError) -> bool {
    matches!(error, AskError::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

fn sockets(args: &AskArgs) -> Result<Vec<PathBuf>, Failure> {
    match (&args.socket, &args.config) {
        (Some(socket), _) => Ok(vec![socket.clone()]),
        (None, Some(config)) => Ok(config::places(config)?.sockets),
        // Whoever may ask the daemon need not be allowed to read its config.
        (None, None) if fs::File::open(config::DEFAULT_PATH).is_err() => Ok(vec![config::SYSTEM_SOCKET.into()]),
        (None, None) => Ok(config::places(config::DEFAULT_PATH.as_ref())?.sockets),
    }
}

pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::failed(format!("cannot start: {error}"), "close other programs"))?.block_on(work)
}

pub(super) fn unexpected(answer: &Answer) -> Failure {
    let name = serde_json::to_value(answer).ok().and_then(|value| Some(value.get("answer")?.to_string()));
    Failure::failed(
        format!("the daemon answered something else: {}", name.unwrap_or_default()),
        "use the punchgate of the daemon's own version; restart the daemon after an upgrade",
    )
}

fn show_status(status: &Status, out: &mut Out) -> Result<(), Failure> {
    let now = Timestamp::now();
    let tone = match status.conditions.first().map(|worst| worst.severity.as_str()) {
        None => Tone::Good,
        Some("high") => Tone::Bad,
        Some(_) => Tone::Doubtful,
    };
    let headline = out.toned(tone, &harmless(&status.headline));
    writeln!(out, "{headline}\n")?;
    let Status { tenant, gateway, version, key, state, queue, link, terminals, clock, .. } = status;
    let up = words::lasting(status.uptime_s);
    writeln!(out, "gateway    {tenant}/{gateway}, {state}, up for {up}, version {version}")?;
    let mut waits = format!("{} to be delivered", counted_punches(queue.undelivered));
    if let (Some(oldest), 1..) = (queue.oldest, queue.undelivered) {
        waits += &format!(" ({}), the oldest for {}", words::bytes(queue.bytes), words::ago(oldest, now));
    }
    if let Some(hours) = queue.hours_left {
        waits += &format!("; the disk takes {} more of this", words::lasting((hours.max(0.0) * 3600.0) as u64));
    }
    writeln!(out, "queue      {waits}")?;
    let mut broker = link.state.clone();
    if let Some(since) = link.since {
        broker += &format!(" for {}", words::ago(since, now));
    }
    for more in [&link.broker, &link.cause].into_iter().flatten() {
        broker += &format!(", {more}");
    }
    writeln!(out, "broker     {}", harmless(&broker))?;
    writeln!(out, "key        {}", harmless(key))?;
    writeln!(out, "terminals  {} of {} online", terminals.online, terminals.total)?;
    let kept = clock.source.as_deref().map_or("nobody says what keeps it".into(), |source| format!("kept by {source}"));
    let offset =
        clock.offset_ms.map_or_else(String::new, |ms| format!(", {} from the battery clock", words::skew(ms as i64)));
    let doubt = clock.doubt.as_ref().map_or("believed".into(), |doubt| format!("not believed: {}", harmless(doubt)));
    let floor = clock.floor.map(|floor| format!("; its last record is of {}", words::wall(floor))).unwrap_or_default();
    writeln!(out, "clock      {}{offset}; {doubt}{floor}", harmless(&kept))?;
    if !status.conditions.is_empty() {
        writeln!(out)?;
    }
    for condition in &status.conditions {
        show_condition(condition, out)?;
    }
    Ok(())
}

fn show_condition(condition: &ConditionLine, out: &mut Out) -> Result<(), Failure> {
    let ConditionLine { code, subject, severity, since, title, cause, text, mend, zh } = condition;
    let chinese = language() == Language::Zh && !zh.title.is_empty();
    let (title, text, mend) = if chinese { (&zh.title, &zh.text, &zh.mend) } else { (title, text, mend) };
    let labels = if chinese { ["原因", "影响", "处理"] } else { ["cause", "means", "mend"] };
    let tone = if severity == "high" { Tone::Bad } else { Tone::Doubtful };
    let about = subject.as_ref().map_or_else(String::new, |subject| format!("{}: ", harmless(subject)));
    let severity = out.toned(tone, &format!("{severity:<6}"));
    let since = words::wall(*since);
    match chinese {
        true => writeln!(out, "{severity}  {about}{title}（{code}），自 {since}")?,
        false => writeln!(out, "{severity}  {about}{title} ({code}), since {since}")?,
    }
    for (label, words) in labels.into_iter().zip([cause, text, mend]) {
        if !words.is_empty() {
            writeln!(out, "        {label:<6} {}", harmless(words))?;
        }
    }
    Ok(())
}

fn counted_punches(count: u64) -> String {
    match count {
        1 => "1 punch".into(),
        count => format!("{} punches", words::count(count)),
    }
}

fn terminal_row(terminal: &TerminalLine) -> [Cell; 14] {
    let now = Timestamp::now();
    let ago = |then: Option<Timestamp>| Cell::maybe(then.map(|then| words::ago(then, now)));
    let tone = match terminal.state.as_str() {
        "online" => Tone::Good,
        "connecting" => Tone::Doubtful,
        _ => Tone::Bad,
    };
    let records = match (terminal.records, terminal.capacity) {
        (Some(records), Some(capacity)) => Some(format!("{records}/{capacity}")),
        (Some(records), None) => Some(records.to_string()),
        _ => None,
    };
    let delivery = serde_json::to_value(terminal.delivery).ok();
    [
        Cell::text(&terminal.name),
        Cell::text(&terminal.state).toned(tone),
        ago(Some(terminal.since)),
        ago(terminal.last_seen),
        ago(terminal.last_punch),
        Cell::maybe(terminal.skew_ms.map(words::skew)),
        Cell::maybe(records),
        Cell::number(words::count(terminal.punches)),
        Cell::number(words::count(terminal.twins)),
        Cell::number(words::count(terminal.set_aside)),
        Cell::text(&terminal.driver),
        Cell::maybe(delivery.as_ref().and_then(|delivery| delivery.as_str())),
        Cell::maybe(terminal.serial.as_deref()),
        Cell::maybe(terminal.firmware.as_deref()),
    ]
}

const PUNCH: [&str; 9] = ["TERMINAL", "SEQ", "LOCAL TIME", "PERSON", "DIRECTION", "BY", "ORIGIN", "DELIVERED", "FLAGS"];

/// One punch below its head.
pub(super) fn punch_table(punch: &PunchLine) -> Table<9> {
    let mut table = Table::new(PUNCH);
    table.push(punch_row(punch));
    table
}

fn punch_row(punch: &PunchLine) -> [Cell; 9] {
    let name = |value: Result<serde_json::Value, serde_json::Error>| {
        Cell::maybe(value.ok().as_ref().and_then(|value| value.as_str()).filter(|name| *name != "unknown"))
    };
    let flags: Vec<String> =
        punch.flags.iter().filter_map(|flag| Some(serde_json::to_value(flag).ok()?.as_str()?.to_owned())).collect();
    [
        Cell::text(&punch.terminal),
        Cell::number(punch.seq),
        Cell::text(punch.local.to_string().replace('T', " ")),
        Cell::text(&punch.person),
        name(serde_json::to_value(punch.direction.value)),
        name(serde_json::to_value(punch.verify.value)),
        name(serde_json::to_value(punch.origin)),
        if punch.delivered { Cell::text("yes") } else { Cell::text("not yet").toned(Tone::Doubtful) },
        Cell::text(flags.join(" ")).toned(Tone::Doubtful),
    ]
}
