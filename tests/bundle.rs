//! The bundle: made beside a running daemon and without one, from a good config and from a broken one; and nothing of a person
//! or a secret in it, wherever it was planted.

mod support;

use std::{collections::BTreeMap, fs, io::Read, path::Path, process::Command};

use driver_zk::sim::{Model, Simulator};
use serde_json::Value;
use sha2::{Digest, Sha256};
use support::{broker::Mosquitto, daemon::Daemon, soon};

/// Planted as a person's number, a card, a name, and as secrets.
const PERSON: &str = "8877665544";
const NAME: &str = "MarkerName";
const SECRET: &str = "MarkerSecret";
const OPERATOR: &str = "MarkerOperator";

fn terminals(simulator: &Simulator) -> String {
    format!(
        "[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://{}\"\n\
         [[operator]]\nname = \"marker-op\"\nperson = \"{OPERATOR}\"\n\
         public_key = \"ed25519:ZH1H7NoVXh7Lw_UcsPx7bSmKwLUx0js4KN0qpIfuNE8\"\nroles = [\"viewer\"]\nnot_after = \"{}\"\n",
        simulator.address(),
        jiff::Timestamp::now().strftime("%F")
    )
}

/// The files of an archive, read by tools that are not ours in their making: zstd's own decoder, and tar's.
fn files(path: &Path) -> BTreeMap<String, String> {
    let bytes = fs::read(path).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(&bytes[..]).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    };
    archive.entries().unwrap().map(read).collect()
}

fn bundle(config: &Path, out: &Path, more: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
    let output = command.args(["bundle", "--json", "--config"]).arg(config).arg("--out").arg(out).args(more).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check(told: &Value, path: &Path, files: &BTreeMap<String, String>) {
    let bytes = fs::read(path).unwrap();
    let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
    assert_eq!((told["bytes"].as_u64(), told["sha256"].as_str()), (Some(bytes.len() as u64), Some(&*sha256)));
    let manifest: Value = serde_json::from_str(&files["manifest.json"]).unwrap();
    assert_eq!(manifest["bundle"], told["bundle"]);
    for one in manifest["files"].as_array().unwrap() {
        let content = files[one["name"].as_str().unwrap()].as_bytes();
        assert_eq!(one["sha256"], data_encoding::HEXLOWER.encode(&Sha256::digest(content)), "{one}");
    }
    for (name, text) in files {
        for marker in [PERSON, NAME, SECRET, OPERATOR, "4711-0815"] {
            assert!(!text.contains(marker), "{marker} stands in {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_tells_everything_and_nobody() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let simulator = Simulator::start(Model::default(), 0).await.unwrap();
    simulator.add_user(1, PERSON, NAME);
    let mut daemon = Daemon::start(&broker, &terminals(&simulator));
    daemon.until(&["terminals"], "the terminal is served", |lines| lines[0]["state"] == "online").await;
    simulator.punch(PERSON);
    simulator.punch("7");
    daemon.until(&["terminals"], "two punches are here", |lines| lines[0]["punches"] == 2).await;
    let out = daemon.path("alive.tar.zst");
    let (config, to) = (daemon.config(), out.clone());
    let told = soon("it is made", tokio::task::spawn_blocking(move || bundle(&config, &to, &[]))).await.unwrap();
    let alive = files(&out);
    check(&told, &out, &alive);
    assert!(told["bundle"].as_str().unwrap().starts_with("sz-03-"));
    let json = |name: &str| -> Value { serde_json::from_str(&alive[name]).unwrap() };
    assert_eq!(json("status.json")["gateway"], "sz-03");
    assert_eq!(
        (json("journal.json")["punches"].as_u64(), json("terminals.json")[0]["punches"].as_u64()),
        (Some(2), Some(2))
    );
    let twin = json("terminals/front-door.json");
    assert_eq!((&twin["standing"]["state"], &twin["block"]["driver"]), (&"online".into(), &"zk".into()));
    assert!(alive["logs.jsonl"].contains("gateway started"), "{}", alive["logs.jsonl"]);
    assert!(json("doctor.json")["findings"].as_array().unwrap().len() > 10);
    assert!(alive["config.toml"].contains("front-door") && alive["config.toml"].contains("***"));
    assert!(alive["metrics.csv"].starts_with("at,"), "{}", alive["metrics.csv"]);
    assert!(json("incidents.json").is_array());
    for name in ["conditions.json", "audit.json", "versions.json"] {
        assert!(alive.contains_key(name), "{name}");
    }

    // Dead, with a config that cannot be used, and whose mistakes are secrets in the wrong place.
    daemon.kill();
    let text = fs::read_to_string(daemon.config()).unwrap();
    let url = format!("mqtts://u:{SECRET}@localhost:1");
    let text = text.replace("[mqtt]\n", "[mqtt]\npassword = \"4711-0815\"\n").replacen(
        "mqtts://",
        "mqtts://u:MarkerSecret@",
        1,
    );
    assert!(text.contains(SECRET) && url.contains(SECRET));
    fs::write(daemon.config(), text).unwrap();
    let log = daemon.path("log");
    let planted = format!(
        "2026-11-28T20:00:00Z  INFO card {PERSON} refused, password 4711-0815\n2026-11-28T20:00:00Z DEBUG {NAME} came\n"
    );
    let before = fs::read_to_string(&log).unwrap();
    fs::write(&log, before + &planted).unwrap();
    let out = daemon.path("dead.tar.zst");
    let (config, to) = (daemon.config(), out.clone());
    let words = log.display().to_string();
    let told = tokio::task::spawn_blocking(move || bundle(&config, &to, &["--log", &words]));
    let told = soon("it is made without the daemon", told).await.unwrap();
    let dead = files(&out);
    check(&told, &out, &dead);
    assert!(dead["status.json"].contains("does not answer"));
    assert!(dead["logs.txt"].contains("card *** refused"), "{}", dead["logs.txt"]);
    assert!(dead["doctor.json"].contains("WRONG") || dead["doctor.json"].contains("\"wrong\""));
    assert!(dead["journal.json"].contains("front-door"));

    // Nothing of it is there at all.
    let nowhere = daemon.path("nowhere.toml");
    let out = daemon.path("nothing.tar.zst");
    let to = out.clone();
    let told =
        soon("it is made of nothing", tokio::task::spawn_blocking(move || bundle(&nowhere, &to, &[]))).await.unwrap();
    let nothing = files(&out);
    check(&told, &out, &nothing);
    assert!(nothing["config.toml"].contains("cannot be read"));
    if Path::new("/usr/bin/zstd").exists() {
        let done = Command::new("/usr/bin/zstd").arg("-tq").arg(&out).status().unwrap();
        assert!(done.success(), "zstd's own program refuses it");
    }
}
