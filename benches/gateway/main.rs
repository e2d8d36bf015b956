//! Measures the whole gateway: the real program, simulated terminals, a real broker with TLS. `tests/bench/run` starts it.
//!
//!     gateway [--quick] [--runs N] [--terminal ZK_TERMINAL] [--load ZK_PUSH_LOAD] [--modbus MODBUS_TERMINAL]
//!             [--osdp OSDP_READER] [--pyzk PYTHON SCRIPT] [--spool FILE] [--json FILE] [--only PART,PART]
//!
//! Parts: `read commits latency isolation push rest modbus osdp start backlog`. Machines are noisy: what is compared takes turns within one run, and
//! medians of some runs are told. The table goes to standard output, the figures behind it as JSON into FILE.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table on standard output is what it is for")]

mod backlog;
mod commits;
mod isolation;
mod latency;
mod log_read;
mod modbus;
mod osdp;
mod process;
mod push;
mod reader;
mod report;
mod rest;
mod rig;
mod start;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;

use report::Report;

/// What is measured, and how much of it.
pub(crate) struct Plan {
    pub(crate) quick: bool,
    pub(crate) runs: usize,
    /// Records of the log that is read.
    pub(crate) records: usize,
    /// Punches of the backlog.
    pub(crate) backlog: u64,
    /// Punches of one run of the latency.
    pub(crate) live: usize,
    /// The simulated terminal as a program, so that its work is not ours.
    pub(crate) terminal: Option<PathBuf>,
    /// Terminals that push, as a program.
    pub(crate) load: Option<PathBuf>,
    /// The same for Modbus.
    pub(crate) modbus: Option<PathBuf>,
    /// And for readers on a bus.
    pub(crate) osdp: Option<PathBuf>,
    /// Python that has pyzk, and the script that reads with it.
    pub(crate) pyzk: Option<(PathBuf, PathBuf)>,
    /// What `cargo bench --bench spool -- --commits --json` said.
    pub(crate) spool: Option<PathBuf>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = |flag: &str| arguments.iter().position(|it| it == flag);
    let after = |flag: &str, n: usize| at(flag).and_then(|at| arguments.get(at + n));
    let path = |flag: &str| after(flag, 1).map(PathBuf::from);
    let quick = at("--quick").is_some();
    let plan = Plan {
        quick,
        runs: after("--runs", 1).map_or(if quick { 1 } else { 3 }, |text| text.parse().expect("--runs is a number")),
        records: if quick { 10_000 } else { 100_000 },
        backlog: if quick { 100_000 } else { 1_000_000 },
        live: if quick { 1_000 } else { 4_000 },
        terminal: path("--terminal"),
        load: path("--load"),
        modbus: path("--modbus"),
        osdp: path("--osdp"),
        pyzk: path("--pyzk").zip(after("--pyzk", 2).map(PathBuf::from)),
        spool: path("--spool"),
    };
    let only: Option<Vec<&str>> = after("--only", 1).map(|text| text.split(',').collect());
    let wanted = |part: &str| only.as_ref().is_none_or(|only| only.contains(&part));

    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let mut report = Report::new(quick);
    runtime.expect("threads are to be had").block_on(async {
        if wanted("read") {
            log_read::measure(&plan, &mut report).await;
        }
        if wanted("commits") {
            commits::measure(&plan, &mut report);
        }
        if wanted("latency") {
            latency::measure(&plan, &mut report).await;
        }
        if wanted("isolation") {
            isolation::measure(&plan, &mut report).await;
        }
        if wanted("push") {
            push::measure(&plan, &mut report).await;
        }
        if wanted("rest") {
            rest::measure(&plan, &mut report).await;
        }
        if wanted("modbus") {
            modbus::measure(&plan, &mut report).await;
        }
        if wanted("osdp") {
            osdp::measure(&plan, &mut report).await;
        }
        if wanted("start") {
            start::measure(&plan, &mut report).await;
        }
        if wanted("backlog") {
            backlog::measure(&plan, &mut report).await;
        }
    });
    print!("{report}");
    if let Some(file) = path("--json") {
        std::fs::write(&file, format!("{:#}\n", report.json())).expect("the file for the figures can be written");
    }
}
