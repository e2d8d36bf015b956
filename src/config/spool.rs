//! `[spool]`: how long punches are kept, and how much room is left to others.

use std::time::Duration;

use driver_api::{Period, Problems, Section};

use super::Size;
use crate::spool::SpoolSettings;

pub(super) struct Keeping {
    pub(super) retention: Duration,
    pub(super) min_free_bytes: u64,
    pub(super) segment_bytes: u64,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(90 * 86_400),
            min_free_bytes: 64 << 20,
            segment_bytes: SpoolSettings::SEGMENT_BYTES,
        }
    }
}

pub(super) fn read(mut section: Section, problems: &mut Problems) -> Keeping {
    let default = Keeping::default();
    let retention = section.take::<Period>("retention", "\"90d\"", problems);
    let min_free = section.take::<Size>("min_free", "\"64MiB\"", problems);
    let segment = section.take_checked("segment", "\"8MiB\"", problems, segment);
    section.finish(problems);
    Keeping {
        retention: retention.map_or(default.retention, |Period(period)| period),
        min_free_bytes: min_free.map_or(default.min_free_bytes, |Size(bytes)| bytes),
        segment_bytes: segment.unwrap_or(default.segment_bytes),
    }
}

/// Smaller ones would be more names than punches, larger ones are more than the journal's end may take to read.
fn segment(Size(bytes): Size) -> Result<u64, (String, String)> {
    if (64 << 10..=64 << 20).contains(&bytes) {
        return Ok(bytes);
    }
    Err(("it is from 64KiB to 64MiB".into(), "write it like this: segment = \"8MiB\"".into()))
}
