//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use punchgate::{
    cli::{self, Cli, Command, Failure, LogArgs},
    config,
    drivers::DRIVERS,
    gateway, logging,
};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => prepare(&args.log).and_then(|()| {
            let config = config::load(&args.config, DRIVERS)?;
            serve(gateway::run(config, args.config.clone()))
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

/// Runs the gateway to its end.
fn serve(gateway: impl Future<Output = anyhow::Result<()>>) -> Result<u8, Failure> {
    let failed = |error: anyhow::Error| Failure::failed(format!("{error:#}"), "mend that, and start it again");
    let runtime = tokio::runtime::Runtime::new().map_err(|error| failed(error.into()))?;
    runtime.block_on(gateway).map(|()| 0).map_err(failed)
}
