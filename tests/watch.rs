//! A thousand gateways with twenty terminals each on one screen: soon, and in little memory.

mod support;

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use punchgate::mqtt::{Client, Connect, Connection, Event, Hello, Message};
use serde_json::{Value, json};
use support::{
    broker::{Mosquitto, Setup},
    soon,
};

const GATEWAYS: usize = 1000;
const TERMINALS: usize = 20;

/// The documents of one gateway, as the contract has them; each tenth has a terminal away.
fn documents(number: usize) -> Vec<(String, Value)> {
    let golden = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(format!("tests/golden/1/{name}.json")).unwrap()).unwrap()
    };
    let (mut health, terminal, incident) = (golden("health"), golden("terminal-health"), golden("incident"));
    health["at"] = json!(Timestamp::now());
    health["conditions"] = json!([]);
    health["terminals"] = json!(TERMINALS);
    let prefix = format!("punchgate/1/acme/gw-{number:04}");
    let mut all = vec![(format!("{prefix}/state"), golden("state"))];
    for at in 0..TERMINALS {
        let mut terminal = terminal.clone();
        let away = at == 0 && number.is_multiple_of(10);
        terminal["terminal"] = json!(format!("terminal-{at}"));
        if away {
            terminal["conditions"][0]["subject"] = json!("terminal-0");
        } else {
            terminal["conditions"] = json!([]);
        }
        all.push((format!("{prefix}/health/terminal-{at}"), terminal));
    }
    if number.is_multiple_of(10) {
        let mut incident = incident.clone();
        incident["open"][0]["subject"] = json!("terminal-0");
        all.push((format!("{prefix}/incident/terminal-offline"), incident));
    }
    // Last, so that its age is that of the whole.
    all.push((format!("{prefix}/health"), health));
    all
}

async fn publish_all(connection: &mut dyn Connection) {
    let (mut ticket, mut open) = (0, 0);
    for number in 0..GATEWAYS {
        for (topic, document) in documents(number) {
            ticket += 1;
            open += 1;
            let payload = serde_json::to_vec(&document).unwrap();
            connection.publish(ticket, Message { topic, payload, retain: true }).unwrap();
            while open >= 15 {
                if let Event::Acked(_) = connection.event().await.unwrap() {
                    open -= 1;
                }
            }
        }
    }
    while open > 0 {
        if let Event::Acked(_) = connection.event().await.unwrap() {
            open -= 1;
        }
    }
}

/// The most memory that a process had at once, in MiB, as long as it is there.
fn peak_mib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

#[allow(clippy::print_stdout, reason = "what was measured must be seen")]
fn tell(measured: &str) {
    println!("{measured}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_gateways_fit_on_one_screen() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let client = Client::new(broker.settings("publisher"));
    let hello = Hello { will: None, subscribe: vec![] };
    let mut connection = client.connect(&client.brokers()[0], hello).await.unwrap();
    let publishing = tokio::time::timeout(Duration::from_secs(240), publish_all(&mut *connection));
    publishing.await.expect("a broker takes 22,000 messages in four minutes");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| broker.path(name).display().to_string();
    let profile = format!(
        "key_file = \"nobody.jwk\"\ntenant = \"acme\"\n[mqtt]\nurl = \"mqtts://{}\"\nca_file = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
        broker.url(),
        file("ca.pem"),
        file("client.pem"),
        file("client.key"),
    );
    let path = folder.path().join("remote.toml");
    fs::write(&path, profile).unwrap();
    // Looking needs no key of one's own.
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_punchgate"))
        .args(["watch", "--once", "--json", "--profile"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (pid, mut peak) = (child.id(), 0);
    let said = child.stdout.take().unwrap();
    let reading = tokio::task::spawn_blocking(move || std::io::read_to_string(said).unwrap());
    soon("it has looked", async {
        while child.try_wait().unwrap().is_none() {
            peak = peak_mib(pid).unwrap_or(0).max(peak);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (took, text) = (began.elapsed(), reading.await.unwrap());
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let away: Vec<&Value> = rows.iter().map(|it| &it["row"]).filter(|it| it["code"] == "terminal-offline").collect();
    tell(&format!("{GATEWAYS} gateways: {} rows after {took:?}, {peak} MiB at most", rows.len()));
    assert!(peak < 100, "{peak} MiB");
    // This build is not optimised and the machine is shared; the program itself shows what it has after 1.5 s.
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(away.len(), GATEWAYS / 10, "after {took:?}");
    assert!(away.iter().all(|row| row["incident"] == 17 && row["subject"] == "terminal-0"), "{}", away[0]);
}
