//! What is made from the arguments themselves: completions, man pages, and the page in `docs/`.

use std::{fmt::Write as _, io::Write, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure, OK, out::Out};

pub(super) fn completions(shell: Shell, out: &mut Out) -> Result<u8, Failure> {
    // Into memory first: the generator panics when nobody reads.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut seen(Cli::command()), "punchgate", &mut script);
    out.write_all(&script)?;
    Ok(OK)
}

/// Without what is hidden: the generators of completions offer it all the same.
fn seen(whole: Command) -> Command {
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("punchgate").version(env!("CARGO_PKG_VERSION")).args(whole.get_arguments().cloned()).subcommands(shown)
}

pub(super) fn man(dir: &Path) -> Result<u8, Failure> {
    clap_mangen::generate_to(Cli::command(), dir).map(|()| OK).map_err(|error| {
        Failure::failed(
            format!("cannot write man pages into {}: {error}", dir.display()),
            "give a folder that is there and that you may write",
        )
    })
}

/// The page of the command line in `docs/`: the long help of every command, as people see it.
pub fn markdown() -> String {
    let mut page = String::from(
        "# punchgate on the command line\n\n\
         Made from the arguments themselves by `UPDATE_DOCS=1 cargo test --test cli`; do not edit it by hand.\n",
    );
    let mut root = Cli::command().term_width(100).disable_help_subcommand(true);
    root.build();
    describe(&mut root, "punchgate", &mut page);
    page
}

fn describe(command: &mut Command, name: &str, page: &mut String) {
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim()).expect("a text takes everything");
    for command in command.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        let name = format!("{name} {}", command.get_name());
        describe(command, &name, page);
    }
}
