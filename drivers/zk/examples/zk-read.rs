//! Reads a terminal's log once through the driver, keeps nothing of it, and says what that cost: for measuring the driver
//! alone, and for seeing whether a terminal can be read at all.
//!
//!     zk-read tcp://HOST:PORT
#![allow(clippy::print_stdout, reason = "this is a program, and that is its voice")]

use std::{
    error::Error,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use driver_api::{
    Batch, Gateway, Holdings, Link, NotStored, Problems, Report, Section, Stored, TerminalBlock, Trouble, async_trait,
};
use tokio::sync::Notify;

/// Takes everything, keeps nothing.
#[derive(Default)]
struct Void {
    punches: AtomicUsize,
    set_aside: AtomicUsize,
    read: Notify,
}

#[async_trait]
impl Gateway for Void {
    async fn put(&self, _: &str, _: &str, batch: Batch) -> Result<Stored, NotStored> {
        let stored = Stored { new: batch.punches.len(), twins: 0, set_aside: batch.set_aside.len() };
        self.punches.fetch_add(stored.new, Ordering::Relaxed);
        self.set_aside.fetch_add(stored.set_aside, Ordering::Relaxed);
        Ok(stored)
    }

    async fn load_cursor(&self, _: &str, _: &str) -> Option<Vec<u8>> {
        None
    }

    async fn save_cursor(&self, _: &str, _: &str, _: Vec<u8>) -> Result<(), NotStored> {
        Ok(())
    }

    async fn holdings(&self, _: &str, _: &str) -> Holdings {
        Holdings::default()
    }

    async fn booked_under(&self, _: &str) -> Option<String> {
        None
    }

    fn report(&self, _: &str, report: Report) {
        match report {
            Report::Trouble { trouble, cause } => println!("{}: {cause}", trouble.code()),
            Report::Relief(Trouble::LogUnreadable) => self.read.notify_one(),
            _ => {}
        }
    }

    fn clock_trusted(&self) -> bool {
        false
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("an address is missing: tcp://HOST:PORT")?;
    let folder = Path::new(".");
    let block = format!("address = {address:?}").parse()?;
    let section = Section::new("", block, folder);
    let block = TerminalBlock { name: "terminal".into(), zone: jiff::tz::TimeZone::UTC, section };
    let mut problems = Problems::default();
    let lines = (driver_zk::KIND.plan)(Section::new("", "".parse()?, folder), vec![block], &mut problems);
    let Some(line) = lines.into_iter().next() else { return Err(format!("{:?}", problems.errors).into()) };

    let gateway = Arc::new(Void::default());
    let (link, parts) = Link::new(gateway.clone(), &line.terminals);
    let began = Instant::now();
    let run = line.driver.run(link);
    tokio::pin!(run);
    let wall = tokio::select! {
        ended = &mut run => return Err(ended.err().map_or("it left unasked".into(), Into::into)),
        () = gateway.read.notified() => began.elapsed(),
    };
    parts.closing.send_replace(true);
    run.await?;
    println!(
        "{} punches, {} set aside, {:.3} s wall, {:.3} s CPU, {} KiB at most",
        gateway.punches.load(Ordering::Relaxed),
        gateway.set_aside.load(Ordering::Relaxed),
        wall.as_secs_f64(),
        cpu_seconds()?,
        peak_kib()?,
    );
    Ok(())
}

/// User and system time of this process so far; the kernel counts in hundredths of a second.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 =
        fields.get(11..13).ok_or("no times in /proc/self/stat")?.iter().flat_map(|it| it.parse::<f64>()).sum();
    Ok(ticks / 100.0)
}

fn peak_kib() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
