//! What a config tells of a site, for commands that must work while the rest of it does not.

use std::path::Path;

use jiff::tz::TimeZone;
use toml::{Table, Value};

use super::{parse, zone};
use crate::inquiry::Site;

/// Who the gateway is, its zone and each terminal's. `None` where the config cannot be read or tells no zone of its gateway.
pub fn site(path: &Path) -> Option<Site> {
    let table = parse(path).ok()?;
    let read = |table: &Table| -> Option<TimeZone> { zone(table.get("zone")?.as_str()?.to_owned()).ok() };
    let gateway = table.get("gateway")?.as_table()?;
    let here = read(gateway)?;
    let name = |key: &str| gateway.get(key).and_then(Value::as_str).map(str::to_owned);
    let blocks = table.get("terminal").and_then(Value::as_array).into_iter().flatten();
    let terminals = blocks.filter_map(|block| {
        let block = block.as_table()?;
        Some((block.get("name")?.as_str()?.to_owned(), read(block).unwrap_or_else(|| here.clone())))
    });
    Some(Site { ids: name("tenant").zip(name("id")), terminals: terminals.collect(), zone: Some(here) })
}
