//! Whether a time server keeps this machine's clock, as the programs say that do it. The kernel knows as well, but the unit
//! takes from us every call that has to do with clocks.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    time::Duration,
};

/// Nobody on this machine takes longer.
const PATIENCE: Duration = Duration::from_millis(50);

/// systemd-timesyncd leaves a mark, chronyd answers on its monitoring port, ntpd and its kin are asked as any time server is.
pub(super) fn keeps_clock() -> bool {
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Path::new("/run/systemd/timesync/synchronized").exists()
        || chrony_is_synchronised(here(323)).unwrap_or(false)
        || ntp_is_synchronised(here(123)).unwrap_or(false)
}

/// chronyd's answer to `tracking` (chrony 4, candm.h, protocol version 6): stratum and leap status in it.
fn chrony_is_synchronised(server: SocketAddr) -> io::Result<bool> {
    const VERSION: u8 = 6;
    const REQUEST: u8 = 1;
    const REPLY: u8 = 2;
    let mut request = [0; 104];
    (request[0], request[1]) = (VERSION, REQUEST);
    request[4..6].copy_from_slice(&33_u16.to_be_bytes()); // tracking; a request is as long as its answer
    let mut answer = [0; 104];
    let long = ask(server, &request, &mut answer)?;
    let word = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    // Answer 5 is that of tracking, status 0 is success; leap status 3: not synchronised.
    let right = long >= 56 && answer[..2] == [VERSION, REPLY] && (word(6), word(8)) == (5, 0);
    Ok(right && (1..16).contains(&word(52)) && word(54) < 3)
}

/// An SNTP question (RFC 4330): leap indicator 3 or stratum 0 says that it does not know the time itself.
fn ntp_is_synchronised(server: SocketAddr) -> io::Result<bool> {
    let mut request = [0; 48];
    request[0] = 0b00_100_011; // version 4, client
    let mut answer = [0; 48];
    let long = ask(server, &request, &mut answer)?;
    let (leap, mode) = (answer[0] >> 6, answer[0] & 7);
    Ok(long == 48 && mode == 4 && leap < 3 && (1..16).contains(&answer[1]))
}

fn ask(server: SocketAddr, request: &[u8], answer: &mut [u8]) -> io::Result<usize> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Connected, so that nobody but the one who was asked is heard, and an empty port is told at once.
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(request)?;
    socket.recv(answer)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Answers one question with these bytes.
    fn server(answer: Vec<u8>) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let here = socket.local_addr().unwrap();
        thread::spawn(move || {
            let (_, from) = socket.recv_from(&mut [0; 200]).unwrap();
            socket.send_to(&answer, from).unwrap();
        });
        here
    }

    fn tracking(stratum: u16, leap: u16) -> Vec<u8> {
        let mut answer = vec![0; 104];
        answer[..10].copy_from_slice(&[6, 2, 0, 0, 0, 33, 0, 5, 0, 0]);
        answer[52..54].copy_from_slice(&stratum.to_be_bytes());
        answer[54..56].copy_from_slice(&leap.to_be_bytes());
        answer
    }

    #[test]
    fn chrony_says_whether_it_is_synchronised() {
        assert!(chrony_is_synchronised(server(tracking(3, 0))).unwrap());
        assert!(!chrony_is_synchronised(server(tracking(0, 3))).unwrap());
        assert!(!chrony_is_synchronised(server(tracking(3, 0)[..20].to_vec())).unwrap());
        let nobody = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        assert!(chrony_is_synchronised(nobody).is_err());
    }

    #[test]
    fn a_time_server_says_whether_it_knows_the_time() {
        let answer = |first: u8, stratum: u8| [&[first, stratum][..], &[0; 46]].concat();
        assert!(ntp_is_synchronised(server(answer(0b00_100_100, 2))).unwrap());
        assert!(!ntp_is_synchronised(server(answer(0b11_100_100, 0))).unwrap());
        assert!(!ntp_is_synchronised(server(answer(0b00_100_100, 16))).unwrap());
        assert!(!ntp_is_synchronised(server(b"hello".to_vec())).unwrap());
    }
}
