//! Each driver's README in both languages: there, linked, of one shape, with every command and condition in both.

use std::{collections::BTreeSet, fs, path::Path};

use punchgate::drivers::DRIVERS;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// For each heading: its level, and how many rows, points and steps stand below it.
fn shape(text: &str) -> Vec<[usize; 4]> {
    let mut sections = Vec::new();
    for line in text.lines() {
        let level = line.chars().take_while(|c| *c == '#').count();
        if level > 0 {
            sections.push([level, 0, 0, 0]);
        }
        let Some(section) = sections.last_mut() else { continue };
        section[1] += usize::from(line.starts_with('|'));
        section[2] += usize::from(line.starts_with("* "));
        section[3] += usize::from(line.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(". "));
    }
    sections
}

/// What stands in backticks and is a name: keys, codes, commands.
fn names(text: &str) -> BTreeSet<&str> {
    let code = text.split('`').skip(1).step_by(2);
    let is_name = |it: &&str| {
        it.starts_with(|c: char| c.is_ascii_lowercase())
            && it.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte))
    };
    code.filter(is_name).collect()
}

#[test]
fn every_driver_is_explained_alike_in_both_languages() {
    let (english, chinese) = (read("README.md"), read("docs/zh/README.md"));
    for kind in DRIVERS {
        let name = kind.name;
        let (en, zh) = (read(&format!("drivers/{name}/README.md")), read(&format!("docs/zh/drivers/{name}.md")));
        assert!(en.contains(&format!("[中文](../../docs/zh/drivers/{name}.md)")), "{name}");
        assert!(zh.contains(&format!("[English](../../../drivers/{name}/README.md)")), "{name}");
        assert!(english.contains(&format!("(drivers/{name}/README.md)")), "{name}");
        assert!(chinese.contains(&format!("(drivers/{name}.md)")), "{name}");
        assert_eq!(shape(&en), shape(&zh), "{name}");
        assert_eq!(names(&en), names(&zh), "{name}");
        for operation in kind.operations {
            assert!(names(&en).contains(operation), "{name}: {operation} is not explained");
        }
        for heading in ["Not supported", "Trying it without"] {
            assert!(en.contains(&format!("\n## {heading}")), "{name}: {heading}");
        }
    }
}
