//! Remote support, whole: the real program on both sides, a real broker with the access rules that we ship, a terminal that
//! speaks real bytes.

#[path = "remote/broker.rs"]
mod broker;
#[path = "remote/fleet.rs"]
mod fleet;
#[path = "remote/office.rs"]
mod office;
mod support;

use std::fs;

use driver_zk::sim::{Fault, Harm, Model, Simulator};
use office::{Office, order, run};
use punchgate::{
    audit,
    command::{Envelope, PrivateKey, Purpose, sha256},
    mqtt::{Event, Message},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::soon;

#[tokio::test(flavor = "multi_thread")]
async fn a_support_engineer_sees_mends_and_proves_over_the_broker_alone() {
    let Some(mut office) = Office::open().await else { return };
    office.simulator.punch("1024");
    let health = office.successful("wang", &["sz-03", "health"]).await;
    assert_eq!(health["terminals"], 1);
    assert_eq!(office.successful("wang", &["sz-03", "terminals"]).await["terminals"][0]["name"], "front-door");
    office.successful("wang", &["sz-03", "conditions"]).await;
    let logs = office.successful("wang", &["sz-03", "logs", "limit=50"]).await;
    assert!(logs["lines"].to_string().contains("gateway started"), "{logs}");
    let info = office.successful("wang", &["sz-03", "terminal.info", "front-door"]).await;
    assert!(info["serial"].is_string(), "{info}");

    office.successful("wang", &["sz-03", "reconcile", "front-door", "--reason", "TICKET-1"]).await;
    let found = office.successful("wang", &["sz-03", "punches", "person=1024"]).await;
    let punch = &found["punches"][0];
    assert!(!found.to_string().contains("\"1024\""), "{found}");
    assert!(punch["pseudonym"].as_str().unwrap().starts_with("p-"));
    let before = office.watcher.messages().len();
    let (ledger, seq) = (format!("ledger={}", punch["ledger"]), format!("first={}", punch["seq"]));
    let last = format!("last={}", punch["seq"]);
    let replay = ["sz-03", "replay", "front-door", &ledger, &seq, &last, "--reason", "TICKET-1"];
    assert_eq!(office.successful("wang", &replay).await["punches"], 1);
    soon("it comes again", async {
        while office.watcher.messages().len() == before {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let messages = office.watcher.messages();
    assert_eq!(messages[messages.len() - 1]["data"]["punches"][0]["id"], punch["id"], "the same id");

    // Who may not, may not, and learns no more than that.
    let (refused, well) =
        office.remote("wang", &["sz-03", "terminal.restart", "front-door", "--reason", "TICKET-1"]).await;
    assert!(!well && refused["status"] == "rejected", "{refused}");
    assert_eq!(refused["error"], "refused; the gateway's audit log says why");

    // A setting is tried, confirmed, and there after a restart that was ordered too.
    let key = "key=terminal.front-door.reconcile";
    let set = ["sz-03", "config.set", key, "value=5m", "--reason", "TICKET-1"];
    let (answer, well) = office.remote("li", &set).await;
    assert!(well, "{answer}");
    let shown = office.successful("li", &["sz-03", "config.show"]).await;
    assert_eq!(shown["config"]["terminal"][0]["reconcile"], "5m");
    assert_eq!(shown["trial"]["set"], answer["id"]);
    let confirm = format!("set={}", answer["id"].as_str().unwrap());
    office.successful("li", &["sz-03", "config.confirm", &confirm, "--reason", "TICKET-1"]).await;
    office.successful("li", &["sz-03", "gateway.restart", "--reason", "TICKET-1"]).await;
    assert!(office.daemon.ended().await.success());
    office.daemon.launch();
    office.daemon.until_status("it is connected", |it| it["link"]["state"] == "up").await;
    let shown = office.successful("li", &["sz-03", "config.show"]).await;
    assert_eq!((&shown["from_afar"]["terminal.front-door.reconcile"], &shown["trial"]), (&json!("5m"), &Value::Null));
    let operators = shown["config"]["operator"].as_array().unwrap().len();
    let (refused, _) =
        office.remote("li", &["sz-03", "config.set", "key=commands.allow", "value=x", "--reason", "x"]).await;
    assert_eq!((refused["status"].as_str(), operators), (Some("failed"), 2));

    // Everything is in the log, and the log is whole.
    office.daemon.signal(Signal::TERM);
    office.daemon.ended().await;
    let state = office.daemon.path("state");
    assert!(audit::verify(&state).unwrap().is_whole());
    let kinds: Vec<(String, String)> = audit::entries(&state)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.kind, entry.data["command"].as_str().or(entry.data["code"].as_str()).unwrap_or("").to_owned())
        })
        .collect();
    for (kind, what) in [
        ("started", ""),
        ("command", "reconcile"),
        ("command", "config.set"),
        ("refused", "terminal.restart"),
        ("stopped", ""),
    ] {
        assert!(kinds.iter().any(|it| it.0 == kind && it.1 == what), "{kind} {what}: {kinds:?}");
    }
    assert!(!fs::read_to_string(state.join("audit/00000001.log")).unwrap().contains("\"1024\""), "a person is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_acknowledged_from_afar_by_whoever_signed() {
    let Some(mut office) = Office::open().await else { return };
    office.simulator = Simulator::start(Model::default(), 0).await.unwrap();
    let open = |report: &Value| report["open"][0]["number"].is_u64();
    let report = office.watcher.until_document("incident/terminal-offline", open).await;
    let first = &report["open"][0]["number"];
    // What was found out in its first minute has the last frames of the wire, and nobody in them.
    let file = office.daemon.path(format!("state/incidents/evidence/{first}.json"));
    let evidence: Value = soon("evidence is gathered", async {
        loop {
            if let Some(evidence) = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                return evidence;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    let frames = evidence["frames"].as_array().unwrap();
    assert!(frames.iter().any(|it| it["what"].as_str().unwrap().contains("CONNECT")), "{frames:?}");
    assert!(frames.iter().all(|it| it["at"].is_string() && it["bytes"].as_u64() > Some(0)), "{frames:?}");
    let number = format!("number={first}");
    let take = ["sz-03", "incident.acknowledge", &number, "--reason", "TICKET-1"];
    let taken = office.successful("wang", &take).await;
    assert_eq!((&taken["acknowledged"]["by"], &taken["acknowledged"]["how"]), (&json!("wang"), &json!("command")));
    let theirs = |report: &Value| report["open"][0]["acknowledged"]["by"] == "wang";
    office.watcher.until_document("incident/terminal-offline", theirs).await;
    let (again, well) = office.remote("li", &take).await;
    assert!(!well && again["error"].as_str().unwrap().contains("wang has acknowledged it"), "{again}");
    let (none, well) = office.remote("li", &["sz-03", "incident.acknowledge", "number=99", "--reason", "x"]).await;
    assert!(!well && none["error"].as_str().unwrap().contains("no open incident 99"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_opens_when_two_persons_have_signed() {
    let Some(office) = Office::open().await else { return };
    let unlock = ["sz-03", "terminal.unlock", "front-door", "seconds=3", "--reason", "fire drill", "--yes"];
    let alone = [&unlock[..], &["--alone"]].concat();
    assert_eq!(office.remote("li", &alone).await.0["status"], "rejected");
    assert_eq!(office.unlocked(), 0);
    let second = tokio::spawn(run(office.command("wang", &["approve", "sz-03", "--yes"])));
    // The second one must be there first: what waits for approval is kept by nobody.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(office.successful("li", &unlock).await["seconds"], 3);
    let second = soon("the second one hears of it", second).await.unwrap();
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(office.unlocked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_a_kill_cut_off_is_unknown_and_is_not_done_again() {
    let Some(mut office) = Office::open().await else { return };
    let key = office.key("wang");
    // It says nothing any more, so that the act is under way for long.
    office.simulator.harm(Fault::always(50, Harm::Stall));
    // Written less than five seconds after the start it would need a challenge.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let order = order("reconcile", Some("front-door"));
    let payload = Envelope::sign(&order.payload(), Purpose::Command, &key).bytes();
    let suffix = format!("request/{}", order.id);
    office.publish(&suffix, &payload, false).await;
    office.answer(&order.id, "executing").await;
    office.daemon.kill();
    office.daemon.launch();
    office.answer(&order.id, "unknown").await;
    // A broker that plays it again, as often as it likes, and retained.
    for retain in [false, false, true] {
        office.publish(&suffix, &payload, retain).await;
    }
    office.daemon.until_status("it is connected", |it| it["link"]["state"] == "up").await;
    office.answer(&order.id, "rejected").await; // the retained one
    office.daemon.signal(Signal::TERM);
    office.daemon.ended().await;
    let accepted = audit::entries(&office.daemon.path("state"))
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.kind == "command"))
        .count();
    assert_eq!(accepted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_orders_takes_no_punch_its_way() {
    let Some(office) = Office::open().await else { return };
    let mut flood = office.connect(&[]).await;
    let stranger = PrivateKey::generate();
    let mut expected = std::collections::BTreeSet::new();
    for ticket in 1..=3000 {
        let order = order("health", None);
        let payload = match ticket % 3 {
            0 => Envelope::sign(&order.payload(), Purpose::Command, &stranger).bytes(),
            1 => vec![b'['; 20_000],
            _ => order.payload().to_string().into_bytes(),
        };
        let topic = format!("punchgate/1/acme/sz-03/request/{}", order.id);
        flood.publish(ticket, Message { topic, payload, retain: false }).unwrap();
        while !matches!(soon("it is taken", flood.event()).await.unwrap(), Event::Acked(_)) {}
        if ticket % 100 == 0 {
            office.simulator.punch(&format!("{ticket}"));
            expected.insert(("front-door".to_owned(), ticket / 100));
        }
    }
    office.watcher.until_punches(&expected).await;
    // And whoever may, is heard.
    office.successful("wang", &["sz-03", "health"]).await;
    let audit = fs::read_to_string(office.daemon.path("state/audit/00000001.log")).unwrap();
    assert!(audit.lines().count() < 100, "a flood of lines on disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_comes_over_the_broker_in_parts_and_goes_on_where_it_was_cut() {
    let Some(office) = Office::open().await else { return };
    let file = office.home.path().join("branch.tar.zst");
    let out = file.display().to_string();
    let (fetched, well) = office.remote("wang", &["sz-03", "bundle", "--out", &out]).await;
    assert!(well && fetched["file"] == *out, "{fetched}");
    let whole = fs::read(&file).unwrap();
    let id = fetched["bundle"].as_str().unwrap();
    assert_eq!(fetched["sha256"], punchgate::command::sha256(&whole));
    assert!(zstd::decode_all(&whole[..]).unwrap().windows(13).any(|it| it == b"manifest.json"));
    // A fetch that was cut off: half of it is there.
    fs::remove_file(&file).unwrap();
    let part = office.home.path().join(format!("branch.tar.zst.{id}.part"));
    fs::write(&part, &whole[..whole.len() / 2]).unwrap();
    let again = format!("bundle={id}");
    let parts = |office: &Office| {
        let log = fs::read_to_string(office.daemon.path("state/audit/00000001.log")).unwrap();
        log.matches("\"command\":\"bundle.read\"").count()
    };
    let before = parts(&office);
    let (fetched, well) = office.remote("wang", &["sz-03", "bundle", &again, "--out", &out]).await;
    assert!(well, "{fetched}");
    assert_eq!(fs::read(&file).unwrap(), whole);
    assert_eq!(parts(&office) - before, whole.len().div_ceil(2).div_ceil(24 << 10), "only what was missing came");
    // Bytes that are not those that were made are thrown away.
    fs::remove_file(&file).unwrap();
    fs::write(&part, vec![7; whole.len() / 2]).unwrap();
    assert!(!office.command("wang", &["sz-03", "bundle", &again, "--out", &out]).output().unwrap().status.success());
    assert!(!file.exists() && !part.exists());
    let (gone, well) = office.remote("wang", &["sz-03", "bundle", "bundle=sz-03-20260101-000000-aaaa"]).await;
    assert!(!well && gone["error"].as_str().unwrap().contains("make one"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_comes_as_figures_at_once_and_as_a_page_in_parts() {
    let Some(office) = Office::open().await else { return };
    office.simulator.punch("1024");
    office.daemon.until(&["terminals"], "it is here", |lines| lines[0]["punches"] == 1).await;
    // What support has put there: one advisory that holds for us and one that does not.
    let folder = office.daemon.path("state/advisories");
    fs::create_dir(&folder).unwrap();
    let advisory = |id: &str, fixed: &str| {
        json!({
            "id": id, "modified": "2026-11-01T00:00:00Z", "summary": "made for a test",
            "affected": [{
                "package": { "ecosystem": "crates.io", "name": "sled" },
                "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": fixed }] }],
            }],
        })
    };
    let both = json!([advisory("TEST-0001", "0.34.8"), advisory("TEST-0002", "0.34.7")]);
    fs::write(folder.join("list.json"), both.to_string()).unwrap();

    let told = office.successful("wang", &["sz-03", "report", "form=json"]).await;
    let summary = &told["summary"];
    assert_eq!((&summary["punches"], &summary["terminals"], &summary["lost"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!((&summary["renew_count"], &summary["advisories_of"]), (&json!(1), &json!("2026-11-01T00:00:00Z")));
    assert!(summary["renew"][0].as_str().unwrap().contains("sled 0.34.7: TEST-0001"), "{summary}");

    let file = office.home.path().join("report.html");
    let out = file.display().to_string();
    let (fetched, well) = office.remote("wang", &["sz-03", "report", "form=zh", "--out", &out]).await;
    assert!(well && fetched["file"] == *out, "{fetched}");
    let page = fs::read_to_string(&file).unwrap();
    assert_eq!(fetched["sha256"], sha256(page.as_bytes()));
    for words in ["lang=\"zh\"", "健康报告", "front-door", "TEST-0001", "</html>"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("TEST-0002") && !page.contains("1024<"), "{page}");
    let (wrong, well) = office.remote("wang", &["sz-03", "report", "bundle=sz-03-20260101-000000-aaaa"]).await;
    assert!(!well && wrong["error"].as_str().unwrap().contains("make one"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn support_finds_out_why_and_what_is_wrong() {
    let Some(office) = Office::open().await else { return };
    office.simulator.punch("1024");
    office.daemon.until(&["terminals"], "it is here", |lines| lines[0]["punches"] == 1).await;
    let report = office.successful("wang", &["sz-03", "doctor"]).await;
    assert!(report["findings"].as_array().unwrap().len() > 10, "{report}");
    assert!(report["findings"][0]["title"]["zh"].is_string());
    let report = office.successful("wang", &["sz-03", "doctor", "front-door"]).await;
    assert!(report["findings"].as_array().unwrap().iter().any(|it| it["subject"] == "front-door"), "{report}");
    let at = format!("at={}", office.simulator.now());
    let why = office.successful("wang", &["sz-03", "why", "person=1024", &at]).await;
    assert_eq!((&why["found"][0]["terminal"], &why["found"][0]["seq"]), (&json!("front-door"), &json!(1)));
    assert!(!why.to_string().contains("\"1024\""), "{why}");
    let why = office.successful("wang", &["sz-03", "why", "person=2048", &at]).await;
    assert_eq!((why["found"].as_array().unwrap().len(), &why["terminals"][0]["punches"]), (0, &json!(1)));
    let silence = office.successful("wang", &["sz-03", "why", "front-door"]).await;
    assert_eq!(silence["silence"]["judgement"], "too-young");
    // As on the command line: a time of the terminal's today, and no name that nobody knows.
    // The simulator's clock is that of another zone: the time that it should show.
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    let at = jiff::Timestamp::now().to_zoned(zone).strftime("at=%H:%M").to_string();
    let why = office.successful("wang", &["sz-03", "why", "front-door", "person=1024", &at]).await;
    assert_eq!((&why["verdict"], &why["found"][0]["seq"]), (&json!("found"), &json!(1)), "{why}");
    assert!(why["found"][0]["serial"].is_string(), "{why}");
    let (unknown, well) = office.remote("wang", &["sz-03", "why", "nosuch"]).await;
    let told = unknown["error"].as_str().unwrap_or_default();
    assert!(!well && (told.contains("nosuch") || told.contains("refused")), "{unknown}");
    let (nothing, well) = office.remote("wang", &["sz-03", "why"]).await;
    assert!(!well && nothing["status"] == "failed", "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_ends_by_itself_or_by_an_order_and_names_nobody() {
    let Some(office) = Office::open().await else { return };
    let trace = ["sz-03", "trace", "front-door", "seconds=3", "--reason", "TICKET-9"];
    let (traced, ()) = tokio::join!(office.successful("li", &trace), async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        office.simulator.punch("87654321");
        office.successful("wang", &["sz-03", "reconcile", "front-door", "--reason", "TICKET-9"]).await;
    });
    assert!(
        traced["frames"].as_array().unwrap().iter().any(|it| it["what"].as_str().unwrap().contains("EVENT")),
        "{traced}"
    );
    assert!(!traced.to_string().contains("38 37 36 35"), "{traced}");
    // A long one, and somebody ends it.
    let long = ["sz-03", "trace", "front-door", "seconds=600", "--reason", "TICKET-9"];
    let (cancelled, ()) = tokio::join!(office.remote("li", &long), async {
        let executing = soon("it is at work", async {
            loop {
                let log = fs::read_to_string(office.daemon.path("state/audit/00000001.log")).unwrap();
                let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
                let mut entries = entries;
                let found = entries.rfind(|it| it["data"]["args"]["seconds"] == 600);
                if let Some(found) = found {
                    return found["data"]["id"].as_str().unwrap().to_owned();
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        })
        .await;
        let id = format!("command={executing}");
        let done = office.successful("wang", &["sz-03", "cancel", &id, "--reason", "TICKET-9"]).await;
        assert_eq!(done["command"], executing);
        let (again, well) = office.remote("wang", &["sz-03", "cancel", &id, "--reason", "TICKET-9"]).await;
        assert!(!well, "{again}");
    });
    assert_eq!((cancelled.1, &cancelled.0["status"]), (false, &json!("failed")));
    assert!(cancelled.0["error"].as_str().unwrap().contains("cancelled"), "{}", cancelled.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_cleared_by_two_persons_when_all_of_it_was_delivered() {
    let Some(office) = Office::open().await else { return };
    office.simulator.fill(30);
    for (command, more) in [
        ("user.put", &["user=42", "name=Lu", "card=4242"][..]),
        ("user.delete", &["user=42"]),
        ("terminal.clear-log", &[]),
    ] {
        let order = [&["sz-03", command, "front-door"], more, &["--reason", "TICKET-3", "--yes"]].concat();
        let alone = [&order[..], &["--alone"]].concat();
        assert_eq!(office.remote("li", &alone).await.0["status"], "rejected", "{command}");
        let second = tokio::spawn(run(office.command("wang", &["approve", "sz-03", "--yes"])));
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let result = office.successful("li", &order).await;
        assert!(soon("the second one hears of it", second).await.unwrap().status.success());
        match command {
            "user.put" => assert_eq!(result, json!({ "added": true })),
            "user.delete" => assert_eq!(result, json!({ "deleted": true })),
            _ => assert_eq!(result, json!({ "cleared": 30, "left": 0 })),
        }
    }
    assert_eq!((office.simulator.records(), office.simulator.users().len()), (0, 0));
    assert_eq!(office.watcher.punches().len(), 30, "all of it is where it belongs");
    let text = office
        .successful("wang", &["sz-03", "terminal.message", "front-door", "text=Doors open at 8", "--reason", "x"]);
    text.await;
    assert_eq!(office.simulator.screen(), "Doors open at 8");
    let audit = fs::read_to_string(office.daemon.path("state/audit/00000001.log")).unwrap();
    assert!(!audit.contains("4242") && !audit.contains("\"Lu\""), "who is meant stands in the log");
}
