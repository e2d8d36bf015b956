//! The same as numbers, for graphs. Series are bounded: of very many terminals only the first have their own.

use std::time::Duration;

use jiff::Timestamp;

use super::{Sources, hours_left, link_up};
use crate::{
    health::{Severity, TerminalState},
    host,
    metrics::{Kind, Snapshot},
};

/// Terminals that have series of their own.
const TERMINALS: usize = 500;

/// Everything at this moment.
pub fn numbers(sources: &Sources) -> Snapshot {
    let mut all = Snapshot::default();
    let version = vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)];
    all.many(Kind::Gauge, "punchgate_build_info", "Version of this gateway.", version);
    let uptime = sources.started.elapsed().as_secs_f64();
    all.one(Kind::Gauge, "punchgate_uptime_seconds", "How long the gateway has been up.", Some(uptime));
    let boots = sources.boots.map(|boots| boots as f64);
    all.one(Kind::Counter, "punchgate_starts", "Starts of the gateway on this store.", boots);
    store(sources, &mut all);
    link(sources, &mut all);
    machine(&mut all);
    wrong(sources, &mut all);
    terminals(sources, &mut all);
    all
}

fn seconds(time: Duration) -> Option<f64> {
    Some(time.as_secs_f64())
}

fn since(then: Timestamp) -> f64 {
    (Timestamp::now().as_millisecond() - then.as_millisecond()).max(0) as f64 / 1e3
}

fn store(sources: &Sources, all: &mut Snapshot) {
    let status = sources.spool.status();
    let queue = status.queues.first();
    let waiting = queue.map(|queue| queue.undelivered as f64);
    all.one(Kind::Gauge, "punchgate_queue_undelivered_punches", "Punches that the broker does not have yet.", waiting);
    let age = queue.map(|queue| queue.oldest.map_or(0.0, since));
    all.one(Kind::Gauge, "punchgate_queue_oldest_age_seconds", "How long the oldest of them has waited.", age);
    let bytes = queue.map(|queue| queue.bytes as f64);
    all.one(Kind::Gauge, "punchgate_queue_bytes", "What they take on the disk.", bytes);
    let left = hours_left(sources, &status).map(|hours| hours * 3600.0);
    all.one(Kind::Gauge, "punchgate_disk_left_seconds", "Until the disk is full at the present pace.", left);
    let stored = status.ledgers.iter().map(|ledger| ledger.punches).sum::<u64>() as f64;
    all.one(Kind::Counter, "punchgate_punches_stored", "Punches that became durable on this store.", Some(stored));
    let twins = status.twins_dropped as f64;
    all.one(Kind::Counter, "punchgate_twins_dropped", "Punches that came again and were dropped.", Some(twins));
    let aside = status.set_aside as f64;
    all.one(Kind::Counter, "punchgate_records_set_aside", "Records kept raw, since they make no punch.", Some(aside));
    if status.commits.count > 0 {
        let (median, p99) = (seconds(status.commits.p50), seconds(status.commits.p99));
        all.one(Kind::Gauge, "punchgate_commit_median_seconds", "Half of the last commits took no longer.", median);
        all.one(Kind::Gauge, "punchgate_commit_p99_seconds", "99 of 100 of the last commits took no longer.", p99);
    }
    let count = status.commits.count as f64;
    all.one(Kind::Counter, "punchgate_commits", "Commits since the start.", Some(count));
    let free = status.free_bytes.map(|bytes| bytes as f64);
    all.one(Kind::Gauge, "punchgate_disk_free_bytes", "Room on the disk that holds state_dir.", free);
    let (journal, index) = (status.journal_bytes as f64, status.index_bytes as f64);
    all.one(Kind::Gauge, "punchgate_journal_bytes", "What the journal takes on the disk.", Some(journal));
    all.one(Kind::Gauge, "punchgate_index_bytes", "What the index takes on the disk.", Some(index));
}

fn link(sources: &Sources, all: &mut Snapshot) {
    let link = sources.link.borrow().clone();
    let counters = &link.counters;
    let up = f64::from(link_up(&link));
    all.one(Kind::Gauge, "punchgate_link_up", "Whether the broker is connected.", Some(up));
    let trip = link.round_trip.and_then(seconds);
    all.one(Kind::Gauge, "punchgate_link_round_trip_seconds", "From a publish to its acknowledgement.", trip);
    let again = link.reconnects() as f64;
    all.one(Kind::Counter, "punchgate_link_reconnects", "Connections to the broker after the first.", Some(again));
    let (sent, acked, refused) = (counters.published as f64, counters.acked as f64, counters.refused as f64);
    all.one(Kind::Counter, "punchgate_link_messages_published", "Messages sent to the broker.", Some(sent));
    all.one(Kind::Counter, "punchgate_link_messages_acknowledged", "Messages that it has acknowledged.", Some(acked));
    all.one(Kind::Counter, "punchgate_link_messages_refused", "Messages that it did not take.", Some(refused));
    let punches = counters.punches_acked as f64;
    all.one(Kind::Counter, "punchgate_punches_acknowledged", "Punches that it has acknowledged.", Some(punches));
    let ends = [("gateway", link.certificate_ends), ("broker", link.broker_certificate_ends)];
    let ends =
        ends.into_iter().filter_map(|(whose, end)| Some((vec![("of", whose.to_owned())], end?.as_second() as f64)));
    all.many(Kind::Gauge, "punchgate_certificate_end_timestamp_seconds", "When a certificate ends.", ends.collect());
}

fn machine(all: &mut Snapshot) {
    let number = |value: Option<u64>| value.map(|value| value as f64);
    let rss = number(host::rss_bytes());
    all.one(Kind::Gauge, "process_resident_memory_bytes", "Memory of this process that is in RAM.", rss);
    let cpu = host::cpu_time().and_then(seconds);
    all.one(Kind::Counter, "process_cpu_seconds", "CPU time of this process.", cpu);
    all.one(Kind::Gauge, "process_open_fds", "Files that this process has open.", number(host::open_fds()));
    all.one(Kind::Gauge, "punchgate_host_load1", "Load of the machine, over a minute.", host::load());
    let memory = number(host::memory().map(|memory| memory.available));
    all.one(Kind::Gauge, "punchgate_host_memory_available_bytes", "Memory that programs can still have.", memory);
    let degrees = host::temperature_c();
    all.one(Kind::Gauge, "punchgate_host_temperature_celsius", "The hottest place that the kernel knows.", degrees);
}

fn wrong(sources: &Sources, all: &mut Snapshot) {
    let conditions = sources.health.conditions();
    let count = |severity| conditions.iter().filter(|it| it.kind.severity == severity).count() as f64;
    let high = Some(count(Severity::High));
    all.one(Kind::Gauge, "punchgate_conditions_high", "Conditions of high severity that are shown.", high);
    let medium = Some(count(Severity::Medium));
    all.one(Kind::Gauge, "punchgate_conditions_medium", "Conditions of medium severity that are shown.", medium);
    let low = Some(count(Severity::Low));
    all.one(Kind::Gauge, "punchgate_conditions_low", "Conditions of low severity that are shown.", low);
    let mut by_code: std::collections::BTreeMap<_, f64> = std::collections::BTreeMap::new();
    for condition in &conditions {
        *by_code.entry((condition.kind.code, condition.kind.severity.name())).or_default() += 1.0;
    }
    let labels = |(code, severity): (&str, &str)| vec![("code", code.to_owned()), ("severity", severity.to_owned())];
    let by_code = by_code.into_iter().map(|(key, count)| (labels(key), count)).collect();
    all.many(Kind::Gauge, "punchgate_condition", "Whom a condition is about: how many of each code.", by_code);
    let open = sources.incidents.open_now();
    let (late, all_open) = (open.iter().filter(|it| it.breached.is_some()).count() as f64, open.len() as f64);
    all.one(Kind::Gauge, "punchgate_incidents_open", "Incidents that are open.", Some(all_open));
    all.one(Kind::Gauge, "punchgate_incidents_late", "Open incidents whose target has passed.", Some(late));
    let breaches = sources.incidents.breaches() as f64;
    all.one(Kind::Counter, "punchgate_incident_breaches", "Incidents whose target has passed, ever.", Some(breaches));
}

fn terminals(sources: &Sources, all: &mut Snapshot) {
    let terminals = sources.health.terminals();
    let online = terminals.values().filter(|it| it.state == TerminalState::Online).count() as f64;
    let count = terminals.len() as f64;
    all.one(Kind::Gauge, "punchgate_terminals", "Terminals of the config.", Some(count));
    all.one(Kind::Gauge, "punchgate_terminals_online", "Terminals that are served.", Some(online));
    let gaps = terminals.values().map(|it| it.gaps_open).sum::<u64>() as f64;
    all.one(
        Kind::Gauge,
        "punchgate_gaps_open_punches",
        "Punches known to be missing here, and not read yet.",
        Some(gaps),
    );
    let skews = terminals.values().filter_map(|it| it.clock.skew_ms);
    let worst = skews.map(i64::unsigned_abs).max().map(|ms| ms as f64 / 1e3);
    all.one(Kind::Gauge, "punchgate_clock_skew_worst_seconds", "How far the worst terminal's clock is off.", worst);
    let more = terminals.len().saturating_sub(TERMINALS) as f64;
    all.one(
        Kind::Gauge,
        "punchgate_terminals_without_series",
        "Terminals that have no series of their own.",
        Some(more),
    );

    let ledgers = sources.spool.status().ledgers;
    let stored = |name: &str| {
        let mine = ledgers.iter().filter(|it| it.ledger.terminal == name);
        mine.map(|it| it.punches).sum::<u64>() as f64
    };
    let mut each = |kind, name, help, value: &dyn Fn(&str, &crate::health::TerminalHealth) -> Option<f64>| {
        let label = |terminal: &str| vec![("terminal", terminal.to_owned())];
        let known = terminals.iter().take(TERMINALS);
        let samples = known.filter_map(|(terminal, it)| Some((label(terminal), value(terminal, it)?)));
        all.many(kind, name, help, samples.collect());
    };
    each(Kind::Gauge, "punchgate_terminal_up", "Whether a terminal is served.", &|_, it| {
        Some(f64::from(it.state == TerminalState::Online))
    });
    each(Kind::Counter, "punchgate_terminal_punches", "Punches of a terminal on this store.", &|name, _| {
        Some(stored(name))
    });
    each(
        Kind::Gauge,
        "punchgate_terminal_last_punch_timestamp_seconds",
        "When a terminal was last punched at.",
        &|_, it| it.last_punch.map(|at| at.as_second() as f64),
    );
    each(Kind::Gauge, "punchgate_terminal_clock_skew_seconds", "A terminal's clock minus ours.", &|_, it| {
        it.clock.skew_ms.map(|ms| ms as f64 / 1e3)
    });
    each(
        Kind::Gauge,
        "punchgate_terminal_gaps_open_punches",
        "Punches of a terminal that are missing here.",
        &|_, it| Some(it.gaps_open as f64),
    );
    each(Kind::Counter, "punchgate_terminal_failed_reads", "Reads of a terminal's log that failed.", &|_, it| {
        Some(it.failed_reads as f64)
    });
    each(Kind::Gauge, "punchgate_terminal_log_used_ratio", "How full a terminal's log is.", &|_, it| {
        Some(it.records? as f64 / it.capacity.filter(|capacity| *capacity > 0)? as f64)
    });
}
