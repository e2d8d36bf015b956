//! `[[operator]]` and `[commands]`: who may order what from afar.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use driver_api::{Problems, Section};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use toml::{Table, Value};

use super::{name, nearest};
use crate::command::{COMMANDS, Class, Listed, Operator, Policy, PublicKey, Role, Roots, SIGNATURES_LIMIT};

/// A key is good for so many days at most; then its owner makes another.
const KEY_DAYS: i64 = 400;

/// Reads the section; the blocks come beside it.
pub(super) fn read(
    mut section: Section,
    blocks: Vec<Table>,
    terminals: &BTreeSet<String>,
    folder: &Arc<Path>,
    problems: &mut Problems,
) -> Policy {
    let mut policy = Policy::default();
    let dangerous = |text: &str| COMMANDS.iter().find(|spec| spec.name == text && spec.class == Class::Dangerous);
    let unknown = |text: &str| {
        let names = || COMMANDS.iter().filter(|spec| spec.class == Class::Dangerous).map(|spec| spec.name);
        let mend = match nearest(text, names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the dangerous commands: {}", names().collect::<Vec<_>>().join(", ")),
        };
        (format!("{text:?} is no dangerous command; the others need no switch"), mend)
    };
    let allow = section.take_checked("allow", "[\"terminal.unlock\"]", problems, |names: Vec<String>| {
        names.iter().map(|text| dangerous(text).map(|spec| spec.name).ok_or_else(|| unknown(text))).collect()
    });
    policy.allow = allow.unwrap_or_default();
    let approvals = section.take_checked(
        "approvals",
        "{ \"terminal.unlock\" = 1 }",
        problems,
        |counts: BTreeMap<String, usize>| {
            let one = |(text, count): (&String, &usize)| match dangerous(text) {
                None => Err(unknown(text)),
                Some(spec) if (1..=3).contains(count) => Ok((spec.name, *count)),
                Some(_) => Err(("1 to 3 persons can sign a command".into(), "write 1, 2 or 3".into())),
            };
            counts.iter().map(one).collect()
        },
    );
    policy.approvals = approvals.unwrap_or_default();
    policy.unlock = section.take("unlock", "\"01938d3c-5d0e-7aaa-8bbb-1234567890ab\"", problems).into_iter().collect();
    policy.trust = roots(&mut section, problems);
    section.finish(problems);
    let mut names = BTreeSet::new();
    for (number, table) in blocks.into_iter().enumerate() {
        let Some(Listed { operator, .. }) = operator(number + 1, table, Some(terminals), folder, problems) else {
            continue;
        };
        let prefix = format!("operator {:?} ", operator.name);
        let section = Section::new(prefix, Table::new(), folder.clone());
        if !names.insert(operator.name.clone()) {
            section.missing(problems, "name", "two operators have this name", "give one of them another name");
        } else if policy.operators.iter().any(|other| other.key == operator.key) {
            section.missing(problems, "public_key", "two operators have this key", "let each make a key of his own");
        }
        policy.operators.push(operator);
    }
    policy
}

/// Whose signatures on a trust list count.
fn roots(section: &mut Section, problems: &mut Problems) -> Option<Roots> {
    let keys = section.take_checked("trust_roots", "[\"ed25519:...\"]", problems, |texts: Vec<String>| {
        let mut keys: Vec<PublicKey> = Vec::new();
        for text in texts {
            let key = text.parse::<PublicKey>().map_err(|error| {
                (
                    error.to_string(),
                    "write lines that `punchgate remote keygen` printed for the keys in the safe".to_owned(),
                )
            })?;
            if keys.contains(&key) {
                return Err(("one key stands there twice".to_owned(), "let each root be a key of its own".to_owned()));
            }
            keys.push(key);
        }
        match (1..=9).contains(&keys.len()) {
            true => Ok(keys),
            false => Err(("1 to 9 keys can be roots".into(), "three are usual, of which two sign".into())),
        }
    });
    let count = keys.as_ref().map_or(SIGNATURES_LIMIT, Vec::len).min(SIGNATURES_LIMIT);
    let threshold = section.take_checked("trust_threshold", "2", problems, |number: usize| match number {
        1.. if number <= count => Ok(number),
        _ => Err((format!("{count} of them at most can sign one list"), format!("write 1 to {count}"))),
    });
    keys.map(|keys| Roots { threshold: threshold.unwrap_or(2.min(keys.len())), keys })
}

/// One block. `known` are the terminals of this config; without it, those of a whole fleet, and `gateways` may stand there too.
pub(super) fn operator(
    number: usize,
    table: Table,
    known: Option<&BTreeSet<String>>,
    folder: &Arc<Path>,
    problems: &mut Problems,
) -> Option<Listed> {
    let prefix = match table.get("name").and_then(Value::as_str) {
        Some(name) => format!("operator {name:?} "),
        None => format!("operator {number} "),
    };
    let mut section = Section::new(prefix, table, folder.clone());
    let called = section.require_checked("name", "\"li-wei\"", problems, name);
    let person = section.require_checked("person", "\"p-017\"", problems, |text: String| {
        let good = (1..=80).contains(&text.trim().len()) && !text.chars().any(char::is_control);
        good.then(|| text.trim().to_owned()).ok_or_else(|| {
            ("it is empty or too long".into(), "write what tells this human from all others, as a staff number".into())
        })
    });
    let key = section.require_checked("public_key", "\"ed25519:...\"", problems, |text: String| {
        text.parse::<PublicKey>().map_err(|error| {
            (error.to_string(), "write the line that `punchgate remote keygen` printed for this person".into())
        })
    });
    let role = section.require_checked("roles", "[\"support\"]", problems, |names: Vec<String>| {
        let role = |text: &String| Role::NAMES.iter().find(|(name, _)| name == text).map(|(_, role)| *role);
        match names.iter().map(role).collect::<Option<Vec<_>>>().and_then(|roles| roles.into_iter().max()) {
            Some(highest) => Ok(highest),
            None => Err((
                "it names no role, or one that there is not".into(),
                "write one or more of \"viewer\", \"support\", \"admin\"".into(),
            )),
        }
    });
    let terminals = section.take_checked("terminals", "[\"front-door\"]", problems, |names: BTreeSet<String>| {
        match (known, names.iter().find(|name| known.is_some_and(|known| !known.contains(*name)))) {
            (None, _) | (_, None) => Ok(names),
            (Some(known), Some(stranger)) => {
                let near = nearest(stranger, known.iter().map(String::as_str));
                let mend = near.map_or("leave the key out for all".into(), |near| format!("did you mean {near}?"));
                Err((format!("there is no terminal {stranger:?}"), mend))
            }
        }
    });
    let not_after = section.require_checked("not_after", "\"2027-02-28\"", problems, |text: String| {
        let end = text.parse::<Date>().ok().and_then(|day| day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok());
        let end = end
            .ok_or_else(|| ("it is no day".to_owned(), "write the key's last day, as in \"2027-02-28\"".to_owned()))?;
        let days = (end.timestamp().as_second() - Timestamp::now().as_second()) / 86_400;
        match days > KEY_DAYS {
            true => Err((
                format!("a key should not live longer than {KEY_DAYS} days"),
                "write a nearer day, and renew the key then".into(),
            )),
            false => Ok(end.timestamp().as_second()),
        }
    });
    let gateways = match known {
        Some(_) => None,
        None => section.take("gateways", "[\"sz-03\"]", problems),
    };
    section.finish(problems);
    let operator =
        Operator { name: called?, person: person?, key: key?, role: role?, terminals, not_after: not_after? };
    Some(Listed { operator, gateways })
}
