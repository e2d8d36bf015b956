//! The promises on paper: the unit as systemd reads it, its user, and the broker's access rules as a broker applies them.

mod support;

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use driver_zk::sim::{Model, Simulator};
use punchgate::{
    cli,
    mqtt::{Client, Connect, Event, Hello, Message, MqttSettings},
};
use support::{
    broker::{Mosquitto, Setup, skipped},
    certs::{Ca, Pair},
    daemon::Daemon,
    soon,
    subscriber::Subscriber,
};

const UNIT: &str = include_str!("../systemd/punchgate.service");

/// What the tool said; `None`, visibly, where it is not there.
fn tool(name: &str, args: &[&str]) -> Option<Output> {
    match Command::new(name).args(args).env("SYSTEMD_COLORS", "0").output() {
        Ok(output) => Some(output),
        Err(_) => {
            skipped(&format!("{name} is not here"));
            None
        }
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn value_of(key: &str) -> &'static str {
    let found = UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("the unit has no {key}"))
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    // The program is not installed here: the one that was just built stands in.
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("punchgate.service");
    fs::write(&unit, UNIT.replace("/usr/bin/punchgate", env!("CARGO_BIN_EXE_punchgate"))).unwrap();
    let Some(output) = tool("systemd-analyze", &["verify", "--man=no", unit.to_str().unwrap()]) else { return };
    assert!(output.status.success(), "{}", said(&output));
    // A key that is not known only makes a line of text. Other units of this machine are not ours to judge.
    let ours: Vec<_> = said(&output).lines().filter(|line| line.contains("punchgate")).map(str::to_owned).collect();
    assert_eq!(ours, Vec::<String>::new());
}

#[test]
fn systemd_understands_the_monthly_report_and_the_nightly_backup() {
    for part in ["report", "backup"] {
        understood(part);
    }
}

fn understood(part: &str) {
    let folder = tempfile::tempdir().unwrap();
    let names = [format!("punchgate-{part}.service"), format!("punchgate-{part}.timer")];
    for name in &names {
        let text = fs::read_to_string(Path::new("systemd").join(name)).unwrap();
        fs::write(folder.path().join(name), text.replace("/usr/bin/punchgate", env!("CARGO_BIN_EXE_punchgate")))
            .unwrap();
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let units = [path(&names[0]), path(&names[1])];
    let Some(output) = tool("systemd-analyze", &["verify", "--man=no", &units[0], &units[1]]) else { return };
    assert!(output.status.success(), "{}", said(&output));
    let ours: Vec<_> = said(&output).lines().filter(|line| line.contains("punchgate")).map(str::to_owned).collect();
    assert_eq!(ours, Vec::<String>::new());
}

#[test]
fn no_unit_is_exposed_more_than_it_must() {
    let services: Vec<_> = fs::read_dir("systemd")
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".service"))
        .collect();
    assert!(services.len() >= 3, "{services:?}");
    for unit in services {
        let words = ["security", "--offline=true", "--no-pager", "--threshold=13", &unit];
        let Some(output) = tool("systemd-analyze", &words) else { return };
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("Overall exposure level"), "{}", said(&output));
    }
}

/// What is on every Debian, and what the package brings: `/bin/kill` is on many, and a reload failed on the others.
#[test]
fn the_units_start_nothing_that_a_small_machine_lacks() {
    let mut starts = 0;
    for entry in fs::read_dir("systemd").unwrap() {
        let path = entry.unwrap().path();
        let text = if path.is_file() { fs::read_to_string(&path).unwrap() } else { continue };
        for line in text.lines().filter(|line| line.starts_with("Exec")) {
            let (_, command) = line.split_once('=').unwrap();
            let program = command.split(' ').next().unwrap();
            assert!(["/usr/bin/punchgate", "/bin/sh"].contains(&program), "{}: {line}", path.display());
            starts += 1;
        }
    }
    assert!(starts >= 5, "{starts}");
}

/// What runs by the calendar has the same state as the gateway, and is nobody else.
#[test]
fn what_runs_by_the_calendar_runs_as_the_gateways_user() {
    for part in ["report", "backup"] {
        let text = fs::read_to_string(format!("systemd/punchgate-{part}.service")).unwrap();
        let words = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("{part} has no {key}")).split(' ').collect::<Vec<_>>()
        };
        assert_eq!(words("User"), [value_of("User")]);
        assert_eq!(words("StateDirectory")[0], value_of("StateDirectory"));
        assert_eq!(words("StateDirectoryMode"), [value_of("StateDirectoryMode")]);
    }
}

#[test]
fn the_unit_and_the_program_mean_the_same() {
    assert_eq!(value_of("RestartPreventExitStatus"), cli::CONFIG.to_string());
    assert_eq!(value_of("Type"), "notify");
    let start = value_of("ExecStart");
    assert_eq!(start, format!("/usr/bin/punchgate run --config {}", punchgate::config::DEFAULT_PATH));
    let socket = Path::new("/run").join(value_of("RuntimeDirectory")).join("punchgate.sock");
    assert_eq!(socket, Path::new(punchgate::config::SYSTEM_SOCKET));
    let example: toml::Table = include_str!("../config.example.toml").parse().unwrap();
    let state = Path::new("/var/lib").join(value_of("StateDirectory"));
    assert_eq!(example["gateway"]["state_dir"].as_str(), state.to_str());
}

#[test]
fn the_user_of_the_unit_is_one_that_sysusers_makes() {
    let file = fs::canonicalize("systemd/sysusers.d/punchgate.conf").unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.lines().any(|line| line.starts_with(&format!("u {} ", value_of("User")))), "{text}");
    let Some(output) = tool("systemd-sysusers", &["--dry-run", file.to_str().unwrap()]) else { return };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_folder_of_the_config_is_one_that_tmpfiles_makes() {
    let file = fs::canonicalize("systemd/tmpfiles.d/punchgate.conf").unwrap();
    let config = Path::new(punchgate::config::DEFAULT_PATH).parent().unwrap().to_str().unwrap();
    // Below a root of its own, where the user is not known: the group becomes ours.
    let root = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(&file).unwrap().replace("root punchgate", "- -");
    let ours = root.path().join("punchgate.conf");
    fs::write(&ours, text).unwrap();
    let root_argument = format!("--root={}", root.path().display());
    let Some(output) = tool("systemd-tmpfiles", &["--create", &root_argument, ours.to_str().unwrap()]) else { return };
    assert!(output.status.success(), "{}", said(&output));
    assert!(root.path().join(config.trim_start_matches('/')).is_dir(), "{}", said(&output));
}

/// A broker with the rules of the example, and a certificate of its CA for each of these names.
fn guarded<const N: usize>(names: [&str; N]) -> Option<(Mosquitto, [Pair; N])> {
    let rules = fs::canonicalize("packaging/mosquitto/acl.example").unwrap();
    let ca = Ca::new("punchgate test CA");
    let pairs = names.map(|name| ca.issue(&[name]));
    // The number is explained in the example.
    let extra = format!("use_identity_as_username true\nmax_queued_messages 100000\nacl_file {}\n", rules.display());
    Some((Mosquitto::start(Setup { ca, extra, ..Setup::default() })?, pairs))
}

/// What the one with this certificate needs; its name is its CN.
fn settings(broker: &Mosquitto, name: &str, pair: &Pair) -> MqttSettings {
    broker.write_pair(name, pair);
    let file = |ending| Some(broker.path(&format!("{name}.{ending}")));
    MqttSettings { cert_file: file("pem"), key_file: file("key"), ..broker.settings(name) }
}

/// Publishes each of these with its own number; tells which the broker took.
async fn taken(settings: MqttSettings, topics: &[&str]) -> Vec<bool> {
    let client = Client::new(settings);
    let will = Message { topic: topics[0].into(), payload: vec![], retain: false };
    let hello = Hello { will: Some(will), subscribe: vec![] };
    let mut connection = soon("it is connected", client.connect(&client.brokers()[0], hello)).await.unwrap();
    for (ticket, topic) in topics.iter().enumerate() {
        let message = Message { topic: (*topic).into(), payload: b"{}".to_vec(), retain: false };
        connection.publish(ticket as u64, message).unwrap();
    }
    let mut taken = vec![None; topics.len()];
    while taken.contains(&None) {
        match soon("the broker answers", connection.event()).await.unwrap() {
            Event::Acked(ticket) => taken[ticket as usize] = Some(true),
            Event::Refused(ticket, _) => taken[ticket as usize] = Some(false),
            Event::Arrived(_) => {}
        }
    }
    taken.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_gateway_writes_below_its_own_name_only() {
    let Some((broker, [gateway, payroll])) = guarded(["sz-03", "payroll"]) else { return };
    let topics = [
        "punchgate/1/acme/sz-03/punch/front-door",
        "punchgate/1/acme/sz-03/health/front-door",
        "punchgate/1/acme/sz-04/punch/front-door",
        "punchgate/1/other/sz-03/punch/front-door",
        "punchgate/1/acme/sz-03/receipt/front-door",
        "punchgate/1/acme/sz-03/request/1",
        "elsewhere",
    ];
    let answers = taken(settings(&broker, "sz-03", &gateway), &topics).await;
    assert_eq!(answers, [true, true, false, false, false, false, false]);
    let topics = ["punchgate/1/acme/sz-03/receipt/front-door", "punchgate/1/acme/sz-03/punch/front-door"];
    assert_eq!(taken(settings(&broker, "payroll", &payroll), &topics).await, [true, false]);
}

#[tokio::test]
async fn support_sends_requests_and_nothing_in_a_gateways_name() {
    let Some((broker, [support])) = guarded(["support"]) else { return };
    let topics = [
        "punchgate/1/acme/sz-03/request/1",
        "punchgate/1/acme/sz-03/approval/1",
        "punchgate/1/acme/sz-03/response/1",
        "punchgate/1/acme/sz-03/audit",
        "punchgate/1/acme/sz-03/punch/front-door",
        "punchgate/1/other/sz-03/request/1",
    ];
    let answers = taken(settings(&broker, "support", &support), &topics).await;
    assert_eq!(answers, [true, true, false, false, false, false]);
}

#[tokio::test]
async fn a_gateway_needs_no_more_than_these_rules_and_a_dashboard_sees_no_punch() {
    let Some((broker, [gateway, payroll, dashboard])) = guarded(["sz-03", "payroll", "dashboard"]) else { return };
    let payroll = Subscriber::start(settings(&broker, "payroll", &payroll)).await;
    let dashboard = Subscriber::start(settings(&broker, "dashboard", &dashboard)).await;
    broker.write_pair("client", &gateway);
    let simulator = Simulator::start(Model::default(), 0).await.unwrap();
    simulator.punch("1024");
    let block =
        format!("[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://{}\"\n", simulator.address());
    let _gateway = Daemon::start(&broker, &block);
    payroll.until_punches(&[("front-door".to_owned(), 1)].into()).await;
    // Published after the punch was seen there, so that whatever came before it has arrived too.
    dashboard.until_document("health/front-door", |document| document["last_punch"].is_string()).await;
    assert_eq!(dashboard.messages(), Vec::<serde_json::Value>::new());
}

/// What the package's scripts and recipe name is there, and says the same as the rest.
#[test]
fn the_package_brings_what_the_unit_and_the_pages_speak_of() {
    let manifest: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap();
    let installed = |from: &str| {
        let found = assets.iter().find(|asset| asset[0].as_str() == Some(from));
        found.unwrap_or_else(|| panic!("{from} is not in the package"))[1].as_str().unwrap()
    };
    for (from, to) in [
        ("systemd/punchgate.service", "usr/lib/systemd/system/"),
        ("systemd/punchgate-backup.service", "usr/lib/systemd/system/"),
        ("systemd/punchgate-backup.timer", "usr/lib/systemd/system/"),
        ("systemd/punchgate-report.service", "usr/lib/systemd/system/"),
        ("systemd/punchgate-report.timer", "usr/lib/systemd/system/"),
        ("systemd/sysusers.d/punchgate.conf", "usr/lib/sysusers.d/"),
        ("systemd/tmpfiles.d/punchgate.conf", "usr/lib/tmpfiles.d/"),
        ("packaging/udev/70-punchgate.rules", "usr/lib/udev/rules.d/"),
        ("config.example.toml", "usr/share/punchgate/"),
    ] {
        assert!(Path::new(from).is_file(), "{from}");
        assert_eq!(installed(from), to);
    }
    // What packaging/build makes is in its own folder; everything else is a file of ours.
    let build = include_str!("../packaging/build");
    for asset in assets.iter().map(|asset| asset[0].as_str().unwrap()) {
        match asset.strip_prefix("target/package/") {
            Some(made) => {
                let name = made.split('/').next_back().unwrap().trim_end_matches(".bash").trim_end_matches(".zsh");
                let (folder, _) = made.split_once('/').unwrap_or((name.trim_end_matches(".fish"), ""));
                let folder = folder.trim_end_matches(".gz").trim_end_matches(".xz");
                assert!(build.contains(&format!("$package/{folder}")), "packaging/build makes no {made}");
            }
            None => {
                let place = asset.trim_end_matches("*.md");
                assert!(Path::new(place).exists(), "{asset} is not there");
            }
        }
    }
    let start = value_of("ExecStart");
    let program = start.split(' ').next().unwrap();
    for script in ["preinst", "postinst", "prerm", "postrm"] {
        let text = fs::read_to_string(format!("packaging/deb/{script}")).unwrap();
        assert!(text.starts_with("#!/bin/sh\n"), "{script}");
        for word in text.split(|it: char| it.is_whitespace() || "=\"';".contains(it)) {
            assert!(!word.starts_with("/usr/bin/") || word == program, "{script} speaks of {word}");
            assert!(
                !word.starts_with("/etc/") || punchgate::config::DEFAULT_PATH.starts_with(word),
                "{script}: {word}"
            );
        }
    }
}
