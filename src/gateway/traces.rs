//! Frames of terminals: of those that somebody traces, kept until he takes them; and the last few of each, for whoever asks later
//! what went over its wire before it went wrong.
//!
//! A frame is put into words only where somebody wants it, since that costs more than the frame. So of a terminal that is served
//! one in some seconds is kept, and of one that is not nearly all: they come seldom, and they are what one looks for.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use driver_api::Frame;

/// Bytes of words that one trace has, more or less.
const ROOM: usize = 36 << 10;
/// What a frame costs beside its words, as JSON.
const EACH: usize = 96;

/// The last frames of one terminal: so many, and bytes of all their words; and letters of one.
const LAST: usize = 16;
const LAST_ROOM: usize = 2 << 10;
const LAST_WORDS: usize = 200;
/// Of a terminal that is served so many are kept at once, and then one in so long.
const AT_ONCE: u32 = 8;
const ONE_IN: Duration = Duration::from_secs(10);
/// Of one that is not, so many in a second.
const UNSERVED: u32 = 4;
const SECOND: Duration = Duration::from_secs(1);

/// All traces under way. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Traces(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// So that a frame costs nothing while nobody traces anything.
    running: AtomicUsize,
    kept: Mutex<HashMap<String, Kept>>,
    last: Mutex<HashMap<String, Last>>,
}

/// The last frames of one terminal.
struct Last {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// So many more are kept now.
    left: u32,
    /// When one was added to that, and when it was seen whether the terminal is served.
    added: Instant,
    looked: Instant,
}

impl Last {
    fn new() -> Self {
        let now = Instant::now();
        Self { frames: VecDeque::new(), bytes: 0, left: AT_ONCE, added: now, looked: now }
    }

    fn takes_one(&mut self, now: Instant, is_served: impl FnOnce() -> bool) -> bool {
        let passed = now.saturating_duration_since(self.added);
        let more = u32::try_from(passed.as_secs() / ONE_IN.as_secs()).unwrap_or(u32::MAX);
        if more > 0 {
            (self.left, self.added) = (self.left.saturating_add(more).min(AT_ONCE), now);
        }
        if self.left == 0 && now.saturating_duration_since(self.looked) >= SECOND {
            self.looked = now;
            self.left = if is_served() { 0 } else { UNSERVED };
        }
        let takes = self.left > 0;
        self.left = self.left.saturating_sub(1);
        takes
    }

    fn keep(&mut self, mut frame: Frame) {
        if let Some((at, _)) = frame.what.char_indices().nth(LAST_WORDS) {
            frame.what.truncate(at);
            frame.what.push_str("...");
        }
        self.bytes += frame.what.len();
        self.frames.push_back(frame);
        while self.frames.len() > LAST || self.bytes > LAST_ROOM {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.what.len();
        }
    }
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

    /// Whether the next frame of a terminal is wanted, by a trace or as one of the last.
    pub(super) fn is_wanted(&self, terminal: &str, is_served: impl FnOnce() -> bool) -> bool {
        let mut last = self.last();
        let takes = match last.get_mut(terminal) {
            Some(last) => last.takes_one(Instant::now(), is_served),
            None => last.entry(terminal.to_owned()).or_insert_with(Last::new).takes_one(Instant::now(), is_served),
        };
        drop(last);
        takes || self.is_traced(terminal)
    }

    /// The last frames of a terminal that were kept, oldest first.
    pub(super) fn last_of(&self, terminal: &str) -> Vec<Frame> {
        self.last().get(terminal).map(|last| last.frames.iter().cloned().collect()).unwrap_or_default()
    }

    /// Forgets those of terminals that are no more.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.last().retain(|name, _| is_there(name));
    }

    fn is_traced(&self, terminal: &str) -> bool {
        self.0.running.load(Ordering::Acquire) > 0 && self.kept().contains_key(terminal)
    }

    pub(super) fn keep(&self, terminal: &str, frame: Frame) {
        if let Some(last) = self.last().get_mut(terminal) {
            last.keep(frame.clone());
        }
        let mut all = self.kept();
        let Some(kept) = all.get_mut(terminal) else { return };
        kept.bytes += EACH + frame.what.len();
        if kept.bytes > ROOM {
            kept.left_out += 1;
        } else {
            kept.frames.push(frame);
        }
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, Last>> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn the_last_frames_are_few_of_a_terminal_that_is_served_and_more_of_one_that_is_not() {
        let mut last = Last::new();
        let begun = Instant::now();
        let mut taken = |seconds: u64, served: bool| {
            (0..100).filter(|_| last.takes_one(begun + Duration::from_secs(seconds), || served)).count()
        };
        assert_eq!((taken(0, true), taken(1, true), taken(11, true), taken(12, true)), (8, 0, 1, 0));
        assert_eq!((taken(13, false), taken(14, false)), (4, 4), "what is tried while it is away is seen");
        assert_eq!(taken(200, true), 8);

        let traces = Traces::default();
        let frame = |number: usize, length: usize| Frame {
            at: Timestamp::now(),
            way: Way::ToTerminal,
            bytes: 8,
            what: format!("{number} {}", "语".repeat(length)),
        };
        traces.keep("front-door", frame(0, 1));
        assert!(traces.last_of("front-door").is_empty(), "nobody asked for it");
        assert!(traces.is_wanted("front-door", || true));
        (1..=40).for_each(|number| traces.keep("front-door", frame(number, 1)));
        let kept = traces.last_of("front-door");
        assert_eq!((kept.len(), kept[15].what.as_str()), (LAST, "40 语"));
        (1..=40).for_each(|number| traces.keep("front-door", frame(number, 500)));
        let kept = traces.last_of("front-door");
        assert!(kept.iter().map(|it| it.what.len()).sum::<usize>() <= LAST_ROOM && kept.len() >= 3, "{}", kept.len());
        traces.retain(|name| name != "front-door");
        assert!(traces.last_of("front-door").is_empty());
    }

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
