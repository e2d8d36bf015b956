//! A simulated Acme AX terminal: keeps its punches until each is acknowledged by number.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Simulator {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Changes with every punch, every cut and every piece of rubbish.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    log: VecDeque<(u32, String)>,
    made: u32,
    forgotten: usize,
    cuts: u64,
    rubbish: Option<Vec<u8>>,
    /// The acknowledgement of the next punch is not heard.
    deaf: bool,
}

impl Simulator {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let changed = watch::Sender::new(0);
        let (held, news) = (state.clone(), changed.subscribe());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, held.clone(), news.clone()));
            }
        });
        Self { address, state, changed }
    }

    fn edit(&self, edit: impl FnOnce(&mut State)) {
        edit(&mut self.state.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
    }

    pub fn punch(&self, person: &str) {
        self.edit(|state| {
            state.made += 1;
            let (number, minute) = (state.made, state.made % 60);
            state.log.push_back((number, format!("P {number} {person} 2026112008{minute:02}00 I\n")));
        });
    }

    pub fn forgotten(&self) -> usize {
        self.state.lock().unwrap().forgotten
    }

    pub fn cut(&self) {
        self.edit(|state| state.cuts += 1);
    }

    pub fn repeat(&self) {
        self.edit(|state| state.deaf = true);
    }

    pub fn blurt(&self, bytes: &[u8]) {
        self.edit(|state| state.rubbish = Some(bytes.to_vec()));
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, mut news: watch::Receiver<u64>) {
    let cuts = state.lock().unwrap().cuts;
    let (reading, mut writing) = stream.split();
    let mut answers = BufReader::new(reading).lines();
    let mut told = 0;
    loop {
        let (rubbish, next) = {
            let mut state = state.lock().unwrap();
            if state.cuts != cuts {
                return;
            }
            (state.rubbish.take(), state.log.front().filter(|(number, _)| *number > told).cloned())
        };
        if let Some(bytes) = rubbish {
            let _ = writing.write_all(&bytes).await; // whoever left will be back
            return;
        }
        if let Some((number, line)) = next {
            told = number;
            if writing.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            answer = answers.next_line() => {
                let Ok(Some(answer)) = answer else { return };
                let mut state = state.lock().unwrap();
                if std::mem::take(&mut state.deaf) {
                    return; // it will tell the same again
                }
                if state.log.front().is_some_and(|(number, _)| answer == format!("OK {number}")) {
                    state.log.pop_front();
                    state.forgotten += 1;
                }
            }
        }
    }
}
