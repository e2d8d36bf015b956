//! Thirty days of minutes in one file, for graphs and reports without any server.
//!
//! # Layout of `state_dir/metrics.ring`
//! ```text
//! 0       4096 bytes: the line "punchgate-ring 1 43200 32", then the names of the columns, one a line, then zeros
//! 4096    43,200 slots of 272 bytes; minute m (Unix time / 60) is in slot m % 43200:
//!         8    m, as i64
//!         256  32 values, as f64; NaN is "not known"; value n is that of the n-th name
//!         4    CRC32C of the 264 bytes before it
//!         4    zeros
//! ```
//! Numbers are little-endian. A slot counts when its checksum is right and its minute is one that is asked for: a slot that was never
//! written, that was being written when the power went, or that is of a former month, is not. Nothing is synced: kill -9 costs
//! nothing, a power cut the last half minute or so. Names are only ever added behind the others.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

/// Below state_dir.
pub const RING_FILE: &str = "metrics.ring";
pub const KEPT_MINUTES: i64 = 30 * 24 * 60;
const WIDTH: usize = 32;
const HEADER: usize = 4096;
const VALUES: usize = 8 + WIDTH * 8;
const SLOT: usize = VALUES + 8;

/// What is kept of a snapshot, under the names that it has there.
pub const COLUMNS: &[&str] = &[
    "punchgate_uptime_seconds",
    "punchgate_terminals",
    "punchgate_terminals_online",
    "punchgate_queue_undelivered_punches",
    "punchgate_queue_oldest_age_seconds",
    "punchgate_queue_bytes",
    "punchgate_punches_stored",
    "punchgate_punches_acknowledged",
    "punchgate_twins_dropped",
    "punchgate_records_set_aside",
    "punchgate_commit_median_seconds",
    "punchgate_commit_p99_seconds",
    "punchgate_disk_free_bytes",
    "punchgate_journal_bytes",
    "punchgate_link_up",
    "punchgate_link_round_trip_seconds",
    "punchgate_link_reconnects",
    "process_resident_memory_bytes",
    "process_cpu_seconds",
    "punchgate_host_load1",
    "punchgate_host_memory_available_bytes",
    "punchgate_host_temperature_celsius",
    "punchgate_conditions_high",
    "punchgate_conditions_medium",
    "punchgate_conditions_low",
    "punchgate_incidents_open",
    "punchgate_gaps_open_punches",
    "punchgate_clock_skew_worst_seconds",
];

/// The ring as it is written.
pub struct Ring {
    file: File,
}

/// What was read of a ring.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub columns: Vec<String>,
    /// By time, which may have gaps; a value for each column, NaN where it is not known.
    pub rows: Vec<(Timestamp, Vec<f64>)>,
}

fn header() -> Vec<u8> {
    let names = COLUMNS.iter().map(|name| format!("{name}\n")).collect::<String>();
    let mut bytes = format!("punchgate-ring 1 {KEPT_MINUTES} {WIDTH}\n{names}").into_bytes();
    bytes.resize(HEADER, 0);
    bytes
}

fn names(header: &[u8]) -> Option<Vec<String>> {
    let text = header.split(|byte| *byte == 0).next()?;
    let mut lines = std::str::from_utf8(text).ok()?.lines();
    (lines.next()? == format!("punchgate-ring 1 {KEPT_MINUTES} {WIDTH}")).then(|| lines.map(str::to_owned).collect())
}

fn place(minute: i64) -> u64 {
    HEADER as u64 + minute.rem_euclid(KEPT_MINUTES).unsigned_abs() * SLOT as u64
}

impl Ring {
    /// Opens or makes it. One of another layout is set aside under another name.
    pub fn open(path: &Path) -> io::Result<Self> {
        let open = || File::options().read(true).write(true).create(true).truncate(false).mode(0o640).open(path);
        let mut file = open()?;
        let mut before = vec![0; HEADER];
        let length = file.metadata()?.len();
        if length > 0 {
            let known = file.read_exact_at(&mut before, 0).is_ok();
            let kept = if known { names(&before) } else { None };
            let fits = kept.is_some_and(|names| {
                names.len() <= COLUMNS.len() && names.iter().zip(COLUMNS).all(|(name, column)| name == column)
            });
            if !fits {
                let aside: PathBuf = path.with_extension("ring.old");
                std::fs::rename(path, aside)?;
                file = open()?;
            }
        }
        file.set_len(place(KEPT_MINUTES - 1) + SLOT as u64)?;
        let header = header();
        if before != header {
            file.write_all_at(&header, 0)?;
        }
        Ok(Self { file })
    }

    /// Keeps the values of a minute, in place of any that it had. `value` gives them by name.
    pub fn put(&self, minute: i64, value: impl Fn(&str) -> Option<f64>) -> io::Result<()> {
        let mut slot = Vec::with_capacity(SLOT);
        slot.extend(minute.to_le_bytes());
        for column in 0..WIDTH {
            let value = COLUMNS.get(column).and_then(|name| value(name)).unwrap_or(f64::NAN);
            slot.extend(value.to_le_bytes());
        }
        slot.extend(crc32c::crc32c(&slot).to_le_bytes());
        slot.resize(SLOT, 0);
        self.file.write_all_at(&slot, place(minute))
    }
}

/// The minutes from `from` up to and without `to`; the daemon may run or not.
pub fn read(path: &Path, from: Timestamp, to: Timestamp) -> io::Result<Series> {
    let file = File::open(path)?;
    let mut header = vec![0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    let columns = names(&header).ok_or_else(|| io::Error::other("it is no ring of this version"))?;
    let minute = |at: Timestamp| at.as_second().div_euclid(60);
    // The whole of it is read at once where most of it is wanted.
    let (first, last) = (minute(from).max(minute(to) - KEPT_MINUTES), minute(to));
    let mut rows = Vec::new();
    let mut slot = [0; SLOT];
    for wanted in first..last {
        if file.read_exact_at(&mut slot, place(wanted)).is_err() {
            continue;
        }
        let number = |at: usize| -> [u8; 8] { slot[at..at + 8].try_into().expect("eight bytes of the slot") };
        let sum = u32::from_le_bytes(slot[VALUES..VALUES + 4].try_into().expect("four bytes of the slot"));
        if i64::from_le_bytes(number(0)) != wanted || crc32c::crc32c(&slot[..VALUES]) != sum {
            continue;
        }
        let values = (0..columns.len().min(WIDTH)).map(|column| f64::from_le_bytes(number(8 + column * 8))).collect();
        if let Ok(at) = Timestamp::from_second(wanted * 60) {
            rows.push((at, values));
        }
    }
    Ok(Series { columns, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    const NOW: i64 = 29_400_000;

    #[test]
    fn what_was_put_is_read_for_thirty_days_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RING_FILE);
        let ring = Ring::open(&path).unwrap();
        for minute in [NOW - KEPT_MINUTES, NOW - 2, NOW - 1, NOW] {
            ring.put(minute, |name| (name == "punchgate_link_up").then_some(minute as f64)).unwrap();
        }
        let size = std::fs::metadata(&path).unwrap().len();
        assert_eq!(size, 4096 + 43_200 * 272, "it does not grow");
        drop(ring);
        let series = read(&path, at(NOW - 100_000), at(NOW + 1)).unwrap();
        assert_eq!(series.columns, COLUMNS);
        let up = COLUMNS.iter().position(|name| *name == "punchgate_link_up").unwrap();
        let told: Vec<_> = series.rows.iter().map(|(at, values)| (at.as_second() / 60, values[up])).collect();
        assert_eq!(told, [(NOW - 2, (NOW - 2) as f64), (NOW - 1, (NOW - 1) as f64), (NOW, NOW as f64)]);
        assert!(series.rows[0].1[0].is_nan());
        assert_eq!(read(&path, at(NOW - 1), at(NOW)).unwrap().rows.len(), 1);
    }

    #[test]
    fn a_torn_slot_is_left_out_and_a_new_column_keeps_the_old_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RING_FILE);
        let ring = Ring::open(&path).unwrap();
        (0..3).for_each(|more| ring.put(NOW + more, |_| Some(1.0)).unwrap());
        ring.file.write_all_at(&[7], place(NOW + 1) + 20).unwrap();
        // As a version with one column less had left it.
        let mut older = header();
        let last = format!("{}\n", COLUMNS.last().unwrap());
        let at_last = older.windows(last.len()).position(|bytes| bytes == last.as_bytes()).unwrap();
        older[at_last..].fill(0);
        ring.file.write_all_at(&older, 0).unwrap();
        drop(ring);
        drop(Ring::open(&path).unwrap());
        let series = read(&path, at(NOW), at(NOW + 3)).unwrap();
        assert_eq!((series.rows.len(), series.columns.len()), (2, COLUMNS.len()));
    }

    #[test]
    fn a_file_that_is_something_else_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RING_FILE);
        std::fs::write(&path, "holiday photos").unwrap();
        Ring::open(&path).unwrap().put(NOW, |_| Some(1.0)).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("metrics.ring.old")).unwrap(), "holiday photos");
        assert_eq!(read(&path, at(NOW), at(NOW + 1)).unwrap().rows.len(), 1);
        assert!(read(&folder.path().join("metrics.ring.old"), at(NOW), at(NOW + 1)).is_err());
    }
}
