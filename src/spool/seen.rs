//! Which ids were seen: the twin test. What is fresh waits in memory and goes to the index in bulk.
//!
//! Ids lie in buckets by source (terminal and serial) and by 256 seconds of the terminal's wall, since a log is read in
//! about that order: so a batch of a thousand punches asks the index for some hundred values, not a thousand. A bucket
//! is stored in parts, so that a terminal whose clock stands still does not have a growing value rewritten for ever.

use std::collections::{HashMap, HashSet};

use driver_api::PunchId;

use super::index::{Index, IndexError, Writes};

/// Which ids are kept together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BucketKey {
    pub(super) source: u32,
    pub(super) window: i64,
}

impl BucketKey {
    /// Of a punch: by its wall time in seconds.
    pub(super) fn punch(source: u32, local: i64) -> Self {
        Self { source, window: local >> 8 }
    }

    /// Of a record set aside, which has no time. No punch's window comes near.
    pub(super) fn set_aside(source: u32, id: PunchId) -> Self {
        Self { source, window: i64::MIN + i64::from(id.0[0]) }
    }
}

/// Ids in one value of the index.
const PART: usize = 64;
/// Ids held in memory before all of it is dropped again at the next write to the index.
const HELD: usize = 32_768;

#[derive(Debug, Default)]
pub(super) struct Seen {
    buckets: HashMap<BucketKey, Bucket>,
    held: usize,
    fresh: usize,
}

#[derive(Debug, Default)]
struct Bucket {
    ids: HashSet<PunchId>,
    /// Ids in the index, and the last part of them when it is not full.
    stored: usize,
    last_part: Vec<u8>,
    fresh: Vec<PunchId>,
}

impl Seen {
    pub(super) fn contains(&mut self, index: &Index, key: BucketKey, id: PunchId) -> Result<bool, IndexError> {
        Ok(self.bucket(index, key)?.ids.contains(&id))
    }

    /// Adds an id; `false` when it was there.
    pub(super) fn insert(&mut self, index: &Index, key: BucketKey, id: PunchId) -> Result<bool, IndexError> {
        let bucket = self.bucket(index, key)?;
        let new = bucket.ids.insert(id);
        if new {
            bucket.fresh.push(id);
            self.fresh += 1;
            self.held += 1;
        }
        Ok(new)
    }

    /// Ids that the index does not know yet.
    pub(super) fn fresh(&self) -> usize {
        self.fresh
    }

    fn bucket(&mut self, index: &Index, key: BucketKey) -> Result<&mut Bucket, IndexError> {
        use std::collections::hash_map::Entry;
        match self.buckets.entry(key) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let mut bucket = Bucket::default();
                for part in 0.. {
                    let Some(bytes) = index.seen_part(key, part)? else { break };
                    let ids = bytes.chunks_exact(16).map(|id| PunchId(id.try_into().expect("chunks of 16")));
                    bucket.ids.extend(ids);
                    let full = bytes.len() >= PART * 16;
                    bucket.stored += bytes.len() / 16;
                    bucket.last_part = if full { Vec::new() } else { bytes };
                    if !full {
                        break;
                    }
                }
                self.held += bucket.ids.len();
                Ok(place.insert(bucket))
            }
        }
    }

    /// Adds what is fresh to `writes`. Call [`Seen::written`] when they are done.
    pub(super) fn write(&self, writes: &mut Writes) {
        for (key, bucket) in self.buckets.iter().filter(|(_, bucket)| !bucket.fresh.is_empty()) {
            let mut bytes = bucket.last_part.clone();
            let mut part = (bucket.stored / PART) as u32;
            for id in &bucket.fresh {
                bytes.extend_from_slice(&id.0);
                if bytes.len() == PART * 16 {
                    writes.seen(*key, part, &bytes);
                    bytes.clear();
                    part += 1;
                }
            }
            if !bytes.is_empty() {
                writes.seen(*key, part, &bytes);
            }
        }
    }

    /// The index has all that was fresh.
    pub(super) fn written(&mut self) {
        self.fresh = 0;
        if self.held > HELD {
            *self = Self::default();
            return;
        }
        for bucket in self.buckets.values_mut() {
            for id in bucket.fresh.drain(..) {
                bucket.last_part.extend_from_slice(&id.0);
                bucket.stored += 1;
                if bucket.last_part.len() == PART * 16 {
                    bucket.last_part.clear();
                }
            }
        }
    }
}
