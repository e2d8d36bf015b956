//! A box on which nothing is installed, with a broker and a terminal on its network, and a `systemctl` that starts the real program.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use driver_zk::sim::{Model, Simulator};
use jiff::tz::TimeZone;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::broker::{Mosquitto, Setup};

/// Does what setup asks of the real one, without systemd.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >> "HERE/asked"
run() { "PROGRAM" run --config "HERE/etc/config.toml" --log text >> "HERE/log" 2>&1 & echo $! > "HERE/pid"; }
case "$*" in
  "--no-pager is-system-running") echo WORD; [ WORD = running ] ;;
  "--no-pager enable punchgate") ;;
  "--no-pager cat punchgate") cat "HERE/unit" ;;
  "--no-pager enable --now punchgate") run ;;
  "--no-pager restart punchgate")
    kill "$(cat "HERE/pid")"
    while kill -0 "$(cat "HERE/pid")" 2>/dev/null; do sleep 0.1; done
    run ;;
  *) echo "what is $*?" >&2; exit 1 ;;
esac
"#;

/// Opens what `rot13` has made of a key, when it is asked by the right name.
const SYSTEMD_CREDS: &str = r#"#!/bin/sh
[ "$1 $2 $4" = "decrypt --name=gateway.key -" ] || { echo "what is $*?" >&2; exit 1; }
grep -q PRIVATE "$3" && { echo "Failed to decrypt credential: Bad message" >&2; exit 1; }
tr A-Za-z N-ZA-Mn-za-m <"$3"
"#;

pub(crate) struct Office {
    pub(crate) folder: TempDir,
    pub(crate) broker: Mosquitto,
    pub(crate) clock: Simulator,
}

impl Office {
    /// `None`, visibly, where there is no broker to be had.
    pub(crate) async fn open() -> Option<Self> {
        let broker = Mosquitto::start(Setup::default())?;
        let clock = Simulator::start(
            Model { comm_key: 4711, zone: TimeZone::get("Asia/Shanghai").unwrap(), ..Model::default() },
            0,
        )
        .await
        .unwrap();
        // What it holds from before is no first punch.
        clock.fill(20);
        let office = Self { folder: tempfile::tempdir().unwrap(), broker, clock };
        fs::write(office.path("comm.key"), "4711\n").unwrap();
        office.systemd_is("running");
        Some(office)
    }

    /// What `systemctl is-system-running` says.
    pub(crate) fn systemd_is(&self, word: &str) {
        let systemctl = SYSTEMCTL
            .replace("HERE", &self.path("").display().to_string())
            .replace("PROGRAM", env!("CARGO_BIN_EXE_punchgate"))
            .replace("WORD", word);
        fs::create_dir_all(self.path("bin")).unwrap();
        for (name, script) in [("bin/systemctl", &*systemctl), ("bin/systemd-creds", SYSTEMD_CREDS)] {
            fs::write(self.path(name), script).unwrap();
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// What `systemctl cat punchgate` shows, below a section.
    pub(crate) fn unit_says(&self, line: &str) {
        fs::write(self.path("unit"), format!("[Service]\n# LoadCredential=gateway.key:/nowhere\n{line}\n")).unwrap();
    }

    /// What systemd keeps in this folder; the one before is gone.
    pub(crate) fn systemd_keeps(&self, folder: &str, bytes: &[u8]) -> PathBuf {
        for old in ["etc/credstore", "etc/credstore.encrypted"] {
            // At first there is none.
            let _ = fs::remove_dir_all(self.path("root").join(old));
        }
        let path = self.path("root").join(folder).join("gateway.key");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("etc/config.toml")
    }

    /// The program, told where things lie.
    pub(crate) fn setup(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        command.args(["setup", "--config"]).arg(self.config()).arg("--state-dir").arg(self.path("state"));
        command.arg("--credentials-below").arg(self.path("root")).env_remove("CREDENTIALS_DIRECTORY");
        command.args(words).env("PATH", path).env("LC_ALL", "C.UTF-8").env_remove("RUNTIME_DIRECTORY");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Flags that say everything of site and broker.
    pub(crate) fn site(&self) -> Vec<String> {
        let file = |name: &str| self.broker.path(name).display().to_string();
        let url = format!("mqtts://{}", self.broker.url());
        let words = ["--id", "sz-03", "--tenant", "acme", "--zone", "Asia/Shanghai", "--broker", &url, "--ca-file"];
        let words = words.map(str::to_owned).into_iter().chain([file("ca.pem")]);
        words.chain(["--cert-file".into(), file("client.pem"), "--key-file".into(), file("client.key")]).collect()
    }

    /// Flags for the terminal.
    pub(crate) fn terminal(&self) -> Vec<String> {
        let terminal = format!("front-door=zk:tcp://{},timeout=2s", self.clock.address());
        let key = format!("front-door={}", self.path("comm.key").display());
        vec!["--terminal".into(), terminal, "--comm-key-file".into(), key]
    }

    /// Runs it to its end with these flags beside.
    pub(crate) async fn ended(&self, words: Vec<String>) -> Output {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = self.setup(&words);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// What was asked of `systemctl`, line by line.
    pub(crate) fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("asked")).unwrap_or_default();
        text.lines().map(|line| line.trim_start_matches("--no-pager ").to_owned()).collect()
    }

    /// What lies beside the config.
    pub(crate) fn written(&self) -> BTreeMap<String, Vec<u8>> {
        let Ok(files) = fs::read_dir(self.path("etc")) else { return BTreeMap::new() };
        let files = files.map(|file| file.unwrap());
        files.map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap())).collect()
    }
}

impl Drop for Office {
    #[allow(clippy::print_stderr, reason = "the log of a gateway whose test failed must be seen")]
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.path("pid")).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        if std::thread::panicking() {
            eprintln!("log of the gateway:\n{}", fs::read_to_string(self.path("log")).unwrap_or_default());
        }
    }
}

/// `--a b` behind others.
pub(crate) fn with(words: &[Vec<String>], more: &[&str]) -> Vec<String> {
    words.concat().into_iter().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
