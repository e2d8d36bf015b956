//! This machine: its memory and its clock.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

use super::finding::{Check, Finding, both, fixed};
use crate::{clock::Clock, host};

/// With less, the kernel begins to end processes.
const MEMORY: u64 = 32 << 20;

pub(super) fn examine(state_dir: Option<&Path>, findings: &mut Vec<Finding>) {
    findings.push(memory());
    findings.push(clock(state_dir));
}

fn memory() -> Finding {
    let Some(available) = available() else {
        return Check::Memory.unseen(both!("the kernel does not tell" / "内核未提供"));
    };
    let mib = available >> 20;
    let seen = both!("{mib} MiB are available" / "可用 {mib} MiB");
    if available < MEMORY {
        let mend = fixed(
            "See with ps aux --sort=-rss who takes it, and end that.",
            "用 ps aux --sort=-rss 查看占用者并关闭。",
        );
        Check::Memory.wrong(seen, mend)
    } else {
        Check::Memory.well(seen)
    }
}

fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The journal was written in the past: its newest file's time is a floor for ours.
pub(super) fn clock(state_dir: Option<&Path>) -> Finding {
    let clock = Clock::new(host::time_server_keeps_clock);
    let floor = state_dir.and_then(|folder| newest(&folder.join("journal")));
    floor.into_iter().for_each(|floor| clock.passed(floor));
    let now = Timestamp::now();
    match clock.doubt() {
        Some(doubt) => Check::Clock.wrong(
            both!("{doubt}" / "{doubt}"),
            fixed(
                "Let this machine reach a time server (timedatectl), or replace its clock battery.",
                "请让本机连接时间服务器（timedatectl），或更换时钟电池。",
            ),
        ),
        None => {
            let source = host::clock_source().map_or_else(String::new, |source| format!(", {source}"));
            let (en, zh) = floor.map_or_else(Default::default, |floor| {
                (format!("; its last record is of {floor:.0}"), format!("；最后一条记录写于 {floor:.0}"))
            });
            Check::Clock.well(both!("{now:.0}{source}{en}" / "{now:.0}{source}{zh}"))
        }
    }
}

fn newest(journal: &Path) -> Option<Timestamp> {
    let files = fs::read_dir(journal).ok()?;
    let newest = files.filter_map(|file| file.ok()?.metadata().ok()?.modified().ok()).max()?;
    let since = newest.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_second(i64::try_from(since.as_secs()).ok()?).ok()
}
