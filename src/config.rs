//! The config file: read once, every problem told at once, and what each part needs of it handed out.
//!
//! Loading opens and binds nothing; it only reads the files that the config names. Each part declares its own settings
//! beside itself, and this module puts them together.

mod afar;
mod backup;
mod bucket;
mod certificate;
mod commands;
mod gateway;
mod groups;
mod lines;
mod mqtt;
mod places;
mod profile;
mod site;
mod size;
mod spool;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use driver_api::{Kind, Problem, Problems, Section};
use jiff::tz::TimeZone;
use toml::{Table, Value};

use crate::{
    command::Policy, courier::CourierSettings, drivers::PlannedLine, health::HealthSettings, incident::Targets,
    metrics::MetricsSettings, mqtt::MqttSettings, spool::SpoolSettings,
};

pub use afar::{Afar, masked, secrets};
pub use backup::{BackupPlan, BackupSettings, backup_plan};
pub use bucket::BucketSettings;
pub(crate) use bucket::EXAMPLE as ENDPOINT_EXAMPLE;
pub use places::{Places, SYSTEM_SOCKET, places};
pub use profile::{Profile, operators, profile};
pub use site::site;
pub use size::Size;

/// In the state folder: written when a backup was verified, and only then.
pub const LAST_BACKUP: &str = "last-backup.json";

/// Where the config lies unless somebody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/punchgate/config.toml";

/// Every key there is. The package puts it where the config goes, for as long as nobody has written one.
pub const EXAMPLE: &str = include_str!("../config.example.toml");

/// A config without problems.
pub struct Config {
    pub gateway: GatewaySettings,
    pub spool: SpoolSettings,
    pub mqtt: MqttSettings,
    pub courier: CourierSettings,
    /// What this site says of itself.
    pub health: HealthSettings,
    /// In which time incidents should be resolved.
    pub targets: Targets,
    pub metrics: MetricsSettings,
    /// Terminals that share a switch, a host or a bus, as their addresses tell, by its name.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// Who may order what from afar.
    pub policy: Policy,
    /// As it stands in the file, with what was set from afar laid over it.
    pub table: Table,
    /// In the order of the file.
    pub terminals: Vec<TerminalSettings>,
    pub lines: Vec<PlannedLine>,
    /// It works, but somebody should know.
    pub warnings: Vec<Problem>,
    /// Every key that was looked for, as named in messages: a test holds the example to them.
    pub keys: BTreeSet<String>,
}

/// Who this gateway is, and where its things lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    pub id: String,
    pub tenant: String,
    /// The terminals' zone unless they say otherwise.
    pub zone: TimeZone,
    pub state_dir: PathBuf,
    /// Where the command line finds the daemon.
    pub socket: PathBuf,
}

/// What the gateway itself knows of a terminal; the rest is its driver's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalSettings {
    pub name: String,
    pub driver: &'static str,
    pub zone: TimeZone,
}

/// A config that cannot be used, with all that is wrong. Its text is what `punchgate check` prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Rejected {
    pub path: PathBuf,
    /// Never empty.
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {}", self.path.display(), counted(self.problems.len(), "problem"))?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

/// `1 problem`, `2 problems`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Reads a config and checks all of it. Relative paths in it start where the file lies. What was set from afar and confirmed
/// lies over it.
pub fn load(path: &Path, drivers: &'static [Kind]) -> Result<Config, Rejected> {
    let table = parse(path)?;
    let state_dir = table.get("gateway").and_then(|it| it.get("state_dir")).and_then(Value::as_str);
    let state_dir = folder_of(path).join(state_dir.unwrap_or(gateway::STATE_DIR));
    let afar = Afar::read(&state_dir).map_err(|why| Rejected {
        path: path.into(),
        problems: vec![Problem {
            key: Afar::path(&state_dir).display().to_string(),
            value: String::new(),
            why: format!("what was set from afar cannot be read: {why}"),
            mend: "delete the file: then the config holds as it stands".into(),
        }],
        warnings: vec![],
    })?;
    load_with(path, drivers, &afar)
}

/// The same with something else set from afar.
pub fn load_with(path: &Path, drivers: &'static [Kind], afar: &Afar) -> Result<Config, Rejected> {
    let mut table = parse(path)?;
    afar.over(&mut table);
    judged(table, path, drivers)
}

/// Judges a config that lies nowhere yet, as if it lay at `path`.
pub fn judge(text: &str, path: &Path, drivers: &'static [Kind]) -> Result<Config, Rejected> {
    judged(parse_text(text, path)?, path, drivers)
}

fn judged(table: Table, path: &Path, drivers: &'static [Kind]) -> Result<Config, Rejected> {
    let mut problems = Problems::default();
    let config = assemble(table, folder_of(path), drivers, &mut problems);
    match config {
        Some(config) if problems.errors.is_empty() => {
            Ok(Config { warnings: problems.warnings, keys: problems.keys, ..config })
        }
        _ => Err(Rejected { path: path.into(), problems: problems.errors, warnings: problems.warnings }),
    }
}

/// Goes through the whole file whatever is wrong on the way, so that all problems are found. `None` only beside errors.
fn assemble(table: Table, folder: Arc<Path>, drivers: &'static [Kind], problems: &mut Problems) -> Option<Config> {
    let mut file = Section::new("", table.clone(), folder.clone());
    let gateway = gateway::read(section(&mut file, "gateway", &folder, problems), problems);
    let ids = gateway.as_ref().map(|gateway| (gateway.tenant.clone(), gateway.id.clone()));
    let client_id = ids.as_ref().map_or_else(String::new, |(tenant, id)| format!("punchgate-{tenant}-{id}"));
    let mqtt = mqtt::read(section(&mut file, "mqtt", &folder, problems), client_id, problems);
    let spool = spool::read(section(&mut file, "spool", &folder, problems), problems);
    let mut health = watching::health(section(&mut file, "health", &folder, problems), problems);
    let backup = backup::read(section(&mut file, "backup", &folder, problems), problems);
    let targets = watching::incidents(section(&mut file, "incidents", &folder, problems), problems);
    let metrics = watching::metrics(section(&mut file, "metrics", &folder, problems), problems);
    let zone = gateway.as_ref().map_or(TimeZone::UTC, |gateway| gateway.zone.clone());
    let plan = lines::plan(&mut file, &folder, &zone, drivers, problems);
    let names = plan.terminals.iter().map(|terminal| terminal.name.clone()).collect();
    let operators = blocks(&mut file, "operator", problems);
    let policy = section(&mut file, "commands", &folder, problems);
    let policy = commands::read(policy, operators, &names, &folder, problems);
    file.finish(problems);

    let gateway = gateway?;
    // One that came late by a day is none that did not come.
    let watched = backup.map(|it| (gateway.state_dir.join(LAST_BACKUP), it.every.saturating_mul(2)));
    health.backups.extend(watched);
    let (mqtt, window) = mqtt?;
    let (tenant, id) = ids?;
    let courier = CourierSettings { tenant: tenant.clone(), gateway: id.clone(), window };
    let spool = SpoolSettings {
        state_dir: gateway.state_dir.clone(),
        tenant,
        gateway: id,
        retention: spool.retention,
        min_free_bytes: spool.min_free_bytes,
        segment_bytes: spool.segment_bytes,
    };
    let (terminals, lines) = (plan.terminals, plan.lines);
    let (warnings, keys) = (vec![], BTreeSet::new());
    let groups = groups::of(&table);
    Some(Config {
        gateway,
        spool,
        mqtt,
        courier,
        health,
        targets,
        metrics,
        groups,
        policy,
        table,
        terminals,
        lines,
        warnings,
        keys,
    })
}

/// Takes a table of the file; an absent one is empty, so that its missing keys are told one by one.
fn section(file: &mut Section, name: &'static str, folder: &Arc<Path>, problems: &mut Problems) -> Section {
    let table = match file.take_value(name) {
        None => Table::new(),
        Some(Value::Table(table)) => table,
        Some(other) => {
            let (why, mend) = ("it is a section, not a key", format!("write [{name}] on a line, and its keys below"));
            file.wrong(problems, name, &other, why.into(), mend);
            Table::new()
        }
    };
    Section::new(format!("{name}."), table, folder.clone())
}

/// Takes a list of blocks, which need not be there.
fn blocks(file: &mut Section, name: &'static str, problems: &mut Problems) -> Vec<Table> {
    match file.take_value(name) {
        None => vec![],
        Some(Value::Array(blocks)) if blocks.iter().all(Value::is_table) => {
            blocks.into_iter().filter_map(|block| block.try_into().ok()).collect()
        }
        Some(other) => {
            let mend = format!("write [[{name}]] on a line, and its keys below");
            file.wrong(problems, name, &other, "it is a list of blocks".into(), mend);
            vec![]
        }
    }
}

/// Reads the file as TOML; an error names its line.
fn parse(path: &Path) -> Result<Table, Rejected> {
    let rejected = |problem| Rejected { path: path.into(), problems: vec![problem], warnings: vec![] };
    let text = fs::read_to_string(path).map_err(|error| {
        rejected(Problem {
            key: "the file".into(),
            value: String::new(),
            why: format!("cannot be read: {error}"),
            mend: "name the config with --config FILE; it is UTF-8 text that this user may read".into(),
        })
    })?;
    parse_text(&text, path)
}

fn parse_text(text: &str, path: &Path) -> Result<Table, Rejected> {
    let rejected = |problem| Rejected { path: path.into(), problems: vec![problem], warnings: vec![] };
    text.parse::<Table>().map_err(|error| rejected(spelling(text, &error)))
}

/// A problem with the form of the file itself.
fn spelling(text: &str, error: &toml::de::Error) -> Problem {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let number = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    let mend = if error.message().contains("duplicate") {
        "keep one of the two".into()
    } else {
        "a line is [section], [[terminal]] or key = value; text stands in double quotes, as in id = \"sz-03\"".into()
    };
    let why = error.message().trim().replace('\n', ", ");
    Problem { key: format!("line {}: {line}", number + 1), value: String::new(), why, mend }
}

/// Whether this can be a gateway's, a tenant's or a terminal's name; else why not, and the mend.
pub fn check_name(text: &str) -> Result<(), (String, String)> {
    name(text.into()).map(drop)
}

/// Whether there is such a time zone; else why not, and the mend.
pub fn check_zone(text: &str) -> Result<(), (String, String)> {
    zone(text.into()).map(drop)
}

/// Whether this can be a broker's address; else why not, and the mend.
pub fn check_broker(text: &str) -> Result<(), (String, String)> {
    mqtt::broker(text, false).map(drop)
}

/// Where relative paths start.
fn folder_of(path: &Path) -> Arc<Path> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.into(),
        _ => Path::new(".").into(),
    }
}

/// Checks a name that becomes part of a topic.
fn name(text: String) -> Result<String, (String, String)> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=40).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text);
    }
    let letters: String = text.to_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).take(40).collect();
    let mend = match letters.trim_matches('-') {
        "" => "write 1 to 40 of a-z, 0-9 and -".into(),
        near => format!("write 1 to 40 of a-z, 0-9 and -, as in \"{near}\""),
    };
    Err(("it becomes part of MQTT topics, and has other letters or another length".into(), mend))
}

/// The nearest of some names, for a mend.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// Reads a time zone.
fn zone(text: String) -> Result<TimeZone, (String, String)> {
    if let Ok(zone) = TimeZone::get(&text) {
        return Ok(zone);
    }
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let near = match text.to_lowercase().as_str() {
        // The clocks of all China are those of Shanghai in the IANA list, which has no Beijing.
        "asia/beijing" | "beijing" | "china" => Some("Asia/Shanghai"),
        _ => nearest(&text, known.iter().map(String::as_str)),
    };
    let mend =
        near.map_or("write an IANA name, as in \"Asia/Shanghai\"".into(), |near| format!("did you mean {near}?"));
    Err(("there is no such time zone".into(), mend))
}
