//! A report of a period that was made up, checked by hand.

use jiff::civil::date;

use super::*;
use crate::{incident::Acknowledged, spool::Sample};

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_764_000_000 / 60 * 60 + minute * 60).unwrap()
}

fn series() -> Series {
    let columns = ["punchgate_link_up", "punchgate_disk_free_bytes", "punchgate_queue_undelivered_punches"];
    let row = |minute: i64| {
        let link = f64::from(minute % 4 != 0);
        (at(minute), vec![link, 100e9 - minute as f64 * 1e6, if minute == 70 { f64::NAN } else { minute as f64 }])
    };
    // An hour is missing: the gateway was down.
    let rows = (0..1000).filter(|minute| !(100..160).contains(minute)).map(row).collect();
    Series { columns: columns.map(str::to_owned).to_vec(), rows }
}

fn history() -> History {
    let standing = vec![(at(-9), Standing::Online), (at(10), Standing::Offline), (at(20), Standing::Online)];
    let front = TerminalHistory {
        serial: "CEXA<1>".into(),
        by_day: [(date(2025, 11, 24), 30), (date(2025, 11, 25), 12)].into(),
        later: 4,
        skew_ms: Sample::default(),
        last: Some(at(900)),
        set_aside: 1,
        lost: vec![(7, 9)],
        standing,
    };
    let old = TerminalHistory { serial: "OLD".into(), ..TerminalHistory::default() };
    let terminals = [("front-door".to_owned(), front), ("gone".to_owned(), old)].into();
    History { tenant: "acme".into(), gateway: "sz-03".into(), terminals, undelivered: 2, ..History::default() }
}

fn incident(number: u64) -> Incident {
    let breached = (number == 2).then(|| at(500));
    Incident {
        number,
        code: "terminal-offline".into(),
        subject: Some("front-door".into()),
        severity: "medium".into(),
        cause: "<script>alert(1)</script>".into(),
        first_seen: at(10),
        opened: at(if number == 3 { 2000 } else { 11 }),
        notified: None,
        acknowledged: Some(Acknowledged { at: at(12), by: "li-wei".into(), how: "local".into() }),
        escalated: None,
        breached,
        resolved: (number == 1).then(|| at(20)),
        target_s: 86_400,
        open_s: 540,
        reopened: 0,
    }
}

fn flawed() -> Dependencies {
    let one = Flawed {
        name: "sled".into(),
        version: "0.34.7".into(),
        id: "RUSTSEC-2026-0001".into(),
        aliases: vec!["CVE-2026-0001".into()],
        kind: "vulnerability".into(),
        summary: "it <b>reads</b> too far".into(),
        fixed: vec!["0.34.8".into()],
        source: "https://rustsec.org/advisories/RUSTSEC-2026-0001.html".into(),
    };
    let list = AdvisoryList { place: "advisories".into(), advisories: 900, newest: Some(at(77)), unread: 3 };
    Dependencies { crates: 300, list: Some(list), found: vec![one] }
}

fn report() -> Report {
    let firmware = [("front-door".to_owned(), ("zk".to_owned(), Some("ZAM170-NF-1.8.25-7354-Ver1.0.0".to_owned())))];
    let incidents = (1..=3).map(incident).collect();
    Report::new((at(0), at(1000)), at(1001), history(), &series(), incidents, &firmware.into(), flawed())
}

#[test]
fn every_figure_is_what_one_counts_by_hand() {
    let report = report();
    assert_eq!((report.minutes.kept, report.minutes.of), (940, 1000));
    assert_eq!(report.minutes.up_percent, Some(94.0));
    assert_eq!(report.minutes.broker_up_percent, Some(75.0));
    assert_eq!((report.punches.total, report.punches.later, report.punches.undelivered), (42, 4, 2));
    let terminals: Vec<&str> = report.terminals.iter().map(|it| it.terminal.as_str()).collect();
    assert_eq!(terminals, ["front-door"], "who did nothing and is not there is left out");
    let front = &report.terminals[0];
    assert_eq!((front.minutes_away, front.longest_away_minutes, front.lost), (10, 10, 3));
    assert_eq!(front.online_percent, Some(100.0 * 930.0 / 940.0));
    let pace = report.capacity.bytes_a_day.unwrap();
    assert!((pace - 1440.0 * 1e6).abs() < 1.0, "{pace}");
    assert_eq!((report.incidents.opened, report.incidents.resolved, report.incidents.breached), (2, 1, 1));
    let renew: Vec<&str> = report.renew.iter().map(|it| it.why.as_str()).collect();
    assert!(renew[0].starts_with("CVE-2023-3938"), "{renew:?}");
    assert_eq!(renew[1], "RUSTSEC-2026-0001, CVE-2026-0001 (vulnerability): it <b>reads</b> too far; fixed in 0.34.8");
    assert_eq!(report.hours[0].undelivered, Some(59.0 - (at(0).as_second() % 3600 / 60) as f64));
}

#[test]
fn the_page_holds_everything_and_nothing_from_outside() {
    for language in [Language::En, Language::Zh] {
        let page = html(&report(), language);
        for words in [
            "acme/sz-03",
            "CEXA&lt;1&gt;",
            "&lt;script&gt;alert(1)",
            "li-wei",
            "94.00 %",
            "98.94 %",
            "<svg",
            "CVE-2023-3938",
            "sled 0.34.7",
            "RUSTSEC-2026-0001",
            "it &lt;b&gt;reads",
            "1 / 300",
            "900 (advisories;",
        ] {
            assert!(page.contains(words), "{words} is not in the page");
        }
        for never in ["<script", "src=", "href=", "url(", "@import", "NaN", "inf"] {
            assert!(!page.contains(never), "{never} is in the page");
        }
    }
    assert!(
        html(&report(), Language::Zh).contains("lang=\"zh\"") && html(&report(), Language::Zh).contains("健康报告")
    );
}

#[test]
fn a_period_of_which_nothing_is_known_makes_a_page_too() {
    let series = Series { columns: vec![], rows: vec![] };
    let report = Report::new(
        (at(0), at(10)),
        at(10),
        History::default(),
        &series,
        vec![],
        &Firmware::new(),
        Dependencies::default(),
    );
    assert_eq!((report.minutes.up_percent, report.capacity.days_left), (None, None));
    let page = html(&report, Language::En);
    assert!(page.contains("No numbers are kept") && !page.contains("NaN"), "{page}");
    assert!(page.contains("were not looked up, because there is no list"), "{page}");
}
