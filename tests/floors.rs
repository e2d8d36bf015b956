//! The picture of who may know whom, in `src/lib.rs`, is true: every import goes to a floor below.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Floor of each module, as drawn.
fn floors() -> BTreeMap<String, u32> {
    let picture = include_str!("../src/lib.rs").split("```text").nth(1).unwrap().split("```").next().unwrap();
    let mut floors = BTreeMap::new();
    for line in picture.lines() {
        let line = line.trim_start_matches("//!");
        // The explanation begins in column 51; what is drawn stands before it.
        let drawn: String = line.chars().take(49).collect();
        let mut words = drawn.split_whitespace();
        let Some(Ok(floor)) = words.next().map(str::parse) else { continue };
        for module in words.filter(|word| *word != "...") {
            assert!(floors.insert(module.to_owned(), floor).is_none(), "{module} stands on two floors");
        }
    }
    floors
}

/// Every file of the product below a folder: tests may look wherever they like.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        match path.is_dir() {
            _ if name.starts_with("tests") => {}
            true => found.extend(sources(&path)),
            false if name.ends_with(".rs") => found.push(path),
            false => {}
        }
    }
    found
}

/// A file without its comments and its own tests.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The module of this crate that a file belongs to: `spool` for `src/spool/disk/faulty.rs`.
fn module_of(path: &Path) -> String {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap().as_os_str();
    Path::new(first).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// What a file imports of this crate: the first names behind `crate::`, in braces too.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "punchgate::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(list) => found.extend(first_names(list)),
                None => found.extend(name_at(rest)),
            }
        }
    }
    found
}

/// The first name of each entry of a `use` list, up to its closing brace.
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut begins) = (0, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                names.extend(name_at(&list[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[test]
fn every_import_goes_to_a_floor_below() {
    let floors = floors();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for file in sources(Path::new("src")) {
        // The list of modules itself.
        if file.ends_with("lib.rs") {
            continue;
        }
        let mine = module_of(&file);
        let Some(floor) = floors.get(&mine) else {
            wrong.push(format!("{} is not in the picture", file.display()));
            continue;
        };
        for theirs in imports(&code_of(&file)) {
            // What is not a module, as a macro at the root of the crate, has no floor.
            let Some(below) = floors.get(&theirs) else { continue };
            checked += 1;
            if theirs != mine && below >= floor {
                wrong.push(format!("{} (floor {floor}) imports {theirs} (floor {below})", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 50, "the imports were not found: only {checked}");
}

/// Who may one day be replaced is named in one place.
#[test]
fn sled_the_mqtt_client_and_each_driver_are_named_in_one_place() {
    let homes: &[(&str, &[&str])] = &[
        ("sled::", &["spool"]),
        ("rumqttc::", &["mqtt"]),
        ("driver_anviz", &["drivers", "demo"]),
        ("driver_modbus", &["drivers", "demo"]),
        ("driver_osdp", &["drivers", "demo"]),
        ("driver_serial_ascii", &["drivers", "demo"]),
        ("driver_uhppote", &["drivers", "demo"]),
        ("driver_zk", &["drivers", "demo"]),
    ];
    for &(guest, homes) in homes {
        let naming: Vec<_> = sources(Path::new("src")).into_iter().filter(|it| code_of(it).contains(guest)).collect();
        assert!(!naming.is_empty(), "{guest} is not found any more: correct this test");
        let strangers: Vec<_> = naming.iter().filter(|it| !homes.contains(&module_of(it).as_str())).collect();
        assert!(strangers.is_empty(), "{guest} stands in {strangers:?}");
        if guest == "sled::" {
            assert_eq!(naming, [Path::new("src/spool/index.rs")]);
        }
    }
}
