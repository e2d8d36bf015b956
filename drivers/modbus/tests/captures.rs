//! Bytes of terminals and the punches they mean: a folder of `tests/captures` is a case, and needs no code here.

use std::{fs, io::ErrorKind, path::Path};

use driver_api::Problems;
use driver_modbus::{
    map::{Capture, Map},
    maps, schema,
    sim::crc,
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    time::{Duration, timeout},
};

fn bytes(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn map(name: &str) -> Map {
    schema::read(name, maps::find(name).unwrap(), &mut Problems::default()).unwrap()
}

/// The records of one answer.
fn records(map: &Map, frame: &[u8]) -> Vec<Vec<u16>> {
    let (body, sum) = frame.split_at(frame.len() - 2);
    assert_eq!(crc(body).to_le_bytes(), sum, "the capture's checksum");
    assert_eq!(usize::from(body[2]), body.len() - 3);
    let words: Vec<u16> = body[3..].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let size = match &map.capture {
        Capture::Fifo(fifo, _) => usize::from(fifo.record_words),
        _ => words.len(),
    };
    words.chunks(size).map(<[u16]>::to_vec).collect()
}

#[test]
fn every_capture_gives_its_punches() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut cases = 0;
    for case in fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let text = match fs::read_to_string(case.join("terminal.hex")) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => continue, // the README
            text => text.unwrap(),
        };
        let lines = |heading: &'static str| text.lines().filter_map(move |line| line.strip_prefix(heading));
        let map = map(lines("map ").next().unwrap());
        let (Capture::Fifo(_, record) | Capture::Latch(_, record)) = &map.capture else { panic!("{case:?}") };
        let (mut punches, mut set_aside) = (Vec::new(), Vec::new());
        for words in lines("answer ").flat_map(|frame| records(&map, &bytes(frame))) {
            match record.decode(&words, &TimeZone::UTC) {
                Ok(Some(event)) => punches.push(json!({
                    "person": event.person,
                    "native": event.sequence.map(|number| number.to_string()),
                    "local": event.local,
                    "direction": event.direction,
                    "verify": event.verify,
                })),
                Ok(None) => set_aside.push("nobody".to_owned()),
                Err(why) => set_aside.push(why),
            }
        }
        let expected: Value = serde_json::from_str(&fs::read_to_string(case.join("punches.json")).unwrap()).unwrap();
        assert_eq!(json!({ "punches": punches, "set_aside": set_aside }), expected, "{}", case.display());
        cases += 1;
    }
    assert!(cases >= 4, "only {cases} captures were found");
}

/// The first question for each map, as other people's tools write it.
#[tokio::test]
async fn questions_are_the_bytes_of_the_standard() {
    for (map, unit, question) in [
        ("rfideas", 1, "01 04 00 00 00 13 b1 c7"),
        ("event-fifo", 17, "11 03 01 00 00 04 47 65"),
        ("inveo-rfid-ind", 1, "01 01 03 ec 00 01 3c 7b"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let block = format!("address = \"tcp://{address}\"\nframing = \"rtu\"\nunit = {unit}\nmap = \"{map}\"");
        let running = driver_api::contract::Running::start(&support::Blocks(vec![("t".into(), block)]));
        let (mut stream, _) = timeout(Duration::from_secs(10), listener.accept()).await.unwrap().unwrap();
        let mut asked = [0; 8];
        timeout(Duration::from_secs(10), stream.read_exact(&mut asked)).await.unwrap().unwrap();
        assert_eq!(asked[..], bytes(question)[..], "{map}: {asked:02x?}");
        running.close().await;
    }
}

mod support;
