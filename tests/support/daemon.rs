//! The real program as a child process: a whole gateway in one call.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use punchgate::mqtt::BrokerUrl;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use super::broker::Mosquitto;

/// A gateway of its own folder. It can be killed and started again on the same state.
pub struct Daemon {
    folder: TempDir,
    child: Option<Child>,
    /// Where systemd would listen.
    notify: Option<PathBuf>,
    /// More words behind `run --config FILE`.
    pub words: Vec<&'static str>,
}

impl Daemon {
    /// Starts one for this broker. `terminals` are the `[[terminal]]` blocks.
    pub fn start(broker: &Mosquitto, terminals: &str) -> Self {
        let mut daemon = Self::prepare();
        daemon.configure(broker, terminals);
        daemon.launch();
        daemon
    }

    /// The same with another config than the right one.
    pub fn start_edited(broker: &Mosquitto, terminals: &str, edit: impl FnOnce(String) -> String) -> Self {
        let mut daemon = Self::prepare();
        daemon.configure(broker, terminals);
        let text = fs::read_to_string(daemon.config()).unwrap();
        fs::write(daemon.config(), edit(text)).unwrap();
        daemon.launch();
        daemon
    }

    /// A folder to put things into; it has no config yet and does not run.
    pub fn prepare() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), child: None, notify: None, words: Vec::new() }
    }

    /// The same, under somebody who listens as systemd does.
    pub fn start_under(listener: &Path, broker: &Mosquitto, terminals: &str) -> Self {
        let mut daemon = Self::prepare();
        daemon.notify = Some(listener.into());
        daemon.configure(broker, terminals);
        daemon.launch();
        daemon
    }

    /// Writes its config anew; it is read at the next start or SIGHUP.
    pub fn configure(&self, broker: &Mosquitto, terminals: &str) {
        self.configure_through(broker.port(), broker, terminals);
    }

    /// The same, with the broker to be found behind another port, such as that of a line that can be cut.
    pub fn configure_through(&self, port: u16, broker: &Mosquitto, terminals: &str) {
        let url = BrokerUrl { port, ..broker.url() };
        let file = |name| broker.path(name).display().to_string();
        let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
        let tls = format!("ca_file = \"{ca}\"\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\n");
        let scheme = if url.tls { "mqtts" } else { "mqtt" };
        let text = format!(
            "[gateway]\nid = \"sz-03\"\ntenant = \"acme\"\nzone = \"Asia/Shanghai\"\nstate_dir = \"state\"\n\n\
             [mqtt]\nurl = \"{scheme}://{url}\"\nack_timeout = \"5s\"\n{}\n[spool]\nmin_free = \"1MiB\"\n\n{terminals}",
            if url.tls { tls } else { String::new() },
        );
        fs::write(self.config(), text).unwrap();
    }

    /// Starts it after it was killed.
    pub fn launch(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_punchgate"))
            .envs(self.notify.iter().map(|path| ("NOTIFY_SOCKET", path)))
            .args(["run", "--config"])
            .arg(self.config())
            .args(self.words.iter())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().expect("it runs")), signal).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        super::soon("the daemon ends", async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status;
                }
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// What the command line says of the running daemon, an object for each line; `None` while it is not there.
    pub fn ask(&self, words: &[&str]) -> Option<Vec<Value>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
        let output = command.args(words).arg("--json").arg("--config").arg(self.config()).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// The answer of `punchgate status`, as soon as it is like this.
    pub async fn until_status(&self, what: &str, like: impl Fn(&Value) -> bool) -> Value {
        self.until(&["status"], what, |lines| lines.first().is_some_and(&like)).await.remove(0)
    }

    /// Asks until the answer is like this.
    pub async fn until(&self, words: &[&str], what: &str, like: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        super::soon(what, async {
            loop {
                if let Some(answer) = self.ask(words).filter(|answer| like(answer)) {
                    return answer;
                }
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    #[allow(clippy::print_stderr, reason = "the log of a gateway whose test failed must be seen")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("log of the gateway:\n{}", self.log());
        }
    }
}
