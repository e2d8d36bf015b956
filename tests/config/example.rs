//! `config.example.toml`, held to the code in both directions.

use std::{collections::BTreeSet, fs, path::Path};

use driver_api::Kind;
use punchgate::{
    config::{self, Config, Rejected},
    drivers::DRIVERS,
};

use super::site::{Site, kind, plan_dial};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The drivers of the example; as long as there is none, one that dials stands in for `zk`.
fn drivers() -> &'static [Kind] {
    static STAND_IN: &[Kind] = &[kind("zk", plan_dial)];
    if DRIVERS.is_empty() { STAND_IN } else { DRIVERS }
}

/// Whether a line is a key that is shown and not set.
fn is_folded(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The example with every `#key = value` set.
fn unfolded() -> String {
    EXAMPLE.lines().map(|line| if is_folded(line) { &line[1..] } else { line }.to_owned() + "\n").collect()
}

/// Loads an example after making the files that it names.
fn load(text: &str) -> Result<Config, Rejected> {
    let site = Site::new();
    let mut text = text.to_owned();
    for (key, value) in files_of(&text.parse().unwrap()) {
        // The key of a secure channel has its form; other secrets are any words.
        let secret = if value.ends_with("gate-1.key") { "00112233445566778899aabbccddeeff\n" } else { "1234\n" };
        let path = site.write(Path::new(&value).file_name().unwrap().to_str().unwrap(), secret);
        match key.as_str() {
            "ca_file" => site.pair("ca", 2099),
            "cert_file" | "key_file" => site.pair("gateway", 2099),
            "tls_cert_file" | "tls_key_file" => site.pair("push", 2099),
            _ => {}
        }
        text = text.replace(&format!("\"{value}\""), &format!("{path:?}"));
    }
    config::load(&site.write("config.toml", &text), drivers())
}

/// Every `*_file` key with its value.
fn files_of(table: &toml::Table) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => files.extend(files_of(inner)),
            toml::Value::Array(list) => {
                files.extend(list.iter().filter_map(toml::Value::as_table).flat_map(files_of));
            }
            toml::Value::String(text) if key.ends_with("_file") => files.push((key.clone(), text.clone())),
            _ => {}
        }
    }
    files
}

/// Keys as they are named for all terminals of a driver: `zk terminal address`.
fn keys_of(example: &toml::Table) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (section, value) in example {
        match (section.as_str(), value) {
            ("terminal", toml::Value::Array(blocks)) => {
                for block in blocks {
                    let driver = block["driver"].as_str().unwrap();
                    keys.extend(block.as_table().unwrap().keys().map(|key| format!("{driver} terminal {key}")));
                }
            }
            ("operator", toml::Value::Array(blocks)) => {
                let own = blocks.iter().flat_map(|block| block.as_table().unwrap().keys());
                keys.extend(own.map(|key| format!("operator {key}")));
            }
            ("driver", toml::Value::Table(sections)) => {
                for (driver, section) in sections {
                    keys.extend(section.as_table().unwrap().keys().map(|key| format!("driver.{driver}.{key}")));
                }
            }
            (_, toml::Value::Table(inner)) => keys.extend(inner.keys().map(|key| format!("{section}.{key}"))),
            other => panic!("{other:?}"),
        }
    }
    keys
}

#[test]
fn the_example_is_a_good_config_as_it_stands_and_with_every_key() {
    for text in [EXAMPLE.to_owned(), unfolded()] {
        match load(&text) {
            Ok(config) => assert_eq!(config.warnings, []),
            Err(rejected) => panic!("{rejected}"),
        }
    }
}

#[test]
fn the_example_has_every_key_that_the_code_knows_and_no_other() {
    let config = load(&unfolded()).unwrap_or_else(|rejected| panic!("{rejected}"));
    let of_terminals = |key: &str| {
        config.terminals.iter().find_map(|terminal| {
            let own = key.strip_prefix(&format!("terminal {:?} ", terminal.name))?;
            Some(format!("{} terminal {own}", terminal.driver))
        })
    };
    let of_operators = |key: &str| {
        let mut names = config.policy.operators.iter().map(|operator| format!("operator {:?} ", operator.name));
        names.find_map(|prefix| Some(format!("operator {}", key.strip_prefix(&prefix)?)))
    };
    let known: BTreeSet<String> = config
        .keys
        .iter()
        .filter(|key| key.contains(['.', ' '])) // the others are the sections themselves
        .map(|key| of_terminals(key).or_else(|| of_operators(key)).unwrap_or_else(|| key.clone()))
        .collect();
    assert!(known.contains("mqtt.url") && known.len() > 20, "{known:?}");
    let written = keys_of(&unfolded().parse().unwrap());

    // Every terminal may have its own zone: it need not be shown at each.
    let shown_once = |key: &&&String| key.ends_with(" terminal zone");
    assert!(written.iter().any(|key| shown_once(&&key)));
    let missing: Vec<_> = known.difference(&written).filter(|key| !shown_once(&key)).collect();
    assert!(missing.is_empty(), "not in config.example.toml: {missing:?}");
    let unknown: Vec<_> = written.difference(&known).collect();
    assert!(unknown.is_empty(), "in config.example.toml, but the code does not look for it: {unknown:?}");
}

#[test]
fn every_key_of_the_example_has_a_sentence_above_it() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for pair in lines.windows(2) {
        let is_key = is_folded(pair[1]) || pair[1].starts_with(|c: char| c.is_ascii_lowercase());
        if is_key {
            let sentence = pair[0].strip_prefix("# ").is_some_and(|words| words.len() > 10);
            assert!(sentence, "{} has no sentence above it", pair[1]);
        }
    }
}

#[test]
fn the_example_holds_each_drivers_sample_word_for_word() {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers");
    for folder in fs::read_dir(drivers).unwrap() {
        let sample = folder.unwrap().path().join("sample.toml");
        if let Ok(text) = fs::read_to_string(&sample) {
            assert!(EXAMPLE.contains(text.trim()), "{} does not stand in config.example.toml", sample.display());
        }
    }
}
