//! One archive of all that support needs to know of a gateway, made beside a running daemon or without one.
//!
//! Nothing that says who somebody is and no secret goes in: the config is masked, of punches there are counts and hashes only,
//! and all texts are gone over once more by [`Scrub`]. What cannot be had is told with its reason in its own place, so that
//! a bundle is made whatever is broken.
//!
//! ```text
//! manifest.json              what it is, its id, the SHA-256 of each file
//! config.toml                masked
//! status.json  terminals.json  conditions.json  logs.jsonl       of the daemon; why not, where it does not answer
//! doctor.json                as `punchgate doctor --json`
//! journal.json  audit.json   what verifying them found
//! incidents.json             each incident with its clock
//! metrics.csv                the history of figures
//! terminals/NAME.json        what is known of each terminal: its block, its standing, its conditions, its ledgers
//! versions.json              of program, kernel and system
//! ```

mod pack;
mod scrub;

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use toml::Table;

use crate::{
    audit,
    config::{self, masked},
    console::{self, Answer, Request},
    incident, metrics, spool,
};
pub use scrub::Scrub;

/// A finished bundle.
pub struct Bundle {
    /// To be quoted: the gateway, the time and four letters.
    pub id: String,
    /// A tar archive, compressed by zstd; of a report, the page or its figures.
    pub bytes: Vec<u8>,
    /// Of the bytes, in hex.
    pub sha256: String,
}

/// What is given along by whoever makes it.
#[derive(Default)]
pub struct Given {
    /// The doctor's report.
    pub doctor: Value,
    /// A log that the daemon wrote into a file, for where it does not run.
    pub log: Option<PathBuf>,
    /// Files of other parts: name and content, which may say nothing of persons.
    pub more: Vec<(String, Vec<u8>)>,
}

/// The daemon answers at once or does not answer at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// The end of a log, in bytes and in lines.
const LOG_BYTES: u64 = 512 << 10;
const LOG_LINES: usize = 2000;
/// Items of a list that are told; more are counted.
const TOLD: usize = 200;

/// Makes one. Reads the whole journal.
pub async fn make(config: &Path, given: Given) -> io::Result<Bundle> {
    let scrub = Scrub::of(config);
    let mut files = Files { scrub, files: BTreeMap::new() };
    let text = fs::read_to_string(config).map_err(|error| error.to_string());
    let table = text.and_then(|text| text.parse::<Table>().map_err(|error| error.message().to_owned()));
    let gateway = table.as_ref().ok().and_then(|table| table.get("gateway")?.get("id")?.as_str()).map(str::to_owned);
    match &table {
        Ok(table) => files.text("config.toml", &without_people(&masked(table)).to_string()),
        Err(why) => files.text("config.toml", &format!("# it cannot be read: {why}\n")),
    }
    let places = config::places(config);
    let daemon = match &places {
        Ok(places) => ask(&places.sockets).await,
        Err(rejected) => Err(rejected.to_string()),
    };
    let state_dir = places.as_ref().map(|places| places.state_dir.clone()).ok();
    let journal = of_disk(state_dir.clone(), |dir| Ok(json!(spool::verify(dir)?))).await;
    files.json("journal.json", shortened(journal.clone()));
    files.json("audit.json", of_disk(state_dir.clone(), audit_in_short).await);
    let table = table.unwrap_or_default();
    for (name, twin) in twins(&table, daemon.as_ref().ok(), &journal) {
        files.json(&format!("terminals/{name}.json"), twin);
    }
    match daemon {
        Ok(Daemon { status, terminals, conditions, logs }) => {
            files.json("status.json", status);
            files.json("terminals.json", Value::Array(terminals));
            files.json("conditions.json", Value::Array(conditions));
            files.lines("logs.jsonl", logs);
        }
        Err(why) => {
            files.json("status.json", json!({ "daemon": "does not answer", "why": why }));
            match &given.log {
                Some(path) => files.text("logs.txt", &end_of(path)),
                None => files.lines("logs.jsonl", of_systemd()),
            }
        }
    }
    files.json("incidents.json", of_disk(state_dir.clone(), incidents_in_short).await);
    if let Some(state_dir) = state_dir {
        let history = tokio::task::spawn_blocking(move || history(&state_dir)).await.map_err(io::Error::other)?;
        // Names of columns and numbers alone: the last look would take bytes for cards.
        let history = history.unwrap_or_else(|error| format!("# it cannot be read: {error}\n"));
        files.files.insert("metrics.csv".into(), history.into_bytes());
    }
    files.json("doctor.json", given.doctor);
    files.json("versions.json", versions());
    for (name, content) in given.more {
        files.files.insert(name, content);
    }
    let id = new_id(gateway.as_deref());
    let manifest = json!({ "v": 1, "bundle": id, "at": Timestamp::now(), "gateway": gateway,
        "version": env!("CARGO_PKG_VERSION"), "files": files.hashes() });
    files.json("manifest.json", manifest);
    let bytes = tokio::task::spawn_blocking(move || pack::pack(&files.files)).await.map_err(io::Error::other)??;
    let sha256 = pack::sha256(&bytes);
    Ok(Bundle { id, bytes, sha256 })
}

/// The files so far, each scrubbed as it comes in.
struct Files {
    scrub: Scrub,
    files: BTreeMap<String, Vec<u8>>,
}

impl Files {
    fn json(&mut self, name: &str, mut value: Value) {
        self.scrub.clean(&mut value);
        let text = serde_json::to_vec_pretty(&value).unwrap_or_default();
        self.files.insert(name.into(), text);
    }

    fn lines(&mut self, name: &str, lines: Vec<Value>) {
        let mut text = String::new();
        for mut line in lines {
            self.scrub.clean(&mut line);
            text += &format!("{line}\n");
        }
        self.files.insert(name.into(), text.into_bytes());
    }

    fn text(&mut self, name: &str, text: &str) {
        let clean: Vec<String> = text.lines().map(|line| self.scrub.text(line)).collect();
        self.files.insert(name.into(), (clean.join("\n") + "\n").into_bytes());
    }

    fn hashes(&self) -> Value {
        let one = |(name, content): (&String, &Vec<u8>)| json!({ "name": name, "bytes": content.len(), "sha256": pack::sha256(content) });
        self.files.iter().map(one).collect()
    }
}

/// What a running daemon says.
struct Daemon {
    status: Value,
    terminals: Vec<Value>,
    conditions: Vec<Value>,
    logs: Vec<Value>,
}

async fn ask(sockets: &[PathBuf]) -> Result<Daemon, String> {
    let mut why = "nobody knows where it listens".to_owned();
    for socket in sockets {
        match timeout(PATIENCE, everything(socket)).await {
            Ok(Ok(daemon)) => return Ok(daemon),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = format!("nothing comes from it within {} s", PATIENCE.as_secs()),
        }
    }
    Err(why)
}

async fn everything(socket: &Path) -> Result<Daemon, console::AskError> {
    let mut daemon = Daemon { status: Value::Null, terminals: vec![], conditions: vec![], logs: vec![] };
    for request in [Request::Status, Request::Terminals, Request::Conditions, Request::Logs] {
        for answer in console::ask(socket, &request).await?.all().await? {
            match answer {
                Answer::Status(status) => daemon.status = json!(status),
                Answer::Terminal(terminal) => daemon.terminals.push(json!(terminal)),
                Answer::Condition(condition) => daemon.conditions.push(json!(condition)),
                Answer::Log(line) => daemon.logs.push(json!(line)),
                _ => {}
            }
        }
    }
    Ok(daemon)
}

/// What a look at the disk shows, or why there is none.
async fn of_disk(state_dir: Option<PathBuf>, look: fn(&Path) -> io::Result<Value>) -> Value {
    let Some(state_dir) = state_dir else { return json!({ "why": "nobody knows where the state lies" }) };
    let found = tokio::task::spawn_blocking(move || look(&state_dir)).await.map_err(io::Error::other);
    found.and_then(|found| found).unwrap_or_else(|error| json!({ "why": error.to_string() }))
}

/// The audit log's chain, and how many entries of each kind there are. Who ordered what stays in the log itself.
fn audit_in_short(state_dir: &Path) -> io::Result<Value> {
    let mut report = json!(audit::verify(state_dir)?);
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for entry in audit::entries(state_dir)?.flatten() {
        *kinds.entry(entry.kind).or_default() += 1;
    }
    report["kinds"] = json!(kinds);
    Ok(shortened(report))
}

/// Every incident there ever was, with its clock; who looked after it is nobody's business here.
fn incidents_in_short(state_dir: &Path) -> io::Result<Value> {
    let mut all: Vec<Value> = incident::history(state_dir)?.into_values().rev().map(|it| json!(it)).collect();
    all.truncate(TOLD);
    for one in &mut all {
        if let Some(by) = one.pointer_mut("/acknowledged/by") {
            *by = json!("***");
        }
    }
    Ok(Value::Array(all))
}

/// The history of figures: each minute of the last day, and one in fifteen of the month before.
fn history(state_dir: &Path) -> io::Result<String> {
    let now = Timestamp::now();
    let from = now - jiff::SignedDuration::from_mins(metrics::KEPT_MINUTES);
    let metrics::Series { columns, rows } = metrics::read(&state_dir.join(metrics::RING_FILE), from, now)?;
    let mut text = format!("at,{}\n", columns.join(","));
    for (at, values) in rows {
        let minute = at.as_second().div_euclid(60);
        if now.as_second() - at.as_second() > 86_400 && minute % 15 != 0 {
            continue;
        }
        let shown: Vec<String> =
            values.iter().map(|value| if value.is_nan() { String::new() } else { value.to_string() }).collect();
        text += &format!("{at},{}\n", shown.join(","));
    }
    Ok(text)
}

/// Long lists cut, with how much was left out.
fn shortened(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        let mut left_out = Map::new();
        for (name, member) in members.iter_mut() {
            if let Value::Array(list) = member
                && list.len() > TOLD
            {
                left_out.insert(name.clone(), json!(list.len() - TOLD));
                list.truncate(TOLD);
            }
        }
        if !left_out.is_empty() {
            members.insert("left_out".into(), left_out.into());
        }
    }
    value
}

/// All that is known of each terminal, by name.
fn twins(table: &Table, daemon: Option<&Daemon>, journal: &Value) -> BTreeMap<String, Value> {
    let named = |list: &Value, key: &str, name: &str| -> Value {
        let all = list.as_array().into_iter().flatten();
        all.filter(|one| one.get(key).and_then(Value::as_str) == Some(name)).cloned().collect()
    };
    let blocks = table.get("terminal").and_then(toml::Value::as_array).into_iter().flatten();
    let blocks = blocks.filter_map(toml::Value::as_table);
    blocks
        .filter_map(|block| {
            let name = block.get("name")?.as_str().filter(|name| crate::wire::is_id(name))?;
            let line = daemon.map_or(Value::Null, |it| named(&Value::Array(it.terminals.clone()), "name", name));
            let wrong = daemon.map_or(Value::Null, |it| named(&Value::Array(it.conditions.clone()), "subject", name));
            let ledgers = named(journal.get("ledgers").unwrap_or(&Value::Null), "terminal", name);
            let twin = json!({
                "block": serde_json::to_value(masked(block)).unwrap_or_default(),
                "standing": line.get(0), "conditions": wrong, "ledgers": ledgers,
            });
            Some((name.to_owned(), twin))
        })
        .collect()
}

/// Operators are known by their keys here.
fn without_people(table: &Table) -> Table {
    let mut table = table.clone();
    for operator in table.get_mut("operator").and_then(toml::Value::as_array_mut).into_iter().flatten() {
        for key in ["name", "person"] {
            if let Some(value) = operator.get_mut(key) {
                *value = "***".into();
            }
        }
    }
    table
}

/// The end of a log in a file. Lines of DEBUG and TRACE, which may name persons, are left out.
fn end_of(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let detailed = |line: &str| ["DEBUG", "TRACE"].iter().any(|level| line.contains(level));
    match read() {
        Ok(text) => text.lines().skip(1).filter(|line| !detailed(line)).collect::<Vec<_>>().join("\n"),
        Err(error) => format!("{} cannot be read: {error}", path.display()),
    }
}

/// What systemd kept of the daemon's log, INFO and above.
fn of_systemd() -> Vec<Value> {
    let lines = LOG_LINES.to_string();
    let asked = ["--unit=punchgate", "--output=json", "--no-pager", "--priority=info", "--lines", &lines];
    let output = match Command::new("journalctl").args(asked).output() {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => return vec![json!({ "why": String::from_utf8_lossy(&output.stderr).trim() })],
        Err(error) => return vec![json!({ "why": format!("journalctl cannot be run: {error}") })],
    };
    let kept = |line: &str| -> Option<Value> {
        let line: Value = serde_json::from_str(line).ok()?;
        let members = line.as_object()?;
        let ours = |name: &str| {
            // Fields of systemd begin with an underscore; those that may name somebody are known.
            !name.starts_with('_') && !matches!(name, "PERSON" | "PUNCH" | "USER" | "CARD" | "SYSLOG_IDENTIFIER")
        };
        let at = line.get("__REALTIME_TIMESTAMP").cloned();
        let named = members.iter().filter(|(name, _)| ours(name)).map(|(name, it)| (name.clone(), it.clone()));
        Some(Value::Object(named.chain(at.map(|at| ("at_us".to_owned(), at))).collect()))
    };
    String::from_utf8_lossy(&output).lines().filter_map(kept).collect()
}

fn versions() -> Value {
    let kernel = rustix::system::uname();
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let os =
        os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"').to_owned());
    json!({
        "punchgate": env!("CARGO_PKG_VERSION"),
        "drivers": crate::drivers::DRIVERS.iter().map(|kind| kind.name).collect::<Vec<_>>(),
        "kernel": kernel.release().to_string_lossy(), "machine": kernel.machine().to_string_lossy(), "system": os,
    })
}

/// `sz-03-20261128-204455-k3vq`
pub fn new_id(gateway: Option<&str>) -> String {
    let gateway = gateway.filter(|name| crate::wire::is_id(name)).unwrap_or("gateway");
    let letters = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 3]>()).to_lowercase();
    format!("{gateway}-{}-{}", Timestamp::now().strftime("%Y%m%d-%H%M%S"), &letters[..4])
}
