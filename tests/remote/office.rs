//! A gateway with a terminal, two people who support it over a broker with our access rules, and whoever watches.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use data_encoding::BASE64URL_NOPAD;
use driver_zk::sim::{Model, Simulator};
use jiff::Timestamp;
use punchgate::{
    command::{Order, PrivateKey, new_id},
    mqtt::{Client, Connect, Connection, Event, Hello, Message, MqttSettings},
};
use serde_json::Value;
use tempfile::TempDir;

use super::support::{
    broker::{Mosquitto, Setup},
    certs::Ca,
    daemon::Daemon,
    soon,
    subscriber::Subscriber,
};

const UNLOCK: u16 = 31;

/// A gateway with a terminal, two people who support it, and whoever watches.
pub(crate) struct Office {
    pub(crate) broker: Mosquitto,
    pub(crate) simulator: Simulator,
    pub(crate) daemon: Daemon,
    pub(crate) home: TempDir,
    pub(crate) watcher: Subscriber,
}

impl Office {
    pub(crate) async fn open() -> Option<Self> {
        let rules = fs::canonicalize("packaging/mosquitto/acl.example").unwrap();
        let ca = Ca::new("punchgate test CA");
        let pairs = ["sz-03", "support"].map(|name| ca.issue(&[name]));
        let all = "\nuser watcher\ntopic readwrite #\n";
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
             [commands]\nallow = [\"terminal.unlock\", \"user.put\", \"user.delete\", \"terminal.clear-log\"]\n{operators}",
            simulator.address()
        );
        let settings = |name: &str| {
            let file = |ending| Some(broker.path(&format!("{name}.{ending}")));
            MqttSettings { cert_file: file("pem"), key_file: file("key"), ..broker.settings(name) }
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

    pub(crate) fn profile(&self, name: &str) -> PathBuf {
        self.home.path().join(format!("{name}.toml"))
    }

    pub(crate) fn command(&self, who: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
        command.arg("remote").args(words).arg("--json").arg("--profile").arg(self.profile(who));
        command.stdin(Stdio::null());
        command
    }

    /// What came of it: the last answer, and whether the program was content.
    pub(crate) async fn remote(&self, who: &str, words: &[&str]) -> (Value, bool) {
        let output = soon("it is answered", run(self.command(who, words))).await;
        let said = String::from_utf8(output.stdout).unwrap();
        let last = said.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (serde_json::from_str(last).unwrap(), output.status.success())
    }

    pub(crate) async fn successful(&self, who: &str, words: &[&str]) -> Value {
        let (answer, well) = self.remote(who, words).await;
        assert!(well && answer["status"] == "successful", "{words:?}: {answer}");
        answer["result"].clone()
    }

    pub(crate) fn unlocked(&self) -> usize {
        self.simulator.journal().iter().filter(|command| **command == UNLOCK).count()
    }

    /// Waits for an answer on the topic of an order.
    pub(crate) async fn answer(&self, id: &str, standing: &str) -> Value {
        let payload = |document: &Value| -> Option<Value> {
            let bytes = BASE64URL_NOPAD.decode(document["payload"].as_str()?.as_bytes()).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let like = |document: &Value| payload(document).is_some_and(|payload| payload["status"] == standing);
        payload(&self.watcher.until_document(&format!("response/{id}"), like).await).unwrap()
    }

    /// A connection of somebody who has the support's place at the broker.
    pub(crate) async fn connect(&self, subscribe: &[String]) -> Box<dyn Connection> {
        let file = |ending| Some(self.broker.path(&format!("support.{ending}")));
        let settings =
            MqttSettings { cert_file: file("pem"), key_file: file("key"), ..self.broker.settings("anybody") };
        let client = Client::new(settings);
        let hello = Hello { will: None, subscribe: subscribe.to_vec() };
        soon("it connects", client.connect(&client.brokers()[0], hello)).await.unwrap()
    }

    /// A connection of whoever has the broker, and may do everything there.
    pub(crate) async fn operator(&self, subscribe: &[String]) -> Box<dyn Connection> {
        let file = |ending| Some(self.broker.path(&format!("watcher.{ending}")));
        let settings =
            MqttSettings { cert_file: file("pem"), key_file: file("key"), ..self.broker.settings("operator") };
        let client = Client::new(settings);
        let hello = Hello { will: None, subscribe: subscribe.to_vec() };
        soon("it connects", client.connect(&client.brokers()[0], hello)).await.unwrap()
    }

    /// Sends something from there.
    pub(crate) async fn publish(&self, suffix: &str, payload: &[u8], retain: bool) {
        let mut connection = self.connect(&[]).await;
        let topic = format!("punchgate/1/acme/sz-03/{suffix}");
        connection.publish(1, Message { topic, payload: payload.to_vec(), retain }).unwrap();
        while !matches!(soon("it is taken", connection.event()).await.unwrap(), Event::Acked(_)) {}
    }

    pub(crate) fn key(&self, name: &str) -> PrivateKey {
        PrivateKey::read(&self.home.path().join(format!("{name}.jwk"))).unwrap()
    }
}

pub(crate) async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub(crate) fn order(command: &str, terminal: Option<&str>) -> Order {
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
