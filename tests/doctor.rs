//! Faults, and what `punchgate doctor` says is to be mended first: it must be the fault, and nothing above it.

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use driver_zk::{
    command,
    sim::{Fault, Harm, Model, Simulator},
};
use jiff::SignedDuration;
use punchgate::doctor::{Examination, Outcome, Report, examine};
use rustix::process::Signal;
use support::{
    broker::{Mosquitto, Setup, skipped},
    certs::Ca,
    daemon::Daemon,
    hostile::{Hostile, Manner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// What the doctor says of a config.
async fn look(config: PathBuf, terminal: Option<&str>) -> Report {
    // As the program does; another test may have been faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    examine(&Examination { config, terminal: terminal.map(str::to_owned) }).await
}

fn first(report: &Report) -> Option<&'static str> {
    report.first_cause().map(|finding| finding.check)
}

/// The first cause is this one, told in both languages with a mend, and nothing of its own layer's consequences is tried.
#[track_caller]
fn assert_first(report: &Report, check: &str, words: &str) {
    let Some(cause) = report.first_cause() else { panic!("nothing was found, but {check}: {report:#?}") };
    assert_eq!(cause.check, check, "{report:#?}");
    assert!(cause.evidence.en.contains(words), "{words:?} is not in {:?}", cause.evidence.en);
    let mend = cause.mend.as_ref().expect("what is wrong has a mend");
    assert!(!mend.en.is_empty() && !mend.zh.is_empty() && mend.en != mend.zh);
}

/// A terminal that is well in every way, and its block.
async fn well() -> (Simulator, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("comm.key");
    fs::write(&key, "4711\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let terminal = Simulator::start(Model { comm_key: 4711, ..Model::default() }, 0).await.unwrap();
    terminal.fill(20);
    let block = block(&format!("tcp://{}", terminal.address()), &format!("comm_key_file = {key:?}"));
    (terminal, block, folder)
}

fn block(address: &str, more: &str) -> String {
    format!(
        "[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\nzone = \"UTC\"\naddress = \"{address}\"\ntimeout = \"1s\"\n{more}\n"
    )
}

/// Beside a daemon that has had the time to try: what the doctor says.
async fn beside(daemon: &Daemon) -> Report {
    daemon
        .until(&["terminals"], "every terminal was tried", |lines| {
            lines.iter().all(|line| line["state"] == "online" || line["unserved"].is_string())
        })
        .await;
    daemon.until_status("the broker was tried", |status| status["link"]["state"] != "connecting").await;
    look(daemon.config(), None).await
}

/// A fault of a terminal, seen beside a daemon and without one.
async fn at_terminal(terminals: &str, check: &str, words: &str) {
    let Some(broker) = Mosquitto::plainly() else { return };
    let mut daemon = Daemon::start(&broker, terminals);
    assert_first(&beside(&daemon).await, check, words);
    daemon.kill();
    let alone = look(daemon.config(), None).await;
    assert_eq!(first(&alone), Some("daemon"));
    let wrong = |outcome| outcome == Outcome::Wrong || outcome == Outcome::Odd;
    let second =
        alone.findings.iter().find(|it| wrong(it.outcome) && it.check != "daemon").expect("the terminal's fault");
    assert_eq!(second.check, check, "{alone:#?}");
}

/// A fault on the way to the broker.
async fn at_broker(setup: Setup, edit: impl FnOnce(String) -> String, check: &str, words: &str) {
    let Some(broker) = Mosquitto::start(setup) else { return };
    let (_terminal, block, _key) = well().await;
    let daemon = Daemon::start_edited(&broker, &block, edit);
    assert_first(&beside(&daemon).await, check, words);
}

fn keep(text: String) -> String {
    text
}

#[tokio::test]
async fn a_gateway_that_is_well_is_found_well() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let (_terminal, block, _key) = well().await;
    let mut daemon = Daemon::start(&broker, &block);
    let report = beside(&daemon).await;
    assert_eq!(report.first_cause(), None, "{report:#?}");
    daemon.kill();
    let report = look(daemon.config(), None).await;
    assert_first(&report, "daemon", "");
    let wrong = report.findings.iter().filter(|finding| matches!(finding.outcome, Outcome::Wrong | Outcome::Odd));
    assert_eq!(wrong.count(), 1, "{report:#?}");
}

#[tokio::test]
async fn looking_changes_nothing() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let (terminal, block, _key) = well().await;
    let mut daemon = Daemon::start(&broker, &block);
    beside(&daemon).await;
    daemon.kill();
    let asked = terminal.journal().len();
    let listed = |folder: PathBuf| {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap())
            .map(|it| (it.path(), it.metadata().unwrap().len()))
            .collect();
        files.sort();
        files
    };
    let before = (listed(daemon.path("state")), listed(daemon.path("state/journal")));
    let report = look(daemon.config(), Some("front-door")).await;
    assert_eq!(before, (listed(daemon.path("state")), listed(daemon.path("state/journal"))), "{report:#?}");
    let commands = &terminal.journal()[asked..];
    let changing = [command::ask::SET_TIME, command::ask::UNLOCK, command::ask::RESTART];
    assert!(!commands.is_empty() && !commands.iter().any(|it| changing.contains(it)), "{commands:?}");
}

#[tokio::test]
async fn faults_of_the_config() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let daemon = Daemon::start_edited(&broker, "", |text| text.replace("zone", "zon"));
    assert_first(&look(daemon.config(), None).await, "config", "did you mean zone?");
    assert_first(&look(daemon.path("nowhere.toml"), None).await, "config", "cannot be read");
    let daemon = Daemon::start(&broker, "");
    daemon.until_status("it is up", |_| true).await;
    assert_first(&look(daemon.config(), Some("front-dor")).await, "terminal-reach", "no such terminal");
}

#[tokio::test]
async fn faults_of_the_disk() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let at = |place: &'static str| {
        move |text: String| text.replace("state_dir = \"state\"", &format!("state_dir = \"{place}\""))
    };
    let daemon = Daemon::start_edited(&broker, "", at("no/such/disk"));
    assert_first(&look(daemon.config(), None).await, "state-dir", "is not there");
    let daemon = Daemon::start_edited(&broker, "", at("config.toml"));
    assert_first(&look(daemon.config(), None).await, "state-dir", "config.toml");
    let daemon = Daemon::start_edited(&broker, "", |text| text.replace("\"1MiB\"", "\"1000TiB\""));
    daemon.until_status("it is up", |_| true).await;
    assert_first(&look(daemon.config(), None).await, "disk-space", "new punches are refused");
}

#[tokio::test]
async fn a_disk_that_cannot_be_written() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let mut daemon = Daemon::start(&broker, "");
    daemon.until_status("it is up", |_| true).await;
    daemon.kill();
    let state = daemon.path("state");
    let mount =
        |words: &[&str]| Command::new("mount").args(words).arg(&state).output().is_ok_and(|it| it.status.success());
    if !mount(&["-t", "tmpfs", "-o", "ro", "tmpfs"]) {
        return skipped("mounting a read-only file system needs root");
    }
    let report = look(daemon.config(), None).await;
    assert!(Command::new("umount").arg(&state).status().unwrap().success());
    assert_first(&report, "disk-sync", "Read-only file system");
}

#[tokio::test]
async fn a_journal_that_was_damaged() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let (terminal, block, _key) = well().await;
    let mut daemon = Daemon::start(&broker, &block);
    daemon.until(&["terminals"], "the log was read", |lines| lines.iter().any(|it| it["punches"] == 20)).await;
    terminal.punch("1001");
    daemon.until(&["terminals"], "one more", |lines| lines.iter().any(|it| it["punches"] == 21)).await;
    daemon.kill();
    let segments = fs::read_dir(daemon.path("state/journal")).unwrap().map(|file| file.unwrap().path());
    let largest = segments.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let file = fs::File::options().read(true).write(true).open(&largest).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 400).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], 400).unwrap();
    let report = look(daemon.config(), None).await;
    assert_first(&report, "journal", "damaged");
}

#[tokio::test]
async fn a_clock_before_its_own_records() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let mut daemon = Daemon::start(&broker, "");
    daemon.until_status("it is up", |_| true).await;
    daemon.kill();
    let file = fs::read_dir(daemon.path("state/journal")).unwrap().next().unwrap().unwrap().path();
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(2 * 86_400)).unwrap();
    assert_first(&look(daemon.config(), None).await, "clock", "punches were stored at");
}

#[tokio::test]
async fn a_clock_that_was_never_set() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let mut daemon = Daemon::start(&broker, "");
    daemon.until_status("it is up", |_| true).await;
    daemon.kill();
    let program = env!("CARGO_BIN_EXE_punchgate");
    let config = daemon.config();
    let words = ["-f", "@1970-01-02 00:00:00", program, "doctor", "--json", "--config", config.to_str().unwrap()];
    let Ok(output) = Command::new("faketime").args(words).output() else { return skipped("faketime is not here") };
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let wrong = findings.iter().find(|finding| finding["outcome"] == "wrong").unwrap();
    assert_eq!(wrong["check"], "clock", "{report:#}");
}

#[tokio::test]
async fn a_daemon_that_does_not_answer() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let mut daemon = Daemon::start(&broker, "");
    daemon.until_status("it is up", |_| true).await;
    daemon.signal(Signal::STOP);
    assert_first(&look(daemon.config(), None).await, "daemon", "within 5 s");
    daemon.signal(Signal::CONT);
    daemon.kill();
    assert_first(&look(daemon.config(), None).await, "daemon", "nobody answers");
}

#[tokio::test]
async fn ways_that_lead_to_no_broker() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let elsewhere = move |text: String| {
        let at = text.find("localhost:").unwrap();
        let end = text[at..].find('"').unwrap();
        format!("{}localhost:{port}{}", &text[..at], &text[at + end..])
    };
    at_broker(Setup::default(), elsewhere, "broker-port", "nobody listens").await;
    let nameless = |text: String| text.replace("localhost:", "no-such-broker.invalid:");
    at_broker(Setup::default(), nameless, "broker-name", "has no address").await;
}

#[tokio::test]
async fn a_broker_that_hangs() {
    let Some(broker) = Mosquitto::plainly() else { return };
    broker.freeze();
    let (_terminal, block, _key) = well().await;
    let daemon = Daemon::start(&broker, &block);
    let report = beside(&daemon).await;
    broker.thaw();
    assert_first(&report, "broker-tls", "does not begin TLS");
}

#[tokio::test]
async fn certificates_that_are_not_right() {
    let ca = || Ca::new("punchgate test CA");
    let other = |names: &[&str]| Some(Ca::new("another CA").issue(names));
    let setup = Setup { certificate: other(&["localhost"]), ..Setup::default() };
    at_broker(setup, keep, "broker-tls", "not in ca_file").await;
    let mine = ca();
    let setup = Setup { certificate: Some(mine.issue_until(&["localhost"], 2021)), ca: mine, ..Setup::default() };
    at_broker(setup, keep, "broker-tls", "not valid now").await;
    let mine = ca();
    let setup = Setup { certificate: Some(mine.issue(&["elsewhere.example"])), ca: mine, ..Setup::default() };
    at_broker(setup, keep, "broker-tls", "another name").await;
    let without = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("cert_file") && !line.starts_with("key_file"));
        lines.collect::<Vec<_>>().join("\n")
    };
    at_broker(Setup::default(), without, "broker-tls", "").await;
}

#[tokio::test]
async fn a_certificate_of_ours_that_the_broker_does_not_know() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let (_terminal, block, _key) = well().await;
    broker.write_pair("client", &Ca::new("another CA").issue(&["gateway"]));
    let daemon = Daemon::start(&broker, &block);
    assert_first(&beside(&daemon).await, "broker-tls", "");
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_odd() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let (_terminal, block, _key) = well().await;
    let ends = jiff::Timestamp::now() + SignedDuration::from_hours(24 * 12 + 6);
    let ca = Ca::new("punchgate test CA");
    fs::write(broker.path("ca.pem"), ca.pem()).unwrap();
    broker.write_pair("broker", &ca.issue_ending(&["localhost"], ends.as_second()));
    broker.write_pair("client", &ca.issue(&["gateway"]));
    let mut broker = broker;
    broker.restart();
    let daemon = Daemon::start(&broker, &block);
    assert_first(&beside(&daemon).await, "certificate", "the broker's 12");
}

/// Answers everybody as a web server does.
fn web_server() -> u16 {
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = door.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in door.incoming().flatten() {
            let mut asked = [0; 1024];
            // Whoever left without a word gets no answer.
            if stream.read(&mut asked).is_ok_and(|count| count > 0) {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        }
    });
    port
}

#[tokio::test]
async fn somebody_else_in_the_brokers_place() {
    let port = web_server();
    let there = move |text: String| {
        let at = text.find("localhost:").unwrap();
        let end = text[at..].find('"').unwrap();
        format!("{}localhost:{port}{}", &text[..at], &text[at + end..])
    };
    at_broker(Setup::default(), there, "broker-tls", "web server").await;
    let plain = Setup { tls: false, ..Setup::default() };
    let with_tls = |text: String| {
        let folder = tempfile::tempdir().unwrap().keep();
        fs::write(folder.join("ca.pem"), Ca::new("punchgate test CA").pem()).unwrap();
        text.replace("mqtt://", "mqtts://")
            .replace("[spool]", &format!("ca_file = {:?}\n[spool]", folder.join("ca.pem")))
    };
    at_broker(plain, with_tls, "broker-tls", "").await;
    let without_tls = |text: String| text.replace("mqtts://", "mqtt://");
    at_broker(Setup::default(), without_tls, "broker-login", "").await;
}

#[tokio::test]
async fn a_broker_that_wants_another_password() {
    let user = |password: &'static str| {
        move |text: String| {
            let folder = tempfile::tempdir().unwrap().keep();
            fs::write(folder.join("password"), password).unwrap();
            let lines = format!("username = \"gateway\"\npassword_file = {:?}\n[spool]", folder.join("password"));
            text.replace("[spool]", &lines)
        }
    };
    let setup = || Setup { user: Some(("gateway", "right")), ..Setup::default() };
    at_broker(setup(), user("wrong"), "broker-login", "").await;
    at_broker(setup(), keep, "broker-login", "").await;
}

#[tokio::test]
async fn a_broker_that_takes_no_document() {
    let folder = tempfile::tempdir().unwrap();
    let acl = folder.path().join("acl");
    fs::write(&acl, "topic read #\n").unwrap();
    let extra = format!("acl_file {}\nmax_queued_messages 1000", acl.display());
    at_broker(Setup { extra, ..Setup::default() }, keep, "broker-publish", "").await;
}

/// Without a daemon, which such a broker would keep busy: what is wrong besides that there is none.
async fn at_hostile(manner: Manner, check: &str) {
    let hostile = Hostile::start(manner, usize::MAX).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let text = format!(
        "[gateway]\nid = \"sz-03\"\ntenant = \"acme\"\nzone = \"UTC\"\nstate_dir = \"state\"\n\
         [mqtt]\nurl = \"mqtt://{}\"\nack_timeout = \"2s\"\n[spool]\nmin_free = \"1MiB\"\n",
        hostile.url()
    );
    fs::write(&config, text).unwrap();
    let report = look(config, None).await;
    let besides = |it: &&punchgate::doctor::Finding| it.outcome == Outcome::Wrong && it.check != "daemon";
    let found = report.findings.iter().find(besides);
    assert_eq!(found.map(|it| it.check), Some(check), "{manner:?}: {report:#?}");
}

#[tokio::test]
async fn brokers_that_break_the_rules() {
    at_hostile(Manner::NeverWelcomes, "broker-login").await;
    at_hostile(Manner::RefusesAtTheDoor(0x88), "broker-login").await;
    at_hostile(Manner::RefusesAtTheDoor(0x87), "broker-login").await;
    at_hostile(Manner::NeverAcks, "broker-publish").await;
    at_hostile(Manner::Refuses, "broker-publish").await;
    at_hostile(Manner::WelcomesAndCloses, "broker-publish").await;
}

#[tokio::test]
async fn ways_that_lead_to_no_terminal() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    at_terminal(&block(&format!("tcp://127.0.0.1:{port}"), ""), "terminal-reach", "refused").await;
    at_terminal(&block("tcp://no-such-terminal.invalid:4370", ""), "terminal-reach", "").await;
}

#[tokio::test]
async fn terminals_that_do_not_let_us_in() {
    let terminal = Simulator::start(Model::default(), 0).await.unwrap();
    let address = format!("tcp://{}", terminal.address());
    terminal.harm(Fault::always(command::ask::CONNECT, Harm::Stall));
    at_terminal(&block(&address, ""), "terminal-reach", "").await;
    terminal.heal();
    terminal.change(|model| model.comm_key = 4711);
    at_terminal(&block(&address, ""), "terminal-session", "").await;
    let (other, block_with_key, _key) = well().await;
    other.change(|model| model.comm_key = 1234);
    at_terminal(&block_with_key, "terminal-session", "").await;
    terminal.change(|model| model.comm_key = 0);
    at_terminal(&block(&address, "serial = \"ANOTHER0001\""), "terminal-session", "ANOTHER0001").await;
    at_terminal(&block(&format!("tcp://127.0.0.1:{}", web_server()), ""), "terminal-session", "").await;
}

#[tokio::test]
async fn a_terminal_is_asked_again_while_somebody_else_has_its_only_place() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let (terminal, block, _key) = well().await;
    let idle = Daemon::prepare();
    idle.configure(&broker, &block);
    let guest = logged_in(&terminal).await;
    let leaving = async {
        sleep(Duration::from_secs(3)).await;
        drop(guest);
    };
    let (report, ()) = tokio::join!(look(idle.config(), Some("front-door")), leaving);
    let session = |report: &Report| {
        let finding = report.findings.iter().find(|it| it.check == "terminal-session").expect("it was tried");
        (finding.outcome, finding.evidence.en.clone())
    };
    assert_eq!(session(&report).0, Outcome::Well, "{report:#?}");
    let _guest = logged_in(&terminal).await;
    let (outcome, evidence) = session(&look(idle.config(), Some("front-door")).await);
    assert!(outcome == Outcome::Wrong && evidence.contains("busy"), "{evidence}");
}

/// Somebody who sits on a terminal: `CMD_CONNECT` as it goes over TCP, answered.
async fn logged_in(terminal: &Simulator) -> TcpStream {
    const CONNECT: [u8; 16] = *b"\x50\x50\x82\x7d\x08\0\0\0\xe8\x03\x17\xfc\0\0\0\0";
    let mut guest = TcpStream::connect(terminal.address()).await.unwrap();
    guest.write_all(&CONNECT).await.unwrap();
    guest.read_exact(&mut [0; 16]).await.unwrap();
    guest
}

#[tokio::test]
async fn terminals_with_troubles_of_their_own() {
    let (terminal, block_with_key, _key) = well().await;
    terminal.set_clock_offset(SignedDuration::from_hours(2));
    at_terminal(&block_with_key, "terminal-clock", "").await;
    terminal.set_clock_offset(SignedDuration::from_hours(-24 * 365 * 26));
    at_terminal(&block_with_key, "terminal-clock", "").await;
    terminal.set_clock_offset(SignedDuration::ZERO);
    terminal.change(|model| model.capacity = 21);
    at_terminal(&block_with_key, "terminal-log", "").await;
    terminal.change(|model| {
        model.capacity = 100_000;
        model.comm_key = 0;
    });
    at_terminal(&block(&format!("tcp://{}", terminal.address()), ""), "terminal-safety", "no comm key").await;
}

#[test]
fn the_command_line_says_it_in_both_languages() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, "[gateway]\nid = \"sz-03\"\n").unwrap();
    let say = |lang: &str| {
        let program = env!("CARGO_BIN_EXE_punchgate");
        let output = Command::new(program).args(["doctor", "--lang", lang, "--config"]).arg(&config).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (en, zh) = (say("en"), say("zh"));
    assert!(en.contains("mend first: config") && en.contains("not tried: first the config"), "{en}");
    assert!(zh.contains("首先处理：配置") && zh.contains("未检查：请先解决“配置”"), "{zh}");
    assert!(!Path::new(&config).with_file_name("state").exists(), "nothing is made");
}
