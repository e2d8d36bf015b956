//! What the parts know, put together for those who look: topics, the local command line, systemd.

pub mod lines;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    command::{COMMANDS, Class, Policy, PublicKey},
    courier::{LinkState, LinkStatus},
    drivers::{DRIVERS, find},
    health::{Code, Condition, Health, Severity, TerminalState},
    host::{self, Host},
    spool::{Finding, FindingKind, OpenLoss, Spool, SpoolStatus, SpoolTrouble},
    wire::{
        Birth, GatewayState,
        birth::{Driver, LedgerHead, Terminal},
        health as doc,
    },
};

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
}

/// Turns what spool and courier say of themselves into conditions.
pub fn judge(sources: &Sources) {
    let Sources { health, spool, link, .. } = sources;
    let (mut full, mut failed) = (None, None);
    for trouble in spool.troubles() {
        match trouble {
            SpoolTrouble::DiskFull(cause) => full = Some(cause),
            other => failed = Some(other.to_string()),
        }
    }
    health.set(Code::DiskFull, None, full);
    health.set(Code::DiskFailed, None, failed);
    let status = spool.status();
    sources.host.look(status.ledgers.iter().map(|ledger| ledger.punches).sum());
    let room = status.free_bytes.unwrap_or(u64::MAX);
    let nearly = (room < sources.min_free_bytes.saturating_mul(2)).then(|| match hours_left(sources, &status) {
        Some(hours) => format!("{} MiB are free, enough for {hours:.0} hours", room >> 20),
        None => format!("{} MiB are free", room >> 20),
    });
    health.set(Code::DiskNearlyFull, None, nearly);
    let findings = spool.findings();
    let now = Timestamp::now();
    // Something that is done with is not told for ever to whoever never restarts.
    let last = |kind, days: i64| {
        let told = |it: &&Finding| it.kind == kind && now.duration_since(it.at).as_hours() < days.saturating_mul(24);
        findings.iter().rev().find(told).map(|finding| finding.text.clone())
    };
    health.set(Code::JournalDamaged, None, last(FindingKind::Damage, i64::MAX));
    judge_losses(health, &status);
    health.set(Code::IndexRebuilt, None, last(FindingKind::IndexRebuilt, 1));
    health.set(Code::StoreRestored, None, last(FindingKind::Restored, 7));
    let link = link.borrow().clone();
    let cause = link.cause.as_ref();
    let words = |refuses| {
        cause.filter(|cause| cause.refuses == refuses).map(|cause| format!("{}: {}", cause.broker, cause.words))
    };
    health.set(Code::BrokerUnreachable, None, words(false));
    health.set(Code::BrokerRefuses, None, words(true).or_else(|| link.refusal.clone()));
    let unsendable = (link.unsendable > 0).then(|| format!("{} punches are too large", link.unsendable));
    health.set(Code::PunchUnsendable, None, unsendable);
    let days = link.certificate_days().filter(|days| *days <= 30);
    health.set(Code::ClockNotTrusted, None, sources.clock.doubt());
    health.set(Code::CertificateExpires, None, days.map(|days| format!("{days} days left")));
}

/// Numbers that the journal lost, for each terminal: until somebody has taken note, or as many punches came again.
fn judge_losses(health: &Health, status: &SpoolStatus) {
    let mut told: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ledger in &status.ledgers {
        for loss in ledger.open_losses.iter().filter(|loss| loss.first <= loss.last) {
            let OpenLoss { first, last, at, back } = loss;
            let numbers = if first == last { first.to_string() } else { format!("{first} to {last}") };
            let words = format!(
                "punches {numbers} of ledger {} were found lost at {at}; {back} of {} have come again since",
                ledger.ledger.begun,
                last - first + 1
            );
            told.entry(&ledger.ledger.terminal).or_default().push(words);
        }
    }
    health.keep(Code::PunchesLost, |terminal| told.contains_key(terminal));
    for (terminal, words) in told {
        health.raise(Code::PunchesLost, Some(terminal), words.join("; "));
    }
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
        load: host::load(),
        disk_used_percent: host::disk_used_percent(&sources.state_dir),
        temperature_c: host::temperature_c(),
    }
}

/// For how long the free disk takes punches at their present pace.
fn hours_left(sources: &Sources, spool: &SpoolStatus) -> Option<f64> {
    sources.host.hours_left(spool.free_bytes?.saturating_sub(sources.min_free_bytes))
}
