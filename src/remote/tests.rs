//! The task with a real store, a real audit log and acts that count: whatever is bent, nothing is done; and once is once.

mod attacks;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::*;
use crate::{
    command::{Listed, Operator, Role, Roots, TrustList, new_id},
    spool::SpoolSettings,
};

/// Does nothing, and counts.
#[derive(Default)]
struct Double {
    done: AtomicUsize,
    orders: Mutex<Vec<String>>,
    /// Copied from the first to the second when something is done: what is on disk by then.
    copied: Mutex<Option<(std::path::PathBuf, std::path::PathBuf)>>,
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let done = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[async_trait]
impl Acts for Double {
    async fn act(&self, order: &Order, _: Progress) -> Result<Value, Failed> {
        self.done.fetch_add(1, Ordering::SeqCst);
        self.orders.lock().unwrap().push(order.id.clone());
        if let Some((from, to)) = self.copied.lock().unwrap().take() {
            copy(&from, &to);
        }
        Ok(json!({ "done": true }))
    }
}

struct House {
    folder: TempDir,
    acts: Arc<Double>,
    key: Arc<PrivateKey>,
    people: BTreeMap<&'static str, PrivateKey>,
    policy: Arc<Policy>,
}

struct Room {
    remote: Remote,
    board: Board,
}

impl House {
    fn new() -> Self {
        let people: BTreeMap<_, _> = ["li", "li-2", "wang", "zhao", "old", "door"]
            .into_iter()
            .map(|name| (name, PrivateKey::generate()))
            .collect();
        let operator = |name: &str, person: &str, role| Operator {
            name: name.into(),
            person: person.into(),
            key: people[name].public(),
            role,
            terminals: (name == "door").then(|| ["front-door".to_owned()].into()),
            not_after: if name == "old" { 1_700_000_000 } else { i64::MAX },
        };
        let operators = vec![
            operator("li", "1", Role::Admin),
            operator("li-2", "1", Role::Admin),
            operator("wang", "2", Role::Support),
            operator("zhao", "3", Role::Viewer),
            operator("old", "4", Role::Admin),
            operator("door", "5", Role::Admin),
        ];
        let policy = Policy { operators, allow: ["terminal.unlock"].into(), ..Policy::default() };
        let (folder, acts) = (tempfile::tempdir().unwrap(), Arc::default());
        Self { folder, acts, key: Arc::new(PrivateKey::generate()), people, policy: Arc::new(policy) }
    }

    fn state_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    /// A run of the gateway that began a day ago.
    async fn open(&self) -> Room {
        self.open_since(Duration::from_secs(86_400)).await
    }

    async fn open_since(&self, running: Duration) -> Room {
        let settings = SpoolSettings {
            state_dir: self.state_dir(),
            tenant: "acme".into(),
            gateway: "sz-03".into(),
            retention: Duration::ZERO,
            min_free_bytes: 1 << 20,
            segment_bytes: SpoolSettings::SEGMENT_BYTES,
        };
        let board = Board::default();
        let parts = Parts {
            tenant: "acme".into(),
            gateway: "sz-03".into(),
            key: self.key.clone(),
            policy: watch::channel(self.policy.clone()).1,
            in_force: watch::channel(self.policy.clone()).0,
            spool: Spool::open(&settings).unwrap(),
            board: board.clone(),
            clock: Arc::default(),
            audit: Audit::new(&self.state_dir()),
            acts: self.acts.clone(),
            inbox: mpsc::channel(1).1,
            started: Instant::now().checked_sub(running).unwrap(),
        };
        let mut remote = Remote::new(parts);
        remote.renew_policy();
        remote.recover().await.unwrap();
        Room { remote, board }
    }

    fn order(&self, command: &str, terminal: Option<&str>) -> Order {
        let now = Timestamp::now().as_second();
        Order {
            id: new_id(),
            gateway: "sz-03".into(),
            tenant: "acme".into(),
            iat: now,
            exp: now + 60,
            command: command.into(),
            args: Map::new(),
            terminal: terminal.map(str::to_owned),
            reason: "a test".into(),
            challenge: None,
        }
    }

    fn sign(&self, order: &Order, signers: &[&str]) -> Vec<u8> {
        let mut envelope = Envelope::sign(&order.payload(), Purpose::Command, &self.people[signers[0]]);
        signers[1..].iter().for_each(|signer| envelope.add_signature(Purpose::Command, &self.people[*signer]));
        envelope.bytes()
    }

    fn done(&self) -> usize {
        self.acts.done.load(Ordering::SeqCst)
    }
}

impl Room {
    async fn give(&mut self, id: &str, payload: Vec<u8>) {
        let topic = format!("punchgate/1/acme/sz-03/request/{id}");
        self.remote.take(Message { topic, payload, retain: false }).await;
        while let Some(done) = self.remote.acts.join_next().await {
            let (work, outcome) = done.unwrap();
            self.remote.finish(work, outcome).await;
        }
    }

    /// What was answered since this was asked last, in order.
    fn answers(&self) -> Vec<Response> {
        let read = |(suffix, payload): (String, Vec<u8>)| {
            assert!(suffix.starts_with("response/"));
            let envelope = Envelope::read_any(&payload, Purpose::Response).unwrap();
            assert!(envelope.is_signed_by(&self.remote.parts.key.public()));
            serde_json::from_value(envelope.payload().clone()).unwrap()
        };
        self.board.take_letters().into_iter().map(read).collect()
    }

    fn last(&self) -> Standing {
        self.answers().pop().unwrap().standing
    }

    /// A challenge for this person.
    async fn challenge(&mut self, house: &House, who: &str) -> String {
        let order = house.order(CHALLENGE, None);
        self.give(&order.id, house.sign(&order, &[who])).await;
        self.answers().pop().unwrap().result.unwrap()["challenge"].as_str().unwrap().to_owned()
    }

    async fn close(self) {
        self.remote.parts.spool.clone().close().await;
    }
}

#[tokio::test]
async fn a_good_order_is_done_once_and_answered_again_for_ever() {
    let house = House::new();
    let mut room = house.open().await;
    let order = house.order("reconcile", Some("front-door"));
    let payload = house.sign(&order, &["wang"]);
    room.give(&order.id, payload.clone()).await;
    let answers = room.answers();
    let standings: Vec<_> = answers.iter().map(|it| it.standing).collect();
    assert_eq!(standings, [Standing::Accepted, Standing::Executing, Standing::Successful]);
    assert!(answers.iter().all(|it| it.request == sha256(&payload)));
    for _ in 0..3 {
        room.give(&order.id, payload.clone()).await;
        assert_eq!(room.answers()[0].result, Some(json!({ "done": true })));
    }
    room.close().await;
    // Another run, and one whose index is lost.
    for lost in [false, true] {
        if lost {
            std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
        }
        let mut room = house.open().await;
        room.give(&order.id, payload.clone()).await;
        assert_eq!(room.last(), Standing::Successful);
        // The same id with other words.
        let other = Order { reason: "another".into(), ..order.clone() };
        room.give(&order.id, house.sign(&other, &["wang"])).await;
        assert_eq!(room.last(), Standing::Rejected);
        room.close().await;
    }
    assert_eq!(house.done(), 1);
}

#[tokio::test]
async fn what_a_crash_cut_off_is_unknown_and_not_done_again() {
    let house = House::new();
    let mut room = house.open().await;
    let order = house.order("reconcile", Some("front-door"));
    let payload = house.sign(&order, &["wang"]);
    let message = Message {
        topic: format!("punchgate/1/acme/sz-03/request/{}", order.id),
        payload: payload.clone(),
        retain: false,
    };
    // Accepted, and the power goes before anything else.
    assert!(room.remote.judge(&message, &sha256(&payload)).await.is_ok_and(|work| work.is_some()));
    drop(room);
    let mut room = house.open().await;
    assert_eq!(room.last(), Standing::Unknown);
    room.give(&order.id, payload).await;
    assert_eq!(room.last(), Standing::Unknown);
    assert_eq!(house.done(), 0);
    let report = crate::audit::verify(&house.state_dir()).unwrap();
    assert!(report.is_whole() && report.last >= 2, "{report:?}");
}

#[tokio::test]
async fn a_store_put_back_from_a_backup_repeats_nothing() {
    let house = House::new();
    house.open().await.close().await;
    let backup = house.folder.path().join("backup");
    copy(&house.state_dir(), &backup);
    let mut room = house.open().await;
    let plain = house.order("reconcile", Some("front-door"));
    let plain_sent = house.sign(&plain, &["wang"]);
    room.give(&plain.id, plain_sent.clone()).await;
    let challenge = room.challenge(&house, "li").await;
    let proved = Order { challenge: Some(challenge), ..house.order("terminal.restart", Some("front-door")) };
    let proved_sent = house.sign(&proved, &["li"]);
    room.give(&proved.id, proved_sent.clone()).await;
    assert_eq!(house.done(), 2);
    room.close().await;
    std::fs::remove_dir_all(house.state_dir()).unwrap();
    copy(&backup, &house.state_dir());
    // As it is: the restored gateway starts after what it has forgotten.
    let mut room = house.open_since(Duration::ZERO).await;
    room.answers();
    for (id, payload) in [(&plain.id, plain_sent), (&proved.id, proved_sent)] {
        room.give(id, payload).await;
        assert_eq!(room.last(), Standing::Rejected);
    }
    assert_eq!(house.done(), 2);
}

#[tokio::test]
async fn a_challenge_is_foreign_late_or_used_and_the_order_is_refused() {
    let house = House::new();
    let mut room = house.open().await;
    let with = |challenge: &str| Order {
        challenge: Some(challenge.into()),
        ..house.order("terminal.restart", Some("front-door"))
    };
    let challenge = room.challenge(&house, "li").await;
    let good = with(&challenge);
    room.give(&good.id, house.sign(&good, &["li"])).await;
    assert_eq!(room.last(), Standing::Successful);
    let used = with(&challenge);
    room.give(&used.id, house.sign(&used, &["li"])).await;
    let of_wang = with(&room.challenge(&house, "wang").await);
    room.answers();
    room.give(&of_wang.id, house.sign(&of_wang, &["li"])).await;
    let none = house.order("terminal.restart", Some("front-door"));
    room.give(&none.id, house.sign(&none, &["li"])).await;
    let of_before = with(&room.challenge(&house, "li").await);
    room.close().await;
    let mut room = house.open().await;
    room.give(&of_before.id, house.sign(&of_before, &["li"])).await;
    assert_eq!(house.done(), 1);
}

#[tokio::test]
async fn a_lockdown_holds_over_a_start_and_ends_by_its_id_in_the_config() {
    let mut house = House::new();
    let mut room = house.open().await;
    let lockdown = house.order("lockdown", None);
    room.give(&lockdown.id, house.sign(&lockdown, &["li"])).await;
    assert_eq!(room.last(), Standing::Successful);
    room.close().await;
    let mut room = house.open().await;
    let order = house.order("reconcile", Some("front-door"));
    room.give(&order.id, house.sign(&order, &["li"])).await;
    assert_eq!((room.last(), house.done()), (Standing::Rejected, 0));
    let looks = house.order("health", None);
    room.give(&looks.id, house.sign(&looks, &["zhao"])).await;
    assert_eq!(room.last(), Standing::Successful);
    room.close().await;
    house.policy = Arc::new(Policy { unlock: [lockdown.id].into(), ..(*house.policy).clone() });
    let mut room = house.open().await;
    let order = house.order("reconcile", Some("front-door"));
    room.give(&order.id, house.sign(&order, &["li"])).await;
    assert_eq!(room.last(), Standing::Successful);
}

#[tokio::test]
async fn a_door_is_opened_by_two_persons_and_three_times_a_minute() {
    let house = House::new();
    let mut room = house.open().await;
    for (signers, done) in [
        (&["li"][..], 0),
        (&["li", "li-2"], 0),
        (&["li", "zhao"], 0),
        (&["wang"], 0),
        (&["li", "wang"], 1),
        (&["wang", "li"], 2),
        (&["li", "wang"], 3),
        (&["li", "wang"], 3),
    ] {
        let challenge = room.challenge(&house, signers[0]).await;
        let order = Order { challenge: Some(challenge), ..house.order("terminal.unlock", Some("front-door")) };
        room.give(&order.id, house.sign(&order, signers)).await;
        assert_eq!(house.done(), done, "{signers:?}");
    }
}

/// A list of the fleet takes the place of the blocks, survives a start, and is never gone back from.
#[tokio::test]
async fn a_trust_list_is_taken_when_it_is_newer_and_holds_ever_after() {
    let mut house = House::new();
    let roots: Vec<PrivateKey> = (0..3).map(|_| PrivateKey::generate()).collect();
    let keys = roots.iter().map(PrivateKey::public).collect();
    house.policy = Arc::new(Policy { trust: Some(Roots { keys, threshold: 2 }), ..(*house.policy).clone() });
    let now = Timestamp::now().as_second();
    let listed = |name: &str, gateways: Option<&str>| Listed {
        operator: house.policy.operators.iter().find(|it| it.name == name).unwrap().clone(),
        gateways: gateways.map(|name| [name.to_owned()].into()),
    };
    let list = |version, prev: &str, operators| TrustList {
        tenant: "acme".into(),
        version,
        prev: prev.into(),
        issued: now,
        expires: now + 3600,
        operators,
        unlock: Default::default(),
    };
    let sign = |list: &TrustList, signers: &[usize]| {
        let mut envelope = list.sign(&roots[signers[0]]);
        signers[1..].iter().for_each(|at| envelope.add_signature(Purpose::Trust, &roots[*at]));
        envelope.bytes()
    };
    let give = async |room: &mut Room, payload: &[u8], retain| {
        let topic = "punchgate/1/acme/sz-03/trust".to_owned();
        room.remote.take(Message { topic, payload: payload.to_vec(), retain }).await;
    };
    let may = async |room: &mut Room, who: &str| {
        let order = house.order("reconcile", Some("front-door"));
        room.give(&order.id, house.sign(&order, &[who])).await;
        room.answers().pop().is_some_and(|answer| answer.standing == Standing::Successful)
    };
    let mut room = house.open().await;
    assert!(!may(&mut room, "wang").await, "blocks count for nothing under roots");
    let first = sign(&list(1, TrustList::FIRST, vec![listed("wang", None), listed("li", Some("sz-04"))]), &[0, 1]);
    give(&mut room, &sign(&list(1, TrustList::FIRST, vec![listed("li", None)]), &[2]), true).await;
    assert!(!may(&mut room, "li").await, "one root is not enough");
    give(&mut room, &first, true).await;
    assert!(may(&mut room, "wang").await);
    assert!(!may(&mut room, "li").await, "li is for another gateway");
    room.close().await;
    let mut room = house.open().await;
    assert!(may(&mut room, "wang").await, "it holds over a start");
    let second = sign(&list(2, &sha256(&first), vec![listed("li", None)]), &[1, 2]);
    give(&mut room, &second, true).await;
    assert!(may(&mut room, "li").await && !may(&mut room, "wang").await);
    // The broker plays the old one again, and another history.
    give(&mut room, &first, true).await;
    give(&mut room, &sign(&list(3, &sha256(b"another"), vec![listed("wang", None)]), &[0, 1]), false).await;
    assert!(may(&mut room, "li").await && !may(&mut room, "wang").await);
    // One that ends: eyes and hands that undo stay, the rest goes.
    let soon = Timestamp::now().as_second() + 3;
    let short = TrustList { expires: soon, ..list(3, &sha256(&second), vec![listed("li", None)]) };
    give(&mut room, &sign(&short, &[0, 2]), true).await;
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert!(may(&mut room, "li").await);
    let challenge = room.challenge(&house, "li").await;
    let order = Order { challenge: Some(challenge), ..house.order("terminal.restart", Some("front-door")) };
    room.give(&order.id, house.sign(&order, &["li"])).await;
    assert_eq!(room.last(), Standing::Rejected);
    let told: Vec<bool> = crate::audit::entries(&house.state_dir())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.kind == "trust")
        .map(|entry| entry.data["taken"] == true)
        .collect();
    assert_eq!(told, [false, true, true, false, false, true]);
}
