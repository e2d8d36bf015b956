//! What the kernel says of a process.

use std::fs;

/// User and system time of all threads it ever had, in seconds. The kernel counts in hundredths.
pub(crate) fn cpu_s(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields[11..13].iter().flat_map(|ticks| ticks.parse::<f64>()).sum::<f64>() / 100.0
}

/// Resident memory now.
pub(crate) fn rss_kib(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

/// What of it is its own; the rest is pages of files, the program's above all, which the kernel may drop at any time.
pub(crate) fn own_kib(pid: u32) -> u64 {
    memory(pid, "RssAnon:")
}

/// The most resident memory it ever had.
pub(crate) fn peak_kib(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells this");
    line.trim().trim_end_matches("kB").trim().parse().expect("it is a number")
}
