//! Who is connected: limits for each peer and for all, at which those who keep us waiting longest have to go.
//!
//! Refusing newcomers would let five hundred slow connections lock everybody out. So a newcomer takes the place of the
//! connection that has gone longest without saying something whole; a good terminal is done within milliseconds and
//! is never that one. The same holds for memory: bodies that never end give back what they hold.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::timeout};

/// One body takes memory from so many others at most, each time it grows.
const MOST_ROBBED: usize = 64;
/// Cutting a connection takes no longer than its task takes to be run.
const ROBBED_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Crowd {
    most: usize,
    most_per_peer: usize,
    members: Mutex<Members>,
    /// Bytes of bodies held in memory, and how many are allowed.
    held: AtomicUsize,
    most_held: usize,
    /// Somebody gave memory back.
    freed: Notify,
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
    /// Bytes of its body in memory.
    holds: usize,
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
        Arc::new(Self {
            most,
            most_per_peer,
            members: Mutex::default(),
            held: AtomicUsize::new(0),
            most_held,
            freed: Notify::new(),
        })
    }

    /// A place for a newcomer. `None` only when everybody in the way is being served at this moment.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut members = self.members();
        let crowded = members.per_peer.get(&peer).is_some_and(|count| *count >= self.most_per_peer);
        if crowded || members.all.len() >= self.most {
            let slowest = members.slowest(|member| !crowded || member.peer == peer)?;
            // The place is taken at once; its connection notices a little later.
            members.leave(slowest).expect("it was found a moment ago").cut.notify_one();
        }
        let id = members.next;
        members.next += 1;
        let cut = Arc::new(Notify::new());
        members.all.insert(id, Member { peer, since: Instant::now(), waited_for: true, holds: 0, cut: cut.clone() });
        *members.per_peer.entry(peer).or_insert(0) += 1;
        Some(Place { crowd: self.clone(), id, cut })
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().expect("nobody panics while holding this")
    }
}

impl Members {
    /// Who keeps us waiting longest.
    fn slowest(&self, among: impl Fn(&Member) -> bool) -> Option<u64> {
        let waited_for = self.all.iter().filter(|(_, member)| member.waited_for && among(member));
        waited_for.min_by_key(|(_, member)| member.since).map(|(id, _)| *id)
    }

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
    /// Memory for a body on this connection.
    pub(crate) fn room(&self) -> Room {
        Room { crowd: self.crowd.clone(), id: self.id, taken: 0 }
    }

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
    id: u64,
    taken: usize,
}

impl Room {
    /// Makes it so many bytes. Where there is no memory for that, the slowest of the others gives back what it holds; false
    /// when nobody does.
    pub(crate) async fn resize(&mut self, bytes: usize) -> bool {
        let crowd = self.crowd.clone();
        for _ in 0..MOST_ROBBED {
            let freed = crowd.freed.notified();
            if self.try_resize(bytes) {
                return true;
            }
            {
                let mut members = crowd.members();
                let Some(slowest) = members.slowest(|member| member.holds > 0) else { return false };
                if slowest == self.id {
                    return false; // it is the slowest itself
                }
                members.leave(slowest).expect("it was found a moment ago").cut.notify_one();
            }
            // Its task gives the memory back when it notices.
            if timeout(ROBBED_WITHIN, freed).await.is_err() {
                return false;
            }
        }
        false
    }

    fn try_resize(&mut self, bytes: usize) -> bool {
        if bytes == self.taken {
            return true;
        }
        if bytes > self.taken {
            let more = bytes - self.taken;
            if self.crowd.held.fetch_add(more, Ordering::Relaxed) + more > self.crowd.most_held {
                self.crowd.held.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        } else {
            self.crowd.held.fetch_sub(self.taken - bytes, Ordering::Relaxed);
            self.crowd.freed.notify_waiters();
        }
        self.taken = bytes;
        if let Some(member) = self.crowd.members().all.get_mut(&self.id) {
            member.holds = bytes;
        }
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.try_resize(0);
    }
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn a_body_that_never_ends_gives_its_memory_to_others() {
        let crowd = Crowd::new(8, 8, 100);
        let (slow, good) = (crowd.enter(PEER).unwrap(), crowd.enter(PEER).unwrap());
        let (mut first, mut second) = (slow.room(), good.room());
        assert!(first.resize(60).await);
        let cut = tokio::spawn(async move {
            slow.lost().await;
            drop(first); // as its task does
        });
        assert!(second.resize(90).await, "the slow one was not cut");
        timeout(Duration::from_secs(5), cut).await.expect("the slow one is told").unwrap();
        assert!(!second.resize(110).await, "more than there is, and nobody else holds any");
        drop(second);
        assert!(good.room().resize(100).await);
    }
}
