//! All of it, one after the other and some of it at once, as long as is asked; and whether memory or open files grow.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use crate::{
    Plan,
    daemon::{memory_kib, open_files},
    kill::{DISK_CALLS, strace, tail},
    mosquitto::Mosquitto,
    network::place_proxies,
    proxy::{Fault, Proxy},
    row::{Report, Row},
    storage::{Tracer, ended},
    volume::Volume,
    world::{Settings, World},
};

/// Seconds of the short form; of the full one.
const LASTS: (u64, u64) = (45, 4 * 3600);
/// Terminals are replaced after so many faults.
const GENERATION: u64 = 40;
const EIO: &str = "EIO";

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if let Err(why) = Mosquitto::program() {
        report.skip("chaos", &why);
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix("punchgate-chaos-").tempdir()?;
    let mut volume = Volume::new(folder.path(), 128);
    if let Err(why) = &volume {
        report.skip("chaos on a file system of its own", why);
    }
    let state_dir = volume.as_ref().ok().map(|volume| volume.path().join("state"));
    let spool = "min_free = \"1MiB\"\nsegment = \"256KiB\"\nretention = \"30s\"\n".into();
    let mut world = World::new(plan, Settings { state_dir, spool, rate: 80.0, ..Settings::default() }).await?;
    let mut lines = place_proxies(&mut world, plan.seed, "to the broker").await?;
    let to_broker = lines.len();
    lines.extend(place_proxies(&mut world, plan.seed, "to the terminals").await?);
    world.daemon.launch()?;

    let mut row = Row { rig: "chaos", ..Row::default() };
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut samples: Vec<Sample> = Vec::new();
    let begun = Instant::now();
    let lasts = Duration::from_secs(plan.times(LASTS.0, LASTS.1));
    while begun.elapsed() < lasts && !plan.is_stopped() {
        row.count += 1;
        let happened = fault(&mut world, volume.as_mut().ok(), &lines, &mut random).await?;
        lines.iter().for_each(|line| line.set(None));
        let before = row.complaints.len();
        if happened.starts_with(EIO) {
            go_on(&mut world, &mut row)?;
        }
        ended(&mut world, &mut row, &[]).await?;
        if row.complaints.len() > before {
            row.complaints.push(format!("that was after: {happened}"));
        }
        if let Some(pid) = world.daemon.pid() {
            let (rss, files) = (memory_kib(pid, "VmRSS:"), open_files(pid));
            let at = begun.elapsed().as_secs_f64() / 3600.0;
            samples.extend(rss.zip(files).map(|(rss, files)| Sample { at, rss: rss as f64, files: files as f64 }));
        }
        if row.count.is_multiple_of(GENERATION) {
            world.settle(Duration::from_secs(60)).await;
            eprintln!("{} faults in {} s, {} punches", row.count, begun.elapsed().as_secs(), world.oracle.count());
            world.daemon.kill();
            world.replace_terminals().await?;
            lines.truncate(to_broker);
            lines.extend(place_proxies(&mut world, plan.seed + row.count, "to the terminals").await?);
            world.go_on().await;
            world.daemon.launch()?;
        }
    }
    let minutes = begun.elapsed().as_secs() / 60;
    let slope = |of: fn(&Sample) -> f64| slope(&samples, of);
    row.case = format!(
        "all faults for {minutes} min; RSS {:+.0} KiB/h, open files {:+.1}/h",
        slope(|sample| sample.rss),
        slope(|sample| sample.files)
    );
    world.close(&mut row).await?;
    report.add(&row)
}

/// A gateway that cannot read its store when it starts says so and ends; the unit starts it again, as is done here.
fn go_on(world: &mut World, row: &mut Row) -> anyhow::Result<()> {
    if world.daemon.pid().is_none() {
        return Ok(());
    }
    if let Some(status) = world.daemon.has_ended()? {
        let said = tail(&world.daemon.log());
        if status.code() != Some(1) || !said.contains("mend: ") {
            row.complaints.push(format!("the gateway ended with {status}: {said}"));
        }
        world.daemon.launch()?;
    }
    Ok(())
}

struct Sample {
    /// Hours since the beginning.
    at: f64,
    rss: f64,
    files: f64,
}

/// By least squares, in an hour; 0 where there is too little to tell.
fn slope(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let count = samples.len() as f64;
    if samples.last().is_none_or(|last| last.at < 0.05) {
        return 0.0;
    }
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, value) = (mean(&|sample| sample.at), mean(&|sample| of(sample)));
    let both: f64 = samples.iter().map(|sample| (sample.at - at) * (of(sample) - value)).sum();
    let square: f64 = samples.iter().map(|sample| (sample.at - at).powi(2)).sum();
    both / square
}

/// One fault, begun and ended; what it was.
async fn fault(
    world: &mut World,
    volume: Option<&mut Volume>,
    lines: &[Proxy],
    random: &mut StdRng,
) -> anyhow::Result<String> {
    let short = Duration::from_millis(random.random_range(200..3000));
    let kind = random.random_range(0..10);
    let pid = world.daemon.pid();
    match (kind, volume, pid) {
        (0, ..) => {
            world.daemon.kill();
            world.daemon.launch()?;
            Ok("kill -9".into())
        }
        (1, ..) => {
            world.daemon.kill();
            let call = DISK_CALLS[random.random_range(0..6)];
            let inject = format!("{call}:signal=KILL:when={}", random.random_range(1..20));
            world.daemon.launch_under(&strace(&inject), &[])?;
            sleep(short).await;
            world.daemon.kill();
            world.daemon.launch()?;
            Ok(inject)
        }
        (2, Some(volume), Some(_)) => {
            world.daemon.freeze()?;
            volume.cut()?;
            world.daemon.kill();
            volume.replug()?;
            world.daemon.launch_under(&volume.rebooted(), &[])?;
            Ok("power cut".into())
        }
        (3, _, Some(pid)) => {
            let call = DISK_CALLS[random.random_range(0..6)];
            let tracer = Tracer::attach(pid, &format!("{call}:error=EIO"))?;
            sleep(short).await;
            tracer.detach()?;
            Ok(format!("{EIO} of {call} for {short:?}"))
        }
        (4, Some(volume), _) => {
            let ballast = volume.path().join("ballast");
            let mut file = fs::File::create(&ballast)?;
            while file.write_all(&[0x5A; 64 << 10]).is_ok() {}
            sleep(short).await;
            drop(file);
            fs::remove_file(ballast)?;
            // Else a power cut right behind it brings the file back, and the disk stays full.
            fs::File::open(volume.path())?.sync_all()?;
            Ok(format!("a full disk for {short:?}"))
        }
        (5, ..) => {
            if let Some(broker) = &mut world.broker {
                broker.stop()?;
                sleep(short).await;
                broker.launch()?;
            }
            Ok(format!("no broker for {short:?}"))
        }
        (6, ..) => {
            if let Some(broker) = &world.broker {
                broker.freeze(true)?;
                sleep(short).await;
                broker.freeze(false)?;
            }
            Ok(format!("a frozen broker for {short:?}"))
        }
        (7, ..) => {
            world.daemon.kill();
            let index = world.state_dir().join("index");
            if index.exists() {
                fs::remove_dir_all(index)?;
            }
            world.daemon.launch()?;
            Ok("no index".into())
        }
        _ => {
            let mut said = Vec::new();
            for line in lines {
                let fault = Fault::ALL[random.random_range(0..Fault::ALL.len())];
                line.set(Some(fault));
                said.push(fault.word());
            }
            sleep(short).await;
            Ok(format!("lines {said:?} for {short:?}"))
        }
    }
}
