//! `punchgate backup` and `punchgate restore`: asked of people's words, told in people's words.

use std::{io::Write, process::Command};

use serde_json::json;

use super::{
    FAILED, Failure, OK,
    args::{BackupArgs, BackupCommand, ListArgs, ReadArgs, RestoreArgs},
    bundle::write_new,
    out::Out,
    words,
};
use crate::{
    backup::{self, Identity, Listed, Order, Refused, Restore, Target},
    config::{self, BucketSettings},
    drivers::DRIVERS,
};

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::failed(refused.why, refused.mend)
    }
}

pub(super) fn backup(args: &BackupArgs, out: &mut Out) -> Result<u8, Failure> {
    match &args.command {
        None => make(args, out),
        Some(BackupCommand::List(args)) => list(args, out),
        Some(BackupCommand::Verify(args)) => verify(&args.read, out),
        Some(BackupCommand::Keygen { file }) => {
            let (text, recipient) = backup::new_identity();
            write_new(file, text.as_bytes())?;
            writeln!(out, "{recipient}")?;
            writeln!(
                out,
                "Write this recipient into backup.recipients. Keep {} away from the gateway:",
                file.display()
            )?;
            writeln!(out, "who has it reads every backup, and without it none can be read.")?;
            Ok(OK)
        }
    }
}

fn make(args: &BackupArgs, out: &mut Out) -> Result<u8, Failure> {
    let config::BackupPlan { tenant, gateway, state_dir, settings } = config::backup_plan(&args.config)?;
    let missing = |what: &str, word: &str, key: &str| Failure::Usage {
        why: format!("nobody said {what}"),
        mend: format!("write {key} into section [backup] of the config, or give {word}"),
    };
    let of_config = settings.as_ref();
    let target =
        args.to.as_ref().or(of_config.map(|it| &it.target)).ok_or_else(|| missing("where to", "--to", "target"))?;
    let recipients = match args.recipient.is_empty() {
        false => args.recipient.clone(),
        true => of_config.map(|it| it.recipients.clone()).unwrap_or_default(),
    };
    if recipients.is_empty() {
        return Err(missing("who shall be able to read it", "--recipient", "recipients"));
    }
    let identity = args.identity.as_deref().map(Identity::read).transpose()?;
    let bucket = of_config.map(|it| it.bucket.clone()).unwrap_or_default();
    let target = Target::parse(target, &bucket)?;
    let order = Order {
        config: &args.config,
        state_dir: &state_dir,
        tenant: &tenant,
        gateway: &gateway,
        target: &target,
        recipients: &recipients,
        keep: of_config.and_then(|it| it.keep),
        identity: identity.as_ref(),
        read_all: args.read_all,
    };
    let made = backup::make(&order)?;
    if args.json {
        out.json(&json!({
            "backup": made.id, "target": target.shown(), "files": made.files, "sent": made.sent,
            "sent_bytes": made.sent_bytes, "reused": made.reused, "removed_backups": made.removed.0,
            "removed_objects": made.removed.1, "faults": made.faults, "warnings": made.warnings,
        }))?;
    } else {
        writeln!(out, "backup {}, read back, at {}", made.id, target.shown())?;
        writeln!(
            out,
            "  {} files; sent {} objects of {}, {} were there already",
            made.files,
            made.sent,
            words::bytes(made.sent_bytes),
            made.reused
        )?;
        if made.removed != (0, 0) {
            writeln!(out, "  removed {} older backups, {} objects", made.removed.0, made.removed.1)?;
        }
        for warning in &made.warnings {
            writeln!(out, "  note: {warning}")?;
        }
        for fault in &made.faults {
            writeln!(out, "  the journal was damaged before: {fault}")?;
        }
        if !made.faults.is_empty() {
            writeln!(out, "Everything is in the backup as it is. Now: punchgate journal verify")?;
        }
    }
    Ok(if made.faults.is_empty() { OK } else { FAILED })
}

/// A target that is read on any machine: no config says how a bucket is reached, so the environment does.
fn elsewhere(target: &str) -> Result<Target, Refused> {
    Target::parse(target, &BucketSettings::default())
}

fn list(args: &ListArgs, out: &mut Out) -> Result<u8, Failure> {
    let target = elsewhere(&args.target)?;
    let mut code = OK;
    for Listed { id, manifest } in backup::list(&target)? {
        match manifest {
            Ok(manifest) if args.json => out.json(&json!({
                "backup": id, "gateway": manifest.gateway, "tenant": manifest.tenant, "created": manifest.created,
                "objects": manifest.objects.len() + 1,
                "bytes": manifest.objects.iter().map(|it| it.bytes).sum::<u64>() + manifest.contents.bytes,
                "recipients": manifest.recipients, "last_group": manifest.last_group,
            }))?,
            Ok(manifest) => {
                let bytes = manifest.objects.iter().map(|it| it.bytes).sum::<u64>() + manifest.contents.bytes;
                let who = format!("{}/{}", manifest.tenant, manifest.gateway);
                let (count, for_whom) = (manifest.objects.len() + 1, manifest.recipients.join(", "));
                writeln!(out, "{id}  {who}  {count} objects, {}, for {for_whom}", words::bytes(bytes))?;
            }
            Err(refused) => {
                code = FAILED;
                match args.json {
                    true => out.json(&json!({ "backup": id, "damaged": refused.why }))?,
                    false => writeln!(out, "{id}  damaged: {}", refused.why)?,
                }
            }
        }
    }
    Ok(code)
}

fn verify(args: &ReadArgs, out: &mut Out) -> Result<u8, Failure> {
    let (target, identity) = (elsewhere(&args.target)?, Identity::read(&args.identity)?);
    let verified = backup::verify(&target, args.backup.as_deref(), &identity, args.gateway_key.as_deref())?;
    let manifest = &verified.manifest;
    if args.json {
        out.json(&json!({
            "backup": manifest.id, "gateway": manifest.gateway, "tenant": manifest.tenant, "created": manifest.created,
            "files": verified.files, "bytes": verified.bytes, "punches": verified.punches, "faults": verified.faults,
        }))?;
    } else {
        writeln!(out, "backup {} of {}/{} is whole", manifest.id, manifest.tenant, manifest.gateway)?;
        writeln!(out, "  {} files, {}, {} punches", verified.files, words::bytes(verified.bytes), verified.punches)?;
        for fault in &verified.faults {
            writeln!(out, "  its journal was damaged before: {fault}")?;
        }
    }
    Ok(OK)
}

pub(super) fn restore(args: &RestoreArgs, out: &mut Out) -> Result<u8, Failure> {
    let (target, identity) = (elsewhere(&args.read.target)?, Identity::read(&args.read.identity)?);
    let wanted = Restore {
        target: &target,
        id: args.read.backup.as_deref(),
        identity: &identity,
        key: args.read.gateway_key.as_deref(),
        config_dir: &args.config_dir,
        state_dir: args.state_dir.as_deref(),
        replace: args.replace,
    };
    let restored = backup::restore(&wanted)?;
    // What it says of files that are not here yet is for whoever restores, and no reason to take anything back.
    let problems: Vec<String> = match config::load(&restored.config, DRIVERS) {
        Ok(config) if config.gateway.state_dir != restored.state_dir => vec![format!(
            "gateway.state_dir is {}, and the state was put to {}: change it in the config",
            config.gateway.state_dir.display(),
            restored.state_dir.display()
        )],
        Ok(_) => vec![],
        Err(rejected) => rejected.problems.iter().map(ToString::to_string).collect(),
    };
    if args.read.json {
        out.json(&json!({
            "backup": restored.id, "config": restored.config, "state_dir": restored.state_dir,
            "punches": restored.punches, "finished_earlier": restored.manifest.is_none(), "aside": restored.aside,
            "elsewhere": restored.elsewhere, "problems": problems,
        }))?;
    } else {
        match &restored.manifest {
            None => writeln!(out, "finished the restore of {}, which was cut off", restored.id)?,
            Some(manifest) => {
                let who = format!("{}/{}", manifest.tenant, manifest.gateway);
                writeln!(out, "restored {} of {who}: {} punches", restored.id, restored.punches)?;
            }
        }
        writeln!(out, "  config {}", restored.config.display())?;
        writeln!(out, "  state  {}", restored.state_dir.display())?;
        for path in &restored.aside {
            writeln!(out, "  what was there before is kept in {}", path.display())?;
        }
        for path in &restored.elsewhere {
            writeln!(out, "  bring to its place: {}", path.display())?;
        }
        for problem in &problems {
            writeln!(out, "the config has a problem here: {problem}")?;
        }
    }
    out.flush()?;
    if args.start {
        start()?;
        if !args.read.json {
            writeln!(out, "The gateway runs: punchgate status")?;
        }
    }
    Ok(if problems.is_empty() { OK } else { FAILED })
}

fn start() -> Result<(), Failure> {
    let failed =
        |why: String| Failure::failed(format!("everything is restored, and {why}"), "systemctl status punchgate");
    match Command::new("systemctl").args(["enable", "--now", "punchgate"]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("systemctl enable --now punchgate ended with {status}"))),
        Err(error) => Err(failed(format!("systemctl cannot be run: {error}"))),
    }
}
