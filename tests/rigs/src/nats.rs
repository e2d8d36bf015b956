//! Three nodes of nats-server as `packaging/broker-cluster` sets them up, each killed and started on its own.

use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use tokio::time::sleep;

use crate::{
    certs::Ca,
    mosquitto::{free_port, free_ports},
};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/broker-cluster");
pub(crate) const NODES: usize = 3;
/// A consumer that has not caught up in this time will not do so: others need seconds.
const HANGS: Duration = Duration::from_secs(40);
/// Streams are behind for moments while punches flow, and in order when none was for so long.
const CALM: Duration = Duration::from_secs(1);

pub(crate) struct Cluster {
    folder: PathBuf,
    nodes: Vec<Node>,
}

struct Node {
    environment: HashMap<String, String>,
    mqtt: u16,
    monitor: u16,
    child: Option<Child>,
}

impl Cluster {
    /// What runs it, or why there is none.
    pub(crate) fn program() -> Result<PathBuf, String> {
        let places = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
        let found = places.iter().map(PathBuf::from).find(|path| path.exists());
        found.ok_or_else(|| "nats-server is not installed".into())
    }

    /// Writes what the nodes need; `launch` starts them.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("cluster");
        fs::create_dir_all(&folder)?;
        let shipped = Path::new(SHIPPED);
        fs::copy(shipped.join("nats-server.conf"), folder.join("nats-server.conf"))?;
        let rules = fs::read_to_string(shipped.join("gateways.conf"))?;
        ensure!(rules.contains("\"sz-03\""), "gateways.conf has no gateway sz-03 any more");
        fs::write(folder.join("gateways.conf"), rules.replace("sz-03", "rig"))?;
        let ca = Ca::new("punchgate rigs CA");
        fs::write(folder.join("ca.pem"), ca.pem())?;
        for (name, names) in [("node", &["localhost", "127.0.0.1"][..]), ("rig", &["rig"]), ("payroll", &["payroll"])] {
            let pair = ca.issue(names);
            fs::write(folder.join(format!("{name}.pem")), pair.certificate)?;
            fs::write(folder.join(format!("{name}.key")), pair.key)?;
        }
        let example = fs::read_to_string(shipped.join("node.env"))?;
        let routes = free_ports::<NODES>()?.to_vec();
        let nodes = (0..NODES).map(|at| Node::new(&example, &folder, at, &routes)).collect::<anyhow::Result<_>>()?;
        Ok(Self { folder, nodes })
    }

    pub(crate) fn launch(&mut self, at: usize) -> anyhow::Result<()> {
        let node = &mut self.nodes[at];
        let log = fs::File::options().create(true).append(true).open(self.folder.join(format!("node-{at}.log")))?;
        let mut command = Command::new(Self::program().map_err(anyhow::Error::msg)?);
        command.arg("-c").arg(self.folder.join("nats-server.conf")).env_clear().envs(&node.environment);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        node.child = Some(command.spawn().context("nats-server")?);
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.nodes[at].child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until every node has caught up with the others, as it says itself. What it holds is in streams; a consumer, which knows
    /// what a session has had, hangs behind for ever once in a while with version 2.9, and no new start of the node helps.
    pub(crate) async fn healthy(&mut self, limit: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut behind = begun;
        while !self.nodes.iter().all(Node::is_healthy) {
            for (at, node) in self.nodes.iter_mut().enumerate() {
                if let Some(status) = node.child.as_mut().and_then(|child| child.try_wait().ok()?) {
                    bail!("node {at} ended with {status}: {}", self.log(at));
                }
            }
            if begun.elapsed() > limit {
                bail!("the cluster was not whole in {limit:?}: {}", self.ailing());
            }
            if !self.nodes.iter().all(|node| node.is_healthy() || node.holds_streams()) {
                behind = Instant::now();
            }
            if begun.elapsed() > HANGS && behind.elapsed() > CALM {
                eprintln!("not waited for any longer: {}", self.ailing());
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(begun.elapsed())
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.mqtt).collect()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Lines of the gateway's `[mqtt]`: all nodes, the first one first.
    pub(crate) fn lines(&self) -> String {
        let urls: Vec<String> = self.ports().iter().map(|port| format!("\"mqtts://localhost:{port}\"")).collect();
        let file = |name| self.file(name).display().to_string();
        format!(
            "url = [{}]\nversion = \"3.1.1\"\nca_file = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
            urls.join(", "),
            file("ca.pem"),
            file("rig.pem"),
            file("rig.key")
        )
    }

    /// What a node complained of that no rig does to it.
    pub(crate) fn violations(&self) -> Vec<String> {
        let all =
            (0..NODES).map(|at| fs::read_to_string(self.folder.join(format!("node-{at}.log"))).unwrap_or_default());
        all.flat_map(|log| log.lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// What each node that is not well says of itself, and the end of its log.
    fn ailing(&self) -> String {
        let ill = self.nodes.iter().enumerate().filter(|(_, node)| !node.is_healthy());
        let words = ill.map(|(at, node)| {
            let answer = node.ask_health().unwrap_or_else(|| "it does not answer".into());
            format!("node {at}: {}\n{}", answer.lines().last().unwrap_or_default(), self.log(at))
        });
        words.collect::<Vec<_>>().join("\n")
    }

    fn log(&self, at: usize) -> String {
        crate::kill::tail(&fs::read_to_string(self.folder.join(format!("node-{at}.log"))).unwrap_or_default())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..NODES).for_each(|at| self.kill(at));
    }
}

impl Node {
    /// All that the shipped example names, with this machine's values: a name that is only here or only there would show.
    fn new(example: &str, folder: &Path, at: usize, routes: &[u16]) -> anyhow::Result<Self> {
        let [mqtt, monitor] = free_ports()?;
        let local = |port: u16| format!("127.0.0.1:{port}");
        let file = |name: &str| folder.join(name).display().to_string();
        let value = |name: &str, shipped: &str| -> anyhow::Result<String> {
            Ok(match name {
                "NODE" => format!("broker-{}", at + 1),
                "MQTT" => local(mqtt),
                "MONITOR" => local(monitor),
                "CLIENTS" => local(free_port()?),
                "CLUSTER" => local(routes[at]),
                "ROUTE_1" | "ROUTE_2" | "ROUTE_3" => {
                    let number: usize = name[6..].parse()?;
                    format!("nats://{}", local(routes[number - 1]))
                }
                "STORE" => file(&format!("store-{at}")),
                "CA" => file("ca.pem"),
                "CERT" => file("node.pem"),
                "KEY" => file("node.key"),
                "ROOM" => shipped.replace("100GB", "4GB"),
                other => bail!("node.env has {other}, of which this rig does not know"),
            })
        };
        let environment = example
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(name, shipped)| Ok((name.to_owned(), value(name, shipped)?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { environment, mqtt, monitor, child: None })
    }

    fn is_healthy(&self) -> bool {
        self.child.is_some() && self.ask_health().is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Whether what it complains of is a consumer. It names the first trouble that it comes upon, in no order.
    fn holds_streams(&self) -> bool {
        self.child.is_some() && self.ask_health().is_some_and(|answer| answer.contains("JetStream consumer '"))
    }

    fn ask_health(&self) -> Option<String> {
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, self.monitor));
        let mut stream = TcpStream::connect_timeout(&place, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}
