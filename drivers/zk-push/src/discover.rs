//! Terminals that push, and that nobody told us of: listened for. They are not answered, so they keep what they have and come again.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use driver_api::{Finder, Finding, Found, Reach, shown};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    head,
    target::{Query, endpoint},
};

/// What most of them are set to from the factory.
const PORT: u16 = 8081;
pub const FINDER: Finder = Finder { driver: crate::KIND.name, reach: Reach::Listen(PORT), ask: listen };

/// Longest head of a request, and how long one may take.
const HEAD: usize = 8 << 10;
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at once; more are not looked at.
const MOST: usize = 100;

fn listen(at: SocketAddr, patience: Duration) -> Finding {
    Box::pin(async move {
        let until = Instant::now() + patience;
        // A port that cannot be had is the caller's to see beforehand.
        let Ok(door) = TcpListener::bind(at).await else { return Vec::new() };
        let (mut callers, mut found) = (JoinSet::new(), BTreeMap::<String, Found>::new());
        loop {
            tokio::select! {
                accepted = timeout_at(until, door.accept()) => match accepted {
                    Ok(Ok((stream, from))) if callers.len() < MOST => _ = callers.spawn(caller(stream, from)),
                    Ok(_) => {}
                    Err(_) => return found.into_values().collect(),
                },
                Some(Ok(Some(terminal))) = callers.join_next() => {
                    let known = found.entry(terminal.serial.clone()).or_insert_with(|| terminal.clone());
                    // Only the first request of some tells what they are.
                    for (mine, new) in [(&mut known.model, terminal.model), (&mut known.firmware, terminal.firmware)] {
                        if mine.is_empty() {
                            *mine = new;
                        }
                    }
                }
            }
        }
    })
}

/// What the first request on a connection says.
async fn caller(mut stream: TcpStream, from: SocketAddr) -> Option<Found> {
    let mut bytes = Vec::new();
    let reading = async {
        while head::end(&bytes).is_none() && bytes.len() < HEAD {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                break;
            }
        }
        Some(())
    };
    timeout(PATIENCE, reading).await.ok()??;
    read(&bytes, from)
}

fn read(bytes: &[u8], from: SocketAddr) -> Option<Found> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD)]);
    let target = text.lines().next()?.split(' ').nth(1)?;
    let (path, query) = target.split_once('?')?;
    endpoint(path)?;
    let query = Query(query);
    let serial = query.serial().ok()?.into_owned();
    let told = |key: &str| query.get(key).map(|value| shown(&value)).unwrap_or_default();
    let model = told("DeviceName");
    let version = told("pushver");
    Some(Found {
        vendor: "ZKTeco or kin".into(),
        model,
        firmware: if version.is_empty() { version } else { format!("push {version}") },
        address: from.ip().to_string(),
        note: "it dials in: name this gateway in its menu, Cloud Server".into(),
        block: format!("serial = \"{serial}\"\nfrom = \"{}\"\n", from.ip()),
        serial,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_says_who_calls() {
        let from = "192.0.2.7:40000".parse().unwrap();
        let request =
            b"GET /iclock/cdata?SN=CEXA204060001&options=all&pushver=2.4.1&language=83 HTTP/1.1\r\nHost: x\r\n\r\n";
        let found = read(request, from).unwrap();
        assert_eq!((&*found.serial, &*found.firmware), ("CEXA204060001", "push 2.4.1"));
        assert_eq!(found.block, "serial = \"CEXA204060001\"\nfrom = \"192.0.2.7\"\n");
        for other in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"GET /iclock/cdata?SN=../x HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b""]
        {
            assert_eq!(read(other, from), None);
        }
    }
}
