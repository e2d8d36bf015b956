//! What somebody with a hand on the target may do to it, and the words with which it is refused.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use punchgate::command::PrivateKey;
use serde_json::json;

use crate::site::Site;

/// Somebody has changed the target; a restore says this of it.
pub(crate) type Evil = (&'static str, fn(&Site), &'static str);

pub(crate) const EVILS: &[Evil] = &[
    (
        "a flipped bit of an object",
        |site| flip(&object_of(site, "state/journal/00000001.seg")),
        "is not what was put there",
    ),
    ("a missing object", |site| fs::remove_file(object_of(site, "state/journal/00000001.seg")).unwrap(), "is missing"),
    ("a cut object", |site| cut(&object_of(site, "config/config.toml")), "is not what was put there"),
    (
        "two objects swapped",
        |site| {
            let (a, b) = (object_of(site, "state/journal/00000001.seg"), object_of(site, "state/journal/00000002.seg"));
            let (of_a, of_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
            fs::write(a, of_b).unwrap();
            fs::write(b, of_a).unwrap();
        },
        "mend: take another backup",
    ),
    (
        "two files swapped by somebody with the gateway's key",
        |site| {
            let mut opened = site.opened();
            let object = opened.file("state/journal/00000001.seg")["object"].take();
            let other = opened.file("state/journal/00000002.seg")["object"].take();
            opened.file("state/journal/00000001.seg")["object"] = other;
            opened.file("state/journal/00000002.seg")["object"] = object;
            site.rewrite(opened);
        },
        "is not what was backed up",
    ),
    (
        "an object that is a link",
        |site| {
            let object = object_of(site, "state/boots");
            fs::rename(&object, site.path("aside")).unwrap();
            symlink(site.path("aside"), object).unwrap();
        },
        "no link is followed",
    ),
    (
        "a manifest that is a link",
        |site| {
            let path = site.opened().path;
            fs::rename(&path, site.path("aside")).unwrap();
            symlink(site.path("aside"), path).unwrap();
        },
        "no backup",
    ),
    ("a flipped bit of the manifest", |site| flip(&site.opened().path), "is not what its gateway has signed"),
    ("a cut manifest", |site| cut(&site.opened().path), "has no signature"),
    (
        "a renamed manifest",
        |site| {
            let path = site.opened().path;
            fs::rename(&path, path.with_file_name("999999-20990101T000000Z.json")).unwrap();
        },
        "it was renamed",
    ),
    ("a name with ..", |site| named(site, "config/../../evil"), "leads out of its place"),
    ("an absolute name", |site| named(site, "/etc/evil"), "is an absolute name"),
    ("a name outside of the known set", |site| named(site, "state/restore-unfinished.json"), "is no file of a gateway"),
    ("the lock of a store", |site| named(site, "state/journal/lock"), "is no file of a gateway"),
    ("a name twice", |site| named(site, "state/boots"), "stands in it twice"),
    ("a file that is a folder too", |site| named(site, "config/config.toml/x"), "is a file and a folder"),
    (
        "a link in the list",
        |site| {
            let mut opened = site.opened();
            opened.file("state/boots")["link"] = json!("/etc/passwd");
            site.rewrite(opened);
        },
        "unknown field `link`",
    ),
    (
        "a device in the list",
        |site| {
            let mut opened = site.opened();
            opened.file("state/boots")["mode"] = json!(0o020_644);
            site.rewrite(opened);
        },
        "no plain file",
    ),
    (
        "a bomb",
        |site| {
            let mut opened = site.opened();
            let object = site.encrypt(&vec![0; 64 << 20]);
            assert!(object["bytes"].as_u64().unwrap() < 100_000);
            opened.manifest["objects"].as_array_mut().unwrap().push(object.clone());
            opened.add("config/bomb", &object, 1000, &"0".repeat(64));
            site.rewrite(opened);
        },
        "has more in it than was announced",
    ),
    (
        "more than any disk holds",
        |site| {
            let mut opened = site.opened();
            let object = opened.file("state/boots")["object"].clone();
            for n in 0..20_000 {
                opened.add(&format!("config/{n}"), &json!({ "sha256": object }), 512 << 20, &"0".repeat(64));
            }
            site.rewrite(opened);
        },
        "has room for",
    ),
    (
        "a file of a length that none has",
        |site| {
            let mut opened = site.opened();
            opened.file("state/boots")["bytes"] = json!(u64::MAX);
            site.rewrite(opened);
        },
        "are the most",
    ),
    (
        "a segment left out",
        |site| {
            let mut opened = site.opened();
            opened.contents["files"].as_array_mut().unwrap().retain(|it| it["path"] != "state/journal/00000002.seg");
            site.rewrite(opened);
        },
        "its journal is damaged",
    ),
    (
        "the end of the journal left out",
        |site| {
            let mut opened = site.opened();
            let last = opened.contents["files"].as_array().unwrap().last().unwrap()["path"].clone();
            opened.contents["files"].as_array_mut().unwrap().retain(|it| it["path"] != last);
            site.rewrite(opened);
        },
        "its journal is damaged",
    ),
    (
        "the list of another backup",
        |site| {
            let mut opened = site.opened();
            opened.contents["id"] = json!("000009-20260101T000000Z");
            site.rewrite(opened);
        },
        "it is of backup",
    ),
    (
        "another gateway's signature",
        |site| {
            let key = site.path("gateway/state/gateway-key.jwk");
            fs::remove_file(&key).unwrap();
            PrivateKey::read_or_make(&key).unwrap();
            site.sign(&site.opened());
        },
        "signed by another key",
    ),
];

pub(crate) fn object_of(site: &Site, path: &str) -> PathBuf {
    let hash = site.opened().file(path)["object"].clone();
    site.object(&json!({ "sha256": hash }))
}

pub(crate) fn named(site: &Site, path: &str) {
    let mut opened = site.opened();
    let entry = opened.file("state/boots").clone();
    let (bytes, hash) = (entry["bytes"].as_u64().unwrap(), entry["sha256"].as_str().unwrap());
    opened.add(path, &json!({ "sha256": entry["object"] }), bytes, hash);
    site.rewrite(opened);
}

pub(crate) fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[20] ^= 1;
    fs::write(path, bytes).unwrap();
}

pub(crate) fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}
