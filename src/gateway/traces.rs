//! Frames of terminals that somebody traces, kept until he takes them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use driver_api::Frame;

/// Bytes of words that one trace has, more or less.
const ROOM: usize = 36 << 10;
/// What a frame costs beside its words, as JSON.
const EACH: usize = 96;

/// All traces under way. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Traces(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// So that a frame costs nothing while nobody traces anything.
    running: AtomicUsize,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Default)]
pub(super) struct Kept {
    pub(super) frames: Vec<Frame>,
    pub(super) left_out: u64,
    bytes: usize,
}

/// One trace; it ends with this.
pub(super) struct Tracing {
    traces: Traces,
    terminal: String,
}

impl Traces {
    /// `None` while somebody traces this terminal.
    pub(super) fn begin(&self, terminal: &str) -> Option<Tracing> {
        let mut kept = self.kept();
        if kept.contains_key(terminal) {
            return None;
        }
        kept.insert(terminal.to_owned(), Kept::default());
        self.0.running.store(kept.len(), Ordering::Release);
        Some(Tracing { traces: self.clone(), terminal: terminal.to_owned() })
    }

    pub(super) fn is_traced(&self, terminal: &str) -> bool {
        self.0.running.load(Ordering::Acquire) > 0 && self.kept().contains_key(terminal)
    }

    pub(super) fn keep(&self, terminal: &str, frame: Frame) {
        let mut all = self.kept();
        let Some(kept) = all.get_mut(terminal) else { return };
        kept.bytes += EACH + frame.what.len();
        if kept.bytes > ROOM {
            kept.left_out += 1;
        } else {
            kept.frames.push(frame);
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracing {
    /// What was kept, and the end of it.
    pub(super) fn end(self) -> Kept {
        self.traces.kept().get_mut(&self.terminal).map(std::mem::take).unwrap_or_default()
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let mut kept = self.traces.kept();
        kept.remove(&self.terminal);
        self.traces.0.running.store(kept.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use driver_api::Way;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_trace_keeps_its_terminals_frames_and_no_more_than_there_is_room_for() {
        let traces = Traces::default();
        let frame = || Frame { at: Timestamp::now(), way: Way::FromTerminal, bytes: 8, what: "x".repeat(900) };
        assert!(!traces.is_traced("front-door"));
        let tracing = traces.begin("front-door").unwrap();
        assert!(traces.begin("front-door").is_none(), "one at a time");
        assert!(traces.is_traced("front-door") && !traces.is_traced("canteen"));
        (0..100).for_each(|_| traces.keep("front-door", frame()));
        traces.keep("canteen", frame());
        let Kept { frames, left_out, .. } = tracing.end();
        assert_eq!((frames.len(), left_out), (37, 63));
        assert!(!traces.is_traced("front-door"));
        drop(traces.begin("front-door"));
        assert!(!traces.is_traced("front-door"));
    }
}
