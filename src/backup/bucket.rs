//! Backups in an object store: whatever speaks Amazon's S3, theirs or that of a box in the cellar.
//!
//! The library [`object_store`] knows how to ask; which bytes go over which line is [`http`]'s, so that there is one TLS in
//! this program. The store is trusted with nothing but to keep what it has: it sees ciphertext and hashes, and a listing or an
//! object that is longer than it may be is not read.

mod http;
#[cfg(test)]
mod tests;
mod trouble;

use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path as Key,
};
use tokio::runtime::{Builder, Runtime};

use super::Refused;
use crate::config::{BucketSettings, ENDPOINT_EXAMPLE};
use http::Connector;

/// A part of a bucket, of one gateway's own.
pub(super) struct Bucket {
    shown: String,
    prefix: Key,
    store: AmazonS3,
    connector: Connector,
    runtime: Runtime,
}

/// The most that an answer may have which is no object: a thousand names in XML.
const ANSWER: u64 = 8 << 20;
/// Not one byte in either direction for so long is the end of an attempt. A line of 16 kbit/s is slow, and not that slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names below one folder; a gateway that keeps all backups for years has not so many.
const NAMES: usize = 1_000_000;

impl Bucket {
    /// From what stands behind `s3://`. Nothing is asked of the store yet.
    pub(super) fn open(place: &str, settings: &BucketSettings) -> Result<Self, Refused> {
        Self::patient(place, settings, PATIENCE, RetryConfig::default())
    }

    fn patient(
        place: &str,
        settings: &BucketSettings,
        patience: Duration,
        retry: RetryConfig,
    ) -> Result<Self, Refused> {
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        let no_bucket = name.len() < 3 || !name.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_".contains(&it));
        let prefix = Key::parse(prefix.trim_end_matches('/'));
        let (false, Ok(prefix)) = (no_bucket, prefix) else {
            let mend = "write it like this: s3://BUCKET/sz-03, without ? and without a password";
            return Err(Refused::new(
                format!("s3://{} is no place in an object store", place.split('@').next_back().unwrap_or_default()),
                mend,
            ));
        };
        let settings = settings.or_environment().map_err(|(why, mend)| Refused::new(why, mend))?;
        let (Some(id), Some(secret)) = (&settings.access_key_id, &settings.secret_access_key) else {
            let mend = "write access_key_id and secret_access_key_file into section [backup] of the config, or set \
                        AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            return Err(Refused::new(format!("nobody said with which key s3://{name} is opened"), mend));
        };
        let connector = Connector::new(settings.ca_file.as_deref(), patience)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(name)
            .with_access_key_id(id)
            .with_secret_access_key(secret.reveal())
            .with_region(settings.region.as_deref().unwrap_or("us-east-1"))
            // Plain HTTP is for this machine alone: the settings have no other.
            .with_allow_http(true)
            // The store compares, and buckets that let nothing be changed ask for it.
            .with_checksum_algorithm(Checksum::SHA256)
            // Not every store knows how to delete many at once.
            .with_disable_bulk_delete(true)
            .with_retry(retry)
            .with_http_connector(connector.clone());
        if let Some(token) = &settings.session_token {
            builder = builder.with_token(token.reveal());
        }
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(|error| {
            Refused::new(
                format!("s3://{place} cannot be used: {error}"),
                format!("look at backup.endpoint: {ENDPOINT_EXAMPLE}"),
            )
        })?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Refused::new(format!("cannot start: {error}"), "close other programs"))?;
        let shown = format!("s3://{name}{}{prefix}", if prefix.as_ref().is_empty() { "" } else { "/" });
        Ok(Self { shown, prefix, store, connector, runtime })
    }

    pub(super) fn shown(&self) -> String {
        self.shown.clone()
    }

    fn key(&self, name: &str) -> Key {
        name.split('/').fold(self.prefix.clone(), |key, part| key.join(part))
    }

    fn refused(&self, doing: &str, name: &str, error: &object_store::Error) -> Refused {
        trouble::told(doing, name, &self.shown, error)
    }

    pub(super) fn list(&self, below: &str) -> Result<Vec<(String, u64)>, Refused> {
        self.connector.allow(ANSWER);
        let folder = self.key(below);
        let all = self.store.list(Some(&folder)).map_err(|error| self.refused("list", below, &error));
        let of_folder = all.try_filter_map(|object| {
            let mut parts = object.location.prefix_match(&folder).into_iter().flatten();
            // Below folders of its own lies nothing of ours.
            let name = parts.next().filter(|_| parts.next().is_none());
            let found = name.map(|name| (name.as_ref().to_owned(), object.size));
            async move { Ok(found) }
        });
        let found = of_folder.try_fold(Vec::new(), |mut found, one| async move {
            if found.len() == NAMES {
                let why = format!("{} lists more than {NAMES} names below {below}", self.shown);
                return Err(Refused::new(why, "give each gateway a target of its own"));
            }
            found.push(one);
            Ok(found)
        });
        let mut found: Vec<(String, u64)> = self.runtime.block_on(found)?;
        found.sort();
        Ok(found)
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Refused> {
        self.connector.allow(ANSWER);
        let key = self.key(name);
        let sent = self.store.put(&key, bytes.to_vec().into());
        self.runtime.block_on(sent).map(drop).map_err(|error| self.refused("write", name, &error))
    }

    pub(super) fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, Refused> {
        self.connector.allow(limit);
        let key = self.key(name);
        let read = async { self.store.get(&key).await?.bytes().await };
        match self.runtime.block_on(read) {
            Ok(bytes) if bytes.len() as u64 > limit => Err(Refused::too_long(name, &self.shown)),
            Ok(bytes) => Ok(bytes.into()),
            Err(error) if http::is_too_long(&error) => Err(Refused::too_long(name, &self.shown)),
            Err(error) if trouble::is_missing(&error) => Err(Refused::missing(name, &self.shown)),
            Err(error) => Err(self.refused("read", name, &error)),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Refused> {
        self.connector.allow(ANSWER);
        let key = self.key(name);
        self.runtime.block_on(self.store.delete(&key)).map_err(|error| self.refused("remove", name, &error))
    }
}
