//! Backups in an object store: whatever speaks Amazon's S3, theirs or that of a box in the cellar.
//!
//! Four questions are all that is asked, and libraries which know more cost a tenth of the package: what is signed is
//! [`sign`]'s, and which bytes go over which line is [`http`]'s, so that there is one TLS in this program. The store is trusted
//! with nothing but to keep what it has: it sees ciphertext and hashes, and a listing or an object that is longer than it may
//! be is not read.

mod http;
mod listing;
mod sign;
#[cfg(test)]
mod tests;
mod trouble;

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use hyper::{Method, body::Bytes, header::ETAG};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};
use url::Url;

use super::Refused;
use crate::config::{BucketSettings, ENDPOINT_EXAMPLE};
use http::{Answer, Line};
use sign::{Signer, encoded};
use trouble::Trouble;

/// A part of a store's list, on bytes of anybody's choice: for fuzzing.
#[cfg(feature = "decoders")]
pub fn listing(bytes: &[u8]) {
    let Some(page) = listing::page(bytes) else { return };
    let names: usize = page.objects.iter().map(|(key, _)| key.len()).sum();
    assert!(names < bytes.len(), "{page:?}");
    // One that ends a byte sooner is not whole.
    let whole = str::from_utf8(bytes).expect("a list is text").trim_end();
    assert_eq!(listing::page(&whole.as_bytes()[..whole.len() - 1]), None);
}

/// A part of a bucket, of one gateway's own.
pub(super) struct Bucket {
    shown: String,
    /// What stands before each name: nothing, or folders with a slash behind each.
    prefix: String,
    /// The address of the bucket.
    store: Url,
    signer: Signer,
    line: Line,
    tries: Tries,
    runtime: Runtime,
}

/// The most that an answer may have which is no object: a thousand names in XML.
const ANSWER: u64 = 8 << 20;
/// Not one byte in either direction for so long is the end of an attempt. A line of 16 kbit/s is slow, and not that slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names below one folder; a gateway that keeps all backups for years has not so many.
const NAMES: usize = 1_000_000;

/// How often a store is asked again that is busy, or away.
#[derive(Clone, Copy)]
struct Tries {
    /// The first pause; each is twice as long as the one before.
    first: Duration,
    longest: Duration,
    again: u32,
    /// After so long it is not asked again.
    within: Duration,
}

const TRIES: Tries = Tries {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(15),
    again: 10,
    within: Duration::from_secs(180),
};

impl Tries {
    /// How long to wait after the n-th try that was in vain; none when it was the last.
    fn pause(&self, n: u32, since: Instant) -> Option<Duration> {
        let pause = self.first.saturating_mul(1 << n.min(16)).min(self.longest);
        // With jitter, so that many gateways do not come all at once.
        (n < self.again && since.elapsed() < self.within).then(|| pause.mul_f64(rand::random_range(0.75..1.25)))
    }
}

impl Bucket {
    /// From what stands behind `s3://`. Nothing is asked of the store yet.
    pub(super) fn open(place: &str, settings: &BucketSettings) -> Result<Self, Refused> {
        Self::patient(place, settings, PATIENCE, TRIES)
    }

    fn patient(place: &str, settings: &BucketSettings, patience: Duration, tries: Tries) -> Result<Self, Refused> {
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        let no_bucket = name.len() < 3 || !name.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_".contains(&it));
        let prefix = prefix.trim_end_matches('/');
        let prefix = prefix.strip_prefix('/').unwrap_or(prefix);
        let no_prefix = !prefix.is_empty() && !prefix.split('/').all(is_name);
        if no_bucket || no_prefix {
            let mend = "write it like this: s3://BUCKET/sz-03, without ? and without a password";
            return Err(Refused::new(
                format!("s3://{} is no place in an object store", place.split('@').next_back().unwrap_or_default()),
                mend,
            ));
        }
        let settings = settings.or_environment().map_err(|(why, mend)| Refused::new(why, mend))?;
        let (Some(id), Some(secret)) = (&settings.access_key_id, &settings.secret_access_key) else {
            let mend = "write access_key_id and secret_access_key_file into section [backup] of the config, or set \
                        AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            return Err(Refused::new(format!("nobody said with which key s3://{name} is opened"), mend));
        };
        let line = Line::new(settings.ca_file.as_deref(), patience)?;
        let region = settings.region.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = settings.endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let store =
            Url::parse(&endpoint).and_then(|endpoint| endpoint.join(&format!("/{name}/"))).map_err(|error| {
                Refused::new(
                    format!("s3://{place} cannot be used: {error}"),
                    format!("look at backup.endpoint: {ENDPOINT_EXAMPLE}"),
                )
            })?;
        let signer = Signer { region, id: id.clone(), secret: secret.clone(), token: settings.session_token };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Refused::new(format!("cannot start: {error}"), "close other programs"))?;
        let shown = format!("s3://{name}{}{prefix}", if prefix.is_empty() { "" } else { "/" });
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { shown, prefix, store, signer, line, tries, runtime })
    }

    pub(super) fn shown(&self) -> String {
        self.shown.clone()
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Where an object is, from the bucket's address on.
    fn address(&self, name: &str) -> String {
        encoded(&self.key(name), b"/")
    }

    fn refused(&self, doing: &str, name: &str, trouble: &Trouble) -> Refused {
        trouble::told(doing, name, &self.shown, trouble)
    }

    /// The store's answer, when it did what it was asked for. Whatever is asked here may be asked twice.
    fn ask(
        &self,
        method: Method,
        asked: &str,
        more: &[(&'static str, String)],
        body: &[u8],
        limit: u64,
    ) -> Result<Answer, Trouble> {
        let url = self.store.join(asked).map_err(|error| Trouble::Strange(error.to_string()))?;
        let bytes = Bytes::copy_from_slice(body);
        let since = Instant::now();
        self.runtime.block_on(async {
            for n in 0.. {
                // Each try anew: a signature is valid for a while.
                let headers = self.signer.headers(&method, &url, more, body, Timestamp::now());
                let asked = self.line.ask(&method, &url, &headers, bytes.clone(), limit).await;
                let trouble = match asked.and_then(trouble::judged) {
                    Ok(answer) => return Ok(answer),
                    Err(trouble) => trouble,
                };
                match self.tries.pause(n, since) {
                    Some(pause) if trouble.may_pass() => sleep(pause).await,
                    _ => return Err(trouble),
                }
            }
            unreachable!("the tries end before the numbers")
        })
    }

    pub(super) fn list(&self, below: &str) -> Result<Vec<(String, u64)>, Refused> {
        let folder = self.key(below) + "/";
        let (mut found, mut seen, mut behind) = (Vec::new(), 0, None);
        loop {
            let page = self.page(&folder, behind).map_err(|trouble| self.refused("list", below, &trouble))?;
            // One without names counts, too, or a store could go on for ever.
            seen += page.objects.len().max(1);
            if seen > NAMES {
                let why = format!("{} lists more than {NAMES} names below {below}", self.shown);
                return Err(Refused::new(why, "give each gateway a target of its own"));
            }
            found.extend(page.objects.into_iter().filter_map(|(key, size)| {
                // Below folders of its own lies nothing of ours.
                let name = key.strip_prefix(&folder).filter(|name| is_name(name))?;
                Some((name.to_owned(), size))
            }));
            if page.next.is_none() {
                break;
            }
            behind = page.next;
        }
        found.sort();
        Ok(found)
    }

    fn page(&self, folder: &str, behind: Option<String>) -> Result<listing::Page, Trouble> {
        // In the order of the alphabet: so they are signed.
        let token = behind.map(|token| format!("continuation-token={}&", encoded(&token, b""))).unwrap_or_default();
        let asked = format!("?{token}list-type=2&prefix={}", encoded(folder, b""));
        let answer = self.ask(Method::GET, &asked, &[], &[], ANSWER)?;
        listing::page(&answer.bytes)
            .ok_or_else(|| Trouble::Strange("what came is no list of objects, or half of one".into()))
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Refused> {
        // The store compares, and buckets that let nothing be changed ask for it.
        let sum = ("x-amz-checksum-sha256", BASE64.encode(&Sha256::digest(bytes)));
        let kind = ("content-type", "application/octet-stream".to_owned());
        let answer = self.ask(Method::PUT, &self.address(name), &[kind, sum], bytes, ANSWER);
        let answer = answer.map_err(|trouble| self.refused("write", name, &trouble))?;
        if !answer.headers.contains_key(ETAG) {
            let strange = Trouble::Strange("what answers does not say what it keeps now, and is no S3".into());
            return Err(self.refused("write", name, &strange));
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, Refused> {
        match self.ask(Method::GET, &self.address(name), &[], &[], limit) {
            Ok(answer) => Ok(answer.bytes.into()),
            Err(Trouble::TooLong) => Err(Refused::too_long(name, &self.shown)),
            Err(trouble) if trouble.is_missing() => Err(Refused::missing(name, &self.shown)),
            Err(trouble) => Err(self.refused("read", name, &trouble)),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Refused> {
        let removed = self.ask(Method::DELETE, &self.address(name), &[], &[], ANSWER);
        removed.map(drop).map_err(|trouble| self.refused("remove", name, &trouble))
    }
}

/// Whether something may stand between two slashes: addresses know dots that lead elsewhere.
fn is_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains(|letter: char| letter == '/' || letter.is_ascii_control())
}
