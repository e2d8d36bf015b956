//! `punchgate check`: a config with all its problems.

use std::io::Write;

use serde::Serialize;

use super::{Failure, OK, args::CheckArgs, exit::CONFIG, out::Out};
use crate::{
    config::{self, counted},
    drivers::DRIVERS,
};
use driver_api::Problem;

/// What `--json` prints.
#[derive(Serialize)]
struct Checked<'a> {
    file: String,
    ok: bool,
    problems: &'a [Problem],
    warnings: &'a [Problem],
}

pub(super) fn check(args: &CheckArgs, out: &mut Out) -> Result<u8, Failure> {
    let file = args.config.display().to_string();
    let loaded = config::load(&args.config, DRIVERS);
    let (problems, warnings) = match &loaded {
        Ok(config) => (&[][..], &config.warnings[..]),
        Err(rejected) => (&rejected.problems[..], &rejected.warnings[..]),
    };
    if args.json {
        out.json(&Checked { file, ok: problems.is_empty(), problems, warnings })?;
    } else {
        match &loaded {
            Err(rejected) => writeln!(out, "{rejected}")?,
            Ok(config) => {
                let (terminals, lines) = (config.terminals.len(), config.lines.len());
                writeln!(out, "{file} is well: {} on {}", counted(terminals, "terminal"), counted(lines, "line"))?;
            }
        }
        if !warnings.is_empty() {
            writeln!(out, "{}", counted(warnings.len(), "warning"))?;
        }
        for warning in warnings {
            writeln!(out, "{warning}")?;
        }
    }
    Ok(if problems.is_empty() { OK } else { CONFIG })
}
