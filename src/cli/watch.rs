//! `punchgate watch`: all gateways of a tenant on one screen, worst first; or as a stream of JSON.

mod screen;

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{
    Failure, OK,
    args::WatchArgs,
    ask::block_on,
    doctor::language,
    out::{Out, Tone, harmless},
    remote::profile,
    words,
};
use crate::{
    cli::args,
    config::Profile,
    fleet::{Fleet, Language, Row, Severity},
    mqtt::{Client, Connect, Connection, Event, Failure as Broken, Hello},
};

/// What is retained comes at once; when nothing came for so long, all of it is here.
const QUIET: Duration = Duration::from_millis(300);
/// Somebody who looks wants something to look at, whatever still comes; a script wants all of it.
const FIRST: Duration = Duration::from_millis(1500);
const ALL: Duration = Duration::from_secs(30);
/// Between two looks at what has changed.
const TURN: Duration = Duration::from_millis(500);
/// Before it is tried again to reach the broker.
const AGAIN: Duration = Duration::from_secs(2);

pub(super) fn watch(args: &WatchArgs, out: &mut Out) -> Result<u8, Failure> {
    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let profile = profile(&args.profile)?;
    let language = match args.lang.unwrap_or_else(language) {
        args::Language::En => Language::En,
        args::Language::Zh => Language::Zh,
    };
    let filter = args.filter.clone().unwrap_or_default();
    if !args.json && !args.once && std::io::stdout().is_terminal() {
        return screen::run(&profile, args, language, filter);
    }
    block_on(async {
        let mut line = Line::open(&profile).await.map_err(unreachable)?;
        let mut fleet = Fleet::default();
        line.first(&mut fleet, ALL).await.map_err(unreachable)?;
        let mut shown = BTreeMap::new();
        loop {
            let now = Timestamp::now();
            let rows = fleet.rows(&filter, language, now);
            match args.json {
                true => stream(&rows, &mut shown, out)?,
                false => list(&rows, &fleet, now, out)?,
            }
            out.flush()?;
            if args.once || !args.json {
                line.leave().await;
                return Ok(OK);
            }
            line.hear(&mut fleet, TURN).await;
        }
    })
}

/// What tells one row from all others.
type Mark = (String, Option<String>, String);

/// Prints what is new, what has changed, and what is over.
fn stream(rows: &[Row], shown: &mut BTreeMap<Mark, Row>, out: &mut Out) -> Result<(), Failure> {
    let mut now = BTreeMap::new();
    for row in rows {
        let mark = (row.gateway.clone(), row.subject.clone(), row.code.clone());
        // Its clock runs, which is no news.
        let still = |before: &Row| Row { left_s: row.left_s, ..before.clone() } == *row;
        if !shown.get(&mark).is_some_and(still) {
            out.json(&json!({ "event": if shown.contains_key(&mark) { "changed" } else { "wrong" }, "row": row }))?;
        }
        now.insert(mark, row.clone());
    }
    for (_, row) in shown.iter().filter(|(mark, _)| !now.contains_key(*mark)) {
        out.json(&json!({ "event": "over", "row": row }))?;
    }
    *shown = now;
    Ok(())
}

/// One look, for a pipe or a small screen.
fn list(rows: &[Row], fleet: &Fleet, now: Timestamp, out: &mut Out) -> Result<(), Failure> {
    for row in rows {
        let tone = if row.severity == Severity::High { Tone::Bad } else { Tone::Doubtful };
        let severity = out.toned(tone, severity(row.severity));
        let since = row.since.map_or_else(String::new, |since| format!(", for {}", words::ago(since, now)));
        writeln!(out, "{severity}  {}: {}{since}{}", harmless(&about(row)), harmless(&row.title), incident(row))?;
        writeln!(out, "        cause  {}", harmless(&row.cause))?;
        writeln!(out, "        mend   {}", harmless(&row.mend))?;
    }
    writeln!(out, "{}", headline(fleet, now))?;
    Ok(())
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "high  ",
        Severity::Medium => "medium",
        Severity::Low => "low   ",
    }
}

fn about(row: &Row) -> String {
    row.subject.as_ref().map_or_else(|| row.gateway.clone(), |subject| format!("{}/{subject}", row.gateway))
}

/// Its number, whose it is, and how long there is.
fn incident(row: &Row) -> String {
    let Some(number) = row.incident else { return String::new() };
    let by = row.acknowledged_by.as_ref().map_or_else(String::new, |by| format!(" {}", harmless(by)));
    let left = match row.left_s {
        Some(left @ 0..) => format!(", {} left", words::lasting(left.unsigned_abs())),
        Some(late) => format!(", {} LATE", words::lasting(late.unsigned_abs())),
        None => String::new(),
    };
    format!(" [#{number}{by}{left}]")
}

fn headline(fleet: &Fleet, now: Timestamp) -> String {
    let sum = fleet.sum(now);
    let garbled =
        if fleet.garbled > 0 { format!("; {} documents made no sense", fleet.garbled) } else { String::new() };
    format!(
        "{} gateways, {} of them bad; {} of {} terminals online; {} punches wait{garbled}",
        sum.gateways,
        sum.bad,
        sum.online,
        sum.terminals,
        words::count(sum.undelivered)
    )
}

fn unreachable(broken: Broken) -> Failure {
    Failure::Unreachable { why: broken.to_string(), mend: broken.kind.mend().into() }
}

/// The line to the broker; it comes again by itself.
struct Line {
    client: Client,
    tenant: String,
    connection: Option<Box<dyn Connection>>,
    again: Instant,
}

impl Line {
    async fn open(profile: &Profile) -> Result<Self, Broken> {
        // What is retained is thousands of messages at once, and a broker queues few that want an acknowledgement.
        let client = Client::new(profile.mqtt.clone()).at_most_once();
        let mut line = Self { client, tenant: profile.tenant.clone(), connection: None, again: Instant::now() };
        line.connect().await?;
        Ok(line)
    }

    async fn connect(&mut self) -> Result<(), Broken> {
        let topics = ["state", "health", "health/+", "incident/+"];
        let subscribe: Vec<String> =
            topics.iter().map(|suffix| format!("punchgate/1/{}/+/{suffix}", self.tenant)).collect();
        let mut why = None;
        for broker in self.client.brokers() {
            match self.client.connect(broker, Hello { will: None, subscribe: subscribe.clone() }).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(failure) => why = Some(failure),
            }
        }
        Err(why.expect("a profile names a broker"))
    }

    /// Hears what is retained, until all of it is here or somebody has waited long enough.
    async fn first(&mut self, fleet: &mut Fleet, most: Duration) -> Result<(), Broken> {
        let end = Instant::now() + most;
        let Some(connection) = &mut self.connection else { return Ok(()) };
        loop {
            let quiet = (Instant::now() + QUIET).min(end);
            match timeout_at(quiet, connection.event()).await {
                Ok(Ok(event)) => take(fleet, &self.tenant, event),
                Ok(Err(broken)) => return Err(broken),
                Err(_) => return Ok(()),
            }
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// Hears for so long.
    async fn hear(&mut self, fleet: &mut Fleet, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            match &mut self.connection {
                Some(connection) => match timeout_at(end, connection.event()).await {
                    Ok(Ok(event)) => take(fleet, &self.tenant, event),
                    Ok(Err(_)) => (self.connection, self.again) = (None, Instant::now() + AGAIN),
                    Err(_) => return,
                },
                None if Instant::now() >= self.again => {
                    self.again = Instant::now() + AGAIN;
                    // Tried again until it works; what is on the screen gets old, and says so.
                    let _ = timeout_at(end, self.connect()).await;
                }
                None => tokio::time::sleep_until(end.min(self.again)).await,
            }
        }
    }

    fn is_up(&self) -> bool {
        self.connection.is_some()
    }

    async fn leave(&mut self) {
        if let Some(connection) = &mut self.connection {
            // Nothing depends on it.
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.leave()).await;
        }
    }
}

fn take(fleet: &mut Fleet, tenant: &str, event: Event) {
    let Event::Arrived(message) = event else { return };
    let mut levels = message.topic.splitn(5, '/');
    let (Some("punchgate"), Some("1"), Some(of)) = (levels.next(), levels.next(), levels.next()) else { return };
    if let (Some(gateway), Some(suffix), true) = (levels.next(), levels.next(), of == tenant) {
        fleet.take(gateway, suffix, &message.payload);
    }
}
