//! `punchgate discover` as an installer runs it: the real program, simulated terminals of each protocol on loopback, and what it
//! shows is taken by `punchgate check` as it is.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
};

use driver_anviz::sim as anviz;
use driver_modbus::sim as modbus;
use driver_uhppote::sim as uhppote;
use driver_zk::sim as zk;
use driver_zk_push::sim as push;
use serde_json::Value;
use support::push::free_address;
use tokio::task::spawn_blocking;

/// Runs it to its end; the simulators live on other threads.
async fn discover(words: &[&str]) -> Output {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let run = move || Command::new(env!("CARGO_BIN_EXE_punchgate")).arg("discover").args(words).output().unwrap();
    spawn_blocking(run).await.unwrap()
}

/// What it found, by driver.
async fn found(words: &[&str]) -> BTreeMap<String, Vec<Value>> {
    let output = discover(&[words, &["--json", "--by-id", "/nowhere", "--config", "/nowhere"]].concat()).await;
    let (text, told) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{told}");
    let mut found = BTreeMap::<_, Vec<Value>>::new();
    for line in text.lines() {
        let one: Value = serde_json::from_str(line).unwrap();
        found.entry(one["driver"].as_str().unwrap().to_owned()).or_default().push(one);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_of_each_protocol_is_found_and_its_block_is_taken() {
    let clock = zk::Simulator::start(zk::Model { comm_key: 0, serial: "FOUND00001".into(), ..Default::default() }, 0)
        .await
        .unwrap();
    let workshop = anviz::Simulator::listen(vec![anviz::Model::default()], 0).await.unwrap();
    let device = modbus::Device::new(modbus::Product::Fifo);
    let turnstile = modbus::Simulator::tcp(modbus::Form::Tcp, 0, vec![(1, device)]).await.unwrap();
    let board = uhppote::Simulator::start(uhppote::Model::default(), 0).await.unwrap();
    let listen = free_address();
    let _pushes = push::PushTerminal::start(push::Model::new("FOUND00002", listen));
    clock.punch("1001");
    workshop.punch(0, 1002);
    board.swipe(1003);
    let modbus_port = turnstile.address().rsplit(':').next().unwrap().to_owned();
    let ports = [
        format!("zk={}", clock.address().port()),
        format!("anviz={}", workshop.address().unwrap().port()),
        format!("modbus={modbus_port}"),
        format!("uhppote={}", board.address().port()),
        format!("zk-push={}", listen.port()),
    ];
    let mut words = vec!["127.0.0.1/32", "--listen", "4s"];
    words.extend(ports.iter().flat_map(|port| ["--port", port]));
    let found = found(&words).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["anviz", "modbus", "uhppote", "zk", "zk-push"], "{found:#?}");
    assert!(found.values().all(|of_one| of_one.len() == 1), "each once: {found:#?}");
    let told = |driver: &str, key: &str| found[driver][0][key].as_str().unwrap().to_owned();
    assert_eq!(told("zk", "serial"), "FOUND00001");
    assert_eq!((told("anviz", "serial"), told("anviz", "model")), ("0250100912345678".into(), "T60".into()));
    assert_eq!((told("uhppote", "serial"), told("uhppote", "firmware")), ("405419896".into(), "8.92".into()));
    assert_eq!(told("zk-push", "serial"), "FOUND00002");
    assert!(told("zk", "note").contains("no comm key") && told("modbus", "note").contains("choose the map"));
    for (driver, one) in &found {
        assert!(one[0]["address"].as_str().unwrap().contains("127.0.0.1"), "{driver}");
    }

    // Gentle: nothing was taken, opened, or left open.
    assert_eq!(clock.connected(), 0);
    assert!(clock.journal().iter().all(|command| [1000, 1001, 11, 1100].contains(command)), "{:?}", clock.journal());
    assert_eq!((workshop.records(0), workshop.opened(0)), ((1, 0), 0));
    assert!(workshop.journal(0).iter().all(|(command, _)| [0x74, 0x24, 0x48, 0x30].contains(command)));
    assert!(turnstile.with(1, |device| device.writes.is_empty()));
    assert!(board.journal().iter().all(|function| *function == 0x94));

    // As it is, beside what every config has.
    let blocks: Vec<String> = found.values().map(|one| one[0]["block"].as_str().unwrap().to_owned()).collect();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, format!("{}\n{}", head(folder.path(), listen.port()), blocks.join("\n"))).unwrap();
    let checked =
        Command::new(env!("CARGO_BIN_EXE_punchgate")).args(["check", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(checked.status.success(), "{said}");

    // Who stands in the config is left alone, whatever it speaks.
    let before = (clock.journal().len(), board.journal().len());
    let config = config.to_str().unwrap();
    let mut words = vec!["127.0.0.1", "--config", config, "--by-id", "/nowhere"];
    words.extend(ports.iter().flat_map(|port| ["--port", port]));
    let again = discover(&words).await;
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("Nobody answered."), "{again:?}");
    assert_eq!(clock.journal().len(), before.0);
}

/// A config without terminals.
fn head(folder: &Path, push: u16) -> String {
    let password = folder.join("password");
    fs::write(&password, "secret\n").unwrap();
    format!(
        "[gateway]\nid = \"sz-03\"\ntenant = \"acme\"\nzone = \"Asia/Shanghai\"\nstate_dir = \"state\"\n\n\
         [mqtt]\nurl = \"mqtt://broker.example:1883\"\nallow_plaintext = true\n\n[driver.zk-push]\nlisten = \"127.0.0.1:{push}\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_wants_a_key_is_known_by_that_and_one_on_udp_is_found_too() {
    let clock = zk::Simulator::start(zk::Model { comm_key: 471_100, ..Default::default() }, 0).await.unwrap();
    let port = format!("zk={}", clock.address().port());
    let found = found(&["127.0.0.1", "--port", &port]).await;
    let one = &found["zk"][0];
    assert!(one["note"].as_str().unwrap().contains("asks for its comm key"), "{one}");
    assert!(one["block"].as_str().unwrap().contains("comm_key_file = \"/etc/punchgate/zk-1.key\""), "{one}");
    assert!(!clock.journal().contains(&1102), "no key was tried: {:?}", clock.journal());
    assert_eq!(clock.connected(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_something_else_is_nobodys_terminal() {
    // Somebody who says rubbish to whatever comes, at the port of each protocol.
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = door.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let mut kinds = BTreeSet::new();
        for rubbish in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xff; 300], &[0; 64]].iter().cycle() {
            let Ok((mut stream, _)) = door.accept().await else { return kinds };
            kinds.insert(rubbish.len());
            // It may have left.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, rubbish).await;
        }
        kinds
    });
    let ports = ["zk", "anviz", "modbus"].map(|driver| format!("{driver}={port}"));
    let mut words = vec!["127.0.0.1", "--wait", "400ms"];
    words.extend(ports.iter().flat_map(|port| ["--port", port]));
    for _ in 0..3 {
        let found = found(&words).await;
        assert!(found.is_empty(), "{found:#?}");
    }
    served.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_told_with_its_mend() {
    for (words, why, mend) in [
        (&["10.0.0.0/8"][..], "too large", ""),
        (&["door.lan"], "no network of IPv4", "192.0.2.0/24"),
        (&["127.0.0.1", "--port", "zk"], "a driver and its port", "zk=14370"),
        (&["127.0.0.1", "--port", "osdp=1"], "nothing is found by that driver", "there are anviz, modbus"),
    ] {
        let output = discover(words).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(why) && told.contains(mend), "{told}");
    }
}
