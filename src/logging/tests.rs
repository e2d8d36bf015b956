//! What reaches the journal, with a double in its place.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use log::{Record, kv};
use tracing::{debug, error, info, info_span, warn};
use tracing_subscriber::{Registry, layer::SubscriberExt};

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Sent {
    level: log::Level,
    target: String,
    message: String,
    fields: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Double {
    sent: Arc<Mutex<Vec<Sent>>>,
    broken: Arc<AtomicBool>,
}

impl Sink for Double {
    fn send(&self, record: &Record<'_>) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut visitor = Gather(BTreeMap::new());
        record.key_values().visit(&mut visitor).unwrap();
        self.sent.lock().unwrap().push(Sent {
            level: record.level(),
            target: record.target().to_owned(),
            message: record.args().to_string(),
            fields: visitor.0,
        });
        Ok(())
    }
}

struct Gather(BTreeMap<String, String>);

impl<'kvs> kv::VisitSource<'kvs> for Gather {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let former = self.0.insert(key.as_str().to_owned(), value.to_string());
        assert_eq!(former, None, "journald would show only one of two equal fields");
        Ok(())
    }
}

impl Double {
    fn hear(&self, directives: &str, speak: impl FnOnce()) -> Vec<Sent> {
        let journal = Journal::new(self.clone()).with_filter(filter(directives).unwrap());
        tracing::subscriber::with_default(Registry::default().with(journal), speak);
        self.sent.lock().unwrap().clone()
    }
}

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn an_event_carries_its_fields_and_those_of_its_spans() {
    let sent = Double::default().hear("info", || {
        let outer = info_span!("line", driver = "zk", terminal = "front-door", peer = tracing::field::Empty);
        outer.record("peer", "192.0.2.10:4370");
        let _outer = outer.entered();
        let _inner = info_span!("read", terminal = "canteen").entered();
        warn!(count = 3, whole = false, cause = ?Some("x"), "log was read");
    });
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].level, sent[0].message.as_str()), (log::Level::Warn, "log was read"));
    assert_eq!(
        sent[0].fields,
        fields(&[
            ("PUNCHGATE_driver", "zk"),
            ("PUNCHGATE_terminal", "canteen"),
            ("PUNCHGATE_peer", "192.0.2.10:4370"),
            ("PUNCHGATE_count", "3"),
            ("PUNCHGATE_whole", "false"),
            ("PUNCHGATE_cause", "Some(\"x\")"),
        ])
    );
}

#[test]
fn an_error_is_logged_with_its_sources() {
    let error = driver_api::DriverError::Unreachable {
        peer: "192.0.2.10:4370".into(),
        source: io::Error::other("no route to host"),
    };
    let sent = Double::default().hear("info", || error!(error = &error as &dyn std::error::Error, "line ended"));
    assert_eq!(sent[0].fields["PUNCHGATE_error"], "cannot reach 192.0.2.10:4370: no route to host");
}

#[test]
fn lines_of_the_log_crate_go_the_same_way_with_their_own_target() {
    let sent = Double::default().hear("info", || {
        let line =
            Record::builder().level(log::Level::Warn).target("rumqttc::eventloop").args(format_args!("oh")).build();
        tracing_log::format_trace(&line).unwrap();
    });
    assert_eq!(
        sent,
        [Sent {
            level: log::Level::Warn,
            target: "rumqttc::eventloop".into(),
            message: "oh".into(),
            fields: fields(&[])
        }]
    );
}

#[test]
fn what_the_journal_did_not_take_is_counted() {
    let double = Double::default();
    let sent = double.hear("info", || {
        double.broken.store(true, Ordering::Relaxed);
        info!("one");
        info!("two");
        double.broken.store(false, Ordering::Relaxed);
        info!("three");
        info!("four");
    });
    assert_eq!(sent[0].fields, fields(&[("PUNCHGATE_LOG_LOST", "2")]));
    assert_eq!(sent[1].fields, fields(&[]));
}

#[test]
fn debug_is_ours_alone_for_libraries_print_what_they_carry() {
    let sent = Double::default().hear("debug", || {
        debug!(target: "punchgate::courier", "ours");
        debug!(target: "driver_zk::session", "our driver's");
        debug!(target: "rumqttc::v5", "publish of person 7");
        warn!(target: "rumqttc::v5", "a library's warning");
    });
    let targets: Vec<_> = sent.iter().map(|sent| sent.target.as_str()).collect();
    assert_eq!(targets, ["punchgate::courier", "driver_zk::session", "rumqttc::v5"]);
}

#[test]
fn a_level_that_is_none_is_told() {
    assert!(filter("loud").unwrap_err().to_string().starts_with("\"loud\" is no log level"));
    for level in ["off", "ERROR", "trace", "punchgate=debug,rumqttc=info"] {
        filter(level).unwrap();
    }
}
