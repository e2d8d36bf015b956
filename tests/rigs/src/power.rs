//! Power cuts: the state folder lies on a file system of its own, which is shut down without a flush of its log at random
//! moments, also while a store is made for the first time, a segment is rolled or retired, and the index is built anew.

use std::{
    fs,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use crate::{
    Plan,
    mosquitto::Mosquitto,
    row::{Report, Row},
    volume::Volume,
    world::{Settings, World},
};

/// After so many cuts all is compared, and a store is begun anew.
const GENERATION: u64 = 50;
/// Files of the smallest size, kept for the shortest time: they roll and retire all the while.
const SPOOL: &str = "min_free = \"1MiB\"\nsegment = \"64KiB\"\nretention = \"4s\"\n";

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if let Err(why) = Mosquitto::program() {
        report.skip("power", &why);
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix("punchgate-power-").tempdir()?;
    let mut volume = match Volume::new(folder.path(), 96) {
        Ok(volume) => volume,
        Err(why) => {
            report.skip("power", &why);
            return Ok(());
        }
    };
    let count = plan.times(20, 1_000);
    let mut row = Row { rig: "power", ..Row::default() };
    let mut random = StdRng::seed_from_u64(plan.seed);
    let state_dir = Some(volume.path().join("state-0"));
    let settings = Settings { state_dir, spool: SPOOL.into(), rate: 150.0, ..Settings::default() };
    let mut world = World::new(plan, settings).await?;
    let (mut first, mut rebuilt) = (0, 0);
    let begun = Instant::now();
    for round in 0..count {
        if plan.is_stopped() {
            break;
        }
        row.count = round + 1;
        let fresh = !world.state_dir().join("journal").exists();
        first += u64::from(fresh);
        let index = world.state_dir().join("index");
        if !fresh && random.random_ratio(1, 8) && index.exists() {
            fs::remove_dir_all(index)?;
            rebuilt += 1;
        }
        // A disk may lose its power alone: then the machine's boot id stays.
        let alone = random.random_ratio(1, 10);
        let words = if alone { Vec::new() } else { volume.rebooted() };
        let launched = Instant::now();
        world.daemon.launch_under(&words, &[])?;
        if fresh || random.random_ratio(1, 3) {
            sleep(Duration::from_millis(random.random_range(0..200))).await;
        } else {
            match world.arrival(Duration::from_secs(20)).await {
                Some(_) => row.recovered.push(launched.elapsed()),
                None => row.complaints.push(format!("cut {round}: no punch arrived in 20 s after it")),
            }
            sleep(Duration::from_millis(random.random_range(0..400))).await;
        }
        if let Some(status) = world.daemon.has_ended()? {
            row.complaints.push(format!("cut {round}: the gateway had ended by itself: {status}"));
        } else {
            // Processor and disk lose their power together. A gateway that lived on for a moment could be told that a sync
            // succeeded which this file system has just forgotten: ext4 loses an error of a conversion while it is shut
            // down. What is under way in the kernel goes on, and nobody hears of it any more.
            world.daemon.freeze()?;
            volume.cut()?;
            world.daemon.kill();
        }
        volume.replug()?;
        if round % GENERATION == GENERATION - 1 {
            next_store(&mut world, &volume, &mut row, round, begun).await?;
        }
    }
    row.case =
        format!("power cut, {first} of them in the first 200 ms of a new store, {rebuilt} while the index was built");
    world.close(&mut row).await?;
    report.add(&row)
}

/// Everything must have arrived; then a new store with new terminals, so that cuts hit its making too.
async fn next_store(
    world: &mut World,
    volume: &Volume,
    row: &mut Row,
    round: u64,
    begun: Instant,
) -> anyhow::Result<()> {
    world.daemon.launch_under(&volume.rebooted(), &[])?;
    world.settle(Duration::from_secs(60)).await;
    let verdict = world.judge();
    eprintln!(
        "{} cuts in {} s: {} punches, {} lost, {} twins, {} forged",
        round + 1,
        begun.elapsed().as_secs(),
        verdict.recorded,
        verdict.lost.len(),
        verdict.twins.len(),
        verdict.forged.len()
    );
    if !verdict.lost.is_empty() {
        return Ok(()); // what is there is to be looked at
    }
    world.daemon.kill();
    let (found, whole) = world.daemon.verify(&world.state_dir())?;
    if !whole {
        row.complaints.push(format!("after {round} cuts: {}", found["faults"]));
        return Ok(());
    }
    let old = world.state_dir();
    world.settings.state_dir = Some(volume.path().join(format!("state-{}", round + 1)));
    world.replace_terminals().await?;
    fs::remove_dir_all(old)?;
    world.go_on().await;
    Ok(())
}
