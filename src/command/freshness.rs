//! Whether an order is fresh: by its challenge, or by clocks. Pure but for the random challenges; no I/O.
//!
//! A challenge proves it: it was given a minute ago, by this run of this gateway, to one of the keys that sign, and it is
//! used up now. Without one, clocks must do. Ours counts only while it does not contradict what is on our disk, and an order
//! written before this start is refused: a store that was put back from a backup has forgotten what it did since.

use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;

use super::{
    authority::Refusal,
    key::KeyId,
    order::Order,
    table::{Spec, Trust},
};

/// The signer's clock may be ahead of ours by so many seconds, where no challenge helps.
const AHEAD: i64 = 5;
/// For how long a challenge waits.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(60);
/// Challenges that wait, of one key and in all.
const OF_ONE: usize = 8;
const IN_ALL: usize = 128;

/// What time it is, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Of our clock, in Unix seconds.
    pub now: i64,
    /// This second is past, whatever the clock says.
    pub floor: i64,
    /// Whether the clock may be believed.
    pub trusted: bool,
    /// For how long we have run, in seconds.
    pub running: i64,
}

/// The challenges that wait for their answer. In memory only: void after a restart.
#[derive(Debug, Default)]
pub struct Challenges(Vec<(String, KeyId, Instant)>);

impl Challenges {
    /// A new one for a key. The oldest give way.
    pub fn give(&mut self, key: KeyId, now: Instant) -> String {
        self.forget_old(now);
        let of_one = self.0.iter().filter(|(_, owner, _)| *owner == key).count();
        let way = match of_one >= OF_ONE {
            true => self.0.iter().position(|(_, owner, _)| *owner == key),
            false => (self.0.len() >= IN_ALL).then_some(0),
        };
        if let Some(oldest) = way {
            self.0.remove(oldest);
        }
        let challenge = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        self.0.push((challenge.clone(), key, now));
        challenge
    }

    /// Takes it away, if it was given to one of these keys and waits. It can be taken once.
    fn take(&mut self, challenge: &str, keys: &[KeyId], now: Instant) -> bool {
        self.forget_old(now);
        let at = self.0.iter().position(|(waiting, key, _)| waiting == challenge && keys.contains(key));
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn forget_old(&mut self, now: Instant) {
        self.0.retain(|(_, _, given)| now.duration_since(*given) < CHALLENGE_LIFE);
    }
}

/// Whether an order with right signatures of these keys is fresh. Its challenge is used up, whatever comes of it.
pub fn is_fresh(
    spec: &Spec,
    order: &Order,
    keys: &[KeyId],
    challenges: &mut Challenges,
    moment: Moment,
    now: Instant,
) -> Result<(), Refusal> {
    let (lives, most) = (order.exp - order.iat, spec.class.life());
    if lives > most {
        return Err(Refusal::LivesTooLong { lives, most });
    }
    match &order.challenge {
        Some(challenge) if challenges.take(challenge, keys, now) => return Ok(()),
        Some(_) => return Err(Refusal::BadChallenge),
        // It does nothing, and must be had when no clock can be trusted.
        None if spec.asks_for_challenge() => return Ok(()),
        None if spec.trust() == Trust::Challenge => return Err(Refusal::NoChallenge),
        None => {}
    }
    if !moment.trusted {
        return Err(Refusal::ClockNotTrusted);
    }
    let latest = moment.now.max(moment.floor);
    if order.exp <= latest {
        return Err(Refusal::Expired(latest - order.exp));
    }
    if order.iat > moment.now + AHEAD {
        return Err(Refusal::Future(order.iat - moment.now));
    }
    // As early as a signer whose clock was ahead could have written what was done before this start.
    if order.iat <= moment.now - moment.running + AHEAD {
        return Err(Refusal::BeforeStart);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{PrivateKey, find, new_id};

    const NOW: i64 = 1_796_000_000;
    const WELL: Moment = Moment { now: NOW, floor: NOW - 60, trusted: true, running: 3600 };

    fn order(command: &str, iat: i64, lives: i64, challenge: Option<&str>) -> Order {
        Order {
            id: new_id(),
            gateway: "sz-03".into(),
            tenant: "acme".into(),
            iat,
            exp: iat + lives,
            command: command.into(),
            args: Default::default(),
            terminal: None,
            reason: "a test".into(),
            challenge: challenge.map(str::to_owned),
        }
    }

    fn fresh(order: &Order, moment: Moment) -> Result<(), Refusal> {
        let spec = find(&order.command).unwrap();
        is_fresh(spec, order, &[], &mut Challenges::default(), moment, Instant::now())
    }

    #[test]
    fn without_a_challenge_clocks_must_do() {
        assert_eq!(fresh(&order("health", NOW - 10, 60, None), WELL), Ok(()));
        assert_eq!(fresh(&order("health", NOW - 10, 10, None), WELL), Err(Refusal::Expired(0)));
        assert_eq!(fresh(&order("health", NOW + 5, 60, None), WELL), Ok(()));
        assert_eq!(fresh(&order("health", NOW + 6, 60, None), WELL), Err(Refusal::Future(6)));
        assert_eq!(
            fresh(&order("reconcile", NOW, 601, None), WELL),
            Err(Refusal::LivesTooLong { lives: 601, most: 600 })
        );
        let behind = Moment { trusted: false, ..WELL };
        assert_eq!(fresh(&order("health", NOW, 60, None), behind), Err(Refusal::ClockNotTrusted));
        let floor = Moment { floor: NOW + 50, ..WELL };
        assert_eq!(fresh(&order("health", NOW - 10, 60, None), floor), Err(Refusal::Expired(0)));
        assert_eq!(fresh(&order("challenge", NOW - 9999, 60, None), behind), Ok(()));
        assert_eq!(fresh(&order("terminal.restart", NOW, 60, None), WELL), Err(Refusal::NoChallenge));
    }

    #[test]
    fn what_a_run_before_this_one_may_have_done_is_not_done_again() {
        let young = Moment { running: 10, ..WELL };
        // Done by a signer 5 s ahead, in the last second before the start.
        assert_eq!(fresh(&order("reconcile", NOW - 5, 60, None), young), Err(Refusal::BeforeStart));
        assert_eq!(fresh(&order("reconcile", NOW - 4, 60, None), young), Ok(()));
    }

    #[test]
    fn a_challenge_is_for_one_key_one_use_and_one_minute() {
        let [ours, other] = [(); 2].map(|()| PrivateKey::generate().public().id());
        let (mut challenges, now) = (Challenges::default(), Instant::now());
        let untrusted = Moment { trusted: false, ..WELL };
        let mut asked = |challenge: &str, key, now| {
            let order = order("terminal.restart", NOW - 99_999, 60, Some(challenge));
            is_fresh(find("terminal.restart").unwrap(), &order, &[key], &mut challenges, untrusted, now)
        };
        assert_eq!(asked("AAAA", ours, now), Err(Refusal::BadChallenge));
        let mut given = Challenges::default();
        let [used, late] = [(); 2].map(|()| given.give(ours, now));
        challenges = given;
        let mut asked = |challenge: &str, key, now| {
            let order = order("terminal.restart", NOW - 99_999, 60, Some(challenge));
            is_fresh(find("terminal.restart").unwrap(), &order, &[key], &mut challenges, untrusted, now)
        };
        assert_eq!(asked(&used, other, now), Err(Refusal::BadChallenge));
        assert_eq!(asked(&used, ours, now), Ok(()));
        assert_eq!(asked(&used, ours, now), Err(Refusal::BadChallenge));
        assert_eq!(asked(&late, ours, now + CHALLENGE_LIFE), Err(Refusal::BadChallenge));
    }

    #[test]
    fn nobody_can_fill_the_memory_with_challenges() {
        let mut challenges = Challenges::default();
        for _ in 0..1000 {
            let key = PrivateKey::generate().public().id();
            (0..3).for_each(|_| drop(challenges.give(key, Instant::now())));
        }
        assert_eq!(challenges.0.len(), IN_ALL);
        let key = PrivateKey::generate().public().id();
        (0..100).for_each(|_| drop(challenges.give(key, Instant::now())));
        assert_eq!(challenges.0.iter().filter(|(_, owner, _)| *owner == key).count(), OF_ONE);
    }
}
