//! A real mosquitto: with TLS for the gateway, plain for the witness.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::certs::Ca;

pub(crate) struct Mosquitto {
    folder: PathBuf,
    pub(crate) tls_port: u16,
    pub(crate) plain_port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// What runs it, or why there is none.
    pub(crate) fn program() -> Result<PathBuf, String> {
        let places = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"];
        let found = places.iter().map(PathBuf::from).find(|path| path.exists());
        found.ok_or_else(|| "mosquitto is not installed".into())
    }

    pub(crate) fn start(folder: &Path, persistence: bool) -> anyhow::Result<Self> {
        let folder = folder.join("broker");
        fs::create_dir_all(folder.join("store"))?;
        let ca = Ca::new("punchgate rigs CA");
        fs::write(folder.join("ca.pem"), ca.pem())?;
        let outside = crate::wires::broker();
        for (name, names) in [("broker", &["localhost", "127.0.0.1", &outside][..]), ("client", &["rig"])] {
            let pair = ca.issue(names);
            fs::write(folder.join(format!("{name}.pem")), pair.certificate)?;
            fs::write(folder.join(format!("{name}.key")), pair.key)?;
        }
        let [tls_port, plain_port] = free_ports()?;
        let mut broker = Self { folder, tls_port, plain_port, child: None };
        let file = |name| broker.folder.join(name).display().to_string();
        let config = format!(
            "user root\nlog_dest file {}\npersistence {persistence}\npersistence_location {}/\nautosave_interval 1\n\
             allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n\
             listener {} 127.0.0.1\nlistener {} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
            file("log"),
            file("store"),
            broker.plain_port,
            broker.tls_port,
            file("ca.pem"),
            file("broker.pem"),
            file("broker.key"),
        );
        fs::write(broker.folder.join("conf"), config)?;
        broker.launch()?;
        Ok(broker)
    }

    pub(crate) fn launch(&mut self) -> anyhow::Result<()> {
        let program = Self::program().map_err(anyhow::Error::msg)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(self.folder.join("conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = self.child.insert(command.spawn().context("mosquitto")?);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.tls_port)).is_ok() {
                return Ok(());
            }
            if child.try_wait()?.is_some() {
                break;
            }
            sleep(Duration::from_millis(5));
        }
        bail!("mosquitto did not start: {}", fs::read_to_string(self.folder.join("log")).unwrap_or_default())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, after which it has written down all it holds.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            kill_process(Pid::from_child(&child), Signal::TERM)?;
            child.wait()?;
        }
        Ok(())
    }

    pub(crate) fn freeze(&self, frozen: bool) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("mosquitto does not run")?;
        Ok(kill_process(Pid::from_child(child), if frozen { Signal::STOP } else { Signal::CONT })?)
    }

    /// Lines of the gateway's `[mqtt]` for TLS at this port.
    pub(crate) fn tls_lines(&self, port: u16) -> String {
        let file = |name| self.folder.join(name).display().to_string();
        format!(
            "url = \"mqtts://localhost:{port}\"\nca_file = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
            file("ca.pem"),
            file("client.pem"),
            file("client.key")
        )
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(free_ports::<1>()?[0])
}

/// Ports that nobody listens at, each another: they are held until all are found.
pub(crate) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let held = (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<Vec<_>, _>>()?;
    let mut ports = [0; N];
    for (port, held) in ports.iter_mut().zip(&held) {
        *port = held.local_addr()?.port();
    }
    Ok(ports)
}
