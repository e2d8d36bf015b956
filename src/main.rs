//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use punchgate::{
    cli::{self, Cli, Command, Failure, LogArgs},
    config,
    drivers::DRIVERS,
    logging,
};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => prepare(&args.log).and_then(|()| {
            let _config = config::load(&args.config, DRIVERS)?;
            // TO BE WIRED: punchgate::gateway::run(config, &args.config)
            Err(Failure::failed("this build has no gateway in it yet", "use a build that has"))
        }),
        Command::Demo(args) => prepare(&args.log).and_then(|()| {
            // TO BE WIRED, behind the feature: punchgate::demo::run with duration, terminals, outage, faults, keep and json
            Err(Failure::failed("this build has no demo in it yet", "use a build that has"))
        }),
        command => cli::run(command),
    };
    ExitCode::from(done.unwrap_or_else(|failure| cli::tell(&failure)))
}

/// What everything that runs for long needs first.
fn prepare(args: &LogArgs) -> Result<(), Failure> {
    // Fails only when somebody was faster, and then there is a provider too. Libraries that ask for the process's own
    // would panic without one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    logging::install(args.log.into(), args.log_level.as_deref()).map_err(|error| Failure::Usage {
        why: error.to_string(),
        mend: "see --log-level in punchgate run --help".into(),
    })
}
