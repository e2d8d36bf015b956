//! Remote support, whole: the real program on both sides, a real broker with the access rules that we ship, a terminal that
//! speaks real bytes.

mod support;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use data_encoding::BASE64URL_NOPAD;
use driver_zk::sim::{Fault, Harm, Model, Simulator};
use jiff::Timestamp;
use punchgate::{
    audit,
    command::{Envelope, Order, PrivateKey, Purpose, new_id},
    mqtt::{Client, Connect, Event, Hello, Message},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{
    broker::{Mosquitto, Setup},
    certs::Ca,
    daemon::Daemon,
    soon,
    subscriber::Subscriber,
};
use tempfile::TempDir;

const UNLOCK: u16 = 31;

/// A gateway with a terminal, two people who support it, and whoever watches.
struct Office {
    broker: Mosquitto,
    simulator: Simulator,
    daemon: Daemon,
    home: TempDir,
    watcher: Subscriber,
}

impl Office {
    async fn open() -> Option<Self> {
        let rules = fs::canonicalize("packaging/mosquitto/acl.example").unwrap();
        let ca = Ca::new("punchgate test CA");
        let pairs = ["sz-03", "support"].map(|name| ca.issue(&[name]));
        let all = "\nuser watcher\ntopic read #\n";
        let home = tempfile::tempdir().unwrap();
        let acl = home.path().join("acl");
        fs::write(&acl, fs::read_to_string(rules).unwrap() + all).unwrap();
        let extra = format!("use_identity_as_username true\nmax_queued_messages 100000\nacl_file {}\n", acl.display());
        let watcher = ca.issue(&["watcher"]);
        let broker = Mosquitto::start(Setup { ca, extra, ..Setup::default() })?;
        broker.write_pair("client", &pairs[0]);
        broker.write_pair("support", &pairs[1]);
        broker.write_pair("watcher", &watcher);
        let simulator = Simulator::start(Model::default(), 0).await.unwrap();
        let mut operators = String::new();
        for (name, role) in [("li", "admin"), ("wang", "support")] {
            let key = PrivateKey::generate();
            key.write(&home.path().join(format!("{name}.jwk"))).unwrap();
            operators += &format!(
                "[[operator]]\nname = \"{name}\"\nperson = \"{name}\"\npublic_key = \"{}\"\nroles = [\"{role}\"]\n\
                 not_after = \"{}\"\n",
                key.public(),
                Timestamp::now().strftime("%F")
            );
        }
        let terminals = format!(
            "[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://{}\"\n\
             [commands]\nallow = [\"terminal.unlock\"]\n{operators}",
            simulator.address()
        );
        let settings = |name: &str| {
            let file = |ending| Some(broker.path(&format!("{name}.{ending}")));
            punchgate::mqtt::MqttSettings { cert_file: file("pem"), key_file: file("key"), ..broker.settings(name) }
        };
        let watcher = Subscriber::start(settings("watcher")).await;
        let daemon = Daemon::start(&broker, &terminals);
        let office = Self { broker, simulator, daemon, home, watcher };
        let status = office.daemon.until_status("it is connected", |it| it["link"]["state"] == "up").await;
        let until = |lines: &[Value]| lines[0]["state"] == "online";
        office.daemon.until(&["terminals"], "the terminal is served", until).await;
        for name in ["li", "wang"] {
            let file = |name: &str| office.broker.path(name).display().to_string();
            let profile = format!(
                "key_file = \"{name}.jwk\"\ntenant = \"acme\"\n[mqtt]\nurl = \"mqtts://{}\"\nca_file = \"{}\"\n\
                 cert_file = \"{}\"\nkey_file = \"{}\"\n[gateway.sz-03]\nkey = {}\n",
                office.broker.url(),
                file("ca.pem"),
                file("support.pem"),
                file("support.key"),
                status["key"],
            );
            fs::write(office.profile(name), profile).unwrap();
        }
        Some(office)
    }

    fn profile(&self, name: &str) -> PathBuf {
        self.home.path().join(format!("{name}.toml"))
    }

    fn command(&self, who: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
        command.arg("remote").args(words).arg("--json").arg("--profile").arg(self.profile(who));
        command.stdin(Stdio::null());
        command
    }

    /// What came of it: the last answer, and whether the program was content.
    async fn remote(&self, who: &str, words: &[&str]) -> (Value, bool) {
        let output = soon("it is answered", run(self.command(who, words))).await;
        let said = String::from_utf8(output.stdout).unwrap();
        let last = said.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (serde_json::from_str(last).unwrap(), output.status.success())
    }

    async fn successful(&self, who: &str, words: &[&str]) -> Value {
        let (answer, well) = self.remote(who, words).await;
        assert!(well && answer["status"] == "successful", "{words:?}: {answer}");
        answer["result"].clone()
    }

    fn unlocked(&self) -> usize {
        self.simulator.journal().iter().filter(|command| **command == UNLOCK).count()
    }

    /// Waits for an answer on the topic of an order.
    async fn answer(&self, id: &str, standing: &str) -> Value {
        let payload = |document: &Value| -> Option<Value> {
            let bytes = BASE64URL_NOPAD.decode(document["payload"].as_str()?.as_bytes()).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let like = |document: &Value| payload(document).is_some_and(|payload| payload["status"] == standing);
        payload(&self.watcher.until_document(&format!("response/{id}"), like).await).unwrap()
    }

    /// Sends something as somebody who has the support's place at the broker.
    async fn publish(&self, suffix: &str, payload: &[u8], retain: bool) {
        let file = |ending| Some(self.broker.path(&format!("support.{ending}")));
        let settings = punchgate::mqtt::MqttSettings {
            cert_file: file("pem"),
            key_file: file("key"),
            ..self.broker.settings("anybody")
        };
        let client = Client::new(settings);
        let hello = Hello { will: None, subscribe: vec![] };
        let mut connection = soon("it connects", client.connect(&client.brokers()[0], hello)).await.unwrap();
        let topic = format!("punchgate/1/acme/sz-03/{suffix}");
        connection.publish(1, Message { topic, payload: payload.to_vec(), retain }).unwrap();
        while !matches!(soon("it is taken", connection.event()).await.unwrap(), Event::Acked(_)) {}
    }
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn order(command: &str, terminal: Option<&str>) -> Order {
    let now = Timestamp::now().as_second();
    Order {
        id: new_id(),
        gateway: "sz-03".into(),
        tenant: "acme".into(),
        iat: now,
        exp: now + 60,
        command: command.into(),
        args: Default::default(),
        terminal: terminal.map(str::to_owned),
        reason: "a test".into(),
        challenge: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_support_engineer_sees_mends_and_proves_over_the_broker_alone() {
    let Some(mut office) = Office::open().await else { return };
    office.simulator.punch("1024");
    let health = office.successful("wang", &["sz-03", "health"]).await;
    assert_eq!(health["terminals"], 1);
    assert_eq!(office.successful("wang", &["sz-03", "terminals"]).await["terminals"][0]["name"], "front-door");
    office.successful("wang", &["sz-03", "conditions"]).await;
    let logs = office.successful("wang", &["sz-03", "logs", "limit=50"]).await;
    assert!(logs["lines"].to_string().contains("gateway started"), "{logs}");
    let info = office.successful("wang", &["sz-03", "terminal.info", "front-door"]).await;
    assert!(info["serial"].is_string(), "{info}");

    office.successful("wang", &["sz-03", "reconcile", "front-door", "--reason", "TICKET-1"]).await;
    let found = office.successful("wang", &["sz-03", "punches", "person=1024"]).await;
    let punch = &found["punches"][0];
    assert!(!found.to_string().contains("\"1024\""), "{found}");
    assert!(punch["pseudonym"].as_str().unwrap().starts_with("p-"));
    let before = office.watcher.messages().len();
    let (ledger, seq) = (format!("ledger={}", punch["ledger"]), format!("first={}", punch["seq"]));
    let last = format!("last={}", punch["seq"]);
    let replay = ["sz-03", "replay", "front-door", &ledger, &seq, &last, "--reason", "TICKET-1"];
    assert_eq!(office.successful("wang", &replay).await["punches"], 1);
    soon("it comes again", async {
        while office.watcher.messages().len() == before {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let messages = office.watcher.messages();
    assert_eq!(messages[messages.len() - 1]["data"]["punches"][0]["id"], punch["id"], "the same id");

    // Who may not, may not, and learns no more than that.
    let (refused, well) =
        office.remote("wang", &["sz-03", "terminal.restart", "front-door", "--reason", "TICKET-1"]).await;
    assert!(!well && refused["status"] == "rejected", "{refused}");
    assert_eq!(refused["error"], "refused; the gateway's audit log says why");

    // A setting is tried, confirmed, and there after a restart that was ordered too.
    let key = "key=terminal.front-door.reconcile";
    let set = ["sz-03", "config.set", key, "value=5m", "--reason", "TICKET-1"];
    let (answer, well) = office.remote("li", &set).await;
    assert!(well, "{answer}");
    let shown = office.successful("li", &["sz-03", "config.show"]).await;
    assert_eq!(shown["config"]["terminal"][0]["reconcile"], "5m");
    assert_eq!(shown["trial"]["set"], answer["id"]);
    let confirm = format!("set={}", answer["id"].as_str().unwrap());
    office.successful("li", &["sz-03", "config.confirm", &confirm, "--reason", "TICKET-1"]).await;
    office.successful("li", &["sz-03", "gateway.restart", "--reason", "TICKET-1"]).await;
    assert!(office.daemon.ended().await.success());
    office.daemon.launch();
    office.daemon.until_status("it is connected", |it| it["link"]["state"] == "up").await;
    let shown = office.successful("li", &["sz-03", "config.show"]).await;
    assert_eq!((&shown["from_afar"]["terminal.front-door.reconcile"], &shown["trial"]), (&json!("5m"), &Value::Null));
    let operators = shown["config"]["operator"].as_array().unwrap().len();
    let (refused, _) =
        office.remote("li", &["sz-03", "config.set", "key=commands.allow", "value=x", "--reason", "x"]).await;
    assert_eq!((refused["status"].as_str(), operators), (Some("failed"), 2));

    // Everything is in the log, and the log is whole.
    office.daemon.signal(Signal::TERM);
    office.daemon.ended().await;
    let state = office.daemon.path("state");
    assert!(audit::verify(&state).unwrap().is_whole());
    let kinds: Vec<(String, String)> = audit::entries(&state)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.kind, entry.data["command"].as_str().or(entry.data["code"].as_str()).unwrap_or("").to_owned())
        })
        .collect();
    for (kind, what) in [
        ("started", ""),
        ("command", "reconcile"),
        ("command", "config.set"),
        ("refused", "terminal.restart"),
        ("stopped", ""),
    ] {
        assert!(kinds.iter().any(|it| it.0 == kind && it.1 == what), "{kind} {what}: {kinds:?}");
    }
    assert!(!fs::read_to_string(state.join("audit/00000001.log")).unwrap().contains("\"1024\""), "a person is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_opens_when_two_persons_have_signed() {
    let Some(office) = Office::open().await else { return };
    let unlock = ["sz-03", "terminal.unlock", "front-door", "seconds=3", "--reason", "fire drill", "--yes"];
    let alone = [&unlock[..], &["--alone"]].concat();
    assert_eq!(office.remote("li", &alone).await.0["status"], "rejected");
    assert_eq!(office.unlocked(), 0);
    let second = tokio::spawn(run(office.command("wang", &["approve", "sz-03", "--yes"])));
    // The second one must be there first: what waits for approval is kept by nobody.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(office.successful("li", &unlock).await["seconds"], 3);
    let second = soon("the second one hears of it", second).await.unwrap();
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(office.unlocked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_a_kill_cut_off_is_unknown_and_is_not_done_again() {
    let Some(mut office) = Office::open().await else { return };
    let key = PrivateKey::read(&office.home.path().join("wang.jwk")).unwrap();
    // It says nothing any more, so that the act is under way for long.
    office.simulator.harm(Fault::always(50, Harm::Stall));
    // Written less than five seconds after the start it would need a challenge.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let order = order("reconcile", Some("front-door"));
    let payload = Envelope::sign(&order.payload(), Purpose::Command, &key).bytes();
    let suffix = format!("request/{}", order.id);
    office.publish(&suffix, &payload, false).await;
    office.answer(&order.id, "executing").await;
    office.daemon.kill();
    office.daemon.launch();
    office.answer(&order.id, "unknown").await;
    // A broker that plays it again, as often as it likes, and retained.
    for retain in [false, false, true] {
        office.publish(&suffix, &payload, retain).await;
    }
    office.daemon.until_status("it is connected", |it| it["link"]["state"] == "up").await;
    office.answer(&order.id, "rejected").await; // the retained one
    office.daemon.signal(Signal::TERM);
    office.daemon.ended().await;
    let accepted = audit::entries(&office.daemon.path("state"))
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.kind == "command"))
        .count();
    assert_eq!(accepted, 1);
}
