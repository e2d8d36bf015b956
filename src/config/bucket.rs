//! What `[backup]` says of an object store. Who is not told by the config asks the environment, as every tool for S3 does.

use std::{env, path::PathBuf};

use driver_api::{Problems, Secret, Section};
use url::Url;

use super::{certificate, mqtt::loopback};

/// How the object store of a target `s3://` is reached, as far as the config says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketSettings {
    /// `https://HOST[:PORT]`; Amazon's own of the region without it.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<Secret>,
    /// Goes with keys that last for some hours; out of the environment alone.
    pub session_token: Option<Secret>,
    /// PEM; what the system trusts without it.
    pub ca_file: Option<PathBuf>,
}

/// As an example that is one, in messages.
pub(crate) const EXAMPLE: &str = "https://store.example:9000";

pub(super) fn read(section: &mut Section, target: Option<&str>, problems: &mut Problems) -> BucketSettings {
    let is_bucket = target.is_some_and(|target| target.starts_with("s3://"));
    for key in ["endpoint", "region", "access_key_id", "secret_access_key_file", "ca_file"] {
        if let (Some(value), Some(_), false) = (section.look(key).cloned(), target, is_bucket) {
            let why = "it is for a target that begins with s3://".into();
            section.wrong(
                problems,
                key,
                &value,
                why,
                "take the line out, or write target = \"s3://BUCKET/sz-03\"".into(),
            );
        }
    }
    let endpoint = section.take_checked("endpoint", "\"https://store.example:9000\"", problems, |text: String| {
        endpoint(&text).map(|()| text)
    });
    let region = section.take::<String>("region", "\"eu-central-1\"", problems);
    let access_key_id = section.take::<String>("access_key_id", "\"sz-03\"", problems);
    let secret_access_key = section.secret("secret_access_key_file", "\"/etc/punchgate/backup.secret\"", problems);
    let ca_file = certificate::take_chain(section, "ca_file", "\"/etc/punchgate/ca.pem\"", problems).map(|it| it.path);
    for (key, there, example) in [
        ("access_key_id", access_key_id.is_some(), "\"sz-03\""),
        ("secret_access_key_file", secret_access_key.is_some(), "\"/etc/punchgate/backup.secret\""),
    ] {
        if is_bucket && !there && section.look(key).is_none() && problems.errors.is_empty() {
            let why = "an object store wants to know who calls";
            section.missing(problems, key, why, format!("add a line: {key} = {example}"));
        }
    }
    BucketSettings { endpoint, region, access_key_id, secret_access_key, session_token: None, ca_file }
}

/// Whether something may be an endpoint: what is wrong, and the mend.
fn endpoint(text: &str) -> Result<(), (String, String)> {
    let wrong =
        |why: &str| Err((why.to_owned(), format!("write https://HOST or https://HOST:PORT, such as {EXAMPLE}")));
    let Ok(url) = Url::parse(text) else { return wrong("it is no address") };
    let host = url.host_str().unwrap_or_default();
    match url.scheme() {
        "https" => {}
        // A tunnel, or a test.
        "http" if loopback(host) => {}
        "http" => {
            return wrong("without TLS anybody on the way can read what the store is asked, and change its answers");
        }
        _ => return wrong("it begins with https://"),
    }
    if host.is_empty() || !url.username().is_empty() || url.password().is_some() {
        return wrong("it is a host, and nothing of a user or a password");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong("nothing may stand behind the port; the bucket stands in target");
    }
    Ok(())
}

impl BucketSettings {
    /// What the environment says where these settings do not, by the names of Amazon's own tools.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub fn or_environment(&self) -> Result<Self, (String, String)> {
        let named = |names: &[&str]| names.iter().find_map(|name| env::var(name).ok()).filter(|text| !text.is_empty());
        let from = |mine: &Option<String>, names: &[&str]| mine.clone().or_else(|| named(names));
        let found = from(&self.endpoint, &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
        if let Some(Err((why, mend))) = found.as_deref().map(endpoint) {
            return Err((format!("AWS_ENDPOINT_URL: {why}"), mend));
        }
        let keys = match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(secret)) => (Some(id.clone()), Some(secret.clone()), None),
            _ => {
                let secret = |name: &str| named(&[name]).map(Secret::new);
                (named(&["AWS_ACCESS_KEY_ID"]), secret("AWS_SECRET_ACCESS_KEY"), secret("AWS_SESSION_TOKEN"))
            }
        };
        let (access_key_id, secret_access_key, session_token) = keys;
        Ok(Self {
            endpoint: found,
            region: from(&self.region, &["AWS_REGION", "AWS_DEFAULT_REGION"]),
            access_key_id,
            secret_access_key,
            session_token,
            ca_file: self.ca_file.clone().or_else(|| named(&["AWS_CA_BUNDLE"]).map(PathBuf::from)),
        })
    }
}
