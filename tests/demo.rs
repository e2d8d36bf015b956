//! `punchgate demo` as somebody runs it for the first time: the real program, and what it says at the end.
#![cfg(feature = "demo")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use punchgate::{
    drivers::DRIVERS,
    spool::{self, Exported},
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

/// The limit of every wait: a demo that waits for terminals which were thrown out often takes its time.
const LIMIT: Duration = Duration::from_secs(240);

fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
    command.arg("demo").args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a demo to its end. It writes less than a pipe holds, so nobody needs to read meanwhile.
fn demo(words: &[&str]) -> Output {
    ended(program(words).spawn().unwrap())
}

fn ended(mut child: Child) -> Output {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("the demo does not end: {}", String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout));
        }
        sleep(Duration::from_millis(50));
    }
    child.wait_with_output().unwrap()
}

/// Its summary, which must add up; and what it told on the way.
fn summary(output: &Output) -> (Value, String) {
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}\n{printed}\n{told}", output.status);
    let summary: Value = serde_json::from_str(&printed).unwrap();
    let number = |key: &str| summary[key].as_u64().unwrap();
    assert!(number("punched") > 0, "{summary}");
    assert_eq!(number("punched"), number("durable"), "{summary}");
    assert_eq!(number("punched"), number("delivered"), "{summary}");
    assert_eq!((number("lost"), number("invented")), (0, 0), "{summary}");
    assert_eq!((summary["agrees"].as_bool(), summary["problems"].as_array().unwrap().len()), (Some(true), 0));
    (summary, told)
}

#[test]
fn a_demo_ends_by_itself_and_says_that_every_punch_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(&["--for", "8s"]).env("TMPDIR", folder.path()).spawn().map(ended).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("mosquitto_sub -h localhost -p "), "it says how to look in: {printed}");
    assert!(printed.contains("All agree"), "{printed}");
    assert!(!printed.contains('\x1b'), "lines are plain where there is no terminal: {printed:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn nothing_is_lost_when_the_broker_is_killed_in_the_middle() {
    let (_, told) = summary(&demo(&["--for", "9s", "--outage", "--json"]));
    assert!(told.contains("the broker is killed") && told.contains("the broker is back"), "{told}");
    let waiting =
        told.lines().filter_map(|line| line.split_once("waiting ")?.1.split_whitespace().next()?.parse().ok());
    assert!(waiting.max() > Some(0_u64), "a backlog grew: {told}");
}

#[test]
fn nothing_is_lost_on_lines_that_are_cut_and_corrupted() {
    let (summary, told) = summary(&demo(&["--for", "8s", "--faults", "--json", "--terminals", "4"]));
    assert_eq!(summary["terminals"], 4);
    assert!(told.contains("front-door: ") && told.contains("warehouse: "), "{told}");
}

#[test]
fn nothing_is_lost_when_both_go_wrong_and_what_is_kept_can_be_verified() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let keep = kept.to_str().unwrap();
    let (summary, _) = summary(&demo(&["--for", "9s", "--faults", "--outage", "--json", "--keep", keep]));
    let state = kept.join("state");
    assert!(spool::verify(&state).unwrap().is_whole());
    // Noise that came as an upload is kept beside the punches.
    let punches = spool::export(&state).unwrap().filter_map(|it| match it {
        Ok(Exported::Punch(ledger, _)) => Some(ledger.terminal.clone()),
        _ => None,
    });
    let punches: Vec<String> = punches.collect();
    assert_eq!(punches.len() as u64, summary["punched"].as_u64().unwrap());
    // One of them pushes, and its config is what an installer would write.
    assert!(punches.iter().filter(|terminal| *terminal == "warehouse").count() > 30);
    let config = fs::read_to_string(kept.join("config.toml")).unwrap();
    assert!(config.contains("\n[driver.zk-push]\nlisten = \"127.0.0.1:"), "{config}");
    assert!(config.contains("\ndriver = \"zk-push\"\nserial = \"DEMO000000004\"\n"), "{config}");
}

/// Punches of each terminal in a state that was kept.
fn kept_punches(state: &Path) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for it in spool::export(state).unwrap() {
        if let Ok(Exported::Punch(ledger, _)) = it {
            *counts.entry(ledger.terminal.clone()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn a_terminal_of_each_driver_delivers_what_was_punched_at_it() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let words = ["--for", "8s", "--all-drivers", "--json", "--keep", kept.to_str().unwrap()];
    let (summary, told) = summary(&demo(&words));
    assert_eq!(summary["terminals"].as_u64(), Some(DRIVERS.len() as u64));
    let config = fs::read_to_string(kept.join("config.toml")).unwrap();
    for driver in DRIVERS {
        let line = format!("\ndriver = \"{}\"\n", driver.name);
        assert_eq!(config.matches(&line).count(), 1, "{}: {config}", driver.name);
    }
    // The old ones that lay in it, and some of those that people made while one watched.
    let counts = kept_punches(&kept.join("state"));
    assert_eq!(counts.len(), DRIVERS.len(), "{counts:?}");
    assert!(counts.values().all(|count| *count > 30), "{counts:?}");
    assert!(told.contains("last "), "one sees them arrive: {told}");
}

#[test]
fn nothing_is_lost_of_any_driver_when_lines_and_broker_go_wrong() {
    let (summary, told) = summary(&demo(&["--for", "12s", "--all-drivers", "--faults", "--outage", "--json"]));
    assert_eq!(summary["terminals"].as_u64(), Some(DRIVERS.len() as u64));
    for terminal in ["front-door", "warehouse", "workshop", "turnstile", "side-door", "gate", "canteen"] {
        assert!(told.contains(&format!("{terminal}: ")), "{terminal} was harmed: {told}");
    }
}

#[test]
fn a_demo_fails_when_its_gateway_dies() {
    let child = until_punching(&["--json"]);
    let runs = |pid: &&Pid| fs::read(of(**pid, "cmdline")).unwrap().split(|byte| *byte == 0).any(|word| word == b"run");
    kill_process(*children(&child).iter().find(runs).unwrap(), Signal::KILL).unwrap();
    let output = ended(child);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn ctrl_c_ends_it_with_a_summary() {
    let child = until_punching(&["--json"]);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    summary(&ended(child));
}

#[test]
fn nothing_outlives_a_demo_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let mut child = until_punching(&["--json", "--keep", kept.to_str().unwrap()]);
    let parts = children(&child);
    assert_eq!(parts.len(), 2, "a broker and a gateway");
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    while parts.iter().any(|pid| test_kill_process(*pid).is_ok() && !is_zombie(*pid)) {
        assert!(began.elapsed() < LIMIT, "{parts:?} are still there");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_folder_with_something_in_it_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter"), "dear").unwrap();
    let output = demo(&["--for", "1s", "--keep", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is not empty"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A demo without an end, at which people punch already. It tells on standard error, so the summary is to be read from
/// standard output alone.
fn until_punching(words: &[&str]) -> Child {
    let mut child = program(words).spawn().unwrap();
    let told = BufReader::new(child.stderr.take().unwrap());
    let mut lines = told.lines().map(Result::unwrap);
    let mut before = Vec::new();
    let punching = lines.by_ref().inspect(|line| before.push(line.clone())).any(|line| line.contains("delivered"));
    assert!(punching, "it ended too soon: {before:#?}");
    // Read on, so that it is never held up by a full pipe.
    std::thread::spawn(move || lines.count());
    child
}

fn children(parent: &Child) -> Vec<Pid> {
    let task = format!("/proc/{0}/task/{0}/children", parent.id());
    let pids = fs::read_to_string(task).unwrap();
    pids.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect()
}

/// Ended, and nobody has asked how: where the first process of a container does not care for orphans.
fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(of(pid, "stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

fn of(pid: Pid, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join(file)
}
