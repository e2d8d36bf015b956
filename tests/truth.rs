//! The whole gateway asked for the truth: where a punch is, what is lost, and what came again.

mod support;

use std::{
    fs,
    process::{Command, Output},
};

use driver_zk::{
    record::Form,
    sim::{Model, Simulator},
};
use rustix::process::Signal;
use support::{
    broker::{Mosquitto, Setup},
    daemon::Daemon,
    subscriber::Subscriber,
};

async fn terminal(records: usize) -> Simulator {
    let simulator = Simulator::start(Model::of(Form::Text(40)), 0).await.unwrap();
    simulator.fill(records);
    simulator
}

fn block(simulator: &Simulator) -> String {
    format!("[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://{}\"\n\n", simulator.address())
}

/// A terminal that is not there.
const NOBODY: &str = "[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://127.0.0.1:1\"\n\n";

/// `punchgate WORDS --config ...`, running daemon or not.
fn ask(daemon: &Daemon, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
    let Output { status, stdout, stderr } = command.args(words).arg("--config").arg(daemon.config()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout) + &text(stderr))
}

async fn stop(daemon: &mut Daemon) {
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_punch_is_followed_from_the_terminal_to_the_broker_and_a_missing_one_is_explained() {
    let Some(broker) = Mosquitto::start(Setup { persistence: true, ..Setup::default() }) else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let door = terminal(60).await;
    let mut daemon = Daemon::start(&broker, &block(&door));
    subscriber.until_punches(&(1..=60).map(|seq| ("front-door".to_owned(), seq)).collect()).await;
    let asked = |person: &'static str| ["punches", "--person", person];
    let punch = daemon.until(&asked("1005"), "it is there", |all| !all.is_empty()).await.remove(0);
    let local = punch["local"].as_str().unwrap().to_owned();
    let id = punch["id"].as_str().unwrap();
    // Confirmations are noted within a second or so.
    daemon
        .until(&["why", "1005", &local], "its delivery is noted", |all| !all[0]["found"][0]["delivered_by"].is_null())
        .await;
    let (code, said) = ask(&daemon, &["why", "1005", &local]);
    assert_eq!(code, 0, "{said}");
    for word in [
        &format!("punch {id} of person 1005 at front-door"),
        "by its clock (Asia/Shanghai)",
        "read       backfill",
        "as number 6 of ledger",
        "confirmed by the broker",
        "topic      punchgate/1/acme/sz-03/punch/front-door, in an event front-door/",
    ] {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
    let (code, said) = ask(&daemon, &["why", "5001", &local, "--terminal", "front-door"]);
    assert_eq!(code, 1);
    for word in [
        "there is no punch of person 5001 within 30 min",
        "nearest    none",
        "punches of others in that time",
        "now        front-door is online",
    ] {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
    let (_, said) = ask(&daemon, &["why", "--silent", "front-door"]);
    assert!(said.contains("front-door: the last punch was on") && said.contains("now: front-door is online"), "{said}");

    let outcome = daemon.ask(&["reconcile", "front-door", "--from", &local, "--to", &local]).unwrap().remove(0);
    assert_eq!((&outcome["records"], &outcome["new"]), (&60.into(), &0.into()), "{outcome}");
    assert!(outcome["twins"].as_u64().unwrap() >= 1 && outcome["twins"].as_u64().unwrap() < 60, "{outcome}");

    let (code, said) = ask(&daemon, &["reconcile", "front-dor"]);
    assert!(code != 0 && said.contains("there is no such terminal in the config"), "{said}");

    stop(&mut daemon).await;
    // Dead, and from its disk alone; the terminal's states and the gateway's end are noted there.
    let (code, said) = ask(&daemon, &["why", "1005", &local]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("the daemon does not answer: this is from the disk alone"), "{said}");
    // (The simulated terminal's clock runs in another zone than the config says.)
    let (code, said) = ask(&daemon, &["why", "5001", &local, "--within", "12h"]);
    assert_eq!(code, 1);
    assert!(said.contains("online since") && said.contains("started since"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_repair_lost_is_a_condition_until_the_terminal_has_brought_it_again() {
    let Some(broker) = Mosquitto::start(Setup { persistence: true, ..Setup::default() }) else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let door = terminal(450).await;
    let mut daemon = Daemon::start(&broker, &block(&door));
    subscriber.until_punches(&(1..=450).map(|seq| ("front-door".to_owned(), seq)).collect()).await;
    let (code, said) = ask(&daemon, &["journal", "repair"]);
    assert_eq!((code, said.contains("is in use by a daemon")), (1, true), "{said}");
    stop(&mut daemon).await;

    let segment = daemon.path("state/journal/00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[20_000..30_000].fill(0);
    fs::write(&segment, bytes).unwrap();
    assert_eq!(ask(&daemon, &["journal", "verify"]).0, 1);
    let (code, said) = ask(&daemon, &["journal", "repair"]);
    assert_eq!((code, said.contains("recorded as lost")), (3, true), "{said}");
    let (code, said) = ask(&daemon, &["journal", "verify"]);
    assert_eq!((code, said.contains("are missing")), (3, true), "{said}");

    daemon.configure(&broker, NOBODY);
    daemon.launch();
    let lost = |all: &[serde_json::Value]| all.iter().any(|one| one["code"] == "punches-lost");
    let told = daemon.until(&["conditions"], "the loss is told", lost).await;
    let cause = told.iter().find(|one| one["code"] == "punches-lost").unwrap();
    assert_eq!((&cause["subject"], cause["cause"].as_str().unwrap().contains("; 0 of")), (&"front-door".into(), true));
    let birth = subscriber.until_document("birth", |it| it["ledgers"][0]["lost"][0].is_array()).await;
    assert_eq!(birth["ledgers"][0]["last"], 450);

    // The terminal has them still: they come again, and it is over.
    daemon.configure(&broker, &block(&door));
    daemon.signal(Signal::HUP);
    daemon.until(&["conditions"], "what was lost came again", |all| !lost(all)).await;
    let (code, said) = ask(&daemon, &["journal", "verify"]);
    assert_eq!((code, said.contains("made good")), (3, true), "{said}");

    // And one that nobody brings again is known when somebody says so.
    let acknowledged = daemon.ask(&["journal", "acknowledge", "front-door"]).unwrap();
    assert_eq!(acknowledged[0]["of"], 0, "{acknowledged:?}");
    stop(&mut daemon).await;
}
