//! A real mosquitto, with TLS and client certificates, that can be killed, frozen and started again.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use punchgate::mqtt::{BrokerUrl, MqttSettings, MqttVersion};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::certs::{Ca, Pair};

const MOSQUITTO: &str = "/usr/sbin/mosquitto";

/// How the broker is set up.
pub struct Setup {
    pub tls: bool,
    pub persistence: bool,
    pub user: Option<(&'static str, &'static str)>,
    /// More lines of its config.
    pub extra: String,
    /// The broker's own certificate, if it shall not be a right one.
    pub certificate: Option<Pair>,
    /// Who signs and is trusted.
    pub ca: Ca,
}

impl Default for Setup {
    fn default() -> Self {
        let ca = Ca::new("punchgate test CA");
        Self { tls: true, persistence: false, user: None, extra: String::new(), certificate: None, ca }
    }
}

pub struct Mosquitto {
    folder: TempDir,
    port: u16,
    tls: bool,
    user: Option<(&'static str, &'static str)>,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one on a free port. `None`, visibly, where there is no mosquitto.
    pub fn start(setup: Setup) -> Option<Self> {
        if !Path::new(MOSQUITTO).exists() {
            skipped("there is no mosquitto here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut broker = Self { folder, port: 0, tls: setup.tls, user: setup.user, child: None };
        broker.prepare(&setup);
        for _ in 0..5 {
            // Another process may take the port between looking and listening.
            broker.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            broker.write_config(&setup);
            if broker.try_start() {
                return Some(broker);
            }
        }
        panic!("mosquitto did not start: {}", broker.log());
    }

    /// A right one with TLS.
    pub fn plainly() -> Option<Self> {
        Self::start(Setup::default())
    }

    fn prepare(&self, setup: &Setup) {
        fs::write(self.path("ca.pem"), setup.ca.pem()).unwrap();
        let right = setup.ca.issue(&["localhost", "127.0.0.1"]);
        let server = setup.certificate.as_ref().unwrap_or(&right);
        self.write_pair("broker", server);
        self.write_pair("client", &setup.ca.issue(&["gateway"]));
        if let Some((user, password)) = setup.user {
            let done = Command::new("mosquitto_passwd")
                .args(["-b", "-c"])
                .arg(self.path("passwords"))
                .args([user, password])
                .status()
                .unwrap();
            assert!(done.success());
        }
    }

    fn write_config(&self, setup: &Setup) {
        let mut config = format!("listener {} 127.0.0.1\nuser root\n", self.port);
        let mut line = |line: &str, name: &str| writeln!(config, "{line} {}", self.path(name).display()).unwrap();
        line("log_dest file", "log");
        if setup.tls {
            line("cafile", "ca.pem");
            line("certfile", "broker.pem");
            line("keyfile", "broker.key");
        }
        if setup.persistence {
            line("persistence_location", ""); // joined, this ends in the slash that mosquitto wants
        }
        if setup.user.is_some() {
            line("password_file", "passwords");
        }
        writeln!(config, "allow_anonymous {}", setup.user.is_none()).unwrap();
        writeln!(config, "require_certificate {}", setup.tls).unwrap();
        writeln!(config, "persistence {}", setup.persistence).unwrap();
        writeln!(config, "max_queued_messages 0\nset_tcp_nodelay true\n{}", setup.extra).unwrap();
        fs::write(self.path("conf"), config).unwrap();
    }

    fn try_start(&mut self) -> bool {
        let child = Command::new(MOSQUITTO)
            .arg("-c")
            .arg(self.path("conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let child = self.child.insert(child);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return true;
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }

    /// SIGKILL: nothing is written, nobody is told.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again at the same port.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "mosquitto did not start again: {}", self.log());
    }

    /// It keeps its connections and does nothing more.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    pub fn url(&self) -> BrokerUrl {
        BrokerUrl { host: "localhost".into(), port: self.port, tls: self.tls }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a right client needs.
    pub fn settings(&self, client_id: &str) -> MqttSettings {
        let file = |name| self.tls.then(|| self.path(name));
        MqttSettings {
            brokers: vec![self.url()],
            version: MqttVersion::V5,
            client_id: client_id.into(),
            ca_file: file("ca.pem"),
            cert_file: file("client.pem"),
            key_file: file("client.key"),
            username: self.user.map(|(user, _)| user.into()),
            password: self.user.map(|(_, password)| super::secret(password)),
            keep_alive: Duration::from_secs(30),
            ack_timeout: Duration::from_secs(5),
        }
    }

    /// A file of the broker's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write_pair(&self, name: &str, pair: &Pair) {
        fs::write(self.path(&format!("{name}.pem")), &pair.certificate).unwrap();
        let key = self.path(&format!("{name}.key"));
        fs::write(&key, &pair.key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

#[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
