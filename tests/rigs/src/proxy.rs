//! A line on which something is wrong: a proxy for TCP whose fault is chosen while it works, and whose chances are seeded.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// What happens to the bytes. A chunk is what one read gives, 16 KiB at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Each chunk comes 150 ms later.
    Delay,
    /// Each chunk comes up to 300 ms later.
    Jitter,
    /// Chunks are cut into pieces of 1 to 9 bytes.
    Split,
    /// What comes in 50 to 300 ms is sent as one.
    Merge,
    /// A quarter of all chunks come twice.
    Duplicate,
    /// In an eighth of all chunks one bit is wrong.
    Corrupt,
    /// At each twelfth chunk, by chance, both sides get a reset.
    Reset,
    /// Connections stand, new ones too, and nothing passes.
    Stall,
    /// Connections are dead and the gateway is not told; the other side gives up after some seconds.
    HalfOpen,
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::Delay,
        Self::Jitter,
        Self::Split,
        Self::Merge,
        Self::Duplicate,
        Self::Corrupt,
        Self::Reset,
        Self::Stall,
        Self::HalfOpen,
    ];

    /// It changes what is said.
    pub(crate) fn changes(self) -> bool {
        matches!(self, Self::Corrupt | Self::Duplicate)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Jitter => "jitter",
            Self::Split => "split",
            Self::Merge => "merge",
            Self::Duplicate => "duplicate",
            Self::Corrupt => "corrupt",
            Self::Reset => "reset",
            Self::Stall => "stall",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Which side of a proxy the gateway is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// It dials.
    Near,
    /// It is dialled.
    Far,
}

/// The side that is not the gateway gives a dead connection up after this.
const PATIENCE: Duration = Duration::from_secs(3);
/// Nobody holds a dead connection for longer.
const GRAVE: Duration = Duration::from_secs(120);

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    fault: watch::Sender<Option<Fault>>,
    /// How often a fault happened.
    hits: Arc<AtomicU64>,
    /// What it carries has checksums of its own. Plain HTTP has none: what TCP let through wrong would be taken as it came.
    pub(crate) checked: bool,
    task: JoinHandle<()>,
}

impl Proxy {
    /// On loopback.
    pub(crate) async fn start(server: SocketAddr, gateway: Gateway, seed: u64) -> anyhow::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), server, gateway, seed).await
    }

    pub(crate) async fn start_at(at: IpAddr, server: SocketAddr, gateway: Gateway, seed: u64) -> anyhow::Result<Self> {
        Self::behind(TcpListener::bind((at, 0)).await?, server, gateway, seed)
    }

    /// As `start`, where nothing may be waited for.
    pub(crate) fn bound(server: SocketAddr, gateway: Gateway, seed: u64) -> anyhow::Result<Self> {
        let door = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        door.set_nonblocking(true)?;
        Self::behind(TcpListener::from_std(door)?, server, gateway, seed)
    }

    fn behind(door: TcpListener, server: SocketAddr, gateway: Gateway, seed: u64) -> anyhow::Result<Self> {
        let address = door.local_addr()?;
        let (fault, state) = watch::channel(None);
        let hits = Arc::<AtomicU64>::default();
        let (mut random, count) = (StdRng::seed_from_u64(seed), hits.clone());
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = door.accept().await {
                let line = Line { gateway, state: state.clone(), hits: count.clone() };
                let chance = StdRng::seed_from_u64(random.random());
                tokio::spawn(async move {
                    // A server that is not there closes the line, as it does without a proxy.
                    if let Ok(far) = TcpStream::connect(server).await {
                        line.carry(near, far, chance).await;
                    }
                });
            }
        });
        Ok(Self { address, fault, hits, checked: true, task })
    }

    pub(crate) fn set(&self, fault: Option<Fault>) {
        let fault = fault.filter(|fault| self.checked || !fault.changes());
        self.fault.send_replace(fault);
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a line ends before its time.
enum End {
    Reset,
    Dead,
    Closed,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

struct Line {
    gateway: Gateway,
    state: watch::Receiver<Option<Fault>>,
    hits: Arc<AtomicU64>,
}

impl Line {
    async fn carry(self, near: TcpStream, far: TcpStream, mut random: StdRng) {
        let (Ok(()), Ok(())) = (near.set_nodelay(true), far.set_nodelay(true)) else { return };
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
        let back = StdRng::seed_from_u64(random.random());
        let there = self.pump(&mut from_near, &mut to_far, random);
        let back = self.pump(&mut from_far, &mut to_near, back);
        match tokio::try_join!(there, back) {
            Ok(_) | Err(End::Closed) => {}
            Err(End::Reset) => {
                let (near, far): (&TcpStream, &TcpStream) = (to_near.as_ref(), to_far.as_ref());
                let _ = near.set_zero_linger(); // without, it is a close, which is tried as well
                let _ = far.set_zero_linger();
                // Dropped, these would close in order before the reset.
                to_near.forget();
                to_far.forget();
            }
            Err(End::Dead) => {
                let (mut gateway, other) = match self.gateway {
                    Gateway::Near => ((from_near, to_near), (from_far, to_far)),
                    Gateway::Far => ((from_far, to_far), (from_near, to_near)),
                };
                tokio::spawn(async move {
                    sleep(PATIENCE).await;
                    drop(other);
                });
                // Whatever it says goes nowhere, until it gives up.
                let mut nowhere = tokio::io::sink();
                let _ = timeout(GRAVE, tokio::io::copy(&mut gateway.0, &mut nowhere)).await;
            }
        }
    }

    /// Until the end of this direction; the other one may go on.
    async fn pump(&self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut random: StdRng) -> Result<(), End> {
        let mut state = self.state.clone();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let fault = *state.borrow_and_update();
            match fault {
                Some(Fault::HalfOpen) => return Err(self.hit(End::Dead)),
                Some(Fault::Stall) => {
                    self.hit(());
                    // The rig is over when nobody can change it any more.
                    state.changed().await.map_err(|_| End::Closed)?;
                    continue;
                }
                _ => {}
            }
            let count = tokio::select! {
                changed = state.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Err(End::Closed),
                },
                count = from.read(&mut buffer) => count?,
            };
            if count == 0 {
                to.shutdown().await?;
                return Ok(());
            }
            let mut chunk = buffer[..count].to_vec();
            let now = *state.borrow();
            match now {
                None | Some(Fault::Stall | Fault::HalfOpen) => to.write_all(&chunk).await?,
                Some(Fault::Delay) => {
                    self.hit(());
                    sleep(Duration::from_millis(150)).await;
                    to.write_all(&chunk).await?;
                }
                Some(Fault::Jitter) => {
                    self.hit(());
                    sleep(Duration::from_millis(random.random_range(0..300))).await;
                    to.write_all(&chunk).await?;
                }
                Some(Fault::Split) => {
                    self.hit(());
                    let mut rest = &chunk[..];
                    while !rest.is_empty() {
                        let (piece, left) = rest.split_at(random.random_range(1..10).min(rest.len()));
                        to.write_all(piece).await?;
                        tokio::task::yield_now().await;
                        rest = left;
                    }
                }
                Some(Fault::Merge) => {
                    self.hit(());
                    let wait = Duration::from_millis(random.random_range(50..300));
                    let more = async {
                        while chunk.len() < 1 << 20 && from.read_buf(&mut chunk).await? > 0 {}
                        Ok::<(), io::Error>(())
                    };
                    // The end of the line shows again at the next read.
                    if let Ok(done) = timeout(wait, more).await {
                        done?;
                    }
                    to.write_all(&chunk).await?;
                }
                Some(Fault::Duplicate) => {
                    if random.random_ratio(1, 4) {
                        self.hit(());
                        to.write_all(&chunk).await?;
                    }
                    to.write_all(&chunk).await?;
                }
                Some(Fault::Corrupt) => {
                    if random.random_ratio(1, 8) {
                        self.hit(());
                        let at = random.random_range(0..chunk.len());
                        chunk[at] ^= 1 << random.random_range(0..8);
                    }
                    to.write_all(&chunk).await?;
                }
                Some(Fault::Reset) => {
                    if random.random_ratio(1, 12) {
                        return Err(self.hit(End::Reset));
                    }
                    to.write_all(&chunk).await?;
                }
            }
        }
    }

    fn hit<T>(&self, what: T) -> T {
        self.hits.fetch_add(1, Ordering::Relaxed);
        what
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes through of this, and how the line ended.
    async fn through(fault: Fault, bytes: &[u8]) -> (Vec<u8>, bool) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap(), Gateway::Near, 7).await.unwrap();
        proxy.set(Some(fault));
        let mut near = TcpStream::connect(proxy.address).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        let mut got = Vec::new();
        for piece in bytes.chunks(100) {
            if near.write_all(piece).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(2)).await;
        }
        let _ = near.shutdown().await;
        let ended = timeout(Duration::from_secs(20), far.read_to_end(&mut got)).await;
        assert!(proxy.hits() > 0 || fault == Fault::Stall);
        (got, matches!(ended, Ok(Ok(_))))
    }

    #[tokio::test]
    async fn each_fault_does_what_it_says() {
        let bytes: Vec<u8> = (0..6_000_u32).map(|at| (at % 251) as u8).collect();
        for fault in [Fault::Jitter, Fault::Split, Fault::Merge] {
            assert_eq!(through(fault, &bytes).await, (bytes.clone(), true), "{fault:?}");
        }
        let (got, _) = through(Fault::Corrupt, &bytes).await;
        let wrong: u32 = got.iter().zip(&bytes).map(|(one, two)| (one ^ two).count_ones()).sum();
        assert!(got.len() == bytes.len() && (1..60).contains(&wrong), "{wrong} bits");
        assert!(through(Fault::Duplicate, &bytes).await.0.len() > bytes.len());
        let (got, ended) = through(Fault::Reset, &bytes).await;
        assert!(got.len() < bytes.len() && !ended);
        assert!(through(Fault::HalfOpen, &bytes).await.0.is_empty());
    }
}
