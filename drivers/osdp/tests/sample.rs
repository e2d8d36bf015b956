//! The sample in the documentation is a config that works, with every key there is.

use std::{fs, path::Path};

use driver_api::{Problems, Section, TerminalBlock};

#[test]
fn the_sample_loads_without_a_problem_and_has_every_key() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gate-1.key"), "00112233445566778899aabbccddeeff\n").unwrap();
    // With the key that is shown and not set.
    let sample = include_str!("../sample.toml").replace("#insecure = false", "insecure = false");
    let mut sample: toml::Table = sample.replace("/etc/punchgate/", "").parse().unwrap();
    let mut block = sample.remove("terminal").unwrap().as_array().unwrap()[0].as_table().unwrap().clone();
    for gateways_own in ["name", "driver"] {
        assert!(block.remove(gateways_own).is_some());
    }
    // No key is left out: a misspelt one is answered with the list of those that were asked for.
    let keys: Vec<String> = block.keys().cloned().collect();
    block.insert("qqqqqqqqqqqqqqqqqqqq".into(), true.into());
    let mut problems = Problems::default();
    let section = Section::new("terminal \"gate-1\" ", block, folder.path());
    let blocks = vec![TerminalBlock { name: "gate-1".into(), zone: jiff::tz::TimeZone::UTC, section }];
    (driver_osdp::KIND.plan)(Section::new("driver.osdp.", toml::Table::new(), Path::new(".")), blocks, &mut problems);
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
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    file("good", "00112233445566778899aabbccddeeff\n");
    file("short", "001122\n");
    file("factory", "303132333435363738393A3B3C3D3E3F\n");
    let told = |blocks: &[&str]| {
        let mut problems = Problems::default();
        let block = |(index, text): (usize, &&str)| {
            let section = Section::new(format!("terminal \"r{index}\" "), text.parse().unwrap(), folder.path());
            TerminalBlock { name: format!("r{index}"), zone: jiff::tz::TimeZone::UTC, section }
        };
        let blocks = blocks.iter().enumerate().map(block).collect();
        (driver_osdp::KIND.plan)(Section::new("", toml::Table::new(), Path::new(".")), blocks, &mut problems);
        problems.errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let bus = "address = \"serial:///dev/ttyS0\"\n";
    let with = |more: &str| format!("{bus}{more}");
    for (blocks, wanted) in [
        (vec![with("unit = 1")], "without a key anybody on the cable can read and make punches"),
        (vec![with("unit = 127\ninsecure = true")], "a reader's address is 0 to 126"),
        (vec![with("unit = 1\nkey_file = \"short\"")], "does not hold 32 hex digits"),
        (vec![with("unit = 1\nkey_file = \"factory\"")], "that key is known to everybody"),
        (vec![with("unit = 1\nkey_file = \"nowhere\"")], "cannot be read"),
        (vec![with("unit = 1\nkey_file = \"good\"\ninsecure = true")], "would be believed without it"),
        (vec![with("unit = 1\ninsecure = true\npair_until = \"2026-11-28T12:00:00Z\"")], "there is no key to give"),
        (vec![with("unit = 1\nkey_file = \"good\"\npair_until = \"tomorrow\"")], "it is no instant"),
        (vec![with("unit = 1\ninsecure = true\ndirections = { door = \"in\" }")], "numbered from 0"),
        (vec!["address = \"serial:///dev/ttyS0?baud=4800\"\nunit = 1\ninsecure = true".into()], "no such speed"),
        (vec!["address = \"udp://192.0.2.1:1\"\nunit = 1\ninsecure = true".into()], "OSDP goes over RS-485"),
        (vec![with("unit = 1\ninsecure = true"); 2], "has this address on the same bus"),
    ] {
        let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
        let told = told(&blocks);
        assert!(told.iter().any(|it| it.contains(wanted)), "{blocks:?}: {told:#?}");
    }
}

#[test]
fn a_key_does_not_show_itself() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("short"), "0011223344\n").unwrap();
    let mut problems = Problems::default();
    let block = "address = \"tcp://192.0.2.1:1\"\nunit = 1\nkey_file = \"short\"".parse().unwrap();
    let section = Section::new("", block, folder.path());
    let blocks = vec![TerminalBlock { name: "r".into(), zone: jiff::tz::TimeZone::UTC, section }];
    (driver_osdp::KIND.plan)(Section::new("", toml::Table::new(), Path::new(".")), blocks, &mut problems);
    assert!(!format!("{problems:?}").contains("0011223344"));
}
