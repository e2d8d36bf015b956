//! What the parts know, put together for those who look: topics, the local command line, systemd.

mod incidents;
mod judge;
pub mod lines;
mod numbers;
mod trust;

use std::{path::PathBuf, sync::Arc, time::Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    command::{COMMANDS, Class, Policy, PublicKey},
    courier::{LinkState, LinkStatus},
    drivers::{DRIVERS, find},
    health::{Condition, Health, HealthSettings, Severity, TerminalState},
    host::{self, Host},
    incident::Incidents,
    spool::{Spool, SpoolStatus},
    wire::{
        Birth, GatewayState,
        birth::{Driver, LedgerHead, Terminal},
        health as doc,
    },
};

pub use incidents::{incidents, seen};
pub use judge::judge;
pub use numbers::numbers;

/// Lost ranges of a ledger that are told in `birth`.
const LOST_TOLD: usize = 16;

/// Everything that is looked at.
#[derive(Clone)]
pub struct Sources {
    pub tenant: String,
    pub gateway: String,
    pub started: Instant,
    pub health: Health,
    pub spool: Spool,
    pub link: watch::Receiver<LinkStatus>,
    pub clock: Arc<Clock>,
    /// With which this gateway's answers are signed.
    pub key: PublicKey,
    /// Who may order what.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// Starts on this store, this one included.
    pub boots: Option<u64>,
    pub host: Arc<Host>,
    pub state_dir: PathBuf,
    /// Punches are refused below it.
    pub min_free_bytes: u64,
    pub site: HealthSettings,
    pub incidents: Incidents,
}

/// Online, or degraded by what is wrong with the gateway itself.
pub fn state(sources: &Sources) -> (GatewayState, Option<String>) {
    match sources.health.conditions().iter().find(|condition| condition.kind.severity == Severity::High) {
        Some(worst) => (GatewayState::Degraded, Some(worst.kind.code.to_owned())),
        None => (GatewayState::Online, None),
    }
}

/// The whole state in one line.
pub fn headline(sources: &Sources) -> String {
    crate::console::headline(&lines::conditions(sources))
}

/// Who this gateway is.
pub fn birth(sources: &Sources) -> Birth {
    let terminals = sources.health.terminals().into_iter().map(|(name, terminal)| Terminal {
        name,
        driver: terminal.driver.to_owned(),
        operations: find(terminal.driver)
            .map(|kind| kind.operations.iter().map(|operation| (*operation).to_owned()).collect())
            .unwrap_or_default(),
    });
    let ledgers = sources.spool.status().ledgers.into_iter().map(|status| LedgerHead {
        terminal: status.ledger.terminal.clone(),
        serial: status.ledger.serial.clone(),
        ledger: status.ledger.begun,
        last: status.next - 1,
        head: status.head,
        lost: status.lost[status.lost.len().saturating_sub(LOST_TOLD)..].to_vec(),
    });
    let policy = sources.policy.borrow().clone();
    let may = COMMANDS.iter().filter(|spec| spec.class != Class::Dangerous || policy.allow.contains(spec.name));
    Birth {
        version: env!("CARGO_PKG_VERSION").into(),
        epoch: Timestamp::now().as_millisecond().unsigned_abs(),
        drivers: DRIVERS.iter().map(|kind| Driver { name: kind.name.into(), delivery: kind.delivery }).collect(),
        terminals: terminals.collect(),
        ledgers: ledgers.collect(),
        key_ids: policy.operators.iter().map(|operator| operator.key.id().to_string()).collect(),
        gateway_key: sources.key.to_string(),
        commands: may.map(|spec| spec.name.to_owned()).collect(),
    }
}

/// The document `health`.
pub fn gateway(sources: &Sources) -> doc::GatewayHealth {
    let spool = sources.spool.status();
    let link = sources.link.borrow().clone();
    let terminals = sources.health.terminals();
    let queue = spool.queues.first();
    let millis = |time: std::time::Duration| Some(time.as_secs_f64() * 1e3);
    doc::GatewayHealth {
        at: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_s: sources.started.elapsed().as_secs(),
        boots: sources.boots,
        terminals: terminals.len() as u64,
        terminals_online: terminals.values().filter(|it| it.state == TerminalState::Online).count() as u64,
        queue: doc::Queue {
            undelivered: queue.map_or(0, |queue| queue.undelivered),
            oldest: queue.and_then(|queue| queue.oldest),
            bytes: queue.map(|queue| queue.bytes),
            hours_left: hours_left(sources, &spool),
            unsendable: link.unsendable,
        },
        store: doc::Store {
            commit_p50_ms: millis(spool.commits.p50).filter(|_| spool.commits.count > 0),
            commit_p99_ms: millis(spool.commits.p99).filter(|_| spool.commits.count > 0),
            free_bytes: spool.free_bytes,
        },
        link: doc::Link {
            state: link.state.name().into(),
            since: link.since,
            broker: link.broker.as_ref().map(ToString::to_string),
            round_trip_ms: link.round_trip.and_then(millis),
            certificate_days: link.certificate_days(),
            broker_certificate_days: link.broker_certificate_days(),
            in_flight: link.counters.in_flight as u64,
            published: link.counters.published,
            acked: link.counters.acked,
            refused: link.counters.refused,
            reconnects: link.reconnects(),
        },
        process: process(sources),
        host: machine(sources),
        conditions: conditions(sources, |condition| {
            !condition.subject.as_ref().is_some_and(|subject| terminals.contains_key(subject))
        }),
        conditions_left_out: 0,
    }
}

/// The documents `health/{terminal}`.
pub fn terminals(sources: &Sources) -> Vec<(String, doc::TerminalHealth)> {
    let ledgers = sources.spool.status().ledgers;
    let one = |(name, it): (String, crate::health::TerminalHealth)| {
        let mine = || ledgers.iter().filter(|status| status.ledger.terminal == name);
        let document = doc::TerminalHealth {
            at: Timestamp::now(),
            terminal: name.clone(),
            driver: it.driver.into(),
            delivery: it.delivery,
            state: match it.state {
                TerminalState::Connecting => doc::TerminalStanding::Connecting,
                TerminalState::Online => doc::TerminalStanding::Online,
                TerminalState::Offline => doc::TerminalStanding::Offline,
                TerminalState::Refused => doc::TerminalStanding::Refused,
            },
            since: it.since,
            last_seen: it.last_seen,
            last_punch: it.last_punch,
            serial: it.serial,
            model: it.model,
            firmware: it.firmware,
            platform: it.platform,
            clock: it.clock,
            records: it.records,
            capacity: it.capacity,
            users: it.users,
            round_trip_ms: it.round_trip_ms,
            failed_reads: it.failed_reads,
            twins_dropped: Some(mine().map(|status| status.twins_dropped).sum()),
            quarantined: Some(mine().map(|status| status.set_aside).sum()),
            gaps_open: it.gaps_open,
            passages: it.passages,
            biometrics_dropped: it.biometrics_dropped,
            conditions: conditions(sources, |condition| condition.subject.as_deref() == Some(&name)),
            conditions_left_out: 0,
        };
        (name, document)
    };
    sources.health.terminals().into_iter().map(one).collect()
}

/// What is wrong, as far as it is wanted; worst first.
pub fn conditions(sources: &Sources, wanted: impl Fn(&Condition) -> bool) -> Vec<doc::Condition> {
    let words = |words: crate::health::Words| doc::Words { en: words.en.into(), zh: words.zh.into() };
    let shown = sources.health.conditions().into_iter().filter(|condition| wanted(condition));
    let one = |condition: Condition| doc::Condition {
        code: condition.kind.code.into(),
        subject: condition.subject,
        severity: match condition.kind.severity {
            Severity::High => doc::Severity::High,
            Severity::Medium => doc::Severity::Medium,
            Severity::Low => doc::Severity::Low,
        },
        since: condition.since,
        title: words(condition.kind.title),
        cause: condition.cause,
        text: words(condition.kind.text),
        mend: words(condition.kind.mend),
    };
    shown.map(one).collect()
}

/// Whether the link is up.
pub(crate) fn link_up(link: &LinkStatus) -> bool {
    link.state == LinkState::Up
}

fn process(sources: &Sources) -> doc::Process {
    doc::Process { rss_bytes: host::rss_bytes(), cpu_percent: sources.host.cpu_percent(), open_fds: host::open_fds() }
}

fn machine(sources: &Sources) -> doc::Host {
    doc::Host {
        clock_source: sources.host.clock_source(),
        clock_offset_ms: host::clock_offset_ms(),
        clock_trusted: sources.clock.doubt().is_none(),
        clock_floor: sources.clock.floor_time(),
        load: host::load(),
        disk_used_percent: host::disk_used_percent(&sources.state_dir),
        temperature_c: host::temperature_c(),
    }
}

/// For how long the free disk takes punches at their present pace.
fn hours_left(sources: &Sources, spool: &SpoolStatus) -> Option<f64> {
    sources.host.hours_left(spool.free_bytes?.saturating_sub(sources.min_free_bytes))
}
