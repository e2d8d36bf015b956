//! A gateway in a network namespace of its own: packets are lost on its lines, or the line to the broker is very slow.

use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tokio::time::sleep;

use crate::{
    Plan,
    mosquitto::free_port,
    proxy::{Gateway, Proxy},
    row::{Report, Row},
    terminals::Speaks,
    world::{Settings, World},
};

/// Addresses for tests of networks (RFC 2544), others in each process: of our ends of the two lines, and of the gateway's.
pub(crate) fn broker() -> String {
    address(BROKER)
}

const BROKER: u32 = 1;
const GATEWAY_TO_BROKER: u32 = 2;
const TERMINALS: u32 = 5;
const GATEWAY_TO_TERMINALS: u32 = 6;

fn address(number: u32) -> String {
    let own = std::process::id() % (1 << 14);
    IpAddr::from((0xC612_0000_u32 + own * 8 + number).to_be_bytes()).to_string()
}

/// What the slow line carries.
const SLOW: &str = "16kbit";

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let (loss, slow) = ("loss: 5 % of all packets, both ways", "slow: 16 kbit/s to the broker, 300 punches waiting");
    if plan.wants(loss) {
        let mut row = Row { rig: "network", case: loss.into(), ..Row::default() };
        let Some(scene) = Scene::new(plan, report, loss, 40.0).await? else { return Ok(()) };
        for _ in 0..plan.times(1, 25) {
            if plan.is_stopped() {
                break;
            }
            row.count += 1;
            scene.space.lose(5)?;
            sleep(Duration::from_secs(5)).await;
            scene.space.lose(0)?;
            scene.recovered(&mut row, 40).await;
        }
        scene.world.close(&mut row).await?;
        report.add(&row)?;
    }
    // Minutes, whatever the machine: not among the short forms of all.
    if !plan.is_brief() && plan.wants(slow) {
        let mut row = Row { rig: "network", case: slow.into(), count: 1, ..Row::default() };
        let Some(mut scene) = Scene::new(plan, report, slow, 1.0).await? else { return Ok(()) };
        // While the broker is away a backlog grows, of which one full segment takes longer than an acknowledgement may.
        if let Some(broker) = &mut scene.world.broker {
            broker.kill();
        }
        scene.space.limit(SLOW)?;
        let mut random = rand::SeedableRng::seed_from_u64(plan.seed);
        for _ in 0..300 {
            scene.world.fleet.read().await.punch(&mut random);
        }
        sleep(Duration::from_secs(3)).await;
        if let Some(broker) = &mut scene.world.broker {
            broker.launch()?;
        }
        let (mark, limit) = ((scene.world.oracle.count() - 300, Instant::now()), Duration::from_secs(240));
        match scene.world.flow(mark, 300, limit).await {
            Some(time) => row.recovered.push(time),
            None => row.complaints.push(format!("a backlog of 300 punches did not get through in {limit:?}")),
        }
        scene.space.limit("1gbit")?;
        if !row.complaints.is_empty() {
            eprintln!("{}", crate::kill::tail(&scene.world.daemon.log()));
        }
        scene.world.close(&mut row).await?;
        report.add(&row)?;
    }
    Ok(())
}

struct Scene {
    // Ends before the namespace does.
    world: World,
    _proxies: Vec<Proxy>,
    space: Space,
}

impl Scene {
    /// `None`, and visibly so, where this cannot be done.
    async fn new(plan: &Plan, report: &Report, case: &str, rate: f64) -> anyhow::Result<Option<Self>> {
        let space = match Space::new() {
            Ok(space) => space,
            Err(error) => {
                report.skip(case, &format!("needs root and network namespaces: {error:#}"));
                return Ok(None);
            }
        };
        let listen = SocketAddr::new(address(GATEWAY_TO_TERMINALS).parse()?, free_port()?);
        let settings = Settings { push_listen: Some(listen), rate, ..Settings::default() };
        let mut world = World::new(plan, settings).await?;
        let mut proxies = Vec::new();
        let here = |text: &str| text.parse::<IpAddr>();
        if let Some(broker) = &world.broker {
            let there = SocketAddr::new(here("127.0.0.1")?, broker.tls_port);
            let proxy = Proxy::start_at(here(&address(BROKER))?, there, Gateway::Near, 0).await?;
            let url = format!("mqtts://{}", proxy.address);
            world.settings.mqtt = Some(broker.tls_lines(0).replace("mqtts://localhost:0", &url));
            proxies.push(proxy);
        }
        let mut doors = Vec::new();
        for terminal in world.fleet.read().await.terminals().iter() {
            doors.push(match &terminal.speaks {
                Speaks::Zk(speaks) => Some(speaks.address()),
                Speaks::Push(_) => None,
            });
        }
        let mut seen = Vec::new();
        for door in doors {
            seen.push(match door {
                Some(there) => {
                    let proxy = Proxy::start_at(here(&address(TERMINALS))?, there, Gateway::Near, 0).await?;
                    let address = proxy.address;
                    proxies.push(proxy);
                    Some(address)
                }
                None => None,
            });
        }
        for (terminal, seen) in world.fleet.read().await.terminals().iter_mut().zip(seen) {
            terminal.seen_at = seen;
        }
        world.configure().await?;
        world.daemon.launch_under(&space.words(), &[])?;
        if world.arrival(Duration::from_secs(30)).await.is_none() {
            anyhow::bail!("no punch left the namespace in 30 s: {}", crate::kill::tail(&world.daemon.log()));
        }
        Ok(Some(Self { world, _proxies: proxies, space }))
    }

    async fn recovered(&self, row: &mut Row, punches: u64) {
        let mark = (self.world.oracle.count(), Instant::now());
        match self.world.flow(mark, punches, Duration::from_secs(60)).await {
            Some(time) => row.recovered.push(time),
            None => row.complaints.push("a minute after the fault punches do not flow".into()),
        }
    }
}

/// A network namespace with two lines to it. Gone when dropped.
struct Space {
    name: String,
}

impl Space {
    fn new() -> anyhow::Result<Self> {
        // The kernel takes one apart some time after it was deleted: the next has another name.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let space = Self { name: format!("pg{}x{number}", std::process::id()) };
        let name = space.name.clone();
        ip(&["netns", "add", &name])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        for (line, ours, theirs) in
            [("b", broker(), address(GATEWAY_TO_BROKER)), ("t", address(TERMINALS), address(GATEWAY_TO_TERMINALS))]
        {
            let (here, there) = (space.end(line, 'h'), space.end(line, 'n'));
            ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &name])?;
            ip(&["addr", "add", &format!("{ours}/30"), "dev", &here])?;
            ip(&["link", "set", &here, "up"])?;
            ip(&["-n", &name, "addr", "add", &format!("{theirs}/30"), "dev", &there])?;
            ip(&["-n", &name, "link", "set", &there, "up"])?;
        }
        Ok(space)
    }

    fn end(&self, line: &str, side: char) -> String {
        format!("{}{line}{side}", self.name)
    }

    /// In front of what shall run inside.
    fn words(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// From now on so many packets of a hundred are lost.
    fn lose(&self, percent: u32) -> anyhow::Result<()> {
        let rules = match percent {
            0 => "flush ruleset".to_owned(),
            _ => format!(
                "table inet loss {{\n\
                 chain i {{ type filter hook input priority 0; iifname != \"lo\" numgen random mod 100 < {percent} drop; }}\n\
                 chain o {{ type filter hook output priority 0; oifname != \"lo\" numgen random mod 100 < {percent} drop; }}\n}}"
            ),
        };
        ip(&["netns", "exec", &self.name, "nft", &rules])
    }

    /// From now on the line to the broker carries so much, each way.
    fn limit(&self, rate: &str) -> anyhow::Result<()> {
        let (here, there) = (self.end("b", 'h'), self.end("b", 'n'));
        let shape = |device: &str| -> Vec<String> {
            let words = ["tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate];
            words.iter().chain(&["burst", "4kb", "latency", "3s"]).map(|word| (*word).to_owned()).collect()
        };
        done(&shape(&here))?;
        let mut inside = self.words();
        inside.extend(shape(&there));
        done(&inside)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // With it go its ends of the lines, and with those ours.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    let words: Vec<String> = ["ip"].iter().chain(words).map(|word| (*word).to_owned()).collect();
    done(&words)
}

fn done(words: &[String]) -> anyhow::Result<()> {
    let output = Command::new(&words[0]).args(&words[1..]).output().with_context(|| words[0].clone())?;
    ensure!(output.status.success(), "{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
