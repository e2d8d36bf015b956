//! The newest lines of our own log, kept in memory for those who ask from afar: INFO and above, nothing of other levels,
//! which may name persons.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use tracing::{Event, Level, Subscriber, span};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::fields::Fields;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at: Timestamp,
    /// `error`, `warn`, `info`
    pub level: &'static str,
    pub message: String,
    /// Its own and those of the spans around it.
    pub fields: BTreeMap<&'static str, String>,
}

/// Bytes that all lines have together, more or less.
const ROOM: usize = 128 << 10;
/// A longer value is cut, in letters.
const LONGEST: usize = 300;

/// The lines. Cheap to clone.
#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    lines: VecDeque<Line>,
    bytes: usize,
}

impl Recent {
    /// Oldest first.
    pub fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    fn keep(&self, line: Line) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += weight(&line);
        kept.lines.push_back(line);
        while kept.bytes > ROOM {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= weight(&oldest);
        }
    }
}

fn weight(line: &Line) -> usize {
    96 + line.message.len() + line.fields.values().map(|value| value.len() + 48).sum::<usize>()
}

/// What a driver quotes of a terminal may hold anything.
fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recent {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        // The layer of the journal may have put it there already.
        let known = span.extensions().get::<Fields>().is_some();
        if !known {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => return,
        };
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.inner(outer);
            }
        }
        let mut own = Fields::default();
        event.record(&mut own);
        fields.inner(&own);
        // Never at these levels; should it slip in one day, it stays here.
        fields.named.retain(|name, _| !matches!(*name, "person" | "punch" | "user" | "card"));
        let fields = fields.named.into_iter().map(|(name, value)| (name, cut(&value))).collect();
        self.keep(Line { at: Timestamp::now(), level, message: cut(&own.message), fields });
    }
}
