//! A fleet of terminals that push, in front of the real program and a real broker, while everything goes wrong at once: what
//! they recorded is compared with what arrived.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use driver_zk_push::sim::{Fault, Model, PushTerminal, Record};
use jiff::{ToSpan, civil::date, tz::TimeZone};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use support::{
    broker::{Mosquitto, Setup, skipped},
    daemon::Daemon,
    line::{Line, Wire},
    push::{Arrivals, Told, blocks, files_with, free_address, post},
    soon,
    subscriber::Subscriber,
};
use tokio::time::{sleep, timeout};

/// What terminals are told and must never come out anywhere.
const SECRETS: [&str; 7] =
    ["Passw0rd-4711", "Zhang-Planted", "7766554433", "UGxhbnRlZFRlbXBsYXRl", "ComKey-88", "Planted-Jpeg", "9988776655"];

fn broker() -> Option<Mosquitto> {
    Mosquitto::start(Setup { persistence: true, ..Setup::default() })
}

struct Fleet {
    terminals: Vec<(String, PushTerminal)>,
    /// What was recorded at them, ever.
    journal: BTreeSet<Told>,
    chance: StdRng,
    next: i64,
}

impl Fleet {
    /// Both dialects, old and new firmware, small and large batches, open and closed connections, with a backlog in each.
    fn start(count: usize, gateway: std::net::SocketAddr) -> Self {
        let mut fleet =
            Self { terminals: Vec::new(), journal: BTreeSet::new(), chance: StdRng::seed_from_u64(4), next: 0 };
        for n in 0..count {
            let model = Model {
                batch: [1, 7, 33, 100][n % 4],
                keep_alive: n % 3 == 0,
                resumes_by_stamp: n % 5 == 0,
                version: ["2.4.1", "2.2.14", "Ver 2.0.33S-20220623", "3.0.1"][n / 2 % 4],
                zone: TimeZone::get("Asia/Shanghai").unwrap(),
                ..Model::new(serial(n), gateway)
            };
            let terminal = PushTerminal::start(if n % 3 == 1 { model.security() } else { model });
            fleet.terminals.push((serial(n).to_ascii_lowercase(), terminal));
        }
        for n in 0..count {
            for _ in 0..60 {
                fleet.punch(n);
            }
        }
        fleet
    }

    /// Somebody punches; no two ever at the same time.
    fn punch(&mut self, at: usize) {
        let (name, terminal) = &self.terminals[at];
        let local = date(2026, 11, 20).at(8, 0, 0, 0) + self.next.seconds();
        self.next += 1;
        let person = format!("{:04}", self.chance.random_range(1..300));
        self.journal.insert((name.clone(), person.clone(), local.strftime("%Y-%m-%dT%H:%M:%S").to_string()));
        terminal.record(Record { status: self.chance.random_range(0..=1), ..Record::new(person, local) });
    }

    /// For so long people punch, and lines break.
    async fn trouble(&mut self, long: Duration) {
        let end = tokio::time::Instant::now() + long;
        while tokio::time::Instant::now() < end {
            let at = self.chance.random_range(0..self.terminals.len());
            self.punch(at);
            let victim = self.chance.random_range(0..self.terminals.len());
            let terminal = &self.terminals[victim].1;
            match self.chance.random_range(0..12) {
                0..=2 => terminal.fault(Fault::CutRequest),
                3..=5 => terminal.fault(Fault::HangUp),
                6 => terminal.cut(),
                7 => terminal.resend_all(),
                8 => terminal.garbage(
                    b"\x00\xff{garbage}\tPasswd=Passw0rd-4711\nUSER PIN=1 Name=Zhang-Planted Card=7766554433\n",
                ),
                9 => {
                    terminal.switch(false);
                    sleep(Duration::from_millis(30)).await;
                    terminal.switch(true);
                }
                _ => {}
            }
            sleep(Duration::from_millis(self.chance.random_range(2..12))).await;
        }
    }

    fn waiting(&self) -> Vec<(&str, usize, usize)> {
        let open = self.terminals.iter().map(|(name, it)| (&**name, it.acknowledged(), it.recorded()));
        open.filter(|(_, acknowledged, recorded)| acknowledged < recorded).collect()
    }

    async fn until_acknowledged(&self) {
        let done = timeout(Duration::from_secs(90), async {
            while !self.waiting().is_empty() {
                sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(done.await.is_ok(), "not acknowledged: {:?}", self.waiting());
    }
}

fn serial(n: usize) -> String {
    format!("FLEET{n:03}")
}

fn config(count: usize, listen: std::net::SocketAddr) -> String {
    let serials: Vec<String> = (0..count).map(serial).collect();
    blocks(listen, "error_delay = \"1s\"", serials.iter().map(String::as_str))
}

/// How many punches the gateway knows to be delivered.
async fn delivered(daemon: &Daemon) -> u64 {
    let durable = daemon.until(&["terminals"], "it answers", |_| true).await;
    let durable: u64 = durable.iter().map(|it| it["punches"].as_u64().unwrap()).sum();
    let status = daemon.until_status("it answers", |_| true).await;
    durable - status["queue"]["undelivered"].as_u64().unwrap()
}

async fn until_arrived(subscribers: &[&Subscriber], count: usize) {
    let waiting = timeout(Duration::from_secs(60), async {
        while Arrivals::of(subscribers).count() < count {
            sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(waiting.await.is_ok(), "{} of {count} arrived", Arrivals::of(subscribers).count());
}

/// Every way in which a terminal tells what must not be known.
async fn tell_secrets(gateway: std::net::SocketAddr) {
    let [password, name, card, template, key, photo, number] = SECRETS;
    let user = format!("PIN=1\tName={name}\tPri=0\tPasswd={password}\tCard={card}\tGrp=1\tViceCard={number}\n");
    let gbk = [b"USER PIN=2\tName=\xd5\xc5\xc8\xfd".as_slice(), format!("\tPasswd={password}\n").as_bytes()].concat();
    let template = template.repeat(2000);
    let picture =
        [format!("PIN=1-{name}.jpg\nSN=x\nsize=9\nCMD=uploadphoto\0").as_bytes(), b"\xff\xd8\xff", photo.as_bytes()]
            .concat();
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("cdata?table=OPERLOG", format!("OPLOG 4\t0\t2026-11-22 08:00:00\t0\nUSER {user}").into()),
        ("cdata?table=OPERLOG", gbk),
        ("cdata?table=USERINFO", user.clone().into()),
        ("cdata?table=BIODATA", format!("BIODATA Pin=1\tNo=0\tType=9\tTmp={template}\n").into()),
        ("cdata?table=FINGERTMP", format!("FP PIN=1\tFID=0\tTMP={template}\n").into()),
        ("cdata?table=ATTPHOTO", picture.clone()),
        ("fdata?table=ATTPHOTO", picture.clone()),
        ("cdata?table=options", format!("~DeviceName=X,ComKey={key},Passwd={password}").into()),
        (
            "cdata?table=tabledata&tablename=user&count=1",
            format!("user uid=1\tcardno={card}\tpin=1\tpassword={password}\tname={name}\n").into(),
        ),
        ("cdata?table=tabledata&tablename=biodata&count=1", format!("biodata pin=1\ttmp={template}\n").into()),
        ("cdata?table=rtlog", format!("time=never\tpin=7\tcardno={card}\tevent=3\n").into()),
        ("querydata?type=options&cmdid=1", format!("~SerialNumber=X,ComPwd={key},Passwd={password}").into()),
        ("devicecmd?x=", format!("ID=1&Return=0&CMD=INFO\nComKey={key}\nPasswd={password}\n").into()),
        // Rubbish in the wrong places, which is kept to be looked at.
        ("cdata?table=ATTLOG", format!("USER {user}{template}\nFACE PIN=1 TMP={template}\n").into()),
        ("cdata?table=ATTLOG", format!("USER PIN=1 Name={name} Passwd={password} Card={card}\n").into()),
        (
            "cdata?table=NEWTHING",
            format!("{{\"name\":\"{name}\",\"password\":\"{password}\",\"card\":\"{card}\"}}").into(),
        ),
        ("cdata?table=NEWPHOTO", [b"x=1 \xff\xd8\xff\xe0".as_slice(), photo.as_bytes()].concat()),
    ];
    for (target, body) in bodies {
        let target = format!("/iclock/{target}&SN=FLEET000");
        let (status, text) = post(gateway, &target, &body).await;
        assert_eq!(status, 200, "{target}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_invented_or_told_when_everything_breaks() {
    const TERMINALS: usize = 12;
    let Some(mut broker) = broker() else { return };
    let line = Line::to(broker.port()).await;
    let first = Subscriber::start(broker.settings("first")).await;
    let gateway = free_address();
    let mut daemon = Daemon::prepare();
    daemon.words = vec!["--log", "text", "--log-level", "trace"];
    daemon.configure_through(line.port, &broker, &config(TERMINALS, gateway));
    let mut fleet = Fleet::start(TERMINALS, gateway);
    for round in 0..5_u64 {
        daemon.launch();
        fleet.trouble(Duration::from_millis(250 + 220 * round)).await;
        daemon.kill();
        // People go on punching at terminals that nobody answers.
        fleet.trouble(Duration::from_millis(100)).await;
    }
    daemon.launch();
    fleet.trouble(Duration::from_millis(500)).await;
    soon("it listens again", async {
        while tokio::net::TcpStream::connect(gateway).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    tell_secrets(gateway).await;

    // The broker is killed, and what it had confirmed has arrived: it keeps nothing for those who are not there.
    line.set(Wire::Cut);
    sleep(Duration::from_millis(100)).await;
    let confirmed = delivered(&daemon).await;
    until_arrived(&[&first], usize::try_from(confirmed).unwrap()).await;
    broker.kill();
    fleet.trouble(Duration::from_millis(700)).await;
    daemon.kill();
    daemon.launch();
    broker.restart();
    let second = Subscriber::start(broker.settings("second")).await;
    line.set(Wire::Whole);
    fleet.trouble(Duration::from_millis(500)).await;

    fleet.until_acknowledged().await;
    until_arrived(&[&first, &second], fleet.journal.len()).await;
    daemon.until_status("nothing waits", |it| it["queue"]["undelivered"] == 0).await;
    // Whatever still comes would be one too many.
    sleep(Duration::from_millis(500)).await;
    Arrivals::of(&[&first, &second]).check(&fleet.journal);

    let log = daemon.log();
    daemon.kill();
    for secret in SECRETS {
        assert!(!first.everything().contains(secret) && !second.everything().contains(secret), "{secret} on a topic");
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} in the log: {}", line.unwrap_or_default());
    }
    assert_eq!(files_with(&daemon.path("state"), &SECRETS), [""; 0]);
}

/// A small file system of its own.
struct Small(PathBuf);

impl Small {
    /// `None`, visibly, where nobody may mount one.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        skipped("no file system may be mounted here, so no disk is full");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_503_and_everything_comes_when_there_is_room_again() {
    const TERMINALS: usize = 6;
    let Some(broker) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(&folder.path().join("small"), "96m") else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let gateway = free_address();
    let mut daemon = Daemon::prepare();
    std::os::unix::fs::symlink(&small.0, daemon.path("state")).unwrap();
    daemon.configure(&broker, &config(TERMINALS, gateway));
    daemon.launch();
    let mut fleet = Fleet::start(TERMINALS, gateway);
    fleet.until_acknowledged().await;

    // Everything that is free is taken away: fallocate fails half-way, so byte by byte.
    let ballast = small.0.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    let chunk = vec![0x5a; 64 << 10];
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    let line = |second: u32| format!("9999\t2026-11-21 09:00:{second:02}\t0\t15\t0\t0\t0\n");
    let target = "/iclock/cdata?SN=FLEET000&table=ATTLOG&Stamp=9999";
    let (status, text) = post(gateway, target, line(1).as_bytes()).await;
    assert_eq!((status, text.starts_with("OK")), (503, false), "{text}");
    for n in 0..TERMINALS {
        fleet.punch(n);
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(fleet.waiting().len(), TERMINALS, "a terminal was told to forget what is on no disk");
    let (status, text) = post(gateway, "/iclock/cdata?SN=FLEET000&table=NEWTHING", b"a=1\n").await;
    assert_eq!((status, text.starts_with("OK")), (503, false), "{text}");
    assert_eq!(post(gateway, "/iclock/ping?SN=FLEET000", b"").await.0, 200, "it still answers");
    daemon
        .until(&["conditions"], "it says that the disk is full", |all| {
            all.iter().any(|it| it["code"].as_str().is_some_and(|code| code.starts_with("disk-")))
        })
        .await;

    fs::remove_file(&ballast).unwrap();
    drop(file);
    soon("the terminals are rid of their records, with nobody's help", fleet.until_acknowledged()).await;
    assert_eq!(post(gateway, target, line(1).as_bytes()).await, (200, "OK: 1".into()));
    let mut journal = fleet.journal.clone();
    journal.insert(("fleet000".into(), "9999".into(), "2026-11-21T09:00:01".into()));
    until_arrived(&[&subscriber], journal.len()).await;
    Arrivals::of(&[&subscriber]).check(&journal);
}
