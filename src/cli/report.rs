//! `punchgate report`: a period on one page, or as JSON.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{
    Failure, OK,
    args::{Language as Asked, ReportArgs},
    ask,
    doctor::language,
    journal::state_dir,
    out::Out,
};
use crate::{
    console::{Answer, Request},
    report::{self, Firmware, Language, Wanted, html},
};

pub(super) fn report(args: &ReportArgs, out: &mut Out) -> Result<u8, Failure> {
    let (from, to) = report::period(args.from, args.to);
    if from >= to {
        return Err(Failure::Usage {
            why: "the time ends before it begins".into(),
            mend: "swap --from and --to".into(),
        });
    }
    let state_dir = state_dir(&args.disk)?;
    let (firmware, advisories) = (firmware(args), args.advisories.clone());
    let report = Wanted { state_dir, from, to, advisories, firmware }.read();
    let report = report.map_err(|error| {
        Failure::failed(error.to_string(), "is it there, and do you read it as root or as the gateway's user?")
    })?;
    let text = match args.json {
        true => serde_json::to_string(&report).map_err(io::Error::other)? + "\n",
        false => {
            let language = match args.lang.unwrap_or_else(language) {
                Asked::En => Language::En,
                Asked::Zh => Language::Zh,
            };
            html(&report, language)
        }
    };
    match &args.out {
        Some(path) => into_file(path, &text)?,
        None => out.write_all(text.as_bytes())?,
    }
    Ok(OK)
}

/// What the running daemon knows and no disk: the report is made without it, too.
fn firmware(args: &ReportArgs) -> Firmware {
    if args.disk.state_dir.is_some() {
        return Firmware::new();
    }
    let ask_args = super::args::AskArgs { config: Some(args.disk.config.clone()), socket: None, json: true };
    let answers = ask::all(&ask_args, &Request::Terminals).unwrap_or_default();
    let one = |answer: Answer| match answer {
        Answer::Terminal(line) => Some((line.name, (line.driver, line.firmware))),
        _ => None,
    };
    answers.into_iter().filter_map(one).collect()
}

/// Readable by its owner alone: who reads it decides who else may. A former one is replaced when the new one is whole.
fn into_file(path: &Path, text: &str) -> Result<(), Failure> {
    let wrong = |error: io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()), "give a file in a folder that is there")
    };
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(wrong)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
    fs::rename(&fresh, path).map_err(wrong)
}
