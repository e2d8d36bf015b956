//! Many terminals, outages and restarts: nothing lost, nothing twice, nobody served who should not be.

mod support;

use std::{collections::HashSet, time::Duration};

use driver_api::{Report, Trouble};
use driver_zk_push::sim::{Fault, Model, PushTerminal, Record};
use jiff::civil::date;
use support::{PATIENCE, Server, free_address, record};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_with_backlogs_and_broken_requests_arrives_whole() {
    let serials: Vec<String> = (0..20).map(|n| format!("S{n:02}")).collect();
    let blocks: Vec<String> = serials.iter().map(|serial| format!("serial = \"{serial}\"")).collect();
    let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
    let server = Server::start("", "UTC", &blocks).await;
    server.gateway.set_slow(Duration::from_millis(3));
    let last = date(2026, 11, 22).at(8, 0, 0, 0);
    let terminals: Vec<_> = serials
        .iter()
        .enumerate()
        .map(|(n, serial)| {
            let model = Model::new(serial, server.address);
            let model =
                Model { batch: [1, 10, 33, 100][n % 4], keep_alive: n % 3 == 0, resumes_by_stamp: n % 5 == 0, ..model };
            let terminal = PushTerminal::start(if n % 4 == 1 { model.security() } else { model });
            terminal.backlog(100, last);
            for fault in [Fault::CutRequest, Fault::HangUp, Fault::HangUp, Fault::CutRequest] {
                terminal.fault(fault);
            }
            terminal
        })
        .collect();
    for round in 0..5 {
        for terminal in &terminals {
            terminal.record(Record::new(format!("900{round}"), date(2026, 11, 22).at(9, 0, round, 0)));
        }
        terminals[usize::try_from(round).unwrap()].cut();
    }
    for (n, terminal) in terminals.iter().enumerate() {
        let name = format!("t{n}");
        let whole = |_: &_| terminal.acknowledged() == 105;
        server.gateway.until("all is acknowledged", PATIENCE, whole).await;
        let punches = server.gateway.punches(&name);
        let different: HashSet<_> = punches.iter().map(|punch| (punch.person.clone(), punch.local)).collect();
        assert_eq!((punches.len(), different.len()), (105, 105), "{name}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_gateway_loses_and_doubles_nothing() {
    let (mut gateway, address) = (Default::default(), free_address());
    let terminal = PushTerminal::start(Model { resumes_by_stamp: true, ..Model::new("K", address) });
    for round in 1..=4_usize {
        let server = Server::start_at(gateway, address, "", "UTC", &["serial = \"K\""]).await;
        // Killed while the store is at work, every second time.
        server.gateway.set_slow(if round % 2 == 0 { Duration::from_millis(500) } else { Duration::ZERO });
        let at = i8::try_from(round).unwrap();
        for n in 0..10 {
            terminal.record(Record::new(format!("{n}"), date(2026, 11, at).at(8, 0, n, 0)));
        }
        if round % 2 == 1 {
            server.gateway.until("the round is stored", PATIENCE, |_| terminal.acknowledged() == round * 10).await;
            terminal.resend_all();
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await; // any moment will do
        }
        gateway = server.stop().await;
        assert!(gateway.punches("t0").len() >= terminal.acknowledged());
    }
    gateway.set_slow(Duration::ZERO);
    let server = Server::start_at(gateway, address, "", "UTC", &["serial = \"K\""]).await;
    server.gateway.until("all is stored", PATIENCE, |_| terminal.acknowledged() == 40).await;
    assert_eq!(server.people("t0").len(), 40);
    let stamp = terminal.options().lines().find_map(|line| line.strip_prefix("ATTLOGStamp=")?.parse::<usize>().ok());
    assert!(stamp.is_some_and(|stamp| (30..=40).contains(&stamp)), "{}", terminal.options());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_and_told_of_with_the_block_that_lets_it_in() {
    let server = Server::start("", "UTC", &["serial = \"K\""]).await;
    let stranger = PushTerminal::start(Model::new("STRANGE_1", server.address));
    stranger.punch("1");
    server.gateway.until("it is told of", PATIENCE, |gateway| !gateway.strangers().is_empty()).await;
    let told = &server.gateway.strangers()[0];
    assert_eq!((told.driver, told.serial.as_str(), told.peer.as_str()), ("zk-push", "STRANGE_1", "127.0.0.1"));
    let gateway = server.stop().await;
    assert_eq!(stranger.acknowledged(), 0);
    // The block is a block: with it in the config, the same terminal is served.
    let table: toml::Table = told.block.parse().unwrap();
    let block = &table["terminal"][0];
    assert_eq!((block["driver"].as_str(), block["name"].as_str()), (Some("zk-push"), Some("zk-strange-1")));
    let serial = format!("serial = {}", block["serial"]);
    let server = Server::start("", "UTC", &[&serial]).await;
    drop(stranger);
    let terminal = PushTerminal::start(Model::new("STRANGE_1", server.address));
    terminal.punch("1");
    server.gateway.until("it is served", PATIENCE, |_| terminal.acknowledged() == 1).await;
    drop(gateway);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_at_an_address_that_is_not_its_own_is_refused() {
    let server = Server::start("", "UTC", &["serial = \"K\"\nfrom = [\"192.0.2.0/24\", \"2001:db8::/32\"]"]).await;
    let (status, text) = server.post("/iclock/cdata?SN=K&table=ATTLOG", record("1", "2026-11-22 08:00:00")).await;
    assert_eq!((status, text.starts_with("OK")), (403, false));
    assert_eq!(server.people("t0"), [""; 0]);
    let told = |report: &Report| matches!(report, Report::Trouble { trouble: Trouble::AddressChanged, .. });
    assert!(server.gateway.reports("t0").iter().any(told));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_spoken_to_over_tls() {
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).unwrap();
    let [cert, key] = ["push.pem", "push.key"].map(|name| folder.path().join(name));
    std::fs::write(&cert, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let settings = format!("tls_cert_file = {cert:?}\ntls_key_file = {key:?}");
    let server = Server::start(&settings, "UTC", &["serial = \"K\""]).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let plain = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client));
    let mut stream = connector.connect(ServerName::try_from("gateway.example").unwrap(), plain).await.unwrap();
    let line = record("1", "2026-11-22 08:00:00");
    let request = format!(
        "POST /iclock/cdata?SN=K&table=ATTLOG HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{line}",
        line.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer comes").unwrap();
    assert!(answer.ends_with("OK: 1"), "{answer}");
    assert_eq!(server.people("t0"), ["1"]);
    server.stop().await;
}
