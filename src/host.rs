//! What the machine and this process are doing, as the kernel tells it. What it does not tell is `None`.

mod time_server;

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// How far the pace of punches looks back.
const PACE: Duration = Duration::from_secs(3600);
/// A journal's bytes for one punch, in small groups; `docs/benchmarks.md` has the measurement.
const PUNCH_BYTES: f64 = 130.0;

/// Remembers what rates need: one look a few times a minute.
#[derive(Debug, Default)]
pub struct Host {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// CPU time used so far, and the share of a core since the look before.
    cpu: Option<(Instant, Duration)>,
    cpu_percent: Option<f64>,
    clock_source: Option<(Instant, Option<String>)>,
    /// Punches stored so far.
    punches: VecDeque<(Instant, u64)>,
}

impl Host {
    /// Looks; `punches` is how many are stored.
    pub fn look(&self, punches: u64) {
        let (now, mut seen) = (Instant::now(), self.seen());
        if let Some(used) = cpu_time() {
            if let Some((at, before)) = seen.cpu {
                let passed = now.duration_since(at).as_secs_f64();
                if passed > 1.0 {
                    seen.cpu_percent = Some(100.0 * used.saturating_sub(before).as_secs_f64() / passed);
                    seen.cpu = Some((now, used));
                }
            } else {
                seen.cpu = Some((now, used));
            }
        }
        let young = |(at, _): &(Instant, u64)| now.duration_since(*at) < Duration::from_secs(10);
        if !seen.punches.back().is_some_and(young) {
            seen.punches.push_back((now, punches));
        }
        while seen.punches.front().is_some_and(|(at, _)| now.duration_since(*at) > PACE) {
            seen.punches.pop_front();
        }
    }

    /// This process's share of one core since the last look but one.
    pub fn cpu_percent(&self) -> Option<f64> {
        self.seen().cpu_percent
    }

    /// What keeps the clock, as [`clock_source`] found it less than half a minute ago.
    pub fn clock_source(&self) -> Option<String> {
        let mut seen = self.seen();
        let young = |(at, _): &(Instant, _)| at.elapsed() < Duration::from_secs(30);
        if !seen.clock_source.as_ref().is_some_and(young) {
            seen.clock_source = Some((Instant::now(), clock_source()));
        }
        seen.clock_source.as_ref().and_then(|(_, source)| source.clone())
    }

    /// For how long `bytes` last at the pace of the last hour; `None` while there is no pace.
    pub fn hours_left(&self, bytes: u64) -> Option<f64> {
        let seen = self.seen();
        let ((from, before), (to, after)) = (seen.punches.front()?, seen.punches.back()?);
        let hours = to.duration_since(*from).as_secs_f64() / 3600.0;
        let punches = after.saturating_sub(*before) as f64;
        (hours > 0.01 && punches > 0.0).then(|| bytes as f64 / (punches / hours * PUNCH_BYTES))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory of this process that is in RAM.
pub fn rss_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<u64>().ok()? * rustix::param::page_size() as u64)
}

pub fn open_fds() -> Option<u64> {
    // The look itself has one open.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64)
}

/// Average of the last minute.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// How full the file system of this folder is for us.
pub fn disk_used_percent(folder: &Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree) as f64;
    let usable = used + disk.f_bavail as f64;
    (usable > 0.0).then(|| 100.0 * used / usable)
}

/// How long the machine has been up, asleep or not.
pub fn up() -> Option<Duration> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    Duration::try_from_secs_f64(text.split_ascii_whitespace().next()?.parse().ok()?).ok()
}

/// The hottest place that the kernel knows.
pub fn temperature_c() -> Option<f64> {
    let zones = fs::read_dir("/sys/class/thermal").ok()?;
    let degrees =
        zones.filter_map(|zone| fs::read_to_string(zone.ok()?.path().join("temp")).ok()?.trim().parse::<f64>().ok());
    degrees.map(|thousandths| thousandths / 1000.0).reduce(f64::max)
}

/// Memory that programs can still have, and all there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub available: u64,
    pub total: u64,
}

pub fn memory() -> Option<Memory> {
    memory_in(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn memory_in(text: &str) -> Option<Memory> {
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some(Memory { available: kilobytes("MemAvailable")? << 10, total: kilobytes("MemTotal")? << 10 })
}

/// How far the flash memory under a folder is used up, in percent of the writes it was made for; in steps of ten, as eMMC tells it.
pub fn wear_percent(folder: &Path) -> Option<u8> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    wear_below(&fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?)
}

/// The same from the place of a disk or of one of its partitions in sysfs.
fn wear_below(block: &Path) -> Option<u8> {
    let told = [Some(block), block.parent()].into_iter().flatten();
    let text = told.filter_map(|place| fs::read_to_string(place.join("device/life_time")).ok()).next()?;
    // One number for each kind of its cells: 0x01 is up to a tenth used, 0x0b is beyond its end.
    let steps = text.split_whitespace().filter_map(|step| u8::from_str_radix(step.strip_prefix("0x")?, 16).ok());
    steps.filter(|step| (1..=11).contains(step)).max().map(|step| (step - 1) * 10)
}

/// Network ports of this machine that have a link, and all it has; the loopback is none.
pub fn ports() -> Option<(usize, usize)> {
    ports_below(Path::new("/sys/class/net"))
}

fn ports_below(folder: &Path) -> Option<(usize, usize)> {
    let (mut up, mut all) = (0, 0);
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        if entry.file_name() == "lo" {
            continue;
        }
        all += 1;
        // A port that is switched off does not let its carrier be read.
        up += usize::from(fs::read_to_string(entry.path().join("carrier")).is_ok_and(|text| text.trim() == "1"));
    }
    Some((up, all))
}

/// The battery clock of this machine.
const RTC: &str = "/sys/class/rtc/rtc0/since_epoch";

/// Whether a time server keeps this machine's clock, as whoever asks it says.
pub fn time_server_keeps_clock() -> bool {
    time_server::keeps_clock()
}

/// `ntp` when a time server keeps the clock (systemd-timesyncd, chronyd, ntpd), `rtc` when there is a battery clock from
/// which it was set at the boot.
pub fn clock_source() -> Option<String> {
    let (ntp, rtc) = (time_server_keeps_clock(), Path::new(RTC).exists());
    if ntp { Some("ntp".into()) } else { rtc.then(|| "rtc".into()) }
}

/// Our clock minus the battery clock, which tells whole seconds: half a second is no difference.
pub fn clock_offset_ms() -> Option<f64> {
    let rtc = fs::read_to_string(RTC).ok()?;
    offset_ms(&rtc, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?)
}

fn offset_ms(rtc: &str, now: Duration) -> Option<f64> {
    let middle = rtc.trim().parse::<f64>().ok()? + 0.5;
    Some((now.as_secs_f64() - middle) * 1000.0)
}

/// User and system time, from fields 14 and 15 of the kernel's line; the name before them may hold spaces.
pub fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_files_and_time() {
        assert!(rss_bytes().is_some_and(|bytes| bytes > 100_000));
        assert!(open_fds().is_some_and(|count| count >= 3));
        assert!(cpu_time().is_some());
        assert!(disk_used_percent(Path::new("/")).is_some_and(|percent| (0.0..=100.0).contains(&percent)));
        assert!(load().is_some());
    }

    #[test]
    fn memory_is_what_can_still_be_had() {
        let text = "MemTotal:        1000 kB\nMemFree:   5 kB\nMemAvailable:     300 kB\n";
        assert_eq!(memory_in(text), Some(Memory { available: 300 << 10, total: 1000 << 10 }));
        assert_eq!(memory_in("MemTotal: 1000 kB\n"), None);
        assert!(memory().is_some_and(|it| it.available <= it.total && it.total > 0));
    }

    #[test]
    fn the_wear_of_an_emmc_is_that_of_its_worst_cells() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, part) = (folder.path().join("mmcblk0"), folder.path().join("mmcblk0/mmcblk0p1"));
        fs::create_dir_all(disk.join("device")).unwrap();
        fs::create_dir_all(&part).unwrap();
        assert_eq!(wear_below(&part), None);
        for (text, percent) in
            [("0x02 0x0a\n", Some(90)), ("0x01 0x01", Some(0)), ("0x00 0x00", None), ("0x0b", Some(100))]
        {
            fs::write(disk.join("device/life_time"), text).unwrap();
            assert_eq!((wear_below(&part), wear_below(&disk)), (percent, percent), "{text}");
        }
    }

    #[test]
    fn a_port_has_a_link_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let port = |name: &str, carrier: Option<&str>| {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            if let Some(text) = carrier {
                fs::write(folder.path().join(name).join("carrier"), text).unwrap();
            }
        };
        port("lo", Some("1\n"));
        assert_eq!(ports_below(folder.path()), Some((0, 0)));
        port("eth0", Some("0\n"));
        port("eth1", None);
        assert_eq!(ports_below(folder.path()), Some((0, 2)));
        port("eth0", Some("1\n"));
        assert_eq!(ports_below(folder.path()), Some((1, 2)));
    }

    #[test]
    fn the_battery_clock_is_read_as_the_middle_of_its_second() {
        assert_eq!(offset_ms("1000\n", Duration::from_millis(1_002_500)), Some(2000.0));
        assert_eq!(offset_ms("?", Duration::ZERO), None);
    }

    #[test]
    fn hours_left_need_a_pace() {
        let host = Host::default();
        host.look(0);
        assert_eq!(host.hours_left(1 << 30), None);
        let hour_ago = Instant::now().checked_sub(Duration::from_secs(3590)).unwrap();
        host.seen().punches = [(hour_ago, 0), (Instant::now(), 1000)].into();
        let hours = host.hours_left(130_000_000).unwrap();
        assert!((990.0..1010.0).contains(&hours), "{hours}");
    }
}
