//! A gateway's folders with punches in them, a target beside them, and what stands there, opened.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use age::x25519;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use driver_api::{Batch, Clock, ClockSource, Direction, Mark, Origin, Punch, Raw, Verify};
use jiff::{civil::date, tz::TimeZone};
use punchgate::{
    command::PrivateKey,
    spool::{Spool, SpoolSettings},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_punchgate")).args(words).output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The answer of a command that must succeed.
pub(crate) fn asked(words: &[&str]) -> Value {
    let output = run(&[words, &["--json"]].concat());
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A gateway's folders, closed, a target beside them, and the identity far away.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) recipient: String,
}

pub(crate) fn punch(n: u32) -> Punch {
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
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("identity.key");
        let output = run(&["backup", "keygen", text(&key)]);
        assert!(output.status.success(), "{}", said(&output));
        let recipient = String::from_utf8_lossy(&output.stdout).lines().next().unwrap().to_owned();
        fs::create_dir(folder.path().join("target")).unwrap();
        Self { folder, recipient }
    }

    /// The same with a store of so many punches.
    pub(crate) fn with(punches: u32) -> Self {
        let site = Self::new();
        fs::create_dir(site.path("gateway")).unwrap();
        fs::write(site.config(), site.config_text("")).unwrap();
        site.add(0, punches);
        PrivateKey::read_or_make(&site.path("gateway/state/gateway-key.jwk")).unwrap();
        fs::write(site.path("gateway/state/boots"), "7\n").unwrap();
        site
    }

    pub(crate) fn config_text(&self, more: &str) -> String {
        let target = self.path("target");
        let recipient = &self.recipient;
        format!(
            "[gateway]\nid = \"sz-03\"\ntenant = \"acme\"\nzone = \"Asia/Shanghai\"\nstate_dir = \"state\"\n\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n\n[spool]\nmin_free = \"1MiB\"\nsegment = \"64KiB\"\n\n\
             [backup]\ntarget = {target:?}\nrecipients = [{recipient:?}]\n\n{more}"
        )
    }

    pub(crate) fn settings(state_dir: PathBuf) -> SpoolSettings {
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
    pub(crate) fn add(&self, from: u32, to: u32) {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("gateway/config.toml")
    }

    pub(crate) fn back_up(&self) -> Value {
        asked(&["backup", "--config", text(&self.config())])
    }

    pub(crate) fn restore_words(&self, to: &Path, more: &[&str]) -> Vec<String> {
        let (target, key) = (self.path("target"), self.path("identity.key"));
        let words = ["restore", text(&target), "--identity", text(&key), "--config-dir", text(to)];
        words.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    pub(crate) fn restore(&self, to: &Path, more: &[&str]) -> Output {
        let words = self.restore_words(to, more);
        run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn objects(&self) -> BTreeSet<String> {
        names(&self.path("target/objects"))
    }

    /// The newest backup as its recipient reads it.
    pub(crate) fn opened(&self) -> Opened {
        let name = names(&self.path("target/backups")).pop_last().unwrap();
        let path = self.path("target/backups").join(name);
        let bytes = fs::read_to_string(&path).unwrap();
        let manifest: Value = serde_json::from_str(bytes.lines().next().unwrap()).unwrap();
        let contents = serde_json::from_slice(&self.decrypt(&manifest["contents"])).unwrap();
        Opened { path, manifest, contents }
    }

    pub(crate) fn identity(&self) -> x25519::Identity {
        let text = fs::read_to_string(self.path("identity.key")).unwrap();
        text.lines().last().unwrap().parse().unwrap()
    }

    pub(crate) fn object(&self, object: &Value) -> PathBuf {
        self.path("target/objects").join(format!("{}.age", object["sha256"].as_str().unwrap()))
    }

    pub(crate) fn decrypt(&self, object: &Value) -> Vec<u8> {
        let sealed = fs::read(self.object(object)).unwrap();
        let identity = self.identity();
        let keys = std::iter::once(&identity as &dyn age::Identity);
        let plain = age::Decryptor::new(&sealed[..]).unwrap().decrypt(keys).unwrap();
        zstd::decode_all(plain).unwrap()
    }

    /// Puts bytes there as a gateway would, and tells what the object is called.
    pub(crate) fn encrypt(&self, plain: &[u8]) -> Value {
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
    pub(crate) fn rewrite(&self, mut opened: Opened) {
        let list = self.encrypt(&serde_json::to_vec(&opened.contents).unwrap());
        opened.manifest["contents"] = list;
        self.sign(&opened);
    }

    pub(crate) fn sign(&self, opened: &Opened) {
        let key = PrivateKey::read(&self.path("gateway/state/gateway-key.jwk")).unwrap();
        let line = opened.manifest.to_string();
        let signature = key.sign(&[b"punchgate backup manifest\0", line.as_bytes()].concat());
        let signature = json!({ "key": key.public().to_string(), "signature": BASE64URL_NOPAD.encode(&signature) });
        fs::write(&opened.path, format!("{line}\n{signature}\n")).unwrap();
    }
}

pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) manifest: Value,
    pub(crate) contents: Value,
}

impl Opened {
    pub(crate) fn file(&mut self, path: &str) -> &mut Value {
        let files = self.contents["files"].as_array_mut().unwrap();
        files.iter_mut().find(|file| file["path"] == path).unwrap()
    }

    pub(crate) fn add(&mut self, path: &str, object: &Value, bytes: u64, sha256: &str) {
        let entry =
            json!({ "path": path, "bytes": bytes, "sha256": sha256, "object": object["sha256"], "mode": 0o600 });
        self.contents["files"].as_array_mut().unwrap().push(entry);
    }
}

pub(crate) fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Every file below a folder that is there, with its content; not what a restore has begun beside its place.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
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

pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Terminal, id and person of every punch in a state folder.
pub(crate) fn ids(state: &Path) -> BTreeSet<(String, String)> {
    let output = run(&["journal", "export", "--state-dir", text(state)]);
    assert!(output.status.success(), "{}", said(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let one = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["id"].as_str().unwrap().to_owned(), line["person"].as_str().unwrap().to_owned())
    };
    lines.lines().map(one).collect()
}
