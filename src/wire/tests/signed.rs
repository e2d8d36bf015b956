//! The signed documents of the contract: an envelope each, with the schema of what is signed inside.

use serde_json::{Value, json};

use super::{Described, at, schema};
use crate::{
    audit::{Checkpoint, Entry},
    command::{Envelope, Order, PrivateKey, Purpose, Response, Role, Standing, TrustList},
};

/// JWS in its general JSON form, as docs/remote-support.md describes it.
fn envelope(name: &str, purpose: Purpose, payload: Value) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:punchgate:schema:{name}:1"),
        "title": format!("Envelope of a {name}"),
        "description": format!("JWS in the general JSON form, EdDSA; protected header: alg EdDSA, kid, typ {}.", purpose.typ()),
        "type": "object",
        "required": ["payload", "signatures"],
        "additionalProperties": false,
        "properties": {
            "payload": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_-]+$",
                "contentEncoding": "base64url",
                "contentMediaType": "application/json",
                "contentSchema": payload,
            },
            "signatures": {
                "type": "array",
                "minItems": 1,
                "maxItems": 3,
                "items": {
                    "type": "object",
                    "required": ["protected", "signature"],
                    "additionalProperties": false,
                    "properties": {
                        "protected": { "type": "string", "pattern": "^[A-Za-z0-9_-]+$" },
                        "signature": { "type": "string", "pattern": "^[A-Za-z0-9_-]{86}$" },
                    },
                },
            },
        },
    })
}

fn order_schema() -> Value {
    let id = json!({ "type": "string", "pattern": "^[a-z0-9-]{1,40}$" });
    let second = json!({ "type": "integer", "minimum": 0, "description": "Unix seconds" });
    json!({
        "title": "Order",
        "type": "object",
        "required": ["v", "id", "gateway", "tenant", "iat", "exp", "cmd", "args", "reason"],
        "additionalProperties": false,
        "properties": {
            "v": { "const": 1 },
            "id": {
                "type": "string",
                "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
                "description": "UUID of version 7, the same as in the topic",
            },
            "gateway": id, "tenant": id, "iat": second, "exp": second,
            "cmd": { "type": "string", "description": "As in docs/commands.md" },
            "args": { "type": "object", "description": "As schema/commands.json says of the command" },
            "terminal": id,
            "reason": { "type": "string", "maxLength": 400 },
            "chal": { "type": "string", "description": "A challenge of the gateway" },
        },
    })
}

fn trust_schema() -> Value {
    let id = json!({ "type": "string", "pattern": "^[a-z0-9-]{1,40}$" });
    let ids = json!({ "type": "array", "items": id });
    let second = json!({ "type": "integer", "minimum": 0, "description": "Unix seconds" });
    json!({
        "title": "TrustList",
        "type": "object",
        "required": ["v", "tenant", "version", "prev", "issued", "expires", "operators", "unlock"],
        "additionalProperties": false,
        "properties": {
            "v": { "const": 1 },
            "tenant": id,
            "version": { "type": "integer", "minimum": 1 },
            "prev": { "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the list before; zeros for the first" },
            "issued": second, "expires": second,
            "operators": { "type": "array", "items": {
                "type": "object",
                "required": ["name", "person", "public_key", "role", "not_after"],
                "additionalProperties": false,
                "properties": {
                    "name": id,
                    "person": { "type": "string" },
                    "public_key": { "type": "string", "pattern": "^ed25519:[A-Za-z0-9_-]{43}$" },
                    "role": { "enum": Role::NAMES.map(|(name, _)| name) },
                    "not_after": second, "terminals": ids, "gateways": ids,
                },
            }},
            "unlock": { "type": "array", "items": { "type": "string" } },
        },
    })
}

pub(super) fn order() -> Order {
    Order {
        id: "01938d3c-5d0e-7aaa-8bbb-1234567890ab".into(),
        gateway: "sz-03".into(),
        tenant: "acme".into(),
        iat: 1_763_600_000,
        exp: 1_763_600_060,
        command: "reconcile".into(),
        args: Default::default(),
        terminal: Some("front-door".into()),
        reason: "TICKET-12".into(),
        challenge: None,
    }
}

fn response() -> Value {
    json!(Response {
        v: 1,
        id: order().id,
        gateway: "sz-03".into(),
        tenant: "acme".into(),
        request: "0".repeat(64),
        at: at("2026-11-20T01:02:03Z"),
        standing: Standing::Successful,
        progress: None,
        result: Some(json!({ "new": 2 })),
        error: None,
    })
}

fn checkpoint() -> Value {
    let hash = "0f1a1887e7ac8dde788cf703e8e881f1a9df5224ca150d8534d3cadf979c0414";
    let (at, data) = (at("2026-11-20T01:02:03Z"), json!({ "version": "0.1.0" }));
    let entry = Entry { n: 1, at, kind: "started".into(), data, prev: "0".repeat(64), hash: hash.into() };
    json!(Checkpoint {
        v: 1,
        gateway: "sz-03".into(),
        tenant: "acme".into(),
        at,
        first: 1,
        last: 1,
        prev: "0".repeat(64),
        head: hash.into(),
        entries: vec![entry],
    })
}

fn trust_list() -> Value {
    let (tenant, prev) = ("acme".to_owned(), TrustList::FIRST.to_owned());
    let (issued, expires) = (1_763_600_000, 1_771_376_000);
    TrustList { tenant, version: 1, prev, issued, expires, operators: vec![], unlock: Default::default() }.payload()
}

pub(super) fn documents() -> Vec<Described> {
    // Any key will do: of what is published, golden files hold the payload alone.
    let key = PrivateKey::generate();
    let document = |name, topic, summary, purpose: Purpose, (schema, payload): (Value, Value)| Described {
        name,
        topic,
        summary,
        retain: name == "trust",
        receives: matches!(name, "request" | "trust"),
        schema: envelope(name, purpose, schema),
        example: Envelope::sign(&payload, purpose, &key).bytes(),
        signed: Some(payload),
    };
    let order = (order_schema(), order().payload());
    vec![
        document(
            "request",
            "request/{id}",
            "A signed order of support; never retained.",
            Purpose::Command,
            order.clone(),
        ),
        document(
            "approval",
            "approval/{id}",
            "An order that waits for its second signature: between people, gateways do not listen there.",
            Purpose::Command,
            order,
        ),
        document(
            "response",
            "response/{id}",
            "How far an order is and what came of it, signed by the gateway.",
            Purpose::Response,
            (schema::<Response>(), response()),
        ),
        document(
            "audit",
            "audit",
            "The newest lines of the audit log, signed by the gateway.",
            Purpose::Audit,
            (schema::<Checkpoint>(), checkpoint()),
        ),
        document(
            "trust",
            "trust",
            "Who may order what at a whole fleet, signed by its roots.",
            Purpose::Trust,
            (trust_schema(), trust_list()),
        ),
    ]
}
