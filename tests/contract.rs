//! What a whole gateway publishes in a whole run, with all that goes wrong in it, is what the contract says: every message
//! fits its schema and its size, no topic is spoken to in bursts, and incidents open, last and end as promised.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use driver_zk::sim::{Model, Simulator};
use jiff::Timestamp;
use punchgate::{
    metrics,
    mqtt::{Client, Connect, Event, Hello, Message, MqttSettings},
    wire::DOCUMENT_LIMIT,
};
use rustix::process::Signal;
use serde_json::Value;
use support::{
    broker::{Mosquitto, Setup, skipped},
    daemon::Daemon,
    push::free_address,
    soon,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// Topic, payload and when it came.
type Came = (String, Vec<u8>, Instant);

/// Everything that came, as it came.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Came>>>);

impl Heard {
    /// Listens to every gateway, and comes again when the broker does.
    async fn listen(settings: MqttSettings) -> Self {
        let heard = Self::default();
        let (keep, (ready, mut is_ready)) = (heard.clone(), tokio::sync::watch::channel(false));
        tokio::spawn(async move {
            let client = Client::new(settings);
            let broker = client.brokers()[0].clone();
            loop {
                let will = Message { topic: "test/will".into(), payload: vec![], retain: false };
                let hello = Hello { will: Some(will), subscribe: vec!["punchgate/#".into()] };
                let Ok(mut connection) = client.connect(&broker, hello).await else {
                    sleep(Duration::from_millis(20)).await;
                    continue;
                };
                ready.send_replace(true);
                while let Ok(event) = connection.event().await {
                    if let Event::Arrived(Message { topic, payload, .. }) = event {
                        keep.0.lock().unwrap().push((topic, payload.to_vec(), Instant::now()));
                    }
                }
            }
        });
        soon("somebody listens", is_ready.wait_for(|ready| *ready)).await.unwrap();
        heard
    }

    fn all(&self) -> Vec<Came> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until the newest message of a suffix is like this.
    async fn until(&self, suffix: &str, like: impl Fn(&Value) -> bool) -> Value {
        soon(&format!("{suffix} is as it should be"), async {
            loop {
                let newest = self.all().into_iter().rev().find(|(topic, ..)| topic.ends_with(suffix));
                let document = newest.map(|(_, payload, _)| serde_json::from_slice(&payload).unwrap_or(Value::Null));
                if let Some(document) = document.filter(&like) {
                    return document;
                }
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }
}

/// The schemas in docs, by the topics that asyncapi.json gives them.
fn contract() -> Vec<(String, jsonschema::Validator)> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let read = |name: &str| serde_json::from_slice::<Value>(&fs::read(docs.join(name)).unwrap()).unwrap();
    let api = read("asyncapi.json");
    let channel = |(name, channel): (&String, &Value)| {
        let topic = channel["address"].as_str().unwrap().to_owned();
        let schema = read(channel["messages"][name]["payload"]["schema"]["$ref"].as_str().unwrap());
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        (topic, validator)
    };
    api["channels"].as_object().unwrap().iter().map(channel).collect()
}

fn fits(pattern: &str, topic: &str) -> bool {
    let (pattern, topic): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), topic.split('/').collect());
    pattern.len() == topic.len() && pattern.iter().zip(&topic).all(|(p, t)| p.starts_with('{') || p == t)
}

/// Everything that is wrong with what was heard.
fn faults(heard: &[Came]) -> (Vec<String>, BTreeMap<String, usize>) {
    let contract = contract();
    let (mut faults, mut counts) = (Vec::new(), BTreeMap::<String, usize>::new());
    let mut times: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for (topic, payload, at) in heard {
        let Some((pattern, validator)) = contract.iter().find(|(pattern, _)| fits(pattern, topic)) else {
            // What is signed has a form of its own: docs/remote-support.md, docs/schema/commands.json.
            if !topic.ends_with("/audit") {
                faults.push(format!("{topic} is no topic of the contract"));
            }
            continue;
        };
        *counts.entry(pattern.rsplit("{gateway}/").next().unwrap().to_owned()).or_default() += 1;
        let grows = topic.contains("/punch/") || topic.ends_with("/birth");
        if payload.len() > DOCUMENT_LIMIT && !grows {
            faults.push(format!("{topic} has {} bytes", payload.len()));
        }
        if !topic.contains("/punch/") {
            times.entry(topic).or_default().push(*at);
        }
        if payload.is_empty() {
            if !pattern.contains("health/{terminal}") && !pattern.contains("incident/{code}") {
                faults.push(format!("{topic} was emptied"));
            }
            continue;
        }
        match serde_json::from_slice::<Value>(payload) {
            Ok(document) => {
                faults.extend(validator.iter_errors(&document).map(|error| format!("{topic}: {error}: {document}")));
            }
            Err(error) => faults.push(format!("{topic}: {error}")),
        }
    }
    for (topic, times) in times {
        // Twice in a second by what changes, and once by a new connection of either side; a broker that was short of time brings those of
        // two or three seconds at once.
        let burst = times.windows(8).any(|eight| eight[7].duration_since(eight[0]) < Duration::from_secs(1));
        if burst {
            faults.push(format!("{topic} came eight times within a second"));
        }
    }
    (faults, counts)
}

fn block(name: &str, address: &str) -> String {
    format!("[[terminal]]\nname = \"{name}\"\ndriver = \"zk\"\naddress = \"tcp://{address}\"\n\n")
}

fn incidents(daemon: &Daemon, words: &[&str]) -> Vec<Value> {
    daemon.ask(&[&["incidents"], words].concat()).expect("the daemon answers")
}

async fn scrape(address: std::net::SocketAddr, accept: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_is_what_the_contract_says() {
    let setup = Setup { persistence: true, ..Setup::default() };
    let Some(mut broker) = Mosquitto::start(setup) else { return };
    let heard = Heard::listen(broker.settings("listener")).await;
    let front = Simulator::start(Model::default(), 0).await.unwrap();
    front.fill(450);
    let (gone, port) = (free_address(), free_address());
    let here = block("front-door", &front.address().to_string());
    let ghosts = ["ghost", "spectre"].map(|name| block(name, &gone.to_string()));
    let numbers = format!("[metrics]\nlisten = \"{port}\"\nsocket = \"metrics.sock\"\n\n");
    let whole = [&numbers, &here, &ghosts[0], &ghosts[1]].map(String::as_str).concat();
    let mut daemon = Daemon::start(&broker, &whole);

    // Two terminals are not there: one kind of incident, two numbers, told, with evidence.
    let open = |report: &Value| report["open"].as_array().map_or(0, Vec::len);
    let report = heard.until("/incident/terminal-offline", |it| open(it) == 2).await;
    assert_eq!((&report["severity"], &report["open"][0]["target_s"]), (&"medium".into(), &86_400.into()), "{report}");
    let first = report["open"][0]["number"].as_u64().unwrap();
    daemon.until(&["incidents"], "the broker has it", |all| all.iter().all(|it| !it["notified"].is_null())).await;
    let taken = incidents(&daemon, &["acknowledge", &first.to_string(), "--by", "li-wei"]);
    assert_eq!(taken[0]["acknowledged"]["by"], "li-wei");
    heard.until("/incident/terminal-offline", |it| it["open"][0]["acknowledged"]["how"] == "local").await;
    let evidence = daemon.path(format!("state/incidents/evidence/{first}.json"));
    let evidence: Value = soon("evidence is gathered", async {
        loop {
            if let Ok(bytes) = fs::read(&evidence) {
                return serde_json::from_slice(&bytes).unwrap();
            }
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    for part in ["incident", "status", "terminals", "journal", "courier", "doctor", "log"] {
        assert!(!evidence[part].is_null(), "{part} is missing: {evidence}");
    }

    // Its numbers.
    heard.until("/health", |it| it["terminals_online"] == 1).await;
    let answer = scrape(port, "text/plain").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let text = answer.split("\r\n\r\n").nth(1).unwrap();
    for line in ["punchgate_terminals 3", "punchgate_terminals_online 1", "punchgate_terminal_up{terminal=\"ghost\"} 0"]
    {
        assert!(text.lines().any(|it| it.trim_end_matches(".0") == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("punchgate_condition{code=\"terminal-offline\",severity=\"medium\"} 2"), "{text}");
    assert!(scrape(port, "application/openmetrics-text").await.trim_end().ends_with("# EOF"));
    promtool(text);

    // One of them leaves the config: its incident is over, and its health is taken off.
    daemon.configure(&broker, &[&numbers, &here, &ghosts[1]].map(String::as_str).concat());
    daemon.signal(Signal::HUP);
    heard.until("/incident/terminal-offline", |it| open(it) == 1).await;
    heard.until("/health/ghost", Value::is_null).await;
    let over = incidents(&daemon, &["--all"]);
    let ghost = over.iter().find(|it| it["subject"] == "ghost").unwrap();
    assert!(!ghost["resolved"].is_null(), "{ghost}");

    // A broker that goes away, and a kill: numbers and times go on.
    let since = |all: &[Value]| {
        all.iter().find(|it| it["code"] == "terminal-offline").map(|it| it["since"].as_str().unwrap().to_owned())
    };
    let before = daemon.until(&["conditions"], "it is told", |all| since(all).is_some()).await;
    let before = (since(&before).unwrap(), incidents(&daemon, &[])[0]["number"].clone());
    broker.restart();
    front.punch("1001");
    sleep(Duration::from_secs(3)).await;
    daemon.kill();
    daemon.launch();
    let after = daemon.until(&["conditions"], "it is remembered", |all| since(all).is_some()).await;
    let milliseconds = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
    assert_eq!(milliseconds(&since(&after).unwrap()), milliseconds(&before.0));
    assert_eq!(incidents(&daemon, &[])[0]["number"], before.1);
    heard.until("/state", |it| it["state"] == "online").await;
    daemon.until_status("everything is delivered", |it| it["queue"]["undelivered"] == 0).await;

    let ring = daemon.path(format!("state/{}", metrics::RING_FILE));
    let now = Timestamp::now().as_second();
    let (from, to) = (Timestamp::from_second(now - 600).unwrap(), Timestamp::from_second(now + 60).unwrap());
    let series = metrics::read(&ring, from, to).unwrap();
    let stored = series.columns.iter().position(|name| name == "punchgate_punches_stored").unwrap();
    assert!(series.rows.iter().any(|(_, row)| row[stored] >= 450.0), "{series:?}");

    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success());
    heard.until("/state", |it| it["state"] == "offline").await;

    let (faults, counts) = faults(&heard.all());
    assert!(faults.is_empty(), "{} faults, as in\n{}", faults.len(), faults[..faults.len().min(5)].join("\n"));
    let topics = ["birth", "health", "health/{terminal}", "incident/{code}", "punch/{terminal}", "state"];
    assert_eq!(counts.keys().collect::<Vec<_>>(), topics, "every kind was heard");
}

/// The linter of those who made the format.
fn promtool(text: &str) {
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else { return skipped("promtool is not here; metrics are not linted") };
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}

/// The contract test can fail: a message that is not in the contract is found.
#[test]
fn a_message_outside_the_contract_is_found() {
    let one = |topic: &str, payload: &str| {
        let heard = [(format!("punchgate/1/acme/sz-03/{topic}"), payload.as_bytes().to_vec(), Instant::now())];
        faults(&heard).0.len()
    };
    let state = r#"{"state":"online","epoch":1,"since":null,"reason":null}"#;
    assert_eq!(one("state", state), 0);
    assert_eq!(one("state", &state.replace("online", "sleepy")), 1);
    assert_eq!(one("state", &state.replace("\"epoch\":1", "\"epoch\":\"1\"")), 1);
    assert_eq!(one("state", &state.replace("null,\"reason\"", "\"yesterday\",\"reason\"")), 1);
    assert_eq!(one("state", ""), 1);
    assert_eq!(one("stat", state), 1);
    assert_eq!(one("state", &format!("{state}{}", " ".repeat(5000))), 1);
}
