//! The program itself, beside a daemon that knows everything by heart.

#[path = "cli/office.rs"]
mod office;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Output, Stdio},
};

use office::{Office, finish, program, punch, run};
use punchgate::cli;

fn printed(output: &Output) -> (String, String) {
    (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[test]
fn status_says_first_what_is_wrong_and_what_to_do() {
    assert_eq!(
        Office::open().ask(&["status"]),
        "\
canteen: Terminal offline (no route to host). Check its cable.

gateway    acme/sz-03, degraded, up for 3 h 12 min, version 0.1.0
queue      12,480 punches to be delivered (3.1 MiB), the oldest for 2 h 5 min; the disk takes 33 d 20 h more of this
broker     down for 2 h 5 min, broker.example:8883, connection refused
key        ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo
terminals  1 of 2 online
clock      kept by ntp, -840 ms from the battery clock; believed; its last record is of 2026-11-20 08:58:31

medium  canteen: Terminal offline (terminal-offline), since 2026-11-20 08:58:31
        cause  no route to host
        means  People can punch.
        mend   Check its cable.
"
    );
}

#[test]
fn conditions_are_told_in_the_language_that_is_asked_for() {
    let office = Office::open();
    let told = |language: &str| {
        let output = run(program(&["conditions"]).arg("--socket").arg(office.socket()).env("LC_ALL", language));
        printed(&output).0
    };
    assert_eq!(
        told("zh_CN.UTF-8"),
        "\
medium  canteen: 考勤机离线（terminal-offline），自 2026-11-20 08:58:31
        原因     no route to host
        影响     可以打卡。
        处理     检查网线。
"
    );
    assert!(told("C.UTF-8").contains("mend   Check its cable."));
}

#[test]
fn terminals_are_listed_aligned_and_what_they_send_stays_harmless() {
    assert_eq!(
        Office::open().ask(&["terminals"]),
        "\
TERMINAL    STATE    SINCE  LAST SEEN  LAST PUNCH  CLOCK    RECORDS      PUNCHES  TWINS  ASIDE  DRIVER  DELIVERY  SERIAL          FIRMWARE
canteen     offline  2 h    -          -           -840 ms  4000/100000   12,480      3      0  zk      logged    CEXA\\u{1b}[2J1  -
front-door  online   2 h    -          -           -840 ms  4000/100000   12,480      3      0  zk      logged    CEXA\\u{1b}[2J1  -
"
    );
}

#[test]
fn punches_are_filtered_letter_by_letter() {
    let office = Office::open();
    assert_eq!(
        office.ask(&["punches", "--person", "7"]),
        "\
TERMINAL    SEQ  LOCAL TIME           PERSON  DIRECTION  BY    ORIGIN  DELIVERED  FLAGS
front-door    1  2026-11-20 08:58:31  7       in         face  live    yes        duplicate-second
"
    );
    let none = office.ask(&["punches", "--since", "2026-11-21", "--json"]);
    assert_eq!(none, "");
}

#[test]
fn json_is_one_object_a_line_for_every_question() {
    let office = Office::open();
    for (words, lines, key) in [
        (&["status"][..], 1, "headline"),
        (&["terminals"], 2, "name"),
        (&["punches"], 2, "person"),
        (&["conditions"], 1, "mend"),
        (&["reconcile", "front-door"], 1, "new_punches"),
    ] {
        let said = office.ask(&[words, &["--json"]].concat());
        let objects: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), lines, "{said}");
        assert!(objects.iter().all(|object| !object[key].is_null()), "{said}");
    }
}

#[test]
fn a_reconcile_tells_what_came_of_it() {
    let office = Office::open();
    assert_eq!(office.ask(&["reconcile", "front-door"]), "front-door: compared\n  new punches 2\n  read 4000\n");
    let ranged = ["reconcile", "front-door", "--from", "2026-11-01", "--to", "2026-11-20"];
    assert_eq!(
        office.ask(&ranged),
        "front-door: compared\n  from \"2026-11-01T00:00:00\"\n  to \"2026-11-20T23:59:59\"\n"
    );
    let turned = run(&mut program(&["reconcile", "front-door", "--from", "2026-11-20", "--to", "2026-11-01T08:00"]));
    assert_eq!((turned.status.code(), printed(&turned).1.contains("ends before it begins")), (Some(2), true));
    let output = run(program(&["reconcile", "cellar", "--socket"]).arg(office.socket()));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(printed(&output).1, "punchgate: there is no terminal \"cellar\"\n    mend: see punchgate terminals\n");
}

#[test]
fn who_follows_sees_punches_as_they_come_and_may_leave_at_any_time() {
    let office = Office::open();
    let mut command = program(&["punches", "--follow", "--json", "--socket"]);
    let mut child = command.arg(office.socket()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("\"seq\":1") && next().contains("\"seq\":2"));
    office.desk.live.send(punch(3, "9")).unwrap();
    assert!(next().contains("\"seq\":3"));
    // As `head` does.
    drop(lines);
    for seq in 4..1000 {
        if office.desk.live.send(punch(seq, "9")).is_err() {
            break;
        }
    }
    let output = finish(child);
    assert_eq!((output.status.code(), printed(&output).1), (Some(0), String::new()));
}

#[test]
fn a_daemon_that_is_not_there_is_69_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("nobody.sock");
    let output = run(program(&["status", "--socket"]).arg(&socket));
    assert_eq!(output.status.code(), Some(69));
    assert_eq!(
        printed(&output).1,
        format!(
            "punchgate: nobody answers on {}: No such file or directory (os error 2)\n    mend: start it: \
             systemctl start punchgate; what it said last: journalctl -u punchgate -n 50\n",
            socket.display()
        )
    );
}

#[test]
fn the_daemon_is_found_by_its_config() {
    let office = Office::open();
    let config = office.folder.path().join("config.toml");
    // The rest of it may be wrong, or none of the asker's business.
    fs::write(&config, "[gateway]\nid = 5\nstate_dir = \".\"\n").unwrap();
    let output = run(program(&["conditions", "--config"]).arg(&config));
    assert!(printed(&output).0.starts_with("medium  canteen: Terminal offline"), "{output:?}");
    // Under systemd the socket lies in the unit's own folder.
    fs::write(&config, "[gateway]\nstate_dir = \"/nowhere\"\n").unwrap();
    let output = run(program(&["status", "--config"]).arg(&config).env("RUNTIME_DIRECTORY", office.folder.path()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run(program(&["status", "--config"]).arg(&config));
    assert_eq!(output.status.code(), Some(69), "{output:?}");
}

#[test]
fn a_config_with_problems_is_78_and_says_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, "[mqtt]\nurl = \"mqtt://localhost\"\n").unwrap();
    let output = run(program(&["check", "--config"]).arg(&config));
    assert_eq!(output.status.code(), Some(78));
    let said = printed(&output).0;
    assert!(said.starts_with(&format!("{} has 3 problems\ngateway.id\n", config.display())), "{said}");
    assert!(said.contains("\n1 warning\nterminal\n"), "{said}");

    let output = run(program(&["check", "--json", "--config"]).arg(&config));
    assert_eq!(output.status.code(), Some(78));
    let said: serde_json::Value = serde_json::from_str(&printed(&output).0).unwrap();
    assert_eq!((&said["ok"], &said["problems"][0]["key"]), (&false.into(), &"gateway.id".into()));

    let output = run(program(&["run", "--config"]).arg(&config));
    assert_eq!(output.status.code(), Some(78), "the unit must not restart after it");

    fs::write(&config, "[gateway]\nid = \"a\"\ntenant = \"b\"\nzone = \"UTC\"\n[mqtt]\nurl = \"mqtt://localhost\"\n")
        .unwrap();
    let output = run(program(&["check", "--config"]).arg(&config));
    assert_eq!(output.status.code(), Some(0));
    let said = printed(&output).0;
    assert!(said.starts_with(&format!("{} is well: 0 terminals on 0 lines\n", config.display())), "{said}");
}

#[test]
fn arguments_without_sense_are_2() {
    for words in [&["dance"][..], &["punches", "--since", "yesterday"], &["run", "--log", "loud"], &[]] {
        assert_eq!(run(&mut program(words)).status.code(), Some(2), "{words:?}");
    }
    let output = run(&mut program(&["run", "--log-level", "loud"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).1.starts_with("punchgate: \"loud\" is no log level"), "{output:?}");
}

#[test]
fn shells_and_man_get_their_pages() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&mut program(&["completions", shell]));
        let script = printed(&output).0;
        assert!(script.contains("reconcile"), "{shell}");
        assert!(!script.contains("demo-part") && !script.contains("demo_part"), "{shell} offers what is hidden");
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(program(&["man"]).arg(folder.path())).status.code(), Some(0));
    for page in ["punchgate.1", "punchgate-status.1", "punchgate-journal-export.1"] {
        assert!(fs::read_to_string(folder.path().join(page)).unwrap().starts_with(".ie"), "{page}");
    }
    let output = run(program(&["man"]).arg(folder.path().join("nowhere")));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_page_of_the_command_line_is_as_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli/punchgate.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, cli::markdown()).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == cli::markdown(), "{} is old: UPDATE_DOCS=1 cargo test --test cli", path.display());
}
