//! Every name that each internal number ever had at a terminal.
//!
//! A log of 8 or 16 bytes a record names people by numbers, and the user list of the moment names the numbers. Somebody
//! leaves, and his number means nobody or somebody else; his old records are still in the log, and would be booked again, for
//! another. So each name is made durable before the first punch is booked under it, in the journal and not in the cursor, which
//! may get lost. A record read again carries the names that its number had, and is a twin if it is there under one of them.

use std::collections::BTreeMap;

use driver_api::{NotStored, Store};

/// Numbers are kept in so many parts: one grows to a few kilobytes with the largest lists, and who is new costs one of them.
const PARTS: u32 = 256;

type Part = BTreeMap<u32, Vec<String>>;

/// Makes sure that these numbers are known by these names; the other names that they had, by the name of now.
pub(crate) async fn former<'n>(
    store: &Store,
    named: impl IntoIterator<Item = (u32, &'n str)>,
) -> Result<BTreeMap<String, Vec<String>>, NotStored> {
    let mut wanted: BTreeMap<u32, Vec<(u32, &str)>> = BTreeMap::new();
    for (number, name) in named {
        wanted.entry(number % PARTS).or_default().push((number, name));
    }
    let mut former: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (part, named) in wanted {
        let key = format!("names/{part}");
        let mut known = match store.remembered(&key).await? {
            Some(body) => serde_json::from_slice::<Part>(&body)
                .map_err(|error| NotStored::DiskFailed(format!("the names of a terminal's numbers: {error}")))?,
            None => Part::default(),
        };
        let mut is_new = false;
        for (number, name) in named {
            let names = known.entry(number).or_default();
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
                is_new = true;
            }
            let others = names.iter().filter(|other| *other != name).cloned();
            let others: Vec<String> = others.collect();
            if !others.is_empty() {
                former.entry(name.to_owned()).or_default().extend(others);
            }
        }
        if is_new {
            let body = serde_json::to_vec(&known).expect("numbers and texts always make JSON");
            store.remember(&key, body).await?;
        }
    }
    Ok(former)
}
