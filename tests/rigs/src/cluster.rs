//! A cluster of three brokers behind our list of URLs: any node is killed under load, then two of them, then all.

use std::time::{Duration, Instant};

use anyhow::Context;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    Plan,
    nats::{Cluster, NODES},
    row::{Report, Row},
    unwrap::{Unwrap, connector},
    world::{Settings, World},
};

/// Until a cluster is whole again, on a busy machine.
const WHOLE: Duration = Duration::from_secs(120);
/// So many of the punches recorded since must have arrived before punches flow again: a second of work, at every terminal.
const FLOW: u64 = 40;

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if let Err(why) = Cluster::program() {
        report.skip("cluster", &why);
        return Ok(());
    }
    let mut random = StdRng::seed_from_u64(plan.seed);
    if plan.wants("a node") {
        let mut row =
            Row { rig: "cluster", case: "kill -9 of one node of three, then of the next".into(), ..Row::default() };
        let (mut scene, mut before) = (Scene::new(plan).await?, NODES);
        for _ in 0..plan.times(2, 300) {
            if plan.is_stopped() {
                break;
            }
            // Any but the one of the time before.
            let mut victim = random.random_range(0..NODES);
            if victim == before {
                victim = (victim + 1) % NODES;
            }
            before = victim;
            scene.round(&[victim], Duration::ZERO, &mut row).await?;
            sleep(Duration::from_millis(random.random_range(0..1500))).await;
        }
        scene.close(&mut row).await?;
        report.add(&row)?;
    }
    if plan.wants("most nodes") {
        let mut row =
            Row { rig: "cluster", case: "most nodes killed for 15 s: two of three, or all".into(), ..Row::default() };
        let mut scene = Scene::new(plan).await?;
        for round in 0..plan.times(1, 40) {
            if plan.is_stopped() {
                break;
            }
            let spared = random.random_range(0..NODES);
            let victims: Vec<usize> = (0..NODES).filter(|at| round % 2 == 1 || *at != spared).collect();
            scene.round(&victims, Duration::from_secs(15), &mut row).await?;
        }
        scene.close(&mut row).await?;
        report.add(&row)?;
    }
    Ok(())
}

/// A world whose broker is a cluster.
struct Scene {
    cluster: Cluster,
    world: World,
    _plain: Vec<Unwrap>,
    _folder: TempDir,
}

impl Scene {
    /// All at work.
    async fn new(plan: &Plan) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("punchgate-cluster-").tempdir()?;
        let mut cluster = Cluster::new(folder.path())?;
        for at in 0..NODES {
            cluster.launch(at)?;
        }
        cluster.healthy(WHOLE).await?;
        // The witness comes as payroll does, and the rules for payroll hold for it.
        let payroll = connector(&cluster.file("ca.pem"), &cluster.file("payroll.pem"), &cluster.file("payroll.key"))?;
        let mut plain = Vec::new();
        for port in cluster.ports() {
            plain.push(Unwrap::start(port, payroll.clone()).await?);
        }
        let witness = Some(plain.iter().map(|unwrap| unwrap.port).collect());
        let settings = Settings { mqtt: Some(cluster.lines()), witness, ..Settings::default() };
        let mut world = World::new(plan, settings).await?;
        world.daemon.launch()?;
        world.arrival(Duration::from_secs(60)).await.context("nothing arrived through the cluster")?;
        Ok(Self { cluster, world, _plain: plain, _folder: folder })
    }

    /// Kills these nodes, starts them again after a pause, and waits until all are well. The pause is long enough that it must
    /// be told, or it is none: then the others go on alone, and only when they have done so the killed one comes back.
    async fn round(&mut self, victims: &[usize], pause: Duration, row: &mut Row) -> anyhow::Result<()> {
        row.count += 1;
        victims.iter().for_each(|at| self.cluster.kill(*at));
        let mut mark = self.mark();
        if !pause.is_zero() {
            let told = self.world.daemon.told_anew(mark.1, &["broker-unreachable", "broker-refuses"]).await;
            row.tell(told);
            sleep(pause.saturating_sub(mark.1.elapsed())).await;
            mark = self.mark();
            for at in victims {
                self.cluster.launch(*at)?;
            }
        }
        match self.world.flow(mark, FLOW, Duration::from_secs(90)).await {
            Some(time) => row.recovered.push(time),
            None => row.complaints.push(format!("90 s after nodes {victims:?} were killed punches do not flow")),
        }
        if pause.is_zero() {
            for at in victims {
                self.cluster.launch(*at)?;
            }
        } else {
            let (daemon, codes) = (&self.world.daemon, ["broker-unreachable", "broker-refuses"]);
            row.complaints.extend(if row.count == 1 {
                daemon.over(&codes).await
            } else {
                daemon.well_again(&codes).await
            });
        }
        self.cluster.healthy(WHOLE).await?;
        eprintln!("{} rounds: {} punches, {:?}", row.count, self.world.oracle.count(), row.recovered.last());
        Ok(())
    }

    /// What was recorded by now, and the moment.
    fn mark(&self) -> (usize, Instant) {
        (self.world.oracle.count(), Instant::now())
    }

    async fn close(self, row: &mut Row) -> anyhow::Result<()> {
        let Self { cluster, world, .. } = self;
        world.close(row).await?;
        row.complaints.extend(cluster.violations());
        Ok(())
    }
}
