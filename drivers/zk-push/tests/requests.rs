//! Requests and the answers that terminals want, one line each, over a real socket.

mod support;

use support::{Server, split};

/// What an answer's body must be.
enum Body {
    Is(&'static str),
    /// These lines stand in it, the first one first.
    Lines(&'static [&'static str]),
    /// A refusal: nothing that a firmware might take for `OK`.
    NotOk,
}
use Body::{Is, Lines, NotOk};

/// What is asked (a body makes it a POST), status and body of the answer.
type Row = (&'static str, &'static str, Option<&'static str>, u16, Body);

/// `K` is accepted (attendance), `A` too (security), `U` is not known to anybody.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("a start", "/iclock/cdata?SN=K&options=all&pushver=2.4.1&DeviceType=att", None, 200,
        Lines(&["GET OPTION FROM: K", "Realtime=1", "Delay=10", "ErrorDelay=30", "TimeZone=7", "Encrypt=0", "PushProtVer=2.4.1",
            "TransFlag=TransData AttLog\tOpLog"])),
    ("an old one", "/iclock/cdata?SN=K&options=all", None, 200,
        Lines(&["GET OPTION FROM: K", "Stamp=0", "ATTLOGStamp=0", "TransFlag=1100000000"])),
    ("an odd version", "/iclock/cdata?SN=K&options=all&pushver=Ver%202.0.33S-20220623", None, 200,
        Lines(&["GET OPTION FROM: K", "PushProtVer=2.0.33"])),
    ("a start of a stranger", "/iclock/cdata?SN=U&options=all", None, 403, NotOk),
    ("no serial number", "/iclock/cdata?options=all", None, 400, NotOk),
    ("a path for a serial number", "/iclock/cdata?SN=../../etc", None, 400, NotOk),
    ("a header for a serial number", "/iclock/cdata?SN=%0d%0aX:1", None, 400, NotOk),
    ("SQL for a serial number", "/iclock/cdata?SN='--", None, 400, NotOk),
    ("security: a start", "/iclock/cdata?SN=A&options=all&pushver=3.1.2&DeviceType=acc", None, 200,
        Lines(&["registry=ok", "RequestDelay=10", "TransTables=User Transaction", "RegistryCode=f5296609e0eaab0d"])),
    ("security: registration", "/iclock/registry?SN=A", Some("DeviceType=acc,~DeviceName=X"), 200, Is("RegistryCode=f5296609e0eaab0d\n")),
    ("security: registration of a stranger", "/iclock/registry?SN=U", Some("DeviceType=acc"), 406, NotOk),
    ("security: configuration", "/iclock/push?SN=A", Some(""), 200, Lines(&["ServerVersion=3.1.2", "RequestDelay=10"])),
    ("a record", "/iclock/cdata?SN=K&table=ATTLOG&Stamp=9999", Some("1\t2026-11-22 08:00:00\t0\t1\t0\t0\t0\n"), 200, Is("OK: 1")),
    ("the same again", "/iclock/cdata?SN=K&table=ATTLOG&Stamp=9999", Some("1\t2026-11-22 08:00:00\t0\t1\t0\t0\t0\n"), 200, Is("OK: 1")),
    ("the same and a new one", "/iclock/cdata?SN=K&table=ATTLOG&Stamp=9999",
        Some("1\t2026-11-22 08:00:00\t0\t1\t0\t0\t0\n2\t2026-11-22 08:00:05\t0\t1\t0\t0\t0\n"), 200, Is("OK: 2")),
    ("the stamp comes back", "/iclock/cdata?SN=K&options=all", None, 200, Lines(&["GET OPTION FROM: K", "Stamp=9999", "ATTLOGStamp=9999"])),
    ("nothing", "/iclock/cdata?SN=K&table=ATTLOG", Some(""), 200, Is("OK: 0")),
    ("a record of a stranger", "/iclock/cdata?SN=U&table=ATTLOG", Some("1\t2026-11-22 08:00:00\t0\t1\n"), 403, NotOk),
    ("operations", "/iclock/cdata?SN=K&table=OPERLOG", Some("OPLOG 4\t0\t2026-11-22 08:00:00\t0\nUSER PIN=1\tPasswd=4711\n"), 200, Is("OK: 2")),
    ("a photo", "/iclock/cdata?SN=K&table=ATTPHOTO", Some("PIN=1.jpg\nCMD=uploadphoto\0JPEG\n\n"), 200, Is("OK")),
    ("a photo elsewhere", "/iclock/fdata?SN=K&table=ATTPHOTO", Some("PIN=1.jpg\nCMD=uploadphoto\0JPEG"), 200, Is("OK")),
    ("options", "/iclock/cdata?SN=K&table=options", Some("~DeviceName=X Y,UserCount=17,BioDataFun="), 200, Is("OK")),
    ("an unknown table", "/iclock/cdata?SN=K&table=NEWTHING", Some("a=1\tPasswd=4711"), 200, Is("OK")),
    ("a template", "/iclock/cdata?SN=K&table=BIODATA", Some("BIODATA Pin=1\tTmp=AAAA\n"), 200, Is("OK: 1")),
    ("security: an event", "/iclock/cdata?SN=A&table=rtlog",
        Some("time=2026-02-23 14:13:48\tpin=2\tevent=3\tinoutstatus=0\tverifytype=15\tindex=140\n"), 200, Is("OK")),
    ("security: no punches", "/iclock/cdata?SN=A&table=rtlog",
        Some("time=2026-02-23 14:13:48\tpin=0\tevent=206\ntime=2026-02-23 14:13:49\tpin=7\tevent=23\ntime=2026-02-23 14:13:50\tpin=7\tevent=102\n"), 200, Is("OK")),
    ("security: a state", "/iclock/cdata?SN=A&table=rtstate", Some("time=2026-02-23 14:13:48\tsensor=01"), 200, Is("OK")),
    ("security: users", "/iclock/cdata?SN=A&table=tabledata&tablename=user&count=3", Some("user uid=1\nuser uid=2\nuser uid=3\n"), 200, Is("user=3")),
    ("security: a packet", "/iclock/querydata?SN=A&type=tabledata&cmdid=9&tablename=user&count=3&packcnt=2&packidx=1", Some("user uid=1\n"), 200, Is("user=3")),
    ("security: odd table", "/iclock/cdata?SN=A&table=tabledata&tablename=a%0Ab&count=3", Some("x\n"), 200, Is("OK: 3")),
    ("a poll", "/iclock/getrequest?SN=K", None, 200, Is("OK")),
    ("a result nobody waits for", "/iclock/devicecmd?SN=K", Some("ID=1&Return=0&CMD=DATA\nID=2&Return=-1004&CMD=DATA\n"), 200, Is("OK")),
    ("a result of a shell", "/iclock/devicecmd?SN=K", Some("ID=8\nSN=K\nReturn=0\nCMD=Shell\nContent=x"), 200, Is("OK")),
    ("a first poll", "/iclock/getrequest?SN=K&INFO=Ver%206.8.0(build640),2,0,33,192.0.2.1,10,-1,-12,101", None, 200, Is("OK")),
    ("raw spaces", "/iclock/getrequest?SN=K&INFO=Ver 6.8.0(build640), 2, 0, 33, 192.0.2.1, 10", None, 200, Is("OK")),
    ("raw spaces and bytes", "/iclock/getrequest?SN=K&INFO=\"Ver\" é<6>|{8}^`#", None, 200, Is("OK")),
    ("a ping", "/iclock/ping?SN=K", None, 200, Is("OK")),
    ("eSSL", "/iclock/cdata.aspx?SN=K&table=ATTLOG", Some(""), 200, Is("OK: 0")),
    ("a doubled prefix", "/iclock/iclock/cdata?SN=K&table=ATTLOG", Some(""), 200, Is("OK: 0")),
    ("capitals", "/iclock/CDATA?SN=K&TABLE=attlog", Some(""), 200, Is("OK: 0")),
    ("a slash", "/iclock/cdata/?SN=K&table=ATTLOG", Some(""), 200, Is("OK: 0")),
    ("an operator's prefix", "/essl/iclock/cdata?sn=K&table=ATTLOG", Some(""), 200, Is("OK: 0")),
    ("small letters", "/iclock/ping?sn=K", None, 200, Is("OK")),
    ("an exchange of keys", "/iclock/exchange?SN=K&type=publickey", Some("PublicKey=x"), 404, NotOk),
    ("and the version after it", "/iclock/cdata?SN=K&options=all&pushver=2.4.1", None, 200, Lines(&["GET OPTION FROM: K", "PushProtVer=2.3.0"])),
    ("no endpoint of ours", "/iclock/file?SN=K", None, 404, NotOk),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_request_gets_the_answer_that_terminals_want() {
    let server = Server::start("", "Asia/Bangkok", &["serial = \"K\"", "serial = \"A\""]).await;
    for (name, target, body, status, wanted) in ROWS {
        let head = match body {
            None => format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            Some(body) => {
                let length = body.len();
                format!(
                    "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                )
            }
        };
        let answer = server.raw(head.as_bytes(), false).await;
        let (found, text) = split(&answer);
        assert_eq!(found, *status, "{name}: {answer}");
        match wanted {
            Is(wanted) => assert_eq!(text, *wanted, "{name}"),
            Lines(wanted) => {
                assert_eq!(text.lines().next(), Some(wanted[0]), "{name}");
                for line in *wanted {
                    assert!(text.lines().any(|found| found == *line), "{name}: no line {line:?} in\n{text}");
                }
            }
            NotOk => assert!(!text.starts_with("OK"), "{name}: {text}"),
        }
        let small = answer.to_ascii_lowercase();
        for field in ["\r\ndate: ", "\r\ncontent-type: text/plain\r\n", "\r\ncontent-length: "] {
            assert!(small.contains(field), "{name}: no {field:?} in\n{answer}");
        }
    }
    assert_eq!(server.people("t0"), ["1", "2"]);
    assert_eq!(server.people("t1"), ["2"]);
    assert_eq!(server.gateway.twins(), 2);
    let aside = server.gateway.set_aside("t0");
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].raw, b"a=1\tPasswd=***");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_told_in_both_ways() {
    let server = Server::start("", "Asia/Kathmandu", &["serial = \"K\""]).await;
    let (status, text) = server.get("/iclock/rtdata?SN=K&type=time").await;
    assert_eq!(status, 200);
    let (number, zone) = text.trim_end().split_once(',').unwrap();
    assert_eq!(zone, "ServerTZ=+0545");
    let number: u64 = number.strip_prefix("DateTime=").unwrap().parse().unwrap();
    assert!(number > 26 * 12 * 31 * 86_400, "{number} lies before 2026");
    let (_, text) = server.get("/iclock/cdata?SN=K&type=time").await;
    assert!(text.starts_with("Time=20") && text.trim_end().ends_with("+05:45"), "{text}");
    let (_, text) = server.get("/iclock/cdata?SN=K&options=all").await;
    assert!(text.lines().any(|line| line == "TimeZone=345"), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_our_clock_is_not_set_nobody_is_told_a_time() {
    let server = Server::start("", "UTC", &["serial = \"K\""]).await;
    server.gateway.set_clock_wrong(true);
    for (target, body) in [
        ("/iclock/cdata?SN=K&options=all", None),
        ("/iclock/cdata?SN=K&table=ATTLOG", Some(support::record("1", "2026-11-22 08:00:00"))),
        ("/iclock/getrequest?SN=K", None),
        ("/iclock/rtdata?SN=K&type=time", None),
    ] {
        let head = match &body {
            None => format!("GET {target} HTTP/1.1\r\n\r\n"),
            Some(body) => format!("POST {target} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        };
        let answer = server.raw(head.as_bytes(), false).await;
        assert_eq!(split(&answer).0, 503, "{target}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("\r\ndate:"), "{answer}");
    }
    assert_eq!(server.people("t0"), [""; 0]);
    server.gateway.set_clock_wrong(false);
    assert_eq!(server.get("/iclock/cdata?SN=K&options=all").await.0, 200);
    server.stop().await;
}
