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
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        courier::Cause,
        mqtt::{BrokerUrl, FailureKind},
        spool::CommitTimes,
    };

    fn spool() -> SpoolStatus {
        SpoolStatus {
            queues: vec![],
            ledgers: vec![],
            commits: CommitTimes { p50: Duration::from_millis(2), p99: Duration::from_millis(9), count: 1000 },
            free_bytes: Some(1 << 30),
            journal_bytes: 0,
            index_bytes: 0,
            twins_dropped: 0,
            set_aside: 0,
            troubles: vec![],
            findings: vec![],
        }
    }

    fn link() -> LinkStatus {
        LinkStatus {
            state: LinkState::Up,
            since: Timestamp::now(),
            broker: None,
            cause: None,
            refusal: None,
            unsendable: 0,
            round_trip: None,
            certificate_ends: Some(in_days(200)),
            broker_certificate_ends: Some(in_days(200)),
            counters: Default::default(),
            beat: 0,
        }
    }

    fn in_days(days: i64) -> Timestamp {
        Timestamp::from_second(Timestamp::now().as_second() + days * 86_400 + 60).unwrap()
    }

    fn facts<'a>(spool: &'a SpoolStatus, link: &'a LinkStatus) -> Facts<'a> {
        Facts {
            spool,
            troubles: &[],
            findings: &[],
            hours_left: None,
            min_free_bytes: 64 << 20,
            link,
            doubt: None,
            memory: Some(Memory { available: 1 << 30, total: 4 << 30 }),
            temperature_c: Some(50.0),
            wear_percent: Some(10),
            ports: Some((1, 2)),
            before: [(Code::IndexRebuilt, None), (Code::StoreRestored, None)],
            backups: vec![],
        }
    }

    /// What is told of these facts, once the same was well.
    fn told(facts: &Facts<'_>) -> Vec<&'static str> {
        let so = facts.verdicts().into_iter().filter(|(_, verdict)| matches!(verdict, Verdict::So(_)));
        so.map(|(code, _)| code.kind().code).collect()
    }

    #[test]
    fn a_gateway_that_is_well_has_no_condition() {
        assert_eq!(told(&facts(&spool(), &link())), [""; 0]);
    }

    #[test]
    fn each_trouble_of_the_store_and_the_machine_has_its_condition() {
        let (well, up) = (spool(), link());
        let with = |edit: &dyn Fn(&mut Facts<'_>)| {
            let mut facts = facts(&well, &up);
            edit(&mut facts);
            told(&facts)
        };
        let full = [SpoolTrouble::DiskFull("1 MiB".into())];
        let failed = [SpoolTrouble::IndexFailed("x".into())];
        let finding = |kind| [Finding { at: Timestamp::now(), kind, text: "x".into() }];
        let (damage, rebuilt, restored) =
            (finding(FindingKind::Damage), finding(FindingKind::IndexRebuilt), finding(FindingKind::Restored));
        // Whoever shortens the life of what is handed in here would only make a test longer.
        let mut it = facts(&well, &up);
        it.troubles = &full;
        assert_eq!(told(&it), ["disk-full"]);
        it.troubles = &failed;
        assert_eq!(told(&it), ["disk-failed"]);
        it.troubles = &[];
        for (findings, code) in
            [(&damage, "journal-damaged"), (&rebuilt, "index-rebuilt"), (&restored, "store-restored")]
        {
            it.findings = findings;
            assert_eq!(told(&it), [code]);
        }
        let old = |kind, days: i64| {
            let at = Timestamp::now() - jiff::SignedDuration::from_hours(days * 24 + 1);
            [Finding { at, kind, text: "x".into() }]
        };
        let (damage, rebuilt, restored) =
            (old(FindingKind::Damage, 90), old(FindingKind::IndexRebuilt, 1), old(FindingKind::Restored, 7));
        it.findings = &damage;
        assert_eq!(told(&it), ["journal-damaged"], "it is over when it is repaired");
        for findings in [&rebuilt, &restored] {
            it.findings = findings;
            assert_eq!(told(&it), [""; 0]);
        }
        it.findings = &[];
        assert_eq!(told(&it), [""; 0]);
        assert_eq!(with(&|it| it.hours_left = Some(40.0)), ["disk-nearly-full"]);
        assert_eq!(with(&|it| it.hours_left = Some(100.0)), [""; 0]);
        assert_eq!(with(&|it| it.min_free_bytes = 600 << 20), ["disk-nearly-full"]);
        assert_eq!(with(&|it| it.wear_percent = Some(90)), ["disk-worn"]);
        assert_eq!(with(&|it| it.temperature_c = Some(86.0)), ["gateway-hot"]);
        assert_eq!(with(&|it| it.memory = Some(Memory { available: 9 << 20, total: 1 << 30 })), ["gateway-memory-low"]);
        assert_eq!(with(&|it| it.ports = Some((0, 2))), ["gateway-network-down"]);
        assert_eq!(with(&|it| it.ports = Some((0, 0))), [""; 0], "a machine without ports is a test's");
        assert_eq!(with(&|it| it.doubt = Some("1970".into())), ["gateway-clock-not-trusted"]);
        let slow = |p50, count| {
            let times = CommitTimes { p50: Duration::from_millis(p50), p99: Duration::from_secs(2), count };
            let spool = SpoolStatus { commits: times, ..spool() };
            told(&facts(&spool, &up))
        };
        assert_eq!((slow(300, 100), slow(300, 5), slow(200, 100)), (vec!["disk-slow"], vec![], vec![]));
    }

    #[test]
    fn what_happened_once_is_told_over_a_restart_for_its_days() {
        let (well, up) = (spool(), link());
        let days_ago = |days: i64| Timestamp::now() - jiff::SignedDuration::from_hours(days * 24 + 1);
        for (code, days) in [(Code::IndexRebuilt, 1), (Code::StoreRestored, 7)] {
            let of = |age| {
                let known = Some((days_ago(age), "it is a copy".to_owned()));
                let before = [(code, known), (Code::DiskFull, None)];
                told(&Facts { before, ..facts(&well, &up) })
            };
            assert_eq!((of(0), of(days - 1), of(days)), (vec![code.kind().code], vec![code.kind().code], vec![]));
        }
    }

    /// Each cause by itself: what follows from it is shown when it is due and not before, and is over when the cause is.
    #[tokio::test(start_paused = true)]
    async fn each_cause_is_a_condition_within_its_time_and_is_over_again() {
        let broker = BrokerUrl { host: "broker.example".into(), port: 8883, tls: true };
        let down = |refuses| {
            let (kind, words) = (FailureKind::Refused, "no".to_owned());
            let cause = Cause { broker: broker.clone(), kind, words, mend: "", refuses };
            LinkStatus { state: LinkState::Down, cause: Some(cause), ..link() }
        };
        let ends = |days| LinkStatus { certificate_ends: Some(in_days(days)), ..link() };
        let slow = CommitTimes { p50: Duration::from_secs(1), p99: Duration::from_secs(2), count: 100 };
        let (well, slow) = (spool(), SpoolStatus { commits: slow, ..spool() });
        let links = [
            (Code::BrokerUnreachable, down(false)),
            (Code::BrokerRefuses, down(true)),
            (Code::PunchUnsendable, LinkStatus { unsendable: 3, ..link() }),
            (Code::CertificateExpires, ends(20)),
            (Code::CertificateExpiresSoon, ends(6)),
            (Code::CertificateEnds, ends(0)),
        ];
        let (full, failed) = ([SpoolTrouble::DiskFull("x".into())], [SpoolTrouble::Unreadable("x".into())]);
        let finding = |kind| [Finding { at: Timestamp::now(), kind, text: "x".into() }];
        let [damage, rebuilt, restored] =
            [FindingKind::Damage, FindingKind::IndexRebuilt, FindingKind::Restored].map(finding);
        let up = link();
        let base = || facts(&well, &up);
        let mut cases: Vec<(Code, Facts<'_>)> = vec![
            (Code::DiskFull, Facts { troubles: &full, ..base() }),
            (Code::DiskFailed, Facts { troubles: &failed, ..base() }),
            (Code::DiskNearlyFull, Facts { hours_left: Some(10.0), ..base() }),
            (Code::DiskSlow, facts(&slow, &up)),
            (Code::DiskWorn, Facts { wear_percent: Some(95), ..base() }),
            (Code::MemoryLow, Facts { memory: Some(Memory { available: 1 << 20, total: 1 << 30 }), ..base() }),
            (Code::GatewayHot, Facts { temperature_c: Some(95.0), ..base() }),
            (Code::NetworkDown, Facts { ports: Some((0, 1)), ..base() }),
            (Code::ClockNotTrusted, Facts { doubt: Some("1970".into()), ..base() }),
            (Code::JournalDamaged, Facts { findings: &damage, ..base() }),
            (Code::IndexRebuilt, Facts { findings: &rebuilt, ..base() }),
            (Code::StoreRestored, Facts { findings: &restored, ..base() }),
        ];
        cases.extend(links.iter().map(|(code, link)| (*code, facts(&well, link))));
        let apply = |health: &Health, facts: &Facts<'_>| {
            for (code, verdict) in facts.verdicts() {
                match verdict {
                    Verdict::So(cause) => health.raise(code, None, cause),
                    Verdict::Well => health.clear(code, None),
                    Verdict::Unknown => {}
                }
            }
            health.conditions().into_iter().map(|it| it.kind.code).collect::<Vec<_>>()
        };
        for (code, facts) in &cases {
            let (health, kind) = (Health::default(), code.kind());
            let shown = apply(&health, facts);
            assert_eq!(shown.is_empty(), !kind.shown_after.is_zero(), "{}: {shown:?}", kind.code);
            tokio::time::advance(kind.shown_after).await;
            assert_eq!(apply(&health, facts), [kind.code]);
            apply(&health, &base());
            tokio::time::advance(kind.clears_after).await;
            assert_eq!(apply(&health, &base()), [""; 0], "{} does not end", kind.code);
        }
    }

    #[test]
    fn the_nearer_end_of_a_certificate_is_told_and_the_graver_condition_hides_the_others() {
        let well = spool();
        for (ours, theirs, expected) in [
            (31, 200, None),
            (30, 200, Some("certificate-expires")),
            (200, 8, Some("certificate-expires")),
            (7, 200, Some("certificate-expires-soon")),
            (200, 2, Some("certificate-expires-soon")),
            (1, 200, Some("certificate-ends")),
            (-3, 200, Some("certificate-ends")),
        ] {
            let up = LinkStatus {
                certificate_ends: Some(in_days(ours)),
                broker_certificate_ends: Some(in_days(theirs)),
                ..link()
            };
            let health = Health::default();
            for (code, verdict) in facts(&well, &up).verdicts() {
                if let Verdict::So(cause) = verdict {
                    health.raise(code, None, cause);
                }
            }
            let shown: Vec<_> = health.conditions().into_iter().map(|it| it.kind.code).collect();
            assert_eq!(shown, expected.into_iter().collect::<Vec<_>>(), "{ours} {theirs}");
        }
    }

    #[test]
    fn a_broker_that_is_tried_for_the_first_time_is_neither_here_nor_gone() {
        let well = spool();
        let broker = BrokerUrl { host: "broker.example".into(), port: 8883, tls: true };
        let cause = |refuses| Cause {
            broker: broker.clone(),
            kind: FailureKind::Refused,
            words: "no".into(),
            mend: "",
            refuses,
        };
        let at = |state, cause| {
            let link = LinkStatus { state, cause, certificate_ends: None, broker_certificate_ends: None, ..link() };
            let verdicts = facts(&well, &link).broker();
            verdicts.map(|(_, verdict)| match verdict {
                Verdict::So(_) => 'x',
                Verdict::Well => '-',
                Verdict::Unknown => '?',
            })
        };
        assert_eq!(at(LinkState::Connecting, None), ['?', '?']);
        assert_eq!(at(LinkState::Down, Some(cause(false))), ['x', '-']);
        assert_eq!(at(LinkState::Connecting, Some(cause(true))), ['-', 'x']);
        assert_eq!(at(LinkState::Up, None), ['-', '-']);
    }

    #[test]
    fn a_backup_is_as_old_as_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stamp");
        let too_old = || Backup::look(&file, Duration::from_secs(3600)).too_old();
        assert!(too_old().is_some_and(|why| why.contains("stamp")), "there never was one");
        fs::write(&file, "").unwrap();
        assert_eq!(too_old(), None);
        let long_ago = SystemTime::now() - Duration::from_secs(7200);
        fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
        assert!(too_old().is_some_and(|why| why.contains("0.1 days ago")), "{:?}", too_old());
    }
}
