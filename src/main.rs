//! Arguments in, exit code out.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
#[cfg(feature = "demo")]
use punchgate::demo::{self, BrokerSettings};
use punchgate::{
    cli::{self, Cli, Command, Failure, LogArgs},
    config,
    drivers::DRIVERS,
    gateway, logging,
};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => prepare(&args.log).and_then(|recent| {
            let config = config::load(&args.config, DRIVERS)?;
            serve(gateway::run(config, args.config.clone(), recent)).map(|()| cli::OK)
        }),
        Command::Demo(args) => prepare(&args.log).and_then(|_| demo(args)),
        #[cfg(feature = "demo")]
        Command::DemoPart(args) => demo_part(&args),
        command => cli::run(command),
    };
    ExitCode::from(done.unwrap_or_else(|failure| cli::tell(&failure)))
}

/// What everything that runs for long needs first.
fn prepare(args: &LogArgs) -> Result<logging::Recent, Failure> {
    // Fails only when somebody was faster, and then there is a provider too. Libraries that ask for the process's own
    // would panic without one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    logging::install(args.log.into(), args.log_level.as_deref()).map_err(|error| Failure::Usage {
        why: error.to_string(),
        mend: "see --log-level in punchgate run --help".into(),
    })
}

/// Runs the gateway, or a demo of it, to its end.
fn serve<T>(work: impl Future<Output = anyhow::Result<T>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| failed(error.into()))?;
    let done = runtime.block_on(work).map_err(failed);
    // What still blocks was waited for already: a store that opens for long is left as a crash leaves it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::failed(format!("{error:#}"), "mend that, and start it again")
}

#[cfg(feature = "demo")]
fn demo(args: cli::DemoArgs) -> Result<u8, Failure> {
    let cli::DemoArgs { duration, terminals, all_drivers, outage, faults, keep, json, log: _ } = args;
    let cast = if all_drivers { demo::Cast::OfEachDriver } else { demo::Cast::InTurn(terminals) };
    let agreed = serve(demo::run(demo::Settings { duration, cast, outage, faults, keep, json }))?;
    Ok(if agreed { cli::OK } else { cli::FAILED })
}

#[cfg(not(feature = "demo"))]
fn demo(_: cli::DemoArgs) -> Result<u8, Failure> {
    Err(Failure::failed("this build has no demo in it", "build it with the feature demo, which is there by default"))
}

/// Returns only when the part failed, or has done its work.
#[cfg(feature = "demo")]
fn demo_part(args: &cli::DemoPartArgs) -> Result<u8, Failure> {
    demo::end_with(args.parent).map_err(failed)?;
    match &args.part {
        cli::DemoPart::Broker { keys, port_v5, port_v311 } => {
            let log = LogArgs { log: cli::LogFormat::Text, log_level: None };
            prepare(&log)?;
            let settings = BrokerSettings { keys: keys.clone(), port_v5: *port_v5, port_v311: *port_v311 };
            demo::serve_broker(&settings).map_err(failed)?;
        }
        cli::DemoPart::Gateway { config } => demo::become_gateway(config).map_err(failed)?,
    }
    Ok(cli::OK)
}
