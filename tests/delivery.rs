//! The whole gateway: terminals that speak real bytes, the real program, a real broker with TLS, and what goes wrong between.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use driver_zk::{
    record::Form,
    sim::{Model, Simulator},
};
use rustix::process::Signal;
use serde_json::Value;
use support::{
    broker::{Mosquitto, Setup},
    daemon::Daemon,
    soon,
    subscriber::Subscriber,
};

async fn terminal(form: Form, records: usize) -> Simulator {
    let model = Model { serial: format!("SIM{form:?}").replace(['(', ')'], ""), ..Model::of(form) };
    let simulator = Simulator::start(model, 0).await.unwrap();
    simulator.fill(records);
    simulator
}

fn block(name: &str, simulator: &Simulator) -> String {
    format!("[[terminal]]\nname = \"{name}\"\ndriver = \"zk\"\naddress = \"tcp://{}\"\n\n", simulator.address())
}

/// Every punch that arrived, by its id: (terminal, ledger, seq).
fn arrived(subscriber: &Subscriber) -> BTreeMap<String, BTreeSet<(String, i64, u64)>> {
    let mut by_id = BTreeMap::<_, BTreeSet<_>>::new();
    for message in subscriber.messages() {
        let data = &message["data"];
        let terminal = data["terminal"].as_str().unwrap();
        for punch in data["punches"].as_array().unwrap() {
            let place = (terminal.to_owned(), data["ledger"].as_i64().unwrap(), punch["seq"].as_u64().unwrap());
            by_id.entry(punch["id"].as_str().unwrap().to_owned()).or_default().insert(place);
        }
    }
    by_id
}

/// Waits until so many different punches of a terminal have arrived, and checks what must hold of all that arrived: one
/// place for each id, one id for each place, no gap in the numbers.
async fn until_arrived(subscriber: &Subscriber, name: &str, count: u64) {
    let all = (1..=count).map(|seq| (name.to_owned(), seq)).collect();
    subscriber.until_punches(&all).await;
    let by_id = arrived(subscriber);
    let places: BTreeSet<_> = by_id.values().flatten().cloned().collect();
    assert!(by_id.values().all(|places| places.len() == 1), "an id stands at two places");
    assert_eq!(places.len(), by_id.len(), "a place has two ids");
    let mine = places.iter().filter(|(terminal, ..)| terminal == name);
    assert_eq!(mine.count() as u64, count, "more arrived than were punched");
}

fn broker() -> Option<Mosquitto> {
    Mosquitto::start(Setup { persistence: true, ..Setup::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn punches_of_every_form_travel_from_the_wire_to_the_broker() {
    let Some(broker) = broker() else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let front = terminal(Form::Text(40), 450).await;
    let canteen = terminal(Form::Text(49), 30).await;
    let old = terminal(Form::Number16, 30).await;
    let blocks = [block("front-door", &front), block("canteen", &canteen), block("old", &old)].concat();
    let daemon = Daemon::start(&broker, &blocks);

    until_arrived(&subscriber, "front-door", 450).await;
    until_arrived(&subscriber, "canteen", 30).await;
    until_arrived(&subscriber, "old", 30).await;
    daemon
        .until(&["terminals"], "all are online", |all| all.len() == 3 && all.iter().all(|one| one["state"] == "online"))
        .await;
    soon("the terminal has a listener", async {
        while front.listeners() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    front.punch("1001");
    until_arrived(&subscriber, "front-door", 451).await;
    let live = subscriber.messages().pop().unwrap();
    assert_eq!((live["type"].as_str(), live["subject"].as_str()), (Some("punchgate.punches.v1"), Some("front-door")));
    let punch = &live["data"]["punches"][0];
    assert_eq!((punch["person"].as_str(), punch["origin"].as_str()), (Some("1001"), Some("live")));
    assert_eq!(punch["zone"], "Asia/Shanghai");

    subscriber.until_document("state", |state| state["state"] == "online").await;
    subscriber.until_document("birth", |birth| birth["terminals"].as_array().is_some_and(|all| all.len() == 3)).await;
    subscriber.until_document("health/front-door", |health| health["state"] == "online").await;
    subscriber.until_document("health", |health| health["terminals_online"] == 3).await;
    let status = daemon.until_status("everything is delivered", |it| it["queue"]["undelivered"] == 0).await;
    assert_eq!(status["link"]["state"], "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn punches_survive_kill_9_at_any_moment() {
    let Some(broker) = broker() else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let front = terminal(Form::Text(40), 3000).await;
    let mut daemon = Daemon::start(&broker, &block("front-door", &front));
    for round in 0..8u64 {
        // At another moment in each round: before, within and after the first read.
        tokio::time::sleep(std::time::Duration::from_millis(40 + 90 * round)).await;
        front.punch(&format!("{}", 5000 + round));
        daemon.kill();
        front.punch(&format!("{}", 6000 + round));
        daemon.launch();
    }
    until_arrived(&subscriber, "front-door", 3016).await;
    let persons: BTreeSet<String> = subscriber
        .messages()
        .iter()
        .flat_map(|message| message["data"]["punches"].as_array().unwrap().clone())
        .map(|punch| punch["person"].as_str().unwrap().to_owned())
        .collect();
    assert!((0..8).all(|round| persons.contains(&(5000 + round).to_string()) && persons.contains(&(6000 + round).to_string())));
}

#[tokio::test(flavor = "multi_thread")]
async fn punches_survive_a_broker_outage_and_status_says_why_they_wait() {
    let Some(mut broker) = broker() else { return };
    let front = terminal(Form::Text(40), 10).await;
    broker.kill();
    let daemon = Daemon::start(&broker, &block("front-door", &front));
    let status = daemon.until_status("the punches wait", |it| it["queue"]["undelivered"] == 10).await;
    assert_eq!(status["link"]["state"], "down", "{status}");
    daemon.until(&["conditions"], "it says so", |all| has(all, "broker-unreachable")).await;
    front.punch("1001");
    broker.restart();
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    daemon.until_status("all is delivered", |it| it["queue"]["undelivered"] == 0 && it["link"]["state"] == "up").await;
    daemon.until(&["conditions"], "it is over", |all| !has(all, "broker-unreachable")).await;
    front.punch("1002");
    daemon.until_status("the last one is delivered", |it| it["queue"]["undelivered"] == 0).await;
    subscriber.until_document("health/front-door", |health| health["state"] == "online").await;
}

fn has(conditions: &[Value], code: &str) -> bool {
    conditions.iter().any(|condition| condition["code"] == code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_leaves_unchanged_terminals_alone_and_a_bad_file_changes_nothing() {
    let Some(broker) = broker() else { return };
    let (front, canteen) = (terminal(Form::Text(40), 5).await, terminal(Form::Text(49), 5).await);
    let daemon = Daemon::start(&broker, &block("front-door", &front));
    let online =
        |count: usize| move |all: &[Value]| all.len() == count && all.iter().all(|one| one["state"] == "online");
    let before = daemon.until(&["terminals"], "it is online", online(1)).await;
    let logins = |simulator: &Simulator| simulator.journal().iter().filter(|command| **command == 1000).count();
    assert_eq!(logins(&front), 1);

    daemon.configure(&broker, &[block("front-door", &front), block("canteen", &canteen)].concat());
    daemon.signal(Signal::HUP);
    let after = daemon.until(&["terminals"], "both are online", online(2)).await;
    let since = |all: &[Value]| all.iter().find(|it| it["name"] == "front-door").unwrap()["since"].clone();
    assert_eq!(since(&before), since(&after));
    assert_eq!(logins(&front), 1);

    daemon.configure(&broker, "[[terminal]]\nname = \"front-door\"\ndriver = \"zkk\"\n");
    daemon.signal(Signal::HUP);
    daemon.until(&["conditions"], "the bad file is told", |all| has(all, "config-rejected")).await;
    assert!(online(2)(&daemon.ask(&["terminals"]).unwrap()));
    assert_eq!(logins(&front), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_leaves_in_good_order_when_told() {
    let Some(broker) = broker() else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let front = terminal(Form::Text(40), 5).await;
    let mut daemon = Daemon::start(&broker, &block("front-door", &front));
    until_arrived(&subscriber, "front-door", 5).await;
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success(), "{}", daemon.log());
    subscriber.until_document("state", |state| state["state"] == "offline").await;
    soon("the terminal is left with a word", async {
        while !front.journal().contains(&1001) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_while_its_store_opens_it_leaves_in_order_too() {
    let Some(broker) = broker() else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let front = terminal(Form::Text(40), 3000).await;
    let mut daemon = Daemon::start(&broker, &block("front-door", &front));
    until_arrived(&subscriber, "front-door", 3000).await;
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success(), "{}", daemon.log());
    for _ in 0..5 {
        let index = daemon.path("state/index");
        std::fs::remove_dir_all(&index).unwrap();
        daemon.launch();
        soon("the index is begun anew", async {
            while !index.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
        daemon.signal(Signal::TERM);
        assert!(daemon.ended().await.success(), "{}", daemon.log());
    }
    let lock = std::fs::read_to_string(daemon.path("state/journal/lock")).unwrap();
    assert!(lock.contains("\"open_in_boot\":\"\""), "it was closed: {lock}");
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_that_it_serves_and_lives() {
    let Some(broker) = broker() else { return };
    let front = terminal(Form::Text(40), 5).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let listener = tokio::net::UnixDatagram::bind(&path).unwrap();
    let daemon = Daemon::start_under(&path, &broker, &block("front-door", &front));
    let mut wanted = BTreeSet::from(["READY=1", "STATUS=", "WATCHDOG=1"]);
    soon("systemd has heard all of it", async {
        let mut news = vec![0; 4096];
        while !wanted.is_empty() {
            let length = listener.recv(&mut news).await.unwrap();
            let text = String::from_utf8_lossy(&news[..length]).into_owned();
            wanted.retain(|word| !text.lines().any(|line| line.starts_with(word)));
        }
    })
    .await;
    // A gateway that stands still is told from one that lives by what does not come.
    daemon.signal(Signal::STOP);
    while listener.try_recv(&mut [0; 4096]).is_ok() {}
    let silence = tokio::time::timeout(std::time::Duration::from_secs(7), listener.recv(&mut [0; 4096])).await;
    assert!(silence.is_err(), "a stopped gateway spoke");
    daemon.signal(Signal::CONT);
}
