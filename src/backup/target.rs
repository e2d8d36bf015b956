//! Where backups lie: a folder, or an object store.

use super::{Refused, bucket::Bucket, folder::Folder};
use crate::config::BucketSettings;

/// A place for backups of one gateway.
pub struct Target(Place);

enum Place {
    Folder(Folder),
    Bucket(Box<Bucket>),
}

/// Folders at a target.
pub(super) const BACKUPS: &str = "backups";
pub(super) const OBJECTS: &str = "objects";

const MEND: &str =
    "write the path of a folder, such as a mounted disk: \"/mnt/backup/sz-03\", or \"s3://BUCKET/sz-03\"";

impl Target {
    /// From what stands in a config or on the command line: the path of a folder, or `s3://BUCKET/PREFIX`. What the config says
    /// of the object store goes before what the environment says.
    pub fn parse(text: &str, settings: &BucketSettings) -> Result<Self, Refused> {
        let place = match text.split_once("://") {
            Some(("s3", place)) => Place::Bucket(Box::new(Bucket::open(place, settings)?)),
            Some((scheme, _)) => return Err(Refused::new(format!("no backup goes to {scheme}://"), MEND)),
            None if text.is_empty() => return Err(Refused::new("the target is empty", MEND)),
            None => Place::Folder(Folder(text.into())),
        };
        Ok(Self(place))
    }

    pub fn shown(&self) -> String {
        match &self.0 {
            Place::Folder(folder) => folder.shown(),
            Place::Bucket(bucket) => bucket.shown(),
        }
    }

    /// Names and sizes of what lies below one of its folders, in order.
    pub(super) fn list(&self, below: &str) -> Result<Vec<(String, u64)>, Refused> {
        match &self.0 {
            Place::Folder(folder) => folder.list(below),
            Place::Bucket(bucket) => bucket.list(below),
        }
    }

    /// On its disk, whole, under this name, when it returns.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Refused> {
        match &self.0 {
            Place::Folder(folder) => folder.put(name, bytes),
            Place::Bucket(bucket) => bucket.put(name, bytes),
        }
    }

    /// The bytes under a name; more than `limit` are refused before they are read.
    pub(super) fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, Refused> {
        match &self.0 {
            Place::Folder(folder) => folder.get(name, limit),
            Place::Bucket(bucket) => bucket.get(name, limit),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Refused> {
        match &self.0 {
            Place::Folder(folder) => folder.remove(name),
            Place::Bucket(bucket) => bucket.remove(name),
        }
    }
}
