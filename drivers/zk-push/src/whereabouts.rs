//! Where a terminal speaks from: refused at a foreign address, shown at a new one, and never in two places at once.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::network::Network;

/// An address moves for good when nobody has spoken from the old one for so long.
const SETTLES: Duration = Duration::from_secs(86_400);
/// After so long without a second upload at the same time, there is no clone.
const QUIET: Duration = Duration::from_secs(3600);

/// Whether a request may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Served,
    /// Its punches are taken; it gets no commands and closes none, since it may be somebody else.
    WithoutCommands,
    Refused,
}

/// What to tell about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Something is wrong, in words.
    Trouble(String),
    Relief,
}

#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    /// When it last spoke from the address that it is pinned to.
    at_home: Option<Instant>,
    /// What was told last: wrong or well.
    told_wrong: Option<bool>,
    /// Where uploads come from at this moment.
    uploading: Vec<IpAddr>,
    cloned: Option<Instant>,
}

impl Whereabouts {
    /// Checks an address: against the networks of the config if there are any, else against the first one seen, `home`.
    pub(crate) fn admit(
        &mut self,
        from: &[Network],
        home: &mut Option<IpAddr>,
        peer: IpAddr,
        now: Instant,
    ) -> (Admission, Option<News>) {
        if !from.is_empty() {
            return if from.iter().any(|network| network.holds(peer)) {
                (Admission::Served, self.well())
            } else {
                let cause = format!("refused: it speaks from {peer}, which `from` does not hold");
                (Admission::Refused, self.wrong(cause))
            };
        }
        let first = *home.get_or_insert(peer);
        let since = *self.at_home.get_or_insert(now);
        if first == peer || now.duration_since(since) >= SETTLES {
            *home = Some(peer);
            self.at_home = Some(now);
            return (Admission::Served, self.well());
        }
        let cause =
            format!("it spoke from {first} before and from {peer} now; it gets no commands until that is settled");
        (Admission::WithoutCommands, self.wrong(cause))
    }

    /// An upload begins. Two at once from two addresses under one serial number are a clone or a forgery. From one address
    /// it is a terminal that gave up and tried again.
    pub(crate) fn upload_begins(&mut self, peer: IpAddr, now: Instant) -> Option<News> {
        let two = self.uploading.iter().any(|other| *other != peer);
        self.uploading.push(peer);
        if two {
            self.cloned = Some(now);
            return self.wrong(format!("two uploads at once under its serial number, one from {peer}: a clone?"));
        }
        self.cloned.take_if(|since| now.duration_since(*since) >= QUIET);
        None
    }

    pub(crate) fn upload_ends(&mut self, peer: IpAddr) {
        if let Some(at) = self.uploading.iter().position(|other| *other == peer) {
            self.uploading.swap_remove(at);
        }
    }

    fn wrong(&mut self, cause: String) -> Option<News> {
        (self.told_wrong.replace(true) != Some(true)).then_some(News::Trouble(cause))
    }

    fn well(&mut self) -> Option<News> {
        if self.cloned.is_some() {
            return None;
        }
        (self.told_wrong.replace(false) != Some(false)).then_some(News::Relief)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_new_address_is_shown_and_settles_when_the_old_one_is_silent_for_a_day() {
        let (mut it, mut home, now) = (Whereabouts::default(), None, Instant::now());
        assert_eq!(it.admit(&[], &mut home, address(1), now), (Admission::Served, Some(News::Relief)));
        let (admission, news) = it.admit(&[], &mut home, address(2), now);
        assert!(admission == Admission::WithoutCommands && matches!(news, Some(News::Trouble(_))));
        assert_eq!(it.admit(&[], &mut home, address(2), now), (Admission::WithoutCommands, None), "told once");
        assert_eq!(it.admit(&[], &mut home, address(1), now), (Admission::Served, Some(News::Relief)));
        assert_eq!(it.admit(&[], &mut home, address(2), now + SETTLES), (Admission::Served, None));
        assert_eq!(home, Some(address(2)));
    }

    #[test]
    fn with_networks_in_the_config_no_other_address_is_served() {
        let (mut it, mut home, now) = (Whereabouts::default(), None, Instant::now());
        let from = [Network::parse("192.0.2.1").unwrap()];
        assert_eq!(it.admit(&from, &mut home, address(1), now).0, Admission::Served);
        assert_eq!(it.admit(&from, &mut home, address(2), now).0, Admission::Refused);
        assert_eq!(it.admit(&from, &mut home, address(2), now + 2 * SETTLES).0, Admission::Refused);
    }

    #[test]
    fn two_places_at_once_are_told_for_an_hour() {
        let (mut it, mut home, now) = (Whereabouts::default(), Some(address(1)), Instant::now());
        assert_eq!(it.upload_begins(address(1), now), None);
        assert_eq!(it.upload_begins(address(1), now), None, "it tried again");
        assert!(matches!(it.upload_begins(address(2), now), Some(News::Trouble(_))));
        for last in [1, 1, 2] {
            it.upload_ends(address(last));
        }
        assert_eq!(it.admit(&[], &mut home, address(1), now), (Admission::Served, None), "not yet");
        it.upload_begins(address(1), now + QUIET);
        assert_eq!(it.admit(&[], &mut home, address(1), now + QUIET), (Admission::Served, Some(News::Relief)));
    }
}
