//! The config of this driver: what is right is taken, what is wrong is told with its mend.

use std::path::Path;

use driver_api::{Problems, Section, TerminalBlock};
use driver_zk_push::KIND;
use jiff::tz::TimeZone;

fn problems(settings: &str, blocks: &[&str]) -> Vec<String> {
    let section = |prefix: String, text: &str| Section::new(prefix, text.parse().unwrap(), Path::new("/etc/punchgate"));
    let blocks = blocks.iter().enumerate().map(|(at, text)| TerminalBlock {
        name: format!("t{at}"),
        zone: TimeZone::UTC,
        section: section(format!("terminal \"t{at}\" "), text),
    });
    let mut problems = Problems::default();
    let lines = (KIND.plan)(section("driver.zk-push.".into(), settings), blocks.collect(), &mut problems);
    assert_eq!(lines.len(), 1, "one listener is one line");
    problems.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn the_sample_is_right() {
    let sample = include_str!("../sample.toml");
    let table: toml::Table = sample.parse().unwrap();
    let mut settings = table["driver"]["zk-push"].as_table().unwrap().clone();
    // These files are on no machine that runs tests; the TLS test has its own.
    settings.remove("tls_cert_file");
    settings.remove("tls_key_file");
    let blocks = table["terminal"].as_array().unwrap().iter().map(|block| {
        let mut block = block.as_table().unwrap().clone();
        for gateways_own in ["name", "driver", "zone"] {
            block.remove(gateways_own);
        }
        block.to_string()
    });
    let blocks: Vec<String> = blocks.collect();
    let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
    assert_eq!(problems(&settings.to_string(), &blocks), [""; 0]);
}

#[test]
fn the_sample_names_every_key() {
    let sample = include_str!("../sample.toml");
    for key in [
        "listen",
        "tls_cert_file",
        "tls_key_file",
        "poll",
        "error_delay",
        "body_limit_mib",
        "connections",
        "connections_per_peer",
        "serial",
        "from",
        "dialect",
        "encoding",
        "zone_style",
        "reconcile",
        "history",
    ] {
        assert!(
            sample.lines().any(|line| line.trim_start_matches('#').starts_with(&format!("{key} ="))),
            "{key} is missing"
        );
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_mend() {
    let found = problems(
        "listne = \"x\"\npoll = \"1s\"\ntls_cert_file = \"cert.pem\"",
        &[
            "serial = \"a b\"",
            "from = \"192.0.2.0/33\"\nserial = \"K\"",
            "serial = \"K\"",
            "",
            "serial = \"L\"\nencoding = \"klingon\"\nreconcile = \"1m\"",
        ],
    );
    let wanted = [
        "driver.zk-push.listne = \"x\"\n    why:  there is no such key\n    mend: did you mean listen?",
        "driver.zk-push.poll = \"1s\"\n    why:  it must lie between 2 and 600 seconds\n    mend: write \"2s\" or more",
        "driver.zk-push.tls_key_file\n    why:  tls_cert_file is there, and the one is no use without the other\n    mend: add a line: tls_key_file = \"/etc/punchgate/push.key\"",
        "terminal \"t0\" serial = \"a b\"\n    why:  a serial number is 1 to 64 letters, digits, _ and -\n    mend: copy it from the terminal's menu, System Info",
        "terminal \"t1\" from = \"192.0.2.0/33\"\n    why:  \"192.0.2.0/33\" is neither an address nor a network\n    mend: write it like this: from = \"192.0.2.0/24\"",
        "terminal \"t2\" serial = K\n    why:  terminal \"t1\" has the same serial number\n    mend: every terminal has its own; look at its menu, System Info",
        "terminal \"t3\" serial\n    why:  it is missing\n    mend: add a line: serial = \"CEXA204060001\"",
        "terminal \"t4\" encoding = \"klingon\"\n    why:  no such encoding\n    mend: write one of gb18030, windows-1252, windows-1256, ...",
        "terminal \"t4\" reconcile = \"1m\"\n    why:  more often is unkind to terminals\n    mend: write \"10m\" or more",
    ];
    for wanted in wanted {
        assert!(found.iter().any(|found| found == wanted), "not told: {wanted}\namong\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), wanted.len(), "{}", found.join("\n"));
}

#[test]
fn a_certificate_that_cannot_be_read_is_told_before_anything_is_opened() {
    let found = problems("tls_cert_file = \"/nowhere/a.pem\"\ntls_key_file = \"/nowhere/a.key\"", &[]);
    assert!(
        found.len() == 1 && found[0].contains("tls_cert_file = /nowhere/a.pem") && found[0].contains("cannot be read"),
        "{found:?}"
    );
}
