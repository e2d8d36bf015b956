//! Measures the spool beside what the disk alone can do: `cargo bench --bench spool -- [--json] [--commits]
//! [--punches N]`; with `--commits` nothing but those.
//!
//! Commits are measured in turns with a bare loop that writes as many bytes and syncs, into a file with its room reserved:
//! the ratio within one run counts, the figures themselves only guide. The backlog is filled by a child that is killed
//! (SIGKILL) and opened by a fresh one, so that time and memory are those of a daemon that starts.
#![allow(clippy::print_stdout, reason = "a table on standard output is what it is for")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use driver_api::{Batch, Clock, Direction, Mark, Origin, Punch, Raw, Verify};
use jiff::{SignedDuration, civil::date, tz::TimeZone};
use punchgate::{
    outbox::Outbox,
    spool::{Spool, SpoolSettings},
};
use serde_json::{Value, json};

const BACKLOG: u32 = 1_000_000;
const TERMINALS: u32 = 20;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let after = |flag: &str| arguments.iter().position(|it| it == flag).and_then(|at| arguments.get(at + 1));
    let punches = after("--punches").map_or(BACKLOG, |text| text.parse().expect("--punches is a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads are to be had");
    if let Some(dir) = after("--fill") {
        return runtime.block_on(fill(Path::new(dir), punches));
    }
    if let Some(dir) = after("--open") {
        return runtime.block_on(open(Path::new(dir), punches));
    }
    let dir = tempfile::tempdir_in(env::current_dir().expect("there is a directory")).expect("a directory on a disk");
    let mut report = serde_json::Map::new();
    for batch in [1, 16, 256] {
        report.insert(format!("commit_{batch}"), runtime.block_on(commits(dir.path(), batch)));
    }
    if !arguments.iter().any(|it| it == "--commits") {
        whole(&runtime, dir.path(), punches, &mut report);
    }
    if arguments.iter().any(|it| it == "--json") {
        println!("{}", Value::Object(report));
    } else {
        for (what, figures) in &report {
            println!("{what:15} {figures}");
        }
    }
}

/// All but the commits.
fn whole(runtime: &tokio::runtime::Runtime, dir: &Path, punches: u32, report: &mut serde_json::Map<String, Value>) {
    report.insert("commit_1_by_32".into(), runtime.block_on(crowd(dir)));
    report.insert("read_100000".into(), runtime.block_on(whole_log(dir)));
    let backlog = dir.join("backlog");
    let mut child = this("--fill", &backlog, punches);
    let filled = line(&mut child);
    child.kill().expect("the child is ours"); // SIGKILL
    child.wait().expect("the child is ours");
    let mut child = this("--open", &backlog, punches);
    let opened = line(&mut child);
    child.wait().expect("the child is ours");
    report.insert("fill".into(), filled);
    report.insert("backlog".into(), opened);
}

/// Commits one after the other, in turns with a bare write and fdatasync of as many bytes.
async fn commits(dir: &Path, batch: u32) -> Value {
    let dir = dir.join(format!("commit-{batch}"));
    let spool = spool(&dir);
    let file = fs::File::create(dir.join("bare")).expect("a file");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 8 << 20).expect("room for a segment");
    file.sync_all().expect("a disk that syncs");
    let bytes = vec![0x5a; 30 + 125 * batch as usize];
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let (mut n, mut at) = (0, 0);
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        for _ in 0..20 {
            let begun = Instant::now();
            put(&spool, 0, n..n + batch).await;
            ours.push(begun.elapsed());
            n += batch;
        }
        for _ in 0..20 {
            let begun = Instant::now();
            file.write_all_at(&bytes, at).expect("a disk that writes");
            file.sync_data().expect("a disk that syncs");
            bare.push(begun.elapsed());
            at = (at + bytes.len() as u64) % (7 << 20);
        }
    }
    let per_punch = spool.status().journal_bytes as f64 / f64::from(n);
    spool.close().await;
    let (ours, bare) = (times(ours, batch), times(bare, batch));
    let ratio = ours["punches_per_s"].as_f64().unwrap_or(0.0) / bare["punches_per_s"].as_f64().unwrap_or(1.0);
    json!({ "ours": ours, "bare_fdatasync": bare, "ratio": ratio, "bytes_per_punch": per_punch })
}

fn times(mut all: Vec<Duration>, batch: u32) -> Value {
    let total: Duration = all.iter().sum();
    all.sort_unstable();
    let at = |percent: usize| all[all.len() * percent / 100].as_secs_f64() * 1e3;
    let rate = all.len() as f64 * f64::from(batch) / total.as_secs_f64();
    json!({ "punches_per_s": rate.round(), "p50_ms": at(50), "p99_ms": at(99) })
}

/// Thirty-two terminals at once, each waiting for its one punch: what sharing an fdatasync is worth.
async fn crowd(dir: &Path) -> Value {
    let spool = spool(&dir.join("crowd"));
    let begun = Instant::now();
    let each = 500;
    let terminals = (0..32).map(|terminal| {
        let spool = spool.clone();
        tokio::spawn(async move {
            for n in 0..each {
                put(&spool, terminal, n..n + 1).await;
            }
        })
    });
    futures_util::future::join_all(terminals).await;
    let rate = f64::from(32 * each) / begun.elapsed().as_secs_f64();
    let times = spool.status().commits;
    spool.close().await;
    json!({ "punches_per_s": rate.round(), "p50_ms": times.p50.as_secs_f64() * 1e3, "p99_ms": times.p99.as_secs_f64() * 1e3 })
}

/// A terminal's whole log of 100,000 records in batches of 1000, then once more, then out again.
async fn whole_log(dir: &Path) -> Value {
    let spool = spool(&dir.join("log"));
    put(&spool, 1, 0..1).await;
    let (rss, cpu, begun) = (rss_kib(), cpu_s(), Instant::now());
    for n in 0..100 {
        put(&spool, 0, n * 1000..n * 1000 + 1000).await;
    }
    let (first, wall, grown) = (cpu_s() - cpu, begun.elapsed().as_secs_f64(), rss_kib().saturating_sub(rss));
    let cpu = cpu_s();
    for n in 0..100 {
        put(&spool, 0, n * 1000..n * 1000 + 1000).await;
    }
    let again = cpu_s() - cpu;
    let rate = drain(&spool, 100_001).await;
    spool.close().await;
    json!({ "cpu_s": first, "wall_s": wall, "rss_growth_kib": grown, "cpu_again_s": again, "drain_punches_per_s": rate })
}

async fn drain(spool: &Spool, punches: u64) -> f64 {
    let mut outbox = spool.outbox("mqtt");
    let (begun, mut got) = (Instant::now(), 0);
    while got < punches {
        let segment = outbox.next().await;
        got += segment.entries.len() as u64;
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
    }
    (punches as f64 / begun.elapsed().as_secs_f64()).round()
}

/// In a child that is killed.
async fn fill(dir: &Path, punches: u32) {
    let (begun, spool) = (Instant::now(), spool(dir));
    for n in (0..punches / TERMINALS).step_by(1000) {
        let puts = (0..TERMINALS).map(|terminal| put(&spool, terminal, n..n + 1000));
        futures_util::future::join_all(puts).await;
    }
    let (wall, status) = (begun.elapsed().as_secs_f64(), spool.status());
    let bytes = status.journal_bytes as f64 / f64::from(punches);
    say(
        &json!({ "wall_s": wall, "rss_kib": rss_kib(), "journal_bytes_per_punch": bytes, "index_bytes": status.index_bytes }),
    );
    std::thread::sleep(Duration::from_secs(600));
}

/// In a fresh child.
async fn open(dir: &Path, punches: u32) {
    let (before, begun) = (rss_kib(), Instant::now());
    let spool = spool(dir);
    let open = begun.elapsed().as_secs_f64();
    let opened = rss_kib();
    let findings = spool.findings().len();
    let rate = drain(&spool, u64::from(punches)).await;
    let drained = rss_kib();
    spool.close().await;
    let begun = Instant::now();
    let again = self::spool(dir);
    let clean = begun.elapsed().as_secs_f64();
    let cpu = cpu_s();
    put(&again, 0, 0..1000).await;
    let twins = cpu_s() - cpu;
    say(&json!({
        "open_after_kill_s": open, "open_after_close_s": clean, "findings": findings, "drain_punches_per_s": rate,
        "rss_before_kib": before, "rss_opened_kib": opened, "rss_drained_kib": drained, "cpu_1000_twins_s": twins,
    }));
}

fn spool(dir: &Path) -> Spool {
    let settings = SpoolSettings {
        state_dir: dir.into(),
        tenant: "acme".into(),
        gateway: "sz-03".into(),
        retention: Duration::from_secs(90 * 86_400),
        min_free_bytes: 1 << 20,
        segment_bytes: SpoolSettings::SEGMENT_BYTES,
    };
    Spool::open(&settings).expect("a store that opens")
}

/// About four hundred punches a day, three times a day within some ten minutes, as at a gate.
async fn put(spool: &Spool, terminal: u32, numbers: std::ops::Range<u32>) {
    let punch = |n: u32| {
        let seconds = i64::from(n / 400) * 86_400 + i64::from(n % 400 / 130) * 4 * 3600 + i64::from(n % 130) * 5;
        Punch {
            person: (1000 + n * 7919 % 400).to_string(),
            local: date(2020, 1, 1).at(8, 0, 0, 0) + SignedDuration::from_secs(seconds),
            zone: None,
            direction: Mark { value: Direction::In, raw: Some(Raw::Number(0)) },
            verify: Mark { value: Verify::Face, raw: Some(Raw::Number(15)) },
            work_code: None,
            native: None,
            nth: 1,
            origin: Origin::Backfill,
            clock: Clock::UNKNOWN,
            flags: Vec::new(),
        }
    };
    let batch: Batch = numbers.map(punch).collect::<Vec<_>>().into();
    let zone = TimeZone::get("Asia/Shanghai").expect("the zone is in every list");
    let (name, serial) = (format!("terminal-{terminal}"), format!("CEXA2040600{terminal:02}"));
    spool.commit(&name, &serial, &zone, batch).await.expect("a disk that works");
}

/// Time on a processor, of all threads that live.
fn cpu_s() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let stats = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    stats.filter_map(|stat| stat.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e9
}

fn rss_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).expect("Linux tells VmRSS in kB")
}

fn this(flag: &str, dir: &Path, punches: u32) -> Child {
    let program = env::current_exe().expect("we run from a file");
    let mut command = Command::new(program);
    command.arg(flag).arg(dir).arg("--punches").arg(punches.to_string()).stdout(Stdio::piped());
    command.spawn().expect("we can be started again")
}

fn line(child: &mut Child) -> Value {
    let mut text = String::new();
    let out = child.stdout.as_mut().expect("it is piped");
    BufReader::new(out).read_line(&mut text).expect("the child speaks text");
    serde_json::from_str(&text).expect("the child says one line of JSON")
}

fn say(figures: &Value) {
    println!("{figures}");
    std::io::stdout().flush().expect("somebody listens");
}
