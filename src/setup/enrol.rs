//! An enrolment file: one line that brings a gateway's identity, its broker and its keys, made by whoever runs the broker.
//!
//! `punchgate1:` and then, as base64url without padding, a JSON object: `id`, `tenant`, `broker` (a URL, or a list of them), and where
//! they are needed `zone`, `ca`, `cert`, `key`, `user`, `password`. `ca`, `cert` and `key` are PEM text, or the name of a file that lies
//! beside the enrolment file; `key` may be `credential:NAME`, too, one that systemd keeps for the unit. Nothing else: it comes over mail and memory sticks, so it is read as something that a stranger wrote. It
//! names no path, so that no file of this machine goes anywhere by it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::{Answers, Source, credential_name};

const MARK: &str = "punchgate1:";
/// Three PEM files and some words are well below it.
const LONGEST: usize = 64 * 1024;

/// What stands in the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    pub id: String,
    pub tenant: String,
    pub broker: Brokers,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// One address, or several in the order of fail-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "broker is a URL or a list of URLs")]
pub enum Brokers {
    One(String),
    Several(Vec<String>),
}

/// Why it is no enrolment. Says nothing of what stands in it: it may be a key.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    #[error("it has more than one line")]
    Lines,
    #[error("it does not begin with {MARK}")]
    Foreign,
    #[error("it is of form {0:?}, which this version does not know")]
    Newer(String),
    #[error("it is cut or damaged: behind {MARK} stands no base64url ({0})")]
    Damaged(String),
    #[error("it is cut or damaged: the JSON in it ends too early")]
    Cut,
    #[error("the JSON in it is not an enrolment: {0}")]
    Members(String),
    #[error("{member}: {why}")]
    Member { member: &'static str, why: String },
}

impl EnrolError {
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Read(_) => "name the file with --enrol FILE; it must be a plain file that this user may read",
            Self::Newer(_) => "install a newer punchgate, or ask for the form punchgate1",
            Self::Lines | Self::Foreign | Self::TooLong => {
                "it is one line that begins with punchgate1: - is this the right file?"
            }
            Self::Damaged(_) | Self::Cut => "have it sent again as a file: a mail program or a copy by hand cut it",
            Self::Members(_) | Self::Member { .. } => "tell whoever made it; docs/install.md has its form",
        }
    }
}

impl Enrolment {
    /// Reads one line.
    pub fn parse(text: &str) -> Result<Self, EnrolError> {
        if text.len() > LONGEST {
            return Err(EnrolError::TooLong);
        }
        let line = text.trim_start_matches('\u{feff}').trim();
        let Some(coded) = line.strip_prefix(MARK) else {
            let form = line.split_once(':').map(|(form, _)| form);
            let newer = form.filter(|form| {
                form.strip_prefix("punchgate").is_some_and(|number| {
                    (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
                })
            });
            return Err(newer.map_or(EnrolError::Foreign, |form| EnrolError::Newer(form.into())));
        };
        if coded.contains(['\n', '\r']) {
            return Err(EnrolError::Lines);
        }
        // Some who code it pad it.
        let json = BASE64URL_NOPAD
            .decode(coded.trim_end_matches('=').as_bytes())
            .map_err(|error| EnrolError::Damaged(error.to_string()))?;
        serde_json::from_slice(&json).map_err(|error| match error.is_eof() {
            true => EnrolError::Cut,
            false => EnrolError::Members(error.to_string()),
        })
    }

    /// The line.
    pub fn line(&self) -> String {
        let json = serde_json::to_vec(self).expect("texts are always JSON");
        format!("{MARK}{}\n", BASE64URL_NOPAD.encode(&json))
    }

    /// Reads a file. Files that it names lie beside it.
    pub fn read(path: &Path) -> Result<Answers, EnrolError> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file").into());
        }
        let mut bytes = Vec::new();
        // One more than may be, so that a longer one is seen.
        file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > LONGEST {
            return Err(EnrolError::TooLong);
        }
        let text = String::from_utf8(bytes).map_err(|_| EnrolError::Foreign)?;
        let folder = std::path::absolute(path)?.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
        Self::parse(&text)?.answers(&folder)
    }

    fn answers(self, folder: &Path) -> Result<Answers, EnrolError> {
        let source = |member: &'static str, text: Option<String>| match text {
            None => Ok(None),
            Some(pem) if pem.trim_start().starts_with("-----BEGIN ") => Ok(Some(Source::Given(pem.into_bytes()))),
            Some(name) if is_plain_name(&name) => Ok(Some(Source::File(folder.join(name)))),
            Some(_) => {
                let why = "it is neither PEM nor the plain name of a file beside the enrolment file".into();
                Err(EnrolError::Member { member, why })
            }
        };
        // A key never leaves this machine. What else systemd keeps would go to whichever broker the line names, so it is not asked for.
        let key = match self.key.as_deref().and_then(credential_name) {
            Some(Ok(name)) => Some(Source::Credential(name.to_owned())),
            Some(Err(why)) => return Err(EnrolError::Member { member: "key", why }),
            None => source("key", self.key)?,
        };
        let one_line = |member: &'static str, text: &str| match text.chars().any(char::is_control) {
            true => Err(EnrolError::Member { member, why: "there are control characters in it".into() }),
            false => Ok(()),
        };
        for (member, text) in [("user", &self.user), ("password", &self.password), ("zone", &self.zone)] {
            text.as_deref().map_or(Ok(()), |text| one_line(member, text))?;
        }
        let brokers = match self.broker {
            Brokers::One(url) => vec![url],
            Brokers::Several(urls) => urls,
        };
        if brokers.is_empty() || brokers.len() > 8 {
            return Err(EnrolError::Member { member: "broker", why: "there must be 1 to 8".into() });
        }
        Ok(Answers {
            id: Some(self.id),
            tenant: Some(self.tenant),
            zone: self.zone,
            brokers,
            ca: source("ca", self.ca)?,
            cert: source("cert", self.cert)?,
            key,
            user: self.user,
            password: self.password.map(|password| Source::Given(format!("{password}\n").into_bytes())),
            ..Answers::default()
        })
    }
}

/// A name and no path: no way up, and no hidden file.
fn is_plain_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
