//! `punchgate incidents`: what is open, since when, whose it is, and how long there is; and the history of it.

use std::io::Write;

use jiff::Timestamp;
use serde_json::json;

use super::{
    Failure, OK,
    args::{AcknowledgeIncidentArgs, IncidentsArgs, IncidentsCommand},
    ask::{all, unexpected},
    out::{Out, Tone, harmless},
    words,
};
use crate::{
    config,
    console::{Answer, Request},
    incident::{self, Incident},
};

pub(super) fn incidents(args: &IncidentsArgs, out: &mut Out) -> Result<u8, Failure> {
    match &args.command {
        Some(IncidentsCommand::Acknowledge(args)) => acknowledge(args, out),
        Some(IncidentsCommand::Evidence(args)) => {
            let path = args.config.as_deref().unwrap_or(config::DEFAULT_PATH.as_ref());
            let state_dir = match &args.state_dir {
                Some(state_dir) => state_dir.clone(),
                None => config::places(path)?.state_dir,
            };
            let found = incident::evidence(&state_dir, args.number)?;
            let none = || {
                let mend = "evidence is gathered in the first minute of an incident: see punchgate incidents --all";
                Failure::failed(format!("there is no evidence of incident {}", args.number), mend)
            };
            let evidence = found.ok_or_else(none)?;
            let text = serde_json::to_string_pretty(&evidence).map_err(std::io::Error::other)?;
            text.lines().try_for_each(|line| writeln!(out, "{}", harmless(line)))?;
            Ok(OK)
        }
        None => list(args, out),
    }
}

fn list(args: &IncidentsArgs, out: &mut Out) -> Result<u8, Failure> {
    let mut count = 0;
    for answer in all(&args.ask, &Request::Incidents { all: args.all })? {
        let Answer::Incident(incident) = answer else { return Err(unexpected(&answer)) };
        count += 1;
        if args.ask.json { out.json(&incident)? } else { show(&incident, out)? }
    }
    if count == 0 && !args.ask.json {
        writeln!(out, "{}", if args.all { "there was no incident yet" } else { "no incident is open" })?;
    }
    Ok(OK)
}

fn acknowledge(args: &AcknowledgeIncidentArgs, out: &mut Out) -> Result<u8, Failure> {
    let by = args.by.clone().or_else(|| std::env::var("SUDO_USER").ok()).or_else(|| std::env::var("USER").ok());
    let by = by
        .filter(|by| !by.trim().is_empty())
        .ok_or_else(|| Failure::Usage { why: "it must say by whom".into(), mend: "add --by NAME".into() })?;
    for answer in all(&args.ask, &Request::AcknowledgeIncident { number: args.number, by })? {
        let Answer::Incident(incident) = answer else { return Err(unexpected(&answer)) };
        match args.ask.json {
            true => out.json(&json!(incident))?,
            false => show(&incident, out)?,
        }
    }
    Ok(OK)
}

fn show(incident: &Incident, out: &mut Out) -> Result<(), Failure> {
    let Incident { number, code, subject, severity, cause, first_seen, .. } = incident;
    let tone = match (incident.resolved, severity.as_str()) {
        (Some(_), _) => Tone::Quiet,
        (None, "high") => Tone::Bad,
        (None, _) => Tone::Doubtful,
    };
    let about = subject.as_ref().map_or_else(String::new, |subject| format!("{}: ", harmless(subject)));
    let head = out.toned(tone, &format!("{number:>5}  {severity:<6}"));
    writeln!(out, "{head}  {about}{code}, since {}", words::wall(*first_seen))?;
    writeln!(out, "       cause  {}", harmless(cause))?;
    if let Some(by) = &incident.acknowledged {
        writeln!(out, "       taken  by {} at {} ({})", harmless(&by.by), words::wall(by.at), by.how)?;
    }
    let lasting = words::lasting(incident.open_s);
    let clock = match incident.resolved {
        Some(at) => format!("resolved at {} after {lasting}", words::wall(at)),
        None if incident.open_s < incident.target_s => {
            format!("open for {lasting}, {} left", words::lasting(incident.target_s - incident.open_s))
        }
        None => format!("open for {lasting}, {} late", words::lasting(incident.open_s - incident.target_s)),
    };
    let more: String = [
        incident.notified.map(|at| format!("; the broker has it since {}", words::wall(at))),
        incident.escalated.map(|at| format!("; escalated at {}", words::wall(at))),
        incident.breached.map(|at| format!("; breached its target at {}", words::wall(at))),
        (incident.reopened > 0).then(|| format!("; came back {} times", incident.reopened)),
    ]
    .into_iter()
    .flatten()
    .collect();
    writeln!(out, "       clock  {clock}{more}")?;
    if incident.resolved.is_none() && incident.acknowledged.is_none() {
        let now = Timestamp::now();
        let waits = words::ago(incident.opened, now);
        writeln!(out, "       nobody has taken it for {waits}: punchgate incidents acknowledge {number}")?;
    }
    Ok(())
}
