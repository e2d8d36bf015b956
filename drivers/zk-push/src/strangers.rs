//! Serial numbers that nobody put into the config: refused, remembered in bounds, and shown with the mend.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use driver_api::Stranger;

/// So many are told apart; who comes later is refused all the same, and not remembered.
const MOST: usize = 64;
/// The same one is told of again after this long.
const AGAIN: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(crate) struct Strangers {
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    times: u64,
    told: Instant,
    seen: Instant,
}

impl Strangers {
    /// Notes one who was refused; returns what to tell, if it is time to. `serial` was checked.
    pub(crate) fn note(&mut self, serial: &str, peer: IpAddr, now: Instant) -> Option<Stranger> {
        if !self.known.contains_key(serial) && self.known.len() >= MOST {
            // Whoever has not asked for an hour makes room.
            self.known.retain(|_, known| now.duration_since(known.seen) < AGAIN);
            if self.known.len() >= MOST {
                return None;
            }
        }
        let first = !self.known.contains_key(serial);
        let known = self.known.entry(serial.to_owned()).or_insert(Known { times: 0, told: now, seen: now });
        known.times += 1;
        known.seen = now;
        if !first && now.duration_since(known.told) < AGAIN {
            return None;
        }
        known.told = now;
        Some(Stranger {
            driver: crate::KIND.name,
            serial: serial.to_owned(),
            peer: peer.to_string(),
            times: known.times,
            block: block(serial),
        })
    }
}

/// The block that lets it in; a name may hold `[a-z0-9-]{1,40}`.
fn block(serial: &str) -> String {
    let name: String = serial.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).take(37).collect();
    format!("[[terminal]]\nname = \"zk-{name}\"\ndriver = \"zk-push\"\nserial = \"{serial}\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_stranger_is_told_of_once_an_hour_with_the_block_that_lets_it_in() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let told = strangers.note("ABC_1", PEER, now).unwrap();
        assert_eq!(told.block, "[[terminal]]\nname = \"zk-abc-1\"\ndriver = \"zk-push\"\nserial = \"ABC_1\"\n");
        assert_eq!(strangers.note("ABC_1", PEER, now), None);
        assert_eq!(strangers.note("ABC_1", PEER, now + AGAIN).unwrap().times, 3);
    }

    #[test]
    fn ten_thousand_serial_numbers_fill_no_memory() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let told = (0..10_000).filter(|n| strangers.note(&format!("S{n}"), PEER, now).is_some()).count();
        assert_eq!((told, strangers.known.len()), (MOST, MOST));
        assert!(strangers.note("late", PEER, now + 2 * AGAIN).is_some());
    }
}
