//! Terminals that nobody told us of. Each driver has its own way to ask (`driver_api::Finder`); here is where they ask, how often,
//! and whom they leave alone.
//!
//! Gentle in this order: networks are walked through once for each protocol, so that no address is asked twice in a moment; so many
//! questions a second and no more; nobody who is in the config already, since many terminals serve one client and would hang up on the
//! gateway for us; no login, no key, nothing written.

mod network;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use driver_api::{Finder, Found, Reach};
use serde::Serialize;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

pub use network::{Network, own_networks};

/// Questions under way at once.
const AT_ONCE: usize = 64;
/// Where udev names serial adapters by what they are.
pub const BY_ID: &str = "/dev/serial/by-id";

/// What is looked for, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    pub networks: Vec<Network>,
    /// Addresses and serial ports that are in the config already, and are left alone.
    pub known: BTreeSet<IpAddr>,
    pub known_ports: BTreeSet<PathBuf>,
    /// Other ports than the protocols' own, by driver.
    pub ports: BTreeMap<String, u16>,
    /// Questions a second, over all protocols.
    pub rate: u32,
    /// How long an answer may take.
    pub patience: Duration,
    /// How long terminals that dial in are listened for; not at all when zero.
    pub listen: Duration,
    /// The folder of serial adapters.
    pub by_id: PathBuf,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discovered {
    pub driver: &'static str,
    pub vendor: String,
    pub model: String,
    pub serial: String,
    pub firmware: String,
    /// As in `address = "..."`; where it called from, of one that dials in.
    pub address: String,
    /// What a person should know of it.
    pub note: String,
    /// The `[[terminal]]` block that serves it, ready to be pasted.
    pub block: String,
}

impl Plan {
    fn port(&self, finder: &Finder) -> u16 {
        self.ports.get(finder.driver).copied().unwrap_or(finder.reach.port())
    }

    /// Every address once.
    fn hosts(&self) -> BTreeSet<Ipv4Addr> {
        let all = self.networks.iter().flat_map(|network| network.hosts());
        all.filter(|host| !self.known.contains(&IpAddr::V4(*host))).collect()
    }

    /// Questions that this takes, for whoever waits.
    pub fn questions(&self, finders: &[Finder]) -> usize {
        let each = finders.iter().filter(|finder| matches!(finder.reach, Reach::Tcp(_) | Reach::Udp(_))).count();
        self.hosts().len() * each
    }

    /// Ports that cannot be listened at, each with why: most often because the gateway itself runs and has them.
    pub fn deaf_ports(&self, finders: &[Finder]) -> Vec<(u16, io::Error)> {
        let listening = finders.iter().filter(|it| matches!(it.reach, Reach::Listen(_)) && !self.listen.is_zero());
        let tried = listening.map(|finder| self.port(finder));
        tried
            .filter_map(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).err().map(|error| (port, error)))
            .collect()
    }
}

/// Looks everywhere, and tells what was found, by driver and address.
pub async fn discover(plan: &Plan, finders: &'static [Finder]) -> Vec<Discovered> {
    let mut listening = JoinSet::new();
    for finder in finders.iter().filter(|it| matches!(it.reach, Reach::Listen(_)) && !plan.listen.is_zero()) {
        let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, plan.port(finder)));
        let asked = (finder.ask)(at, plan.listen);
        listening.spawn(async move { (finder, asked.await) });
    }
    let hosts = plan.hosts();
    let mut found = Vec::new();
    let networks: BTreeSet<Ipv4Addr> = plan.networks.iter().map(Network::broadcast).collect();
    let broadcasts = finders.iter().filter(|it| matches!(it.reach, Reach::Broadcast(_)));
    ask(plan, broadcasts.flat_map(|it| networks.iter().map(move |to| (it, *to))), &mut found).await;
    let over_tcp = finders.iter().filter(|it| matches!(it.reach, Reach::Tcp(_)));
    ask(plan, over_tcp.flat_map(|it| hosts.iter().map(move |host| (it, *host))), &mut found).await;
    // Whoever answered over TCP is not asked the same again.
    let there: BTreeSet<(&str, String)> =
        found.iter().filter_map(|(it, one)| Some((it.driver, host_of(one)?))).collect();
    let over_udp = finders.iter().filter(|it| matches!(it.reach, Reach::Udp(_)));
    let pairs = over_udp.flat_map(|it| hosts.iter().map(move |host| (it, *host)));
    let pairs = pairs.filter(|(it, host)| !there.contains(&(it.driver, host.to_string())));
    ask(plan, pairs, &mut found).await;
    while let Some(heard) = listening.join_next().await {
        // One that panicked has heard nobody.
        let Ok((finder, some)) = heard else { continue };
        found.extend(some.into_iter().map(|one| (finder, one)));
    }
    found.retain(|(_, one)| {
        host_of(one).and_then(|host| host.parse().ok()).is_none_or(|host| !plan.known.contains(&host))
    });
    found.sort_by(|(a, one), (b, other)| (a.driver, &one.address).cmp(&(b.driver, &other.address)));
    let mut counts = BTreeMap::<&str, usize>::new();
    let found = found.into_iter().map(|(finder, found)| {
        let count = counts.entry(finder.driver).or_default();
        *count += 1;
        named(finder.driver, *count, found)
    });
    let mut all: Vec<Discovered> = found.collect();
    all.extend(adapters(&plan.by_id, &plan.known_ports));
    all
}

/// Asks all these, at the plan's pace.
async fn ask(
    plan: &Plan,
    pairs: impl Iterator<Item = (&'static Finder, Ipv4Addr)>,
    found: &mut Vec<(&'static Finder, Found)>,
) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut pace = interval(Duration::from_secs(1) / plan.rate.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asking = JoinSet::new();
    for (finder, host) in pairs {
        pace.tick().await;
        let room = room.clone().acquire_owned().await.expect("it is never closed");
        let answers = (finder.ask)(SocketAddr::from((host, plan.port(finder))), plan.patience);
        asking.spawn(async move {
            let answers = answers.await;
            drop(room);
            (finder, answers)
        });
    }
    while let Some(asked) = asking.join_next().await {
        // A finder that panicked at what somebody sent has found nothing.
        let Ok((finder, some)) = asked else { continue };
        found.extend(some.into_iter().map(|one| (finder, one)));
    }
}

fn host_of(found: &Found) -> Option<String> {
    let host = found.address.split_once("://").map_or(&*found.address, |(_, rest)| rest);
    Some(host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned())
}

fn named(driver: &'static str, number: usize, found: Found) -> Discovered {
    let name = format!("{driver}-{number}");
    let lines = found.block.replace("NAME", &name);
    let block = format!("[[terminal]]\nname = \"{name}\"\ndriver = \"{driver}\"\n{lines}");
    let Found { vendor, model, serial, firmware, address, note, .. } = found;
    Discovered { driver, vendor, model, serial, firmware, address, note, block }
}

/// Serial adapters: nothing is sent over them, since nobody knows what stands behind.
fn adapters(by_id: &Path, known: &BTreeSet<PathBuf>) -> Vec<Discovered> {
    let Ok(entries) = fs::read_dir(by_id) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.retain(|path| !known.contains(path));
    let one = |(number, path): (usize, PathBuf)| {
        let shown = path.display().to_string();
        // usb-VENDOR_PRODUCT_SERIAL-if00-port0
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = driver_api::shown(name.strip_prefix("usb-").unwrap_or(&name));
        let words = name.rsplit_once("-if").map_or(&*name, |(words, _)| words);
        let (vendor, rest) = words.split_once('_').unwrap_or(("", words));
        let (model, serial) = rest.rsplit_once('_').unwrap_or((rest, ""));
        let number = number + 1;
        Discovered {
            driver: "serial-ascii",
            vendor: vendor.into(),
            model: model.into(),
            serial: serial.into(),
            firmware: String::new(),
            address: format!("serial://{shown}"),
            note: "a serial adapter: what stands behind it says its label".into(),
            block: format!(
                "# Or driver = \"modbus\", \"osdp\" or \"anviz\", each with the keys of its README.\n[[terminal]]\n\
                 name = \"reader-{number}\"\ndriver = \"serial-ascii\"\naddress = \"serial://{shown}?baud=9600\"\n\
                 reader = \"digits\"\n"
            ),
        }
    };
    paths.into_iter().enumerate().map(one).collect()
}
