//! Clocks that lie: the gateway's own, by libfaketime, and those of terminals.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use jiff::SignedDuration;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use crate::{
    Plan,
    mosquitto::Mosquitto,
    row::{Report, Row},
    storage::{ended, started},
    terminals::Speaks,
    world::{Settings, World},
};

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if let Err(why) = Mosquitto::program() {
        report.skip("clock", &why);
        return Ok(());
    }
    match library() {
        Some(library) => {
            for case in ["jumps of days both ways", "start in 1970", "both ends of summer time"] {
                if plan.wants(case) {
                    own(plan, report, case, &library).await?;
                }
            }
        }
        None => report.skip("the gateway's own clock", "libfaketime is not installed"),
    }
    if plan.wants("terminals off by hours") {
        terminals(plan, report).await?;
    }
    Ok(())
}

/// The one for programs with threads.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let mut places = folders.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")]);
    places.find_map(|folder| Some(folder.join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists()))
}

fn say(clock: &Path, words: &str) -> anyhow::Result<()> {
    let fresh = clock.with_extension("new");
    fs::write(&fresh, format!("{words}\n"))?;
    Ok(fs::rename(fresh, clock)?)
}

async fn own(plan: &Plan, report: &mut Report, case: &str, library: &Path) -> anyhow::Result<()> {
    let mut row = Row { rig: "clock", case: case.into(), ..Row::default() };
    let zone = if case.contains("summer") { "Europe/Berlin" } else { "UTC" };
    let mut world = World::new(plan, Settings { zone, ..Settings::default() }).await?;
    let clock = world.path("clock");
    let environment: Vec<(String, String)> = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".into()),
        // Timers follow the machine's uptime, which no clock setting changes.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec();
    let mut random = StdRng::seed_from_u64(plan.seed);
    match case {
        "start in 1970" => {
            say(&clock, "@1970-01-01 00:00:30")?;
            let since = Instant::now();
            world.daemon.launch_under(&[], &environment)?;
            row.count = 1;
            row.told = Some(world.daemon.told(since, &["gateway-clock-not-trusted"]).await);
            sleep(Duration::from_secs(2)).await;
            say(&clock, "+0")?;
            ended(&mut world, &mut row, &[]).await?;
        }
        "both ends of summer time" => {
            say(&clock, "@2026-03-29 00:59:57")?;
            world.daemon.launch_under(&[], &environment)?;
            row.count = 4;
            for moment in ["2026-03-29 00:59:57", "2026-10-25 00:59:57", "2026-10-25 00:00:00", "2026-10-24 23:59:58"] {
                say(&clock, &format!("@{moment}"))?;
                sleep(Duration::from_secs(6)).await;
            }
            say(&clock, "+0")?;
            ended(&mut world, &mut row, &[]).await?;
        }
        _ => {
            say(&clock, "+0")?;
            world.daemon.launch_under(&[], &environment)?;
            world.arrival(Duration::from_secs(20)).await.context("punches arrive")?;
            row.count = plan.times(6, 200);
            for _ in 0..row.count {
                let hours: i64 = random.random_range(-24 * 40..24 * 40);
                say(&clock, &format!("{hours:+}h"))?;
                sleep(Duration::from_millis(random.random_range(500..2500))).await;
                if random.random_ratio(1, 3) {
                    // A start on a clock that is wrong.
                    world.daemon.kill();
                    world.daemon.launch_under(&[], &environment)?;
                }
                // Punches must flow whatever the clock says.
                ended(&mut world, &mut row, &[]).await?;
            }
            // A clock that is behind its own records is not believed, and that is told. Push terminals, which set their
            // clocks by ours with each answer, are not answered then and keep their punches: so it ends ahead of all.
            say(&clock, "+960h")?;
            ended(&mut world, &mut row, &["gateway-clock-not-trusted"]).await?;
            let since = Instant::now();
            say(&clock, "-48h")?;
            row.told = Some(world.daemon.told(since, &["gateway-clock-not-trusted"]).await);
            say(&clock, "+984h")?;
            ended(&mut world, &mut row, &["gateway-clock-not-trusted"]).await?;
        }
    }
    world.close(&mut row).await?;
    report.add(&row)
}

async fn terminals(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut row = Row { rig: "clock", case: "terminals off by hours".into(), ..Row::default() };
    let mut world = started(plan, Settings::default()).await?;
    let since = Instant::now();
    for (number, hours) in [5, -11, 26, -3].into_iter().enumerate() {
        let offset = SignedDuration::from_hours(hours);
        let fleet = world.fleet.read().await;
        let mut terminals = fleet.terminals();
        terminals[number].offset = offset;
        if let Speaks::Zk(terminal) = &terminals[number].speaks {
            terminal.set_clock_offset(offset);
        }
        row.count += 1;
    }
    world.fleet.read().await.cut();
    row.told = Some(world.daemon.told(since, &["terminal-clock-off"]).await);
    sleep(Duration::from_secs(3)).await;
    ended(&mut world, &mut row, &[]).await?;
    world.close(&mut row).await?;
    report.add(&row)
}
