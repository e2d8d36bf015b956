//! Lines of several terminals: a serial bus, and the port for those that dial in.

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use driver_anviz::{
    command::{ask, said},
    frame::Frame,
    sim::{Fault, Harm, Model, Simulator},
};
use driver_api::{
    Job, JobFailed, Operation, Report,
    contract::{PATIENCE, Running, garbage},
};
use support::{Config, quick};
use tokio::time::timeout;
use tokio_serial::{SerialPort, SerialStream};

/// Terminals with units from 1 on.
fn models(count: u32) -> Vec<Model> {
    let model = |unit| Model { unit, serial: format!("02501009123400{unit:02}"), ..Model::default() };
    (1..=count).map(model).collect()
}

async fn bus(count: u32) -> (Simulator, Running) {
    let (far, near) = SerialStream::pair().unwrap();
    let path = near.name().unwrap();
    drop(near);
    let line = Simulator::on(models(count), far);
    let block = |unit| quick(format!("address = \"serial://{path}?baud=115200\"\nunit = {unit}\ntimeout = \"150ms\""));
    (line, Running::start(&Config(String::new(), (1..=count).map(block).collect())))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_terminal_of_a_bus_is_served_and_a_dead_one_is_told_and_harms_nobody() {
    let (line, running) = bus(4).await;
    line.set_deaf(1, true);
    for round in 0..3 {
        for terminal in [0, 2, 3] {
            line.punch(terminal, 1000 + round);
        }
    }
    for terminal in [0, 2, 3] {
        running.until_stored("the others are served", terminal, 3).await;
    }
    let offline = |it: &Report| matches!(it, Report::Offline { why } if why.contains("no answer"));
    running.gateway.until("the dead one is told", PATIENCE, |it| it.reports("t1").iter().any(offline)).await;
    line.punch(1, 77);
    line.set_deaf(1, false);
    running.until_stored("it is served again", 1, 1).await;
    assert!(running.gateway.reports("t1").contains(&Report::Online));
    // Each has its own records, and no other's.
    for terminal in 0..4 {
        let count = running.gateway.punches(&running.names[terminal]).len();
        assert_eq!(count, if terminal == 1 { 1 } else { 3 });
    }
    running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_on_a_bus_costs_time_and_no_punch() {
    let (line, running) = bus(2).await;
    for (round, bytes) in garbage().into_iter().enumerate() {
        line.blurt(&bytes);
        line.harm(Fault::once(ask::RECORDS, Harm::Bytes(bytes.clone())));
        line.harm(Fault::once(ask::CLEAR, Harm::Bytes(bytes)));
        line.punch(0, 1000 + round as u64);
        line.punch(1, 2000 + round as u64);
    }
    for terminal in [0, 1] {
        running.until_stored("all arrive", terminal, garbage().len()).await;
        running.people(terminal);
    }
    running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_was_pulled_is_served_again_within_ten_seconds_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let by_id = folder.path().join("usb-FTDI_A10KZ1-if00-port0");
    // Each time another pseudo terminal under the adapter's name, with the same terminal behind it.
    let plug = || {
        let (far, near) = SerialStream::pair().unwrap();
        std::os::unix::fs::symlink(near.name().unwrap(), &by_id).unwrap();
        drop(near);
        let line = Simulator::on(models(1), far);
        line.punch_at(0, 1001, jiff::civil::date(2026, 11, 22).at(8, 0, 0, 0), 8, 0x80);
        line
    };
    let line = plug();
    let block = format!("address = \"serial://{}?baud=115200\"\nunit = 1\ntimeout = \"300ms\"", by_id.display());
    let running = Running::start(&Config(String::new(), vec![quick(block)]));
    running.until_stored("the first", 0, 1).await;
    std::fs::remove_file(&by_id).unwrap();
    drop(line);
    let offline = |it: &Report| matches!(it, Report::Offline { why } if why.contains("no such port"));
    running.gateway.until("it is told that it was pulled", PATIENCE, |it| it.reports("t0").iter().any(offline)).await;
    let (job, answer) = Job::new("t0", Operation::Info);
    running.send(0, job).await;
    assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap(), Err(JobFailed::NotConnected));
    let line = plug();
    line.read_by_others(0, 1); // by us, before it was pulled
    line.punch_at(0, 1002, jiff::civil::date(2026, 11, 22).at(8, 0, 1, 0), 8, 0x80);
    let back = tokio::time::Instant::now();
    running.until_stored("the second", 0, 2).await;
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    assert_eq!(running.people(0), ["1001".to_owned(), "1002".to_owned()].into());
    running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_terminals_behind_one_serial_server_share_its_connection() {
    let line = Simulator::listen(models(3), 0).await.unwrap();
    let block = |unit| quick(format!("address = \"tcp://{}\"\nunit = {unit}", line.address().unwrap()));
    let running = Running::start(&Config(String::new(), (1..=3).map(block).collect()));
    (0..3).for_each(|terminal| line.punch(terminal, 7));
    for terminal in 0..3 {
        running.until_stored("each is served", terminal, 1).await;
    }
    assert_eq!(line.connected(), 1);
    running.close().await;
}

struct Office {
    listen: SocketAddr,
    running: Running,
}

fn office(blocks: &[&str]) -> Office {
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let blocks = blocks.iter().map(|block| quick((*block).to_owned())).collect();
    Office { listen, running: Running::start(&Config(format!("listen = \"{listen}\""), blocks)) }
}

const KNOWN: &str = "serial = \"0250100912345678\"";

#[tokio::test(flavor = "multi_thread")]
async fn terminals_that_dial_in_are_known_by_serial_number_or_unit() {
    let office = office(&[KNOWN, "unit = 9"]);
    let first = Simulator::dial(Model::default(), office.listen);
    let second = Simulator::dial(Model { unit: 9, old: true, ..Model::default() }, office.listen);
    first.punch(0, 7);
    second.punch(0, 8);
    office.running.until_stored("the first", 0, 1).await;
    office.running.until_stored("the second", 1, 1).await;
    assert_eq!(office.running.people(1), ["8".to_owned()].into());
    office.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_and_shown_with_the_block_that_would_let_it_in() {
    let office = office(&[KNOWN]);
    let stranger = Simulator::dial(Model { serial: "9999".into(), ..Model::default() }, office.listen);
    stranger.punch(0, 7);
    let gateway = &office.running.gateway;
    gateway.until("it is shown", PATIENCE, |gateway| !gateway.strangers().is_empty()).await;
    let shown = gateway.strangers().remove(0);
    assert_eq!((&*shown.serial, &*shown.peer), ("9999", "127.0.0.1"));
    assert!(shown.block.contains("serial = \"9999\""));
    assert_eq!(stranger.records(0), (1, 0), "its record stays new");
    office.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_allowed_is_refused() {
    let office = office(&[&format!("{KNOWN}\nfrom = \"127.0.0.1\"")]);
    let elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    office.running.gateway.until("its door is open", PATIENCE, |_| TcpStream::connect(office.listen).is_ok()).await;
    let line = elsewhere.connect(office.listen).await.unwrap();
    let terminal = Simulator::on(vec![Model::default()], line);
    terminal.punch(0, 7);
    let told = |gateway: &driver_api::fake::FakeGateway| {
        support::trouble(gateway, "t0", driver_api::Trouble::AddressChanged).is_some()
    };
    office.running.gateway.until("it is told", PATIENCE, told).await;
    assert_eq!(terminal.records(0), (1, 0));
    // The right one comes, from where it should.
    let right = Simulator::dial(Model::default(), office.listen);
    office.running.gateway.until("that is over", PATIENCE, |gateway| !told(gateway)).await;
    drop(right);
    office.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_dials_in_again_is_served_on_its_new_connection() {
    let office = office(&[KNOWN]);
    let first = Simulator::dial(Model::default(), office.listen);
    first.punch(0, 7);
    office.running.until_stored("the first", 0, 1).await;
    // It rebooted without a word: the old connection stands, and a new one comes.
    let again = Simulator::dial(Model::default(), office.listen);
    again.punch(0, 8);
    office.running.until_stored("on the new one", 0, 2).await;
    drop(first);
    again.punch(0, 9);
    office.running.until_stored("still", 0, 3).await;
    drop(again);
    let offline = |gateway: &driver_api::fake::FakeGateway| {
        matches!(
            gateway.reports("t0").iter().rfind(|it| matches!(it, Report::Online | Report::Offline { .. })),
            Some(Report::Offline { .. })
        )
    };
    office.running.gateway.until("it is told when nobody is there", PATIENCE, offline).await;
    let (job, answer) = Job::new("t0", Operation::Info);
    office.running.send(0, job).await;
    assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap(), Err(JobFailed::NotConnected));
    office.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_finds_the_terminal_that_dialled_in() {
    let office = office(&[KNOWN, "serial = \"other\""]);
    let terminal = Simulator::dial(Model::default(), office.listen);
    office.running.gateway.until("it is served", PATIENCE, |it| it.reports("t0").contains(&Report::Online)).await;
    let (job, answer) = Job::new("t0", Operation::Unlock { door: 1, seconds: 1 });
    office.running.send(0, job).await;
    assert!(timeout(PATIENCE, answer).await.unwrap().unwrap().is_ok());
    assert_eq!(terminal.opened(0), 1);
    office.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_keep_terminals_out() {
    let office = office(&[KNOWN]);
    // The listener may not be there yet.
    let first = timeout(PATIENCE, async {
        loop {
            match TcpStream::connect(office.listen) {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    let mut silent = vec![first.await.unwrap()];
    silent.extend((0..150).map(|_| TcpStream::connect(office.listen).unwrap()));
    let terminal = Simulator::dial(Model::default(), office.listen);
    terminal.punch(0, 7);
    office.running.until_stored("it is served all the same", 0, 1).await;
    office.running.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_answered() {
    let office = office(&[KNOWN]);
    let answered = tokio::task::spawn_blocking(move || {
        let mut stream = loop {
            match TcpStream::connect(office.listen) {
                Ok(stream) => break stream,
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&Frame::question(1, said::HEARTBEAT, []).encode()).unwrap();
        let wanted = Frame::answer(1, said::HEARTBEAT, 0, []).encode();
        let mut read = Vec::new();
        while !read.windows(wanted.len()).any(|part| part == wanted) {
            let mut buffer = [0; 64];
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "closed without an answer");
            read.extend_from_slice(&buffer[..length]);
        }
        office
    });
    timeout(PATIENCE, answered).await.unwrap().unwrap().running.close().await;
}
