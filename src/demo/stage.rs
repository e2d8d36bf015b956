//! Everything of a demo that runs, joined together and taken apart again.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use jiff::tz::TimeZone;
use tokio::time::{Instant, sleep};

use super::{
    Cast,
    crowd::Crowd,
    gauge::Gauge,
    part::Part,
    scene::Scene,
    valve::{Valve, free_port},
    verdict::{Claims, Verdict, judge},
    witness::Witness,
};
use crate::spool;

/// How long the gateway may take to answer for the first time.
const START: Duration = Duration::from_secs(20);
/// The gateway promises to leave within ten seconds.
const LEAVING: Duration = Duration::from_secs(12);

/// A demo at work. Whatever it has started ends with it; the order of the fields is that order.
pub(super) struct Stage {
    pub(super) crowd: Crowd,
    gateway: Part,
    valve: Valve,
    witness: Witness,
    /// `None` while it is taken away.
    broker: Option<Part>,
    ports: Ports,
    pub(super) scene: Scene,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    /// Where terminals that push find the gateway.
    push: u16,
    valve: u16,
    v5: u16,
    v311: u16,
}

/// How things stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    pub(super) punched: u64,
    pub(super) delivered: u64,
    pub(super) repeated: u64,
    /// As the gateway answered the last time.
    pub(super) gauge: Gauge,
}

impl Reading {
    /// Nothing is on its way any more.
    pub(super) fn is_settled(&self) -> bool {
        let Claims { durable, waiting, .. } = self.gauge.claims;
        self.punched == self.delivered && self.punched == durable && waiting == 0
    }
}

impl Stage {
    /// Starts everything. Nobody punches yet.
    pub(super) async fn set(cast: Cast, keep: Option<&Path>) -> anyhow::Result<Self> {
        let scene = Scene::set(keep)?;
        let ports = Ports { push: free_port()?, valve: free_port()?, v5: free_port()?, v311: free_port()? };
        let mut broker = start_broker(&scene, ports)?;
        let witness = Witness::begin(scene.onlooker(ports.v5));
        subscribed(&witness, &mut broker).await?;
        let mut valve = Valve::new(ports.valve, ports.v5);
        valve.open().await.context("cannot listen on loopback")?;
        let zone = zone();
        let push = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.push));
        let crowd = Crowd::gather(cast, push, &zone).await?;
        scene.write_config(ports.valve, &zone, &crowd.terminals)?;
        let words = ["gateway".into(), "--config".into(), scene.config().into_os_string()];
        let gateway = Part::start("gateway", &words, scene.path("gateway.log"))?;
        let mut stage = Self { crowd, gateway, valve, witness, broker: Some(broker), ports, scene };
        let late = Instant::now() + START;
        while Gauge::read(&stage.scene.socket()).await.is_none() {
            stage.is_alive()?;
            if Instant::now() > late {
                bail!("the gateway does not answer on {}", stage.scene.socket().display());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(stage)
    }

    pub(super) fn how_to_look_in(&self) -> String {
        self.scene.how_to_look_in(self.ports.v5, self.ports.v311)
    }

    /// Fails when a part ended that should not have.
    pub(super) fn is_alive(&mut self) -> anyhow::Result<()> {
        self.gateway.is_alive()?;
        self.broker.as_mut().map_or(Ok(()), Part::is_alive)
    }

    /// How things stand; of the gateway, where it does not answer, what it said before.
    pub(super) async fn read(&self, before: &Reading) -> Reading {
        let gauge = Gauge::read(&self.scene.socket()).await;
        let (delivered, repeated) = {
            let arrivals = self.witness.arrivals();
            (arrivals.count(), arrivals.repeated)
        };
        let punched = self.crowd.tally().count;
        Reading { punched, delivered, repeated, gauge: gauge.unwrap_or_else(|| before.gauge.clone()) }
    }

    pub(super) fn witness(&self) -> &Witness {
        &self.witness
    }

    pub(super) fn has_broker(&self) -> bool {
        self.broker.is_some()
    }

    /// The broker is gone, and with it all that it knew.
    pub(super) async fn take_broker_away(&mut self) -> anyhow::Result<()> {
        self.valve.shut().await;
        self.witness.caught_up().await?;
        self.broker = None;
        Ok(())
    }

    pub(super) async fn bring_broker_back(&mut self) -> anyhow::Result<()> {
        let mut broker = start_broker(&self.scene, self.ports)?;
        subscribed(&self.witness, &mut broker).await?;
        self.broker = Some(broker);
        self.valve.open().await.context("cannot listen again on loopback")
    }

    /// Ends everything, in order, and compares both ends and the journal between them. People must have stopped punching.
    pub(super) async fn strike(mut self) -> anyhow::Result<(Verdict, Scene)> {
        self.is_alive()?;
        let claims = Gauge::read(&self.scene.socket()).await.map(|gauge| gauge.claims);
        let left = self.gateway.leave(LEAVING).await;
        // What the gateway sent on leaving counts too.
        self.witness.caught_up().await?;
        let disk = spool::verify(&self.scene.state()).context("cannot read the gateway's journal")?;
        let claims = claims.map(|claims| Claims { durable: disk.punches, ..claims });
        let mut verdict = judge(&self.crowd.tally(), &self.witness.arrivals(), claims);
        if !disk.is_whole() {
            verdict.object(format!("the gateway's journal is not whole: {:?}, {:?}", disk.faults, disk.ledgers));
        }
        match left {
            Some(status) if status.success() => {}
            Some(status) => verdict.object(format!("the gateway did not end well: {status}")),
            None => verdict.object(format!("the gateway did not end within {} s", LEAVING.as_secs())),
        }
        Ok((verdict, self.scene))
    }
}

fn start_broker(scene: &Scene, ports: Ports) -> anyhow::Result<Part> {
    let keys: PathBuf = scene.path("keys");
    let words: [OsString; 7] = [
        "broker".into(),
        "--keys".into(),
        keys.into_os_string(),
        "--port-v5".into(),
        ports.v5.to_string().into(),
        "--port-v311".into(),
        ports.v311.to_string().into(),
    ];
    Part::start("broker", &words, scene.path("broker.log"))
}

/// Waits for the witness at a broker that was just started.
async fn subscribed(witness: &Witness, broker: &mut Part) -> anyhow::Result<()> {
    let died = async {
        loop {
            sleep(Duration::from_millis(50)).await;
            if let Err(error) = broker.is_alive() {
                return error;
            }
        }
    };
    tokio::select! {
        subscribed = witness.subscribed() => subscribed,
        error = died => Err(error),
    }
}

/// This machine's, so that the times shown are those on the wall.
fn zone() -> TimeZone {
    let zone = TimeZone::system();
    if zone.iana_name().is_some() { zone } else { TimeZone::UTC }
}
