//! Terminals that nobody put into the config: refused, remembered in bounds, and shown with the mend.

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
pub(crate) struct Strangers(HashMap<String, Known>);

#[derive(Debug)]
struct Known {
    times: u64,
    told: Instant,
    seen: Instant,
}

impl Strangers {
    /// Notes one who was refused; returns what to tell, if it is time to. `serial` was cleaned.
    pub(crate) fn note(&mut self, serial: &str, peer: IpAddr, now: Instant) -> Option<Stranger> {
        if !self.0.contains_key(serial) && self.0.len() >= MOST {
            self.0.retain(|_, known| now.duration_since(known.seen) < AGAIN);
            if self.0.len() >= MOST {
                return None;
            }
        }
        let first = !self.0.contains_key(serial);
        let known = self.0.entry(serial.to_owned()).or_insert(Known { times: 0, told: now, seen: now });
        known.times += 1;
        known.seen = now;
        if !first && now.duration_since(known.told) < AGAIN {
            return None;
        }
        known.told = now;
        let name: String = serial.chars().filter(char::is_ascii_alphanumeric).take(34).collect();
        Some(Stranger {
            driver: crate::KIND.name,
            serial: serial.to_owned(),
            peer: peer.to_string(),
            times: known.times,
            block: format!(
                "[[terminal]]\nname = \"anviz-{}\"\ndriver = \"anviz\"\nserial = {serial:?}\n",
                name.to_ascii_lowercase()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_told_of_once_an_hour_and_ten_thousand_fill_no_memory() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let peer = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let told = strangers.note("0250100912345678", peer, now).unwrap();
        assert_eq!(
            told.block,
            "[[terminal]]\nname = \"anviz-0250100912345678\"\ndriver = \"anviz\"\nserial = \"0250100912345678\"\n"
        );
        assert_eq!(strangers.note("0250100912345678", peer, now), None);
        assert_eq!(strangers.note("0250100912345678", peer, now + AGAIN).unwrap().times, 3);
        let told = (0..10_000).filter(|n| strangers.note(&format!("S{n}"), peer, now).is_some()).count();
        assert_eq!((told, strangers.0.len()), (MOST - 1, MOST));
    }
}
