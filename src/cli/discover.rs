//! `punchgate discover`: who is there, and what the config would say of it.

mod args;

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
};

use driver_api::Address;

use super::{
    Failure, OK,
    ask::block_on,
    out::{Out, harmless},
    table::{Cell, Table},
};
use crate::{
    config::EXAMPLE,
    discover::{self, Discovered, Network, Plan},
    drivers::FINDERS,
};
pub(super) use args::{DiscoverArgs, port};

pub(super) fn discover(args: &DiscoverArgs, out: &mut Out) -> Result<u8, Failure> {
    let usage = |why: String, mend: &str| Failure::Usage { why, mend: mend.into() };
    let networks = match &args.networks[..] {
        [] => own_networks()?,
        given => given.to_vec(),
    };
    let (known, known_ports) = known(&args.config);
    let ports = args.ports.iter().cloned().collect();
    let plan = Plan {
        networks,
        known,
        known_ports,
        ports,
        rate: args.rate,
        patience: args.wait,
        listen: args.listen.unwrap_or_default(),
        by_id: args.by_id.clone(),
    };
    for (driver, _) in &args.ports {
        if FINDERS.iter().all(|finder| finder.driver != driver) {
            let known: BTreeSet<&str> = FINDERS.iter().map(|finder| finder.driver).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(usage(
                format!("--port {driver}: nothing is found by that driver"),
                &format!("there are {known}"),
            ));
        }
    }
    if let Some((port, error)) = plan.deaf_ports(FINDERS).into_iter().next() {
        return Err(usage(
            format!("port {port} cannot be listened at: {error}"),
            "the gateway that runs here has it, and shows who calls: punchgate conditions. Or leave --listen out",
        ));
    }
    if !args.json {
        announce(&plan);
    }
    let found = block_on(async { Ok(discover::discover(&plan, FINDERS).await) })?;
    if args.json {
        found.iter().try_for_each(|one| out.json(one))?;
    } else {
        show(&found, out)?;
    }
    Ok(OK)
}

/// What is about to happen, on standard error: it takes a while.
fn announce(plan: &Plan) {
    let networks: Vec<String> = plan.networks.iter().map(ToString::to_string).collect();
    let seconds = seconds(plan);
    // If nobody can read it, nothing is lost.
    let _ = writeln!(io::stderr(), "Asking in {}, gently: this takes some {seconds} s.", networks.join(", "));
}

/// How long it takes, about.
pub(super) fn seconds(plan: &Plan) -> u64 {
    let seconds = plan.questions(FINDERS) as u64 / u64::from(plan.rate.max(1)) + plan.patience.as_secs() + 1;
    seconds.max(plan.listen.as_secs())
}

pub(super) fn own_networks() -> Result<Vec<Network>, Failure> {
    let (networks, too_large) = discover::own_networks().map_err(|error| {
        Failure::failed(format!("the networks of this machine cannot be read: {error}"), "name one")
    })?;
    for why in &too_large {
        let _ = writeln!(io::stderr(), "left out: {why}");
    }
    if networks.is_empty() {
        let why = "this machine is in no network that could be looked through".to_owned();
        return Err(Failure::Usage { why, mend: "name one: punchgate discover 192.0.2.0/24".into() });
    }
    Ok(networks)
}

/// Who is in the config already. One that cannot be read, or is not there yet, knows nobody; nor does the example of the package.
pub(super) fn known(config: &Path) -> (BTreeSet<IpAddr>, BTreeSet<PathBuf>) {
    let (mut hosts, mut ports) = (BTreeSet::new(), BTreeSet::new());
    let text = fs::read_to_string(config).ok().filter(|text| text != EXAMPLE).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let terminals = table.get("terminal").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    for address in terminals.iter().filter_map(|terminal| terminal.get("address")?.as_str()) {
        match Address::parse(address, Some(1)) {
            Ok(Address::Tcp { host, .. } | Address::Udp { host, .. }) => hosts.extend(host.parse::<IpAddr>().ok()),
            Ok(Address::Serial(line)) => _ = ports.insert(PathBuf::from(line.path)),
            Err(_) => {}
        }
    }
    (hosts, ports)
}

fn show(found: &[Discovered], out: &mut Out) -> io::Result<()> {
    if found.is_empty() {
        return writeln!(
            out,
            "Nobody answered. Terminals that push must call us: --listen 2m, with this machine in their menu."
        );
    }
    let mut table = Table::new(["DRIVER", "VENDOR", "MODEL", "SERIAL", "FIRMWARE", "ADDRESS"]);
    let told = |text: &str| Cell::maybe(Some(text).filter(|text| !text.is_empty()));
    for one in found {
        table.push([
            Cell::text(one.driver),
            told(&one.vendor),
            told(&one.model),
            told(&one.serial),
            told(&one.firmware),
            Cell::text(&one.address),
        ]);
    }
    table.write(out, true)?;
    writeln!(out, "\nTo be pasted into the config, each with a name of your own:")?;
    for one in found {
        writeln!(out)?;
        if !one.note.is_empty() {
            writeln!(out, "# {}", harmless(&one.note))?;
        }
        for line in one.block.lines() {
            writeln!(out, "{}", harmless(line))?;
        }
    }
    Ok(())
}
