//! `[spool]`: how long punches are kept, and how much room is left to others.

use std::time::Duration;

use driver_api::{Period, Problems, Section};

use super::Size;

pub(super) struct Keeping {
    pub(super) retention: Duration,
    pub(super) min_free_bytes: u64,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { retention: Duration::from_secs(90 * 86_400), min_free_bytes: 64 << 20 }
    }
}

pub(super) fn read(mut section: Section, problems: &mut Problems) -> Keeping {
    let default = Keeping::default();
    let retention = section.take::<Period>("retention", "\"90d\"", problems);
    let min_free = section.take::<Size>("min_free", "\"64MiB\"", problems);
    section.finish(problems);
    Keeping {
        retention: retention.map_or(default.retention, |Period(period)| period),
        min_free_bytes: min_free.map_or(default.min_free_bytes, |Size(bytes)| bytes),
    }
}
