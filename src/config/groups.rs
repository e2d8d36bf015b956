//! Which terminals share something on the way to us, as their addresses tell: a serial bus, a serial server, a subnet.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use toml::{Table, Value};

/// Terminals by the name of what they share. A terminal is in one group at most.
pub(super) fn of(config: &Table) -> BTreeMap<String, BTreeSet<String>> {
    let blocks = config.get("terminal").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |block: &Value, key: &str| block.get(key).and_then(Value::as_str).map(str::to_owned);
    let ways: Vec<(String, Way)> = blocks
        .iter()
        .filter_map(|block| {
            let way = text(block, "address").and_then(|address| Way::of(&address));
            // A terminal that dials in says at most from where.
            let way = way.or_else(|| text(block, "from").map(Way::Subnet));
            Some((text(block, "name")?, way?))
        })
        .collect();
    let sharing = |host: &str| ways.iter().filter(|(_, way)| matches!(way, Way::Host(it) if it == host)).count();
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, way) in &ways {
        let group = match way {
            Way::Bus(path) | Way::Subnet(path) => Some(path.clone()),
            // Several terminals behind one address are behind one box.
            Way::Host(host) if sharing(host) > 1 => Some(host.clone()),
            Way::Host(host) => subnet(host),
        };
        if let Some(group) = group {
            groups.entry(group).or_default().insert(name.clone());
        }
    }
    groups
}

enum Way {
    Bus(String),
    Host(String),
    Subnet(String),
}

impl Way {
    fn of(address: &str) -> Option<Self> {
        let (scheme, rest) = address.split_once("://")?;
        let rest = rest.split('?').next().unwrap_or_default();
        if scheme == "serial" {
            return Some(Self::Bus(rest.to_owned()));
        }
        let rest = rest.split('/').next().unwrap_or_default();
        let host = match rest.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => rest.split(':').next().unwrap_or_default(),
        };
        (!host.is_empty()).then(|| Self::Host(host.to_owned()))
    }
}

/// The network that a switch usually has to itself; of a name nobody knows.
fn subnet(host: &str) -> Option<String> {
    match host.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Some(format!("{a}.{b}.{c}.0/24"))
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_grouped_by_what_they_share() {
        let config: Table = r#"
            terminal = [
                { name = "a", address = "tcp://192.0.2.10:4370" },
                { name = "b", address = "udp://192.0.2.11" },
                { name = "c", from = "192.0.2.0/24" },
                { name = "d", address = "tcp://192.0.2.50:502" },
                { name = "e", address = "tcp://192.0.2.50:502" },
                { name = "f", address = "serial:///dev/ttyUSB0?baud=9600" },
                { name = "g", address = "tcp://[2001:db8:1:2::7]:4370" },
                { name = "h", address = "tcp://terminal.example:4370" },
                { name = "i", serial = "CEXA1" },
            ]
        "#
        .parse()
        .unwrap();
        let groups = of(&config);
        let told: Vec<(&str, String)> =
            groups.iter().map(|(name, all)| (name.as_str(), all.iter().map(String::as_str).collect())).collect();
        let expected =
            [("/dev/ttyUSB0", "f"), ("192.0.2.0/24", "abc"), ("192.0.2.50", "de"), ("2001:db8:1:2::/64", "g")];
        assert_eq!(told, expected.map(|(name, all)| (name, all.to_owned())));
    }
}
