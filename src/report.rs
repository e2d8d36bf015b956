//! A health report of a period: what journal, minutes and incidents of a state folder tell, put together. All of it is pure but
//! `disk`, which reads the folder, and `advisories`, which reads a list that somebody put there.
//!
//! Every figure can be recomputed by somebody else: punches and delays from the journal, availability and capacity from
//! `metrics.ring` (docs/health.md), incidents from their log.

mod advisories;
mod chart;
mod disk;
mod html;
mod osv;
mod words;

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde::Serialize;

use crate::{
    health::{Flaw, flaws_of},
    incident::Incident,
    inquiry::Standing,
    metrics::{self, Series},
    spool::{History, TerminalHistory},
};
pub use advisories::{AdvisoryList, Dependencies, Flawed};
pub use disk::{ADVISORIES, Unreadable, Wanted};
pub use html::html;
pub use words::Language;

/// Everything that a report says. Units are in the names; null is "not known".
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub version: u32,
    pub made_at: Timestamp,
    pub tenant: String,
    pub gateway: String,
    pub from: Timestamp,
    /// Up to and without.
    pub to: Timestamp,
    pub minutes: Minutes,
    pub punches: Punches,
    pub delays: Delays,
    pub terminals: Vec<Terminal>,
    pub capacity: Capacity,
    pub incidents: Incidents,
    /// What to renew, and why.
    pub renew: Vec<Renew>,
    /// Whether flaws of the program's own parts are published.
    pub dependencies: Dependencies,
    /// For the charts: one point an hour, null where nothing is known.
    pub hours: Vec<Hour>,
    /// Places of the journal that could not be read: figures may be too low.
    pub unreadable: usize,
}

/// The minutes of the period of which numbers are kept: those in which the gateway was up.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Minutes {
    pub kept: u64,
    /// From the first that is kept, or the beginning of the period, to its end.
    pub of: u64,
    pub up_percent: Option<f64>,
    pub broker_up_percent: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Punches {
    pub total: u64,
    /// Those that came later out of a terminal's log.
    pub later: u64,
    pub undelivered: u64,
    pub by_day: BTreeMap<Date, u64>,
}

/// In milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Delays {
    /// From a live punch, by the terminal's corrected clock, to our disk.
    pub stored_p50_ms: Option<i64>,
    pub stored_p99_ms: Option<i64>,
    /// From our disk to the broker's word for it, a second late at most.
    pub delivered_p50_ms: Option<i64>,
    pub delivered_p99_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Terminal {
    pub terminal: String,
    pub serial: String,
    pub firmware: Option<String>,
    pub punches: u64,
    pub later: u64,
    /// Of the minutes in which the gateway was up.
    pub online_percent: Option<f64>,
    pub minutes_away: u64,
    pub longest_away_minutes: u64,
    pub skew_median_ms: Option<i64>,
    pub skew_worst_ms: Option<i64>,
    pub set_aside: u64,
    /// Punches that the journal lost, ever.
    pub lost: u64,
    pub last_punch: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Capacity {
    pub free_bytes: Option<f64>,
    pub journal_bytes: Option<f64>,
    /// How fast the free room went down, by its first and last known minute; negative where it grew.
    pub bytes_a_day: Option<f64>,
    pub days_left: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Incidents {
    pub opened: usize,
    pub resolved: usize,
    pub breached: usize,
    /// Open in the period, oldest first.
    pub all: Vec<Incident>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Renew {
    pub what: String,
    pub why: String,
    pub source: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Hour {
    pub at: Timestamp,
    /// The most at once.
    pub undelivered: Option<f64>,
    /// The fewest at once.
    pub terminals_online: Option<f64>,
    pub commit_p99_ms: Option<f64>,
    pub free_bytes: Option<f64>,
}

/// What a running daemon adds: firmware, by terminal, with its driver.
pub type Firmware = BTreeMap<String, (String, Option<String>)>;

impl Report {
    pub fn new(
        (from, to): (Timestamp, Timestamp),
        made_at: Timestamp,
        history: History,
        series: &Series,
        incidents: Vec<Incident>,
        firmware: &Firmware,
        dependencies: Dependencies,
    ) -> Self {
        let (tenant, gateway, unreadable) = (history.tenant.clone(), history.gateway.clone(), history.unreadable);
        let mut by_day: BTreeMap<Date, u64> = BTreeMap::new();
        for (day, count) in history.terminals.values().flat_map(|it| &it.by_day) {
            *by_day.entry(*day).or_default() += count;
        }
        let punches = Punches {
            total: by_day.values().sum(),
            later: history.terminals.values().map(|it| it.later).sum(),
            undelivered: history.undelivered,
            by_day,
        };
        let delays = Delays {
            stored_p50_ms: history.stored_after.percentile(50),
            stored_p99_ms: history.stored_after.percentile(99),
            delivered_p50_ms: history.delivered_after.percentile(50),
            delivered_p99_ms: history.delivered_after.percentile(99),
        };
        let up: Vec<Timestamp> = series.rows.iter().map(|(at, _)| *at).collect();
        let terminals = history
            .terminals
            .into_iter()
            .map(|(name, it)| terminal(name, it, &up, firmware))
            // One that stands in an old ledger and did nothing in the period is not of it.
            .filter(|it| it.punches > 0 || it.online_percent.is_some())
            .collect();
        let ours = incidents.into_iter().filter(|it| it.opened < to && it.resolved.is_none_or(|at| at >= from));
        let all: Vec<Incident> = ours.collect();
        let incidents = Incidents {
            opened: all.iter().filter(|it| it.opened >= from).count(),
            resolved: all.iter().filter(|it| it.resolved.is_some_and(|at| at < to)).count(),
            breached: all.iter().filter(|it| it.breached.is_some()).count(),
            all,
        };
        Self {
            version: 1,
            made_at,
            tenant,
            gateway,
            from,
            to,
            minutes: minutes(series, from, to),
            punches,
            delays,
            terminals,
            capacity: capacity(series),
            incidents,
            renew: renew(firmware, &dependencies),
            dependencies,
            hours: hours(series),
            unreadable,
        }
    }
}

/// Without a beginning: what the minutes go back. Without an end: until now.
pub fn period(from: Option<Timestamp>, to: Option<Timestamp>) -> (Timestamp, Timestamp) {
    let to = to.unwrap_or_else(Timestamp::now);
    let days = jiff::SignedDuration::from_mins(metrics::KEPT_MINUTES);
    (from.unwrap_or_else(|| to.checked_sub(days).unwrap_or(Timestamp::MIN)), to)
}

fn column<'s>(series: &'s Series, name: &str) -> impl Iterator<Item = (Timestamp, f64)> + 's {
    let at = series.columns.iter().position(|column| column == name);
    series.rows.iter().filter_map(move |(minute, row)| Some((*minute, *row.get(at?)?))).filter(|(_, it)| !it.is_nan())
}

fn percent(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| 100.0 * part as f64 / of as f64)
}

fn minutes(series: &Series, from: Timestamp, to: Timestamp) -> Minutes {
    let minute = |at: Timestamp| at.as_second().div_euclid(60);
    let kept = series.rows.len() as u64;
    let first = series.rows.first().map_or(minute(to), |(at, _)| minute(*at)).max(minute(from));
    let of = (minute(to) - first).max(0).unsigned_abs();
    let with_broker = column(series, "punchgate_link_up").filter(|(_, up)| *up > 0.5).count() as u64;
    Minutes { kept, of, up_percent: percent(kept, of), broker_up_percent: percent(with_broker, kept) }
}

fn terminal(name: String, it: TerminalHistory, up: &[Timestamp], firmware: &Firmware) -> Terminal {
    // How it stood at the end of each minute in which somebody looked.
    let (mut online, mut away, mut run, mut longest) = (0, 0, 0, 0);
    let mut at = 0;
    for minute in up {
        let end = minute.as_second() + 60;
        while it.standing.get(at).is_some_and(|(since, _)| since.as_second() < end) {
            at += 1;
        }
        match at.checked_sub(1).map(|last| it.standing[last].1) {
            Some(Standing::Online) => (online, run) = (online + 1, 0),
            Some(_) => (away, run) = (away + 1, run + 1),
            None => {}
        }
        longest = longest.max(run);
    }
    Terminal {
        firmware: firmware.get(&name).and_then(|(_, firmware)| firmware.clone()),
        punches: it.by_day.values().sum(),
        later: it.later,
        online_percent: percent(online, online + away),
        minutes_away: away,
        longest_away_minutes: longest,
        skew_median_ms: it.skew_ms.percentile(50),
        skew_worst_ms: it.skew_ms.worst(),
        set_aside: it.set_aside,
        lost: it.lost.iter().map(|(first, last)| last - first + 1).sum(),
        last_punch: it.last,
        serial: it.serial,
        terminal: name,
    }
}

fn capacity(series: &Series) -> Capacity {
    let free: Vec<_> = column(series, "punchgate_disk_free_bytes").collect();
    let (first, last) = (free.first(), free.last());
    let bytes_a_day = first.zip(last).and_then(|((begun, before), (ended, after))| {
        let days = (ended.as_second() - begun.as_second()) as f64 / 86_400.0;
        // Some hours say nothing of a day.
        (days >= 0.25).then(|| (before - after) / days)
    });
    let free_bytes = last.map(|(_, free)| *free);
    let days_left = free_bytes.zip(bytes_a_day.filter(|pace| *pace > 0.0)).map(|(free, pace)| free / pace);
    let journal_bytes = column(series, "punchgate_journal_bytes").last().map(|(_, bytes)| bytes);
    Capacity { free_bytes, journal_bytes, bytes_a_day, days_left }
}

fn renew(firmware: &Firmware, dependencies: &Dependencies) -> Vec<Renew> {
    let terminals = firmware.iter().flat_map(|(name, (driver, runs))| {
        flaws_of(driver, [runs.as_deref(), None, None]).map(move |flaw: &Flaw| Renew {
            what: format!("{name}: {}", runs.as_deref().unwrap_or_default()),
            why: format!("{}: {}", flaw.name, flaw.effect),
            source: flaw.source.into(),
        })
    });
    let parts = dependencies.found.iter().map(|it| {
        let names: Vec<&str> = std::iter::once(&it.id).chain(&it.aliases).map(String::as_str).collect();
        let fixed = if it.fixed.is_empty() { String::new() } else { format!("; fixed in {}", it.fixed.join(", ")) };
        Renew {
            what: format!("punchgate {}: {} {}", env!("CARGO_PKG_VERSION"), it.name, it.version),
            why: format!("{} ({}): {}{fixed}", names.join(", "), it.kind, it.summary),
            source: it.source.clone(),
        }
    });
    terminals.chain(parts).collect()
}

fn hours(series: &Series) -> Vec<Hour> {
    let mut hours: BTreeMap<i64, Hour> = BTreeMap::new();
    let mut each = |name: &str, keep: &dyn Fn(&mut Hour, f64)| {
        for (at, value) in column(series, name) {
            let hour = at.as_second().div_euclid(3600);
            let Ok(at) = Timestamp::from_second(hour * 3600) else { continue };
            let empty = Hour { at, undelivered: None, terminals_online: None, commit_p99_ms: None, free_bytes: None };
            keep(hours.entry(hour).or_insert(empty), value);
        }
    };
    let most = |kept: Option<f64>, value: f64| Some(kept.map_or(value, |kept| kept.max(value)));
    let least = |kept: Option<f64>, value: f64| Some(kept.map_or(value, |kept| kept.min(value)));
    each("punchgate_queue_undelivered_punches", &|it, value| it.undelivered = most(it.undelivered, value));
    each("punchgate_terminals_online", &|it, value| it.terminals_online = least(it.terminals_online, value));
    each("punchgate_commit_p99_seconds", &|it, value| it.commit_p99_ms = most(it.commit_p99_ms, value * 1e3));
    each("punchgate_disk_free_bytes", &|it, value| it.free_bytes = least(it.free_bytes, value));
    hours.into_values().collect()
}

#[cfg(test)]
mod tests;
