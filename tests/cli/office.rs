//! A console with a desk that knows everything by heart, and the program that asks it.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use driver_api::{Delivery, Direction, Flag, Mark, Origin, PunchId, Raw, Verify};
use jiff::{SignedDuration, Timestamp, civil::DateTime};
use punchgate::console::{
    ConditionLine, ConditionWords, Console, Desk, Failed, Link, LogLine, OwnClock, PunchFilter, PunchLine, Queue,
    Status, TerminalCount, TerminalLine, headline,
};
use punchgate::incident::{Acknowledged, Incident};
use punchgate::inquiry::{Question, Silence, Trail};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::broadcast};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Double {
    pub(crate) live: broadcast::Sender<PunchLine>,
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

pub(crate) fn punch(seq: u64, person: &str) -> PunchLine {
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
        direction: Mark { value: Direction::In, raw: Some(Raw::Number(0)) },
        verify: Mark { value: Verify::Face, raw: Some(Raw::Number(15)) },
        origin: Origin::Live,
        flags: vec![Flag::DuplicateSecond],
        delivered: seq == 1,
    }
}

fn terminal(name: &str, state: &str) -> TerminalLine {
    TerminalLine {
        name: name.into(),
        driver: "zk".into(),
        delivery: Delivery::Logged,
        state: state.into(),
        unserved: None,
        cause: None,
        since: ago(7_200),
        last_seen: None,
        last_punch: None,
        skew_ms: Some(-840),
        records: Some(4_000),
        capacity: Some(100_000),
        serial: Some("CEXA\x1b[2J1".into()),
        firmware: None,
        punches: 12_480,
        twins: 3,
        set_aside: 0,
    }
}

fn condition() -> ConditionLine {
    ConditionLine {
        code: "terminal-offline".into(),
        subject: Some("canteen".into()),
        severity: "medium".into(),
        since: "2026-11-20T00:58:31Z".parse().unwrap(),
        title: "Terminal offline".into(),
        cause: "no route to host".into(),
        text: "People can punch.".into(),
        mend: "Check its cable.".into(),
        zh: ConditionWords {
            title: "考勤机离线".into(), text: "可以打卡。".into(), mend: "检查网线。".into()
        },
    }
}

fn incident() -> Incident {
    Incident {
        number: 17,
        code: "terminal-offline".into(),
        subject: Some("canteen".into()),
        severity: "medium".into(),
        cause: "no route to host".into(),
        first_seen: "2026-11-20T00:58:31Z".parse().unwrap(),
        opened: "2026-11-20T00:58:51Z".parse().unwrap(),
        notified: None,
        acknowledged: None,
        escalated: None,
        breached: None,
        resolved: None,
        target_s: 86_400,
        open_s: 7_200,
        reopened: 1,
    }
}

#[async_trait]
impl Desk for Double {
    async fn status(&self) -> Status {
        Status {
            key: "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into(),
            headline: headline(&[condition()]),
            tenant: "acme".into(),
            gateway: "sz-03".into(),
            version: "0.1.0".into(),
            state: "degraded".into(),
            uptime_s: 11_520,
            queue: Queue { undelivered: 12_480, oldest: Some(ago(7_500)), bytes: 3_250_586, hours_left: Some(812.0) },
            link: Link {
                state: "down".into(),
                since: Some(ago(7_500)),
                broker: Some("broker.example:8883".into()),
                cause: Some("connection refused".into()),
            },
            terminals: TerminalCount { online: 1, total: 2 },
            clock: OwnClock {
                source: Some("ntp".into()),
                offset_ms: Some(-840.2),
                doubt: None,
                floor: "2026-11-20T00:58:31Z".parse().ok(),
            },
            conditions: vec![condition()],
        }
    }

    async fn terminals(&self) -> Vec<TerminalLine> {
        vec![terminal("canteen", "offline"), terminal("front-door", "online")]
    }

    async fn conditions(&self) -> Vec<ConditionLine> {
        vec![condition()]
    }

    async fn punches(&self, filter: &PunchFilter) -> Result<Vec<PunchLine>, Failed> {
        let all = [punch(1, "7"), punch(2, "007")];
        Ok(all.into_iter().filter(|punch| filter.takes(punch)).take(filter.limit).collect())
    }

    fn live(&self) -> broadcast::Receiver<PunchLine> {
        self.live.subscribe()
    }

    async fn reconcile(
        &self,
        terminal: &str,
        from: Option<DateTime>,
        to: Option<DateTime>,
    ) -> Result<serde_json::Value, Failed> {
        match terminal {
            "front-door" if from.is_none() => Ok(serde_json::json!({"read": 4000, "new_punches": 2})),
            "front-door" => Ok(serde_json::json!({"from": from, "to": to})),
            _ => Err(Failed {
                why: format!("there is no terminal {terminal:?}"),
                mend: "see punchgate terminals".into(),
            }),
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
        Ok(vec![incident()])
    }

    async fn acknowledge_incident(&self, number: u64, by: &str) -> Result<Incident, Failed> {
        match number {
            17 => {
                let acknowledged = Acknowledged { at: ago(1), by: by.into(), how: "local".into() };
                Ok(Incident { acknowledged: Some(acknowledged), ..incident() })
            }
            _ => Err(Failed {
                why: format!("there is no open incident {number}"),
                mend: "see punchgate incidents".into(),
            }),
        }
    }

    async fn acknowledge(&self, terminal: Option<&str>) -> Result<u64, Failed> {
        Ok(terminal.map_or(7, |_| 5))
    }
}

/// The daemon's side, in a folder of its own.
pub(crate) struct Office {
    pub(crate) folder: TempDir,
    pub(crate) desk: Arc<Double>,
    _runtime: Runtime,
}

impl Office {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Arc::new(Double { live: broadcast::channel(64).0 });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let console = runtime.block_on(Console::open(&folder.path().join("punchgate.sock"))).unwrap();
        runtime.spawn(console.run(desk.clone(), CancellationToken::new()));
        Self { folder, desk, _runtime: runtime }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("punchgate.sock")
    }

    /// Asks with these words, and gives what was printed; it must go well.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let output = run(program(words).arg("--socket").arg(self.socket()));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The program with its words, in a world without our environment.
pub(crate) fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punchgate"));
    command.args(words).env_clear().env("TZ", "Asia/Shanghai").stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Waits for its end, but not for ever.
pub(crate) fn finish(child: std::process::Child) -> Output {
    let id = child.id();
    let (done, ended) = std::sync::mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output().unwrap()));
    let began = Instant::now();
    ended.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("process {id} does not end, {:?}", began.elapsed()))
}
