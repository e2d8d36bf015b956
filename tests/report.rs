//! A health report of a gateway that has really run: recomputed by another program, and looked at in a real browser.

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use driver_zk::sim::{Model, Simulator};
use rustix::process::Signal;
use serde_json::Value;
use support::{
    broker::{Mosquitto, Setup, skipped},
    daemon::Daemon,
    push::free_address,
};
use tokio::time::sleep;

/// Asks the program for something of this state folder.
fn asked(state: &Path, words: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
    let output = command.args(words).arg("--state-dir").arg(state).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The page with a script that writes into its title how wide it got.
fn measured(page: &str, place: &Path, width: u32) -> Option<String> {
    let script = "<script>document.title='W'+document.documentElement.scrollWidth+'/'+innerWidth+'/'\
                  +document.querySelectorAll('svg').length+'/'+getComputedStyle(document.querySelector('.tiles')).display</script>";
    let file = place.join(format!("{width}.html"));
    fs::write(&file, page.replace("</body>", &format!("{script}</body>"))).unwrap();
    let said = chromium(place, &[&format!("--window-size={width},900"), "--dump-dom"], &file)?;
    let title = said.split("<title>").nth(1)?.split("</title>").next()?.to_owned();
    assert!(title.starts_with('W'), "{title}");
    Some(title)
}

/// Runs a browser without a window; `None`, visibly, where there is none.
fn chromium(place: &Path, args: &[&str], page: &Path) -> Option<String> {
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    command.arg(format!("--user-data-dir={}", place.join("profile").display())).args(args);
    let output = command.arg(format!("file://{}", page.display())).stdin(Stdio::null()).output();
    let Ok(output) = output else {
        skipped("chromium is not here; the report's page is not looked at");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_can_be_recomputed_and_looks_right() {
    let Some(broker) = Mosquitto::start(Setup::default()) else { return };
    let front = Simulator::start(Model::default(), 0).await.unwrap();
    front.fill(300);
    let block = |name: &str, address: String| {
        format!("[[terminal]]\nname = \"{name}\"\ndriver = \"zk\"\naddress = \"tcp://{address}\"\n\n")
    };
    let blocks = block("front-door", front.address().to_string()) + &block("ghost", free_address().to_string());
    let mut daemon = Daemon::start(&broker, &blocks);
    daemon
        .until_status("all is delivered", |it| it["queue"]["undelivered"] == 0 && it["terminals"]["online"] == 1)
        .await;
    front.punch("1001");
    daemon.until(&["punches", "--limit", "1000"], "it is here", |all| all.len() == 301).await;
    daemon.until(&["incidents"], "the ghost is told", |all| all.len() == 1).await;
    sleep(Duration::from_secs(3)).await;
    let state = daemon.path("state");
    // What the daemon adds stands on no disk.
    let with_daemon = daemon.ask(&["report"]).unwrap().remove(0);
    let named = with_daemon["terminals"].as_array().unwrap().iter().find(|it| it["terminal"] == "front-door").unwrap();
    assert!(named["firmware"].is_string(), "{named}");
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success());

    // To the end of this minute, so that its row is in.
    let to = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() / 60 * 60 + 60).unwrap().to_string();
    let json = asked(&state, &["report", "--json", "--from", "2026-01-01T00:00:00Z", "--to", &to]);
    let report: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&report["punches"]["total"], &report["gateway"]), (&301.into(), &"sz-03".into()));
    assert_eq!(report["punches"]["later"], 300, "all but the live one");
    assert!(report["delays"]["delivered_p50_ms"].is_i64(), "{report}");
    assert_eq!(report["punches"]["undelivered"], 0);
    let ghost = report["terminals"].as_array().unwrap().iter().find(|it| it["terminal"] == "ghost").unwrap();
    assert_eq!((&ghost["online_percent"], &ghost["punches"]), (&0.0.into(), &0.into()), "{ghost}");

    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::write(place.join("report.json"), &json).unwrap();
    fs::write(place.join("export.jsonl"), asked(&state, &["journal", "export"])).unwrap();
    fs::write(place.join("marks.jsonl"), asked(&state, &["journal", "export", "--marks"])).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/report.py");
    let check = |report: &str| {
        let files = [
            place.join(report),
            place.join("export.jsonl"),
            place.join("marks.jsonl"),
            state.join("metrics.ring"),
            state.join("incidents/log.jsonl"),
        ];
        let output = Command::new("python3").arg(&script).args(files).output().ok()?;
        Some((output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()))
    };
    match check("report.json") {
        None => skipped("python3 is not here; the report is not recomputed"),
        Some((well, said)) => {
            assert!(well && said.contains("301 punches") && said.contains("1 incidents"), "{said}");
            // It would notice.
            fs::write(
                place.join("bent.json"),
                String::from_utf8_lossy(&json).replace("\"total\":301", "\"total\":302"),
            )
            .unwrap();
            let (well, said) = check("bent.json").unwrap();
            assert!(!well && said.contains("the report says 302, and it is 301"), "{said}");
        }
    }

    // Our own parts are looked up in the list that somebody put there, and in no other.
    assert_eq!(report["dependencies"]["list"], Value::Null);
    let with_list = |file: &Path| {
        let words = ["report", "--json", "--advisories", file.to_str().unwrap()];
        let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
        command.args(words).arg("--state-dir").arg(&state).output().unwrap()
    };
    let list = place.join("osv.json");
    let refused = with_list(&list);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("osv.json"), "{said}");
    fs::write(&list, "[{\"id\": \"TEST-1\", \"modified\": \"2026-11-01T00:00:00Z\", \"affected\": [{\"package\": {\"ecosystem\": \"crates.io\", \"name\": \"sled\"}, \"versions\": [\"0.34.7\"]}]}]").unwrap();
    let told: Value = serde_json::from_slice(&with_list(&list).stdout).unwrap();
    assert_eq!(
        (&told["dependencies"]["list"]["advisories"], &told["dependencies"]["found"][0]["id"]),
        (&1.into(), &"TEST-1".into())
    );
    assert!(told["renew"].to_string().contains("sled 0.34.7"), "{}", told["renew"]);

    for lang in ["en", "zh"] {
        let file = place.join(format!("{lang}.html"));
        asked(&state, &["report", "--to", &to, "--lang", lang, "--out", file.to_str().unwrap()]);
        let page = fs::read_to_string(&file).unwrap();
        assert!(page.contains("front-door") && page.contains("ghost"));
        // On a desk and on a telephone nothing sticks out to the side.
        for width in [1200, 500] {
            let Some(title) = measured(&page, place, width) else { return };
            let [wide, room, charts, tiles] = title[1..].split('/').collect::<Vec<_>>()[..] else { panic!("{title}") };
            assert!(wide.parse::<u32>().unwrap() <= room.parse().unwrap(), "{lang} at {width}: {title}");
            assert_eq!((charts, tiles), ("5", "grid"), "{title}");
        }
        // On paper: a file of some pages that has the words in it.
        let pdf = place.join(format!("{lang}.pdf"));
        chromium(place, &["--no-pdf-header-footer", &format!("--print-to-pdf={}", pdf.display())], &file);
        let pages = String::from_utf8_lossy(&fs::read(&pdf).unwrap()).matches("/Type /Page\n").count();
        assert!((1..=3).contains(&pages), "{lang}: {pages} pages");
    }
}
