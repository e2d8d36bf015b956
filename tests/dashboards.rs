//! What ships for dashboards is held to what the gateway really says: rules by promtool, names by the code, paths by the contract,
//! and every expression by a Prometheus that scrapes a gateway at work.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use driver_zk::sim::{Model, Simulator};
use serde_json::Value;
use support::{
    broker::{Mosquitto, skipped},
    daemon::Daemon,
    push::free_address,
    soon,
};

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/dashboards").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(here(name)).unwrap()
}

/// Runs promtool; `None`, visibly, where it is not there.
fn promtool(args: &[&str]) -> Option<String> {
    let Ok(output) = Command::new("promtool").args(args).current_dir(here("")).output() else {
        skipped("promtool is not here; rules and expressions are not judged");
        return None;
    };
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool {args:?}:\n{said}");
    Some(said)
}

const BOARDS: [&str; 2] = ["grafana-gateway.json", "grafana-fleet.json"];

/// Every expression of a dashboard.
fn expressions(board: &Value) -> Vec<String> {
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Names of series in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("punchgate_") || word.starts_with("process_")).map(str::to_owned).collect()
}

#[test]
fn the_alert_rules_say_what_they_must_and_nothing_else() {
    let Some(said) = promtool(&["check", "rules", "alerts.yml"]) else { return };
    assert!(said.contains("rules found"), "{said}");
    promtool(&["test", "rules", "alerts_test.yml"]);
    // Each rule is tried.
    let rules = read("alerts.yml");
    let tests = read("alerts_test.yml");
    for rule in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = tests.lines().any(|line| line.trim() == format!("alertname: {rule}"));
        assert!(fires, "{rule} is never tried");
    }
}

#[test]
fn dashboards_and_rules_name_only_what_the_gateway_says() {
    let said = include_str!("../src/status/numbers.rs");
    let known: BTreeSet<&str> =
        said.split('"').filter(|it| it.starts_with("punchgate_") || it.starts_with("process_")).collect();
    assert!(known.len() > 40, "the names were not found: {known:?}");
    for file in BOARDS.into_iter().chain(["alerts.yml"]) {
        for name in names(&read(file)) {
            let bare = name.strip_suffix("_total").unwrap_or(&name);
            assert!(known.contains(bare), "{file} asks for {name}, which no gateway says");
            let counts =
                said.lines().any(|line| line.contains("Kind::Counter") && line.contains(&format!("\"{bare}\"")));
            assert_eq!(counts, name.ends_with("_total"), "{file}: {name} is a counter or is not");
        }
    }
    // What graphs are drawn from is in the ring under the same names.
    for column in punchgate::metrics::COLUMNS {
        assert!(known.contains(column), "the ring keeps {column}, which nobody says");
    }
}

#[test]
fn every_expression_of_a_dashboard_can_be_asked() {
    let mut rules = String::from("groups:\n  - name: dashboards\n    rules:\n");
    let mut count = 0;
    for board in BOARDS {
        let board: Value = serde_json::from_str(&read(board)).unwrap();
        assert!(!board["title"].as_str().unwrap().is_empty() && board["uid"].is_string());
        for expression in expressions(&board) {
            count += 1;
            let expression = serde_json::to_string(&expression.replace("$gateway", "sz-03")).unwrap();
            rules += &format!("      - record: punchgate:panel{count}\n        expr: {expression}\n");
        }
    }
    assert!(count > 25, "{count} expressions");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("panels.yml");
    fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

/// A Prometheus of our own, ended with this.
struct Prometheus {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// One that scrapes this port each second, with our rules; `None`, visibly, where there is none.
    fn start(gateway: std::net::SocketAddr) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n  - job_name: punchgate\n\
             \x20   static_configs: [{{targets: [\"{gateway}\"]}}]\n\
             \x20   relabel_configs: [{{target_label: instance, replacement: sz-03}}]\n",
            here("alerts.yml").display()
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            skipped("prometheus is not here; no expression is asked of a gateway at work");
            return None;
        };
        Some(Self { child, url: format!("http://{address}"), _folder: folder })
    }

    /// What it answers: a vector of series. An error while it is not there yet; an expression that makes no sense stays one.
    fn ask(&self, expression: &str) -> Result<Vec<Value>, String> {
        let asked =
            Command::new("promtool").args(["query", "instant", "--format=json", &self.url, expression]).output();
        let output = asked.map_err(|error| error.to_string())?;
        match serde_json::from_slice(&output.stdout) {
            Ok(Value::Array(series)) if output.status.success() => Ok(series),
            Ok(one) if output.status.success() => Ok(vec![one]),
            _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    async fn until(&self, expression: &str, like: impl Fn(&[Value]) -> bool) {
        soon(&format!("prometheus answers {expression}"), async {
            while !self.ask(expression).is_ok_and(|series| like(&series)) {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        })
        .await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Expressions that say nothing while all is well there.
const NOTHING_WHEN_WELL: [&str; 1] = ["topk(10, punchgate_incidents_late > 0)"];

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_scrapes_a_gateway_has_an_answer_for_every_panel_and_rule() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let numbers = free_address();
    let Some(prometheus) = Prometheus::start(numbers) else { return };
    let terminal = Simulator::start(Model::default(), 0).await.unwrap();
    terminal.fill(30);
    let block = |name: &str, address: std::net::SocketAddr| {
        format!("[[terminal]]\nname = \"{name}\"\ndriver = \"zk\"\naddress = \"tcp://{address}\"\n\n")
    };
    let blocks = format!("[metrics]\nlisten = \"{numbers}\"\n\n")
        + &block("front-door", terminal.address())
        + &block("ghost", free_address());
    let daemon = Daemon::start(&broker, &blocks);
    daemon.until_status("it is at work", |it| it["terminals"]["online"] == 1 && it["queue"]["undelivered"] == 0).await;
    daemon
        .until(&["conditions"], "the ghost is told", |all| all.iter().any(|it| it["code"] == "terminal-offline"))
        .await;
    prometheus.until("up{job=\"punchgate\"} == 1", |series| !series.is_empty()).await;
    for board in BOARDS {
        let board: Value = serde_json::from_str(&read(board)).unwrap();
        for expression in expressions(&board) {
            let well = NOTHING_WHEN_WELL.contains(&expression.as_str());
            let asked = expression.replace("$gateway", "sz-03");
            prometheus.until(&asked, |series| well || !series.is_empty()).await;
        }
    }
    // Rules: each can be asked, the one that should fire does, and none that should not.
    let rules: Vec<String> =
        read("alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("expr: ").map(str::to_owned)).collect();
    assert!(rules.len() > 5, "{rules:?}");
    rules.iter().for_each(|rule| _ = prometheus.ask(rule).unwrap());
    let fires = |name: &str| format!("ALERTS{{alertname=\"{name}\", instance=\"sz-03\", alertstate=\"firing\"}}");
    prometheus
        .until(&fires("PunchgateConditionMedium"), |series| {
            series[..].iter().any(|it| it["metric"]["code"] == "terminal-offline")
        })
        .await;
    let firing = prometheus.ask("ALERTS{alertstate=\"firing\"}").unwrap();
    assert!(firing.iter().all(|it| it["metric"]["alertname"] == "PunchgateConditionMedium"), "{firing:?}");
}

/// The part of the README between this line and the end of its code block.
fn recipe(head: &str) -> String {
    let text = read("README.md");
    let rest = text.split(head).nth(1).unwrap();
    rest.split("```").nth(1).unwrap().split_once('\n').unwrap().1.to_owned()
}

/// Whether a path, with dots or as Telegraf joins it, leads to something in a document of the contract.
fn leads(document: &Value, path: &str) -> bool {
    let dotted = path.split('.').try_fold(document, |at, key| at.get(key));
    let joined = || {
        let (part, rest) = path.split_once('_')?;
        document.get(part)?.get(rest)
    };
    dotted.or_else(joined).is_some()
}

#[test]
fn the_recipes_lead_to_what_is_published() {
    let golden = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/1/{name}.json"));
        serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap()
    };
    let (health, terminal) = (golden("health"), golden("terminal-health"));
    let telegraf: toml::Table = recipe("## Telegraf").parse().unwrap();
    let consumer = &telegraf["inputs"]["mqtt_consumer"][0];
    let keys = consumer["json_v2"][0]["object"][0]["included_keys"].as_array().unwrap();
    assert!(keys.len() > 5 && leads(&health, consumer["json_v2"][0]["timestamp_path"].as_str().unwrap()));
    for key in keys {
        assert!(leads(&health, key.as_str().unwrap()), "{key}");
    }

    let home = recipe("## Home Assistant");
    let messages: Vec<Value> = home
        .split("-m '")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split('\'').next().unwrap()).unwrap())
        .collect();
    assert_eq!(messages.len(), 2);
    for message in messages {
        let of_terminal = message["state_topic"].as_str().unwrap().contains("/health/");
        let path = message["value_template"].as_str().unwrap();
        let path = path.strip_prefix("{{ value_json.").unwrap().strip_suffix(" }}").unwrap();
        assert!(leads(if of_terminal { &terminal } else { &health }, path), "{message}");
    }
}
