//! Whether flaws of what this program was built from are published. A site has no way to ask for that, so a list of
//! advisories is read that somebody put beside it, in the OSV format (<https://ossf.github.io/osv-schema/>, of which RustSec and
//! osv.dev publish theirs). Where there is none, that is what is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use toml::Table;

use super::osv::Advisory;

/// What was locked for this build, and what of it the program itself asks for.
const LOCK: &str = include_str!("../../Cargo.lock");
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// A larger file is no list of advisories, in bytes; all of Rust's ecosystem in one file are some 10 MiB.
const FILE_BYTES: u64 = 64 << 20;
/// More files, or folders in folders, are not read.
const FILES: usize = 50_000;
const DEPTH: usize = 4;

/// What was found out of this program's own parts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Dependencies {
    /// Crates of others, at the versions that were locked for this build; some may not be used on this kind of machine.
    pub crates: usize,
    /// Null: nothing was looked up, because there is no list.
    pub list: Option<AdvisoryList>,
    pub found: Vec<Flawed>,
}

/// The list that they were looked up in.
#[derive(Debug, Clone, Serialize)]
pub struct AdvisoryList {
    pub place: PathBuf,
    /// Advisories for Rust crates in it.
    pub advisories: usize,
    /// When the newest of them was changed: what was published later is not known.
    pub newest: Option<Timestamp>,
    /// Files that are no advisories, or too many.
    pub unread: usize,
}

/// One advisory that holds for one of our parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flawed {
    #[serde(rename = "crate")]
    pub name: String,
    pub version: String,
    pub id: String,
    /// Its other names, a CVE among them.
    pub aliases: Vec<String>,
    /// `vulnerability`, or what else the advisory is about: `unmaintained`, `unsound`, `notice`.
    pub kind: String,
    pub summary: String,
    /// Versions that are free of it again.
    pub fixed: Vec<String>,
    pub source: String,
}

impl Dependencies {
    /// Looks them up in the list at this place: a file, or a folder of files. `None` there is no error and makes no answer.
    pub fn look_up(place: &Path) -> io::Result<Self> {
        let parts = parts();
        let crates = parts.len();
        let list = match Advisories::read(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { crates, ..Self::default() }),
            list => list?,
        };
        let mut found: Vec<Flawed> = list.all.iter().flat_map(|advisory| advisory.of(&parts)).collect();
        found.sort_by(|a, b| (&a.name, &a.version, &a.id).cmp(&(&b.name, &b.version, &b.id)));
        found.dedup();
        let Advisories { all, newest, unread } = list;
        let list = AdvisoryList { place: place.into(), advisories: all.len(), newest, unread };
        // An empty folder answers nothing either.
        Ok(Self { crates, list: (list.advisories > 0).then_some(list), found })
    }
}

/// Crates of others with their versions: all that the program's own dependencies lead to.
fn parts() -> BTreeSet<(String, Version)> {
    let lock: Table = LOCK.parse().unwrap_or_default();
    let manifest: Table = MANIFEST.parse().unwrap_or_default();
    let packages: Vec<&Table> = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|it| it.as_table())
        .collect();
    let text = |package: &Table, key: &str| package.get(key).and_then(|it| it.as_str()).unwrap_or_default().to_owned();
    let mut named: BTreeMap<String, Vec<&Table>> = BTreeMap::new();
    packages.iter().for_each(|package| named.entry(text(package, "name")).or_default().push(package));
    // "name", or "name version" where there are several.
    let needs = |package: &Table| -> Vec<(String, Option<String>)> {
        let all = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        let split = |needed: &toml::Value| {
            let mut words = needed.as_str()?.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()))
        };
        all.filter_map(split).collect()
    };
    let ours = |name: &str| manifest.get("dependencies").and_then(|it| it.get(name)).is_some();
    let root = named.get(env!("CARGO_PKG_NAME")).into_iter().flatten();
    let mut wanted: Vec<_> = root.flat_map(|package| needs(package)).filter(|(name, _)| ours(name)).collect();
    let (mut seen, mut parts) = (BTreeSet::new(), BTreeSet::new());
    while let Some((name, version)) = wanted.pop() {
        if !seen.insert((name.clone(), version.clone())) {
            continue;
        }
        for package in named.get(&name).into_iter().flatten() {
            if version.as_ref().is_some_and(|version| *version != text(package, "version")) {
                continue;
            }
            if let (true, Ok(version)) = (package.contains_key("source"), text(package, "version").parse()) {
                parts.insert((name.clone(), version));
            }
            wanted.extend(needs(package));
        }
    }
    parts
}

/// A list of advisories, those for Rust crates.
#[derive(Debug, Default)]
struct Advisories {
    all: Vec<Advisory>,
    newest: Option<Timestamp>,
    unread: usize,
}

impl Advisories {
    fn read(place: &Path) -> io::Result<Self> {
        let mut list = Self::default();
        if fs::metadata(place)?.is_file() {
            list.take(place)?;
            return Ok(list);
        }
        let mut folders = vec![(place.to_path_buf(), 0)];
        let mut count = 0;
        while let Some((folder, depth)) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                count += 1;
                if kind.is_dir() && depth < DEPTH {
                    folders.push((path, depth + 1));
                } else if kind.is_file() && path.extension().is_some_and(|it| it == "json") {
                    match count <= FILES {
                        true => list.take(&path)?,
                        false => list.unread += 1,
                    }
                }
            }
        }
        Ok(list)
    }

    /// One file: an advisory, or an array of them.
    fn take(&mut self, path: &Path) -> io::Result<()> {
        let mut text = Vec::new();
        fs::File::open(path)?.take(FILE_BYTES + 1).read_to_end(&mut text)?;
        let parsed = match text.len() as u64 > FILE_BYTES {
            true => Value::Null,
            false => serde_json::from_slice(&text).unwrap_or_default(),
        };
        let all = match parsed {
            Value::Array(all) => all,
            one => vec![one],
        };
        let mut wrong = false;
        for one in all {
            match Advisory::deserialize(one) {
                Ok(advisory) if advisory.is_for_us() => {
                    self.newest = self.newest.max(advisory.modified);
                    // One that was taken back says nothing, but that the list is younger.
                    if advisory.withdrawn.is_none() {
                        self.all.push(advisory);
                    }
                }
                // Of somebody else's crates.
                Ok(_) => {}
                Err(_) => wrong = true,
            }
        }
        self.unread += usize::from(wrong);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn the_program_knows_what_it_was_built_from() {
        let parts = parts();
        let names: BTreeSet<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["tokio", "rustls", "sled", "ring", "rumqttc", "semver"] {
            assert!(names.contains(name), "{name}: {names:?}");
        }
        for name in ["punchgate", "driver-zk", "jsonschema"] {
            assert!(!names.contains(name), "{name} is ours, or of tests alone");
        }
        assert!(parts.contains(&("sled".into(), version("0.34.7"))));
        assert!(parts.len() > 150, "{}", parts.len());
    }

    fn advisory(id: &str, name: &str, fixed: &str) -> Value {
        json!({
            "id": id, "modified": "2026-10-01T00:00:00Z", "aliases": ["CVE-2026-0001"], "summary": "it reads too far",
            "affected": [{
                "package": { "ecosystem": "crates.io", "name": name },
                "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0.0.0-0" }, { "fixed": fixed }] }],
            }],
            "references": [{ "type": "ADVISORY", "url": "https://rustsec.org/advisories/x.html" }],
        })
    }

    #[test]
    fn what_is_published_is_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = Dependencies::look_up(&folder.path().join("nowhere")).unwrap();
        assert!(nothing.list.is_none() && nothing.crates > 150);
        assert!(Dependencies::look_up(folder.path()).unwrap().list.is_none(), "an empty folder is no list");

        let write = |name: &str, value: &Value| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value.to_string()).unwrap();
        };
        write("crates/in.json", &advisory("RUSTSEC-2026-0001", "sled", "0.34.8"));
        write("crates/out.json", &advisory("RUSTSEC-2026-0002", "sled", "0.34.7"));
        let mut other = advisory("GHSA-x", "sled", "9.0.0");
        other["affected"][0]["package"]["ecosystem"] = json!("npm");
        let mut gone = advisory("RUSTSEC-2026-0003", "sled", "9.0.0");
        gone["withdrawn"] = json!("2026-11-01T00:00:00Z");
        gone["modified"] = json!("2026-11-01T00:00:00Z");
        let mut unmaintained = advisory("RUSTSEC-2026-0004", "sled", "9.0.0");
        unmaintained["affected"][0]["database_specific"] = json!({ "informational": "unmaintained" });
        write(
            "all.json",
            &json!([other, gone, unmaintained, advisory("RUSTSEC-2026-0005", "no-crate-of-ours", "9.0.0")]),
        );
        fs::write(folder.path().join("torn.json"), "{\"id\": \"RUST").unwrap();
        fs::write(folder.path().join("README.md"), "no advisory").unwrap();
        let found = Dependencies::look_up(folder.path()).unwrap();
        let told: Vec<_> = found.found.iter().map(|it| (it.id.as_str(), it.kind.as_str())).collect();
        assert_eq!(told, [("RUSTSEC-2026-0001", "vulnerability"), ("RUSTSEC-2026-0004", "unmaintained")]);
        let first = &found.found[0];
        assert_eq!(
            (first.name.as_str(), first.version.as_str(), &first.fixed[..]),
            ("sled", "0.34.7", &["0.34.8".to_owned()][..])
        );
        let list = found.list.unwrap();
        assert_eq!((list.advisories, list.unread), (4, 1));
        assert_eq!(list.newest.unwrap().to_string(), "2026-11-01T00:00:00Z");
        // One file does as well.
        assert_eq!(Dependencies::look_up(&folder.path().join("crates/in.json")).unwrap().found.len(), 1);
    }
}
