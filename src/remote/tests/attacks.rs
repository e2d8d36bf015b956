//! What is tried by whoever may not: orders forged and bent, kept and given again, and a plug pulled at any byte.

use super::*;

/// One bend of a good order: what it is called, and what is sent.
fn bent(house: &House, good: &Order, rng: &mut StdRng) -> (&'static str, Vec<u8>, bool) {
    use data_encoding::BASE64URL_NOPAD as B64;
    let signed = |order: &Order| house.sign(order, &["li"]);
    let mut parts: Value = serde_json::from_slice(&signed(good)).unwrap();
    let header = |members: Value| B64.encode(members.to_string().as_bytes());
    let kid = house.people["li"].public().id().to_string();
    let typ = Purpose::Command.typ();
    let now = Timestamp::now().as_second();
    let (what, payload) = match rng.random_range(0..26) {
        0 => {
            let mut signature = B64.decode(parts["signatures"][0]["signature"].as_str().unwrap().as_bytes()).unwrap();
            signature[rng.random_range(0..64)] ^= 1 << rng.random_range(0..8);
            parts["signatures"][0]["signature"] = json!(B64.encode(&signature));
            ("wrong signature", parts.to_string().into_bytes())
        }
        1 => {
            let other: Value = serde_json::from_slice(&signed(&Order { id: new_id(), ..good.clone() })).unwrap();
            parts["signatures"] = other["signatures"].clone();
            ("swapped signature", parts.to_string().into_bytes())
        }
        2 => {
            let short = parts["signatures"][0]["signature"].as_str().unwrap()[..rng.random_range(0..86)].to_owned();
            parts["signatures"][0]["signature"] = json!(short);
            ("truncated signature", parts.to_string().into_bytes())
        }
        3 => {
            // The neutral element as key and R, zero as S: fits every message where weak keys are taken.
            let weak = [1u8].into_iter().chain([0; 63]).collect::<Vec<_>>();
            parts["signatures"][0]["signature"] = json!(B64.encode(&weak));
            ("small order", parts.to_string().into_bytes())
        }
        4 => {
            parts["signatures"][0] =
                json!({ "protected": header(json!({"alg":"none","kid":kid,"typ":typ})), "signature": "" });
            ("none", parts.to_string().into_bytes())
        }
        5 => {
            // An HMAC with the public key as its secret, in 64 bytes.
            use sha2::{Digest, Sha512};
            let protected = header(json!({"alg":"HS256","kid":kid,"typ":typ}));
            let mac = Sha512::digest(format!("{}{protected}", house.people["li"].public()));
            parts["signatures"][0] = json!({ "protected": protected, "signature": B64.encode(&mac) });
            ("HS256", parts.to_string().into_bytes())
        }
        6..=8 => {
            let extra = [
                ("jwk", json!({"kty":"OKP","crv":"Ed25519","x":"AA"})),
                ("crit", json!(["exp"])),
                ("b64", json!(false)),
            ];
            let (name, value) = &extra[rng.random_range(0..3)];
            let mut members = json!({"alg":"EdDSA","kid":kid,"typ":typ});
            members[*name] = value.clone();
            parts["signatures"][0]["protected"] = json!(header(members));
            ("extra header", parts.to_string().into_bytes())
        }
        9 => {
            let text = parts.to_string().replacen('{', &format!("{{\"payload\":{},", parts["payload"]), 1);
            ("duplicate member", text.into_bytes())
        }
        10 => ("other gateway", signed(&Order { gateway: "sz-04".into(), ..good.clone() })),
        11 => ("other tenant", signed(&Order { tenant: "other".into(), ..good.clone() })),
        12 => ("expired", signed(&Order { iat: now - 700, exp: now - rng.random_range(0..600), ..good.clone() })),
        13 => ("future", signed(&Order { iat: now + rng.random_range(30..500), exp: now + 560, ..good.clone() })),
        14 => ("lives too long", signed(&Order { exp: good.iat + 3000, ..good.clone() })),
        15 => (
            "challenge made up",
            signed(&Order { challenge: Some(B64.encode(&rng.random::<[u8; 32]>())), ..good.clone() }),
        ),
        16 => ("unknown key", Envelope::sign(&good.payload(), Purpose::Command, &PrivateKey::generate()).bytes()),
        17 => ("ended key", house.sign(good, &["old"])),
        18 => ("too low", house.sign(good, &["zhao"])),
        19 => {
            ("another's terminal", house.sign(&Order { terminal: Some("canteen".into()), ..good.clone() }, &["door"]))
        }
        20 => ("for another purpose", Envelope::sign(&good.payload(), Purpose::Response, &house.people["li"]).bytes()),
        21 => {
            let mut payload = good.payload();
            payload["sudo"] = json!(true);
            ("extra member", Envelope::sign(&payload, Purpose::Command, &house.people["li"]).bytes())
        }
        22 => {
            let mut payload = signed(good);
            let at = rng.random_range(0..payload.len());
            payload.truncate(at);
            ("cut", payload)
        }
        23 => ("one good and one wrong signature", {
            let mut envelope = Envelope::sign(&good.payload(), Purpose::Command, &house.people["li"]);
            envelope.add_signature(Purpose::Command, &PrivateKey::generate());
            envelope.bytes()
        }),
        24 => ("no such command", signed(&Order { command: "shell".into(), ..good.clone() })),
        _ => return ("retained", signed(good), true),
    };
    (what, payload, false)
}

#[tokio::test]
async fn ten_thousand_forged_and_bent_orders_do_nothing() {
    let house = House::new();
    let mut room = house.open().await;
    let mut rng = StdRng::seed_from_u64(20_261_128);
    let mut seen = BTreeMap::<&str, usize>::new();
    for _ in 0..10_000 {
        let good = house.order("reconcile", Some("front-door"));
        let (what, payload, retain) = bent(&house, &good, &mut rng);
        *seen.entry(what).or_default() += 1;
        // The bucket would spare us the work.
        room.remote.checks = Bucket::new(1e9, 1e9);
        let topic = format!("punchgate/1/acme/sz-03/request/{}", good.id);
        room.remote.take(Message { topic, payload, retain }).await;
        assert!(room.remote.acts.is_empty(), "{what} was taken");
    }
    assert_eq!(house.done(), 0);
    assert!(seen.len() >= 20 && seen.values().all(|times| *times > 100), "{seen:?}");
    assert!(room.answers().iter().all(|answer| answer.error.as_deref() == Some(Response::REFUSED)));
    // And the log was not flooded: the first ones are told, the rest is counted.
    assert!(crate::audit::entries(&house.state_dir()).unwrap().count() < 100);
    // The good one passes all the same.
    let good = house.order("reconcile", Some("front-door"));
    room.give(&good.id, house.sign(&good, &["li"])).await;
    assert_eq!(house.done(), 1);
}

/// The broker keeps what it saw, and gives it as often as it likes, in any order, cut or whole, over many starts.
#[tokio::test]
async fn a_broker_that_replays_reorders_and_drops_gets_nothing_done_twice() {
    let house = House::new();
    let mut rng = StdRng::seed_from_u64(7);
    let mut kept: Vec<(String, Vec<u8>)> = Vec::new();
    let mut given = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let mut room = house.open().await;
        for _ in 0..5 {
            let order = house.order("reconcile", Some("front-door"));
            kept.push((order.id.clone(), house.sign(&order, &["wang"])));
        }
        for _ in 0..60 {
            let (id, mut payload) = kept[rng.random_range(0..kept.len())].clone();
            match rng.random_range(0..4) {
                0 => payload.truncate(rng.random_range(0..payload.len())),
                1 => {
                    // One order's words on another one's topic.
                    room.give(&kept[rng.random_range(0..kept.len())].0.clone(), payload).await;
                    continue;
                }
                _ => _ = given.insert(id.clone()),
            }
            room.give(&id, payload).await;
        }
        match rng.random_range(0..2) {
            0 => room.close().await,
            _ => drop(room), // as a kill leaves it
        }
    }
    let done = house.acts.orders.lock().unwrap().clone();
    let once: std::collections::BTreeSet<String> = done.iter().cloned().collect();
    assert_eq!(done.len(), once.len(), "an order was done twice");
    assert!(once.is_superset(&given), "a good one was not done");
}

/// The power goes while an order is written down, done and ended, and the disk keeps these bytes up to any one of them. An order
/// that was done is not done again from any of these disks: what was on disk when it began is enough for that.
#[tokio::test]
async fn a_power_cut_at_any_byte_gets_nothing_done_twice() {
    let house = House::new();
    house.open().await.close().await;
    let [before, at_act, after] = ["before", "at-act", "after"].map(|name| house.folder.path().join(name));
    copy(&house.state_dir(), &before);
    let mut room = house.open().await;
    *house.acts.copied.lock().unwrap() = Some((house.state_dir(), at_act.clone()));
    let order = house.order("reconcile", Some("front-door"));
    let payload = house.sign(&order, &["wang"]);
    room.give(&order.id, payload.clone()).await;
    assert_eq!(house.done(), 1);
    copy(&house.state_dir(), &after);
    drop(room);
    let names = std::fs::read_dir(after.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|it| it == "seg")).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let segment = names.remove(0).strip_prefix(&after).unwrap().to_path_buf();
    let segment = segment.as_path();
    // Before the first record there may be no segment.
    let read = |state: &std::path::Path| std::fs::read(state.join(segment)).unwrap_or_default();
    let [mut old, mut begun, whole] = [read(&before), read(&at_act), read(&after)];
    // Room is laid out as zeros.
    old.resize(whole.len(), 0);
    begun.resize(whole.len(), 0);
    let differs = |one: &[u8], other: &[u8]| {
        (0..other.len()).rev().find(|at| one.get(*at) != other.get(*at)).map_or(0, |at| at + 1)
    };
    let first = (0..whole.len()).find(|at| old.get(*at) != whole.get(*at)).unwrap();
    let (accepted, last) = (differs(&old, &begun), differs(&old, &whole));
    assert!(first < accepted && accepted < last, "{first} {accepted} {last}");
    let mut done = house.done();
    for cut in (first..=last).filter(|cut| cut % 11 == 0 || [first, accepted - 1, accepted, last].contains(cut)) {
        std::fs::remove_dir_all(house.state_dir()).unwrap();
        copy(&after, &house.state_dir());
        // A power cut: the index may be anything, and the journal's end is what it was before.
        std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
        let mut bytes = whole[..cut].to_vec();
        bytes.extend_from_slice(old.get(cut..).unwrap_or_default());
        std::fs::write(house.state_dir().join(segment), bytes).unwrap();
        let mut room = house.open().await;
        room.answers();
        room.give(&order.id, payload.clone()).await;
        let standing = room.last();
        room.give(&order.id, payload.clone()).await;
        room.close().await;
        let again = house.done() - done;
        done = house.done();
        if cut >= accepted {
            assert_eq!(again, 0, "byte {cut} of {last}, accepted up to {accepted}: {standing:?}");
            assert!(matches!(standing, Standing::Unknown | Standing::Successful), "byte {cut}: {standing:?}");
        } else {
            // It had not begun when the power went: whoever sends it again has it done, once.
            assert_eq!((again, standing), (1, Standing::Successful), "byte {cut}");
        }
    }
}
