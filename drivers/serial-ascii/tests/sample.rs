//! The sample in the documentation is a config that works, with every key there is.

use std::path::Path;

use driver_api::{Problems, Section, TerminalBlock};

#[test]
fn the_sample_loads_without_a_problem_and_has_every_key() {
    let mut sample: toml::Table = include_str!("../sample.toml").parse().unwrap();
    let mut block = sample.remove("terminal").unwrap().as_array().unwrap()[0].as_table().unwrap().clone();
    for gateways_own in ["name", "driver"] {
        assert!(block.remove(gateways_own).is_some());
    }
    // No key is left out: a misspelt one is answered with the list of those that were asked for.
    let keys: Vec<String> = block.keys().cloned().collect();
    block.insert("qqqqqqqqqqqqqqqqqqqq".into(), true.into());
    let mut problems = Problems::default();
    let section = Section::new("terminal \"canteen-reader\" ", block, Path::new("."));
    let blocks = vec![TerminalBlock { name: "canteen-reader".into(), zone: jiff::tz::TimeZone::UTC, section }];
    (driver_serial_ascii::KIND.plan)(
        Section::new("driver.serial-ascii.", toml::Table::new(), Path::new(".")),
        blocks,
        &mut problems,
    );
    let [problem] = &problems.errors[..] else { panic!("{:#?}", problems.errors) };
    let mut known: Vec<&str> = problem.mend.strip_prefix("delete it; known here: ").unwrap().split(", ").collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    known.sort_unstable();
    keys.sort_unstable();
    assert_eq!(known, keys);
}

/// Every problem at once, each with its mend.
#[test]
fn what_is_wrong_in_a_config_is_told_with_its_mend() {
    let told = |blocks: &[&str]| {
        let mut problems = Problems::default();
        let block = |(index, text): (usize, &&str)| {
            let section = Section::new(format!("terminal \"r{index}\" "), text.parse().unwrap(), Path::new("."));
            TerminalBlock { name: format!("r{index}"), zone: jiff::tz::TimeZone::UTC, section }
        };
        let blocks = blocks.iter().enumerate().map(block).collect();
        (driver_serial_ascii::KIND.plan)(Section::new("", toml::Table::new(), Path::new(".")), blocks, &mut problems);
        problems.errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let line = "address = \"serial:///dev/ttyS0\"\n";
    let with = |more: &str| format!("{line}{more}");
    for (blocks, wanted) in [
        (vec![with("")], "it is missing: every reader has its own frames"),
        (vec![with("reader = \"nope\"")], "write one of those that ship: rdm6300"),
        (vec![with("reader = \"rdm6300\"\nunit = \"01\"")], "do not say which one of several speaks"),
        (vec![with("reader = \"polled-ascii\"")], "this reader is asked by its number"),
        (vec![with("reader = \"rdm6300\"\nrepeat_window = \"1h\"")], "between 0 and 600000 ms"),
        (vec!["address = \"udp://192.0.2.1:1\"\nreader = \"digits\"".into()], "come over a serial line or TCP"),
        (vec![with("reader = \"digits\""); 2], "and no other unit"),
        (vec![with("reader = \"digits\""), with("reader = \"scanner\"")], "nobody can tell their frames apart"),
    ] {
        let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
        let told = told(&blocks);
        assert!(told.iter().any(|it| it.contains(wanted)), "{blocks:?}: {told:#?}");
    }
}
