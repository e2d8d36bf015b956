//! Broken, slow and crowded connections: nothing invented, good terminals served, memory flat.

mod support;

use std::time::Duration;

use driver_api::{Report, Trouble};
use support::{PATIENCE, Server, record, split};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

const ATTLOG: &str = "/iclock/cdata?SN=K&table=ATTLOG&Stamp=9999";

fn head(length: usize) -> String {
    format!("POST {ATTLOG} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

async fn server() -> Server {
    Server::start("body_limit_mib = 1", "UTC", &["serial = \"K\""]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_early_did_not_happen() {
    let server = server().await;
    let line = record("1", "2026-11-22 08:00:00");
    for cut in 0..line.len() {
        let request = format!("{}{}", head(500), &line[..cut]);
        assert_eq!(server.raw(request.as_bytes(), true).await, "", "answered at {cut}");
    }
    let chunked = format!("POST {ATTLOG} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{line}\r\n", line.len());
    assert_eq!(server.raw(chunked.as_bytes(), true).await, "");
    assert_eq!(server.people("t0"), [""; 0]);
    assert_eq!(server.gateway.set_aside("t0").len(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_body_is_no_request_and_half_a_line_is_no_record() {
    let server = server().await;
    let lines = record("1", "2026-11-22 08:00:00") + &record("2", "2026-11-22 08:00:01");
    let smuggled = format!("{}{lines}{}{}", head(35), head(35), record("3", "2026-11-22 08:00:02"));
    // Announced is the first line and the first character of the second, whose time would be cut too.
    let answer = server.raw(smuggled.as_bytes(), false).await;
    assert_eq!(split(&answer), (200, "OK: 2".into()));
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    // The time is whole, and the code behind it is cut: 1 is no 15.
    let cut = "4\t2026-11-22 08:00:03\t0\t15\t0\t0\t0\n";
    assert_eq!(split(&server.raw(format!("{}{cut}", head(25)).as_bytes(), false).await), (200, "OK: 1".into()));
    assert_eq!(server.people("t0"), ["1"]);
    assert_eq!(server.gateway.set_aside("t0").len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_ends_and_the_next_request_behind_a_body_cut_nothing() {
    let server = server().await;
    let line = |person: &str| record(person, "2026-11-22 08:00:00").trim_end().to_owned();
    let request = |line: &str, fields: &str| {
        let length = line.len();
        format!("POST {ATTLOG} HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: {length}\r\n\r\n{line}")
    };
    let last = "Connection: close\r\n";
    for (person, behind) in [("1", "\r\n"), ("2", "\n"), ("3", "\r\n\r\n")] {
        let answer = server.raw((request(&line(person), last) + behind).as_bytes(), false).await;
        assert_eq!(split(&answer), (200, "OK: 1".into()), "{behind:?}");
    }
    let poll = format!("GET /iclock/getrequest?SN=K HTTP/1.1\r\nHost: x\r\n{last}\r\n");
    for (person, next) in [("4", poll.clone()), ("5", format!("\r\n{poll}")), ("6", request(&line("7"), last))] {
        let answer = server.raw((request(&line(person), "") + &next).as_bytes(), false).await;
        assert_eq!(split(&answer), (200, "OK: 1".into()), "and the connection ends");
    }
    // The next record is surplus, and yet the announced one was whole.
    let surplus = request(&line("8"), "") + "\n" + &record("9", "2026-11-22 08:00:00");
    assert_eq!(split(&server.raw(surplus.as_bytes(), false).await), (200, "OK: 1".into()));
    assert_eq!(server.gateway.set_aside("t0"), []);
    assert_eq!(server.people("t0"), ["1", "2", "3", "4", "5", "6", "8"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_is_not_taken_for_an_empty_one() {
    let server = server().await;
    let line = record("1", "2026-11-22 08:00:00");
    let answer = server.raw(format!("POST {ATTLOG} HTTP/1.1\r\n\r\n{line}").as_bytes(), true).await;
    assert_eq!(split(&answer).0, 411, "{answer}");
    assert_eq!(server.people("t0"), [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_is_a_body() {
    let server = server().await;
    let line = record("1", "2026-11-22 08:00:00");
    let (front, back) = line.split_at(7);
    let body = format!("{:x}\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n\r\n", front.len(), back.len());
    let request = format!("POST {ATTLOG} HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    assert_eq!(split(&server.raw(request.as_bytes(), false).await), (200, "OK: 1".into()));
    assert_eq!(server.people("t0"), ["1"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_whole_or_chunked_and_the_rest_goes_on() {
    let server = server().await;
    let long = vec![b'x'; 3 << 20];
    let (status, text) = server.post(ATTLOG, &long).await;
    assert_eq!((status, text.starts_with("OK")), (413, false));
    let chunks = [
        format!("POST {ATTLOG} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", long.len()).as_bytes(),
        &long,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    assert_eq!(split(&server.raw(&chunks, false).await).0, 413);
    let told = |report: &Report| matches!(report, Report::FailedRead { why } if why.contains("body_limit_mib"));
    assert!(server.gateway.reports("t0").iter().any(told));
    let trouble = |report: &Report| matches!(report, Report::Trouble { trouble: Trouble::LogUnreadable, .. });
    assert_eq!(server.gateway.reports("t0").iter().filter(|report| trouble(report)).count(), 1, "told once");
    // Up to the limit everything is taken, in pieces.
    let body: String = (0..30_000).map(|n| record(&format!("{n}"), "2026-11-22 08:00:00")).collect();
    assert_eq!(server.post(ATTLOG, &body[..(1 << 20) - 34]).await.0, 200);
    assert!(server.gateway.puts() >= 4, "one piece");
    assert_eq!(server.gateway.reports("t0").last(), Some(&Report::Relief(Trouble::LogUnreadable)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_is_refused() {
    let server = server().await;
    let endless = format!("GET /iclock/ping?SN=K&x={} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let answer = server.raw(endless.as_bytes(), false).await;
    assert!(answer.is_empty() || split(&answer).0 >= 400, "{answer}");
    let many = format!("GET /iclock/ping?SN=K HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(3000));
    let answer = server.raw(many.as_bytes(), false).await;
    assert!(answer.is_empty() || split(&answer).0 >= 400, "{answer}");
    assert_eq!(server.get("/iclock/ping?SN=K").await.0, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_comes_whole_is_cut_and_others_are_served_meanwhile() {
    let server = server().await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let dripping = async {
        let mut beat = interval(Duration::from_millis(500));
        loop {
            beat.tick().await;
            if slow.write_all(b"G").await.is_err() || slow.write_all(b"").await.is_err() {
                return;
            }
            let mut end = [0; 1];
            if let Ok(Ok(0)) = timeout(Duration::from_millis(1), slow.read(&mut end)).await {
                return;
            }
        }
    };
    let others = async {
        for n in 0..20 {
            assert_eq!(server.post(ATTLOG, record(&n.to_string(), "2026-11-22 08:00:00")).await.0, 200);
        }
    };
    tokio::join!(async { timeout(PATIENCE, dripping).await.expect("the slow one is cut") }, others);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_make_room_for_good_ones() {
    let server = Server::start("connections_per_peer = 8", "UTC", &["serial = \"K\""]).await;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head(5000).as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for n in 0..10 {
        assert_eq!(server.post(ATTLOG, record(&n.to_string(), "2026-11-22 08:00:00")).await.0, 200);
    }
    let mut first = slow.remove(0);
    let ended = timeout(PATIENCE, first.read(&mut [0; 16])).await.expect("the first of the slow ones was cut");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_take_no_memory_from_those_that_do() {
    let server = Server::start("", "UTC", &["serial = \"K\""]).await;
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let half =
            [head(400_000).as_bytes(), &record("1", "2026-11-22 08:00:00").repeat(5000).as_bytes()[..150_000]].concat();
        stream.write_all(&half).await.unwrap();
        slow.push(stream);
    }
    let body: String = (0..20_000).map(|n| record(&format!("{n}"), "2026-11-22 08:00:00")).collect();
    assert_eq!(server.post(ATTLOG, &body).await, (200, "OK: 20000".into()));
    assert_eq!(server.people("t0").len(), 20_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_before_the_answer_has_posted_all_the_same() {
    let server = server().await;
    server.gateway.set_slow(Duration::from_millis(100));
    let line = record("1", "2026-11-22 08:00:00");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("{}{line}", head(line.len())).as_bytes()).await.unwrap();
    drop(stream);
    server.gateway.until("the punch is stored", PATIENCE, |gateway| gateway.punches("t0").len() == 1).await;
    assert_eq!(server.post(ATTLOG, &line).await, (200, "OK: 1".into()));
    assert_eq!(server.people("t0"), ["1"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_one_request_after_the_other() {
    let server = server().await;
    let line = record("1", "2026-11-22 08:00:00");
    let post = format!("{}{line}", head(line.len()));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for spaces in [false, true, false] {
        let poll = if spaces {
            "GET /iclock/getrequest?SN=K&INFO=a b HTTP/1.1\r\n\r\n"
        } else {
            "GET /iclock/ping?SN=K HTTP/1.1\r\n\r\n"
        };
        for (request, wanted) in [(post.as_str(), "OK: 1"), (poll, "OK")] {
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !String::from_utf8_lossy(&answer).ends_with(&format!("\r\n\r\n{wanted}")) {
                let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("an answer comes").unwrap();
                assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&answer));
            }
        }
    }
    // Two at once, in one packet.
    let two = "GET /iclock/ping?SN=K HTTP/1.1\r\n\r\nGET /iclock/getrequest?SN=K&INFO=a b HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answer = server.raw(two.as_bytes(), false).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_uploads_at_once_are_answered_and_from_two_addresses_they_are_told() {
    let server = server().await;
    server.gateway.set_slow(Duration::from_millis(200));
    let from = |address: &'static str, person: &'static str| {
        let target = server.address;
        async move {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(address.parse().unwrap()).unwrap();
            let mut stream = socket.connect(target).await.unwrap();
            let line = record(person, "2026-11-22 08:00:00");
            let request = format!("{}{line}", head(line.len()).replace("Host: x", "Connection: close"));
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer comes").unwrap();
            split(&answer)
        }
    };
    let (a, b) = tokio::join!(from("127.0.0.1:0", "1"), from("127.0.0.2:0", "2"));
    assert_eq!((a, b), ((200, "OK: 1".into()), (200, "OK: 1".into())));
    let told = |report: &Report| matches!(report, Report::Trouble { trouble: Trouble::AddressChanged, .. });
    assert!(server.gateway.reports("t0").iter().any(told));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_leave_the_listener_alive() {
    let server = server().await;
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /iclock/cdata?SN=K&table=ATTLOG HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /iclock/cdata?SN=K&table=ATTLOG HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /iclock/cdata?SN=K&table=ATTLOG HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /iclock/cdata?SN=K&table=ATTLOG HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n\r\n",
    ] {
        let answer = server.raw(bytes, true).await;
        assert!(!answer.contains("200 OK"), "{:?}: {answer}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(server.post(ATTLOG, record("1", "2026-11-22 08:00:00")).await.0, 200);
    assert_eq!(server.people("t0"), ["1"]);
    server.stop().await;
}
