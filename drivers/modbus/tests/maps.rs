//! Maps: those that ship are right, and those that are wrong are told with every problem at once.

use std::{fs, path::Path};

use driver_api::{Delivery, Problems, Section, TerminalBlock};
use driver_modbus::{
    KIND,
    map::{Capture, Map},
    maps::SHIPPED,
    schema,
};

fn read(text: &str) -> (Option<Map>, Vec<String>) {
    let mut problems = Problems::default();
    let map = schema::read("mine.toml", text, &mut problems);
    (map, problems.errors.iter().map(ToString::to_string).collect())
}

#[test]
fn every_map_that_ships_is_right_and_in_the_readme() {
    let readme = include_str!("../README.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("maps");
    assert_eq!(fs::read_dir(folder).unwrap().count(), SHIPPED.len(), "a map in the folder that does not ship");
    for (name, text) in SHIPPED {
        let (map, problems) = read(text);
        assert_eq!(problems, Vec::<String>::new(), "{name}");
        let class = serde_json::to_value(map.unwrap().delivery()).unwrap();
        let line = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        assert!(line.ends_with(&format!("| `{}` |", class.as_str().unwrap())), "{line}");
    }
}

#[test]
fn a_wrong_map_tells_all_that_is_wrong() {
    let (map, problems) = read(
        r#"
        titel = "x"
        poll = "1ms"
        [fifo]
        status = { fc = 7, addr = 40257000, words = 126, head = 0 }
        window = { fc = 3, addr = 65000, records = 100, words = 8 }
        ack = { fc = 6, addr = 0x110, mode = "relative" }
        [record]
        person = { at = 7, type = "u32", order = "ABDC" }
        time = { at = 6, type = "bcd" }
        direction = { at = 0, type = "text", codes = { x = "in" } }
        verify = { at = 0, type = "u16", codes = { 1 = "smell" } }
        [actions]
        unlock = [{ fc = 3, addr = 0, open = "yes" }]
        time_set = { fc = 6, addr = 1, type = "unix" }
        "#,
    );
    assert!(map.is_none());
    let all = problems.join("\n");
    for part in [
        "map mine.toml title\n    why:  it is missing",
        "did you mean title?",
        "between 20ms and 1h",
        "map mine.toml fifo.status.fc = 7",
        "40257 of a manual is fc = 3, addr = 256",
        "fifo.status.words = 126",
        "either by head and tail, or by count",
        "ends beyond register 65535",
        "fifo.ack.mode = \"relative\"",
        "tail\", \"sequence\", \"count\"",
        "record.person.order = \"ABDC\"",
        "record.time.type = \"bcd\"",
        "record.direction.type = \"text\"",
        "\"x\" is no code",
        "smell",
        "record.sequence",
        "an event FIFO numbers its events",
        "written is with 5",
        "neither a number of one word nor true or false",
        "a time is several registers",
    ] {
        assert!(all.contains(part), "{part}\n---\n{all}");
    }
    assert!(problems.iter().all(|problem| problem.contains("mend: ")));
}

#[test]
fn a_map_has_one_way_to_tell() {
    for text in ["title = \"x\"", "title = \"x\"\nfifo = {}\nlatch = {}", "title = \"x\"\ncounter = 3", "title = "] {
        let (map, problems) = read(text);
        assert!(map.is_none() && !problems.is_empty(), "{text}");
    }
    let (_, problems) = read(
        "title = \"x\"\n[latch]\nread = { fc = 4, addr = 0, words = 2 }\nrelease = { fc = 5, addr = 1, value = 0 }\n[record]\nperson = { at = 0, type = \"u32\" }",
    );
    assert!(problems.iter().any(|problem| problem.contains("must have said that it waits")), "{problems:?}");
    let (_, problems) = read(
        "title = \"x\"\n[latch]\nread = { fc = 4, addr = 0, words = 2 }\n[record]\nperson = { at = 1, type = \"u32\" }",
    );
    assert!(problems.iter().any(|problem| problem.contains("record.person.at = 1")), "{problems:?}");
    let (_, problems) = read("title = \"x\"\n[counter]\nread = { fc = 4, addr = 0, words = 2 }");
    assert!(problems.iter().any(|problem| problem.contains("there is no counter")), "{problems:?}");
}

#[test]
fn a_counting_memory_is_acknowledged_by_number() {
    let (map, problems) = read(
        "title = \"x\"\n[fifo]\nstatus = { fc = 4, addr = 0, words = 1, count = 0 }\n\
         window = { fc = 4, addr = 1, records = 4, words = 3, ring = true }\nack = { fc = 16, addr = 9, mode = \"sequence\" }\n\
         [record]\nsequence = { at = 0, type = \"u16\" }\nperson = { at = 1, type = \"bcd\", words = 2 }",
    );
    assert_eq!(problems, Vec::<String>::new());
    let map = map.unwrap();
    assert_eq!(map.delivery(), Delivery::Acked);
    assert!(matches!(map.capture, Capture::Fifo(fifo, _) if fifo.ring && fifo.ack.fc == 16));
}

/// Plans one block or several, and gives what is wrong.
fn plan(blocks: &[&str]) -> Vec<String> {
    let mut problems = Problems::default();
    let section = |prefix: String, text: &str| Section::new(prefix, text.parse().unwrap(), Path::new("/nowhere"));
    let blocks = blocks.iter().enumerate().map(|(number, text)| TerminalBlock {
        name: format!("t{number}"),
        zone: jiff::tz::TimeZone::UTC,
        section: section(format!("terminal \"t{number}\" "), text),
    });
    (KIND.plan)(section("driver.modbus.".into(), ""), blocks.collect(), &mut problems);
    problems.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn blocks_are_checked() {
    let line = "address = \"serial:///dev/ttyUSB0?baud=19200\"\nmap = \"rfideas\"\n";
    assert_eq!(plan(&[line, &format!("{line}unit = 2")]), Vec::<String>::new());
    for (blocks, part) in [
        (vec![line, line], "\"t0\" has this unit on the same line"),
        (vec!["address = \"udp://192.0.2.1\"\nmap = \"rfideas\""], "over TCP or a serial line"),
        (vec!["address = \"tcp://192.0.2.1\""], "every product has its own registers"),
        (vec!["address = \"tcp://192.0.2.1\"\nmap = \"turnstle\""], "one of those that ship: duali-qde950, event-fifo"),
        (vec!["address = \"serial:///dev/ttyS0\"\nmap = \"rfideas\"\nunit = 250"], "a unit is 1 to 247"),
        (vec!["address = \"serial:///dev/ttyS0\"\nmap = \"rfideas\"\nframing = \"tcp\""], "no other framing than rtu"),
        (vec!["address = \"tcp://192.0.2.1\"\nmap = \"rfideas\"\ntimeout = \"1h\""], "between 20 ms and 30 s"),
        (
            vec![
                "address = \"tcp://192.0.2.1\"\nmap = \"rfideas\"",
                "address = \"tcp://192.0.2.1\"\nunit = 2\nmap = \"rfideas\"\nframing = \"rtu\"",
            ],
            "on the same line has another",
        ),
    ] {
        let problems = plan(&blocks);
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
    }
}

#[test]
fn the_sample_loads_without_a_problem_and_has_every_key() {
    let sample: toml::Table = include_str!("../sample.toml").parse().unwrap();
    let mut block = sample["terminal"].as_array().unwrap()[0].as_table().unwrap().clone();
    for gateways_own in ["name", "driver"] {
        assert!(block.remove(gateways_own).is_some());
    }
    let keys: Vec<String> = block.keys().cloned().collect();
    // A misspelt key is answered with the list of those that were asked for.
    block.insert("qqqqqqqqqqqqqqqqqqqq".into(), true.into());
    let problems = plan(&[&block.to_string()]);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let known = problems[0].split("known here: ").nth(1).unwrap();
    assert_eq!(known.split(", ").collect::<Vec<_>>(), keys, "the sample has every key, and only those");
}
