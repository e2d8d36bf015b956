//! Events to the systemd journal, each with its own fields and those of the spans around it.
//!
//! A field `terminal` arrives as `PUNCHGATE_TERMINAL`: the prefix keeps ours apart from the journal's own, and
//! `journalctl PUNCHGATE_TERMINAL=front-door` follows one terminal through all parts.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use log::{
    Record,
    kv::{self, Key, Value, VisitSource},
};
use systemd_journal_logger::JournalLog;
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::fields::Fields;

/// Where finished records go: the journal, or a double in tests.
pub trait Sink: Send + Sync + 'static {
    fn send(&self, record: &Record<'_>) -> io::Result<()>;
}

impl Sink for JournalLog {
    fn send(&self, record: &Record<'_>) -> io::Result<()> {
        self.journal_send(record)
    }
}

/// The layer.
pub struct Journal<K> {
    sink: K,
    /// Records that the journal did not take since it last took one.
    lost: AtomicU64,
}

impl Journal<JournalLog> {
    /// Fails where there is no journal.
    pub fn connect() -> io::Result<Self> {
        Ok(Self::new(JournalLog::new()?))
    }
}

impl<K: Sink> Journal<K> {
    pub fn new(sink: K) -> Self {
        Self { sink, lost: AtomicU64::new(0) }
    }

    fn send(&self, metadata: &Metadata<'_>, fields: &Fields) {
        let mut named: Vec<(String, &str)> =
            fields.named.iter().map(|(name, value)| (format!("PUNCHGATE_{name}"), value.as_str())).collect();
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let lost_text = lost.to_string();
        if lost > 0 {
            named.push(("PUNCHGATE_LOG_LOST".into(), &lost_text));
        }
        let named = Named(&named);
        let sent = self.sink.send(
            &Record::builder()
                .level(level(*metadata.level()))
                .target(metadata.target())
                .file(metadata.file())
                .line(metadata.line())
                .module_path(metadata.module_path())
                .key_values(&named)
                .args(format_args!("{}", fields.message))
                .build(),
        );
        if sent.is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
            // Under systemd this is another way to the same journal. When it fails too, there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{} {}", metadata.level(), fields.message);
        }
    }
}

impl<S, K> Layer<S> for Journal<K>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    K: Sink,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.inner(outer);
            }
        }
        event.record(&mut fields);
        match event.normalized_metadata() {
            Some(metadata) => self.send(&metadata, &fields),
            None => self.send(event.metadata(), &fields),
        }
    }
}

/// Fields as the `log` crate wants to visit them.
struct Named<'a>(&'a [(String, &'a str)]);

impl kv::Source for Named<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        self.0.iter().try_for_each(|(name, value)| visitor.visit_pair(Key::from_str(name), Value::from(*value)))
    }
}

fn level(level: Level) -> log::Level {
    match level {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Info,
        Level::DEBUG => log::Level::Debug,
        Level::TRACE => log::Level::Trace,
    }
}
