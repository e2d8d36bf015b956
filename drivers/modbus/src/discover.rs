//! Devices that nobody told us of: asked for their identification (function 43, 14), which all that speak Modbus TCP answer, if only
//! with the exception that they have none. No register is read, and nothing is written.

use std::{net::SocketAddr, time::Duration};

use driver_api::{Finder, Finding, Found, Reach, shown};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::settings::PORT;

pub const FINDER: Finder = Finder { driver: crate::KIND.name, reach: Reach::Tcp(PORT), ask: find };

/// Read Device Identification, the basic objects, as unit 1 in transaction 1.
const QUESTION: [u8; 11] = [0, 1, 0, 0, 0, 5, 1, 0x2b, 0x0e, 1, 0];

fn find(at: SocketAddr, patience: Duration) -> Finding {
    Box::pin(async move {
        let answer = async {
            let mut stream = TcpStream::connect(at).await.ok()?;
            stream.write_all(&QUESTION).await.ok()?;
            let mut head = [0; 6];
            stream.read_exact(&mut head).await.ok()?;
            let mut body = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])).min(260)];
            stream.read_exact(&mut body).await.ok()?;
            Some([&head[..], &body].concat())
        };
        let answer = timeout(patience, answer).await.ok().flatten();
        answer.and_then(|answer| read(&answer, at)).into_iter().collect()
    })
}

/// What an answer says; `None` when it is no Modbus.
fn read(answer: &[u8], at: SocketAddr) -> Option<Found> {
    let (head, pdu) = answer.split_at_checked(7)?;
    if head[..4] != QUESTION[..4] || pdu.len() < 2 {
        return None;
    }
    let texts = match pdu {
        [0xab, _] => Vec::new(),
        // Level, more follows, next object, and how many come.
        [0x2b, 0x0e, _, _, _, _, count, rest @ ..] => objects(*count, rest),
        _ => return None,
    };
    let text = |id: u8| texts.iter().find(|(it, _)| *it == id).map(|(_, text)| text.clone()).unwrap_or_default();
    let (vendor, model, firmware) = (text(0), text(1), text(2));
    let (map, note) = match vendor.to_ascii_lowercase() {
        it if it.contains("rf ideas") || it.contains("rfideas") => ("rfideas", ""),
        it if it.contains("inveo") => ("inveo-rfid-ind", ""),
        _ => ("event-fifo", "any device on Modbus may answer so: choose the map that fits its manual"),
    };
    let address = format!("tcp://{at}");
    let block = format!("address = \"{address}\"\nunit = 1\nmap = \"{map}\"\n");
    Some(Found { vendor, model, firmware, address, note: note.into(), block, serial: String::new() })
}

/// Vendor, product and revision, each with its number and length in front.
fn objects(count: u8, mut rest: &[u8]) -> Vec<(u8, String)> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let Some(([id, length], behind)) = rest.split_first_chunk::<2>() else { break };
        let Some((text, behind)) = behind.split_at_checked((*length).into()) else { break };
        texts.push((*id, shown(&String::from_utf8_lossy(text))));
        rest = behind;
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_product_or_says_at_least_that_it_is_modbus() {
        let at = "192.0.2.9:502".parse().unwrap();
        let frame = |pdu: &[u8]| [&[0, 1, 0, 0, 0, pdu.len() as u8 + 1, 1][..], pdu].concat();
        let told = [&[0x2b, 0x0e, 1, 1, 0, 0, 3, 0, 5][..], b"Inveo", &[1, 4], b"RFID", &[2, 3], b"1.2"].concat();
        let found = read(&frame(&told), at).unwrap();
        assert_eq!((&*found.vendor, &*found.model, &*found.firmware), ("Inveo", "RFID", "1.2"));
        assert!(found.block.contains("map = \"inveo-rfid-ind\""));
        assert!(read(&frame(&[0xab, 1]), at).unwrap().note.contains("choose the map"));
        // Lengths that lie, and other protocols.
        assert_eq!(read(&frame(&[0x2b, 0x0e, 1, 1, 0, 0, 255, 0, 200, b'x']), at).unwrap().vendor, "");
        for other in [&b"HTTP/1.1 400"[..], &[], &frame(&[0x83, 2]), &frame(&[0x2b])] {
            assert_eq!(read(other, at), None);
        }
    }
}
