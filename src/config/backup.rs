//! `[backup]`: where backups go, who can read them, how many stay, and how often there should be one.

use std::{path::Path, path::PathBuf, time::Duration};

use driver_api::{Period, Problems, Section};

use super::{
    Rejected,
    bucket::{self, BucketSettings},
    folder_of, gateway, parse, section,
};

/// What backups are made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSettings {
    /// The path of a folder, or `s3://BUCKET/PREFIX`.
    pub target: String,
    /// How that bucket is reached.
    pub bucket: BucketSettings,
    /// As in `age1...`; never empty.
    pub recipients: Vec<String>,
    /// So many stay; `None` is all of them.
    pub keep: Option<usize>,
    /// How often there should be one.
    pub every: Duration,
}

/// What a backup needs of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPlan {
    pub tenant: String,
    pub gateway: String,
    pub state_dir: PathBuf,
    pub settings: Option<BackupSettings>,
}

const KEEP: usize = 30;
const EVERY: Duration = Duration::from_secs(86_400);

pub(super) fn read(mut section: Section, problems: &mut Problems) -> Option<BackupSettings> {
    let wanted = section.look("target").is_some() || section.look("recipients").is_some();
    let target = section.take_checked("target", "\"/mnt/backup/sz-03\"", problems, |text: String| {
        let is_bucket = text.strip_prefix("s3://").is_some_and(|place| !place.is_empty());
        match is_bucket || Path::new(&text).is_absolute() {
            true => Ok(text),
            false => Err((
                "it is no whole path of a folder, and no bucket of an object store".into(),
                "write it like this: target = \"/mnt/backup/sz-03\", or target = \"s3://BUCKET/sz-03\"".into(),
            )),
        }
    });
    let bucket = bucket::read(&mut section, target.as_deref(), problems);
    let recipients = section.take_checked("recipients", "[\"age1...\"]", problems, |texts: Vec<String>| {
        let mend = "write what punchgate backup keygen prints: recipients = [\"age1...\"]";
        if texts.is_empty() {
            return Err(("a backup is encrypted to somebody, and nobody is named".into(), mend.into()));
        }
        match texts.iter().find_map(|text| text.parse::<age::x25519::Recipient>().err().map(|why| (text, why))) {
            Some((text, why)) => Err((format!("{text:?} is no recipient: {why}"), mend.into())),
            None => Ok(texts),
        }
    });
    let keep = section.take::<usize>("keep", "30", problems);
    let every =
        section.take_checked("every", "\"1d\"", problems, |Period(period)| match period >= Duration::from_secs(600) {
            true => Ok(period),
            false => Err(("it is ten minutes at least".into(), "write it like this: every = \"1d\"".into())),
        });
    if wanted {
        for (key, there, example) in [
            ("target", target.is_some(), "\"/mnt/backup/sz-03\""),
            ("recipients", recipients.is_some(), "[\"age1...\"]"),
        ] {
            if !there && problems.errors.is_empty() {
                section.missing(
                    problems,
                    key,
                    "target and recipients go together",
                    format!("add a line: {key} = {example}"),
                );
            }
        }
    } else if keep.is_some() || every.is_some() {
        section.missing(
            problems,
            "target",
            "nobody knows where backups go",
            "add a line: target = \"/mnt/backup/sz-03\"",
        );
    }
    section.finish(problems);
    let keep = match keep.unwrap_or(KEEP) {
        0 => None,
        keep => Some(keep),
    };
    Some(BackupSettings { target: target?, bucket, recipients: recipients?, keep, every: every.unwrap_or(EVERY) })
}

/// What a backup needs, while the rest of the config may have problems: a gateway that is half broken needs one most.
pub fn backup_plan(path: &Path) -> Result<BackupPlan, Rejected> {
    let folder = folder_of(path);
    let mut problems = Problems::default();
    let mut table = parse(path)?;
    table.retain(|key, _| key == "gateway" || key == "backup");
    let mut file = Section::new("", table, folder.clone());
    let gateway = gateway::read(section(&mut file, "gateway", &folder, &mut problems), &mut problems);
    let settings = read(section(&mut file, "backup", &folder, &mut problems), &mut problems);
    match gateway {
        Some(gateway) if problems.errors.is_empty() => {
            Ok(BackupPlan { tenant: gateway.tenant, gateway: gateway.id, state_dir: gateway.state_dir, settings })
        }
        _ => Err(Rejected { path: path.into(), problems: problems.errors, warnings: vec![] }),
    }
}
