//! Records of the OSV format, <https://ossf.github.io/osv-schema/>: what they are about, and whether a version is meant. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use semver::Version;
use serde::Deserialize;
use serde_json::Value;

use super::advisories::Flawed;

/// Advisories for us name this ecosystem.
const ECOSYSTEM: &str = "crates.io";
/// Letters of a summary that are told.
const SUMMARY: usize = 300;

/// What counts of an OSV record.
#[derive(Debug, Deserialize)]
pub(super) struct Advisory {
    id: String,
    pub(super) modified: Option<Timestamp>,
    pub(super) withdrawn: Option<Timestamp>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    affected: Vec<Affected>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
struct Affected {
    package: Option<Package>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Debug, Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    url: String,
}

impl Advisory {
    pub(super) fn is_for_us(&self) -> bool {
        self.affected.iter().any(|it| it.package.as_ref().is_some_and(|it| it.ecosystem == ECOSYSTEM))
    }

    /// What it says of these.
    pub(super) fn of(&self, parts: &BTreeSet<(String, Version)>) -> Vec<Flawed> {
        let mut told = Vec::new();
        for affected in &self.affected {
            let Some(Package { ecosystem, name }) = &affected.package else { continue };
            for (_, version) in parts.iter().filter(|(ours, _)| ecosystem == ECOSYSTEM && ours == name) {
                if !affected.has(version) {
                    continue;
                }
                let kind = affected.database_specific.get("informational").and_then(Value::as_str);
                told.push(Flawed {
                    name: name.clone(),
                    version: version.to_string(),
                    id: self.id.clone(),
                    aliases: self.aliases.clone(),
                    kind: kind.unwrap_or("vulnerability").into(),
                    summary: self.summary.chars().take(SUMMARY).collect(),
                    fixed: affected.fixed_after(version),
                    source: self.references.first().map(|it| it.url.clone()).unwrap_or_default(),
                });
            }
        }
        told
    }
}

impl Affected {
    /// As the OSV schema says: listed by name, or within a range of versions.
    fn has(&self, version: &Version) -> bool {
        self.versions.iter().any(|listed| listed.parse().is_ok_and(|listed: Version| listed == *version))
            || self.ranges.iter().any(|range| range.has(version))
    }

    fn fixed_after(&self, version: &Version) -> Vec<String> {
        let all = self.ranges.iter().flat_map(|range| &range.events).filter_map(|event| event.fixed.clone());
        all.filter(|fixed| fixed.parse().is_ok_and(|fixed: Version| fixed > *version)).collect()
    }
}

impl Range {
    /// Events in the order of their versions; the last one that lies not behind the version counts. What makes no sense is
    /// read so that a flaw is told rather than missed.
    fn has(&self, version: &Version) -> bool {
        if !matches!(self.kind.as_str(), "SEMVER" | "ECOSYSTEM") {
            return false;
        }
        let mut events: Vec<(Option<Version>, Step)> = self.events.iter().flat_map(Event::steps).collect();
        events.sort();
        let mut has = false;
        for (at, step) in events {
            match (at, step) {
                (None, Step::Introduced) => has = true,
                (Some(at), Step::Introduced) if *version >= at => has = true,
                (Some(at), Step::Fixed) if *version >= at => has = false,
                (Some(at), Step::LastAffected) if *version > at => has = false,
                _ => {}
            }
        }
        has
    }
}

/// In the order in which they count at one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Fixed,
    Introduced,
    LastAffected,
}

impl Event {
    /// `0` is before every version, and so is what cannot be read where a flaw begins.
    fn steps(&self) -> impl Iterator<Item = (Option<Version>, Step)> {
        let introduced = self.introduced.as_ref().map(|at| (at.parse().ok(), Step::Introduced));
        let at = |text: &Option<String>, step| Some((Some(text.as_ref()?.parse().ok()?), step));
        let (fixed, last) = (at(&self.fixed, Step::Fixed), at(&self.last_affected, Step::LastAffected));
        [introduced, fixed, last].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn range(events: Value) -> Range {
        Range::deserialize(json!({ "type": "SEMVER", "events": events })).unwrap()
    }

    #[test]
    fn a_version_is_in_a_range_or_is_not() {
        let one = range(json!([{ "introduced": "0" }, { "fixed": "1.2.3" }]));
        let two = range(
            json!([{ "introduced": "1.0.0" }, { "fixed": "1.0.5" }, { "introduced": "1.1.0" }, { "fixed": "1.1.2" }]),
        );
        // Events come in any order.
        let shuffled = range(
            json!([{ "fixed": "1.1.2" }, { "introduced": "1.1.0" }, { "fixed": "1.0.5" }, { "introduced": "1.0.0" }]),
        );
        let last = range(json!([{ "introduced": "2.0.0" }, { "last_affected": "2.1.0" }]));
        let open = range(json!([{ "introduced": "0.0.0-0" }]));
        let again = range(json!([{ "introduced": "0" }, { "fixed": "1.0.0" }, { "introduced": "1.0.0" }]));
        for (range, has, has_not) in [
            (&one, &["0.0.1", "1.2.2", "1.2.3-rc.1"][..], &["1.2.3", "1.2.4", "2.0.0"][..]),
            (&two, &["1.0.0", "1.0.4", "1.1.1"], &["0.9.9", "1.0.5", "1.0.9", "1.1.2"]),
            (&shuffled, &["1.0.0", "1.0.4", "1.1.1"], &["0.9.9", "1.0.5", "1.0.9", "1.1.2"]),
            (&last, &["2.0.0", "2.1.0"], &["1.9.9", "2.1.1"]),
            (&open, &["0.0.1", "99.0.0"], &[]),
            (&again, &["0.5.0", "1.0.0", "1.5.0"], &[]),
        ] {
            has.iter().for_each(|it| assert!(range.has(&version(it)), "{it} is not in {range:?}"));
            has_not.iter().for_each(|it| assert!(!range.has(&version(it)), "{it} is in {range:?}"));
        }
        assert!(
            !Range::deserialize(json!({ "type": "GIT", "events": [{ "introduced": "0" }] }))
                .unwrap()
                .has(&version("1.0.0"))
        );
        assert!(range(json!([{ "introduced": "one" }])).has(&version("1.0.0")), "told rather than missed");
    }
}
