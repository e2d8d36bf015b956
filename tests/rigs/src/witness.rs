//! A subscriber that shares no code with the gateway: as much of MQTT 3.1.1 as it takes to receive everything, with a session
//! that the broker keeps.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// A punch as it first arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) id: String,
    pub(crate) terminal: String,
    pub(crate) local: String,
}

/// A number of a ledger of a terminal.
type Place = (String, i64, u64);

#[derive(Debug, Default)]
pub(crate) struct Seen {
    by_person: HashMap<String, Arrived>,
    /// The id that stands at each place.
    places: HashMap<Place, String>,
    /// The chain's head behind each place that a message began or ended at.
    heads: HashMap<Place, String>,
    pub(crate) resends: u64,
    pub(crate) twins: Vec<String>,
    pub(crate) contradictions: Vec<String>,
}

impl Seen {
    /// A message; what is no punch is of no interest.
    pub(crate) fn take(&mut self, topic: &str, payload: &[u8]) {
        if topic.split('/').nth(4) != Some("punch") {
            return;
        }
        if self.punches(payload).is_none() {
            self.contradictions.push(format!("{topic} brought what is no document of punches"));
        }
    }

    fn punches(&mut self, payload: &[u8]) -> Option<()> {
        let event: Value = serde_json::from_slice(payload).ok()?;
        let data = &event["data"];
        let terminal = data["terminal"].as_str()?;
        let ledger = data["ledger"].as_i64()?;
        let (first, last) = (data["first"].as_u64()?, data["last"].as_u64()?);
        for (seq, head) in [(first.checked_sub(1)?, &data["prev"]), (last, &data["head"])] {
            let head = head.as_str()?;
            let known = self.heads.entry((terminal.to_owned(), ledger, seq)).or_insert_with(|| head.to_owned());
            if known != head {
                self.contradictions.push(format!("the chain of {terminal}/{ledger} has two heads behind {seq}"));
            }
        }
        for punch in data["punches"].as_array()? {
            let (person, id) = (punch["person"].as_str()?, punch["id"].as_str()?);
            let (seq, local) = (punch["seq"].as_u64()?, punch["local"].as_str()?);
            let there = self.places.entry((terminal.to_owned(), ledger, seq)).or_insert_with(|| id.to_owned());
            if there != id {
                self.contradictions.push(format!("{terminal}/{ledger}/{seq} stands for {there} and for {id}"));
            }
            match self.by_person.get(person) {
                None => {
                    let arrived = Arrived { id: id.into(), terminal: terminal.into(), local: local.into() };
                    self.by_person.insert(person.to_owned(), arrived);
                }
                Some(before) if before.id == id => self.resends += 1,
                Some(before) => self.twins.push(format!("{person} of {terminal} is {} and {id}", before.id)),
            }
        }
        Some(())
    }

    pub(crate) fn persons(&self) -> usize {
        self.by_person.len()
    }

    pub(crate) fn has(&self, person: &str) -> bool {
        self.by_person.contains_key(person)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Arrived)> {
        self.by_person.iter()
    }
}

pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
    /// Punch messages so far.
    arrivals: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Witness {
    /// Returns when it is subscribed. The ports are tried in turn, whenever a connection ends.
    pub(crate) async fn start(ports: Vec<u16>) -> anyhow::Result<Self> {
        let seen = Arc::<Mutex<Seen>>::default();
        let (count, arrivals) = watch::channel(0);
        let (ready, mut is_ready) = watch::channel(false);
        let keep = seen.clone();
        let task = tokio::spawn(async move {
            for port in ports.iter().cycle() {
                // However it ended: the broker keeps what we did not acknowledge.
                let _: io::Result<()> = receive(*port, &keep, &count, &ready).await;
                sleep(Duration::from_millis(50)).await;
            }
        });
        timeout(Duration::from_secs(30), is_ready.wait_for(|ready| *ready)).await??;
        Ok(Self { seen, arrivals, task })
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with each punch message.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    port: u16,
    seen: &Mutex<Seen>,
    count: &watch::Sender<u64>,
    ready: &watch::Sender<bool>,
) -> io::Result<()> {
    let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = timeout(Duration::from_secs(5), TcpStream::connect(broker)).await??;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    // MQTT 3.1.1, chapter 3.1: level 4, a session that stays, keep alive of 10 seconds.
    let mut connect = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 10];
    put_text(&mut connect, "witness");
    send(&mut stream, 0x10, &connect).await?;
    let mut subscribed = false;
    loop {
        // A broker that is frozen shows by its silence.
        let packet = match timeout(Duration::from_secs(5), read(&mut stream)).await {
            Ok(packet) => packet?,
            Err(_) => {
                send(&mut stream, 0xC0, &[]).await?;
                timeout(Duration::from_secs(10), read(&mut stream)).await??
            }
        };
        let (kind, body) = packet;
        match kind >> 4 {
            2 if body.get(1) == Some(&0) && !subscribed => {
                let mut subscribe = vec![0, 1];
                // As narrow as payroll's own rules are.
                put_text(&mut subscribe, "punchgate/1/acme/+/punch/+");
                subscribe.push(1);
                send(&mut stream, 0x82, &subscribe).await?;
                subscribed = true;
            }
            2 => return Err(io::Error::other("the broker refused the witness")),
            9 => _ = ready.send_replace(true),
            3 => {
                let (topic, id, payload) = publish(kind, &body).ok_or_else(|| io::Error::other("no publish"))?;
                let is_punch = topic.split('/').nth(4) == Some("punch");
                seen.lock().unwrap_or_else(PoisonError::into_inner).take(topic, payload);
                if is_punch {
                    count.send_modify(|count| *count += 1);
                }
                if let Some(id) = id {
                    send(&mut stream, 0x40, &id).await?;
                }
            }
            _ => {}
        }
    }
}

/// Topic, packet id where there is one, payload.
type Publish<'a> = (&'a str, Option<[u8; 2]>, &'a [u8]);

fn publish(kind: u8, body: &[u8]) -> Option<Publish<'_>> {
    let long = usize::from(u16::from_be_bytes(body.get(..2)?.try_into().ok()?));
    let topic = str::from_utf8(body.get(2..2 + long)?).ok()?;
    let rest = &body[2 + long..];
    if kind & 0b110 == 0 {
        return Some((topic, None, rest));
    }
    Some((topic, Some(rest.get(..2)?.try_into().ok()?), &rest[2..]))
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    to.extend((text.len() as u16).to_be_bytes());
    to.extend(text.as_bytes());
}

async fn send(stream: &mut BufReader<TcpStream>, kind: u8, body: &[u8]) -> io::Result<()> {
    let mut packet = vec![kind, body.len() as u8]; // all of ours are short
    packet.extend(body);
    stream.get_mut().write_all(&packet).await
}

async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 21 {
            return Err(io::Error::other("a length of five bytes"));
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}
