//! A snapshot as text, in either of the two formats that scrapers ask for.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text, text},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use super::{Family, Kind, Snapshot};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// Prometheus's own, version 0.0.4; for whoever does not ask for the other one.
    Prometheus,
}

impl Format {
    /// By what a scraper says that it takes.
    pub(super) fn wanted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The whole text.
pub fn expose(snapshot: Snapshot, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Shown(snapshot)));
    let mut text = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut text, &registry)?,
        Format::Prometheus => prometheus_text::encode(&mut text, &registry)?,
    }
    Ok(text)
}

#[derive(Debug)]
struct Shown(Snapshot);

/// Units that OpenMetrics knows; it wants them apart from the name.
const UNITS: [(&str, Unit); 3] = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes), ("_celsius", Unit::Celsius)];

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Family { name, help, kind, samples } in &self.0.families {
            let unit = UNITS.iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, unit)));
            let (name, unit) = unit.map_or((*name, None), |(name, unit)| (name, Some(unit)));
            let mut write = |metric: &dyn Fn(f64) -> Box<dyn EncodeMetric>| {
                let kind = metric(0.0).metric_type();
                let mut family = encoder.encode_descriptor(name, help, unit, kind)?;
                if let [(labels, value)] = &samples[..]
                    && labels.is_empty()
                {
                    return metric(*value).encode(family);
                }
                samples.iter().try_for_each(|(labels, value)| metric(*value).encode(family.encode_family(labels)?))
            };
            match kind {
                Kind::Gauge => write(&|value| Box::new(ConstGauge::new(value)))?,
                Kind::Counter => write(&|value| Box::new(ConstCounter::new(value)))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.one(Kind::Counter, "punchgate_punches_stored", "Punches that became durable.", Some(41.0));
        snapshot.one(Kind::Gauge, "punchgate_disk_free_bytes", "Room on the disk.", Some(1e9));
        snapshot.one(Kind::Gauge, "punchgate_temperature_celsius", "Not known.", None);
        let label = |name: &str| vec![("terminal", name.to_owned())];
        let samples = vec![(label("front-door"), 1.0), (label("a\"b\\c\n"), 0.0)];
        snapshot.many(Kind::Gauge, "punchgate_terminal_up", "Whether a terminal is served.", samples);
        snapshot
    }

    #[test]
    fn a_snapshot_reads_as_both_formats_want_it() {
        let text = expose(snapshot(), Format::Prometheus).unwrap();
        for line in [
            "# HELP punchgate_punches_stored_total Punches that became durable.",
            "# TYPE punchgate_punches_stored_total counter",
            "punchgate_punches_stored_total 41.0",
            "punchgate_disk_free_bytes 1000000000.0",
            "punchgate_terminal_up{terminal=\"front-door\"} 1.0",
            r#"punchgate_terminal_up{terminal="a\"b\\c\n"} 0.0"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("celsius") && !text.contains("EOF"), "{text}");
        let text = expose(snapshot(), Format::OpenMetrics).unwrap();
        assert!(text.contains("# TYPE punchgate_punches_stored counter\n") && text.ends_with("# EOF\n"), "{text}");
        assert!(text.contains("# UNIT punchgate_disk_free_bytes bytes\n"), "{text}");
    }

    #[test]
    fn a_scraper_gets_what_it_asks_for() {
        let accept =
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain";
        assert_eq!(Format::wanted(accept), Format::OpenMetrics);
        assert_eq!(Format::wanted("*/*"), Format::Prometheus);
        assert_eq!(Format::wanted(""), Format::Prometheus);
    }
}
