//! The socket with a desk that knows everything by heart.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener as StdListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use driver_api::{Delivery, Mark, Origin, PunchId};
use jiff::civil::DateTime;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{Notify, broadcast},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

struct Double {
    live: broadcast::Sender<PunchLine>,
    reconciling: Notify,
    left: Arc<Notify>,
}

impl Double {
    fn new() -> Self {
        Self { live: broadcast::channel(4).0, reconciling: Notify::new(), left: Arc::default() }
    }
}

/// Tells when a future that holds it is dropped.
struct Bell(Arc<Notify>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn punch(seq: u64, person: &str) -> PunchLine {
    PunchLine {
        terminal: "front-door".into(),
        ledger: 7,
        seq,
        id: PunchId([seq as u8; 16]),
        person: person.into(),
        local: "2026-11-20T08:58:31".parse().unwrap(),
        zone: "Asia/Shanghai".into(),
        utc: "2026-11-20T00:58:31Z".parse().unwrap(),
        corrected: None,
        direction: Mark::absent(),
        verify: Mark::absent(),
        origin: Origin::Live,
        flags: vec![],
        delivered: false,
    }
}

fn condition(title: &str, subject: Option<&str>) -> ConditionLine {
    ConditionLine {
        code: "terminal-offline".into(),
        subject: subject.map(str::to_owned),
        severity: "medium".into(),
        since: "2026-11-20T00:58:31Z".parse().unwrap(),
        title: title.into(),
        cause: "no route".into(),
        text: String::new(),
        mend: "Check its cable.".into(),
        zh: <_>::default(),
    }
}

#[async_trait]
impl Desk for Double {
    async fn status(&self) -> Status {
        Status {
            headline: headline(&[]),
            tenant: "acme".into(),
            gateway: "sz-03".into(),
            version: "0".into(),
            key: String::new(),
            state: "online".into(),
            uptime_s: 5,
            queue: Queue::default(),
            link: Link { state: "up".into(), since: None, broker: None, cause: None },
            terminals: TerminalCount { online: 1, total: 1 },
            clock: OwnClock::default(),
            conditions: vec![],
        }
    }

    async fn terminals(&self) -> Vec<TerminalLine> {
        let line = |name: &str| TerminalLine {
            name: name.into(),
            driver: "zk".into(),
            delivery: Delivery::Logged,
            state: "online".into(),
            unserved: None,
            cause: None,
            since: "2026-11-20T00:58:31Z".parse().unwrap(),
            last_seen: None,
            last_punch: None,
            skew_ms: Some(-3),
            records: None,
            capacity: None,
            serial: None,
            firmware: None,
            punches: 3,
            twins: 0,
            set_aside: 0,
        };
        vec![line("canteen"), line("front-door")]
    }

    async fn conditions(&self) -> Vec<ConditionLine> {
        vec![condition("Terminal offline", Some("canteen"))]
    }

    async fn punches(&self, filter: &PunchFilter) -> Result<Vec<PunchLine>, Failed> {
        let all = [punch(1, "7"), punch(2, "007"), punch(3, "7")];
        Ok(all.into_iter().filter(|punch| filter.takes(punch)).collect())
    }

    fn live(&self) -> broadcast::Receiver<PunchLine> {
        self.live.subscribe()
    }

    async fn reconcile(
        &self,
        terminal: &str,
        _: Option<DateTime>,
        _: Option<DateTime>,
    ) -> Result<serde_json::Value, Failed> {
        match terminal {
            "front-door" => Ok(serde_json::json!({"new": 2})),
            "slow" => {
                let _bell = Bell(self.left.clone());
                self.reconciling.notify_one();
                std::future::pending().await
            }
            other => Err(Failed { why: format!("there is no terminal {other:?}"), mend: "punchgate terminals".into() }),
        }
    }

    async fn why(&self, _: &Question) -> Result<Trail, Failed> {
        Ok(Trail::default())
    }

    async fn silence(&self, _: &str) -> Result<(Silence, Vec<String>), Failed> {
        Err(Failed { why: "nobody knows".into(), mend: String::new() })
    }

    async fn logs(&self) -> Vec<LogLine> {
        vec![]
    }

    async fn incidents(&self, _: bool) -> Result<Vec<Incident>, Failed> {
        Ok(vec![])
    }

    async fn acknowledge_incident(&self, number: u64, _: &str) -> Result<Incident, Failed> {
        Err(Failed { why: format!("there is no open incident {number}"), mend: String::new() })
    }

    async fn acknowledge(&self, _: Option<&str>) -> Result<u64, Failed> {
        Ok(0)
    }
}

/// A console at work in a folder of its own.
struct Office {
    folder: TempDir,
    desk: Arc<Double>,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

impl Office {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let console = Console::open(&folder.path().join("sock")).await.unwrap();
        let (desk, closing) = (Arc::new(Double::new()), CancellationToken::new());
        let task = tokio::spawn(console.run(desk.clone(), closing.clone()));
        Self { folder, desk, closing, task }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    async fn ask(&self, request: Request) -> Result<Vec<Answer>, AskError> {
        timeout(LIMIT, async { ask(&self.path(), &request).await?.all().await }).await.unwrap()
    }

    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path()).await.unwrap();
        // A server that has heard enough may close before everything is written.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

#[tokio::test]
async fn every_question_is_answered_to_its_end() {
    let office = Office::open().await;
    assert!(matches!(&office.ask(Request::Status).await.unwrap()[..], [Answer::Status(status)]
        if status.headline == "all is well" && status.gateway == "sz-03"));
    assert!(
        matches!(&office.ask(Request::Terminals).await.unwrap()[..], [Answer::Terminal(first), Answer::Terminal(_)]
        if first.name == "canteen" && first.skew_ms == Some(-3))
    );
    assert!(matches!(&office.ask(Request::Conditions).await.unwrap()[..], [Answer::Condition(_)]));
    let reconcile = |terminal: &str| Request::Reconcile { terminal: terminal.into(), from: None, to: None };
    assert_eq!(office.ask(reconcile("front-door")).await.unwrap(), [Answer::Outcome(serde_json::json!({"new": 2}))]);
    let error = office.ask(reconcile("cellar")).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no terminal \"cellar\"");
}

#[tokio::test]
async fn a_filter_knows_007_from_7() {
    let office = Office::open().await;
    let filter = PunchFilter { person: Some("7".into()), limit: 20, ..PunchFilter::default() };
    let found = office.ask(Request::Punches { filter, follow: false }).await.unwrap();
    assert_eq!(found, [Answer::Punch(Box::new(punch(1, "7"))), Answer::Punch(Box::new(punch(3, "7")))]);
}

#[tokio::test]
async fn a_follower_sees_each_punch_once_and_hears_what_it_missed() {
    let office = Office::open().await;
    let request = Request::Punches { filter: PunchFilter::default(), follow: true };
    let mut answers = ask(&office.path(), &request).await.unwrap();
    let mut seqs = Vec::new();
    for _ in 0..3 {
        match timeout(LIMIT, answers.next()).await.unwrap().unwrap() {
            Some(Answer::Punch(punch)) => seqs.push(punch.seq),
            other => panic!("{other:?}"),
        }
    }
    // Number 3 was among the recent ones; of the others the channel holds but four.
    for seq in 3..=9 {
        office.desk.live.send(punch(seq, "7")).unwrap();
    }
    loop {
        match timeout(LIMIT, answers.next()).await.unwrap().unwrap() {
            Some(Answer::Punch(punch)) => seqs.push(punch.seq),
            Some(Answer::Missed(count)) => seqs.extend((4..).take(count as usize - 1)),
            other => panic!("{other:?}"),
        }
        if seqs.last() == Some(&9) {
            break;
        }
    }
    assert_eq!(seqs, (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn nonsense_is_answered_and_harms_nobody() {
    let office = Office::open().await;
    for (said, why) in [
        (&b"{}\n"[..], "does not understand"),
        (b"\n", "does not understand"),
        (b"\xff\xfe\n", "does not understand"),
        (b"{\"ask\":\"open-door\"}\n", "does not understand"),
        (b"{\"ask\":\"status\"", "cut off"),
        (&vec![b'a'; 8192], "too long"),
    ] {
        let answer = office.raw(said).await;
        assert!(answer.contains("\"failed\"") && answer.contains(why), "{answer}");
    }
    office.ask(Request::Status).await.unwrap();
}

#[tokio::test]
async fn followers_leave_room_for_a_short_question() {
    let office = Office::open().await;
    let request = Request::Punches { filter: PunchFilter::default(), follow: true };
    let mut followers = Vec::new();
    let refused = loop {
        let mut answers = ask(&office.path(), &request).await.unwrap();
        match timeout(LIMIT, answers.next()).await.unwrap() {
            Ok(_) => followers.push(answers),
            Err(error) => break error,
        }
        assert!(followers.len() < 100);
    };
    assert!(refused.to_string().contains("follow already"), "{refused}");
    office.ask(Request::Status).await.unwrap();
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_is_told_so() {
    let office = Office::open().await;
    let mut silent = Vec::new();
    let refused = loop {
        let answer = timeout(LIMIT, ask(&office.path(), &Request::Status)).await.unwrap().unwrap().all().await;
        match answer {
            Ok(_) => silent.push(UnixStream::connect(office.path()).await.unwrap()),
            Err(error) => break error,
        }
        assert!(silent.len() < 100);
    };
    assert!(matches!(&refused, AskError::Failed(failed) if failed.why.ends_with("clients are served already")));
    drop(silent);
    // Their places are free as soon as the server has seen them leave.
    let asked = async { while office.ask(Request::Status).await.is_err() {} };
    timeout(LIMIT, asked).await.unwrap();
}

#[tokio::test]
async fn who_leaves_is_not_waited_for() {
    let office = Office::open().await;
    let answers =
        ask(&office.path(), &Request::Reconcile { terminal: "slow".into(), from: None, to: None }).await.unwrap();
    timeout(LIMIT, office.desk.reconciling.notified()).await.unwrap();
    drop(answers);
    timeout(LIMIT, office.desk.left.notified()).await.unwrap();
}

#[tokio::test]
async fn only_owner_and_group_may_open_the_socket_and_it_goes_with_the_daemon() {
    let office = Office::open().await;
    let path = office.path();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    office.closing.cancel();
    timeout(LIMIT, office.task).await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_a_living_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    drop(StdListener::bind(&path).unwrap()); // as after a kill: the file stays
    let first = Console::open(&path).await.unwrap();
    assert!(matches!(Console::open(&path).await, Err(OpenError::InUse(_))));
    drop(first);
    assert!(!path.exists());
    fs::write(&path, "somebody's file").unwrap();
    assert!(matches!(Console::open(&path).await, Err(OpenError::NotASocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's file");
}

#[tokio::test]
async fn a_folder_in_which_others_could_put_their_own_socket_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    for (mode, good) in [(0o777, false), (0o1777, true), (0o770, true)] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        match Console::open(&path).await {
            Ok(_) => assert!(good, "{mode:o}"),
            Err(OpenError::OpenFolder(told)) => assert!(!good && told == folder.path(), "{mode:o}"),
            Err(error) => panic!("{mode:o}: {error}"),
        }
    }
    let nowhere = folder.path().join("nowhere/sock");
    assert!(matches!(Console::open(&nowhere).await, Err(OpenError::Failed { .. })));
}

#[tokio::test]
async fn a_cut_answer_is_not_taken_for_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let line = serde_json::to_string(&Answer::Punch(Box::new(punch(1, "7")))).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    };
    let request = Request::Punches { filter: PunchFilter::default(), follow: false };
    let asking = async { ask(&path, &request).await?.all().await };
    let ((), answer) = timeout(LIMIT, async { tokio::join!(answering, asking) }).await.unwrap();
    assert!(matches!(answer, Err(AskError::Broken(_))));
}

#[test]
fn the_headline_says_what_is_wrong_and_what_to_do() {
    let one = condition("Terminal offline", Some("canteen"));
    assert_eq!(headline(std::slice::from_ref(&one)), "canteen: Terminal offline (no route). Check its cable.");
    let both = [condition("Disk full", None), one];
    assert_eq!(headline(&both), "Disk full (no route). Check its cable. And 1 more: punchgate conditions");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_dropped() {
    let office = Office::open().await;
    let request = Request::Punches { filter: PunchFilter::default(), follow: true };
    let _asleep = ask(&office.path(), &request).await.unwrap();
    while office.desk.live.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..10_000 {
        // Fails as soon as nobody listens any more.
        if office.desk.live.send(punch(4, &"7".repeat(100_000))).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await; // of the paused clock
    }
    panic!("a client that reads nothing is still served");
}
