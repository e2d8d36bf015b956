//! Load for an ADMS server, as a process of its own so that its work is not counted as the server's; and a server that does
//! nothing but answer, as the bound of what this generator and the loopback can do.
//!
//! Prints one JSON object.

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{interval, sleep, timeout},
};

const USAGE: &str = "\
usage: zk-push-load post  SERVER SERIALS SECONDS BATCH [--keep-alive]   every terminal posts as fast as it is answered
       zk-push-load poll  SERVER SERIALS SECONDS EVERY                  every terminal polls every so many seconds
       zk-push-load siege SERVER SERIALS SECONDS                        long bodies, slow and flapping connections; one punch
                                                                        a second at each terminal beside them
       zk-push-load echo  ADDRESS                                       answers OK to everything, stores nothing
SERIALS is PREFIX:COUNT; the numbers are PREFIX0001 and so on.";

/// Numbers of persons, never twice: a run begins where no run before it came to.
static PERSONS: AtomicU64 = AtomicU64::new(1);
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some(told) = run(&words).await else {
        say(USAGE);
        return ExitCode::from(64);
    };
    say(&told.to_string());
    ExitCode::SUCCESS
}

async fn run(words: &[&str]) -> Option<Value> {
    let since = std::time::UNIX_EPOCH.elapsed().ok()?;
    PERSONS.store(since.as_secs() % 10_000_000 * 1_000_000, Ordering::Relaxed);
    let server: SocketAddr = words.get(1)?.parse().ok()?;
    if words[0] == "echo" {
        return echo(server).await.ok();
    }
    let (prefix, count) = words.get(2)?.split_once(':')?;
    let serials: Vec<String> = (1..=count.parse().ok()?).map(|n: u32| format!("{prefix}{n:04}")).collect();
    let long = Duration::from_secs(words.get(3)?.parse().ok()?);
    Some(match words[0] {
        "post" => post(server, serials, long, words.get(4)?.parse().ok()?, words.contains(&"--keep-alive")).await,
        "poll" => poll(server, serials, long, Duration::from_secs(words.get(4)?.parse().ok()?)).await,
        "siege" => siege(server, serials, long).await,
        _ => return None,
    })
}

/// One request; true if the answer was 200.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<bool> {
    stream.write_all(request).await?;
    let mut bytes = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().filter_map(|line| line.split_once(':'));
        let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.filter_map(|(_, value)| value.trim().parse().ok()).next().unwrap_or(0);
        if body.len() >= length {
            return Ok(head.starts_with("HTTP/1.1 200"));
        }
    }
}

fn upload(serial: &str, batch: usize, keep_alive: bool) -> Vec<u8> {
    let mut body = String::with_capacity(batch * 40);
    for _ in 0..batch {
        let person = PERSONS.fetch_add(1, Ordering::Relaxed);
        let (day, second) = (1 + person / 86_400 % 27, person % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        body += &format!("{person}\t2026-10-{day:02} {hour:02}:{minute:02}:{second:02}\t0\t15\t0\t0\t0\n");
    }
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let length = body.len();
    format!("POST /iclock/cdata?SN={serial}&table=ATTLOG&Stamp=9999 HTTP/1.1\r\nHost: x\r\nUser-Agent: iClock Proxy/1.09\r\nConnection: {connection}\r\nAccept: */*\r\nContent-Length: {length}\r\n\r\n{body}").into()
}

/// How long each answer took, in milliseconds, and how many failed.
#[derive(Default)]
struct Times {
    took: Vec<f64>,
    failed: u64,
}

impl Times {
    async fn note(&mut self, asking: impl Future<Output = io::Result<bool>>) -> bool {
        let begun = Instant::now();
        let fine = matches!(timeout(PATIENCE, asking).await, Ok(Ok(true)));
        if fine {
            self.took.push(begun.elapsed().as_secs_f64() * 1e3);
        } else {
            self.failed += 1;
        }
        fine
    }

    fn json(all: impl IntoIterator<Item = Self>, seconds: f64, each: usize) -> Value {
        let (mut took, mut failed) = (Vec::new(), 0);
        for times in all {
            took.extend(times.took);
            failed += times.failed;
        }
        took.sort_by(f64::total_cmp);
        let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied();
        json!({
            "requests": took.len(), "punches": took.len() * each, "failed": failed, "seconds": seconds,
            "per_s": (took.len() * each) as f64 / seconds, "p50_ms": at(50), "p99_ms": at(99), "max_ms": at(100),
        })
    }
}

async fn post(server: SocketAddr, serials: Vec<String>, long: Duration, batch: usize, keep_alive: bool) -> Value {
    let begun = Instant::now();
    let mut working = JoinSet::new();
    for serial in serials {
        working.spawn(async move {
            let (mut times, mut open) = (Times::default(), None);
            while begun.elapsed() < long {
                let request = upload(&serial, batch, keep_alive);
                let asking = async {
                    let mut stream = match open.take() {
                        Some(stream) => stream,
                        None => connect(server).await?,
                    };
                    let fine = ask(&mut stream, &request).await?;
                    open = keep_alive.then_some(stream);
                    Ok(fine)
                };
                times.note(asking).await;
            }
            times
        });
    }
    let all = working.join_all().await;
    Times::json(all, begun.elapsed().as_secs_f64(), batch)
}

async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn once(server: SocketAddr, request: &[u8]) -> io::Result<bool> {
    ask(&mut connect(server).await?, request).await
}

fn get(target: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nUser-Agent: iClock Proxy/1.09\r\nConnection: close\r\nAccept: */*\r\n\r\n"
    )
    .into()
}

async fn poll(server: SocketAddr, serials: Vec<String>, long: Duration, every: Duration) -> Value {
    let begun = Instant::now();
    let count = u32::try_from(serials.len()).unwrap_or(u32::MAX).max(1);
    let mut working = JoinSet::new();
    for (at, serial) in (0..).zip(serials) {
        working.spawn(async move {
            // Each at its own moment, as it happens to have been switched on.
            sleep(every * at / count).await;
            let (mut times, mut clock) = (Times::default(), interval(every));
            let start = format!("/iclock/cdata?SN={serial}&options=all&pushver=2.4.1&language=69&DeviceType=att");
            times.note(once(server, &get(&start))).await;
            let request = get(&format!("/iclock/getrequest?SN={serial}"));
            while begun.elapsed() < long {
                clock.tick().await;
                times.note(once(server, &request)).await;
            }
            times
        });
    }
    let all = working.join_all().await;
    Times::json(all, begun.elapsed().as_secs_f64(), 0)
}

/// Bodies of 48 MB one after the other, five hundred connections that say a byte a second, a thousand terminals that
/// connect, shake hands, post half a request and are gone.
async fn siege(server: SocketAddr, serials: Vec<String>, long: Duration) -> Value {
    let begun = Instant::now();
    let mut harm = JoinSet::new();
    let victim = serials[0].clone();
    for n in 0..500_usize {
        let serial = victim.clone();
        harm.spawn(async move {
            loop {
                let Ok(mut stream) = connect(server).await else { continue };
                let slow = match n % 3 {
                    0 => String::new(),
                    1 => format!("POST /iclock/cdata?SN={serial}&table=ATTLOG HTTP/1.1\r\n"),
                    _ => format!(
                        "POST /iclock/cdata?SN={serial}&table=ATTLOG HTTP/1.1\r\nContent-Length: 400000\r\n\r\n"
                    ),
                };
                let mut fine = stream.write_all(slow.as_bytes()).await.is_ok();
                while fine {
                    sleep(Duration::from_secs(1)).await;
                    fine = stream.write_all(b"A").await.is_ok();
                }
            }
        });
    }
    for n in 0..1000_u64 {
        let serial = serials[usize::try_from(n).unwrap_or(0) % serials.len()].clone();
        harm.spawn(async move {
            let start = get(&format!("/iclock/cdata?SN={serial}&options=all&pushver=2.4.1"));
            let half = upload(&serial, 50, false);
            loop {
                sleep(Duration::from_millis(200 + n * 7919 % 3000)).await;
                // Whatever comes of it.
                let _ = timeout(PATIENCE, once(server, &start)).await;
                if let Ok(mut stream) = connect(server).await {
                    let _ = stream.write_all(&half[..half.len() / 2]).await;
                }
            }
        });
    }
    let serial = victim.clone();
    let refused = Arc::new(AtomicU64::new(0));
    let count = refused.clone();
    harm.spawn(async move {
        let line = "1\t2026-10-01 08:00:00\t0\t15\t0\t0\t0\n";
        let body = line.repeat((48 << 20) / line.len());
        let length = body.len();
        let head = format!("POST /iclock/cdata?SN={serial}&table=ATTLOG HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        loop {
            let Ok(mut stream) = connect(server).await else { continue };
            let mut answer = Vec::new();
            let sent = stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(body.as_bytes()).await.is_ok();
            let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
            count.fetch_add(u64::from(sent && answer.starts_with(b"HTTP/1.1 413")), Ordering::Relaxed);
        }
    });
    let mut working = JoinSet::new();
    for serial in serials {
        working.spawn(async move {
            let (mut times, mut clock) = (Times::default(), interval(Duration::from_secs(1)));
            while begun.elapsed() < long {
                clock.tick().await;
                let request = upload(&serial, 1, false);
                times.note(once(server, &request)).await;
            }
            times
        });
    }
    let all = working.join_all().await;
    let mut told = Times::json(all, begun.elapsed().as_secs_f64(), 1);
    told["long_bodies_refused"] = refused.load(Ordering::Relaxed).into();
    told
}

/// Reads requests to their end, answers `OK`, and knows nothing.
async fn echo(address: SocketAddr) -> io::Result<Value> {
    let door = TcpListener::bind(address).await?;
    loop {
        let (mut stream, _) = door.accept().await?;
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&bytes);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
                if body.len() < length.unwrap_or(0) {
                    continue;
                }
                let close = head.contains("Connection: close");
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\nOK",
                    if close { "Connection: close\r\n" } else { "" }
                );
                if stream.write_all(answer.as_bytes()).await.is_err() || close {
                    return;
                }
                bytes.clear();
            }
        });
    }
}

#[allow(clippy::print_stdout, reason = "a program of the command line talks there")]
fn say(text: &str) {
    println!("{text}");
}
