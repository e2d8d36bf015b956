//! Who may order what, told to a whole fleet by its root keys.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::{office::Office, support::soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_told_by_its_roots_who_may_order_what() {
    let Some(mut office) = Office::open().await else { return };
    let home = office.home.path().to_path_buf();
    let punchgate = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_punchgate"));
        command.arg("remote").args(words).current_dir(&home).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let mut roots = Vec::new();
    for name in ["root-1.jwk", "root-2.jwk", "root-3.jwk"] {
        let (well, said) = punchgate(&["keygen", "--out", name, "--json"]);
        assert!(well, "{said}");
        roots.push(serde_json::from_str::<Value>(&said).unwrap()["public_key"].clone());
    }
    // Roots come into the config: from then on the blocks count for nothing.
    let config = fs::read_to_string(office.daemon.config()).unwrap();
    let rooted = format!("[commands]\ntrust_roots = [{}, {}, {}]\n", roots[0], roots[1], roots[2]);
    fs::write(office.daemon.config(), config.replace("[commands]\n", &rooted)).unwrap();
    office.daemon.signal(Signal::HUP);
    soon("the config is read", async {
        while !office.daemon.log().contains("config reloaded") {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(office.remote("wang", &["sz-03", "health"]).await.0["status"], "rejected");
    let key = office.key("wang").public();
    let day = jiff::Timestamp::now().strftime("%F");
    let block = format!(
        "[[operator]]\nname = \"wang\"\nperson = \"8\"\npublic_key = \"{key}\"\nroles = [\"support\"]\nnot_after = \"{day}\"\n\
         gateways = [\"sz-03\"]\n"
    );
    fs::write(home.join("fleet.toml"), block).unwrap();
    let make = ["trust", "make", "--operators", "fleet.toml", "--tenant", "acme", "--version", "1", "--first"];
    let (well, said) = punchgate(&[&make[..], &["--key", "root-1.jwk", "--out", "trust.jws"]].concat());
    assert!(well && said.contains("wang (8), support"), "{said}");
    let profile = office.profile("wang").display().to_string();
    let send = ["trust", "send", "sz-03", "trust.jws", "--profile", &profile];
    assert!(punchgate(&send).0);
    let told = |office: &Office, taken: bool| {
        let log = fs::read_to_string(office.daemon.path("state/audit/00000001.log")).unwrap();
        let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.filter(|it| it["kind"] == "trust" && it["data"]["taken"] == taken).count()
    };
    let until = async |office: &Office, taken| {
        soon("the list is judged", async {
            while told(office, taken) == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
    };
    until(&office, false).await;
    assert_eq!(office.remote("wang", &["sz-03", "health"]).await.0["status"], "rejected", "one of three signed");
    let (well, said) = punchgate(&["trust", "sign", "trust.jws", "--key", "root-3.jwk", "--yes"]);
    assert!(well, "{said}");
    assert!(!punchgate(&["trust", "sign", "trust.jws", "--key", "root-3.jwk", "--yes"]).0, "twice by one key");
    assert!(punchgate(&send).0);
    until(&office, true).await;
    assert_eq!(office.successful("wang", &["sz-03", "health"]).await["terminals"], 1);
    assert_eq!(office.remote("li", &["sz-03", "health"]).await.0["status"], "rejected", "a block counts for nothing");
    office.daemon.kill();
    office.daemon.launch();
    office.daemon.until_status("it is connected", |it| it["link"]["state"] == "up").await;
    assert_eq!(office.successful("wang", &["sz-03", "health"]).await["terminals"], 1);
    let birth =
        office.watcher.until_document("birth", |it| it["key_ids"].as_array().is_some_and(|ids| ids.len() == 1)).await;
    assert_eq!(birth["key_ids"][0], key.id().to_string());
}
