//! A folder with a config and the files that it names, and drivers that plan and do nothing.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use driver_api::{
    Delivery, Driver, DriverError, Kind, Line, Link, Period, Problems, Section, TerminalBlock, async_trait,
};
use punchgate::config::{self, Config, Rejected};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

struct Idle;

#[async_trait]
impl Driver for Idle {
    async fn run(&self, link: Link) -> Result<(), DriverError> {
        link.closing().await;
        Ok(())
    }
}

fn line(key: &str, terminals: &[&str]) -> Line {
    let terminals = terminals.iter().map(|name| (*name).to_owned()).collect();
    Line { key: key.into(), terminals, driver: Arc::new(Idle) }
}

/// A driver that dials: a line a terminal.
pub(crate) fn plan_dial(section: Section, blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<Line> {
    section.finish(problems);
    let mut lines = Vec::new();
    for TerminalBlock { name, mut section, .. } in blocks {
        let address = section.address(Some(4370), problems);
        section.take::<Period>("reconcile", "\"15m\"", problems);
        section.secret("comm_key_file", "\"front-door.key\"", problems);
        section.finish(problems);
        if address.is_some() {
            lines.push(line(&name, &[&name]));
        }
    }
    lines
}

/// A driver that listens: one line for all.
fn plan_listen(mut section: Section, blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<Line> {
    let listen = section.require::<String>("listen", "\"127.0.0.1:8081\"", problems);
    section.finish(problems);
    let mut names = Vec::new();
    for TerminalBlock { name, mut section, .. } in blocks {
        section.require::<String>("serial", "\"CEXA204060001\"", problems);
        section.finish(problems);
        names.push(name);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    vec![line(&listen.unwrap_or_default(), &names)]
}

/// A driver that forgets its terminals.
fn plan_nothing(section: Section, blocks: Vec<TerminalBlock>, problems: &mut Problems) -> Vec<Line> {
    section.finish(problems);
    blocks.into_iter().for_each(|block| block.section.finish(problems));
    vec![]
}

pub(crate) const fn kind(
    name: &'static str,
    plan: fn(Section, Vec<TerminalBlock>, &mut Problems) -> Vec<Line>,
) -> Kind {
    Kind { name, title: "for tests", delivery: Delivery::Logged, operations: &[], plan }
}

pub(crate) static KINDS: &[Kind] =
    &[kind("dial", plan_dial), kind("listen", plan_listen), kind("forgetful", plan_nothing)];

pub(crate) const GOOD: &str = r#"
[gateway]
id = "sz-03"
tenant = "acme"
zone = "Asia/Shanghai"
state_dir = "state"

[mqtt]
url = "mqtts://broker.example"
ca_file = "ca.pem"

[[terminal]]
name = "front-door"
driver = "dial"
address = "tcp://192.0.2.10"
"#;

/// The good config with one piece replaced.
pub(crate) fn but(old: &str, new: &str) -> String {
    assert_eq!(GOOD.matches(old).count(), 1, "{old}");
    GOOD.replace(old, new)
}

pub(crate) struct Site(TempDir);

impl Site {
    /// With a good `ca.pem`.
    pub(crate) fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        site.pair("ca", 2099);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A certificate that ends with the first day of a year, and its key.
    pub(crate) fn pair(&self, name: &str, year: i32) {
        let mut params = CertificateParams::new(vec!["broker.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        self.write(&format!("{name}.pem"), &params.self_signed(&key).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    pub(crate) fn load(&self, text: &str) -> Result<Config, Rejected> {
        config::load(&self.write("config.toml", text), KINDS)
    }

    /// A text without this folder's own name.
    pub(crate) fn named(&self, text: String) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    /// What `punchgate check` says.
    pub(crate) fn told(&self, text: &str) -> String {
        match self.load(text) {
            Ok(_) => panic!("this was taken for a good config:\n{text}"),
            Err(rejected) => self.named(rejected.to_string()),
        }
    }

    pub(crate) fn warned(&self, text: &str) -> Vec<String> {
        self.load(text).unwrap().warnings.into_iter().map(|warning| self.named(warning.to_string())).collect()
    }
}
