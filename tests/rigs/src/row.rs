//! What a rig found, as a row of a table, here and in `docs/reliability.md`.

use std::{fs, io::Write, path::Path, time::Duration};

use crate::{Plan, oracle::Verdict};

/// One case of a rig.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) rig: &'static str,
    pub(crate) case: String,
    /// How often the fault happened.
    pub(crate) count: u64,
    pub(crate) verdict: Verdict,
    pub(crate) peak_rss_kib: u64,
    /// From the end of each fault until punches arrived again.
    pub(crate) recovered: Vec<Duration>,
    /// From the fault to the condition that tells of it; `None` where the fault is none that a person must hear of.
    pub(crate) told: Option<Told>,
    /// The fault damages what is on disk: then it must be told, and `journal verify` need not be content.
    pub(crate) allows_damage: bool,
    /// Nobody punches in this rig: only the complaints count.
    pub(crate) without_punches: bool,
    /// What else must hold and did not.
    pub(crate) complaints: Vec<String>,
    /// Where everything is kept when it failed.
    pub(crate) kept: String,
}

#[derive(Debug, Clone)]
pub(crate) enum Told {
    After(Duration),
    /// Not within the limit.
    Never(String),
}

impl Told {
    /// The later one of two.
    fn worse(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Never(_), _) => self,
            (Self::After(one), Self::After(two)) if one >= two => self,
            _ => other,
        }
    }
}

/// A condition must say it in this time.
pub(crate) const TELL_LIMIT: Duration = Duration::from_secs(60);

impl Row {
    /// Notes when it was told; of several times the latest one counts.
    pub(crate) fn tell(&mut self, told: Told) {
        self.told = Some(match self.told.take() {
            Some(before) => before.worse(told),
            None => told,
        });
    }

    pub(crate) fn has_passed(&self) -> bool {
        let told = match &self.told {
            Some(Told::After(time)) => *time <= TELL_LIMIT,
            Some(Told::Never(_)) => false,
            None => true,
        };
        (self.without_punches || self.verdict.is_right()) && self.complaints.is_empty() && told
    }

    fn cells(&self, seed: u64) -> [String; 13] {
        let verdict = &self.verdict;
        let mut recovered = self.recovered.clone();
        recovered.sort_unstable();
        let recovered = match recovered.last() {
            None => "-".into(),
            Some(worst) => format!("{} / {}", seconds(recovered[recovered.len() / 2]), seconds(*worst)),
        };
        let told = match &self.told {
            None => "-".into(),
            Some(Told::After(time)) => seconds(*time),
            Some(Told::Never(_)) => "never".into(),
        };
        let number = |number: u64| if self.without_punches { "-".into() } else { number.to_string() };
        [
            jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            self.rig.into(),
            self.case.clone(),
            seed.to_string(),
            self.count.to_string(),
            number(verdict.recorded),
            number(verdict.lost.len() as u64),
            number(verdict.resends),
            number(verdict.twins.len() as u64),
            number(verdict.forged.len() as u64),
            if self.peak_rss_kib == 0 { "-".into() } else { format!("{:.0}", self.peak_rss_kib as f64 / 1024.0) },
            recovered,
            told,
        ]
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}

const HEAD: [&str; 13] = [
    "date",
    "rig",
    "case",
    "seed",
    "count",
    "punches",
    "lost",
    "sent again",
    "twins",
    "forged",
    "RSS MiB",
    "recovery s",
    "told s",
];

/// All rows of a run.
#[derive(Debug)]
pub(crate) struct Report {
    seed: u64,
    record: bool,
    profile: &'static str,
    passed: usize,
    pub(crate) failed: usize,
    begun: bool,
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Self {
        let profile =
            if plan.binary.components().any(|part| part.as_os_str() == "release") { "release" } else { "debug" };
        Self { seed: plan.seed, record: plan.full || plan.record, profile, passed: 0, failed: 0, begun: false }
    }

    /// Shows a row and, in the full form, adds it to the documents.
    pub(crate) fn add(&mut self, row: &Row) -> anyhow::Result<()> {
        if !self.begun {
            println!("{}", line(&HEAD.map(str::to_owned)));
            self.begun = true;
        }
        let passed = row.has_passed();
        *(if passed { &mut self.passed } else { &mut self.failed }) += 1;
        let mut cells = row.cells(self.seed);
        println!("{}{}", line(&cells), if passed { "" } else { "  FAILED" });
        let verdict = &row.verdict;
        let words = [("lost", &verdict.lost), ("twins", &verdict.twins), ("forged", &verdict.forged)];
        for (word, all) in words.into_iter().chain([("wrong", &row.complaints)]) {
            for one in all.iter().take(10) {
                println!("    {word}: {one}");
            }
        }
        if let Some(Told::Never(what)) = &row.told {
            println!("    never told: {what}");
        }
        if !passed && !row.kept.is_empty() {
            println!("    kept: {}", row.kept);
        }
        if self.record {
            if self.profile == "debug" {
                cells[2] += " (debug build)";
            }
            for document in ["docs/reliability.md", "docs/zh/reliability.md"] {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(document);
                let mut file = fs::File::options().append(true).open(path)?;
                let mark = if passed { "" } else { " **failed** |" };
                writeln!(file, "{}{mark}", line(&cells))?;
            }
        }
        Ok(())
    }

    /// A case that cannot be done on this machine.
    pub(crate) fn skip(&self, case: &str, why: &str) {
        println!("SKIPPED: {case}: {why}");
    }

    pub(crate) fn close(&self) {
        println!("{} passed, {} failed", self.passed, self.failed);
    }
}

fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}
