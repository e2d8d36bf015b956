//! `[[terminal]]` and `[driver.NAME]`: which terminals there are, and what their drivers make of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
};

use driver_api::{Kind, Problem, Problems, Section, TerminalBlock};
use jiff::tz::TimeZone;
use toml::{Table, Value};

use super::{TerminalSettings, name, nearest, zone};
use crate::drivers::PlannedLine;

/// What the drivers planned.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) terminals: Vec<TerminalSettings>,
    pub(super) lines: Vec<PlannedLine>,
}

/// A `[[terminal]]` whose name and driver are known.
struct Block {
    name: String,
    zone: TimeZone,
    /// As it stands in the file.
    table: Table,
    section: Section,
}

/// Gives each driver its section and its terminals, and collects its lines.
pub(super) fn plan(
    file: &mut Section,
    folder: &Arc<Path>,
    default_zone: &TimeZone,
    drivers: &'static [Kind],
    problems: &mut Problems,
) -> Plan {
    let mut sections = driver_sections(file, drivers, problems);
    let mut plan = Plan::default();
    let mut blocks: BTreeMap<&'static str, Vec<Block>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (number, table) in terminal_tables(file, problems).into_iter().enumerate() {
        let Some((kind, block)) = block(number + 1, table, folder, default_zone, drivers, problems) else { continue };
        if !names.insert(block.name.clone()) {
            let why = "two terminals have this name, and it is part of their topics".into();
            let mend = "give one of them another name".into();
            block.section.wrong(problems, "name", &block.name.as_str().into(), why, mend);
            continue;
        }
        let (name, zone) = (block.name.clone(), block.zone.clone());
        plan.terminals.push(TerminalSettings { name, driver: kind.name, zone });
        blocks.entry(kind.name).or_default().push(block);
    }
    for kind in drivers {
        let (section, blocks) = (sections.remove(kind.name), blocks.remove(kind.name).unwrap_or_default());
        if section.is_some() || !blocks.is_empty() {
            plan.lines.extend(plan_driver(kind, section.unwrap_or_default(), blocks, folder, problems));
        }
    }
    plan
}

/// The tables below `driver`, by name; each is of a driver that there is.
fn driver_sections(file: &mut Section, drivers: &'static [Kind], problems: &mut Problems) -> BTreeMap<String, Table> {
    let tables = match file.take_value("driver") {
        None => Table::new(),
        Some(Value::Table(tables)) => tables,
        Some(other) => {
            let mend = "write [driver.NAME] on a line, and its keys below".into();
            file.wrong(problems, "driver", &other, "it is a section, not a key".into(), mend);
            Table::new()
        }
    };
    let mut sections = BTreeMap::new();
    for (driver, value) in tables {
        match value {
            Value::Table(table) if drivers.iter().any(|kind| kind.name == driver) => {
                sections.insert(driver, table);
            }
            value => {
                let mend = which_driver(&driver, drivers);
                file.wrong(problems, &format!("driver.{driver}"), &value, "there is no such driver".into(), mend);
            }
        }
    }
    sections
}

/// The `[[terminal]]` blocks.
fn terminal_tables(file: &mut Section, problems: &mut Problems) -> Vec<Table> {
    let (why, mend) = match file.take_value("terminal") {
        None => {
            problems.warnings.push(Problem {
                key: "terminal".into(),
                value: String::new(),
                why: "there is no terminal, so there will be no punches".into(),
                mend: "add a block for each: [[terminal]] and below it name, driver and address".into(),
            });
            return vec![];
        }
        Some(Value::Array(blocks)) => {
            let count = blocks.len();
            let tables: Vec<Table> = blocks.into_iter().filter_map(|block| block.try_into().ok()).collect();
            if tables.len() == count {
                return tables;
            }
            ("it is a list of blocks", "write [[terminal]] on a line, and its keys below")
        }
        Some(Value::Table(_)) => ("terminals are a list", "write [[terminal]], with two brackets on each side"),
        Some(_) => ("it is a list of blocks", "write [[terminal]] on a line, and its keys below"),
    };
    file.missing(problems, "terminal", why, mend);
    vec![]
}

/// Reads what the gateway itself must know of a terminal. `number` counts the blocks from 1.
fn block(
    number: usize,
    table: Table,
    folder: &Arc<Path>,
    default_zone: &TimeZone,
    drivers: &'static [Kind],
    problems: &mut Problems,
) -> Option<(&'static Kind, Block)> {
    let prefix = match table.get("name").and_then(Value::as_str) {
        Some(name) => format!("terminal {name:?} "),
        None => format!("terminal {number} "),
    };
    let mut section = Section::new(prefix, table.clone(), folder.clone());
    let name = section.require_checked("name", "\"front-door\"", problems, name);
    let zone = section.take_checked("zone", "\"Asia/Shanghai\"", problems, zone);
    let kind = section.require_checked("driver", "\"zk\"", problems, |wanted: String| {
        drivers
            .iter()
            .find(|kind| kind.name == wanted)
            .ok_or_else(|| ("there is no such driver".into(), which_driver(&wanted, drivers)))
    })?;
    // A terminal without a right name is planned all the same, so that its other problems are told as well.
    let name = name.unwrap_or_else(|| format!("terminal {number}"));
    Some((kind, Block { name, zone: zone.unwrap_or_else(|| default_zone.clone()), table, section }))
}

fn which_driver(wanted: &str, drivers: &'static [Kind]) -> String {
    let names = || drivers.iter().map(|kind| kind.name);
    match nearest(wanted, names()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("the drivers here: {}", names().collect::<Vec<_>>().join(", ")),
    }
}

/// Lets a driver plan its lines, and sees that it has planned each terminal once.
fn plan_driver(
    kind: &'static Kind,
    table: Table,
    blocks: Vec<Block>,
    folder: &Arc<Path>,
    problems: &mut Problems,
) -> Vec<PlannedLine> {
    let mut marks = BTreeMap::new();
    let mut given = Vec::new();
    for Block { name, zone, table, section } in blocks {
        marks.insert(name.clone(), (table, zone.clone()));
        given.push(TerminalBlock { name, zone, section });
    }
    let before = problems.errors.len();
    let section = Section::new(format!("driver.{}.", kind.name), table.clone(), folder.clone());
    let lines = (kind.plan)(section, given, problems);
    if problems.errors.len() > before {
        return vec![]; // what is planned beside problems is not run
    }
    for name in marks.keys() {
        let times = lines.iter().flat_map(|line| &line.terminals).filter(|planned| *planned == name).count();
        if times != 1 {
            problems.errors.push(Problem {
                key: format!("terminal {name:?} driver"),
                value: format!("{:?}", kind.name),
                why: format!("the driver put it on {times} lines, and it must be on one"),
                mend: "this is a fault of the gateway, not of the config: tell its makers".into(),
            });
        }
    }
    let finger = |line: &driver_api::Line| {
        let mut hash = DefaultHasher::new();
        kind.name.hash(&mut hash);
        hash_table(&table, folder, &mut hash);
        for (table, zone) in line.terminals.iter().filter_map(|name| marks.get(name)) {
            hash_table(table, folder, &mut hash);
            zone.iana_name().hash(&mut hash);
        }
        hash.finish()
    };
    lines.into_iter().map(|line| PlannedLine { driver: kind, fingerprint: finger(&line), line }).collect()
}

/// Everything that a table says, and what stands in the files that it names.
fn hash_table(table: &Table, folder: &Path, hash: &mut DefaultHasher) {
    table.len().hash(hash);
    for (key, value) in table {
        key.hash(hash);
        match value {
            Value::Table(inner) => hash_table(inner, folder, hash),
            other => other.to_string().hash(hash),
        }
        // A register map may be the name of one that ships: then there is no such file, and nothing to hash.
        if let (true, Some(text)) = (key.ends_with("_file") || key == "map", value.as_str()) {
            // A file that cannot be read was told as a problem by whoever needs it.
            fs::read(file(text, folder)).ok().hash(hash);
        }
    }
}

/// The path that a key names, as [`Section::path`] understands it.
fn file(text: &str, folder: &Path) -> PathBuf {
    text.strip_prefix("credential:").and_then(driver_api::credential).unwrap_or_else(|| folder.join(text))
}
