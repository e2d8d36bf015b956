//! The same for the local command line.

use jiff::{Timestamp, tz::TimeZone};

use super::{Sources, link_up};
use crate::{
    console::{ConditionLine, ConditionWords, Link, OwnClock, Queue, Status, TerminalCount, TerminalLine, headline},
    health::TerminalState,
    host,
};

pub fn status(sources: &Sources) -> Status {
    super::judge(sources);
    let spool = sources.spool.status();
    let link = sources.link.borrow().clone();
    let terminals = sources.health.terminals();
    let conditions = conditions(sources);
    let queue = spool.queues.first();
    Status {
        headline: headline(&conditions),
        tenant: sources.tenant.clone(),
        gateway: sources.gateway.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        key: sources.key.to_string(),
        state: if link_up(&link) { "online".into() } else { link.state.name().into() },
        uptime_s: sources.started.elapsed().as_secs(),
        queue: Queue {
            undelivered: queue.map_or(0, |queue| queue.undelivered),
            oldest: queue.and_then(|queue| queue.oldest),
            bytes: queue.map_or(0, |queue| queue.bytes),
            hours_left: super::hours_left(sources, &spool),
        },
        link: Link {
            state: link.state.name().into(),
            since: Some(link.since),
            broker: link.broker.as_ref().map(ToString::to_string),
            cause: link.cause.as_ref().map(|cause| cause.words.clone()),
        },
        terminals: TerminalCount {
            online: terminals.values().filter(|it| it.state == TerminalState::Online).count(),
            total: terminals.len(),
        },
        clock: OwnClock {
            source: sources.host.clock_source(),
            offset_ms: host::clock_offset_ms(),
            doubt: sources.clock.doubt(),
            floor: sources.clock.floor_time(),
        },
        conditions,
    }
}

pub fn terminals(sources: &Sources) -> Vec<TerminalLine> {
    let ledgers = sources.spool.status().ledgers;
    let one = |(name, it): (String, crate::health::TerminalHealth)| {
        let mine = || ledgers.iter().filter(|status| status.ledger.terminal == name);
        let (unserved, cause) = sources.health.unserved_by(&name).unzip();
        TerminalLine {
            unserved: unserved.map(|code| code.kind().code.into()),
            cause,
            driver: it.driver.into(),
            delivery: it.delivery,
            state: it.state.name().into(),
            since: it.since,
            last_seen: it.last_seen,
            last_punch: it.last_punch,
            skew_ms: it.clock.skew_ms,
            records: it.records,
            capacity: it.capacity,
            serial: it.serial,
            firmware: it.firmware,
            punches: mine().map(|status| status.punches).sum(),
            twins: mine().map(|status| status.twins_dropped).sum(),
            set_aside: mine().map(|status| status.set_aside).sum(),
            name,
        }
    };
    sources.health.terminals().into_iter().map(one).collect()
}

pub fn conditions(sources: &Sources) -> Vec<ConditionLine> {
    let one = |condition: crate::health::Condition| ConditionLine {
        code: condition.kind.code.into(),
        subject: condition.subject,
        severity: condition.kind.severity.name().into(),
        since: condition.since,
        title: condition.kind.title.en.into(),
        cause: condition.cause,
        text: condition.kind.text.en.into(),
        mend: condition.kind.mend.en.into(),
        zh: ConditionWords {
            title: condition.kind.title.zh.into(),
            text: condition.kind.text.zh.into(),
            mend: condition.kind.mend.zh.into(),
        },
    };
    sources.health.conditions().into_iter().map(one).collect()
}

/// A moment by this machine's clock, with its offset: it stands beside times of terminals.
pub fn moment(instant: Timestamp) -> String {
    instant.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// How terminals and the way to the broker stand, in words; and what is wrong with them.
pub fn standing(sources: &Sources, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    super::judge(sources);
    let mut said = Vec::new();
    for (name, it) in sources.health.terminals().into_iter().filter(|(name, _)| wanted(name)) {
        let mut line = format!("{name} is {} since {}", it.state.name(), moment(it.since));
        if let Some(records) = it.records {
            line += &format!("; it says that it holds {records} records");
        }
        if it.gaps_open > 0 {
            line += &format!("; {} of them are missing here", it.gaps_open);
        }
        if let Some(skew) = it.clock.skew_ms {
            line += &format!("; its clock is off by {skew} ms");
        }
        said.push(line);
    }
    let link = sources.link.borrow().clone();
    let spool = sources.spool.status();
    let waiting = spool.queues.first().map_or(0, |queue| queue.undelivered);
    said.push(format!(
        "the broker is {} since {}; {waiting} punches wait for it",
        link.state.name(),
        moment(link.since)
    ));
    let about = |it: &ConditionLine| it.subject.as_deref().is_none_or(&wanted);
    for it in conditions(sources).into_iter().filter(about) {
        let subject = it.subject.map(|subject| format!("{subject}: ")).unwrap_or_default();
        said.push(format!("{subject}{} ({}). {}", it.title, it.cause, it.mend));
    }
    said
}
