//! A broker that is not honest: it keeps orders and plays them again, and it answers in the gateway's place.

use punchgate::{
    command::{Envelope, PrivateKey, Purpose, Response, Standing, sha256},
    mqtt::{Event, Message},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    office::{Office, run},
    support::soon,
};

/// Whoever has the broker keeps every byte of every order, and plays them again: shuffled, retained, one's words under another's id,
/// cut, over a kill and over a good end. Doors open as often as people ordered it.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_plays_everything_again_opens_no_door() {
    use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
    let Some(mut office) = Office::open().await else { return };
    let unlock = ["sz-03", "terminal.unlock", "front-door", "seconds=3", "--reason", "fire drill", "--yes"];
    let second = tokio::spawn(run(office.command("wang", &["approve", "sz-03", "--yes"])));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    office.successful("li", &unlock).await;
    soon("the second one hears of it", second).await.unwrap();
    office.successful("li", &["sz-03", "terminal.restart", "front-door", "--reason", "x"]).await;
    office.successful("wang", &["sz-03", "health"]).await;
    let restarts = |office: &Office| office.simulator.journal().iter().filter(|command| **command == 1004).count();
    assert_eq!((office.unlocked(), restarts(&office)), (1, 1));
    let kept = office.watcher.orders();
    assert!(kept.len() >= 6, "orders and their challenges were seen");
    let mut rng = StdRng::seed_from_u64(28);
    for round in 0..3 {
        let mut plays: Vec<(String, Vec<u8>, bool)> = Vec::new();
        for (at, (suffix, payload)) in kept.iter().enumerate() {
            let other = kept[(at + 1) % kept.len()].0.clone();
            plays.push((suffix.clone(), payload.clone(), false));
            plays.push((suffix.clone(), payload.clone(), true));
            plays.push((other, payload.clone(), false));
            plays.push((suffix.clone(), payload[..payload.len() - 1].to_vec(), false));
        }
        plays.shuffle(&mut rng);
        for (suffix, payload, retain) in &plays {
            office.publish(suffix, payload, *retain).await;
        }
        // Everything that came before is judged by now.
        office.successful("wang", &["sz-03", "health"]).await;
        assert_eq!((office.unlocked(), restarts(&office)), (1, 1), "round {round}");
        match round {
            0 => office.daemon.kill(),
            _ => {
                office.daemon.signal(Signal::TERM);
                office.daemon.ended().await;
            }
        }
        office.daemon.launch();
        office.daemon.until_status("it is connected", |it| it["link"]["state"] == "up").await;
        office.daemon.until(&["terminals"], "the terminal is served", |lines| lines[0]["state"] == "online").await;
    }
}

/// The broker sees each request and is faster than the gateway: it invents answers, signed by a key of its own, and plays true ones
/// of other requests.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_a_broker_invents_are_not_believed() {
    let Some(office) = Office::open().await else { return };
    let topics = ["request/+", "response/+"].map(|suffix| format!("punchgate/1/acme/sz-03/{suffix}"));
    let mut liar = office.operator(&topics).await;
    let stranger = PrivateKey::generate();
    let lying = tokio::spawn(async move {
        let (mut kept, mut ticket) = (b"{}".to_vec(), 0);
        while let Ok(event) = liar.event().await {
            let Event::Arrived(message) = event else { continue };
            let (before, id) = message.topic.rsplit_once('/').unwrap();
            if before.ends_with("response") {
                kept = message.payload;
                continue;
            }
            let forged = Response {
                v: 1,
                id: id.into(),
                gateway: "sz-03".into(),
                tenant: "acme".into(),
                request: sha256(&message.payload),
                at: jiff::Timestamp::now(),
                standing: Standing::Successful,
                progress: None,
                result: Some(json!({ "terminals": 99, "challenge": "A".repeat(43) })),
                error: None,
            };
            let forged = Envelope::sign(&json!(forged), Purpose::Response, &stranger).bytes();
            for payload in [forged, kept.clone(), b"{}".to_vec()] {
                ticket += 1;
                let topic = before.replace("request", "response") + "/" + id;
                liar.publish(ticket, Message { topic, payload, retain: false }).unwrap();
            }
        }
    });
    let mut lies = 0;
    for _ in 0..5 {
        let output = soon("it is answered", run(office.command("wang", &["sz-03", "health"]))).await;
        let (said, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let last: Value = serde_json::from_str(said.lines().last().unwrap_or_else(|| panic!("{told}"))).unwrap();
        assert_eq!((&last["status"], &last["result"]["terminals"]), (&json!("successful"), &json!(1)), "{last}");
        lies += told.matches("was left out").count();
    }
    assert!(lies > 0, "the liar was never heard");
    lying.abort();
}
