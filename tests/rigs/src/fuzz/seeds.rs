//! What the mutator begins with: real bytes of each driver's captures, documents as they are signed and written, a journal made
//! on the spot.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use driver_modbus::maps;
use driver_serial_ascii::readers;
use punchgate::{
    backup::{Contents, Entry, Manifest, Object, decoders::ID},
    command::{Envelope, Listed, Operator, Order, PrivateKey, Purpose, Role, TrustList, new_id},
    spool::decoders,
};
use serde_json::json;

/// Real bytes in the form that this target takes.
pub(super) fn seeds(target: &str, root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let seeds = match target.split_once('_').map_or(target, |(area, _)| area) {
        "anviz" => anviz(root)?,
        "modbus" => modbus(root)?,
        "osdp" => osdp(root)?,
        "push" => push(root)?,
        "remote" => remote()?,
        "serial" => serial(root)?,
        "trust" => trust(),
        "uhppote" => uhppote(root)?,
        "zk" => zk(root)?,
        "journal" => {
            let sample = decoders::sample();
            vec![sample[48..].to_vec(), sample[48 + 24..].to_vec(), sample]
        }
        "backup" => backup()?,
        "config" => {
            let example = fs::read_to_string(root.join("config.example.toml"))?;
            example.split("\n\n").chain([&*example]).map(Into::into).collect()
        }
        other => anyhow::bail!("nobody knows what {other} begins with"),
    };
    ensure!(!seeds.is_empty(), "there are no captures for {target}");
    Ok(seeds)
}

/// Frames as they came; of answers the data alone, too.
fn anviz(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut seeds, mut log) = (Vec::new(), Vec::new());
    for (word, rest) in lines(root, "drivers/anviz", "terminal.hex")? {
        match &*word {
            "page" | "live" => {
                let frame = hex(&rest)?;
                seeds.push(frame[9..frame.len() - 2].to_vec());
                seeds.push(frame.repeat(2));
            }
            "record" => log.extend(hex(&rest)?),
            _ => {}
        }
    }
    let count = u8::try_from(log.len() / driver_anviz::record::SIZE)?;
    seeds.push([&[count][..], &log].concat());
    // Counters and a clock, as they are published.
    seeds.push(hex("00 00 78 00 00 50 00 00 03 00 00 76 00 11 A0 00 00 02")?);
    seeds.push(hex("1A 0B 16 08 01 05")?);
    Ok(seeds)
}

/// Answers in both framings, their words behind the number of their map, and the maps.
fn modbus(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut seeds, mut map) = (Vec::new(), 0);
    for (word, rest) in lines(root, "drivers/modbus", "terminal.hex")? {
        match &*word {
            "map" => map = maps::SHIPPED.iter().position(|(name, _)| *name == rest).context("a map that ships")?,
            "answer" => {
                let frame = hex(&rest)?;
                let (pdu, words) = (&frame[1..frame.len() - 2], &frame[3..frame.len() - 2]);
                seeds.push([&[0, 0, 0, 0, 0, pdu.len() as u8 + 1, 1][..], pdu].concat());
                seeds.push([&[map as u8][..], words].concat());
                seeds.push(frame);
            }
            _ => {}
        }
    }
    // What was asked for in the target: four words of unit 1; and an exception.
    seeds.push(rtu("01 03 08 00 03 00 2A 00 00 00 01")?);
    seeds.push(rtu("01 83 02")?);
    seeds.push(hex("00 00 00 00 00 0B 01 03 08 00 03 00 2A 00 00 00 01")?);
    seeds.extend(maps::SHIPPED.iter().map(|(_, text)| text.as_bytes().to_vec()));
    Ok(seeds)
}

/// With the checksum of RTU behind it.
fn rtu(text: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = hex(text)?;
    let crc = bytes.iter().fold(0xffff_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    });
    Ok([bytes, crc.to_le_bytes().to_vec()].concat())
}

/// Frames of a bus, the data of those that tell, and a whole session's answers: identity, capabilities, then what is told.
fn osdp(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    const BEGINNING: &str = "45 0C BE BA FE 01 01 AF BE AD DE AD DE AD 46 06 04 01 00 09 00 00";
    let mut seeds = vec![hex(BEGINNING)?];
    let mut session = hex(BEGINNING)?;
    for (word, rest) in lines(root, "drivers/osdp", "terminal.hex")? {
        if word == "bytes" {
            let frame = hex(&rest)?;
            // Mark, start, address, length, control, code; a CRC at the end.
            let (code, data) = (frame[6], &frame[7..frame.len() - 2]);
            if let Some(card) = data.get(1..) {
                seeds.push(card.to_vec());
            }
            session.extend([code, data.len() as u8]);
            session.extend(data);
            seeds.push(frame);
        }
    }
    seeds.push(session);
    seeds.push([hex(BEGINNING)?, hex("53 06 00 04 31 30 30 31 48 02 01 00 41 01 05 79 00")?].concat());
    Ok(seeds)
}

/// Lines behind the number of their reader, and the files of readers.
fn serial(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut seeds, mut which) = (Vec::new(), 0);
    for (word, rest) in lines(root, "drivers/serial-ascii", "terminal.hex")? {
        let wire = match &*word {
            "reader" => {
                let known = readers::READERS.iter().position(|(name, _)| *name == rest);
                which = known.context("a reader that ships")?;
                continue;
            }
            "bytes" => hex(&rest)?,
            "text" => serde_json::from_str::<String>(&rest)?.into_bytes(),
            _ => continue,
        };
        seeds.push([&[which as u8][..], &wire].concat());
    }
    seeds.extend(readers::READERS.iter().map(|(_, text)| text.as_bytes().to_vec()));
    Ok(seeds)
}

/// Messages, each padded as they are.
fn uhppote(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    for (word, rest) in lines(root, "drivers/uhppote", "board.hex")? {
        if word == "event" {
            let mut message = hex(&rest)?;
            message.resize(driver_uhppote::packet::LENGTH, 0);
            seeds.push(message);
        }
    }
    seeds.push(seeds.concat());
    Ok(seeds)
}

/// A store's list, a manifest without its signature, and a list of files.
fn backup() -> anyhow::Result<Vec<Vec<u8>>> {
    let object = |letter: &str| Object { sha256: letter.repeat(64), bytes: 4_096 };
    let manifest = Manifest {
        v: 1,
        id: ID.into(),
        tenant: "acme".into(),
        gateway: "sz-03".into(),
        store: "0f1e2d3c4b5a69788796a5b4c3d2e1f0".into(),
        created: "2026-11-29T00:15:30Z".parse()?,
        version: "0.1.0".into(),
        recipients: vec!["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".into()],
        last_group: 17,
        contents: object("a"),
        objects: vec![object("b"), object("c")],
    };
    let file = |path: &str, mode| Entry {
        path: path.into(),
        bytes: 4_000,
        sha256: "d".repeat(64),
        object: "b".repeat(64),
        mode,
    };
    let files = ["state/journal/00000000000000000001.seg", "state/incidents/evidence/7.json", "elsewhere/etc/ca.pem"];
    let config = file("config/config.toml", 0o640);
    let contents = Contents {
        v: 1,
        id: ID.into(),
        config: "config.toml".into(),
        store: manifest.store.clone(),
        last_group: 17,
        faults: vec!["a byte is wrong in segment 1".into()],
        files: files.iter().map(|path| file(path, 0o600)).chain([config]).collect(),
    };
    let listing = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>backups</Name><Prefix>sz-03/</Prefix>\
        <KeyCount>2</KeyCount><IsTruncated>true</IsTruncated><NextContinuationToken>1+/=</NextContinuationToken>\
        <Contents><Key>sz-03/backups/000017-20261129T001530Z.json</Key><ETag>&quot;1&quot;</ETag><Size>700</Size></Contents>\
        <Contents><Key>sz-03/&#x4e2d;&amp;</Key><Size>0</Size><Owner><ID>x</ID></Owner></Contents></ListBucketResult>\n";
    Ok(vec![listing.into(), serde_json::to_vec(&manifest)?, serde_json::to_vec(&contents)?])
}

/// Orders with one signature and with three, and an answer.
fn remote() -> anyhow::Result<Vec<Vec<u8>>> {
    let key = PrivateKey::generate();
    let order = |command: &str, terminal: Option<&str>, args| Order {
        id: new_id(),
        gateway: "sz-03".into(),
        tenant: "acme".into(),
        iat: 1_796_000_000,
        exp: 1_796_000_060,
        command: command.into(),
        args,
        terminal: terminal.map(Into::into),
        reason: "the door is stuck".into(),
        challenge: terminal.map(|_| "k3vqk3vqk3vq".into()),
    };
    let args = |value: serde_json::Value| value.as_object().cloned().unwrap_or_default();
    let plain = order("health", None, args(json!({})));
    let door = order("terminal.unlock", Some("gate-1"), args(json!({ "door": 1, "seconds": 3 })));
    let punches = order("punches", None, args(json!({ "terminal": "gate-1", "limit": 10 })));
    let mut seeds = Vec::new();
    for order in [plain, door, punches] {
        let mut envelope = Envelope::sign(&order.payload(), Purpose::Command, &key);
        seeds.push(envelope.bytes());
        envelope.add_signature(Purpose::Command, &PrivateKey::generate());
        envelope.add_signature(Purpose::Command, &PrivateKey::generate());
        seeds.push(envelope.bytes());
    }
    let answer = json!({
        "v": 1, "id": new_id(), "gateway": "sz-03", "tenant": "acme", "request": "9f".repeat(32),
        "at": "2026-11-28T12:00:00Z", "status": "successful", "result": { "load": 0.25 },
    });
    for purpose in [Purpose::Response, Purpose::Audit] {
        seeds.push(Envelope::sign(&answer, purpose, &key).bytes());
    }
    Ok(seeds)
}

/// A list for all gateways and terminals and one for some, signed by one root and by two.
fn trust() -> Vec<Vec<u8>> {
    let (key, second) = (PrivateKey::generate(), PrivateKey::generate());
    let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let mut list = TrustList {
        tenant: "acme".into(),
        version: 7,
        prev: TrustList::FIRST.into(),
        issued: 1_796_000_000,
        expires: 1_827_000_000,
        operators: Vec::new(),
        unlock: [new_id()].into(),
    };
    let mut seeds = Vec::new();
    for (name, role) in [("wang", Role::Viewer), ("li", Role::Support), ("zhao", Role::Admin)] {
        let all = list.operators.is_empty();
        let operator = Operator {
            name: name.into(),
            person: format!("{name} at head office"),
            key: PrivateKey::generate().public(),
            role,
            terminals: if all { None } else { some(&["gate-1", "front-door"]) },
            not_after: 1_827_000_000,
        };
        list.operators.push(Listed { operator, gateways: if all { None } else { some(&["sz-03"]) } });
        let mut envelope = list.sign(&key);
        seeds.push(envelope.bytes());
        envelope.add_signature(Purpose::Trust, &second);
        seeds.push(envelope.bytes());
    }
    seeds
}

fn push(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    for request in captures(root, "drivers/zk-push", "request")? {
        let end = request.iter().position(|byte| *byte == b'\n').context("a target and a body")?;
        let (target, body) = (&request[..end], &request[end + 1..]);
        let length = format!(" HTTP/1.1\r\nHost: gateway\r\nContent-Length: {}\r\n\r\n", body.len());
        seeds.push([&b"POST "[..], target, length.as_bytes()].concat());
        seeds.push(target.to_vec());
        seeds.push(body.to_vec());
    }
    for text in [
        "OPLOG 4\t0\t2026-11-22 08:00:00\t0\t0\t0\t0\nUSER PIN=1001\tName=A\tPri=0\tPasswd=1\n",
        "~DeviceName=F18,FirmVer=Ver 8.0.4.3,UserCount=12,TransactionCount=400,PushVersion=3.1.2",
        "ID=7&Return=0&CMD=DATA\nID=8&Return=-1002&CMD=INFO\nUserCount=3\n",
    ] {
        seeds.push(text.into());
    }
    Ok(seeds)
}

fn zk(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut seeds, mut log, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for (word, rest) in lines(root, "drivers/zk", "terminal.hex")? {
        match &*word {
            "record" => log.push(hex(&rest)?),
            "event" => seeds.push([&[3][..], &hex(&rest)?].concat()),
            "user" => users.push(rest),
            _ => {}
        }
    }
    for record in &log {
        let (count, size) = (8_usize, record.len());
        let body = [&((size * count) as u32).to_le_bytes()[..], &record.repeat(count)].concat();
        seeds.push([&[count as u8, 0][..], &body].concat());
        let packet = driver_zk::frame::Packet::new(1501, 7, 9, body);
        seeds.push(driver_zk::frame::wrap(&packet.encode()).repeat(2));
    }
    for user in users {
        let mut list = vec![0; 1 + 72];
        let id = user.split(' ').nth(1).unwrap_or("1").as_bytes();
        list[0] = 1;
        list[49..49 + id.len().min(24)].copy_from_slice(&id[..id.len().min(24)]);
        seeds.push(list);
    }
    Ok(seeds)
}

/// The lines of all captured cases of a driver: a word, and what stands behind it.
fn lines(root: &Path, driver: &str, file: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    for text in captures(root, driver, file)? {
        let text = String::from_utf8(text)?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        lines.extend(pairs.map(|(word, rest)| (word.to_owned(), rest.to_owned())));
    }
    Ok(lines)
}

/// This file of each captured case of a driver.
fn captures(root: &Path, driver: &str, file: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for case in fs::read_dir(root.join(driver).join("tests/captures"))? {
        paths.extend(Some(case?.path().join(file)).filter(|path| path.exists()));
    }
    paths.sort(); // for the sake of the seed
    paths.into_iter().map(|path| Ok(fs::read(path)?)).collect()
}

fn hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits: String = text.split_whitespace().collect();
    let pairs = (0..digits.len() / 2).map(|at| Ok(u8::from_str_radix(&digits[2 * at..2 * at + 2], 16)?));
    pairs.collect()
}
