//! Which day it is where the terminals hang: this machine may be of another zone.

use std::{collections::BTreeMap, path::Path};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{Failure, args::AskArgs, ask, out::harmless};
use crate::{
    config,
    console::{Answer, PunchFilter, Request},
    inquiry::{Site, Today},
    spool,
};

/// Latest punches that tell the zones, where only a daemon can be asked.
const LATEST: usize = 1000;

/// A day that was taken for `today`.
pub(super) struct Day {
    pub(super) date: Date,
    /// What is to be said of it, where somebody may have meant another one.
    pub(super) note: Option<String>,
}

/// What the config says.
pub(super) fn of_config(config: Option<&Path>) -> Option<Site> {
    config::site(config.unwrap_or(config::DEFAULT_PATH.as_ref()))
}

/// Zones as the punches of a store have them.
pub(super) fn of_store(state_dir: &Path) -> Site {
    let names = spool::zones(state_dir).unwrap_or_default();
    Site::of_names(names.iter().map(|(terminal, zone)| (terminal.clone(), zone.as_str())))
}

/// Zones as the daemon's latest punches have them.
pub(super) fn of_daemon(args: &AskArgs, terminal: Option<&str>) -> Site {
    let filter = PunchFilter { terminal: terminal.map(str::to_owned), limit: LATEST, ..PunchFilter::default() };
    // Where nobody answers, the question itself will tell.
    let answers = ask::all(args, &Request::Punches { filter, follow: false }).unwrap_or_default();
    let mut names = BTreeMap::new();
    for answer in answers {
        if let Answer::Punch(punch) = answer {
            names.insert(punch.terminal, punch.zone);
        }
    }
    Site::of_names(names.iter().map(|(terminal, zone)| (terminal.clone(), zone.as_str())))
}

/// Today at a terminal; without one, at the gateway.
pub(super) fn today(site: &Site, terminal: Option<&str>) -> Result<Day, Failure> {
    let now = Timestamp::now();
    let said = |days: &BTreeMap<String, Date>| {
        let each: Vec<String> = days.iter().map(|(name, day)| format!("{day} at {}", harmless(name))).collect();
        each.join(", ")
    };
    match site.today(terminal, now) {
        Today::Several(days) => Err(Failure::Usage {
            why: format!("it is not the same day at every terminal: {}", said(&days)),
            mend: "write the date as well, or name the terminal".into(),
        }),
        Today::At { date, zone, others } => {
            let machines = now.to_zoned(TimeZone::system()).date();
            let whose = match terminal {
                Some(name) => format!("at {}", harmless(name)),
                None => "at the gateway".into(),
            };
            let zone = zone.iana_name().map_or_else(|| zone.to_offset(now).to_string(), str::to_owned);
            let note = format!("today is {date} {whose} ({zone})");
            let note = match others.is_empty() {
                true => (date != machines).then_some(note),
                false => Some(format!("{note}, but {}: name the terminal, or write the date", said(&others))),
            };
            Ok(Day { date, note })
        }
    }
}
