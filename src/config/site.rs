//! Which zones a config gives, for commands that must work while the rest of it does not.

use std::path::Path;

use jiff::tz::TimeZone;
use toml::{Table, Value};

use super::{parse, zone};
use crate::inquiry::Zones;

/// Those of the gateway and of each terminal. `None` where the config cannot be read or tells no zone of its gateway.
pub fn zones(path: &Path) -> Option<Zones> {
    let table = parse(path).ok()?;
    let read = |table: &Table| -> Option<TimeZone> { zone(table.get("zone")?.as_str()?.to_owned()).ok() };
    let gateway = read(table.get("gateway")?.as_table()?)?;
    let blocks = table.get("terminal").and_then(Value::as_array).into_iter().flatten();
    let terminals = blocks.filter_map(|block| {
        let block = block.as_table()?;
        Some((block.get("name")?.as_str()?.to_owned(), read(block).unwrap_or_else(|| gateway.clone())))
    });
    Some(Zones { terminals: terminals.collect(), gateway: Some(gateway) })
}
