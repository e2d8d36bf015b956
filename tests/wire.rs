//! The contract, listened to: a gateway at work with everything that it says, and not a message outside of AsyncAPI and schemas.

#[path = "remote/office.rs"]
#[allow(dead_code, reason = "shared with the tests of remote support")]
mod office;
mod support;

use std::{collections::BTreeMap, fs};

use data_encoding::BASE64URL_NOPAD;
use jsonschema::Validator;
use office::{Office, order, run};
use punchgate::command::{Envelope, PrivateKey, Purpose, TrustList};
use rustix::process::Signal;
use serde_json::Value;
use support::soon;

struct Channel {
    /// Behind the prefix, as in `punch/{terminal}`.
    pattern: String,
    outer: Validator,
    /// Of what is signed inside.
    inner: Option<Validator>,
    seen: usize,
}

fn read(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn channels() -> BTreeMap<String, Channel> {
    let document = read("docs/asyncapi.json");
    let one = |(name, channel): (&String, &Value)| {
        let address = channel["address"].as_str().unwrap();
        let pattern = address.strip_prefix("punchgate/1/{tenant}/{gateway}/").unwrap().to_owned();
        let file = channel["messages"][name]["payload"]["schema"]["$ref"].as_str().unwrap();
        let schema = read(&format!("docs/{file}"));
        let inner = schema.pointer("/properties/payload/contentSchema");
        let inner = inner.map(|schema| jsonschema::validator_for(schema).unwrap());
        (name.clone(), Channel { pattern, outer: jsonschema::validator_for(&schema).unwrap(), inner, seen: 0 })
    };
    document["channels"].as_object().unwrap().iter().map(one).collect()
}

fn fits(pattern: &str, suffix: &str) -> bool {
    let (pattern, suffix): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), suffix.split('/').collect());
    let level = |(wanted, level): (&&str, &&str)| wanted == level || wanted.starts_with('{');
    pattern.len() == suffix.len() && pattern.iter().zip(&suffix).all(level)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_said_is_in_the_contract() {
    let Some(mut office) = Office::open().await else { return };
    // Punches, orders that are done, refused and approved, and so many that the audit log is told of.
    office.simulator.punch("1024");
    office.daemon.until(&["terminals"], "it is here", |lines| lines[0]["punches"] == 1).await;
    for command in ["health", "terminals", "conditions", "logs", "punches", "doctor", "config.show"] {
        office.successful("wang", &["sz-03", command]).await;
    }
    office.successful("wang", &["sz-03", "reconcile", "front-door", "--reason", "x"]).await;
    office.remote("wang", &["sz-03", "terminal.restart", "front-door", "--reason", "x"]).await;
    let second = tokio::spawn(run(office.command("wang", &["approve", "sz-03", "--yes"])));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    office.successful("li", &["sz-03", "terminal.unlock", "front-door", "--reason", "x", "--yes"]).await;
    soon("the second one hears of it", second).await.unwrap();
    let root = PrivateKey::generate();
    let (tenant, prev) = ("acme".to_owned(), TrustList::FIRST.to_owned());
    let list = TrustList {
        tenant,
        version: 1,
        prev,
        issued: 1,
        expires: 1 << 39,
        operators: vec![],
        unlock: Default::default(),
    };
    office.publish("trust", &list.sign(&root).bytes(), true).await;
    // A hundred entries, and the newest are sent away. Younger orders than the start would need a challenge.
    // Something goes wrong, and has a clock from then on.
    fs::write(office.daemon.config(), fs::read_to_string(office.daemon.config()).unwrap() + "[nonsense]\n").unwrap();
    office.daemon.signal(Signal::HUP);
    office.watcher.until_document("incident/config-rejected", |it| it.is_object()).await;
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let (key, mut connection) = (office.key("wang"), office.connect(&[]).await);
    for ticket in 1..=60 {
        let order = order("health", None);
        let payload = Envelope::sign(&order.payload(), Purpose::Command, &key).bytes();
        let topic = format!("punchgate/1/acme/sz-03/request/{}", order.id);
        connection.publish(ticket, punchgate::mqtt::Message { topic, payload, retain: false }).unwrap();
        while !matches!(soon("it is taken", connection.event()).await.unwrap(), punchgate::mqtt::Event::Acked(_)) {}
        office.answer(&order.id, "successful").await;
    }
    office.watcher.until_document("audit", |it| it["payload"].is_string()).await;
    office.daemon.signal(Signal::TERM);
    office.daemon.ended().await;
    office.watcher.until_document("state", |it| it["state"] == "offline").await;

    let mut channels = channels();
    for (suffix, message) in office.watcher.all() {
        let found = channels.iter_mut().find(|(_, channel)| fits(&channel.pattern, &suffix));
        let (name, channel) =
            found.unwrap_or_else(|| panic!("a message outside of the contract on {suffix}: {message}"));
        let wrong: Vec<String> = channel.outer.iter_errors(&message).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{name} on {suffix}: {wrong:?}: {message}");
        if let Some(inner) = &channel.inner {
            let payload = BASE64URL_NOPAD.decode(message["payload"].as_str().unwrap().as_bytes()).unwrap();
            let payload: Value = serde_json::from_slice(&payload).unwrap();
            let wrong: Vec<String> = inner.iter_errors(&payload).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{name} on {suffix}: {wrong:?}: {payload}");
        }
        channel.seen += 1;
    }
    let silent: Vec<&String> = channels.iter().filter(|(_, channel)| channel.seen == 0).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "nothing was said on {silent:?}");
}
