//! A broker that does what brokers must not do, for its first connections; then it is a good one.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use punchgate::mqtt::BrokerUrl;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::outbox::Numbered;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Good,
    NeverWelcomes,
    /// With a reason code of MQTT 5.
    RefusesAtTheDoor(u8),
    /// With a return code of MQTT 3.1.1.
    RefusesOldStyle(u8),
    WelcomesAndCloses,
    NeverAcks,
    /// PUBACK with reason 0x97, quota exceeded.
    Refuses,
    RefusesOneTerminal,
    AcksTwice,
    AcksUnknownIds,
    /// Answers with the packets of QoS 2.
    AnswersWithPubrec,
    /// Acknowledges each but the third.
    ForgetsOne,
    AcksBackwards,
    /// Beside a receive maximum of three, so that packet ids are used again at once.
    AcksBackwardsOfThree,
    Garbage,
    ClosesAfterThree,
    /// Says that another client came with the same id.
    TakesAnother,
    /// Without having said how much it takes.
    ClosesOnLarge,
    /// Says that one publish may be on its way at once, and closes when there are two.
    OneAtATime,
    /// Says that a packet may have 2000 bytes, and closes when one has more.
    SmallPackets,
    /// Says that a packet may have so few bytes that not one punch fits.
    TinyPackets,
    /// Says welcome twice at once, and once more with each acknowledgement; allows three at a time, then says thirty.
    WelcomesTwice,
    /// Says welcome once more in place of every acknowledgement.
    WelcomesInsteadOfAcks,
    /// Takes a window full without a word, closes, and has forgotten the session when the client comes again.
    ForgetsFullWindow,
    /// The same, but it says that it knows the session, which nobody who begins anew may be told.
    KnowsFullWindow,
    /// Answers the first publish with these bytes.
    Malformed(&'static [u8]),
    /// Says welcome in these bytes.
    MalformedWelcome(&'static [u8]),
}

/// How many publishes at once such a broker allows.
const WINDOW: usize = 5;

pub struct Hostile {
    pub port: u16,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    connections: usize,
    acked: BTreeSet<Numbered>,
    /// Of all publishes, in order.
    topics: Vec<String>,
    /// Broken promises of the client.
    complaints: Vec<String>,
}

impl Hostile {
    /// `bad` connections in this manner, then good ones.
    pub async fn start(manner: Manner, bad: usize) -> Self {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = door.local_addr().unwrap().port();
        let shared = Arc::<Mutex<Shared>>::default();
        let state = shared.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = door.accept().await.unwrap();
                let mut shared = state.lock().unwrap();
                shared.connections += 1;
                let manner = if shared.connections <= bad { manner } else { Manner::Good };
                drop(shared);
                let state = state.clone();
                // Its end is the client's or the manner's.
                tokio::spawn(async move { serve(stream, manner, &state).await });
            }
        });
        Self { port, shared, task }
    }

    pub fn url(&self) -> BrokerUrl {
        BrokerUrl { host: "127.0.0.1".into(), port: self.port, tls: false }
    }

    pub fn connections(&self) -> usize {
        self.shared.lock().unwrap().connections
    }

    /// What was truly acknowledged.
    pub fn acked(&self) -> BTreeSet<Numbered> {
        self.shared.lock().unwrap().acked.clone()
    }

    pub fn topics(&self) -> Vec<String> {
        self.shared.lock().unwrap().topics.clone()
    }

    pub fn complaints(&self) -> Vec<String> {
        self.shared.lock().unwrap().complaints.clone()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Publish {
    id: u16,
    topic: String,
    punches: Vec<Numbered>,
    size: usize,
}

async fn serve(mut stream: TcpStream, manner: Manner, shared: &Mutex<Shared>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    packet(&mut stream).await?; // CONNECT
    let refusal;
    let welcome: &[u8] = match manner {
        Manner::NeverWelcomes => return std::future::pending().await,
        Manner::RefusesAtTheDoor(code) => {
            refusal = [0x20, 3, 0, code, 0];
            &refusal
        }
        Manner::RefusesOldStyle(code) => {
            refusal = [0x20, 2, 0, code, 0];
            &refusal[..4]
        }
        Manner::AcksBackwardsOfThree => &[0x20, 6, 0, 0, 3, 0x21, 0, 3],
        Manner::OneAtATime => &[0x20, 6, 0, 0, 3, 0x21, 0, 1],
        Manner::SmallPackets => &[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0x07, 0xD0],
        Manner::TinyPackets => &[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 40],
        Manner::WelcomesTwice => &[0x20, 6, 0, 0, 3, 0x21, 0, 3, 0x20, 6, 0, 0, 3, 0x21, 0, 30],
        Manner::ForgetsFullWindow => &[0x20, 6, 0, 0, 3, 0x21, 0, WINDOW as u8],
        Manner::KnowsFullWindow => &[0x20, 6, 1, 0, 3, 0x21, 0, WINDOW as u8],
        Manner::MalformedWelcome(bytes) => bytes,
        _ => &[0x20, 3, 0, 0, 0],
    };
    stream.write_all(welcome).await.ok()?;
    if matches!(manner, Manner::WelcomesAndCloses | Manner::RefusesAtTheDoor(_) | Manner::RefusesOldStyle(_)) {
        return None;
    }
    let (mut count, mut held) = (0, Vec::new());
    loop {
        let (kind, body) = packet(&mut stream).await?;
        match kind >> 4 {
            3 => {}
            12 => {
                stream.write_all(&[0xD0, 0]).await.ok()?;
                continue;
            }
            14 => return None,
            _ => continue,
        }
        let publish = read(&body);
        shared.lock().unwrap().topics.push(publish.topic.clone());
        count += 1;
        let [high, low] = publish.id.to_be_bytes();
        let good = [0x40, 2, high, low];
        let answer: Vec<u8> = match manner {
            Manner::NeverAcks => vec![],
            Manner::Refuses => vec![0x40, 3, high, low, 0x97],
            Manner::RefusesOneTerminal if publish.topic.ends_with("punch/canteen") => vec![0x40, 3, high, low, 0x87],
            Manner::AcksTwice => [good, good].concat(),
            Manner::AcksUnknownIds => vec![0x40, 2, high ^ 1, low],
            Manner::AnswersWithPubrec => vec![0x50, 2, high, low],
            Manner::ForgetsOne if count == 3 => vec![],
            Manner::TakesAnother => vec![0xE0, 2, 0x8E, 0],
            Manner::WelcomesTwice => [&good[..], &[0x20, 3, 0, 0, 0]].concat(),
            Manner::WelcomesInsteadOfAcks => vec![0x20, 3, 0, 0, 0],
            Manner::Malformed(bytes) => bytes.to_vec(),
            Manner::TinyPackets => {
                let topic = &publish.topic;
                shared.lock().unwrap().complaints.push(format!("{topic} has {} bytes", publish.size));
                return None;
            }
            Manner::ForgetsFullWindow | Manner::KnowsFullWindow => {
                if count < WINDOW {
                    continue;
                }
                let more = tokio::time::timeout(std::time::Duration::from_millis(20), stream.peek(&mut [0])).await;
                if matches!(more, Ok(Ok(1))) {
                    shared.lock().unwrap().complaints.push(format!("more than {WINDOW} at a time"));
                }
                return None;
            }
            Manner::Garbage => vec![0xF7, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 1, 2, 3],
            Manner::ClosesAfterThree if count > 3 => return None,
            Manner::ClosesOnLarge if publish.size > 5_000 => return None,
            Manner::OneAtATime => {
                // Whatever is there already came too early.
                let more = tokio::time::timeout(std::time::Duration::from_millis(2), stream.peek(&mut [0])).await;
                if more.is_ok() {
                    shared.lock().unwrap().complaints.push("two at a time".into());
                }
                good.to_vec()
            }
            Manner::SmallPackets if publish.size > 2_000 => {
                shared.lock().unwrap().complaints.push(format!("a packet of {} bytes", publish.size));
                return None;
            }
            Manner::AcksBackwards | Manner::AcksBackwardsOfThree => {
                held.push((good, publish.punches));
                if held.len() < 3 && count > 1 {
                    continue;
                }
                for (answer, punches) in std::mem::take(&mut held).into_iter().rev() {
                    shared.lock().unwrap().acked.extend(punches);
                    stream.write_all(&answer).await.ok()?;
                }
                continue;
            }
            _ => good.to_vec(),
        };
        // Noted before it is sent, so that nobody can be faster than the note.
        if answer.starts_with(&good) {
            shared.lock().unwrap().acked.extend(publish.punches);
        }
        stream.write_all(&answer).await.ok()?;
    }
}

async fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await.ok()?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}

/// A PUBLISH with QoS 1 and no properties.
fn read(body: &[u8]) -> Publish {
    let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    let id = u16::from_be_bytes([body[topic_end], body[topic_end + 1]]);
    let topic = String::from_utf8(body[2..topic_end].to_vec()).unwrap();
    let value: Value = serde_json::from_slice(&body[topic_end + 3..]).unwrap_or(Value::Null);
    let terminal = value["subject"].as_str().unwrap_or_default();
    let punches = value["data"]["punches"].as_array().map_or(&[][..], Vec::as_slice);
    let punches = punches.iter().map(|punch| (terminal.to_owned(), punch["seq"].as_u64().unwrap())).collect();
    Publish { id, topic, punches, size: body.len() + 3 }
}
