//! The profile of somebody who supports gateways from afar: his key, the broker, and the gateways' own keys.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use driver_api::{Problems, Section};
use toml::{Table, Value};

use super::{Rejected, blocks, commands, folder_of, mqtt, name, parse, section};
use crate::{
    command::{Listed, PublicKey},
    mqtt::MqttSettings,
};

/// What `punchgate remote` must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub key_file: PathBuf,
    pub tenant: String,
    pub mqtt: MqttSettings,
    /// By gateway: the key with which it signs, as somebody has read it there.
    pub gateways: BTreeMap<String, PublicKey>,
}

/// Reads the operators of a fleet: `[[operator]]` blocks as a gateway's config has them, with `gateways` beside `terminals`.
pub fn operators(path: &Path) -> Result<Vec<Listed>, Rejected> {
    let (folder, mut problems) = (folder_of(path), Problems::default());
    let mut file = Section::new("", parse(path)?, folder.clone());
    let blocks = blocks(&mut file, "operator", &mut problems);
    file.finish(&mut problems);
    let read = |(number, table)| commands::operator(number + 1, table, None, &folder, &mut problems);
    let listed: Vec<Listed> = blocks.into_iter().enumerate().filter_map(read).collect();
    match problems.errors.is_empty() {
        true => Ok(listed),
        false => Err(Rejected { path: path.into(), problems: problems.errors, warnings: problems.warnings }),
    }
}

/// Reads a profile and checks all of it.
pub fn profile(path: &Path) -> Result<Profile, Rejected> {
    let (folder, mut problems) = (folder_of(path), Problems::default());
    let mut file = Section::new("", parse(path)?, folder.clone());
    let key_file = file.path("key_file", "\"li-wei.jwk\"", &mut problems);
    if key_file.is_none() && problems.errors.is_empty() {
        file.missing(
            &mut problems,
            "key_file",
            "it is missing",
            "make a key: punchgate remote keygen --out li-wei.jwk",
        );
    }
    let tenant = file.require_checked("tenant", "\"acme\"", &mut problems, name);
    let client_id = format!("punchgate-support-{:08x}", rand::random::<u32>());
    let mqtt = mqtt::read(section(&mut file, "mqtt", &folder, &mut problems), client_id, &mut problems);
    let mut gateways = BTreeMap::new();
    let tables = match file.take_value("gateway") {
        Some(Value::Table(tables)) => tables,
        _ => Table::new(),
    };
    for (gateway, table) in tables {
        let table = table.try_into::<Table>().unwrap_or_default();
        let mut one = Section::new(format!("gateway.{gateway}."), table, folder.clone());
        let key = one.require_checked("key", "\"ed25519:...\"", &mut problems, |text: String| {
            let mend = "write the key that `punchgate status` shows on that gateway".to_owned();
            text.parse::<PublicKey>().map_err(|error| (error.to_string(), mend))
        });
        one.finish(&mut problems);
        gateways.extend(key.map(|key| (gateway, key)));
    }
    file.finish(&mut problems);
    match (key_file, tenant, mqtt) {
        (Some(key_file), Some(tenant), Some((mqtt, _))) if problems.errors.is_empty() => {
            Ok(Profile { key_file, tenant, mqtt, gateways })
        }
        _ => Err(Rejected { path: path.into(), problems: problems.errors, warnings: problems.warnings }),
    }
}
