//! A store that was damaged while the gateway was off, on copies: torn at every byte, bits flipped, files missing, zeroed,
//! swapped, of a later version. Nothing that it held may be missing without somebody being told.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use crate::{
    Plan,
    daemon::Daemon,
    oracle::Verdict,
    row::{Report, Row, TELL_LIMIT, Told},
    storage::{segments, started},
    world::Settings,
};

#[derive(Debug, Clone)]
enum Damage {
    /// The newest segment ends here, in zeros.
    Torn(u64),
    Flip {
        file: PathBuf,
        bit: u64,
    },
    Missing(PathBuf),
    Zeroed(PathBuf),
    Swapped(PathBuf, PathBuf),
    LaterVersion(PathBuf),
    Index,
}

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let wanted = ["torn tails", "bits flipped", "files gone or changed"].map(|case| plan.wants(case));
    if wanted == [false; 3] {
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix("punchgate-copies-").tempdir()?;
    let whole = folder.path().join("whole");
    build(plan, &whole).await?;
    let bench = Bench::new(plan, folder.path(), whole)?;
    let mut random = StdRng::seed_from_u64(plan.seed);
    let files = segments(&bench.whole.join("journal"))?;
    let names: Vec<PathBuf> = files.iter().filter_map(|path| path.file_name()).map(PathBuf::from).collect();
    let newest = fs::read(files.last().context("a segment")?)?;
    let used = newest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1) as u64;

    let wish = |short: u64, full: u64| plan.times(short, full);
    let torn = wish(6, 400).min(used);
    let torn = (0..torn).map(|back| Damage::Torn(used - 1 - back * if plan.full { 1 } else { 37 })).collect();
    let mut flips = Vec::new();
    for _ in 0..wish(12, 1000) {
        let at = random.random_range(0..names.len());
        let long = fs::read(&files[at])?.iter().rposition(|byte| *byte != 0).map_or(1, |last| last as u64 + 1);
        flips.push(Damage::Flip { file: names[at].clone(), bit: random.random_range(0..long * 8) });
    }
    let mut changed = vec![Damage::Index, Damage::Missing("lock".into()), Damage::Zeroed("lock".into())];
    for name in if plan.full { &names[..] } else { &names[names.len() - 1..] } {
        changed.extend([
            Damage::Missing(name.clone()),
            Damage::Zeroed(name.clone()),
            Damage::LaterVersion(name.clone()),
            Damage::Swapped(name.clone(), names[0].clone()),
        ]);
    }
    let cases = [("torn tails", torn), ("bits flipped", flips), ("files gone or changed", changed)];
    for ((case, all), wanted) in cases.into_iter().zip(wanted) {
        if wanted {
            bench.suffers(report, case, all).await?;
        }
    }
    Ok(())
}

/// A store of some segments that a gateway at work left behind, with nothing retired.
async fn build(plan: &Plan, to: &Path) -> anyhow::Result<()> {
    let spool = "min_free = \"1MiB\"\nsegment = \"64KiB\"\n".into();
    let mut world = started(plan, Settings { spool, rate: 400.0, ..Settings::default() }).await?;
    let begun = Instant::now();
    while segments(&world.state_dir().join("journal"))?.len() < 4 && begun.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(100)).await;
    }
    world.settle(Duration::from_secs(30)).await;
    world.daemon.stop().await?;
    copy(&world.state_dir(), to)
}

struct Bench {
    folder: PathBuf,
    whole: PathBuf,
    daemon: Daemon,
    punches: BTreeSet<String>,
}

impl Bench {
    fn new(plan: &Plan, folder: &Path, whole: PathBuf) -> anyhow::Result<Self> {
        let daemon = Daemon::new(&plan.binary, folder);
        let state = folder.join("state");
        // Nobody is there, neither terminal nor broker: what the store says is all there is.
        let text = format!(
            "[gateway]\nid = \"rig\"\ntenant = \"acme\"\nzone = \"UTC\"\nstate_dir = \"{}\"\nsocket = \"{}\"\n\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n\n[spool]\nmin_free = \"1MiB\"\nsegment = \"64KiB\"\n\n\
             [[terminal]]\nname = \"nobody\"\ndriver = \"zk\"\naddress = \"tcp://127.0.0.1:1\"\n",
            state.display(),
            folder.join("socket").display()
        );
        fs::write(daemon.config(), text)?;
        let punches = persons(&daemon, &whole)?;
        anyhow::ensure!(punches.len() > 500, "the store to be damaged holds {} punches only", punches.len());
        Ok(Self { folder: folder.into(), whole, daemon, punches })
    }

    async fn suffers(&self, report: &mut Report, case: &str, all: Vec<Damage>) -> anyhow::Result<()> {
        let mut row = Row { rig: "storage", case: case.into(), count: all.len() as u64, ..Row::default() };
        row.verdict = Verdict { recorded: self.punches.len() as u64, ..Verdict::default() };
        let begun = Instant::now();
        for (number, damage) in all.into_iter().enumerate() {
            // The gateway reads through what is delivered soon after its start; waiting for that each time takes hours.
            let patient = number % 50 == 0;
            if let Some(what) = self.suffer(&damage, patient, &mut row).await? {
                row.verdict.lost.push(format!("{damage:?}: {what}"));
            }
            if number % 100 == 99 {
                eprintln!(
                    "{case}: {} in {} s, {} silent",
                    number + 1,
                    begun.elapsed().as_secs(),
                    row.verdict.lost.len()
                );
            }
        }
        report.add(&row)
    }

    /// What went missing without a word.
    async fn suffer(&self, damage: &Damage, patient: bool, row: &mut Row) -> anyhow::Result<Option<String>> {
        let state = self.folder.join("state");
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        copy(&self.whole, &state)?;
        damage.apply(&state)?;
        let (report, whole) = self.daemon.verify(&state)?;
        let readable = persons(&self.daemon, &state)?;
        let unfinished = report["unfinished_bytes"].as_u64().unwrap_or(0) > 0;
        let before = self.punches.difference(&readable).count();
        // A newest file that is gone altogether, or empty, is known by the index alone, which only the gateway reads.
        let by_index = matches!(damage, Damage::Missing(_) | Damage::Zeroed(_) | Damage::Torn(_));
        if before > 0 && whole && !unfinished && !by_index {
            return Ok(Some(format!("journal verify calls it whole, and {before} punches are gone")));
        }
        let mut daemon = Daemon::new(self.daemon.binary(), &self.folder);
        let _ = fs::remove_file(daemon.log_path()); // each damage has a log of its own
        daemon.launch()?;
        let begun = Instant::now();
        let mut conditions = None;
        while conditions.is_none() && begun.elapsed() < Duration::from_secs(20) {
            if let Some(status) = daemon.has_ended()? {
                row.complaints
                    .push(format!("{damage:?}: the gateway ended with {status}: {}", crate::kill::tail(&daemon.log())));
                return Ok(None);
            }
            sleep(Duration::from_millis(10)).await;
            conditions = daemon.conditions();
        }
        let Some(mut conditions) = conditions else {
            row.complaints.push(format!("{damage:?}: the gateway did not answer in 20 s"));
            return Ok(None);
        };
        row.recovered.push(begun.elapsed());
        let told = |conditions: &[String]| conditions.iter().any(|code| code == "journal-damaged");
        let readable = persons(&self.daemon, &state)?;
        let gone = self.punches.difference(&readable).count();
        if gone > 0 && !daemon.log().contains("was cut off the journal") {
            while patient && !told(&conditions) && begun.elapsed() < TELL_LIMIT {
                sleep(Duration::from_millis(100)).await;
                conditions = daemon.conditions().unwrap_or_default();
            }
            let (after, whole) = self.daemon.verify(&state)?;
            if told(&conditions) {
                let slowest = match row.told {
                    Some(Told::After(before)) => before.max(begun.elapsed()),
                    _ => begun.elapsed(),
                };
                row.told = Some(Told::After(slowest));
            } else if patient || (whole && after["unfinished_bytes"] == 0) {
                return Ok(Some(format!("{gone} punches are gone, and the conditions are {conditions:?}")));
            }
        }
        row.peak_rss_kib = row.peak_rss_kib.max(daemon.peak_kib());
        daemon.kill();
        if readable.difference(&self.punches).next().is_some() {
            row.verdict.forged.push(format!("{damage:?}: punches that were never there"));
        }
        Ok(None)
    }
}

impl Damage {
    fn apply(&self, state: &Path) -> anyhow::Result<()> {
        let journal = state.join("journal");
        let change = |name: &Path, change: &dyn Fn(&mut Vec<u8>)| -> anyhow::Result<()> {
            let path = journal.join(name);
            let mut bytes = fs::read(&path)?;
            change(&mut bytes);
            Ok(fs::write(&path, bytes)?)
        };
        match self {
            Self::Torn(at) => {
                let newest = segments(&journal)?.pop().context("a segment")?;
                let long = fs::metadata(&newest)?.len();
                let file = fs::File::options().write(true).open(&newest)?;
                file.write_all_at(&vec![0; (long - at) as usize], *at)?;
            }
            Self::Flip { file, bit } => change(file, &|bytes| bytes[(bit / 8) as usize] ^= 1 << (bit % 8))?,
            Self::Missing(name) => fs::remove_file(journal.join(name))?,
            Self::Zeroed(name) => change(name, &|bytes| bytes.fill(0))?,
            Self::Swapped(one, other) if one != other => {
                fs::rename(journal.join(one), journal.join("swap"))?;
                fs::rename(journal.join(other), journal.join(one))?;
                fs::rename(journal.join("swap"), journal.join(other))?;
            }
            Self::Swapped(..) => {}
            Self::LaterVersion(name) => change(name, &|bytes| bytes[6] = b'2')?,
            Self::Index => fs::remove_dir_all(state.join("index"))?,
        }
        Ok(())
    }
}

fn persons(daemon: &Daemon, state: &Path) -> anyhow::Result<BTreeSet<String>> {
    let punches = daemon.export(state)?;
    Ok(punches.iter().filter_map(|punch| punch["person"].as_str().map(str::to_owned)).collect())
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
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
