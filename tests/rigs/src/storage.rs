//! Disks that are full, failing, slow or shared, under a gateway at work; what is damaged while it is off is in `copies.rs`.

use std::{
    fs,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{
    Plan, copies,
    mosquitto::Mosquitto,
    row::{Report, Row},
    volume::{Volume, tool},
    world::{Settings, World},
};

const SMALL: &str = "segment = \"64KiB\"\nretention = \"5s\"\n";
pub(crate) const FULL: [&str; 2] = ["disk-full", "disk-failed"];

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if let Err(why) = Mosquitto::program() {
        report.skip("storage", &why);
        return Ok(());
    }
    for (case, min_free) in [("full slowly", "8MiB"), ("full at once", "0B"), ("full, killed, torn, started", "0B")] {
        if plan.wants(case) {
            full(plan, report, case, min_free).await?;
        }
    }
    if plan.wants("no inodes") {
        no_inodes(plan, report).await?;
    }
    if plan.wants("read-only") {
        read_only(plan, report).await?;
    }
    if plan.wants("two daemons") {
        two_daemons(plan, report).await?;
    }
    if plan.wants("old copy") {
        old_copy(plan, report).await?;
    }
    if Path::new("/usr/bin/strace").exists() {
        calls(plan, report).await?;
    } else {
        report.skip("errors of system calls", "strace is not installed");
    }
    copies::run(plan, report).await
}

/// Errors of each kind of call, once and for a while, and syncs that take their time.
async fn calls(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let all = ["pwrite64", "fdatasync", "fsync", "ftruncate", "fallocate", "openat", "rename", "unlink", "pread64"];
    let calls = if plan.full { &all[..] } else { &all[..2] };
    for call in calls {
        for (how, when) in [("once", ":when=1"), ("always", "")] {
            let case = format!("EIO of {call} {how}");
            if plan.wants(&case) {
                // Without these nothing can be acknowledged for long.
                let told: &[&str] = match (how, *call) {
                    ("always", "pwrite64" | "fdatasync" | "fsync" | "ftruncate" | "fallocate") => &["disk-failed"],
                    _ => &[],
                };
                let inject = format!("{call}:error=EIO{when}");
                injected(plan, report, case, &inject, told, Duration::from_secs(8)).await?;
            }
        }
    }
    for (case, micros, lasts) in [("syncs of 200 ms", 200_000, 6), ("syncs of 5 s", 5_000_000, 20)] {
        if plan.wants(case) && (plan.full || micros < 1_000_000) {
            let inject = format!("fdatasync:delay_enter={micros}");
            injected(plan, report, case.into(), &inject, &[], Duration::from_secs(lasts)).await?;
        }
    }
    Ok(())
}

async fn injected(
    plan: &Plan,
    report: &mut Report,
    case: String,
    inject: &str,
    told: &[&str],
    lasts: Duration,
) -> anyhow::Result<()> {
    let mut row = Row { rig: "storage", case, count: 1, ..Row::default() };
    let spool = format!("min_free = \"1MiB\"\n{SMALL}");
    let mut world = started(plan, Settings { spool, rate: 150.0, ..Settings::default() }).await?;
    let fault = Tracer::attach(world.daemon.pid().context("it runs")?, inject)?;
    let since = Instant::now();
    if !told.is_empty() {
        row.told = Some(world.daemon.told(since, told).await);
    }
    sleep(lasts.saturating_sub(since.elapsed())).await;
    fault.detach()?;
    ended(&mut world, &mut row, &FULL).await?;
    world.close(&mut row).await?;
    report.add(&row)
}

/// A disk that fills up, slowly with some room left to others, or all at once to its last byte.
async fn full(plan: &Plan, report: &mut Report, case: &str, min_free: &str) -> anyhow::Result<()> {
    let Some((mut volume, _folder)) = volume(report, case)? else { return Ok(()) };
    let mut row = Row { rig: "storage", case: case.into(), count: 1, ..Row::default() };
    let spool = format!("min_free = \"{min_free}\"\n{SMALL}");
    let state_dir = Some(volume.path().join("state"));
    let mut world = started(plan, Settings { state_dir, spool, rate: 150.0, ..Settings::default() }).await?;
    let ballast = volume.path().join("ballast");
    let since = Instant::now();
    let mut file = fs::File::create(&ballast)?;
    let block = vec![0x5A; 1 << 20];
    if case == "full slowly" {
        while file.write_all(&block).is_ok() && since.elapsed() < Duration::from_secs(30) {
            sleep(Duration::from_millis(60)).await;
            if world.daemon.conditions().is_some_and(|all| all.iter().any(|code| FULL.contains(&code.as_str()))) {
                break;
            }
        }
    } else {
        fill(&mut file);
    }
    if case.contains("killed") {
        world.daemon.kill();
        tear(&world.state_dir().join("journal"))?;
        fill(&mut file);
        world.daemon.launch()?;
    }
    row.told = Some(world.daemon.told(since, &FULL).await);
    if world.daemon.has_ended()?.is_some() {
        row.complaints.push(format!("the gateway ended: {}", crate::kill::tail(&world.daemon.log())));
        world.daemon.launch()?;
    }
    sleep(Duration::from_secs(3)).await;
    drop(file);
    fs::remove_file(&ballast)?;
    ended(&mut world, &mut row, &FULL).await?;
    world.close(&mut row).await?;
    report.add(&row)?;
    volume.unmount()
}

/// To the last byte, in smaller and smaller pieces.
pub(crate) fn fill(file: &mut fs::File) {
    for size in [1 << 20, 64 << 10, 4 << 10, 1 << 10, 1] {
        while file.write_all(&vec![0x5A; size]).is_ok() {}
    }
    // What is only in memory has its room reserved; an error of this says that the disk is full.
    let _ = file.sync_all();
}

/// Half a group behind the end of the newest segment, as a write leaves it that a crash cut short.
fn tear(journal: &Path) -> anyhow::Result<()> {
    let newest = segments(journal)?.pop().context("a segment")?;
    let bytes = fs::read(&newest)?;
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let file = fs::File::options().write(true).open(&newest)?;
    // Room was reserved for it; where none was left, the file ends here, and that is torn enough.
    let _ = file.write_all_at(&[0xA5; 300], used as u64);
    Ok(())
}

/// The journal's segments in order.
pub(crate) fn segments(journal: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut all: Vec<PathBuf> = fs::read_dir(journal)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    all.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    all.sort();
    Ok(all)
}

async fn no_inodes(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut row = Row { rig: "storage", case: "no inodes".into(), count: 1, ..Row::default() };
    let folder = tempfile::Builder::new().prefix("punchgate-storage-").tempdir()?;
    if let Err(error) = tool("mount", &["-t", "tmpfs", "-o", "size=64m,nr_inodes=200", "tmpfs"], &[folder.path()]) {
        report.skip("no inodes", &format!("tmpfs cannot be mounted here: {error}"));
        return Ok(());
    }
    let spool = format!("min_free = \"1MiB\"\n{SMALL}");
    let state_dir = Some(folder.path().join("state"));
    let mut world = started(plan, Settings { state_dir, spool, rate: 150.0, ..Settings::default() }).await?;
    let since = Instant::now();
    let ballast = folder.path().join("ballast");
    fs::create_dir(&ballast)?;
    // What the gateway gives free is taken at once.
    let mut taken = 0;
    let told = loop {
        while fs::File::create(ballast.join(taken.to_string())).is_ok() {
            taken += 1;
        }
        let conditions = world.daemon.conditions().unwrap_or_default();
        if conditions.iter().any(|code| FULL.contains(&code.as_str())) {
            break crate::row::Told::After(since.elapsed());
        }
        if since.elapsed() > crate::row::TELL_LIMIT {
            break crate::row::Told::Never("disk-full or disk-failed".into());
        }
        sleep(Duration::from_millis(20)).await;
    };
    row.told = Some(told);
    sleep(Duration::from_secs(2)).await;
    fs::remove_dir_all(&ballast)?;
    ended(&mut world, &mut row, &FULL).await?;
    world.close(&mut row).await?;
    report.add(&row)?;
    tool("umount", &[], &[folder.path()])
}

/// The kernel gives up on the file system and lets it be read only.
async fn read_only(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let Some((mut volume, _folder)) = volume(report, "read-only")? else { return Ok(()) };
    let mut row = Row { rig: "storage", case: "read-only remount".into(), count: 1, ..Row::default() };
    let spool = format!("min_free = \"1MiB\"\n{SMALL}");
    let state_dir = Some(volume.path().join("state"));
    let mut world = started(plan, Settings { state_dir, spool, ..Settings::default() }).await?;
    let since = Instant::now();
    volume.remount("abort")?;
    row.told = Some(world.daemon.told(since, &["disk-failed"]).await);
    if world.daemon.has_ended()?.is_some() {
        row.complaints.push("the gateway ended".into());
    }
    world.daemon.kill();
    volume.replug()?;
    world.daemon.launch()?;
    ended(&mut world, &mut row, &FULL).await?;
    world.close(&mut row).await?;
    report.add(&row)?;
    volume.unmount()
}

async fn two_daemons(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut row = Row { rig: "storage", case: "two gateways on one store".into(), ..Row::default() };
    let mut world = started(plan, Settings::default()).await?;
    row.count = plan.times(3, 20);
    for _ in 0..row.count {
        let output = Command::new("timeout")
            .arg("20")
            .arg(&plan.binary)
            .args(["run", "--config"])
            .arg(world.daemon.config())
            .output()?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(1) || !words.contains("in use") {
            row.complaints.push(format!("the second one ended with {}, and said {words}", output.status));
        }
    }
    ended(&mut world, &mut row, &[]).await?;
    world.close(&mut row).await?;
    report.add(&row)
}

/// The state folder of yesterday is put in place of today's, as from a backup.
async fn old_copy(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut row = Row { rig: "storage", case: "an old copy restored".into(), ..Row::default() };
    let mut world = started(plan, Settings::default()).await?;
    row.count = plan.times(1, 10);
    for _ in 0..row.count {
        world.settle(Duration::from_secs(30)).await;
        world.daemon.stop().await?;
        let (state, old) = (world.state_dir(), world.path("old"));
        copies::copy(&state, &old)?;
        world.go_on().await;
        world.daemon.launch()?;
        world.arrival(Duration::from_secs(20)).await.context("punches arrive")?;
        sleep(Duration::from_secs(3)).await;
        // What is only in the newer one would be lost with it, and no gateway could help that.
        world.settle(Duration::from_secs(30)).await;
        world.daemon.stop().await?;
        fs::remove_dir_all(&state)?;
        fs::rename(&old, &state)?;
        world.go_on().await;
        world.daemon.launch()?;
        if world.arrival(Duration::from_secs(20)).await.is_none() {
            row.complaints.push("no punch arrived after a restore".into());
        }
        sleep(Duration::from_secs(2)).await;
    }
    world.close(&mut row).await?;
    report.add(&row)
}

/// A world whose gateway works.
pub(crate) async fn started(plan: &Plan, settings: Settings) -> anyhow::Result<World> {
    let mut world = World::new(plan, settings).await?;
    world.daemon.launch()?;
    world.arrival(Duration::from_secs(30)).await.context("punches arrive from a gateway that has just started")?;
    sleep(Duration::from_millis(500)).await;
    Ok(world)
}

/// The fault is over: punches must come again by themselves, and these conditions must go.
pub(crate) async fn ended(world: &mut World, row: &mut Row, codes: &[&str]) -> anyhow::Result<()> {
    if let Some(status) = world.daemon.pid().map(|_| world.daemon.has_ended()).transpose()?.flatten() {
        row.complaints.push(format!("the gateway ended with {status}: {}", crate::kill::tail(&world.daemon.log())));
        world.daemon.launch()?;
    }
    match world.arrival(Duration::from_secs(60)).await {
        Some(time) => row.recovered.push(time),
        None => row.complaints.push("no punch arrived for a minute after the fault".into()),
    }
    row.complaints.extend(world.daemon.over(codes).await);
    Ok(())
}

fn volume(report: &Report, case: &str) -> anyhow::Result<Option<(Volume, tempfile::TempDir)>> {
    let folder = tempfile::Builder::new().prefix("punchgate-storage-").tempdir()?;
    match Volume::new(folder.path(), 48) {
        Ok(volume) => Ok(Some((volume, folder))),
        Err(why) => {
            report.skip(case, &why);
            Ok(None)
        }
    }
}

/// strace at a process that runs, and lets go of it again.
pub(crate) struct Tracer(Child);

impl Tracer {
    pub(crate) fn attach(pid: u32, inject: &str) -> anyhow::Result<Self> {
        let call = inject.split(':').next().unwrap_or_default();
        let mut command = Command::new("/usr/bin/strace");
        command.args(["-f", "-qqq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={inject}"), "-p", &pid.to_string()]);
        Ok(Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    pub(crate) fn detach(mut self) -> anyhow::Result<()> {
        // It may have ended with the process.
        let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
        self.0.wait()?;
        Ok(())
    }
}
