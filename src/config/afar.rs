//! What was set from afar: single keys of terminals and drivers, laid over the file. No path, no address, no right can be
//! set so: whoever may change a poll interval shall not be able to become somebody else.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

/// Keys as in `terminal.front-door.reconcile` and `driver.zk.clock_limit`, and what they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Afar(BTreeMap<String, Value>);

/// Keys that are not set from afar: who somebody is, and where.
const CLOSED: &[&str] = &["name", "driver", "address", "serial", "from", "map", "unit", "listen", "zone"];

impl Afar {
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("config-from-afar.toml")
    }

    /// What was confirmed.
    pub fn read(state_dir: &Path) -> Result<Self, String> {
        let text = match fs::read_to_string(Self::path(state_dir)) {
            // A state folder that is none is somebody else's complaint.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            text => text.map_err(|error| error.to_string())?,
        };
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
        let mut afar = Self::default();
        for (key, value) in table {
            afar.set(&key, Some(value))?;
        }
        Ok(afar)
    }

    /// On disk when this returns.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let path = Self::path(state_dir);
        let fresh = path.with_extension("new");
        let table: Table = self.0.clone().into_iter().collect();
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(table.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        fs::File::open(state_dir)?.sync_all()
    }

    /// Sets a key, or takes it back.
    pub fn set(&mut self, key: &str, value: Option<Value>) -> Result<(), String> {
        let parts: Vec<&str> = key.split('.').collect();
        let ["terminal" | "driver", _, last] = parts[..] else {
            return Err(format!("{key:?} is not terminal.NAME.KEY or driver.NAME.KEY; nothing else is set from afar"));
        };
        if CLOSED.contains(&last) || last.ends_with("_file") {
            return Err(format!("{last} says who or where something is, and is set on site"));
        }
        match value {
            Some(Value::Boolean(_) | Value::Integer(_) | Value::String(_)) => {
                self.0.insert(key.to_owned(), value.unwrap_or(Value::Boolean(false)));
            }
            Some(_) => return Err("a value is a text, a whole number, true or false".into()),
            None => _ = self.0.remove(key),
        }
        Ok(())
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    pub fn table(&self) -> Table {
        self.0.clone().into_iter().collect()
    }

    /// Lays it over a config. What it says of terminals that are gone says nothing.
    pub(super) fn over(&self, config: &mut Table) {
        for (key, value) in &self.0 {
            let mut parts = key.splitn(3, '.');
            let (Some(kind), Some(name), Some(last)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let place = match (kind, config.get_mut(kind)) {
                ("terminal", Some(Value::Array(blocks))) => blocks
                    .iter_mut()
                    .filter_map(Value::as_table_mut)
                    .find(|block| block.get("name").and_then(Value::as_str) == Some(name)),
                ("driver", Some(Value::Table(drivers))) => drivers.get_mut(name).and_then(Value::as_table_mut),
                _ => None,
            };
            if let Some(table) = place {
                table.insert(last.to_owned(), value.clone());
            }
        }
    }
}

/// A config for other eyes: what may be a secret is masked. Secrets stand in files of their own; this is for the mistakes.
pub fn masked(table: &Table) -> Table {
    fn value(it: &Value) -> Value {
        match it {
            Value::Table(table) => Value::Table(masked(table)),
            Value::Array(list) => Value::Array(list.iter().map(value).collect()),
            Value::String(text) => match text.split_once("://").zip(text.rsplit_once('@')) {
                Some(((scheme, _), (_, host))) => format!("{scheme}://***@{host}").into(),
                None => it.clone(),
            },
            other => other.clone(),
        }
    }
    table.iter().map(|(key, it)| (key.clone(), if is_secret(key) { "***".into() } else { value(it) })).collect()
}

/// What [`masked`] masks: the values themselves, for whoever must find them elsewhere.
pub fn secrets(table: &Table) -> Vec<String> {
    fn of(key: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Table(table) => table.iter().for_each(|(key, it)| of(key, it, found)),
            Value::Array(list) => list.iter().for_each(|it| of(key, it, found)),
            Value::String(text) if is_secret(key) => found.push(text.clone()),
            Value::String(text) => {
                if let Some((user, _)) = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')) {
                    found.push(user.to_owned());
                    found.extend(user.split_once(':').map(|(_, password)| password.to_owned()));
                }
            }
            other if is_secret(key) => found.push(other.to_string()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    table.iter().for_each(|(key, it)| of(key, it, &mut found));
    found.retain(|secret| !secret.is_empty());
    found
}

fn is_secret(key: &str) -> bool {
    !key.ends_with("_file") && ["password", "secret", "comm_key", "token"].iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_lies_over_the_file_and_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut afar = Afar::default();
        afar.set("terminal.front-door.reconcile", Some("5m".into())).unwrap();
        afar.set("driver.zk.set_clock", Some(true.into())).unwrap();
        afar.set("terminal.gone.live", Some(false.into())).unwrap();
        afar.write(folder.path()).unwrap();
        assert_eq!(Afar::read(folder.path()).unwrap(), afar);
        let mut config: Table =
            "[driver.zk]\nset_clock = false\n[[terminal]]\nname = \"front-door\"\nreconcile = \"1h\"\n"
                .parse()
                .unwrap();
        afar.over(&mut config);
        assert_eq!(config["terminal"][0]["reconcile"].as_str(), Some("5m"));
        assert_eq!(config["driver"]["zk"]["set_clock"].as_bool(), Some(true));
    }

    #[test]
    fn no_right_no_path_and_no_address_is_set_from_afar() {
        for key in [
            "operator",
            "operator.li.roles",
            "commands.allow",
            "gateway.id",
            "mqtt.url",
            "terminal.a.address",
            "terminal.a.comm_key_file",
            "driver.zk-push.listen",
            "terminal.a",
            "terminal.a.b.c",
            "terminal.a.serial",
            "",
        ] {
            assert!(Afar::default().set(key, Some("x".into())).is_err(), "{key}");
        }
        assert!(Afar::default().set("terminal.a.verify", Some(Value::Array(vec![]))).is_err());
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let config =
            "[mqtt]\nurl = \"mqtts://li:pass@broker\"\npassword = \"x\"\npassword_file = \"/p\"\n".parse().unwrap();
        let shown = masked(&config).to_string();
        assert!(!shown.contains("pass@") && !shown.contains("\"x\"") && shown.contains("\"/p\""), "{shown}");
    }
}
