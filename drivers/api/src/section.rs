//! Reading config: every key taken by name, every problem collected with its mend.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use toml::{Table, Value};

use crate::Address;

/// One thing that is wrong in a config: where, what stands there, why it cannot be, how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    pub key: String,
    pub value: String,
    pub why: String,
    pub mend: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if !self.value.is_empty() {
            write!(f, " = {}", self.value)?;
        }
        write!(f, "\n    why:  {}\n    mend: {}", self.why, self.mend)
    }
}

/// All that was found wrong so far.
#[derive(Debug, Default)]
pub struct Problems {
    /// With any of these the config is not used.
    pub errors: Vec<Problem>,
    /// It works, but somebody should know.
    pub warnings: Vec<Problem>,
    /// Every key that finished sections know, as named in messages: a test holds the example config to them.
    pub keys: BTreeSet<String>,
}

/// One table of the config. Each key is taken once, by the part that understands it; what is left over at
/// [`Section::finish`] is unknown and is reported with the nearest key there is.
#[derive(Debug)]
pub struct Section {
    /// What stands before a key in messages: `mqtt.` or `terminal "front-door" `.
    prefix: String,
    table: Table,
    folder: Arc<Path>,
    known: BTreeSet<&'static str>,
}

impl Section {
    /// A table. `folder` is where relative paths in it start.
    pub fn new(prefix: impl Into<String>, table: Table, folder: impl Into<Arc<Path>>) -> Self {
        Self { prefix: prefix.into(), table, folder: folder.into(), known: BTreeSet::new() }
    }

    /// The key as it is named in messages.
    pub fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Takes a key if it is there. `example` is a right value as one writes it, for the message.
    pub fn take<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        let value = self.take_value(key)?;
        match T::deserialize(value.clone()) {
            Ok(taken) => Some(taken),
            Err(error) => {
                let why = error.to_string().trim().replace('\n', " ");
                self.wrong(problems, key, &value, why, format!("write it like this: {key} = {example}"));
                None
            }
        }
    }

    /// Takes a key that must be there.
    pub fn require<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        self.must_have(key, example, problems)?;
        self.take(key, example, problems)
    }

    fn must_have(&mut self, key: &'static str, example: &str, problems: &mut Problems) -> Option<()> {
        if self.table.contains_key(key) {
            return Some(());
        }
        self.known.insert(key);
        self.missing(problems, key, "it is missing", format!("add a line: {key} = {example}"));
        None
    }

    /// Takes a key, with a check of its own: `Err((why, mend))`.
    pub fn take_checked<T: DeserializeOwned, U>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
        check: impl FnOnce(T) -> Result<U, (String, String)>,
    ) -> Option<U> {
        self.known.insert(key); // also when it is absent
        let value = self.table.get(key).cloned()?;
        match check(self.take(key, example, problems)?) {
            Ok(checked) => Some(checked),
            Err((why, mend)) => {
                self.wrong(problems, key, &value, why, mend);
                None
            }
        }
    }

    /// Takes a key that must be there, with a check of its own: `Err((why, mend))`.
    pub fn require_checked<T: DeserializeOwned, U>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
        check: impl FnOnce(T) -> Result<U, (String, String)>,
    ) -> Option<U> {
        self.must_have(key, example, problems)?;
        self.take_checked(key, example, problems, check)
    }

    /// Takes the address of a terminal; it must be there. `port` is the protocol's own.
    pub fn address(&mut self, port: Option<u16>, problems: &mut Problems) -> Option<Address> {
        const EXAMPLE: &str = "\"tcp://192.0.2.10:4370\"";
        self.require_checked("address", EXAMPLE, problems, |text: String| Address::parse(&text, port))
    }

    /// Takes the path of a file. `credential:NAME` is a credential that systemd hands over; a relative path starts where
    /// the config file lies.
    pub fn path(&mut self, key: &'static str, example: &str, problems: &mut Problems) -> Option<PathBuf> {
        let folder = self.folder.clone();
        self.take_checked(key, example, problems, |text: String| match text.strip_prefix("credential:") {
            None if text.is_empty() => Err(("it is empty".into(), format!("write it like this: {key} = {example}"))),
            None => Ok(folder.join(text)),
            Some(name) if name.is_empty() || name.contains('/') => Err((
                "a credential has a plain name".into(),
                format!("write it like this: {key} = \"credential:NAME\", with LoadCredential=NAME:... in the unit"),
            )),
            Some(name) => match credential(name) {
                Some(path) => Ok(path),
                None => Err((
                    "no credentials were handed to this process".into(),
                    format!("start it by its unit with LoadCredential={name}:..., or give a plain path"),
                )),
            },
        })
    }

    /// Takes the path of a file with a secret, and reads it; line ends behind it are left out.
    pub fn secret(&mut self, key: &'static str, example: &str, problems: &mut Problems) -> Option<Secret> {
        self.known.insert(key); // also when it is absent
        let value = self.table.get(key).cloned()?;
        let path = self.path(key, example, problems)?;
        if let Ok(meta) = fs::metadata(&path) {
            use std::os::unix::fs::MetadataExt;
            if meta.mode() & 0o007 != 0 {
                let why = "everybody on this machine can read that secret".into();
                self.odd(problems, key, &value, why, format!("chmod o-rwx {}", path.display()));
            }
        }
        match fs::read_to_string(&path) {
            Ok(text) => Some(Secret(text.trim_end_matches(['\n', '\r']).to_owned())),
            Err(error) => {
                let mend = format!("put the secret into {}, readable by the gateway's user alone", path.display());
                self.wrong(problems, key, &value, format!("cannot be read: {error}"), mend);
                None
            }
        }
    }

    /// Adds a problem about a key that was taken already.
    pub fn wrong(&self, problems: &mut Problems, key: &str, value: &Value, why: String, mend: String) {
        problems.errors.push(Problem { key: self.key(key), value: shown(value), why, mend });
    }

    /// Adds that a key should be there, seen what else is.
    pub fn missing(&self, problems: &mut Problems, key: &str, why: impl Into<String>, mend: impl Into<String>) {
        let (why, mend) = (why.into(), mend.into());
        problems.errors.push(Problem { key: self.key(key), value: String::new(), why, mend });
    }

    /// Adds a warning about a key that was taken already.
    pub fn odd(&self, problems: &mut Problems, key: &str, value: &Value, why: String, mend: String) {
        problems.warnings.push(Problem { key: self.key(key), value: shown(value), why, mend });
    }

    /// What stands at a key that was not taken yet.
    pub fn look(&self, key: &str) -> Option<&Value> {
        self.table.get(key)
    }

    /// Takes a value as it stands.
    pub fn take_value(&mut self, key: &'static str) -> Option<Value> {
        self.known.insert(key);
        self.table.remove(key)
    }

    /// Whatever nobody took is unknown.
    pub fn finish(self, problems: &mut Problems) {
        problems.keys.extend(self.known.iter().map(|known| self.key(known)));
        for (key, value) in &self.table {
            let near = self
                .known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, key), *known))
                .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
                .min();
            let mend = match near {
                Some((_, known)) => format!("did you mean {known}?"),
                None => {
                    let known: Vec<_> = self.known.iter().copied().collect();
                    format!("delete it; known here: {}", known.join(", "))
                }
            };
            self.wrong(problems, key, value, "there is no such key".into(), mend);
        }
    }
}

/// Where a credential lies that systemd handed to this process; for whoever looks at the config from outside of the unit, what the
/// gateway at work was handed. Root alone may read that.
pub fn credential(name: &str) -> Option<PathBuf> {
    const OF_THE_UNIT: &str = "/run/credentials/punchgate.service";
    let handed = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let folder = handed.or_else(|| Some(PathBuf::from(OF_THE_UNIT)).filter(|folder| folder.is_dir()))?;
    Some(folder.join(name))
}

/// A value in a message: whole tables would hide the message.
fn shown(value: &Value) -> String {
    match value {
        Value::Table(_) => "{...}".into(),
        Value::Array(list) if list.iter().any(Value::is_table) => "[{...}]".into(),
        _ => value.to_string(),
    }
}

/// A length of time as one writes it in the config: `"500ms"`, `"30s"`, `"15m"`, `"12h"`, `"90d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let millis = match unit.trim_start() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        Some(Self(Duration::from_millis(number.checked_mul(millis)?)))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a length of time is a whole number with ms, s, m, h or d"))
    }
}

/// A secret, mostly out of a file. It never shows itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// One that stood elsewhere than in a file.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Section {
        Section::new("terminal \"front-door\" ", text.parse().unwrap(), Path::new("/etc/punchgate"))
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_one() {
        let mut problems = Problems::default();
        let mut it = section("reconsile = \"5m\"");
        assert_eq!(it.take::<Period>("reconcile", "\"15m\"", &mut problems), None);
        it.finish(&mut problems);
        assert_eq!(
            problems.errors[0].to_string(),
            "terminal \"front-door\" reconsile = \"5m\"\n    why:  there is no such key\n    mend: did you mean reconcile?"
        );
    }

    #[test]
    fn a_wrong_value_is_told_with_a_right_one() {
        let mut problems = Problems::default();
        let mut it = section("reconcile = \"often\"");
        assert_eq!(it.take::<Period>("reconcile", "\"15m\"", &mut problems), None);
        it.finish(&mut problems);
        assert_eq!(problems.errors.len(), 1);
        assert!(problems.errors[0].why.contains("whole number with ms, s, m, h or d"));
        assert_eq!(problems.errors[0].mend, "write it like this: reconcile = \"15m\"");
    }

    #[test]
    fn all_problems_come_at_once() {
        let mut problems = Problems::default();
        let mut it = section("a = 1\nb = \"x\"");
        it.require::<u8>("unit", "3", &mut problems);
        it.take::<u8>("b", "7", &mut problems);
        it.finish(&mut problems);
        assert_eq!(problems.errors.len(), 3);
    }

    #[test]
    fn a_period_reads_as_people_write_it() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("15m", 900_000), ("2h", 7_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(Period::parse(text), Some(Period(Duration::from_millis(millis))));
        }
        for text in ["", "5", "s", "-1s", "5 years", "99999999999999999999d", "1.5h"] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret("123456".into())), "***");
    }
}
