//! Networks of IPv4: as people write them, and those that this machine is in.

use std::{fmt, fs, io, net::Ipv4Addr, path::Path, str::FromStr};

/// Smaller ones are looked through in a minute or two; larger ones are somebody's mistake.
const LARGEST: u8 = 20;

/// `192.0.2.0/24`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    base: u32,
    prefix: u8,
}

impl Network {
    pub fn new(address: Ipv4Addr, prefix: u8) -> Result<Self, String> {
        match prefix {
            0..LARGEST => Err(format!("{address}/{prefix} is too large: /{LARGEST} with 4096 addresses is the most")),
            LARGEST..=32 => Ok(Self { base: address.to_bits() & mask(prefix), prefix }),
            _ => Err(format!("/{prefix} is no size of a network: write it like this: 192.0.2.0/24")),
        }
    }

    /// Every address that may be somebody's.
    pub fn hosts(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let (first, last) = (self.base, self.base | !mask(self.prefix));
        // The first one is the network's, the last one everybody's.
        let range = if self.prefix < 31 { first + 1..=last - 1 } else { first..=last };
        range.map(Ipv4Addr::from_bits)
    }

    /// Where everybody hears it; of a single address that one.
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base | !mask(self.prefix))
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let wrong = || format!("{text:?} is no network of IPv4: write it like this: 192.0.2.0/24");
        Self::new(address.parse().map_err(|_| wrong())?, prefix.parse().map_err(|_| wrong())?)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.base), self.prefix)
    }
}

/// The networks that this machine is in, and those that are too large, in words.
pub fn own_networks() -> io::Result<(Vec<Network>, Vec<String>)> {
    Ok(connected(&fs::read_to_string(Path::new("/proc/net/route"))?))
}

/// Lines of the kernel: interface, destination, gateway, flags, and in the eighth place the mask, in hex as the machine stores it.
fn connected(routes: &str) -> (Vec<Network>, Vec<String>) {
    let (mut networks, mut too_large) = (Vec::new(), Vec::new());
    for line in routes.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, destination, gateway, _, _, _, _, mask, ..] = words[..] else { continue };
        let number = |hex: &str| u32::from_str_radix(hex, 16).map(u32::from_be).ok();
        // Behind a gateway is not ours to ask unless somebody says so; a mask of nothing is everything.
        if let (Some(destination), Some(0), Some(mask @ 1..)) = (number(destination), number(gateway), number(mask)) {
            match Network::new(Ipv4Addr::from_bits(destination), mask.count_ones() as u8) {
                Ok(network) => networks.push(network),
                Err(why) => too_large.push(why),
            }
        }
    }
    networks.sort_unstable();
    networks.dedup();
    (networks, too_large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_as_it_is_written() {
        let network: Network = "192.0.2.77/29".parse().unwrap();
        assert_eq!(network.to_string(), "192.0.2.72/29");
        let hosts: Vec<String> = network.hosts().map(|host| host.to_string()).collect();
        assert_eq!((hosts.len(), &*hosts[0], &*hosts[5]), (6, "192.0.2.73", "192.0.2.78"));
        assert_eq!(network.broadcast().to_string(), "192.0.2.79");
        let one: Network = "192.0.2.9".parse().unwrap();
        assert_eq!((one.hosts().count(), one.broadcast().to_string()), (1, "192.0.2.9".into()));
        assert_eq!("192.0.2.0/31".parse::<Network>().unwrap().hosts().count(), 2);
        assert_eq!("255.255.255.255/32".parse::<Network>().unwrap().hosts().count(), 1);
        assert_eq!("255.255.240.0/20".parse::<Network>().unwrap().hosts().count(), 4094);
        for (text, why) in [
            ("10.0.0.0/8", "too large"),
            ("192.0.2.0/33", "no size"),
            ("door.lan/24", "no network"),
            ("::1", "no network"),
        ] {
            assert!(text.parse::<Network>().unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_networks_of_this_machine_are_those_without_a_gateway() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n\
            eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n\
            eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\n\
            garbage\n";
        let (networks, too_large) = connected(routes);
        assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.0/24"]);
        assert!(too_large[0].starts_with("10.0.0.0/8 is too large"), "{too_large:?}");
    }
}
