//! A closed store, and the program at work on it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use driver_api::{Batch, Clock, ClockSource, Direction, Mark, Origin, Punch, Raw, Verify};
use jiff::{civil::date, tz::TimeZone};
use punchgate::spool::{Spool, SpoolSettings};
use tempfile::TempDir;

use crate::office::{program, run};

pub(crate) struct Store {
    pub(crate) folder: TempDir,
}

pub(crate) fn punch(n: u32) -> Punch {
    Punch {
        person: format!("{n:03}"),
        local: date(2026, 11, 20).at(8, 0, 0, 0) + jiff::SignedDuration::from_secs(i64::from(n) * 60),
        zone: None,
        direction: Mark { value: Direction::In, raw: Some(Raw::Number(0)) },
        verify: Mark { value: Verify::Card, raw: (!n.is_multiple_of(3)).then(|| Raw::Text("RF,\"7".into())) },
        work_code: n.is_multiple_of(2).then(|| "12".into()),
        native: n.is_multiple_of(5).then(|| n.to_string()),
        nth: 1 + n % 2,
        origin: Origin::Backfill,
        clock: Clock { skew_ms: Some(-840), err_ms: Some(120), how: ClockSource::Arrival },
        flags: vec![],
    }
}

impl Store {
    /// A closed store with this many punches of two terminals, twenty in a group.
    pub(crate) fn with(gateway: &str, punches: u32) -> Self {
        let store = Self { folder: tempfile::tempdir().unwrap() };
        let config = format!(
            "[gateway]\nid = \"{gateway}\"\ntenant = \"acme\"\nzone = \"Asia/Shanghai\"\nstate_dir = \"state\"\n\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:1\"\nallow_plaintext = true\n\n[spool]\nmin_free = \"1MiB\"\n"
        );
        fs::write(store.config(), config).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let spool = Spool::open(&store.settings(gateway)).unwrap();
            let zone = TimeZone::get("Asia/Shanghai").unwrap();
            for from in (0..punches).step_by(20) {
                let batch: Vec<_> = (from..punches.min(from + 20)).map(punch).collect();
                spool.commit("front-door", "SN1", &zone, Batch::from(batch.clone())).await.unwrap();
                spool.commit("canteen", "SN2", &zone, Batch::from(batch)).await.unwrap();
            }
            spool.close().await;
        });
        store
    }

    pub(crate) fn settings(&self, gateway: &str) -> SpoolSettings {
        SpoolSettings {
            state_dir: self.state(),
            tenant: "acme".into(),
            gateway: gateway.into(),
            retention: Duration::from_secs(86_400),
            min_free_bytes: 0,
            segment_bytes: SpoolSettings::SEGMENT_BYTES,
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    pub(crate) fn segment(&self) -> PathBuf {
        self.state().join("journal/00000001.seg")
    }

    /// Changes the segment as an editor would.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.segment()).unwrap();
        edit(&mut bytes);
        fs::write(self.segment(), bytes).unwrap();
    }

    /// `punchgate journal WORDS --state-dir ...`: exit code and what was printed, both ways.
    pub(crate) fn journal(&self, words: &[&str]) -> (i32, String) {
        told(run(program(&[&["journal"], words].concat()).arg("--state-dir").arg(self.state())))
    }

    pub(crate) fn import(&self, file: &Path, words: &[&str]) -> (i32, String) {
        let words = [&["journal", "import"], words].concat();
        told(run(program(&words).arg("--config").arg(self.config()).arg(file)))
    }

    pub(crate) fn export(&self, format: &str) -> PathBuf {
        let file = self.folder.path().join(format!("export.{format}"));
        let _ = fs::remove_file(&file);
        let (code, said) = self.journal(&["export", "--format", format, "--out", file.to_str().unwrap()]);
        assert_eq!(code, 0, "{said}");
        file
    }

    /// What its export says of each punch that is for ever.
    pub(crate) fn ids(&self) -> BTreeSet<(String, String, String)> {
        let text = fs::read_to_string(self.export("jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let word = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap().to_owned();
        lines.map(|line| (word(&line, "terminal"), word(&line, "id"), word(&line, "person"))).collect()
    }
}

pub(crate) fn told(output: Output) -> (i32, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout) + &text(output.stderr))
}
