//! Keys that systemd hands to the unit, `credential:NAME` in a config: where each lies now, and whether the unit is handed it.
//!
//! The daemon takes them from what its unit was handed. Setup runs outside of the unit, and mostly before it, so it looks where systemd
//! will look. Nothing is copied: a plain one is read where it lies, and one that was encrypted to this machine is opened into memory, by
//! systemd's own tool.

use std::{
    collections::BTreeMap,
    env,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use toml_edit::{DocumentMut, Item, TableLike, value};

use super::{
    draft::in_memory,
    unit::{self, Handing},
};
use crate::doctor::{Finding, Outcome, Told};

const MARK: &str = "credential:";
/// Where systemd looks for a credential by its name, in its order; encrypted ones have folders of their own.
const FOLDERS: [&str; 4] = ["etc/credstore", "run/credstore", "usr/local/lib/credstore", "usr/lib/credstore"];
/// What the unit at work was handed: the last place, since what it will be handed next may be another one.
const OF_THE_UNIT: &str = "run/credentials/punchgate.service";

/// The name behind `credential:`, where one stands. `Err`: it is not one that can be a file's and a shell's word.
pub fn credential_name(text: &str) -> Option<Result<&str, String>> {
    let name = text.strip_prefix(MARK)?;
    let is_plain = (1..=100).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    Some(if is_plain { Ok(name) } else { Err(format!("{name:?} is no name of a credential: as in {MARK}gateway.key")) })
}

/// As it stands in the config.
pub(super) fn in_config(name: &str) -> String {
    format!("{MARK}{name}")
}

/// Where systemd keeps credentials.
#[derive(Debug, Clone)]
pub struct Stores {
    root: PathBuf,
}

/// One that a config names, and what was seen of it.
#[derive(Debug, Clone)]
pub struct Credential {
    /// It is for the way to the broker, not for a terminal.
    pub of_broker: bool,
    pub finding: Finding,
}

/// Where one lies.
#[derive(Debug)]
enum Lies {
    At(PathBuf),
    /// It is encrypted, and was opened into memory.
    Opened {
        from: PathBuf,
        file: OwnedFd,
        at: PathBuf,
    },
    /// It is encrypted, and could not be opened.
    Locked {
        from: PathBuf,
        why: String,
    },
    Nowhere,
}

/// A config with its credentials where they lie now.
pub(super) struct Placed {
    pub(super) document: DocumentMut,
    pub(super) credentials: Vec<Credential>,
    /// Paths in memory, each with what stands in the config.
    pub(super) shown: Vec<(String, String)>,
    pub(super) held: Vec<OwnedFd>,
}

impl Stores {
    /// `root` is `/`, but in tests.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Puts the place of each credential into a config. One that is found nowhere is left out, together with what is worth nothing
    /// without it, so that the rest can be proved.
    pub(super) fn place(&self, document: DocumentMut) -> Placed {
        let mut placed = Placed { document, credentials: vec![], shown: vec![], held: vec![] };
        let mut names = BTreeMap::new();
        each_section(&mut placed.document, &mut |_, name, of_broker| {
            *names.entry(name.to_owned()).or_default() |= of_broker;
            Fate::Stays
        });
        if names.is_empty() {
            return placed;
        }
        let handing = unit::handing();
        let mut places = BTreeMap::new();
        for (name, of_broker) in names {
            let lies = self.find(&name, handing.as_deref().unwrap_or_default());
            placed.credentials.push(Credential { of_broker, finding: finding(&name, &lies, &handing) });
            match lies {
                Lies::At(path) => _ = places.insert(name, path.display().to_string()),
                Lies::Opened { file, at, .. } => {
                    let at = at.display().to_string();
                    placed.held.push(file);
                    placed.shown.push((at.clone(), in_config(&name)));
                    places.insert(name, at);
                }
                Lies::Locked { .. } | Lies::Nowhere => {}
            }
        }
        each_section(&mut placed.document, &mut |key, name, _| match (places.get(name), key) {
            (Some(path), _) => Fate::Is(path.clone()),
            (None, "cert_file" | "key_file") => Fate::Gone(&["cert_file", "key_file"]),
            (None, "password_file") => Fate::Gone(&["username", "password_file"]),
            (None, "comm_key_file") => Fate::Gone(&["comm_key_file"]),
            // The config's own words are the best.
            (None, _) => Fate::Stays,
        });
        placed
    }

    fn find(&self, name: &str, handing: &[Handing]) -> Lies {
        let handed = env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(name));
        if let Some(path) = handed.filter(|path| path.is_file()) {
            return Lies::At(path);
        }
        // What the unit says counts before what lies around.
        let told = handing.iter().rev().find(|it| it.hands(name));
        if let Some((path, encrypted)) = told.and_then(|it| Some((it.path.as_ref()?, it.encrypted))) {
            return match (path.is_file(), encrypted) {
                (false, _) => Lies::Nowhere,
                (true, false) => Lies::At(path.clone()),
                (true, true) => open(name, path),
            };
        }
        let in_folders = |behind: &str| {
            let mut places = FOLDERS.iter().map(|folder| self.root.join(format!("{folder}{behind}")).join(name));
            places.find(|path| path.is_file())
        };
        if let Some(path) = in_folders("") {
            return Lies::At(path);
        }
        if let Some(path) = in_folders(".encrypted") {
            return open(name, &path);
        }
        let at_work = self.root.join(OF_THE_UNIT).join(name);
        if at_work.is_file() { Lies::At(at_work) } else { Lies::Nowhere }
    }
}

/// Opens one that was encrypted to this machine.
fn open(name: &str, from: &Path) -> Lies {
    let mut tool = Command::new("systemd-creds");
    tool.arg("decrypt").arg(format!("--name={name}")).arg(from).arg("-").stdin(Stdio::null());
    let opened = tool.output().map_err(|error| format!("systemd-creds: {error}")).and_then(|output| {
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(said.trim().lines().last().unwrap_or("systemd-creds gives no reason").to_owned());
        }
        in_memory(name, &output.stdout).map_err(|error| error.to_string())
    });
    match opened {
        Ok((file, at)) => Lies::Opened { from: from.into(), file, at },
        Err(why) => Lies::Locked { from: from.into(), why },
    }
}

/// What was seen of one, and what could not be.
fn finding(name: &str, lies: &Lies, handing: &Result<Vec<Handing>, String>) -> Finding {
    let told = |en: String, zh: String| Told { en, zh };
    let (handed, drop_in) =
        (handing.as_ref().map(|all| all.iter().rev().find(|it| it.hands(name))), drop_in(name, lies));
    let (outcome, evidence, mend) = match (lies, handed) {
        (Lies::Nowhere, Ok(Some(Handing { path: None, in_unit: true, .. }))) => (
            Outcome::Odd,
            told(
                format!(
                    "the unit has {name} in itself, which is not seen from here: neither the key nor the login is proved"
                ),
                format!("{name} 写在服务单元中，此处无法读取：密钥与登录均未验证"),
            ),
            Some(told("punchgate doctor, when the gateway is at work".into(), "网关运行后：punchgate doctor".into())),
        ),
        (Lies::Nowhere, handed) => {
            let place = match handed {
                Ok(Some(Handing { path: Some(path), .. })) => path.display().to_string(),
                _ => "/etc/credstore, /etc/credstore.encrypted".to_owned(),
            };
            (
                Outcome::Wrong,
                told(
                    format!("{name} is not there ({place}): neither the key nor the login is proved"),
                    format!("找不到 {name}（{place}）：密钥与登录均未验证"),
                ),
                Some(told(
                    format!("systemd-creds encrypt --name={name} FILE /etc/credstore.encrypted/{name}"),
                    format!("systemd-creds encrypt --name={name} 文件 /etc/credstore.encrypted/{name}"),
                )),
            )
        }
        (Lies::Locked { from, why }, _) => {
            let from = from.display();
            (
                Outcome::Wrong,
                told(
                    format!("{from} cannot be opened: {why}; neither the key nor the login is proved"),
                    format!("无法解开 {from}：{why}；密钥与登录均未验证"),
                ),
                Some(told(
                    "run setup as root, on the machine that it was encrypted to".into(),
                    "请以 root 在加密它的那台机器上运行".into(),
                )),
            )
        }
        (Lies::At(_) | Lies::Opened { .. }, Err(why)) => (
            Outcome::Odd,
            told(
                format!("{}; not proved: that the unit is handed it ({why})", place(lies, false)),
                format!("{}；未验证：服务单元能否得到它（{why}）", place(lies, true)),
            ),
            Some(told(format!("where systemd runs it: {drop_in}"), format!("由 systemd 运行时：{drop_in}"))),
        ),
        (Lies::At(_) | Lies::Opened { .. }, Ok(None)) => (
            Outcome::Wrong,
            told(
                format!("{}; the unit is not handed it", place(lies, false)),
                format!("{}；服务单元得不到它", place(lies, true)),
            ),
            Some(told(drop_in.clone(), drop_in)),
        ),
        (Lies::At(_) | Lies::Opened { .. }, Ok(Some(_))) => (
            Outcome::Well,
            told(
                format!("{}; the unit is handed it", place(lies, false)),
                format!("{}；服务单元会得到它", place(lies, true)),
            ),
            None,
        ),
    };
    let title = told(format!("credential {name}"), format!("凭据 {name}"));
    Finding { check: "credential", subject: None, outcome, title, evidence, mend }
}

fn place(lies: &Lies, in_zh: bool) -> String {
    match (lies, in_zh) {
        (Lies::Opened { from, .. }, false) => format!("{}, which this machine can open", from.display()),
        (Lies::Opened { from, .. }, true) => format!("{}，本机可以解开", from.display()),
        (Lies::At(path), _) => path.display().to_string(),
        (Lies::Locked { .. } | Lies::Nowhere, _) => String::new(),
    }
}

/// What hands it to the unit, as one types it.
fn drop_in(name: &str, lies: &Lies) -> String {
    let line = match lies {
        Lies::Opened { from, .. } => format!("LoadCredentialEncrypted={name}:{}", from.display()),
        Lies::At(path) => format!("LoadCredential={name}:{}", path.display()),
        Lies::Locked { .. } | Lies::Nowhere => format!("LoadCredential={name}"),
    };
    let folder = "/etc/systemd/system/punchgate.service.d";
    format!("mkdir -p {folder} && printf '%s\\n' '[Service]' '{line}' >{folder}/{name}.conf && systemctl daemon-reload")
}

/// What becomes of a key that names a credential.
enum Fate {
    Is(String),
    /// These keys of its table go.
    Gone(&'static [&'static str]),
    Stays,
}

/// Asks of every key that names a credential what becomes of it: the key, the name, and whether it stands in `[mqtt]`.
fn each_section(document: &mut DocumentMut, fate: &mut dyn FnMut(&str, &str, bool) -> Fate) {
    for (section, item) in document.iter_mut() {
        let of_broker = section == "mqtt";
        each_item(item, &mut |key, name| fate(key, name, of_broker));
    }
}

fn each_item(item: &mut Item, fate: &mut dyn FnMut(&str, &str) -> Fate) {
    if let Item::ArrayOfTables(blocks) = item {
        blocks.iter_mut().for_each(|block| each_key(block, fate));
    } else if let Some(table) = item.as_table_like_mut() {
        each_key(table, fate);
    }
}

fn each_key(table: &mut dyn TableLike, fate: &mut dyn FnMut(&str, &str) -> Fate) {
    let mut gone = Vec::new();
    for (key, item) in table.iter_mut() {
        let name = item.as_str().and_then(credential_name).and_then(Result::ok).map(str::to_owned);
        match name.map(|name| fate(&key, &name)) {
            Some(Fate::Is(path)) => *item = value(path),
            Some(Fate::Gone(keys)) => gone.extend(keys),
            Some(Fate::Stays) => {}
            None => each_item(item, fate),
        }
    }
    for key in gone {
        table.remove(key);
    }
}
