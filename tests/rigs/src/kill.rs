//! kill -9, at random moments and at the n-th system call that touches the disk, under load from terminals of two drivers
//! and with a live broker. Only the gateway is started again each time, on what it left.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::bail;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use crate::{
    Plan,
    mosquitto::Mosquitto,
    row::{Report, Row},
    world::{Settings, World},
};

/// Terminals are replaced after so many kills, and the journal is looked through.
const GENERATION: u64 = 100;
/// A call that never comes is waited for no longer.
const LIMIT: Duration = Duration::from_millis(1500);

/// Calls by which the gateway changes what is on disk.
pub(crate) const DISK_CALLS: [&str; 8] =
    ["fdatasync", "pwrite64", "fsync", "ftruncate", "fallocate", "rename", "unlink", "openat"];

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if let Err(why) = Mosquitto::program() {
        report.skip("kill", &why);
        return Ok(());
    }
    let by_call = Path::new("/usr/bin/strace").exists();
    if !by_call {
        report.skip("kill at the n-th call", "strace is not installed");
    }
    let count = plan.times(30, 10_000);
    let mut row = Row { rig: "kill", case: "kill -9".into(), ..Row::default() };
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut world = World::new(plan, Settings::default()).await?;
    let begun = Instant::now();
    let mut hit = 0;
    for round in 0..count {
        if plan.is_stopped() {
            break;
        }
        row.count = round + 1;
        if round % GENERATION == GENERATION - 1 {
            look_through(&mut world, &mut row, round, begun).await?;
        }
        let call = by_call && random.random_ratio(1, 4);
        if call {
            hit += u64::from(at_a_call(&mut world, &mut random).await?);
        } else {
            at_a_moment(&mut world, &mut random, &mut row).await?;
        }
    }
    if by_call {
        row.case = format!("kill -9, {hit} of them at the n-th system call");
    }
    world.close(&mut row).await?;
    report.add(&row)
}

/// In a third of all cases while it starts, else while it works.
async fn at_a_moment(world: &mut World, random: &mut StdRng, row: &mut Row) -> anyhow::Result<()> {
    let begun = Instant::now();
    world.daemon.launch()?;
    if random.random_ratio(1, 3) {
        sleep(Duration::from_millis(random.random_range(0..150))).await;
    } else {
        match world.arrival(Duration::from_secs(20)).await {
            Some(_) => row.recovered.push(begun.elapsed()),
            None => row.complaints.push("no punch arrived in 20 s after a start".into()),
        }
        sleep(Duration::from_millis(random.random_range(0..150))).await;
    }
    if let Some(status) = world.daemon.has_ended()? {
        bail!("the gateway ended by itself with {status}: {}", tail(&world.daemon.log()));
    }
    world.daemon.kill();
    Ok(())
}

/// Whether the call came.
async fn at_a_call(world: &mut World, random: &mut StdRng) -> anyhow::Result<bool> {
    let call = DISK_CALLS[random.random_range(0..DISK_CALLS.len())];
    let number = match call {
        "openat" => random.random_range(20..120),
        "pwrite64" => random.random_range(1..60),
        _ => random.random_range(1..12),
    };
    world.daemon.launch_under(&strace(&format!("{call}:signal=KILL:when={number}")), &[])?;
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        if world.daemon.has_ended()?.is_some() {
            return Ok(true);
        }
        sleep(Duration::from_millis(5)).await;
    }
    world.daemon.kill();
    Ok(false)
}

/// The words in front of a program that make strace do this to it. The program stays our own child (-D).
pub(crate) fn strace(inject: &str) -> Vec<String> {
    let call = inject.split(':').next().unwrap_or_default();
    let words = ["/usr/bin/strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e"];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    words.extend([format!("trace={call}"), "-e".into(), format!("inject={inject}")]);
    words
}

async fn look_through(world: &mut World, row: &mut Row, round: u64, begun: Instant) -> anyhow::Result<()> {
    let (found, whole) = world.daemon.verify(&world.state_dir())?;
    if !whole {
        row.complaints.push(format!("after {round} kills: {}", found["faults"]));
    }
    world.daemon.launch()?;
    world.settle(Duration::from_secs(60)).await;
    let verdict = world.judge();
    eprintln!(
        "{round} kills in {} s: {} punches, {} lost, {} twins, {} forged",
        begun.elapsed().as_secs(),
        verdict.recorded,
        verdict.lost.len(),
        verdict.twins.len(),
        verdict.forged.len()
    );
    world.daemon.kill();
    world.replace_terminals().await?;
    world.go_on().await;
    Ok(())
}

pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
