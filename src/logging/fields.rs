//! The fields of a span or an event, as text.

use std::{collections::BTreeMap, error::Error, fmt};

use tracing::field::{Field, Visit};

/// Named values; the innermost one of a name holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) named: BTreeMap<&'static str, String>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            // What came through `log` repeats its place here, which the journal gets anyway.
            name if name.starts_with("log.") => {}
            name => {
                self.named.insert(name, value);
            }
        }
    }

    /// Adds fields that lie further inside.
    pub(super) fn inner(&mut self, inner: &Self) {
        self.named.extend(inner.named.iter().map(|(name, value)| (*name, value.clone())));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.to_string());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut words = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            words += &format!(": {error}");
            source = error.source();
        }
        self.put(field, words);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
