//! The config as it would be, before it lies anywhere.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use rustix::fs::MemfdFlags;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::{
    Answers, Credential, Existing, Source, Stores,
    credential::in_config,
    example_listen,
    place::{Fate, NewFile, Plan, read_bounded},
    terminal::lies_in,
};
use crate::{
    config::{self, Config, Rejected},
    drivers::DRIVERS,
};

/// Where the first one begins.
const TEMPLATE: &str = "\
# Written by punchgate setup, which may be run again. Every other key there is: config.example.toml
# After each change by hand: punchgate check

[gateway]
# Who this gateway is: part of every topic.
id = \"\"
# Whose gateway it is: part of every topic.
tenant = \"\"
# The zone in which the terminals' clocks run.
zone = \"\"

[mqtt]
# The broker, the CA that signed its certificate, and what we show it.
url = \"\"
";

/// Answers over a config.
#[derive(Debug, Clone)]
pub struct Draft {
    pub path: PathBuf,
    base: DocumentMut,
    pub answers: Answers,
    stores: Stores,
}

/// A config that was judged, with the memory files that it names.
pub struct Trial {
    pub config: Config,
    /// What it takes from systemd.
    pub credentials: Vec<Credential>,
    _held: Vec<OwnedFd>,
}

/// In what a draft differs from the config there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Who we are to the broker, where it is, or what we show it.
    pub broker: bool,
    /// Terminals that are new, or somewhere else.
    pub elsewhere: Vec<String>,
}

/// Says where a file will lie: its name beside the config, and what is to stand in it.
type Place<'a> = dyn FnMut(&str, &Source) -> io::Result<PathBuf> + 'a;

impl Draft {
    /// `path` is absolute. Over what has problems, it begins anew.
    pub fn new(path: PathBuf, existing: &Existing, answers: Answers, stores: Stores) -> Self {
        let base = match existing {
            Existing::Valid(document) => (**document).clone(),
            _ => TEMPLATE.parse().expect("it stands in this file"),
        };
        Self { path, base, answers, stores }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Names of the terminals, those that stay and those that come.
    pub fn terminals(&self) -> Vec<String> {
        let stay = self.base.get("terminal").and_then(Item::as_array_of_tables);
        let stay = stay.into_iter().flatten().filter_map(|table| Some(table.get("name")?.as_str()?.to_owned()));
        let mut names: Vec<String> = stay.collect();
        for terminal in &self.answers.terminals {
            if !names.contains(&terminal.name) {
                names.push(terminal.name.clone());
            }
        }
        names
    }

    /// The document, with files where `place` says.
    fn document(&self, place: &mut Place<'_>) -> io::Result<DocumentMut> {
        let mut document = self.base.clone();
        let answers = &self.answers;
        let gateway = [("id", &answers.id), ("tenant", &answers.tenant), ("zone", &answers.zone)];
        for (key, text) in gateway {
            set(&mut document, "gateway", key, text.as_deref().map(value));
        }
        let state_dir = answers.state_dir.as_ref().map(|path| value(path.display().to_string()));
        set(&mut document, "gateway", "state_dir", state_dir);
        let url = match &answers.brokers[..] {
            [] => None,
            [one] => Some(value(one)),
            several => Some(value(several.iter().collect::<Array>())),
        };
        set(&mut document, "mqtt", "url", url);
        if let Some(Item::Table(mqtt)) = document.get_mut("mqtt") {
            answers.dropped.iter().for_each(|key| _ = mqtt.remove(key));
        }
        let files = [
            ("ca_file", "ca.pem", &answers.ca),
            ("cert_file", "gateway.pem", &answers.cert),
            ("key_file", "gateway.key", &answers.key),
        ];
        for (key, name, source) in files {
            let path = source.as_ref().map(|source| place(name, source)).transpose()?;
            set(&mut document, "mqtt", key, path.map(|path| value(path.display().to_string())));
        }
        set(&mut document, "mqtt", "username", answers.user.as_deref().map(value));
        let password = answers.password.as_ref().map(|source| place("broker.password", source)).transpose()?;
        set(&mut document, "mqtt", "password_file", password.map(|path| value(path.display().to_string())));
        for (driver, listen) in &answers.listen {
            let mut drivers = Table::new();
            drivers.set_implicit(true);
            let drivers = document.entry("driver").or_insert(Item::Table(drivers));
            drivers[driver]["listen"] = value(listen.to_string());
            if let Some(section) = drivers[driver].as_inline_table() {
                let section = section.clone().into_table();
                drivers[driver] = Item::Table(section);
            }
        }
        let blocks = document.remove("terminal").map(Item::into_array_of_tables);
        let mut blocks = blocks.and_then(Result::ok).unwrap_or_default();
        for terminal in &answers.terminals {
            let table = terminal.table(place)?;
            let same =
                blocks.iter_mut().find(|block| block.get("name").and_then(Item::as_str) == Some(&*terminal.name));
            match same {
                Some(block) => {
                    let (decor, position) = (block.decor().clone(), block.position());
                    *block = table;
                    *block.decor_mut() = decor;
                    block.set_position(position);
                }
                None => blocks.push(table),
            }
        }
        if !blocks.is_empty() {
            document.insert("terminal", Item::ArrayOfTables(blocks));
        }
        Ok(document)
    }

    /// The document, with each file where it will lie.
    fn final_document(&self) -> io::Result<DocumentMut> {
        let folder = self.folder().to_owned();
        self.document(&mut |name, source| {
            Ok(match source {
                Source::File(path) if lies_in(path, &folder) => path.clone(),
                Source::Credential(name) => in_config(name).into(),
                _ => folder.join(name),
            })
        })
    }

    /// In what it differs from the config there.
    pub fn changes(&self) -> io::Result<Changes> {
        let (before, after) = (&self.base, self.final_document()?);
        let text = |document: &DocumentMut, section: &str, key: &str| {
            let section = document.get(section).and_then(Item::as_table_like);
            section
                .and_then(|section| section.get(key))
                .and_then(Item::as_value)
                .map(|it| it.to_string().trim().to_owned())
        };
        let keys =
            [("gateway", "id"), ("gateway", "tenant"), ("mqtt", "url"), ("mqtt", "ca_file"), ("mqtt", "cert_file")];
        let keys = keys.into_iter().chain(["key_file", "username", "password_file"].map(|key| ("mqtt", key)));
        let told = keys.into_iter().any(|(section, key)| text(before, section, key) != text(&after, section, key));
        let given = [&self.answers.ca, &self.answers.cert, &self.answers.key, &self.answers.password];
        let names = ["ca.pem", "gateway.pem", "gateway.key", "broker.password"].map(|name| self.folder().join(name));
        let files = given.iter().any(|source| source.is_some())
            && self.plan()?.files.iter().any(|file| names.contains(&file.path) && file.fate != Fate::Same);
        let who = |document: &DocumentMut, name: &str| {
            let blocks = document.get("terminal").and_then(Item::as_array_of_tables)?;
            let block = blocks.iter().find(|block| block.get("name").and_then(Item::as_str) == Some(name))?;
            let shown = |key| block.get(key).and_then(Item::as_value).map(|it| it.to_string().trim().to_owned());
            Some(["driver", "address", "serial"].map(shown))
        };
        let mut elsewhere: Vec<String> = self.answers.terminals.iter().map(|terminal| terminal.name.clone()).collect();
        elsewhere.retain(|name| who(before, name) != who(&after, name));
        Ok(Changes { broker: told || files, elsewhere })
    }

    /// Drivers that terminals are to call, and that nobody told where to listen for them.
    pub fn deaf(&self) -> io::Result<Vec<String>> {
        let document = self.final_document()?;
        let listens = |driver: &str| {
            let section = document.get("driver").and_then(Item::as_table_like)?.get(driver)?.as_table_like()?;
            section.get("listen").map(|_| ())
        };
        let calling = self.answers.terminals.iter().filter(|terminal| terminal.address().is_none());
        let mut deaf: Vec<String> = calling.map(|terminal| terminal.driver.clone()).collect();
        deaf.retain(|driver| example_listen(driver).is_some() && listens(driver).is_none());
        deaf.sort();
        deaf.dedup();
        Ok(deaf)
    }

    /// Judges it as it would be, with files read where they lie now.
    pub fn trial(&self) -> Result<Trial, Rejected> {
        let (mut held, mut shown) = (Vec::new(), Vec::new());
        let document = self.document(&mut |name, source| {
            Ok(match source {
                Source::File(path) => path.clone(),
                Source::Credential(name) => in_config(name).into(),
                Source::Given(bytes) => {
                    let (file, path) = in_memory(name, bytes)?;
                    held.push(file);
                    shown.push((path.display().to_string(), self.folder().join(name).display().to_string()));
                    path
                }
            })
        });
        match document {
            Ok(document) => tried(document, &self.path, &self.stores, held, shown),
            Err(error) => {
                let why = format!("cannot be tried: {error}");
                let mend = "look at the memory of this machine: free -m";
                Err(rejected(&self.path, "the config", why, mend))
            }
        }
    }

    /// Judges what lies there now.
    pub fn written(&self) -> Result<Trial, Rejected> {
        let text = fs::read_to_string(&self.path).map_err(|error| {
            let mend = "look at that folder, and run it again";
            rejected(&self.path, &self.path.display().to_string(), format!("cannot be read: {error}"), mend)
        })?;
        try_out(&text, &self.path, &self.stores)
    }

    /// Everything that would be written.
    pub fn plan(&self) -> io::Result<Plan> {
        let (folder, mut files) = (self.folder().to_owned(), Vec::<NewFile>::new());
        let document = self.document(&mut |name, source| {
            let bytes = match source {
                // One that lies beside the config stays where it is, and is made readable for the gateway.
                Source::File(path) if lies_in(path, &folder) => {
                    files.push(NewFile::new(path.clone(), read_bounded(path)?));
                    return Ok(path.clone());
                }
                Source::Credential(name) => return Ok(in_config(name).into()),
                Source::File(path) => read_bounded(path)?,
                Source::Given(bytes) => bytes.clone(),
            };
            let path = folder.join(name);
            if !files.iter().any(|file| file.path == path) {
                files.push(NewFile::new(path.clone(), bytes));
            }
            Ok(path)
        })?;
        files.push(NewFile::new(self.path.clone(), document.to_string().into_bytes()));
        Ok(Plan { files })
    }
}

/// Judges a config, with credentials where they lie now.
pub fn try_out(text: &str, path: &Path, stores: &Stores) -> Result<Trial, Rejected> {
    match text.parse() {
        Ok(document) => tried(document, path, stores, vec![], vec![]),
        // Who reads TOML for the daemon says what is wrong with it.
        Err(_) => config::judge(text, path, DRIVERS).map(|config| Trial { config, credentials: vec![], _held: vec![] }),
    }
}

fn tried(
    document: DocumentMut,
    path: &Path,
    stores: &Stores,
    mut held: Vec<OwnedFd>,
    mut shown: Vec<(String, String)>,
) -> Result<Trial, Rejected> {
    let placed = stores.place(document);
    held.extend(placed.held);
    shown.extend(placed.shown);
    match config::judge(&placed.document.to_string(), path, DRIVERS) {
        Ok(config) => Ok(Trial { config, credentials: placed.credentials, _held: held }),
        Err(mut rejected) => {
            // Where a file will lie says more than where it lies for a moment.
            for problem in rejected.problems.iter_mut().chain(&mut rejected.warnings) {
                for (now, then) in &shown {
                    problem.value = problem.value.replace(now, then);
                    problem.why = problem.why.replace(now, then);
                    problem.mend = problem.mend.replace(now, then);
                }
            }
            Err(rejected)
        }
    }
}

fn rejected(path: &Path, key: &str, why: String, mend: &str) -> Rejected {
    let problem = driver_api::Problem { key: key.into(), value: String::new(), why, mend: mend.into() };
    Rejected { path: path.into(), problems: vec![problem], warnings: vec![] }
}

/// Writes a key into a section, whatever way that is written; its comment stays.
fn set(document: &mut DocumentMut, section: &str, key: &str, item: Option<Item>) {
    let Some(mut item) = item else { return };
    let section = document.entry(section).or_insert(Item::Table(Table::new()));
    if let (Some(old), Some(new)) = (section.get(key).and_then(Item::as_value), item.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    section[key] = item;
}

/// A file that is in no folder, and gone with its descriptor.
pub(super) fn in_memory(name: &str, bytes: &[u8]) -> io::Result<(OwnedFd, PathBuf)> {
    let mut file = File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?);
    // As private as it will be: whoever reads it says otherwise that everybody can.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok((file.into(), path))
}
