//! Copies of a store, damaged while the gateway is off: torn at every byte, bits flipped, files missing, zeroed, swapped, of a
//! later version. Who judges knows which bytes were destroyed: a punch whose bytes are all there must not be missing, and one
//! that has lost a byte must be named.

mod without_room;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    Plan,
    anatomy::{Segment, dissect},
    daemon::Daemon,
    damage::Damage,
    oracle::Verdict,
    row::{Report, Row, TELL_LIMIT, Told},
    storage::{segments, started},
    world::Settings,
};

const CASES: [&str; 6] = [
    "a tail cut off",
    "a tail torn into zeros",
    "a tail cut off after kill -9",
    "a tail cut off on a full disk",
    "bits flipped",
    "files gone or changed",
];

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let wanted = CASES.map(|case| plan.wants(case));
    if wanted == [false; CASES.len()] {
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix("punchgate-copies-").tempdir()?;
    let bench = Bench::new(plan, folder.path()).await?;
    for (case, _) in CASES.into_iter().zip(wanted).filter(|(_, wanted)| *wanted) {
        let mut row = Row { rig: "storage", case: case.into(), ..Row::default() };
        match case {
            "bits flipped" => bench.suffers(&bench.closed, bench.flips(plan)?, &mut row).await?,
            "files gone or changed" => bench.suffers(&bench.closed, bench.changes(plan), &mut row).await?,
            "a tail torn into zeros" => {
                bench.suffers(&bench.closed, bench.closed.tails(plan, Damage::Torn), &mut row).await?
            }
            "a tail cut off after kill -9" => {
                bench.suffers(&bench.killed, bench.killed.tails(plan, Damage::Cut), &mut row).await?
            }
            "a tail cut off on a full disk" => {
                if let Err(why) = bench.without_room(plan, &mut row).await? {
                    report.skip(case, &why);
                    continue;
                }
            }
            _ => bench.suffers(&bench.closed, bench.closed.tails(plan, Damage::Cut), &mut row).await?,
        }
        report.add(&row)?;
    }
    Ok(())
}

/// A store that a gateway at work left behind, with nothing retired.
struct Whole {
    state: PathBuf,
    anatomy: Vec<Segment>,
    /// Whether it was closed in order.
    closed: bool,
}

impl Whole {
    fn of(state: PathBuf, closed: bool) -> anyhow::Result<Self> {
        let anatomy = dissect(&state.join("journal"))?;
        Ok(Self { state, anatomy, closed })
    }

    fn punches(&self) -> BTreeSet<String> {
        self.anatomy.iter().flat_map(|segment| &segment.punches).map(|punch| punch.person.clone()).collect()
    }

    /// The persons in the last group that has any.
    fn last_persons(&self) -> BTreeSet<String> {
        let newest = self.anatomy.last().into_iter();
        let last = newest.flat_map(|it| it.punches.iter().filter(|punch| Some(punch.bytes.start) > it.last_group()));
        last.map(|punch| punch.person.clone()).collect()
    }

    /// One damage for each byte from the last group with punches to the end; the short form has a few of them.
    fn tails(&self, plan: &Plan, damage: fn(u64) -> Damage) -> Vec<Damage> {
        let Some(newest) = self.anatomy.last() else { return Vec::new() };
        let first = newest.last_group().or(newest.groups.last().map(|group| group.start)).unwrap_or(0);
        let bytes = newest.used - first;
        let count = plan.times(4, bytes).clamp(1, bytes);
        (0..count).map(|n| damage(first + n * bytes / count)).collect()
    }
}

struct Bench {
    folder: PathBuf,
    daemon: Daemon,
    closed: Whole,
    killed: Whole,
}

impl Bench {
    async fn new(plan: &Plan, folder: &Path) -> anyhow::Result<Self> {
        let (closed, killed) = (folder.join("closed"), folder.join("killed"));
        let spool = "min_free = \"1MiB\"\nsegment = \"64KiB\"\n".into();
        let mut world = started(plan, Settings { spool, rate: 400.0, ..Settings::default() }).await?;
        let begun = Instant::now();
        while segments(&world.state_dir().join("journal"))?.len() < 4 && begun.elapsed() < Duration::from_secs(120) {
            sleep(Duration::from_millis(100)).await;
        }
        // In the middle of its work, so that its last group has punches.
        world.daemon.kill();
        copy(&world.state_dir(), &killed)?;
        world.daemon.launch()?;
        world.settle(Duration::from_secs(60)).await;
        let status = world.daemon.stop().await?;
        anyhow::ensure!(status.success(), "the gateway that made the store left with {status}");
        copy(&world.state_dir(), &closed)?;
        let daemon = Daemon::new(&plan.binary, folder);
        let bench =
            Self { folder: folder.into(), daemon, closed: Whole::of(closed, true)?, killed: Whole::of(killed, false)? };
        fs::create_dir(bench.room())?;
        // Nobody is there, neither terminal nor broker: what the store says is all there is.
        let text = format!(
            "[gateway]\nid = \"rig\"\ntenant = \"acme\"\nzone = \"UTC\"\nstate_dir = \"{}\"\nsocket = \"{}\"\n\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:1\"\nallow_plaintext = true\n\n[spool]\nmin_free = \"1MiB\"\n\
             segment = \"64KiB\"\n\n\
             [[terminal]]\nname = \"nobody\"\ndriver = \"zk\"\naddress = \"tcp://127.0.0.1:1\"\n",
            bench.state().display(),
            folder.join("socket").display()
        );
        fs::write(bench.daemon.config(), text)?;
        for whole in [&bench.closed, &bench.killed] {
            let (known, told) = (whole.punches(), bench.persons(&whole.state)?);
            anyhow::ensure!(known.len() > 500, "the store to be damaged holds {} punches only", known.len());
            anyhow::ensure!(known == told, "the export of a whole store is not what stands in its files");
        }
        Ok(bench)
    }

    /// A file system may be mounted here.
    fn room(&self) -> PathBuf {
        self.folder.join("room")
    }

    fn state(&self) -> PathBuf {
        self.room().join("state")
    }

    fn persons(&self, state: &Path) -> anyhow::Result<BTreeSet<String>> {
        let punches = self.daemon.export(state)?;
        Ok(punches.iter().filter_map(|punch| punch["person"].as_str().map(str::to_owned)).collect())
    }

    fn flips(&self, plan: &Plan) -> anyhow::Result<Vec<Damage>> {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let anatomy = &self.closed.anatomy;
        let flip = |_| {
            let segment = &anatomy[random.random_range(0..anatomy.len())];
            Damage::Flip { file: segment.name.clone(), bit: random.random_range(0..segment.used * 8) }
        };
        Ok((0..plan.times(12, 1000)).map(flip).collect())
    }

    fn changes(&self, plan: &Plan) -> Vec<Damage> {
        let names: Vec<&String> = self.closed.anatomy.iter().map(|segment| &segment.name).collect();
        let mut changes = vec![Damage::Index, Damage::Missing("lock".into()), Damage::Zeroed("lock".into())];
        for name in if plan.full { &names[..] } else { &names[names.len() - 1..] } {
            changes.extend([
                Damage::Missing((*name).clone()),
                Damage::Zeroed((*name).clone()),
                Damage::LaterVersion((*name).clone()),
            ]);
            changes.extend((*name != names[0]).then(|| Damage::Swapped((*name).clone(), names[0].clone())));
        }
        changes
    }

    async fn suffers(&self, whole: &Whole, all: Vec<Damage>, row: &mut Row) -> anyhow::Result<()> {
        row.count = all.len() as u64;
        row.verdict = Verdict { recorded: whole.punches().len() as u64, ..Verdict::default() };
        let begun = Instant::now();
        for (number, damage) in all.into_iter().enumerate() {
            self.is_judged_and_repaired(whole, &damage, row)?;
            // The gateway reads through what is delivered soon after its start; waiting for that each time takes hours.
            self.is_opened(whole, &damage, number % 50 == 0, row).await?;
            if number % 100 == 99 {
                let (done, seconds) = (number + 1, begun.elapsed().as_secs());
                eprintln!("{}: {done} in {seconds} s, {} lost, {:?}", row.case, row.verdict.lost.len(), row.complaints);
            }
        }
        Ok(())
    }

    fn damaged(&self, whole: &Whole, damage: &Damage) -> anyhow::Result<PathBuf> {
        let state = self.state();
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        copy(&whole.state, &state)?;
        damage.apply(&state)?;
        Ok(state)
    }

    /// `journal verify` must name the damage, `journal repair` must bring back every punch that has all its bytes, and after
    /// that `journal verify` must say of each one that is gone that it is lost.
    fn is_judged_and_repaired(&self, whole: &Whole, damage: &Damage, row: &mut Row) -> anyhow::Result<()> {
        let state = self.damaged(whole, damage)?;
        let (found, was_whole) = self.daemon.verify(&state)?;
        // Behind kill -9 an end that is missing may be one that was never written.
        if whole.closed
            && let Some((segment, bytes)) = damage.place(&whole.anatomy)
            && (was_whole || !names(&found, segment, bytes.start))
        {
            row.complaints.push(format!("{damage:?}: journal verify does not name it: {}", found["faults"]));
        }
        let repair = |dry: bool| -> anyhow::Result<(Option<i32>, Value)> {
            let mut command = Command::new(self.daemon.binary());
            command.args(["journal", "repair", "--json", "--state-dir"]).arg(&state);
            if dry {
                command.arg("--dry-run");
            }
            let output = command.output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::String(said));
            Ok((output.status.code(), report))
        };
        let (code, repaired) = repair(false)?;
        if matches!(damage, Damage::LaterVersion(_)) {
            // What a newer version wrote is not touched.
            if code != Some(1) || !repaired.to_string().contains("newer version") {
                row.complaints.push(format!("{damage:?}: a repair says {repaired}"));
            }
            return Ok(());
        }
        if !matches!(code, Some(0 | 3)) {
            row.complaints.push(format!("{damage:?}: the repair ended with {code:?}: {repaired}"));
            return Ok(());
        }
        let (after, _) = self.daemon.verify(&state)?;
        if after["faults"].as_array().is_none_or(|faults| !faults.is_empty()) {
            row.complaints.push(format!("{damage:?}: after a repair there are faults: {}", after["faults"]));
        }
        let (_, again) = repair(true)?;
        if again["needed"] != false {
            row.complaints.push(format!("{damage:?}: a second repair would do something: {again}"));
        }
        let (all, left) = (whole.punches(), self.persons(&state)?);
        let costs = damage.costs(&whole.anatomy);
        for person in all.difference(&left).filter(|person| !costs.contains(*person)) {
            row.verdict.lost.push(format!("{person} by {damage:?} and a repair"));
        }
        for person in left.difference(&all) {
            row.verdict.forged.push(format!("{person} by {damage:?} and a repair"));
        }
        let gone: Vec<(&str, u64)> = whole
            .anatomy
            .iter()
            .flat_map(|segment| &segment.punches)
            .filter(|punch| !left.contains(&punch.person))
            .map(|punch| (punch.terminal.as_str(), punch.seq))
            .collect();
        for (terminal, seq) in gone.into_iter().filter(|_| whole.closed) {
            if !is_told_lost(&after, terminal, seq) {
                row.complaints.push(format!("{damage:?}: {seq} of {terminal} is gone, and nothing says so"));
            }
        }
        Ok(())
    }

    /// The gateway must start on it, keep what has all its bytes or tell that something is damaged, and invent nothing.
    async fn is_opened(&self, whole: &Whole, damage: &Damage, patient: bool, row: &mut Row) -> anyhow::Result<()> {
        let state = self.damaged(whole, damage)?;
        let mut daemon = Daemon::new(self.daemon.binary(), &self.folder);
        let _ = fs::remove_file(daemon.log_path()); // each damage has a log of its own
        if matches!(damage, Damage::LaterVersion(_)) {
            return self.is_refused(&mut daemon, damage, row).await;
        }
        daemon.launch()?;
        let begun = Instant::now();
        let Some(mut conditions) = answer(&mut daemon, damage, row).await? else { return Ok(()) };
        row.recovered.push(begun.elapsed());
        let told = |conditions: &[String]| conditions.iter().any(|code| code == "journal-damaged");
        let (all, readable) = (whole.punches(), self.persons(&state)?);
        let gone = all.difference(&readable).count();
        let cut_off = daemon.log().contains("was cut off the journal");
        if gone > 0 && !(cut_off && all.difference(&readable).all(|it| damage.costs(&whole.anatomy).contains(it))) {
            while patient && !told(&conditions) && begun.elapsed() < TELL_LIMIT {
                sleep(Duration::from_millis(100)).await;
                conditions = daemon.conditions().unwrap_or_default();
            }
            let (after, is_whole) = self.daemon.verify(&state)?;
            if told(&conditions) {
                let after = Told::After(begun.elapsed());
                row.tell(after);
            } else if whole.closed && (patient || (is_whole && after["unfinished_bytes"] == 0)) {
                row.verdict.lost.push(format!("{gone} in silence by {damage:?}; the conditions are {conditions:?}"));
            }
        }
        row.peak_rss_kib = row.peak_rss_kib.max(daemon.peak_kib());
        daemon.kill();
        // Of a write that a crash cut short, whatever is whole is kept.
        if !whole.closed {
            for person in all.difference(&readable).filter(|it| !damage.costs(&whole.anatomy).contains(*it)) {
                row.verdict.lost.push(format!("{person} by {damage:?} and a start"));
            }
        }
        for person in readable.difference(&all) {
            row.verdict.forged.push(format!("{person} by {damage:?}"));
        }
        Ok(())
    }

    fn bytes(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        segments(&self.state().join("journal"))?.into_iter().map(|path| Ok(fs::read(path)?)).collect()
    }

    /// What a newer version wrote must be left as it is, with words that say what to do.
    async fn is_refused(&self, daemon: &mut Daemon, damage: &Damage, row: &mut Row) -> anyhow::Result<()> {
        let (before, begun) = (self.bytes()?, Instant::now());
        daemon.launch()?;
        let status = loop {
            match daemon.has_ended()? {
                Some(status) => break Some(status),
                None if begun.elapsed() > TELL_LIMIT => break None,
                None => sleep(Duration::from_millis(10)).await,
            }
        };
        daemon.kill();
        let said = daemon.log();
        if status.is_none_or(|status| status.success()) || !said.contains("newer version") || !said.contains("mend: ") {
            let said = crate::kill::tail(&said);
            row.complaints.push(format!("{damage:?}: the gateway ended with {status:?} and said {said}"));
        }
        if self.bytes()? != before {
            row.complaints.push(format!("{damage:?}: the journal was touched all the same"));
        }
        Ok(())
    }
}

/// The conditions of a gateway that has just been started, as soon as it answers; the complaint is noted if it does not.
async fn answer(daemon: &mut Daemon, damage: &Damage, row: &mut Row) -> anyhow::Result<Option<Vec<String>>> {
    let begun = Instant::now();
    while begun.elapsed() < TELL_LIMIT {
        if let Some(conditions) = daemon.conditions() {
            return Ok(Some(conditions));
        }
        if let Some(status) = daemon.has_ended()? {
            let said = crate::kill::tail(&daemon.log());
            row.complaints.push(format!("{damage:?}: the gateway ended with {status}: {said}"));
            return Ok(None);
        }
        sleep(Duration::from_millis(10)).await;
    }
    row.complaints.push(format!("{damage:?}: the gateway did not answer for a minute"));
    Ok(None)
}

/// Whether a fault of this file is told that begins where the damage does, or before.
fn names(report: &Value, segment: &Segment, at: u64) -> bool {
    let faults = report["faults"].as_array().map_or(&[][..], Vec::as_slice);
    let here = |fault: &Value| {
        let (there, offset) = (fault["segment"].as_u64(), fault["offset"].as_u64());
        // A file that is gone is told of where the next one begins, or the journal ends.
        let gone = fault["what"]
            .as_str()
            .is_some_and(|what| what.contains(&segment.name) || what.contains("its last files are gone"));
        gone || (there == Some(segment.number) && offset.is_some_and(|offset| offset <= at))
    };
    faults.iter().any(here)
}

/// Whether the journal itself says that this number is lost.
fn is_told_lost(report: &Value, terminal: &str, seq: u64) -> bool {
    let ledgers = report["ledgers"].as_array().map_or(&[][..], Vec::as_slice);
    let holes =
        ledgers.iter().filter(|ledger| ledger["terminal"] == terminal).filter_map(|it| it["missing"].as_array());
    holes.flatten().any(|hole| {
        let range = hole["first"].as_u64().unwrap_or(1)..=hole["last"].as_u64().unwrap_or(0);
        range.contains(&seq) && !hole["recorded"].is_null()
    })
}

/// A folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target).context("a copy")?;
        }
    }
    Ok(())
}
