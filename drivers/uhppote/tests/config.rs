//! The config of this driver: the sample works and has every key, and what is wrong is told with its mend.

use std::path::Path;

use driver_api::{Problems, Section, TerminalBlock};
use driver_uhppote::KIND;
use jiff::tz::TimeZone;

fn plan(settings: &str, blocks: &[&str]) -> (usize, Vec<String>) {
    let section = |prefix: String, text: &str| Section::new(prefix, text.parse().unwrap(), Path::new("/etc/punchgate"));
    let blocks = blocks.iter().enumerate().map(|(at, text)| TerminalBlock {
        name: format!("t{at}"),
        zone: TimeZone::UTC,
        section: section(format!("terminal \"t{at}\" "), text),
    });
    let mut problems = Problems::default();
    let lines = (KIND.plan)(section("driver.uhppote.".into(), settings), blocks.collect(), &mut problems);
    (lines.len(), problems.errors.iter().map(ToString::to_string).collect())
}

#[test]
fn the_sample_works_and_has_every_key() {
    let sample: toml::Table = include_str!("../sample.toml").parse().unwrap();
    let mut settings = sample["driver"]["uhppote"].as_table().unwrap().clone();
    let mut block = sample["terminal"][0].as_table().unwrap().clone();
    for gateways_own in ["name", "driver"] {
        assert!(block.remove(gateways_own).is_some());
    }
    assert_eq!(plan(&settings.to_string(), &[&block.to_string()]), (1, vec![]));
    let keys = [&settings, &block].map(|table| table.keys().cloned().collect::<Vec<_>>());
    for table in [&mut settings, &mut block] {
        table.insert("qqqqqqqqqqqqqqqqqqqq".into(), true.into());
    }
    let (_, problems) = plan(&settings.to_string(), &[&block.to_string()]);
    assert_eq!(problems.len(), 2, "{problems:#?}");
    for (problem, keys) in problems.iter().zip(keys) {
        let known = problem.split_once("delete it; known here: ").unwrap().1;
        assert_eq!(known.split(", ").collect::<Vec<_>>(), keys, "the sample has every key, and only those");
    }
}

#[test]
fn an_address_and_a_serial_number_suffice() {
    assert_eq!(plan("", &["address = \"udp://192.0.2.20\"\nserial = 405419896"]), (1, vec![]));
}

#[test]
fn every_wrong_key_is_told_at_once() {
    let (lines, problems) = plan(
        "poll = \"1ms\"",
        &[
            "address = \"serial:///dev/ttyS0\"\nserial = 0\nset_listener = true\ndoors = [5]\ndirections = { x = \"in\" }\n\
           timeout = 3\nlisten = \"0.0.0.0:60001\"\npol = \"1s\"",
        ],
    );
    assert_eq!(lines, 0);
    for part in [
        "between 100 ms",
        "over the network only",
        "no board has that serial number",
        "only be told a real IPv4 address",
        "numbered from 1 to 4",
        "\"x\" is no reader",
        "timeout",
        "did you mean poll?",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
    }
    assert_eq!(problems.len(), 8, "{problems:#?}");
}

#[test]
fn boards_share_neither_serial_number_nor_port() {
    let (lines, problems) = plan(
        "",
        &[
            "address = \"udp://192.0.2.20\"\nserial = 405419896\nlisten = \"192.0.2.2:60001\"",
            "address = \"udp://192.0.2.21\"\nserial = 405419896",
            "address = \"udp://192.0.2.22\"\nserial = 405419898\nlisten = \"192.0.2.2:60001\"",
        ],
    );
    assert_eq!((lines, problems.len()), (1, 2));
    assert!(problems[0].contains("terminal \"t0\" has the same serial number"), "{problems:#?}");
    assert!(problems[1].contains("terminal \"t0\" listens there"), "{problems:#?}");
}
