//! The contract with the other side: schemas, AsyncAPI, golden files. `UPDATE_DOCS=1` rewrites them.

use std::{fs, path::PathBuf, process::Command, sync::Arc};

use driver_api::{Clock, ClockSource, Delivery, Direction, Flag, Mark, Origin, Raw, Verify};
use jiff::Timestamp;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    birth, health,
    punches::{PunchEvent, punch_event},
    *,
};
use crate::ledger::{
    Entry, Segment,
    tests::{entry, ledger},
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A segment in which every field is used.
fn segment() -> Segment {
    let ledger = ledger("front-door");
    let mut entries: Vec<Entry> = Vec::new();
    let mut head = ledger.origin();
    for (seq, person) in (1..).zip(["1024", "007", "卡\u{1}\"\\/€😀"]) {
        let mut punch = entry(head, seq, person);
        match seq {
            1 => punch.clock = Clock { skew_ms: Some(-840), err_ms: Some(120), how: ClockSource::Probed },
            2 => {
                punch.direction = Mark { value: Direction::Unknown, raw: None };
                punch.verify = Mark { value: Verify::Card, raw: Some(Raw::Text("RF\n".into())) };
                punch.work_code = Some("12".into());
                punch.native = Some("80".into());
            }
            _ => {
                punch.origin = Origin::Reread;
                punch.flags = vec![Flag::ClockUnset, Flag::DuplicateSecond];
            }
        }
        head = punch.head();
        entries.push(punch);
    }
    Segment { ledger: Arc::new(ledger), entries }
}

fn birth() -> Birth {
    let segment = segment();
    Birth {
        version: "0.1.0".into(),
        epoch: 12,
        drivers: vec![birth::Driver { name: "zk".into(), delivery: Delivery::Logged }],
        terminals: vec![birth::Terminal {
            name: "front-door".into(),
            driver: "zk".into(),
            operations: vec!["info".into(), "reconcile".into()],
        }],
        ledgers: vec![birth::LedgerHead {
            terminal: "front-door".into(),
            serial: segment.ledger.serial.clone(),
            ledger: segment.ledger.begun,
            last: segment.last(),
            head: segment.entries[2].head(),
            lost: vec![],
        }],
        key_ids: vec![],
        gateway_key: "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into(),
        commands: vec!["challenge".into(), "health".into()],
    }
}

fn condition() -> health::Condition {
    let kind = crate::health::Code::TerminalOffline.kind();
    let words = |en: &str, zh: &str| health::Words { en: en.into(), zh: zh.into() };
    health::Condition {
        code: kind.code.into(),
        subject: Some("front-door".into()),
        severity: health::Severity::Medium,
        since: at("2026-11-20T01:00:00Z"),
        title: words(kind.title.en, kind.title.zh),
        cause: "cannot reach 192.0.2.10:4370".into(),
        text: words(kind.text.en, kind.text.zh),
        mend: words(kind.mend.en, kind.mend.zh),
    }
}

fn gateway_health() -> health::GatewayHealth {
    health::GatewayHealth {
        at: at("2026-11-20T01:02:03Z"),
        version: "0.1.0".into(),
        uptime_s: 3600,
        boots: Some(12),
        terminals: 2,
        terminals_online: 1,
        queue: health::Queue { undelivered: 41, oldest: Some(at("2026-11-20T00:58:31Z")), ..Default::default() },
        store: health::Store { commit_p50_ms: Some(0.4), commit_p99_ms: Some(8.5), free_bytes: Some(1 << 30) },
        link: health::Link {
            state: "up".into(),
            since: at("2026-11-20T00:00:00Z"),
            broker: Some("broker.example:8883".into()),
            round_trip_ms: Some(1.5),
            certificate_days: Some(89),
            broker_certificate_days: Some(30),
            in_flight: 1,
            published: 10,
            acked: 9,
            refused: 0,
            reconnects: 1,
        },
        process: health::Process::default(),
        host: health::Host {
            load: Some(0.25),
            clock_trusted: true,
            clock_floor: Some("2026-11-20T00:58:31Z".parse().unwrap()),
            ..Default::default()
        },
        conditions: vec![condition()],
        conditions_left_out: 0,
    }
}

fn terminal_health() -> health::TerminalHealth {
    health::TerminalHealth {
        at: at("2026-11-20T01:02:03Z"),
        terminal: "front-door".into(),
        driver: "zk".into(),
        delivery: Delivery::Logged,
        state: health::TerminalStanding::Offline,
        since: at("2026-11-20T01:00:00Z"),
        last_seen: Some(at("2026-11-20T00:59:59Z")),
        last_punch: None,
        serial: Some("CEXA204060001".into()),
        model: None,
        firmware: Some("Ver 6.60".into()),
        platform: None,
        clock: Clock::UNKNOWN,
        records: Some(41),
        capacity: Some(100_000),
        users: Some(12),
        round_trip_ms: Some(3),
        failed_reads: 1,
        twins_dropped: Some(4),
        quarantined: Some(0),
        gaps_open: 0,
        passages: None,
        biometrics_dropped: None,
        conditions: vec![condition()],
        conditions_left_out: 0,
    }
}

fn incident_report() -> incident::IncidentReport {
    let kind = crate::health::Code::TerminalOffline.kind();
    let words = |words: crate::health::Words| health::Words { en: words.en.into(), zh: words.zh.into() };
    incident::IncidentReport {
        at: at("2026-11-20T01:02:03Z"),
        code: kind.code.into(),
        severity: kind.severity.name().into(),
        title: words(kind.title),
        text: words(kind.text),
        mend: words(kind.mend),
        open: vec![crate::incident::Incident {
            number: 17,
            code: kind.code.into(),
            subject: Some("front-door".into()),
            severity: kind.severity.name().into(),
            cause: "cannot reach 192.0.2.10:4370".into(),
            first_seen: at("2026-11-20T01:00:00Z"),
            opened: at("2026-11-20T01:00:20Z"),
            notified: Some(at("2026-11-20T01:00:21Z")),
            acknowledged: Some(crate::incident::Acknowledged {
                at: at("2026-11-20T01:01:00Z"),
                by: "li-wei".into(),
                how: "command".into(),
            }),
            escalated: None,
            breached: None,
            resolved: None,
            target_s: 86_400,
            open_s: 103,
            reopened: 0,
        }],
        open_left_out: 0,
    }
}

fn state() -> StateMessage {
    StateMessage {
        state: GatewayState::Online,
        epoch: 1_763_600_000_000,
        since: Some(at("2026-11-20T00:00:00Z")),
        reason: None,
    }
}

/// A document of the contract.
struct Described {
    name: &'static str,
    topic: &'static str,
    summary: &'static str,
    retain: bool,
    /// The gateway listens to it; of the others it is the one who speaks.
    receives: bool,
    schema: Value,
    example: Vec<u8>,
    /// What is signed in it.
    signed: Option<Value>,
}

fn documents() -> Vec<Described> {
    let segment = segment();
    let document = |name, topic, summary, schema, example| {
        let retain = name != "punches";
        let schema = with_id(name, schema);
        Described { name, topic, summary, retain, receives: false, schema, example, signed: None }
    };
    let standing = "How the gateway stands; its last will says `lost`.";
    let punches = punch_event(&segment.ledger, &segment.entries);
    let punch_schema = schema::<PunchEvent<'_>>();
    let (health, terminal) = (gateway_health().document(), terminal_health().document());
    vec![
        document("state", "state", standing, schema::<StateMessage>(), json(&state())),
        document("birth", "birth", "Who the gateway is and what it can do.", schema::<Birth>(), json(&birth())),
        document("punches", "punch/{terminal}", "Punches of one terminal, as a CloudEvent.", punch_schema, punches),
        document("health", "health", "The gateway's health.", schema::<health::GatewayHealth>(), health),
        document(
            "terminal-health",
            "health/{terminal}",
            "The health of one terminal.",
            schema::<health::TerminalHealth>(),
            terminal,
        ),
        document(
            "incident",
            "incident/{code}",
            "Open incidents of one kind; empty when none is open any more.",
            schema::<incident::IncidentReport>(),
            incident_report().document(),
        ),
    ]
    .into_iter()
    .chain(signed::documents())
    .collect()
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The name by which `dataschema` of an event calls it.
fn with_id(name: &str, mut schema: Value) -> Value {
    schema["$id"] = format!("urn:punchgate:schema:{name}:1").into();
    schema
}

fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Holds a file to what the code makes.
fn hold(path: &str, made: &impl Serialize) {
    let made = format!("{}\n", serde_json::to_string_pretty(made).unwrap());
    let path = root(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, made).unwrap();
    } else {
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == made, "{} differs from the code; UPDATE_DOCS=1 cargo test wire rewrites it", path.display());
    }
}

mod signed;

#[test]
fn the_schemas_in_docs_are_those_of_the_code() {
    for Described { name, schema, .. } in documents() {
        hold(&format!("docs/schema/{name}.json"), &schema);
    }
}

#[test]
fn the_asyncapi_document_is_that_of_the_code() {
    let mut channels = serde_json::Map::new();
    let mut operations = serde_json::Map::new();
    for Described { name, topic, summary, retain, receives, .. } in documents() {
        let parameter = |what: &str| json!({ "description": format!("{what}: [a-z0-9-]{{1,40}}") });
        let mut parameters = json!({ "tenant": parameter("gateway.tenant"), "gateway": parameter("gateway.id") });
        if topic.contains("{terminal}") {
            parameters["terminal"] = parameter("terminal.name");
        }
        if topic.contains("{id}") {
            parameters["id"] = json!({ "description": "id of the order: a UUID of version 7" });
        }
        if topic.contains("{code}") {
            parameters["code"] = parameter("code of the condition");
        }
        channels.insert(
            name.into(),
            json!({
                "address": format!("punchgate/1/{{tenant}}/{{gateway}}/{topic}"),
                "description": summary,
                "parameters": parameters,
                "messages": { name: {
                    "contentType": "application/json",
                    "payload": {
                        "schemaFormat": "application/schema+json;version=draft-2020-12",
                        "schema": { "$ref": format!("schema/{name}.json") },
                    },
                }},
            }),
        );
        operations.insert(
            format!("{}-{name}", if receives { "take" } else { "publish" }),
            json!({
                "action": if receives { "receive" } else { "send" },
                "channel": { "$ref": format!("#/channels/{name}") },
                "summary": summary,
                "bindings": { "mqtt": { "qos": 1, "retain": retain, "bindingVersion": "0.2.0" } },
            }),
        );
    }
    let document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Punchgate",
            "version": "1",
            "description": "What a gateway publishes and takes. Order of punches is `seq`, never arrival; a message may come more \
                than once, with the same id.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    });
    hold("docs/asyncapi.json", &document);
}

/// Whoever read version 1 once reads it for ever: golden files are begun by `UPDATE_DOCS=1` and never rewritten.
#[test]
fn documents_are_what_they_were_in_version_1() {
    for Described { name, example, signed, .. } in documents() {
        // Signatures are others each time; what is signed is not.
        let made: Value = signed.unwrap_or_else(|| serde_json::from_slice(&example).unwrap());
        let path = format!("tests/golden/1/{name}.json");
        match fs::read_to_string(root(&path)) {
            Ok(kept) => added_only(&path, &serde_json::from_str(&kept).unwrap(), &made),
            Err(_) => hold(&path, &made),
        }
    }
}

/// Within a version, fields are added and nothing else.
fn added_only(place: &str, kept: &Value, made: &Value) {
    match (kept, made) {
        (Value::Object(kept), Value::Object(made)) => {
            for (key, kept) in kept {
                let place = format!("{place}: {key}");
                added_only(&place, kept, made.get(key).unwrap_or_else(|| panic!("{place} is gone")));
            }
        }
        (Value::Array(kept), Value::Array(made)) => {
            assert_eq!(kept.len(), made.len(), "{place}");
            for (kept, made) in kept.iter().zip(made) {
                added_only(place, kept, made);
            }
        }
        _ => assert_eq!(kept, made, "{place}"),
    }
}

#[test]
fn the_example_of_the_design_has_the_same_form() {
    let segment = segment();
    let event: Value = serde_json::from_slice(&punch_event(&segment.ledger, &segment.entries[..1])).unwrap();
    assert_eq!(event["id"], "front-door/1763600000/1-1");
    assert_eq!(event["source"], "urn:punchgate:acme:sz-03");
    assert_eq!(event["sequence"], "00000000000000000001");
    assert_eq!(event["time"], "2026-11-20T00:58:31Z");
    let schema = documents().into_iter().find(|document| document.name == "punches").unwrap().schema;
    assert_eq!(event["dataschema"], schema["$id"]);
    let punch = &event["data"]["punches"][0];
    assert_eq!(punch["local"], "2026-11-20T08:58:31");
    assert_eq!(punch["clock"], json!({ "skew_ms": -840, "err_ms": 120, "how": "probed" }));
    assert_eq!(punch["direction"], json!({ "value": "in", "raw": 0 }));
    assert_eq!(punch["work_code"], Value::Null);
}

#[test]
fn topics_have_one_prefix() {
    let topics = Topics::new("acme", "sz-03").unwrap();
    assert_eq!(topics.of(&suffix::punch("front-door")), "punchgate/1/acme/sz-03/punch/front-door");
    assert_eq!(topics.suffix("punchgate/1/acme/sz-03/state"), Some("state"));
    assert_eq!(topics.suffix("punchgate/1/acme/sz-04/state"), None);
}

#[test]
fn a_name_that_would_change_a_topic_makes_none() {
    let longest = "a".repeat(40);
    for name in ["a", "sz-03", "0", &longest] {
        assert!(Topics::new(name, name).is_ok(), "{name}");
    }
    let too_long = "a".repeat(41);
    for name in ["", "SZ", "a/b", "+", "#", "a b", "é", "a\0", "a_b", &too_long] {
        assert_eq!(Topics::new("acme", name), Err(NotAnId(name.into())));
        assert_eq!(Topics::new(name, "sz-03"), Err(NotAnId(name.into())));
    }
}

#[test]
fn a_document_is_small_whatever_terminals_say_and_however_much_is_wrong() {
    let mut gateway = gateway_health();
    let mut all = vec![condition(); 60];
    all[0].cause = "é".repeat(5_000);
    gateway.conditions = all.clone();
    let payload = gateway.document();
    assert!(payload.len() <= DOCUMENT_LIMIT);
    let seen: Value = serde_json::from_slice(&payload).unwrap();
    let (shown, left_out) = (seen["conditions"].as_array().unwrap(), seen["conditions_left_out"].as_u64().unwrap());
    assert_eq!((shown.len() as u64 + left_out, shown.len() > 2), (60, true));
    assert!(shown[0]["cause"].as_str().unwrap().ends_with("é…"), "the first is the worst, and stays");

    let mut terminal = terminal_health();
    let long = || Some("\u{1}\"".repeat(50_000));
    (terminal.serial, terminal.model, terminal.firmware, terminal.platform) = (long(), long(), long(), long());
    terminal.conditions = all;
    assert!(terminal.document().len() <= DOCUMENT_LIMIT);

    let mut report = incident_report();
    report.open[0].cause = "\u{1}".repeat(5_000);
    report.open = vec![report.open[0].clone(); 200];
    let payload = report.document();
    assert!(payload.len() <= DOCUMENT_LIMIT);
    let seen: Value = serde_json::from_slice(&payload).unwrap();
    let (shown, left_out) = (seen["open"].as_array().unwrap().len() as u64, seen["open_left_out"].as_u64().unwrap());
    assert_eq!((shown + left_out, shown > 0), (200, true));
}

/// Whoever checks messages by the schemas in docs finds the gateway's own to be right, and bent ones wrong.
#[test]
fn the_examples_are_what_their_schemas_say() {
    for Described { name, schema, example, signed, .. } in documents() {
        let validator = jsonschema::validator_for(&schema).unwrap();
        let example: Value = serde_json::from_slice(&example).unwrap();
        assert!(validator.is_valid(&example), "{name}: {:?}", validator.iter_errors(&example).collect::<Vec<_>>());
        let mut bent = example.clone();
        let first = bent.as_object().unwrap().keys().next().unwrap().clone();
        bent[first] = json!({ "bent": [true] });
        assert!(!validator.is_valid(&bent), "{name}");
        let Some(payload) = signed else { continue };
        let inner = jsonschema::validator_for(&schema["properties"]["payload"]["contentSchema"]).unwrap();
        assert!(inner.is_valid(&payload), "{name}: {:?}", inner.iter_errors(&payload).collect::<Vec<_>>());
        let mut bent = payload;
        bent["sudo"] = json!(true);
        assert!(!inner.is_valid(&bent), "{name} takes what it does not know");
    }
}

#[test]
fn the_documents_of_the_contract_keep_to_their_limit() {
    for Described { name, example, .. } in documents() {
        assert!(name == "punches" || example.len() <= DOCUMENT_LIMIT, "{name}: {} bytes", example.len());
    }
}

#[test]
fn anybody_can_recompute_the_chain_from_the_messages_alone() {
    let segment = segment();
    let (one, rest) = segment.entries.split_at(1);
    let folder = tempfile::tempdir().unwrap();
    let check = |messages: &[Vec<u8>]| {
        let file = folder.path().join("messages.jsonl");
        fs::write(&file, messages.join(&b'\n')).unwrap();
        let lines = fs::File::open(&file).unwrap();
        let script = root("tests/peers/chain.py");
        let Ok(done) = Command::new("python3").arg(script).stdin(lines).output() else { return None };
        Some((done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned()))
    };
    let sent = [punch_event(&segment.ledger, rest), punch_event(&segment.ledger, one)];
    let Some((well, said)) = check(&sent) else {
        return report_skipped("python3 is not here");
    };
    assert!(well, "{said}");
    assert!(said.contains("3 punches"), "{said}");

    let forged = String::from_utf8(sent[0].clone()).unwrap().replace("\"007\"", "\"7\"").into_bytes();
    assert!(!check(&[forged, sent[1].clone()]).unwrap().0, "a changed person was not noticed");
    assert!(!check(&sent[..1]).unwrap().0, "a missing beginning was not noticed");
}

#[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
fn report_skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
