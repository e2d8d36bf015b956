//! A terminal as it is told: `front-door=zk:tcp://192.0.2.10:4370,timeout=10s`, or as it was found. The forms of the keys are taken from
//! `config.example.toml`, which holds each driver's every key, so that nothing here knows a driver.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use toml_edit::{DocumentMut, Item, Table, Value};

use super::Source;
use crate::{config::EXAMPLE, drivers};

/// A `[[terminal]]` block to be.
#[derive(Debug, Clone)]
pub struct Terminal {
    pub name: String,
    pub driver: String,
    /// Its keys but name, driver and secrets, in their order.
    pub keys: Vec<(String, Value)>,
    /// Secrets in files of their own, by key.
    pub secrets: Vec<(String, Source)>,
    /// Keys of secrets that it asks for and that nobody gave so far.
    pub wanted: Vec<String>,
}

impl Terminal {
    /// What stands between `=` and the end, without a name. Keys that end with `_file` name secrets.
    pub fn told(name: &str, told: &str) -> Result<Self, String> {
        let form = "write NAME=DRIVER:ADDRESS, as in front-door=zk:tcp://192.0.2.10:4370";
        let (driver, rest) = told.split_once(':').ok_or(form)?;
        if drivers::find(driver).is_none() {
            let known: Vec<&str> = drivers::DRIVERS.iter().map(|kind| kind.name).collect();
            return Err(format!("there is no driver {driver:?}: there are {}", known.join(", ")));
        }
        let mut terminal =
            Self { name: name.into(), driver: driver.into(), keys: vec![], secrets: vec![], wanted: vec![] };
        for (number, part) in rest.split(',').map(str::trim).filter(|part| !part.is_empty()).enumerate() {
            // An address may hold a = of its own, as in ?baud=9600.
            if number == 0 && part.contains("://") {
                terminal.keys.push(("address".into(), part.into()));
                continue;
            }
            let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is no key=value; {form}"))?;
            terminal.add(key.trim(), value.trim())?;
        }
        Ok(terminal)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), String> {
        if matches!(key, "name" | "driver") || self.keys.iter().any(|(known, _)| known == key) {
            return Err(format!("{key} is given twice"));
        }
        if key.ends_with("_file") {
            let source = Source::told(Path::new(value)).map_err(|error| format!("{key}: {error}"))?;
            self.secrets.push((key.into(), source));
        } else {
            self.keys.push((key.into(), value_like(&self.driver, key, value)));
        }
        Ok(())
    }

    /// A block as `discover` makes it.
    pub fn found(block: &str) -> Option<Self> {
        let document = block.parse::<DocumentMut>().ok()?;
        let table = document.get("terminal")?.as_array_of_tables()?.get(0)?;
        let text = |key| table.get(key).and_then(Item::as_str).map(str::to_owned);
        let (name, driver) = (text("name")?, text("driver")?);
        let (mut keys, mut wanted) = (vec![], vec![]);
        for (key, item) in table.iter().filter(|(key, _)| !matches!(*key, "name" | "driver")) {
            match item.as_value() {
                _ if key.ends_with("_file") => wanted.push(key.to_owned()),
                Some(value) => keys.push((key.to_owned(), value.clone())),
                None => {}
            }
        }
        keys.iter_mut().for_each(|(_, value)| value.decor_mut().clear());
        Some(Self { name, driver, keys, secrets: vec![], wanted })
    }

    /// Gives it a secret; whoever had it before is replaced.
    pub fn give(&mut self, key: &str, source: Source) {
        self.secrets.retain(|(known, _)| known != key);
        self.wanted.retain(|known| known != key);
        self.secrets.push((key.into(), source));
    }

    pub fn address(&self) -> Option<&str> {
        self.keys.iter().find(|(key, _)| key == "address").and_then(|(_, value)| value.as_str())
    }

    /// Its block; `place` says where the file of a secret lies.
    pub(super) fn table(
        &self,
        place: &mut dyn FnMut(&str, &Source) -> std::io::Result<PathBuf>,
    ) -> std::io::Result<Table> {
        let mut table = Table::new();
        table.insert("name", self.name.as_str().into());
        table.insert("driver", self.driver.as_str().into());
        for (key, value) in &self.keys {
            table.insert(key, Item::Value(value.clone()));
        }
        for (key, source) in &self.secrets {
            let path = place(&self.secret_name(key), source)?;
            table.insert(key, path.display().to_string().into());
        }
        Ok(table)
    }

    /// What the file of a secret is called: `front-door.key` for `comm_key_file`.
    fn secret_name(&self, key: &str) -> String {
        let word = key.trim_end_matches("_file");
        format!("{}.{}", self.name, word.rsplit('_').next().unwrap_or(word))
    }
}

impl FromStr for Terminal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, told) =
            text.split_once('=').ok_or("write NAME=DRIVER:ADDRESS, as in front-door=zk:tcp://192.0.2.10:4370")?;
        crate::config::check_name(name).map_err(|(why, mend)| format!("{name:?}: {why}; {mend}"))?;
        Self::told(name, told)
    }
}

/// The example's block of a driver.
fn example(driver: &str) -> Option<toml::Table> {
    let example: toml::Table = EXAMPLE.parse().ok()?;
    let blocks = example.get("terminal")?.as_array()?.iter();
    blocks
        .filter_map(|block| block.as_table())
        .find(|block| block.get("driver").and_then(|it| it.as_str()) == Some(driver))
        .cloned()
}

/// The keys that a driver's blocks have in the example, each with a value for one to go by.
pub fn example_keys(driver: &str) -> Vec<(String, String)> {
    let block = example(driver).unwrap_or_default();
    block
        .into_iter()
        .map(|(key, value)| (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}

/// Where a driver listens in the example, if it does.
pub fn example_listen(driver: &str) -> Option<SocketAddr> {
    let example: toml::Table = EXAMPLE.parse().ok()?;
    example.get("driver")?.get(driver)?.get("listen")?.as_str()?.parse().ok()
}

/// A value in the form that the example has for this key; a key that is not there is read as it looks.
fn value_like(driver: &str, key: &str, text: &str) -> Value {
    let like = example(driver).and_then(|block| block.get(key).cloned());
    let parsed = || text.parse::<Value>().ok().filter(|value| !value.is_str());
    let value = match like {
        Some(toml::Value::String(_)) => None,
        _ => parsed(),
    };
    value.unwrap_or_else(|| text.into())
}

/// Whether a path lies in this folder already.
pub(super) fn lies_in(path: &Path, folder: &Path) -> bool {
    path.parent() == Some(folder)
}
