//! Malformed requests against the real program: each gets its refusal or the end of its connection, nothing of it becomes a
//! punch, memory stays flat, and a good terminal beside them notices nothing.

mod support;

use std::{collections::BTreeSet, fs, time::Duration};

use driver_zk_push::sim::{Model, PushTerminal};
use jiff::tz::TimeZone;
use support::{
    broker::Mosquitto,
    daemon::Daemon,
    push::{Arrivals, blocks, free_address, raw, split},
    subscriber::Subscriber,
};
use tokio::time::{Instant, sleep, timeout};

/// How a probe ends.
enum Want {
    /// This status, and a body that no firmware takes for `OK` unless it is 200.
    Status(u16),
    /// 200 and this body.
    Ok(&'static str),
    /// Any error, or the end of the connection without a word.
    Refused,
    /// The end of the connection without a word: the request did not happen.
    Silence,
}
use Want::{Ok as Says, Refused, Silence, Status};

/// A name, the bytes, whether the peer closes its side behind them, and what is wanted.
type Probe = (&'static str, Vec<u8>, bool, Want);

const ATTLOG: &str = "/iclock/cdata?SN=PROBE1&table=ATTLOG&Stamp=9999";
/// A record that would be a punch if anybody believed it. It has 34 bytes.
const PHANTOM: &str = "666\t2026-11-22 08:00:00\t0\t1\t0\t0\t0\n";

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into()
}

fn with(method: &str, target: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    [format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes(), body.as_ref()].concat()
}

fn post(target: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n", body.as_ref().len());
    with("POST", target, &length, body)
}

fn chunked(chunks: &str) -> Vec<u8> {
    with("POST", ATTLOG, "Transfer-Encoding: chunked\r\n", chunks)
}

fn framed(fields: &str) -> Vec<u8> {
    with("POST", ATTLOG, fields, PHANTOM)
}

/// Bytes that are no request at all, and heads that are wrong.
fn heads() -> Vec<Probe> {
    let many = "A: b\r\n".repeat(3000);
    vec![
        ("nothing", vec![], true, Silence),
        ("empty lines", b"\r\n\r\n\r\n".to_vec(), true, Silence),
        ("NULs", vec![0; 4096], true, Refused),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20), true, Refused),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), true, Refused),
        ("no target", b"GET\r\n\r\n".to_vec(), true, Refused),
        ("no version", format!("GET {ATTLOG}\r\n\r\n").into(), true, Refused),
        ("a version of the future", b"GET /iclock/ping?SN=PROBE1 HTTP/9.9\r\n\r\n".to_vec(), true, Refused),
        ("a method with a NUL", b"GE\0T /iclock/ping?SN=PROBE1 HTTP/1.1\r\n\r\n".to_vec(), true, Refused),
        ("a request line without end", vec![b'G'; 200_000], false, Refused),
        ("a target of 100 KB", get(&format!("/iclock/ping?SN=PROBE1&x={}", "x".repeat(100_000))), false, Refused),
        (
            "three thousand header fields",
            with("POST", ATTLOG, &format!("{many}Content-Length: 34\r\n"), PHANTOM),
            false,
            Refused,
        ),
        (
            "a header field of 64 KB",
            with("POST", ATTLOG, &format!("A: {}\r\nContent-Length: 34\r\n", "b".repeat(65_536)), PHANTOM),
            false,
            Refused,
        ),
        (
            "a header field without a colon",
            with("POST", ATTLOG, "garbage\r\nContent-Length: 34\r\n", PHANTOM),
            false,
            Refused,
        ),
        ("a NUL in a header field", with("POST", ATTLOG, "A: b\0c\r\nContent-Length: 34\r\n", PHANTOM), false, Refused),
        (
            "a folded header field",
            with("POST", ATTLOG, "A: b\r\n c\r\nContent-Length: 34\r\n", PHANTOM),
            false,
            Refused,
        ),
        ("line ends of CR alone", b"GET /iclock/ping?SN=PROBE1 HTTP/1.1\rHost: x\r\r".to_vec(), true, Refused),
        ("PUT", with("PUT", ATTLOG, "Content-Length: 34\r\n", PHANTOM), false, Status(405)),
        ("DELETE", with("DELETE", ATTLOG, "", ""), false, Status(405)),
        ("PATCH", with("PATCH", ATTLOG, "Content-Length: 34\r\n", PHANTOM), false, Status(405)),
        ("OPTIONS", with("OPTIONS", ATTLOG, "", ""), false, Status(405)),
        ("TRACE", with("TRACE", ATTLOG, "", ""), false, Status(405)),
        ("CONNECT", b"CONNECT example:443 HTTP/1.1\r\n\r\n".to_vec(), true, Refused),
        ("a method that nobody knows", with("PUNCH", ATTLOG, "Content-Length: 34\r\n", PHANTOM), false, Status(405)),
        ("a GET with a body", with("GET", ATTLOG, "Content-Length: 34\r\n", PHANTOM), false, Status(400)),
        ("half a head", b"POST /iclock/cdata?SN=PROBE1&table=ATTLOG HT".to_vec(), true, Refused),
        (
            "a head that stops",
            b"POST /iclock/cdata?SN=PROBE1&table=ATTLOG HTTP/1.1\r\nContent-Le".to_vec(),
            false,
            Refused,
        ),
    ]
}

/// Bodies whose length is a lie, and requests hidden in them.
fn lengths() -> Vec<Probe> {
    let endless = format!("{}{}", "1\r\n6\r\n".repeat(60_000), "1\r\n6");
    vec![
        ("no length", with("POST", ATTLOG, "", PHANTOM), true, Status(411)),
        ("a negative length", framed("Content-Length: -1\r\n"), false, Refused),
        ("a length of 2^64", framed("Content-Length: 18446744073709551616\r\n"), false, Refused),
        ("a length with a plus", framed("Content-Length: +34\r\n"), false, Refused),
        ("a length in hex", framed("Content-Length: 0x22\r\n"), false, Refused),
        ("a length with rubbish", framed("Content-Length: 34abc\r\n"), false, Refused),
        ("a list of lengths", framed("Content-Length: 34, 4\r\n"), false, Refused),
        ("an empty length", framed("Content-Length: \r\n"), false, Refused),
        ("two lengths", framed("Content-Length: 34\r\nContent-Length: 3\r\n"), false, Refused),
        (
            "a length and chunks",
            with(
                "POST",
                ATTLOG,
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                format!("0\r\n\r\n{}", String::from_utf8(post(ATTLOG, PHANTOM)).unwrap()),
            ),
            false,
            Refused,
        ),
        ("an unknown coding", framed("Transfer-Encoding: gzip\r\nContent-Length: 34\r\n"), false, Refused),
        (
            "chunked, and then not",
            framed("Transfer-Encoding: chunked, identity\r\nContent-Length: 34\r\n"),
            false,
            Refused,
        ),
        ("a coding in disguise", framed("Transfer-Encoding : chunked\r\nContent-Length: 34\r\n"), false, Refused),
        ("a chunk of 2^68", chunked(&format!("fffffffffffffffff\r\n{PHANTOM}")), true, Refused),
        ("a negative chunk", chunked(&format!("-22\r\n{PHANTOM}\r\n0\r\n\r\n")), true, Refused),
        ("a chunk without a size", chunked(&format!("\r\n{PHANTOM}\r\n0\r\n\r\n")), true, Refused),
        ("chunks of a byte, sixty thousand, no end", chunked(&endless), true, Refused),
        ("a chunk's extension without end", chunked(&format!("22;{}", "x".repeat(200_000))), true, Refused),
        ("a flood of trailers", chunked(&format!("0\r\n{}", "A: b\r\n".repeat(50_000))), true, Refused),
        ("a chunk that is cut", chunked("22\r\n666\t2026-11-22 08:0"), true, Refused),
        ("no last chunk", chunked(&format!("22\r\n{PHANTOM}\r\n")), true, Refused),
        (
            "a body that is cut in its time",
            with("POST", ATTLOG, "Content-Length: 500\r\n", "666\t2026-11-22 08:0"),
            true,
            Silence,
        ),
        ("a body that is cut behind a line", with("POST", ATTLOG, "Content-Length: 500\r\n", PHANTOM), true, Silence),
        ("another request behind the body", [post(ATTLOG, "\n"), post(ATTLOG, PHANTOM)].concat(), false, Says("OK: 0")),
        ("more than was announced", with("POST", ATTLOG, "Content-Length: 12\r\n", PHANTOM), false, Says("OK: 1")),
        ("48 MB announced", with("POST", ATTLOG, "Content-Length: 50331648\r\n", ""), true, Refused),
        ("exabytes announced", with("POST", ATTLOG, "Content-Length: 9223372036854775807\r\n", PHANTOM), true, Refused),
        (
            "5 MB of a refused one",
            with(
                "POST",
                "/iclock/cdata?SN=NOBODY&table=ATTLOG",
                "Content-Length: 5000000\r\n",
                PHANTOM.repeat(100_000),
            ),
            false,
            Refused,
        ),
    ]
}

/// Who asks, and where.
fn serials() -> Vec<Probe> {
    let at = |serial: &str| get(&format!("/iclock/cdata?SN={serial}&options=all"));
    let mut probes = vec![
        ("no serial number", get("/iclock/cdata?options=all"), false, Status(400)),
        ("an empty one", at(""), false, Status(400)),
        ("a path", at("../../etc/passwd"), false, Status(400)),
        ("a path, encoded", at("%2e%2e%2f%2e%2e%2fetc"), false, Status(400)),
        ("a NUL", at("PROBE1%00"), false, Status(400)),
        ("a header field", at("PROBE1%0d%0aX-A:%20b"), false, Status(400)),
        ("SQL", at("'%20OR%201=1--"), false, Status(400)),
        ("three hundred letters", at(&"A".repeat(300)), false, Status(400)),
        ("letters of elsewhere", at("ПРОБА"), false, Status(400)),
        ("broken percents", at("%zz%4"), false, Status(400)),
        ("a topic", at("punch/%23"), false, Status(400)),
        ("two, the first unknown", get("/iclock/ping?SN=NOBODY&SN=PROBE1"), false, Status(403)),
        ("no address of ours", get("/iclock/file?SN=PROBE1"), false, Status(404)),
        ("a file", get("/iclock/../../etc/passwd?SN=PROBE1"), false, Status(404)),
        ("the root", get("/?SN=PROBE1"), false, Status(404)),
        ("an exchange of keys", post("/iclock/exchange?SN=PROBE1&type=publickey", "PublicKey=x"), false, Status(404)),
        ("registration of nobody", post("/iclock/registry?SN=NOBODY", "DeviceType=acc"), false, Status(406)),
    ];
    for path in ["cdata", "getrequest", "devicecmd", "ping", "fdata", "push", "querydata", "rtdata", "exchange", "x"] {
        let target = format!("/iclock/{path}?SN=NOBODY&table=ATTLOG&options=all&type=time");
        probes.push(("nobody asks", get(&target), false, Status(403)));
        probes.push(("nobody posts", post(&target, PHANTOM), false, Status(403)));
    }
    probes
}

/// What stands in bodies: all of it is taken, and none of it is a punch.
fn bodies() -> Vec<Probe> {
    let table = |name: &str| format!("/iclock/cdata?SN=PROBE1&table={name}");
    let dates = [
        "0000-00-00 00:00:00",
        "2026-02-30 08:00:00",
        "2026-13-01 08:00:00",
        "2026-11-22 25:00:00",
        "2026-11-22 08:60:00",
        "1971--10--29 -23:-27:-54",
        "99999-01-01 00:00:00",
        "2026-11-22",
        "08:00:00",
        "2026/11/22 08:00:00",
        "22-11-2026 08:00:00",
        "2026-11-22 08:00:0",
        "2026-11-22 08:00:00x",
        "now",
        "",
        "-1",
        "9999999999999999999999",
    ];
    let dated: String = dates.iter().map(|date| format!("666\t{date}\t0\t1\t0\t0\t0\n")).collect();
    vec![
        ("bad dates", post(ATTLOG, dated), true, Says("OK: 17")),
        ("nothing but line ends", post(ATTLOG, "\n\r\n\n \t \n"), true, Says("OK: 0")),
        ("a line of 1 MB", post(ATTLOG, vec![b'6'; 1 << 20]), true, Says("OK: 1")),
        (
            "ten thousand fields",
            post(ATTLOG, format!("666\t2026-11-22 08:00:00{}\n", "\t0".repeat(10_000))),
            true,
            Says("OK: 1"),
        ),
        ("a hundred thousand tabs", post(ATTLOG, "x".to_owned() + &"\t".repeat(100_000)), true, Says("OK: 1")),
        (
            "bytes of no encoding",
            post(ATTLOG, b"\xff\xfe\x80\x81\t\xc3\x28\t\xa0\n\x81\x30\x81\n"),
            true,
            Says("OK: 2"),
        ),
        ("NULs among records", post(ATTLOG, b"6\x0066\t2026-11-22 08:00:00\t0\t1\n"), true, Says("OK: 1")),
        ("no user number", post(ATTLOG, "\t2026-11-22 08:00:00\t0\t1\n"), true, Says("OK: 1")),
        (
            "a user number of a kilobyte",
            post(ATTLOG, format!("{}\t2026-11-22 08:00:00\t0\t1\n", "6".repeat(1000))),
            true,
            Says("OK: 1"),
        ),
        ("a form", post(ATTLOG, "PIN=666&DateTime=2026-11-22+08%3A00%3A00"), true, Says("OK: 1")),
        ("JSON", post(ATTLOG, "{\"pin\":\"666\",\"time\":\"2026-11-22 08:00:00\"}"), true, Says("OK: 1")),
        (
            "XML",
            post(ATTLOG, "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><x>&a;</x>"),
            true,
            Says("OK: 1"),
        ),
        ("an unknown table", post(&table("DROP%20TABLE%20punches"), PHANTOM), true, Says("OK")),
        ("no table", post("/iclock/cdata?SN=PROBE1", PHANTOM), true, Says("OK")),
        ("a table's name of 8 KB", post(&table(&"T".repeat(8000)), PHANTOM), true, Says("OK")),
        ("a table with line ends", post(&table("a%0d%0ab"), PHANTOM), true, Says("OK")),
        (
            "a count of 2^64",
            post(&format!("{}&tablename=user&count=18446744073709551616", table("tabledata")), "user uid=1\n"),
            true,
            Says("user=1"),
        ),
        (
            "a negative count",
            post(&format!("{}&tablename=user&count=-1", table("tabledata")), "user uid=1\n"),
            true,
            Says("user=1"),
        ),
        (
            "a table that is a path",
            post(&format!("{}&tablename=../../x&count=1", table("tabledata")), "x\n"),
            true,
            Says("OK: 1"),
        ),
        (
            "four billion packets",
            post(
                "/iclock/querydata?SN=PROBE1&type=tabledata&cmdid=1&tablename=user&count=1&packcnt=4294967295&packidx=4294967295",
                "user uid=1\n",
            ),
            true,
            Says("user=1"),
        ),
        ("a result of nothing", post("/iclock/devicecmd?SN=PROBE1", b"\xff\0ID=&Return=&CMD="), true, Says("OK")),
        (
            "a result without bounds",
            post(
                "/iclock/devicecmd?SN=PROBE1",
                "ID=99999999999999999999&Return=-99999999999999999999&CMD=DATA\n".repeat(500),
            ),
            true,
            Says("OK"),
        ),
        (
            "events without sense",
            post(&table("rtlog"), "time=666\tpin=666\nevent=999999\tpin=666\ttime=2026-11-22 08:00:00\n\tpin\t=\t==\n"),
            true,
            Says("OK"),
        ),
        (
            "templates without end",
            post(&table("BIODATA"), format!("BIODATA Pin=1\tTmp={}\n", "QUJD".repeat(300_000))),
            true,
            Says("OK: 1"),
        ),
    ]
}

fn memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_get_their_refusal_and_a_good_terminal_notices_nothing() {
    let Some(broker) = Mosquitto::plainly() else { return };
    let subscriber = Subscriber::start(broker.settings("subscriber")).await;
    let gateway = free_address();
    let daemon = Daemon::start(&broker, &blocks(gateway, "", ["PROBE1", "GOOD"]));
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let good = PushTerminal::start(Model { zone, ..Model::new("GOOD", gateway) });
    daemon.until(&["terminals"], "the good one is served", |all| all.iter().any(|it| it["state"] == "online")).await;

    let probing = async {
        let mut probes = [heads(), lengths(), serials(), bodies()].into_iter().flatten().collect::<Vec<_>>();
        assert!(probes.len() >= 43, "{}", probes.len());
        // A few at a time: the slow ones wait for nobody.
        let mut running = tokio::task::JoinSet::new();
        let mut wrong = Vec::new();
        while !probes.is_empty() || !running.is_empty() {
            while running.len() < 8
                && let Some((name, bytes, hang_up, want)) = probes.pop()
            {
                running.spawn(async move {
                    let answer = raw(gateway, &bytes, hang_up, Duration::from_secs(25)).await;
                    judge(name, &bytes, answer, &want).err()
                });
            }
            wrong.extend(running.join_next().await.and_then(Result::unwrap));
        }
        wrong
    };
    // A punch every tenth of a second, each acknowledged before the next; how long the slowest one took.
    let punching = async {
        let (mut slowest, mut people) = (Duration::ZERO, 0);
        loop {
            people += 1;
            let begun = Instant::now();
            good.punch(&people.to_string());
            while good.acknowledged() < people {
                sleep(Duration::from_millis(2)).await;
            }
            slowest = slowest.max(begun.elapsed());
            if people >= 50 && PROBED.load(std::sync::atomic::Ordering::Relaxed) {
                return (slowest, people);
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    static PROBED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let probing = async {
        let wrong = probing.await;
        PROBED.store(true, std::sync::atomic::Ordering::Relaxed);
        wrong
    };
    let both = async { tokio::join!(probing, punching) };
    let (wrong, (slowest, people)) = timeout(Duration::from_secs(180), both).await.expect("every probe ends");
    assert!(wrong.is_empty(), "{} probes:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(good.refusals(), 0);
    assert!(slowest < Duration::from_secs(5), "the good terminal once waited for {slowest:?}");

    let peak = memory_kib(daemon.pid()) / 1024;
    assert!(peak < 128, "{peak} MiB");
    daemon.until_status("all is delivered", |it| it["queue"]["undelivered"] == 0).await;
    let all = (1..=people as u64).map(|seq| ("good".to_owned(), seq)).collect();
    subscriber.until_punches(&all).await;
    let arrivals = Arrivals::of(&[&subscriber]);
    assert_eq!(arrivals.count(), people, "a probe became a punch");
    let conditions = daemon.ask(&["conditions"]).unwrap();
    let stranger = conditions.iter().find(|it| it["code"] == "terminal-unknown").expect("who was refused is shown");
    let block = "[[terminal]]\nname = \"zk-nobody\"\ndriver = \"zk-push\"\nserial = \"NOBODY\"\n";
    assert!(stranger["cause"].as_str().unwrap().ends_with(block), "{stranger}");
    assert_eq!(conditions.iter().filter(|it| it["code"] == "terminal-unknown").count(), 1);
    let subjects: BTreeSet<_> = conditions.iter().map(|it| it["code"].as_str().unwrap().to_owned()).collect();
    assert!(subjects.contains("terminal-records-set-aside"), "{subjects:?}");
}

fn judge(name: &str, bytes: &[u8], answer: Option<Vec<u8>>, want: &Want) -> Result<(), String> {
    let shown = || {
        format!(
            "{name}: {:?} after {:?}",
            answer.as_deref().map(String::from_utf8_lossy),
            &String::from_utf8_lossy(&bytes[..bytes.len().min(120)])
        )
    };
    let Some(answer) = &answer else { return Err(format!("no end: {}", shown())) };
    let (status, body) = split(answer);
    let fits = match want {
        Status(wanted) => status == *wanted && !body.starts_with("OK"),
        Says(wanted) => status == 200 && body == *wanted,
        Refused => answer.is_empty() || (status >= 400 && !body.starts_with("OK")),
        Silence => answer.is_empty(),
    };
    fits.then_some(()).ok_or_else(shown)
}
