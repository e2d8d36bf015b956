//! Backup and restore by the program itself: what is sent, what is refused, and what a kill at any moment leaves.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use age::x25519;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use driver_api::{Batch, Clock, ClockSource, Direction, Mark, Origin, Punch, Raw, Verify};
use driver_zk::sim::{Model, Simulator};
use jiff::{civil::date, tz::TimeZone};
use punchgate::{
    command::PrivateKey,
    spool::{OpenError, RESTORE_UNFINISHED, Spool, SpoolSettings},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{broker::skipped, daemon::Daemon};
use tempfile::TempDir;

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_punchgate")).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The answer of a command that must succeed.
fn asked(words: &[&str]) -> Value {
    let output = run(&[words, &["--json"]].concat());
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A gateway's folders, closed, a target beside them, and the identity far away.
struct Site {
    folder: TempDir,
    recipient: String,
}

fn punch(n: u32) -> Punch {
    Punch {
        person: format!("{n:03}"),
        local: date(2026, 11, 20).at(8, 0, 0, 0) + jiff::SignedDuration::from_secs(i64::from(n) * 60),
        zone: None,
        direction: Mark { value: Direction::In, raw: Some(Raw::Number(0)) },
        verify: Mark { value: Verify::Card, raw: None },
        work_code: None,
        native: None,
        nth: 1,
        origin: Origin::Backfill,
        clock: Clock { skew_ms: None, err_ms: None, how: ClockSource::Arrival },
        flags: vec![],
    }
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("identity.key");
        let output = run(&["backup", "keygen", text(&key)]);
        assert!(output.status.success(), "{}", said(&output));
        let recipient = String::from_utf8_lossy(&output.stdout).lines().next().unwrap().to_owned();
        fs::create_dir(folder.path().join("target")).unwrap();
        Self { folder, recipient }
    }

    /// The same with a store of so many punches.
    fn with(punches: u32) -> Self {
        let site = Self::new();
        fs::create_dir(site.path("gateway")).unwrap();
        fs::write(site.config(), site.config_text("")).unwrap();
        site.add(0, punches);
        PrivateKey::read_or_make(&site.path("gateway/state/gateway-key.jwk")).unwrap();
        fs::write(site.path("gateway/state/boots"), "7\n").unwrap();
        site
    }

    fn config_text(&self, more: &str) -> String {
        let target = self.path("target");
        let recipient = &self.recipient;
        format!(
            "[gateway]\nid = \"sz-03\"\ntenant = \"acme\"\nzone = \"Asia/Shanghai\"\nstate_dir = \"state\"\n\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n\n[spool]\nmin_free = \"1MiB\"\nsegment = \"64KiB\"\n\n\
             [backup]\ntarget = {target:?}\nrecipients = [{recipient:?}]\n\n{more}"
        )
    }

    fn settings(state_dir: PathBuf) -> SpoolSettings {
        SpoolSettings {
            state_dir,
            tenant: "acme".into(),
            gateway: "sz-03".into(),
            retention: Duration::from_secs(86_400),
            min_free_bytes: 0,
            segment_bytes: 64 << 10,
        }
    }

    /// More punches, by a gateway that is closed afterwards.
    fn add(&self, from: u32, to: u32) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let spool = Spool::open(&Self::settings(self.path("gateway/state"))).unwrap();
            let zone = TimeZone::get("Asia/Shanghai").unwrap();
            for from in (from..to).step_by(100) {
                let batch: Vec<_> = (from..to.min(from + 100)).map(punch).collect();
                spool.commit("front-door", "SN1", &zone, Batch::from(batch)).await.unwrap();
            }
            spool.close().await;
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("gateway/config.toml")
    }

    fn back_up(&self) -> Value {
        asked(&["backup", "--config", text(&self.config())])
    }

    fn restore_words(&self, to: &Path, more: &[&str]) -> Vec<String> {
        let (target, key) = (self.path("target"), self.path("identity.key"));
        let words = ["restore", text(&target), "--identity", text(&key), "--config-dir", text(to)];
        words.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    fn restore(&self, to: &Path, more: &[&str]) -> Output {
        let words = self.restore_words(to, more);
        run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn objects(&self) -> BTreeSet<String> {
        names(&self.path("target/objects"))
    }

    /// The newest backup as its recipient reads it.
    fn opened(&self) -> Opened {
        let name = names(&self.path("target/backups")).pop_last().unwrap();
        let path = self.path("target/backups").join(name);
        let bytes = fs::read_to_string(&path).unwrap();
        let manifest: Value = serde_json::from_str(bytes.lines().next().unwrap()).unwrap();
        let contents = serde_json::from_slice(&self.decrypt(&manifest["contents"])).unwrap();
        Opened { path, manifest, contents }
    }

    fn identity(&self) -> x25519::Identity {
        let text = fs::read_to_string(self.path("identity.key")).unwrap();
        text.lines().last().unwrap().parse().unwrap()
    }

    fn object(&self, object: &Value) -> PathBuf {
        self.path("target/objects").join(format!("{}.age", object["sha256"].as_str().unwrap()))
    }

    fn decrypt(&self, object: &Value) -> Vec<u8> {
        let sealed = fs::read(self.object(object)).unwrap();
        let identity = self.identity();
        let keys = std::iter::once(&identity as &dyn age::Identity);
        let plain = age::Decryptor::new(&sealed[..]).unwrap().decrypt(keys).unwrap();
        zstd::decode_all(plain).unwrap()
    }

    /// Puts bytes there as a gateway would, and tells what the object is called.
    fn encrypt(&self, plain: &[u8]) -> Value {
        let recipient: x25519::Recipient = self.recipient.parse().unwrap();
        let those = std::iter::once(&recipient as &dyn age::Recipient);
        let mut sealed = Vec::new();
        let mut to = age::Encryptor::with_recipients(those).unwrap().wrap_output(&mut sealed).unwrap();
        to.write_all(&zstd::encode_all(plain, 3).unwrap()).unwrap();
        to.finish().unwrap();
        let object = json!({ "sha256": HEXLOWER.encode(&Sha256::digest(&sealed)), "bytes": sealed.len() });
        fs::write(self.object(&object), sealed).unwrap();
        object
    }

    /// Writes a backup that somebody has changed who knows all there is to know, the gateway's key too.
    fn rewrite(&self, mut opened: Opened) {
        let list = self.encrypt(&serde_json::to_vec(&opened.contents).unwrap());
        opened.manifest["contents"] = list;
        self.sign(&opened);
    }

    fn sign(&self, opened: &Opened) {
        let key = PrivateKey::read(&self.path("gateway/state/gateway-key.jwk")).unwrap();
        let line = opened.manifest.to_string();
        let signature = key.sign(&[b"punchgate backup manifest\0", line.as_bytes()].concat());
        let signature = json!({ "key": key.public().to_string(), "signature": BASE64URL_NOPAD.encode(&signature) });
        fs::write(&opened.path, format!("{line}\n{signature}\n")).unwrap();
    }
}

struct Opened {
    path: PathBuf,
    manifest: Value,
    contents: Value,
}

impl Opened {
    fn file(&mut self, path: &str) -> &mut Value {
        let files = self.contents["files"].as_array_mut().unwrap();
        files.iter_mut().find(|file| file["path"] == path).unwrap()
    }

    fn add(&mut self, path: &str, object: &Value, bytes: u64, sha256: &str) {
        let entry =
            json!({ "path": path, "bytes": bytes, "sha256": sha256, "object": object["sha256"], "mode": 0o600 });
        self.contents["files"].as_array_mut().unwrap().push(entry);
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Every file below a folder that is there, with its content; not what a restore has begun beside its place.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            _ if path.file_name().unwrap().to_string_lossy().starts_with(".restore-") => {}
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Terminal, id and person of every punch in a state folder.
fn ids(state: &Path) -> BTreeSet<(String, String)> {
    let output = run(&["journal", "export", "--state-dir", text(state)]);
    assert!(output.status.success(), "{}", said(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let one = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["id"].as_str().unwrap().to_owned(), line["person"].as_str().unwrap().to_owned())
    };
    lines.lines().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_machine_becomes_the_gateway_with_every_punch() {
    let site = Site::new();
    let terminal = Simulator::start(Model::default(), 0).await.unwrap();
    terminal.fill(2000);
    let block =
        format!("[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://{}\"\n", terminal.address());
    let mut daemon = Daemon::prepare();
    fs::write(daemon.config(), site.config_text(&block)).unwrap();
    daemon.launch();
    let punches = |count: u64| {
        move |status: &Value| {
            status["queue"]["undelivered"].as_u64() == Some(count) && status["terminals"]["online"] == 1
        }
    };
    daemon.until_status("the log is read", punches(2000)).await;
    daemon
        .until(&["conditions"], "there is no backup yet", |all| all.iter().any(|it| it["code"] == "backup-too-old"))
        .await;

    // Beside the daemon, and again: what is sealed stays where it is.
    let config = daemon.config();
    let first = asked(&["backup", "--config", text(&config), "--identity", text(&site.path("identity.key"))]);
    assert_eq!((&first["reused"], &first["faults"]), (&json!(0), &json!([])), "{first}");
    let sealed = names(&daemon.path("state/journal")).iter().filter(|name| name.ends_with(".seg")).count() - 1;
    assert!(sealed >= 2, "2000 punches fill more than one segment");
    for n in 0..20 {
        terminal.punch(&format!("{}", 5000 + n));
    }
    daemon.until_status("they are here", punches(2020)).await;
    let objects = site.objects();
    let second = asked(&["backup", "--config", text(&config)]);
    assert!(second["reused"].as_u64().unwrap() >= sealed as u64, "{second}");
    assert!(second["sent"].as_u64().unwrap() + 1 < first["sent"].as_u64().unwrap(), "{second}");
    let new = site.objects().difference(&objects).count() as u64;
    assert_eq!(Some(new), second["sent"].as_u64(), "nothing else came to the target");
    daemon
        .until(&["conditions"], "there is a backup", |all| !all.iter().any(|it| it["code"] == "backup-too-old"))
        .await;
    let listed = run(&["backup", "list", text(&site.path("target"))]);
    assert!(said(&listed).starts_with(second["backup"].as_str().unwrap()), "{}", said(&listed));
    let of_backup = ids(&daemon.path("state"));
    assert_eq!(of_backup.len(), 2020);
    let verified =
        asked(&["backup", "verify", text(&site.path("target")), "--identity", text(&site.path("identity.key"))]);
    assert_eq!(verified["punches"], 2020, "{verified}");

    // What comes now is in no backup.
    for n in 0..5 {
        terminal.punch(&format!("{}", 6000 + n));
    }
    daemon.until_status("they are here", punches(2025)).await;
    let running = site.restore(daemon.path("").as_path(), &["--replace"]);
    assert!(!running.status.success() && said(&running).contains("a gateway runs on"), "{}", said(&running));
    let before = ids(&daemon.path("state"));
    daemon.kill();

    let mut other = Daemon::prepare();
    let restored = site.restore(other.path("").as_path(), &[]);
    assert!(restored.status.success(), "{}", said(&restored));
    assert_eq!(ids(&other.path("state")), of_backup);
    terminal.cut();
    other.launch();
    other.until_status("the terminal has told the rest", punches(2025)).await;
    other.until(&["conditions"], "somebody is told", |all| all.iter().any(|it| it["code"] == "store-restored")).await;
    // Even a kill right behind the start does not bring a number back.
    other.kill();
    other.launch();
    other.until_status("it is there again", punches(2025)).await;
    terminal.punch("7000");
    other.until_status("life goes on", punches(2026)).await;
    let after = ids(&other.path("state"));
    assert!(before.is_subset(&after) && after.len() == 2026, "every punch, under the id that it had");
    let report = asked(&["journal", "verify", "--state-dir", text(&other.path("state"))]);
    let ledgers: Vec<_> =
        report["ledgers"].as_array().unwrap().iter().map(|it| (it["last"].clone(), it["punches"].clone())).collect();
    assert_eq!(ledgers, [(json!(2020), json!(2020)), (json!(6), json!(6))], "{report}");
}

#[test]
fn a_backup_names_nobody_and_the_gateway_cannot_read_it() {
    let site = Site::with(700);
    fs::write(site.path("gateway/comm.key"), "123456\n").unwrap();
    let more = "[[terminal]]\nname = \"front-door\"\ndriver = \"zk\"\naddress = \"tcp://192.0.2.10\"\ncomm_key_file = \"comm.key\"\n";
    fs::write(site.config(), site.config_text(more)).unwrap();
    site.back_up();
    let opened = site.opened();
    let paths: BTreeSet<&str> =
        opened.contents["files"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    for path in
        ["config/config.toml", "config/comm.key", "state/gateway-key.jwk", "state/boots", "state/journal/00000001.seg"]
    {
        assert!(paths.contains(path), "{path} is not in {paths:?}");
    }
    // Neither a secret nor the hash of one.
    let manifest = fs::read_to_string(&opened.path).unwrap();
    assert!(!manifest.contains(&HEXLOWER.encode(&Sha256::digest("123456\n"))), "{manifest}");
    for (path, bytes) in files(&site.path("target")) {
        for word in ["123456", "AGE-SECRET", "front-door"] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} stands in {}", path.display());
        }
    }
}

/// Somebody has changed the target; a restore says this of it.
type Evil = (&'static str, fn(&Site), &'static str);

const EVILS: &[Evil] = &[
    (
        "a flipped bit of an object",
        |site| flip(&object_of(site, "state/journal/00000001.seg")),
        "is not what was put there",
    ),
    ("a missing object", |site| fs::remove_file(object_of(site, "state/journal/00000001.seg")).unwrap(), "is missing"),
    ("a cut object", |site| cut(&object_of(site, "config/config.toml")), "is not what was put there"),
    (
        "two objects swapped",
        |site| {
            let (a, b) = (object_of(site, "state/journal/00000001.seg"), object_of(site, "state/journal/00000002.seg"));
            let (of_a, of_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
            fs::write(a, of_b).unwrap();
            fs::write(b, of_a).unwrap();
        },
        "mend: take another backup",
    ),
    (
        "two files swapped by somebody with the gateway's key",
        |site| {
            let mut opened = site.opened();
            let object = opened.file("state/journal/00000001.seg")["object"].take();
            let other = opened.file("state/journal/00000002.seg")["object"].take();
            opened.file("state/journal/00000001.seg")["object"] = other;
            opened.file("state/journal/00000002.seg")["object"] = object;
            site.rewrite(opened);
        },
        "is not what was backed up",
    ),
    (
        "an object that is a link",
        |site| {
            let object = object_of(site, "state/boots");
            fs::rename(&object, site.path("aside")).unwrap();
            symlink(site.path("aside"), object).unwrap();
        },
        "no link is followed",
    ),
    (
        "a manifest that is a link",
        |site| {
            let path = site.opened().path;
            fs::rename(&path, site.path("aside")).unwrap();
            symlink(site.path("aside"), path).unwrap();
        },
        "no backup",
    ),
    ("a flipped bit of the manifest", |site| flip(&site.opened().path), "is not what its gateway has signed"),
    ("a cut manifest", |site| cut(&site.opened().path), "has no signature"),
    (
        "a renamed manifest",
        |site| {
            let path = site.opened().path;
            fs::rename(&path, path.with_file_name("999999-20990101T000000Z.json")).unwrap();
        },
        "it was renamed",
    ),
    ("a name with ..", |site| named(site, "config/../../evil"), "leads out of its place"),
    ("an absolute name", |site| named(site, "/etc/evil"), "is an absolute name"),
    ("a name outside of the known set", |site| named(site, "state/restore-unfinished.json"), "is no file of a gateway"),
    ("the lock of a store", |site| named(site, "state/journal/lock"), "is no file of a gateway"),
    ("a name twice", |site| named(site, "state/boots"), "stands in it twice"),
    ("a file that is a folder too", |site| named(site, "config/config.toml/x"), "is a file and a folder"),
    (
        "a link in the list",
        |site| {
            let mut opened = site.opened();
            opened.file("state/boots")["link"] = json!("/etc/passwd");
            site.rewrite(opened);
        },
        "unknown field `link`",
    ),
    (
        "a device in the list",
        |site| {
            let mut opened = site.opened();
            opened.file("state/boots")["mode"] = json!(0o020_644);
            site.rewrite(opened);
        },
        "no plain file",
    ),
    (
        "a bomb",
        |site| {
            let mut opened = site.opened();
            let object = site.encrypt(&vec![0; 64 << 20]);
            assert!(object["bytes"].as_u64().unwrap() < 100_000);
            opened.manifest["objects"].as_array_mut().unwrap().push(object.clone());
            opened.add("config/bomb", &object, 1000, &"0".repeat(64));
            site.rewrite(opened);
        },
        "has more in it than was announced",
    ),
    (
        "more than any disk holds",
        |site| {
            let mut opened = site.opened();
            let object = opened.file("state/boots")["object"].clone();
            for n in 0..20_000 {
                opened.add(&format!("config/{n}"), &json!({ "sha256": object }), 512 << 20, &"0".repeat(64));
            }
            site.rewrite(opened);
        },
        "has room for",
    ),
    (
        "a file of a length that none has",
        |site| {
            let mut opened = site.opened();
            opened.file("state/boots")["bytes"] = json!(u64::MAX);
            site.rewrite(opened);
        },
        "are the most",
    ),
    (
        "a segment left out",
        |site| {
            let mut opened = site.opened();
            opened.contents["files"].as_array_mut().unwrap().retain(|it| it["path"] != "state/journal/00000002.seg");
            site.rewrite(opened);
        },
        "its journal is damaged",
    ),
    (
        "the end of the journal left out",
        |site| {
            let mut opened = site.opened();
            let last = opened.contents["files"].as_array().unwrap().last().unwrap()["path"].clone();
            opened.contents["files"].as_array_mut().unwrap().retain(|it| it["path"] != last);
            site.rewrite(opened);
        },
        "its journal is damaged",
    ),
    (
        "the list of another backup",
        |site| {
            let mut opened = site.opened();
            opened.contents["id"] = json!("000009-20260101T000000Z");
            site.rewrite(opened);
        },
        "it is of backup",
    ),
    (
        "another gateway's signature",
        |site| {
            let key = site.path("gateway/state/gateway-key.jwk");
            fs::remove_file(&key).unwrap();
            PrivateKey::read_or_make(&key).unwrap();
            site.sign(&site.opened());
        },
        "signed by another key",
    ),
];

fn object_of(site: &Site, path: &str) -> PathBuf {
    let hash = site.opened().file(path)["object"].clone();
    site.object(&json!({ "sha256": hash }))
}

fn named(site: &Site, path: &str) {
    let mut opened = site.opened();
    let entry = opened.file("state/boots").clone();
    let (bytes, hash) = (entry["bytes"].as_u64().unwrap(), entry["sha256"].as_str().unwrap());
    opened.add(path, &json!({ "sha256": entry["object"] }), bytes, hash);
    site.rewrite(opened);
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[20] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn what_is_not_right_is_refused_with_words_and_nothing_changes() {
    let site = Site::with(1000);
    site.back_up();
    copy(&site.path("target"), &site.path("right"));
    copy(&site.path("gateway"), &site.path("right-gateway"));
    for (n, (what, harm, words)) in EVILS.iter().enumerate() {
        for (from, to) in [("right", "target"), ("right-gateway", "gateway")] {
            fs::remove_dir_all(site.path(to)).unwrap();
            copy(&site.path(from), &site.path(to));
        }
        harm(&site);
        let blank = site.path(&format!("blank-{n}"));
        let output = site.restore(&blank, &[]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", said(&output));
        assert!(said(&output).contains(words), "{what}: {}", said(&output));
        assert!(said(&output).contains("mend:"), "{what}: {}", said(&output));
        assert_eq!(files(&blank), [], "{what}");
        assert!(!names_below(&blank).iter().any(|name| name.starts_with(".restore-")), "{what}");
    }
    // The wrong identity, and the wrong gateway.
    fs::remove_dir_all(site.path("target")).unwrap();
    copy(&site.path("right"), &site.path("target"));
    let other = site.path("other.key");
    run(&["backup", "keygen", text(&other)]);
    let blank = site.path("blank");
    let target = site.path("target");
    let output = run(&["restore", text(&target), "--identity", text(&other), "--config-dir", text(&blank)]);
    assert!(!output.status.success() && said(&output).contains("this identity is another"), "{}", said(&output));
    let stranger = PrivateKey::generate().public().to_string();
    let output = site.restore(&blank, &["--gateway-key", &stranger]);
    assert!(!output.status.success() && said(&output).contains("which is another gateway"), "{}", said(&output));
    assert_eq!(files(&blank), []);
    // And what is right is taken.
    let key = PrivateKey::read(&site.path("right-gateway/state/gateway-key.jwk")).unwrap().public().to_string();
    let output = site.restore(&blank, &["--gateway-key", &key]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(ids(&blank.join("state")).len(), 1000);
    let again = site.restore(&blank, &[]);
    assert!(!again.status.success() && said(&again).contains("is there already"), "{}", said(&again));
}

fn names_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            found.extend(names_below(&entry.path()));
        }
        found.insert(entry.file_name().into_string().unwrap());
    }
    found
}

/// Killed at its first, second, third ... sync or rename: the destination is as it was, or the next restore finishes it.
#[test]
fn a_restore_that_is_killed_leaves_nothing_or_all() {
    // Some containers let nobody trace anybody.
    let traced = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    if !traced.is_ok_and(|output| output.status.success()) {
        return skipped("strace is not here or may not trace; no restore is killed");
    }
    for replace in [false, true] {
        let site = Site::with(700);
        site.back_up();
        let whole = ids(&site.path("gateway/state"));
        let old = Site::with(10);
        fs::write(old.config(), old.config_text("# the old one\n")).unwrap();
        let (mut killed_before, mut killed_behind) = (0, 0);
        for moment in 1..=500 {
            assert!(moment < 500, "a restore does not sync so often");
            let place = site.path(&format!("place-{moment}"));
            if replace {
                copy(&old.path("gateway"), &place);
            }
            let before = files(&place);
            let more: &[&str] = if replace { &["--replace"] } else { &[] };
            let inject = format!("inject=?rename,?renameat,?renameat2,fsync,fdatasync:signal=KILL:when={moment}");
            let status = Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e", &inject])
                .arg(env!("CARGO_BIN_EXE_punchgate"))
                .args(site.restore_words(&place, more))
                .output()
                .unwrap()
                .status;
            let ended = status.success();
            let state = place.join("state");
            if !ended && !state.join(RESTORE_UNFINISHED).exists() && ids_or_none(&state) != Some(whole.clone()) {
                assert_eq!(files(&place), before, "killed at {moment}: what was there has changed");
                killed_before += 1;
            } else if state.join(RESTORE_UNFINISHED).exists() {
                let opened = Spool::open(&Site::settings(state.clone()));
                assert!(matches!(opened, Err(OpenError::RestoreUnfinished(_))), "half of it was opened");
                killed_behind += 1;
            }
            if !ended {
                // On the same command it ends well, wherever it was cut off.
                let output = site.restore(&place, more);
                let done = said(&output).contains("is there already");
                assert!(output.status.success() || done, "killed at {moment}: {}", said(&output));
            }
            assert_eq!(ids(&state), whole, "killed at {moment}");
            assert_eq!(fs::read(place.join("config.toml")).unwrap(), fs::read(site.config()).unwrap());
            let left: Vec<_> = names_below(&place).into_iter().filter(|name| name.starts_with(".restore-")).collect();
            assert_eq!(left, Vec::<String>::new(), "killed at {moment}");
            if replace {
                let kept = names(&place).into_iter().find(|name| name.starts_with("replaced-")).unwrap();
                let text = fs::read_to_string(place.join(kept).join("config.toml")).unwrap();
                assert!(text.contains("# the old one"), "killed at {moment}");
            }
            let _ = fs::remove_dir_all(&place);
            if ended {
                break;
            }
        }
        assert!(killed_before > 5 && killed_behind > 3, "{killed_before} before, {killed_behind} behind");
    }
}

fn ids_or_none(state: &Path) -> Option<BTreeSet<(String, String)>> {
    state.join("journal").is_dir().then(|| ids(state))
}

#[test]
fn only_so_many_backups_stay_and_what_they_share_with_them() {
    let site = Site::with(700);
    let config = fs::read_to_string(site.config()).unwrap().replace("recipients", "keep = 2\nrecipients");
    fs::write(site.config(), config).unwrap();
    let mut made = Vec::new();
    for n in 0..4u32 {
        site.add(700 + n * 10, 710 + n * 10);
        made.push(site.back_up()["backup"].as_str().unwrap().to_owned());
    }
    made.sort();
    let kept: Vec<_> = names(&site.path("target/backups")).into_iter().map(|name| name.replace(".json", "")).collect();
    assert_eq!(kept, made[2..]);
    for id in &kept {
        let (target, key) = (site.path("target"), site.path("identity.key"));
        asked(&["backup", "verify", text(&target), "--identity", text(&key), "--backup", id]);
    }
    // An object that went at the target is sent again.
    fs::remove_file(object_of(&site, "state/journal/00000001.seg")).unwrap();
    site.back_up();
    let (target, key) = (site.path("target"), site.path("identity.key"));
    asked(&["backup", "verify", text(&target), "--identity", text(&key)]);
    // One that rotted there is found when everything is read.
    flip(&object_of(&site, "state/journal/00000001.seg"));
    asked(&["backup", "--config", text(&site.config()), "--read-all"]);
    asked(&["backup", "verify", text(&target), "--identity", text(&key)]);
    // Another gateway keeps away.
    fs::write(site.config(), fs::read_to_string(site.config()).unwrap().replace("sz-03", "sz-04")).unwrap();
    let output = run(&["backup", "--config", text(&site.config())]);
    assert!(!output.status.success() && said(&output).contains("holds backups of acme/sz-03"), "{}", said(&output));
}

/// Another implementation of age reads what we write.
#[test]
fn somebody_elses_age_reads_it() {
    let site = Site::with(200);
    site.back_up();
    let mut opened = site.opened();
    let entry = opened.file("state/journal/00000001.seg").clone();
    let object = site.object(&json!({ "sha256": entry["object"] }));
    let python = std::env::var("PUNCHGATE_PYRAGE").unwrap_or_else(|_| "python3".into());
    let script = "import sys, pyrage\n\
                  key = [l for l in open(sys.argv[1]) if l.startswith('AGE')][0].strip()\n\
                  sys.stdout.buffer.write(pyrage.decrypt(open(sys.argv[2], 'rb').read(), [pyrage.x25519.Identity.from_str(key)]))";
    let decrypted = match Command::new("age").args(["-d", "-i"]).arg(site.path("identity.key")).arg(&object).output() {
        Ok(output) if output.status.success() => output.stdout,
        _ => match Command::new(python).args(["-c", script]).arg(site.path("identity.key")).arg(&object).output() {
            Ok(output) if output.status.success() => output.stdout,
            _ => return skipped("neither age nor pyrage is here; nobody else reads a backup"),
        },
    };
    let mut plain = Vec::new();
    zstd::Decoder::new(&decrypted[..]).unwrap().read_to_end(&mut plain).unwrap();
    assert_eq!(HEXLOWER.encode(&Sha256::digest(&plain)), entry["sha256"].as_str().unwrap());
}
