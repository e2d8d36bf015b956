//! The unit: whether systemd runs this machine, and starting the gateway by it.

use std::{
    io,
    path::Path,
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

fn systemctl(words: &[&str]) -> io::Result<Output> {
    Command::new("systemctl").arg("--no-pager").args(words).output()
}
