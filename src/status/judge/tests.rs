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
        stepped: None,
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
    for (findings, code) in [(&damage, "journal-damaged"), (&rebuilt, "index-rebuilt"), (&restored, "store-restored")] {
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
        (Code::ClockStepped, Facts { stepped: Some("a day".into()), ..base() }),
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
    let cause =
        |refuses| Cause { broker: broker.clone(), kind: FailureKind::Refused, words: "no".into(), mend: "", refuses };
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
