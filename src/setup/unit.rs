//! The unit: whether systemd runs this machine, and starting the gateway by it.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const UNIT: &str = "punchgate";

/// Whether a unit can be started here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Systemd {
    Runs,
    /// There is no `systemctl`.
    NoTool,
    /// There is one, and it says that systemd does not run this machine, in its own word.
    NotBooted(String),
}

/// Asks `systemctl` itself.
pub fn systemd() -> Systemd {
    match systemctl(&["is-system-running"]) {
        Err(_) => Systemd::NoTool,
        Ok(output) => {
            let word = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            match &*word {
                // A machine on which some unit failed starts ours all the same.
                "running" | "degraded" | "starting" | "initializing" | "maintenance" => Systemd::Runs,
                "" => Systemd::NotBooted("no answer".into()),
                _ => Systemd::NotBooted(word),
            }
        }
    }
}

/// How the gateway comes to its config. In each case it starts at every boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It is not at work.
    Begin,
    /// It is at work by the config of before.
    Again,
    /// It is at work by this config already.
    Stay,
}

impl Start {
    /// What is asked of systemctl, one after the other.
    pub fn words(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Begin => &[&["enable", "--now", UNIT]],
            Self::Again => &[&["enable", UNIT], &["restart", UNIT]],
            Self::Stay => &[&["enable", UNIT]],
        }
    }
}

/// Returns when it is up. An error is what systemctl said.
pub fn start(how: Start) -> Result<(), String> {
    for words in how.words() {
        let output = systemctl(words).map_err(|error| error.to_string())?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(format!("systemctl {}: {}", words.join(" "), String::from_utf8_lossy(&said).trim()));
        }
    }
    Ok(())
}

/// What starts it where systemd does not.
pub fn by_hand(config: &Path) -> String {
    format!("punchgate run --config {}", config.display())
}

/// A line of the unit by which it is handed a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handing {
    /// With a star at its end: every one that begins so.
    name: String,
    /// From where; `None`: from where systemd keeps them.
    pub(super) path: Option<PathBuf>,
    pub(super) encrypted: bool,
    /// The secret stands in the line itself.
    pub(super) in_unit: bool,
}

impl Handing {
    pub(super) fn hands(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => self.name == name,
        }
    }
}

/// What the unit and its drop-ins hand to it. `Err`: why that is not known.
pub(super) fn handing() -> Result<Vec<Handing>, String> {
    let output = systemctl(&["cat", UNIT]).map_err(|error| format!("systemctl: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.trim().lines().next().unwrap_or("systemctl gives no reason").to_owned());
    }
    Ok(handed_by(&String::from_utf8_lossy(&output.stdout)))
}

fn handed_by(unit: &str) -> Vec<Handing> {
    let mut found: Vec<(&str, Handing)> = Vec::new();
    for (key, told) in unit.lines().filter_map(|line| line.trim().split_once('=')) {
        let encrypted = key.ends_with("Encrypted");
        let in_unit = key.starts_with("SetCredential");
        if !in_unit && !matches!(key, "LoadCredential" | "LoadCredentialEncrypted" | "ImportCredential") {
            continue;
        }
        if told.is_empty() {
            // As systemd has it: nothing of what stood there before.
            found.retain(|(before, _)| *before != key);
            continue;
        }
        let (name, rest) = told.split_once(':').unwrap_or((told, ""));
        let path = Some(PathBuf::from(rest)).filter(|path| !in_unit && path.is_absolute());
        found.push((key, Handing { name: name.to_owned(), path, encrypted, in_unit }));
    }
    found.into_iter().map(|(_, handing)| handing).collect()
}

fn systemctl(words: &[&str]) -> io::Result<Output> {
    Command::new("systemctl").arg("--no-pager").args(words).output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_unit_is_handed_stands_in_its_lines_and_in_no_comment() {
        let unit = "\
# /usr/lib/systemd/system/punchgate.service
[Service]
# LoadCredentialEncrypted=comment:/etc/credstore.encrypted/comment
LoadCredential=old:/etc/old
LoadCredential=
Environment=A=LoadCredential=b:/c

# /etc/systemd/system/punchgate.service.d/key.conf
[Service]
LoadCredential=gateway.key:/etc/credstore/gateway.key
LoadCredentialEncrypted=broker.password
SetCredential=set:not/a/path
ImportCredential=clock.*
";
        let handing = handed_by(unit);
        let of = |name: &str| {
            let found = handing.iter().find(|it| it.hands(name))?;
            Some((found.path.as_deref().and_then(Path::to_str), found.encrypted, found.in_unit))
        };
        assert_eq!(of("gateway.key"), Some((Some("/etc/credstore/gateway.key"), false, false)));
        assert_eq!(of("broker.password"), Some((None, true, false)));
        assert_eq!(of("set"), Some((None, false, true)));
        assert_eq!(of("clock.front"), Some((None, false, false)));
        assert_eq!([of("old"), of("comment"), of("b"), of("gateway")], [None; 4]);
    }
}
