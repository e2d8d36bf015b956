//! Who is connected: limits for each peer and for all, at which those who keep us waiting longest have to go.
//!
//! Refusing newcomers would let five hundred slow connections lock everybody out. So a newcomer takes the place of the
//! connection that has gone longest without saying something whole; a good terminal is done within milliseconds and
//! is never that one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Crowd {
    most: usize,
    most_per_peer: usize,
    members: Mutex<Members>,
    /// Bytes of bodies held in memory, and how many are allowed.
    held: AtomicUsize,
    most_held: usize,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    all: HashMap<u64, Member>,
    per_peer: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Member {
    peer: IpAddr,
    since: Instant,
    /// We wait for it; else it waits for us.
    waited_for: bool,
    cut: Arc<Notify>,
}

/// One connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    id: u64,
    cut: Arc<Notify>,
}

impl Crowd {
    pub(crate) fn new(most: usize, most_per_peer: usize, most_held: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_peer, members: Mutex::default(), held: AtomicUsize::new(0), most_held })
    }

    /// A place for a newcomer. `None` only when everybody in the way is being served at this moment.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut members = self.members();
        let crowded = members.per_peer.get(&peer).is_some_and(|count| *count >= self.most_per_peer);
        if crowded || members.all.len() >= self.most {
            let slowest = members
                .all
                .iter()
                .filter(|(_, member)| member.waited_for && (!crowded || member.peer == peer))
                .min_by_key(|(_, member)| member.since)
                .map(|(id, _)| *id)?;
            // The place is taken at once; its connection notices a little later.
            members.leave(slowest).expect("it was found a moment ago").cut.notify_one();
        }
        let id = members.next;
        members.next += 1;
        let cut = Arc::new(Notify::new());
        members.all.insert(id, Member { peer, since: Instant::now(), waited_for: true, cut: cut.clone() });
        *members.per_peer.entry(peer).or_insert(0) += 1;
        Some(Place { crowd: self.clone(), id, cut })
    }

    /// Room for so many bytes of a body; `None` when bodies hold too much memory already.
    pub(crate) fn room(self: &Arc<Self>) -> Room {
        Room { crowd: self.clone(), taken: 0 }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().expect("nobody panics while holding this")
    }
}

impl Members {
    fn leave(&mut self, id: u64) -> Option<Member> {
        let member = self.all.remove(&id)?;
        if let Some(count) = self.per_peer.get_mut(&member.peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&member.peer);
            }
        }
        Some(member)
    }
}

impl Place {
    /// Returns when somebody else took this place.
    pub(crate) async fn lost(&self) {
        self.cut.notified().await;
    }

    /// It said all that we need: now it waits for us.
    pub(crate) fn waits(&self) {
        self.set(false);
    }

    /// It has its answer: now we wait for it.
    pub(crate) fn waited_for(&self) {
        self.set(true);
    }

    fn set(&self, waited_for: bool) {
        if let Some(member) = self.crowd.members().all.get_mut(&self.id) {
            member.waited_for = waited_for;
            member.since = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members().leave(self.id);
    }
}

/// Memory that one body takes.
#[derive(Debug)]
pub(crate) struct Room {
    crowd: Arc<Crowd>,
    taken: usize,
}

impl Room {
    /// Makes it so many bytes; false when all bodies together would hold too many.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.taken {
            let more = bytes - self.taken;
            if self.crowd.held.fetch_add(more, Ordering::Relaxed) + more > self.crowd.most_held {
                self.crowd.held.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        } else {
            self.crowd.held.fetch_sub(self.taken - bytes, Ordering::Relaxed);
        }
        self.taken = bytes;
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn the_one_who_keeps_us_waiting_longest_has_to_go() {
        let crowd = Crowd::new(8, 2, 100);
        let served = crowd.enter(PEER).unwrap();
        served.waits();
        let slow = crowd.enter(PEER).unwrap();
        let newcomer = crowd.enter(PEER).unwrap();
        timeout(Duration::from_secs(5), slow.lost()).await.expect("the slow one is told");
        drop(slow);
        newcomer.waits();
        assert!(crowd.enter(PEER).is_none(), "both are being served");
        assert!(crowd.enter(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)).is_some(), "another peer has its own places");
        drop((served, newcomer));
        assert!(crowd.enter(PEER).is_some());
    }

    #[test]
    fn bodies_share_what_memory_there_is() {
        let crowd = Crowd::new(8, 8, 100);
        let (mut first, mut second) = (crowd.room(), crowd.room());
        assert!(first.resize(60) && !second.resize(60) && second.resize(40));
        drop(first);
        assert!(second.resize(100));
        assert!(second.resize(0) && crowd.room().resize(100));
    }
}
