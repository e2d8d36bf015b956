//! Terminals that push, in front of a gateway: config blocks, requests by hand, and what they recorded beside what arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::subscriber::Subscriber;

/// An address on loopback where nobody listens yet.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// The listener and a block for each serial number; names are the numbers in small letters.
pub fn blocks<'a>(listen: SocketAddr, settings: &str, serials: impl IntoIterator<Item = &'a str>) -> String {
    let head = format!("[driver.zk-push]\nlisten = \"{listen}\"\n{settings}\n\n");
    let block = |serial: &str| {
        let name = serial.to_ascii_lowercase();
        format!("[[terminal]]\nname = \"{name}\"\ndriver = \"zk-push\"\nserial = \"{serial}\"\n\n")
    };
    head + &serials.into_iter().map(block).collect::<String>()
}

/// Sends bytes as they are, and hangs up behind them if asked to. Everything that comes back until the connection ends;
/// `None` where it does not end within this time.
pub async fn raw(to: SocketAddr, bytes: &[u8], hang_up: bool, within: Duration) -> Option<Vec<u8>> {
    let mut answer = Vec::new();
    let talking = async {
        let Ok(mut stream) = TcpStream::connect(to).await else { return };
        let (mut read, mut write) = stream.split();
        // A refusal may come, and the connection go, before all is written: so both ways at once.
        let writing = async {
            if write.write_all(bytes).await.is_ok() && hang_up {
                let _ = write.shutdown().await;
            }
        };
        let _ = tokio::join!(writing, read.read_to_end(&mut answer));
    };
    timeout(within, talking).await.ok().map(|()| answer)
}

/// One POST on a connection of its own; status and body, 0 where no answer came.
pub async fn post(to: SocketAddr, target: &str, body: &[u8]) -> (u16, String) {
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = raw(to, &[head.as_bytes(), body].concat(), false, Duration::from_secs(30)).await;
    split(&answer.unwrap_or_default())
}

pub fn split(answer: &[u8]) -> (u16, String) {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), body.to_owned())
}

/// A punch as a terminal and a message both tell it: terminal, person, wall time.
pub type Told = (String, String, String);

/// What arrived at some subscribers: by terminal, ledger and number, id and punch.
#[derive(Default)]
pub struct Arrivals {
    by_id: BTreeMap<String, BTreeSet<(String, i64, u64, Told)>>,
}

impl Arrivals {
    pub fn of(subscribers: &[&Subscriber]) -> Self {
        let mut arrivals = Self::default();
        for message in subscribers.iter().flat_map(|subscriber| subscriber.messages()) {
            let data = &message["data"];
            let terminal = data["terminal"].as_str().unwrap().to_owned();
            for punch in data["punches"].as_array().unwrap() {
                let text = |key: &str| punch[key].as_str().unwrap().to_owned();
                let told = (terminal.clone(), text("person"), text("local"));
                let place = (terminal.clone(), data["ledger"].as_i64().unwrap(), punch["seq"].as_u64().unwrap(), told);
                arrivals.by_id.entry(text("id")).or_default().insert(place);
            }
        }
        arrivals
    }

    /// How many different punches.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Compares with what was recorded: nothing lost, nothing twice, nothing under another id, nothing that nobody recorded,
    /// no gap in any ledger.
    pub fn check(&self, recorded: &BTreeSet<Told>) {
        let twice: Vec<_> = self.by_id.iter().filter(|(_, places)| places.len() > 1).collect();
        assert!(twice.is_empty(), "ids that stand for more than one punch or place: {twice:?}");
        let mut ids = BTreeMap::<&Told, Vec<&String>>::new();
        let mut numbers = BTreeMap::<(&str, i64), BTreeSet<u64>>::new();
        for (id, places) in &self.by_id {
            let (terminal, ledger, seq, told) = places.first().unwrap();
            ids.entry(told).or_default().push(id);
            assert!(numbers.entry((terminal, *ledger)).or_default().insert(*seq), "{terminal} {ledger} {seq}: two ids");
        }
        let twins: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() > 1).take(5).collect();
        assert!(twins.is_empty(), "punches under two ids: {twins:?}");
        let lost: Vec<_> = recorded.iter().filter(|told| !ids.contains_key(told)).collect();
        assert!(lost.is_empty(), "{} lost, such as {:?}", lost.len(), lost[0]);
        let phantom: Vec<_> = ids.keys().filter(|told| !recorded.contains(**told)).collect();
        assert!(phantom.is_empty(), "{} invented, such as {:?}", phantom.len(), phantom[0]);
        for ((terminal, ledger), numbers) in numbers {
            assert_eq!(numbers.last().copied(), Some(numbers.len() as u64), "{terminal} {ledger} has a gap");
        }
    }
}

/// The files below a folder that hold one of these texts.
pub fn files_with(folder: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with(&entry.path(), texts));
        } else if entry.file_type().unwrap().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let holds = |text: &&&str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            found.extend(texts.iter().filter(holds).map(|text| format!("{text} in {}", entry.path().display())));
        }
    }
    found
}
