//! Three nats-server nodes with JetStream and MQTT behind the gateway's list of brokers: one after the other is killed under
//! load. The configs are those of `packaging/broker-cluster`.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::time::sleep;

use crate::{
    Plan,
    mosquitto::free_port,
    row::{Report, Row},
    storage::{ended, started},
    world::Settings,
};

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let places = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
    let Some(program) = places.iter().map(PathBuf::from).find(|path| path.exists()) else {
        report.skip("cluster", "nats-server is not installed");
        return Ok(());
    };
    let mut row = Row { rig: "cluster", case: "nats-server node of three killed".into(), ..Row::default() };
    let folder = tempfile::Builder::new().prefix("punchgate-cluster-").tempdir()?;
    let mut cluster = Cluster::new(&program, folder.path())?;
    cluster.ready().await?;
    let urls: Vec<String> = cluster.mqtt.iter().map(|port| format!("\"mqtt://127.0.0.1:{port}\"")).collect();
    let mqtt = format!("url = [{}]\nversion = \"3.1.1\"\n", urls.join(", "));
    let settings =
        Settings { mqtt: Some(mqtt), witness: Some(cluster.mqtt.to_vec()), rate: 100.0, ..Settings::default() };
    let mut world = started(plan, settings).await?;
    for round in 0..plan.times(3, 60) {
        if plan.is_stopped() {
            break;
        }
        row.count = round + 1;
        let node = (round % 3) as usize;
        cluster.kill(node);
        // The time until punches flow again.
        ended(&mut world, &mut row, &[]).await?;
        sleep(Duration::from_secs(2)).await;
        cluster.start(node)?;
        cluster.ready().await?;
        sleep(Duration::from_secs(2)).await;
    }
    world.close(&mut row).await?;
    report.add(&row)
}

struct Cluster {
    program: PathBuf,
    folder: PathBuf,
    mqtt: [u16; 3],
    nodes: [Option<Child>; 3],
    monitor: [u16; 3],
}

impl Cluster {
    fn new(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let ports = || -> anyhow::Result<[u16; 3]> { Ok([free_port()?, free_port()?, free_port()?]) };
        let (client, routes, mqtt, monitor) = (ports()?, ports()?, ports()?, ports()?);
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/broker-cluster/nats.conf");
        let template = fs::read_to_string(&template).context("packaging/broker-cluster/nats.conf")?;
        let all: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        for node in 0..3 {
            // What a site fills in, as the page beside it says.
            let filled = [
                ("NODE", format!("node-{node}")),
                ("CLIENT_ADDRESS", format!("127.0.0.1:{}", client[node])),
                ("MONITOR_ADDRESS", format!("127.0.0.1:{}", monitor[node])),
                ("ROUTE_ADDRESS", format!("127.0.0.1:{}", routes[node])),
                ("ROUTES", all.join(", ")),
                ("MQTT_ADDRESS", format!("127.0.0.1:{}", mqtt[node])),
                ("STORE_DIR", folder.join(format!("node-{node}")).display().to_string()),
            ];
            let mut config = template.clone();
            for (word, value) in filled {
                config = config.replace(&format!("@{word}@"), &value);
            }
            // Between one machine's own programs there is no TLS.
            let plain = config.split("# TLS begins\n").enumerate().map(|(part, text)| match part {
                0 => text,
                _ => text.split_once("# TLS ends\n").map_or("", |(_, rest)| rest),
            });
            fs::write(folder.join(format!("node-{node}.conf")), plain.collect::<String>())?;
        }
        let mut cluster =
            Self { program: program.into(), folder: folder.into(), mqtt, nodes: [None, None, None], monitor };
        for node in 0..3 {
            cluster.start(node)?;
        }
        Ok(cluster)
    }

    fn start(&mut self, node: usize) -> anyhow::Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.folder.join(format!("node-{node}.log")))?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.folder.join(format!("node-{node}.conf")));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.nodes[node] = Some(command.spawn()?);
        Ok(())
    }

    /// SIGKILL.
    fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].take() {
            let _ = child.kill(); // it may have ended by itself
            let _ = child.wait();
        }
    }

    /// Every node serves MQTT and has caught up with the others.
    async fn ready(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let listens = self.mqtt.iter().all(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok());
            if listens && self.monitor.iter().all(|port| is_healthy(*port)) {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(120) {
                bail!("the cluster did not come up: see {}", self.folder.display());
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..3).for_each(|node| self.kill(node));
    }
}

/// What the node says of itself at its monitoring port.
fn is_healthy(port: u16) -> bool {
    use std::io::{Read, Write};
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: node\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains(" 200 "))
}
