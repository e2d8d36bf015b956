//! A line that misbehaves: a TCP proxy with a seed, whose manner can be changed while it carries.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// What the line does to what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Clean,
    /// Each piece comes so many ms later.
    Delay(u64),
    /// Between nothing and so many ms later.
    Jitter(u64),
    /// In pieces of one to so many bytes.
    Split(usize),
    /// What came within so many ms goes on in one piece.
    Merge(u64),
    /// One piece in so many comes twice.
    Duplicate(u32),
    /// A bit of one piece in so many is wrong.
    Corrupt(u32),
    /// One piece in so many is the connection's last.
    Reset(u32),
    /// Nothing passes; connections stay.
    Stall,
    /// What goes towards the server passes, its answers do not.
    HalfOpen,
}

impl Manner {
    /// Each of them, as the rigs use them.
    pub(crate) const ALL: [Self; 10] = [
        Self::Clean,
        Self::Delay(80),
        Self::Jitter(40),
        Self::Split(7),
        Self::Merge(60),
        Self::Duplicate(20),
        Self::Corrupt(15),
        Self::Reset(8),
        Self::Stall,
        Self::HalfOpen,
    ];
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    manner: Arc<watch::Sender<Manner>>,
    /// What it carries has checksums of its own. Plain HTTP has none: what TCP let through wrong would be taken as it came.
    pub(crate) checked: bool,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = door.local_addr()?;
        let manner = Arc::new(watch::channel(Manner::Clean).0);
        let (told, number) = (manner.clone(), AtomicU64::new(0));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((near, _)) = door.accept().await else { continue };
                while connections.try_join_next().is_some() {}
                let number = number.fetch_add(2, Ordering::Relaxed);
                let told = told.clone();
                connections.spawn(async move {
                    let Ok(far) = TcpStream::connect(server).await else { return };
                    if near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).is_err() {
                        return;
                    }
                    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                    let random =
                        |n: u64| StdRng::seed_from_u64(seed ^ (number + n).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                    // The connection ends when one way of it does.
                    tokio::select! {
                        _ = carry(from_near, to_far, told.subscribe(), random(0), false) => {}
                        _ = carry(from_far, to_near, told.subscribe(), random(1), true) => {}
                    }
                });
            }
        });
        Ok(Self { address, manner, checked: true, task })
    }

    pub(crate) fn set(&self, manner: Manner) {
        let harmful = matches!(manner, Manner::Corrupt(_) | Manner::Duplicate(_));
        self.manner.send_replace(if harmful && !self.checked { Manner::Clean } else { manner });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut manner: watch::Receiver<Manner>,
    mut random: StdRng,
    answers: bool,
) -> Option<()> {
    let mut buffer = vec![0; 16 << 10];
    let blocked = |manner: &Manner| *manner == Manner::Stall || (*manner == Manner::HalfOpen && answers);
    loop {
        manner.wait_for(|manner| !blocked(manner)).await.ok()?;
        let count = tokio::select! {
            read = from.read(&mut buffer) => read.ok().filter(|count| *count > 0)?,
            changed = manner.changed() => { changed.ok()?; continue }
        };
        let mut piece = buffer[..count].to_vec();
        // What was read before a stall passes after it, like bytes in the air.
        let now = *manner.wait_for(|manner| !blocked(manner)).await.ok()?;
        match now {
            Manner::Delay(ms) => sleep(Duration::from_millis(ms)).await,
            Manner::Jitter(ms) => sleep(Duration::from_millis(random.random_range(0..=ms))).await,
            Manner::Merge(ms) => {
                sleep(Duration::from_millis(ms)).await;
                if let Ok(more) = from.try_read(&mut buffer) {
                    piece.extend_from_slice(&buffer[..more]);
                }
            }
            Manner::Split(most) => {
                let mut rest = &piece[..];
                while !rest.is_empty() {
                    let (head, tail) = rest.split_at(random.random_range(1..=most).min(rest.len()));
                    to.write_all(head).await.ok()?;
                    tokio::task::yield_now().await;
                    rest = tail;
                }
                continue;
            }
            Manner::Duplicate(of) if random.random_ratio(1, of) => to.write_all(&piece).await.ok()?,
            Manner::Corrupt(of) if random.random_ratio(1, of) => {
                let at = random.random_range(0..piece.len());
                piece[at] ^= 1 << random.random_range(0..8);
            }
            Manner::Reset(of) if random.random_ratio(1, of) => return None,
            _ => {}
        }
        to.write_all(&piece).await.ok()?;
    }
}
