//! Bad lines: between terminals and gateway, between gateway and broker, and a real loss and lack of room in namespaces.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    Plan,
    certs::Ca,
    mosquitto::{Mosquitto, free_port},
    oracle::Verdict,
    proxy::{Fault, Gateway, Proxy},
    row::{Report, Row},
    terminals::Speaks,
    unwrap::{Unwrap, connector},
    wires,
    world::{Settings, World},
};

/// Which lines are bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Those to terminals that are dialled.
    Zk,
    /// Those of terminals that dial, over plain HTTP.
    Http,
    /// The same over TLS.
    Https,
    Broker,
    /// All at once; terminals that dial do so over TLS.
    All,
}

impl Place {
    fn words(self) -> &'static str {
        match self {
            Self::Zk => "zk over TCP",
            Self::Http => "zk-push over HTTP",
            Self::Https => "zk-push over HTTPS",
            Self::Broker => "the broker's line",
            Self::All => "all lines at once",
        }
    }

    /// Plain HTTP has no checksum: what is changed on the way there is believed, by us as by anybody. So such faults are tried
    /// with TLS.
    fn bears(self, fault: Fault) -> bool {
        match self {
            Self::Http => !fault.changes(),
            Self::Https => fault.changes(),
            Self::Zk | Self::Broker | Self::All => true,
        }
    }
}

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if let Err(why) = Mosquitto::program() {
        report.skip("network", &why);
        return Ok(());
    }
    // The short form has each fault once, on all lines at once; the full one each on each kind of line.
    let places: &[Place] = match plan.full || plan.only.is_some() {
        true => &[Place::Zk, Place::Http, Place::Https, Place::Broker, Place::All],
        false => &[Place::All],
    };
    for place in places {
        let name = |fault: Fault| format!("{}: {}", fault.word(), place.words());
        let faults = Fault::ALL.into_iter().filter(|fault| place.bears(*fault) && plan.wants(&name(*fault)));
        let faults: Vec<Fault> = faults.collect();
        if faults.is_empty() {
            continue;
        }
        let mut scene = Scene::new(plan, *place).await?;
        for fault in faults {
            let mut row = Row { rig: "network", case: name(fault), ..Row::default() };
            for _ in 0..plan.times(1, 25) {
                if plan.is_stopped() {
                    break;
                }
                scene.round(fault, &mut row).await;
            }
            scene.judge(&mut row).await;
            report.add(&row)?;
        }
        scene.close(report).await?;
    }
    wires::run(plan, report).await
}

struct Scene {
    world: World,
    place: Place,
    proxies: Vec<Proxy>,
    random: StdRng,
    before: Verdict,
    _wraps: Vec<Unwrap>,
    /// Of certificates.
    _folder: TempDir,
}

impl Scene {
    async fn new(plan: &Plan, place: Place) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listen = local(free_port()?);
        let mut settings = Settings { push_listen: Some(listen), ..Settings::default() };
        let (mut proxies, mut wraps) = (Vec::new(), Vec::new());
        let folder = tempfile::Builder::new().prefix("punchgate-line-").tempdir()?;
        if matches!(place, Place::Http | Place::Https | Place::All) {
            let proxy = Proxy::start(listen, Gateway::Far, random.random()).await?;
            settings.push_server = Some(proxy.address);
            if place != Place::Http {
                let ca = Ca::new("punchgate rigs CA");
                let pair = ca.issue(&["localhost"]);
                let file = |name: &str| folder.path().join(name);
                std::fs::write(file("ca.pem"), ca.pem())?;
                std::fs::write(file("push.pem"), &pair.certificate)?;
                std::fs::write(file("push.key"), &pair.key)?;
                let connector = connector(&file("ca.pem"), &file("push.pem"), &file("push.key"))?;
                // Terminals that know no TLS of their own, in front of the bad line.
                let wrap = Unwrap::start(proxy.address.port(), connector).await?;
                settings.push_server = Some(local(wrap.port));
                settings.push_lines = format!(
                    "tls_cert_file = \"{}\"\ntls_key_file = \"{}\"\n",
                    file("push.pem").display(),
                    file("push.key").display()
                );
                wraps.push(wrap);
            }
            proxies.push(proxy);
        }
        let mut world = World::new(plan, settings).await?;
        if let Some(broker) = &world.broker
            && matches!(place, Place::Broker | Place::All)
        {
            let proxy = Proxy::start(local(broker.tls_port), Gateway::Near, random.random()).await?;
            world.settings.mqtt = Some(broker.tls_lines(proxy.address.port()));
            proxies.push(proxy);
        }
        if matches!(place, Place::Zk | Place::All) {
            proxies.extend(dialled(&world, &mut random).await?);
        }
        world.configure().await?;
        world.daemon.launch()?;
        if world.arrival(Duration::from_secs(30)).await.is_none() {
            anyhow::bail!("no punch arrived in 30 s over good lines: {}", crate::kill::tail(&world.daemon.log()));
        }
        Ok(Self { world, place, proxies, random, before: Verdict::default(), _wraps: wraps, _folder: folder })
    }

    async fn round(&mut self, fault: Fault, row: &mut Row) {
        row.count += 1;
        self.proxies.iter().for_each(|proxy| proxy.set(Some(fault)));
        let lasts = match fault {
            // Longer than anybody's patience.
            Fault::Stall => 8_000,
            Fault::HalfOpen => 2_000,
            _ => 2_500,
        };
        sleep(Duration::from_millis(lasts + self.random.random_range(0..500))).await;
        self.proxies.iter().for_each(|proxy| proxy.set(None));
        let healed = (self.world.oracle.count(), Instant::now());
        match self.world.flow(healed, 40, Duration::from_secs(60)).await {
            Some(time) => row.recovered.push(time),
            None => row.complaints.push(format!("a minute after {} punches do not flow", fault.word())),
        }
    }

    /// All must have arrived; what belongs to this fault goes into its row.
    async fn judge(&mut self, row: &mut Row) {
        self.world.settle(Duration::from_secs(40)).await;
        let verdict = self.world.judge();
        row.verdict = Verdict {
            recorded: verdict.recorded - self.before.recorded,
            resends: verdict.resends - self.before.resends,
            ..verdict.clone()
        };
        row.peak_rss_kib = self.world.daemon.peak_kib();
        if self.proxies.iter().map(Proxy::hits).sum::<u64>() == 0 {
            row.complaints.push("the fault never happened".into());
        }
        if !row.has_passed() {
            eprintln!("{}", crate::kill::tail(&self.world.daemon.log()));
        }
        self.before = verdict;
        self.world.go_on().await;
    }

    async fn close(self, report: &mut Report) -> anyhow::Result<()> {
        let case = format!("afterwards: {}", self.place.words());
        let mut row = Row { rig: "network", case, count: 1, ..Row::default() };
        self.world.close(&mut row).await?;
        report.add(&row)
    }
}

/// Puts lines in front of what the gateway dials, or of the gateway where terminals dial it over plain HTTP.
pub(crate) async fn place_proxies(world: &mut World, seed: u64, place: &str) -> anyhow::Result<Vec<Proxy>> {
    let mut proxies = Vec::new();
    if place == "to the broker" {
        if let Some(broker) = &world.broker {
            let there = SocketAddr::from((Ipv4Addr::LOCALHOST, broker.tls_port));
            let proxy = Proxy::start(there, Gateway::Near, seed).await?;
            world.settings.mqtt = Some(broker.tls_lines(proxy.address.port()));
            proxies.push(proxy);
        }
    } else {
        proxies.extend(dialled(world, &mut StdRng::seed_from_u64(seed)).await?);
        let mut push = Proxy::start(world.push, Gateway::Far, seed + 100).await?;
        push.checked = false;
        world.fleet.write().await.dial(push.address);
        proxies.push(push);
    }
    world.configure().await?;
    Ok(proxies)
}

/// A line to each terminal that is dialled.
async fn dialled(world: &World, random: &mut StdRng) -> anyhow::Result<Vec<Proxy>> {
    let mut proxies = Vec::new();
    for terminal in world.fleet.read().await.terminals().iter_mut() {
        if let Speaks::Zk(speaks) = &terminal.speaks {
            let proxy = Proxy::bound(speaks.address(), Gateway::Near, random.random())?;
            terminal.seen_at = Some(proxy.address);
            proxies.push(proxy);
        }
    }
    Ok(proxies)
}
