//! Turns what spool, courier, clock and machine say of themselves into conditions.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

use super::{Sources, hours_left, trust::trust_list_ends};
use crate::{
    courier::{LinkState, LinkStatus},
    health::{Code, Health},
    host::{self, Memory},
    spool::{Finding, FindingKind, OpenLoss, SpoolStatus, SpoolTrouble},
};

/// The disk is slow when half of the last commits took so long, and is no more when they took half of it.
const SLOW: Duration = Duration::from_millis(250);
/// So few commits say nothing of the disk.
const FEW: u64 = 20;
/// The disk is told of when it takes the present pace for so long, in hours.
const HOURS_LEFT: f64 = 48.0;
const HOT: f64 = 85.0;
const WORN: u8 = 80;

/// Looks at everything, and raises and clears what follows from it.
pub fn judge(sources: &Sources) {
    let status = sources.spool.status();
    sources.host.look(status.ledgers.iter().map(|ledger| ledger.punches).sum());
    let (troubles, findings) = (sources.spool.troubles(), sources.spool.findings());
    let link = sources.link.borrow().clone();
    let facts = Facts {
        spool: &status,
        troubles: &troubles,
        findings: &findings,
        hours_left: hours_left(sources, &status),
        min_free_bytes: sources.min_free_bytes,
        link: &link,
        doubt: sources.clock.doubt(),
        stepped: sources.clock.stepped(),
        memory: host::memory(),
        temperature_c: host::temperature_c(),
        wear_percent: host::wear_percent(&sources.state_dir),
        ports: host::ports(),
        before: [Code::IndexRebuilt, Code::StoreRestored].map(|code| (code, sources.health.known(code))),
        backups: sources.site.backups.iter().map(|(file, most)| Backup::look(file, *most)).collect(),
    };
    for (code, verdict) in facts.verdicts() {
        match verdict {
            Verdict::So(cause) => sources.health.raise(code, None, cause),
            Verdict::Well => sources.health.clear(code, None),
            Verdict::Unknown => {}
        }
    }
    judge_losses(&sources.health, &status);
    let ends = trust_list_ends(&sources.policy.borrow(), Timestamp::now().as_second());
    sources.health.set(Code::TrustListEnds, None, ends);
}

/// Everything that is judged, as it was when one looked.
struct Facts<'a> {
    spool: &'a SpoolStatus,
    troubles: &'a [SpoolTrouble],
    findings: &'a [Finding],
    hours_left: Option<f64>,
    min_free_bytes: u64,
    link: &'a LinkStatus,
    /// Why our own clock may not be believed.
    doubt: Option<String>,
    /// By which step it is not where it was.
    stepped: Option<String>,
    memory: Option<Memory>,
    temperature_c: Option<f64>,
    wear_percent: Option<u8>,
    /// Network ports with a link, and all.
    ports: Option<(usize, usize)>,
    /// What happened once and is told for some days, as it is known from before a restart: since when, and what.
    before: [(Code, Option<(Timestamp, String)>); 2],
    backups: Vec<Backup>,
}

/// How old the last backup is.
struct Backup {
    file: String,
    most: Duration,
    /// Why nobody knows, or how old.
    age: Result<Duration, String>,
}

enum Verdict {
    So(String),
    Well,
    /// Neither: what was said before holds.
    Unknown,
}

impl From<Option<String>> for Verdict {
    fn from(cause: Option<String>) -> Self {
        cause.map_or(Self::Well, Self::So)
    }
}

impl Facts<'_> {
    fn verdicts(&self) -> Vec<(Code, Verdict)> {
        // Something that is done with is not told for ever to whoever never restarts.
        let now = Timestamp::now();
        let young = |at: Timestamp, days: i64| now.duration_since(at).as_hours() < days.saturating_mul(24);
        let last = |kind, days: i64| {
            let told = |it: &&Finding| it.kind == kind && young(it.at, days);
            self.findings.iter().rev().find(told).map(|finding| finding.text.clone())
        };
        // A restart ends no such thing: who was not there yesterday would not hear of it.
        let once = |code, kind, days| {
            let before = self.before.iter().find(|(of, _)| *of == code).and_then(|(_, known)| known.clone());
            last(kind, days).or_else(|| before.filter(|(since, _)| young(*since, days)).map(|(_, cause)| cause))
        };
        let full = self.troubles.iter().find_map(|trouble| match trouble {
            SpoolTrouble::DiskFull(cause) => Some(cause.clone()),
            _ => None,
        });
        let failed = self.troubles.iter().rev().find(|trouble| !matches!(trouble, SpoolTrouble::DiskFull(_)));
        let unsendable = self.link.unsendable;
        let mut verdicts = vec![
            (Code::DiskFull, full.into()),
            (Code::DiskFailed, failed.map(ToString::to_string).into()),
            (Code::DiskNearlyFull, self.nearly_full().into()),
            (Code::DiskSlow, self.slow()),
            (Code::DiskWorn, self.worn().into()),
            (Code::JournalDamaged, last(FindingKind::Damage, i64::MAX).into()),
            (Code::IndexRebuilt, once(Code::IndexRebuilt, FindingKind::IndexRebuilt, 1).into()),
            (Code::StoreRestored, once(Code::StoreRestored, FindingKind::Restored, 7).into()),
            (Code::PunchUnsendable, (unsendable > 0).then(|| format!("{unsendable} punches are too large")).into()),
            (Code::ClockNotTrusted, self.doubt.clone().into()),
            (Code::ClockStepped, self.stepped.clone().into()),
            (Code::NetworkDown, self.network().into()),
            (Code::MemoryLow, self.memory_low().into()),
            (Code::GatewayHot, self.hot()),
            (Code::BackupTooOld, self.backups.iter().find_map(Backup::too_old).into()),
        ];
        verdicts.extend(self.broker());
        verdicts.extend(self.certificates());
        verdicts
    }

    fn nearly_full(&self) -> Option<String> {
        let room = self.spool.free_bytes?;
        let few_hours = self.hours_left.is_some_and(|hours| hours < HOURS_LEFT);
        (room < self.min_free_bytes.saturating_mul(2) || few_hours).then(|| match self.hours_left {
            Some(hours) => format!("{} MiB are free, enough for {hours:.0} hours", room >> 20),
            None => format!("{} MiB are free", room >> 20),
        })
    }

    fn slow(&self) -> Verdict {
        let times = &self.spool.commits;
        match times.p50 {
            _ if times.count < FEW => Verdict::Well,
            p50 if p50 >= SLOW => Verdict::So(format!(
                "half of the last commits took {} ms and more, one in a hundred {} ms",
                p50.as_millis(),
                times.p99.as_millis()
            )),
            p50 if p50 < SLOW / 2 => Verdict::Well,
            _ => Verdict::Unknown,
        }
    }

    fn worn(&self) -> Option<String> {
        let percent = self.wear_percent.filter(|percent| *percent >= WORN)?;
        Some(format!("{percent} percent and more of its life are used"))
    }

    /// Unreachable, refusing, or neither; while it is tried for the first time nobody knows.
    fn broker(&self) -> [(Code, Verdict); 2] {
        let words = |refuses| {
            let cause = self.link.cause.as_ref().filter(|cause| cause.refuses == refuses);
            cause.map(|cause| format!("{}: {}", cause.broker, cause.words))
        };
        match (self.link.state, &self.link.cause) {
            (LinkState::Connecting, None) => {
                [(Code::BrokerUnreachable, Verdict::Unknown), (Code::BrokerRefuses, Verdict::Unknown)]
            }
            _ => [
                (Code::BrokerUnreachable, words(false).into()),
                (Code::BrokerRefuses, words(true).or_else(|| self.link.refusal.clone()).into()),
            ],
        }
    }

    /// Whichever ends first, ours or the broker's.
    fn certificates(&self) -> [(Code, Verdict); 3] {
        let both = [(self.link.certificate_days(), "ours"), (self.link.broker_certificate_days(), "the broker's")];
        let next = both.into_iter().filter_map(|(days, whose)| Some((days?, whose))).min();
        let within = |most: i64| -> Verdict {
            let (days, whose) = match next {
                Some(next) if next.0 <= most => next,
                Some(_) => return Verdict::Well,
                // What a broker shows is known only while it is there.
                None => return Verdict::Unknown,
            };
            Verdict::So(match days {
                ..0 => format!("{whose} has ended"),
                0 => format!("{whose} ends today"),
                1 => format!("{whose} has 1 day left"),
                days => format!("{whose} has {days} days left"),
            })
        };
        [
            (Code::CertificateExpires, within(30)),
            (Code::CertificateExpiresSoon, within(7)),
            (Code::CertificateEnds, within(1)),
        ]
    }

    fn network(&self) -> Option<String> {
        let (up, all) = self.ports?;
        (all > 0 && up == 0).then(|| format!("none of its {all} network ports has a link"))
    }

    fn memory_low(&self) -> Option<String> {
        let Memory { available, total } = self.memory?;
        (available < (total / 20).min(256 << 20))
            .then(|| format!("{} of {} MiB can still be had", available >> 20, total >> 20))
    }

    fn hot(&self) -> Verdict {
        match self.temperature_c {
            Some(degrees) if degrees >= HOT => Verdict::So(format!("it has {degrees:.0} degrees Celsius")),
            Some(degrees) if degrees > HOT - 5.0 => Verdict::Unknown,
            _ => Verdict::Well,
        }
    }
}

impl Backup {
    fn look(file: &Path, most: Duration) -> Self {
        let age = fs::metadata(file).and_then(|meta| meta.modified()).map_err(|error| error.to_string());
        // A backup from the future is as young as can be.
        let age = age.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        Self { file: file.display().to_string(), most, age }
    }

    fn too_old(&self) -> Option<String> {
        let days = |time: &Duration| format!("{:.1} days", time.as_secs_f64() / 86_400.0);
        match &self.age {
            Ok(age) if *age <= self.most => None,
            Ok(age) => Some(format!("{} was touched {} ago; {} are allowed", self.file, days(age), days(&self.most))),
            Err(error) => Some(format!("{}: {error}", self.file)),
        }
    }
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

#[cfg(test)]
mod tests;
