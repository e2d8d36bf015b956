//! The config of this driver: the sample works and has every key, and what is wrong is told with its mend.

use std::{fs, path::Path};

use driver_anviz::KIND;
use driver_api::{Problems, Section, TerminalBlock};
use jiff::tz::TimeZone;

fn plan(folder: &Path, settings: &str, blocks: &[&str]) -> (Vec<Vec<String>>, Vec<String>) {
    let section = |prefix: String, text: &str| Section::new(prefix, text.parse().unwrap(), folder);
    let blocks = blocks.iter().enumerate().map(|(at, text)| TerminalBlock {
        name: format!("t{at}"),
        zone: TimeZone::UTC,
        section: section(format!("terminal \"t{at}\" "), text),
    });
    let mut problems = Problems::default();
    let lines = (KIND.plan)(section("driver.anviz.".into(), settings), blocks.collect(), &mut problems);
    (lines.into_iter().map(|line| line.terminals).collect(), problems.errors.iter().map(ToString::to_string).collect())
}

fn problems(settings: &str, blocks: &[&str]) -> Vec<String> {
    plan(Path::new("/nowhere"), settings, blocks).1
}

#[test]
fn the_sample_works_and_has_every_key() {
    let folder = std::env::temp_dir().join(format!("punchgate-anviz-sample-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("workshop.password"), "12345\n").unwrap();
    let sample: toml::Table = include_str!("../sample.toml").parse().unwrap();
    let mut settings = sample["driver"]["anviz"].as_table().unwrap().clone();
    let mut block = sample["terminal"][0].as_table().unwrap().clone();
    for gateways_own in ["name", "driver"] {
        assert!(block.remove(gateways_own).is_some());
    }
    let (lines, wrong) = plan(&folder, &settings.to_string(), &[&block.to_string()]);
    assert_eq!((lines, wrong), (vec![vec!["t0".to_owned()], vec![]], vec![]));
    let keys = [&settings, &block].map(|table| table.keys().cloned().collect::<Vec<_>>());
    for table in [&mut settings, &mut block] {
        table.insert("qqqqqqqqqqqqqqqqqqqq".into(), true.into());
    }
    let (_, problems) = plan(&folder, &settings.to_string(), &[&block.to_string()]);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    for (problem, keys) in problems.iter().zip(keys) {
        let known = problem.split_once("delete it; known here: ").unwrap().1;
        assert_eq!(known.split(", ").collect::<Vec<_>>(), keys, "the sample has every key, and only those");
    }
}

#[test]
fn terminals_that_share_a_line_are_one_line() {
    let blocks = [
        "address = \"serial:///dev/ttyUSB0?baud=9600\"\nunit = 1",
        "address = \"serial:///dev/ttyUSB0?baud=9600\"\nunit = 2",
        "address = \"tcp://192.0.2.30\"",
        "serial = \"1\"",
    ];
    let (lines, wrong) = plan(Path::new("/nowhere"), "listen = \"192.0.2.2:5010\"", &blocks);
    assert_eq!(wrong, [""; 0]);
    assert_eq!(lines, [vec!["t0", "t1"], vec!["t2"], vec!["t3"]]);
}

#[test]
fn every_wrong_key_is_told_at_once() {
    let wrong = problems(
        "poll = \"1ms\"\nlisten = 5010",
        &["address = \"udp://192.0.2.30\"\nserial = \" \"\nfrom = \"x\"\nepoch = \"1\"\nverify = { x = \"card\" }\n\
           states = { 16 = \"in\" }\nuser = \"a user of many letters\"\npassword_file = \"none\"\ntimeout = 3\npol = \"1s\""],
    );
    for part in [
        "between 100 ms",
        "listen",
        "speak TCP, or over a serial line",
        "it is empty",
        "\"x\" is no address",
        "no date from 1970",
        "codes are 0 to 255",
        "codes are 0 to 15",
        "1 to 12 plain letters",
        "cannot be read",
        "timeout",
        "did you mean poll?",
    ] {
        assert!(wrong.iter().any(|problem| problem.contains(part)), "{part}: {wrong:#?}");
    }
    assert_eq!(wrong.len(), 12, "{wrong:#?}");
}

#[test]
fn what_does_not_fit_together_is_told() {
    let listen = "listen = \"192.0.2.2:5010\"";
    for (settings, blocks, part) in [
        ("", &["serial = \"1\""][..], "nobody listens for terminals that dial in"),
        (listen, &["poll = \"30s\""], "must be known by something"),
        (listen, &["serial = \"1\"", "serial = \"1\""], "another terminal that dials in has the same"),
        ("", &["address = \"serial:///dev/ttyUSB0\""], "asked by its number"),
        (
            "",
            &["address = \"tcp://192.0.2.30\"", "address = \"tcp://192.0.2.30\"\nunit = 2"],
            "several terminals share its line",
        ),
        (
            "",
            &["address = \"tcp://192.0.2.30\"\nunit = 2", "address = \"tcp://192.0.2.30\"\nunit = 2"],
            "terminal \"t0\" on the same line has the same number",
        ),
        ("", &["address = \"tcp://192.0.2.30\"\nuser = \"admin\""], "logs in with a password"),
    ] {
        let wrong = problems(settings, blocks);
        assert!(wrong.len() == 1 && wrong[0].contains(part), "{part}: {wrong:#?}");
    }
}
