//! Stores that are broken or hostile. What honest ones do is tried with one that is not ours: tests/peers/s3.

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use driver_api::Secret;
use tempfile::NamedTempFile;

use super::*;

/// A store that does to its n-th request what it is told to.
struct Stub {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Stub {
    fn new(answer: impl Fn(usize, &mut TcpStream) -> io::Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = stream;
                while head(&mut stream) && answer(count.fetch_add(1, SeqCst), &mut stream).is_ok() {}
            }
        });
        Self { port, asked }
    }

    fn bucket(&self) -> Bucket {
        let ca = NamedTempFile::new().unwrap();
        fs::write(&ca, rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
        let settings = BucketSettings {
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            access_key_id: Some("sz-03".into()),
            secret_access_key: Some(Secret::new("secret")),
            ca_file: Some(ca.path().into()),
            ..BucketSettings::default()
        };
        let tries = Tries { first: Duration::from_millis(1), longest: Duration::from_millis(2), again: 3, ..TRIES };
        Bucket::patient("backups/sz-03", &settings, Duration::from_millis(200), tries).unwrap()
    }
}

/// Reads a request to the end of its head and its body; false when there is none any more.
fn head(stream: &mut TcpStream) -> bool {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => text.push(byte[0]),
            _ => return false,
        }
    }
    let text = String::from_utf8_lossy(&text).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    io::copy(&mut stream.take(length), &mut io::sink()).is_ok()
}

fn say(stream: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"1\"\r\n", body.len())?;
    write!(stream, "last-modified: Sun, 29 Nov 2026 08:00:00 GMT\r\n\r\n{body}")
}

fn code(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>words of the store</Message></Error>")
}

#[test]
fn a_store_that_is_busy_is_asked_again() {
    let stub = Stub::new(|n, stream| match n {
        0 | 1 => say(stream, "503 Slow Down", &code("SlowDown")),
        2 => Err(io::ErrorKind::ConnectionReset.into()),
        _ => say(stream, "200 OK", "hello"),
    });
    assert_eq!(stub.bucket().get("objects/a.age", 100), Ok(b"hello".to_vec()));
    assert_eq!(stub.asked.load(SeqCst), 4);
}

#[test]
fn a_store_that_stays_busy_is_told() {
    let stub = Stub::new(|_, stream| say(stream, "503 Slow Down", &code("SlowDown")));
    let refused = stub.bucket().put("objects/a.age", b"hello").unwrap_err();
    assert_eq!(refused.why, "cannot write objects/a.age at s3://backups/sz-03: the store has too much to do");
    assert_eq!(stub.asked.load(SeqCst), 4);
}

#[test]
fn one_connection_serves_many_requests() {
    let stub = Stub::new(|_, stream| say(stream, "200 OK", "hello"));
    let bucket = stub.bucket();
    for _ in 0..20 {
        assert_eq!(bucket.get("objects/a.age", 5), Ok(b"hello".to_vec()));
    }
    // The stub serves one connection to its end before it takes the next.
    assert_eq!(stub.asked.load(SeqCst), 20);
}

#[test]
fn a_store_that_says_nothing_is_not_waited_for() {
    let stub = Stub::new(|_, stream| {
        // Until the other side goes.
        while stream.read(&mut [0; 64])? > 0 {}
        Err(io::ErrorKind::UnexpectedEof.into())
    });
    let refused = stub.bucket().get("objects/a.age", 100).unwrap_err();
    assert!(refused.why.contains("silent for"), "{}", refused.why);
}

#[test]
fn more_than_it_may_be_is_not_read() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let stub = Stub::new(move |_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\netag: \"1\"\r\n")?;
        write!(stream, "last-modified: Sun, 29 Nov 2026 08:00:00 GMT\r\n\r\n")?;
        loop {
            stream.write_all(b"1000\r\n")?;
            stream.write_all(&[b'a'; 0x1000])?;
            stream.write_all(b"\r\n")?;
            count.fetch_add(0x1000, SeqCst);
        }
    });
    let bucket = stub.bucket();
    let long = bucket.get("objects/a.age", 1000).unwrap_err();
    assert_eq!(long.why, "objects/a.age at s3://backups/sz-03 is longer than it may be");
    // What the sockets hold between them, and no more.
    assert!(sent.load(SeqCst) < 32 << 20, "{}", sent.load(SeqCst));
    bucket.list("objects").unwrap_err();
    assert!(sent.load(SeqCst) < 96 << 20, "{}", sent.load(SeqCst));
}

#[test]
fn what_a_store_means_is_told_with_the_mend() {
    for (status, word, why, mend) in [
        ("404 Not Found", "NoSuchBucket", "no such bucket", "make the bucket"),
        ("403 Forbidden", "InvalidAccessKeyId", "does not know this access key", "access_key_id"),
        ("403 Forbidden", "SignatureDoesNotMatch", "the secret is not that", "secret_access_key_file"),
        ("403 Forbidden", "RequestTimeTooSkewed", "clock is off", "timedatectl"),
        ("403 Forbidden", "AccessDenied", "may not do that", "list the bucket"),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "another region", "backup.region"),
        ("400 Bad Request", "AuthorizationQueryParametersError", "another region", "backup.region"),
        ("301 Moved Permanently", "PermanentRedirect", "redirect", "backup.region"),
        ("418 I'm a teapot", "Teapot", "418", "the store's own log"),
    ] {
        let stub = Stub::new(move |_, stream| say(stream, status, &code(word)));
        let bucket = stub.bucket();
        for refused in [bucket.put("objects/a.age", b"1").unwrap_err(), bucket.list("backups").unwrap_err()] {
            assert!(refused.why.contains(why) && refused.mend.contains(mend), "{word}: {refused:?}");
        }
    }
    let stub = Stub::new(|_, stream| say(stream, "404 Not Found", &code("NoSuchKey")));
    let missing = stub.bucket().get("objects/a.age", 9).unwrap_err();
    assert_eq!(missing.why, "objects/a.age is missing at s3://backups/sz-03");
}

#[test]
fn a_listing_that_is_none_is_no_empty_one() {
    for body in ["", "<?xml version=\"1.0\"?><ListBucketResult><Contents><Size>x</Size>", "\u{0}\u{1}"] {
        let stub = Stub::new(move |_, stream| say(stream, "200 OK", body));
        let listed = stub.bucket().list("backups");
        assert!(listed.is_err(), "{body:?}: {listed:?}");
    }
}

#[test]
fn a_list_of_many_parts_is_put_together() {
    let stub = Stub::new(|n, stream| {
        let key = |name: &str| format!("<Contents><Key>sz-03/objects/{name}</Key><Size>{n}</Size></Contents>");
        let objects = [key(&format!("{}.age", 9 - n)), key("folder/b.age"), key(".."), key("")].concat();
        let more = if n < 3 {
            "true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        } else {
            "false</IsTruncated>"
        };
        say(stream, "200 OK", &format!("<ListBucketResult><IsTruncated>{more}{objects}</ListBucketResult>"))
    });
    let listed: Vec<_> = [(6, 3), (7, 2), (8, 1), (9, 0)].map(|(name, size)| (format!("{name}.age"), size)).into();
    assert_eq!(stub.bucket().list("objects"), Ok(listed));
    assert_eq!(stub.asked.load(SeqCst), 4);
}

#[test]
fn what_was_signed_for_a_while_tells_of_the_clock() {
    for words in ["Request has expired", "Request is not yet valid", "Request is not valid yet"] {
        let body = code("AccessDenied").replace("words of the store", words);
        let stub = Stub::new(move |_, stream| say(stream, "403 Forbidden", &body));
        let refused = stub.bucket().put("objects/a.age", b"1").unwrap_err();
        assert!(refused.why.ends_with("clock is off"), "{refused:?}");
    }
}

#[test]
fn nothing_signed_is_told() {
    let stub = Stub::new(|_, _| Err(io::ErrorKind::ConnectionReset.into()));
    let bucket = stub.bucket();
    for refused in [bucket.list("backups").unwrap_err(), bucket.get("objects/a.age", 9).unwrap_err()] {
        assert!(!format!("{refused:?}").to_lowercase().contains("x-amz"), "{refused:?}");
    }
}

#[test]
fn a_web_page_is_no_store() {
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: 5\r\n\r\nhello";
    let bucket = Stub::new(move |_, stream| stream.write_all(page.as_bytes())).bucket();
    for refused in [bucket.list("backups").unwrap_err(), bucket.put("objects/a.age", b"1").unwrap_err()] {
        assert!(refused.why.contains("a web page") && refused.mend.contains("backup.endpoint"), "{refused:?}");
    }
}

#[test]
fn names_of_places_are_judged_before_anybody_is_asked() {
    let settings = BucketSettings {
        access_key_id: Some("sz-03".into()),
        secret_access_key: Some(Secret::new("secret")),
        ..BucketSettings::default()
    };
    for place in ["", "/", "ab", "a b c", "key:secret@backups/sz-03", "backups/../sz-03"] {
        let refused = Bucket::open(place, &settings).map(|bucket| bucket.shown()).unwrap_err();
        assert!(!refused.why.contains("secret"), "{}", refused.why);
    }
    for (place, shown) in
        [("backups", "s3://backups"), ("backups/", "s3://backups"), ("backups/a/b/", "s3://backups/a/b")]
    {
        assert_eq!(Bucket::open(place, &settings).unwrap().shown(), shown);
    }
}
