//! The command line: what an installer, a support engineer or a script asks of this machine's gateway.
//!
//! `run` and `demo` need the whole gateway and are started by `main.rs`; everything else is done here.

mod args;
mod ask;
mod audit;
mod backup;
mod bundle;
mod check;
mod discover;
mod doctor;
mod exit;
mod incidents;
mod journal;
mod out;
mod papers;
mod remote;
mod report;
mod setup;
mod table;
#[cfg(test)]
mod tests;
mod today;
mod watch;
mod why;
mod words;

use std::io::{self, Write};

pub use args::{Cli, Command, DemoArgs, LogArgs, LogFormat, RunArgs};
#[cfg(feature = "demo")]
pub use args::{DemoPart, DemoPartArgs};
pub use exit::{CONFIG, FAILED, Failure, MENDED, OK, UNREACHABLE, USAGE};
pub use papers::markdown;

use args::JournalCommand;
use out::Out;

/// Does what was asked, and tells the exit code. `run` and `demo` never come here.
pub fn run(command: Command) -> Result<u8, Failure> {
    let mut out = Out::stdout();
    let done = match command {
        Command::Run(_) | Command::Demo(_) => Err(Failure::failed("main starts the gateway itself", "")),
        #[cfg(feature = "demo")]
        Command::DemoPart(_) => Err(Failure::failed("main starts the parts of a demo itself", "")),
        Command::Setup(args) => setup::setup(&args, &mut out),
        Command::Check(args) => check::check(&args, &mut out),
        Command::Status(args) => ask::status(&args, &mut out),
        Command::Terminals(args) => ask::terminals(&args, &mut out),
        Command::Punches(args) => ask::punches(&args, &mut out),
        Command::Conditions(args) => ask::conditions(&args, &mut out),
        Command::Incidents(args) => incidents::incidents(&args, &mut out),
        Command::Discover(args) => discover::discover(&args, &mut out),
        Command::Doctor(args) => doctor::doctor(&args, &mut out),
        Command::Backup(args) => backup::backup(&args, &mut out),
        Command::Restore(args) => backup::restore(&args, &mut out),
        Command::Bundle(args) => bundle::bundle(&args, &mut out),
        Command::Why(args) => why::why(&args, &mut out),
        Command::Reconcile(args) => ask::reconcile(&args, &mut out),
        Command::Journal { command: JournalCommand::Verify(args) } => journal::verify_command(&args, &mut out),
        Command::Journal { command: JournalCommand::Export(args) } => journal::export_command(&args, &mut out),
        Command::Journal { command: JournalCommand::Import(args) } => journal::import_command(&args, &mut out),
        Command::Journal { command: JournalCommand::Proof(args) } => journal::proof_command(&args, &mut out),
        Command::Journal { command: JournalCommand::Repair(args) } => journal::repair_command(&args, &mut out),
        Command::Journal { command: JournalCommand::Acknowledge(args) } => ask::acknowledge(&args, &mut out),
        Command::Remote(args) => remote::remote(&args, &mut out),
        Command::Report(args) => report::report(&args, &mut out),
        Command::Watch(args) => watch::watch(&args, &mut out),
        Command::Audit { command } => audit::audit(&command, &mut out),
        Command::Completions { shell } => papers::completions(shell, &mut out),
        Command::Man { dir } => papers::man(&dir),
    };
    done.and_then(|code| out.flush().map(|()| code).map_err(Failure::from))
}

/// Tells on stderr why it failed; what it was told, the exit code says again.
pub fn tell(failure: &Failure) -> u8 {
    if let Some(words) = failure.words() {
        // If nobody can read it, there is still the exit code.
        let _ = writeln!(io::stderr(), "{words}");
    }
    failure.code()
}
