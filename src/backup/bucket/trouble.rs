//! What an object store refuses, in words: its codes are known to those who run stores, and not to those who run gateways.

use std::error::Error;

use hyper::StatusCode;

use super::http::Answer;
use crate::backup::Refused;

/// Why there is not what was asked for.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody is there, or the line broke.
    Line(String),
    /// Something is there, and it is no store.
    Strange(String),
    TooLong,
    /// The store says no, in its words.
    Refusal(StatusCode, String),
}

impl Trouble {
    /// By the innermost reason: those around it tell where it happened.
    pub(super) fn line(error: &(dyn Error + 'static)) -> Self {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self::Line(plain(&cause.to_string()))
    }

    /// Whether the same question may have another answer soon.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Line(_) => true,
            Self::Strange(_) | Self::TooLong => false,
            Self::Refusal(status, _) => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
        }
    }

    /// Whether it is the object that is missing, and not the bucket.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refusal(StatusCode::NOT_FOUND, words) if code(words).is_none_or(|code| code == "NoSuchKey"))
    }

    fn text(&self) -> String {
        match self {
            Self::Line(text) | Self::Strange(text) => text.clone(),
            Self::TooLong => "the answer is longer than it may be".into(),
            Self::Refusal(status, _) if status.is_redirection() => format!("the answer is a redirect: {status}"),
            Self::Refusal(status, words) => format!("the answer is {status}: {words}"),
        }
    }
}

/// An answer that does what was asked for, or the store's refusal.
pub(super) fn judged(answer: Answer) -> Result<Answer, Trouble> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    Err(Trouble::Refusal(answer.status, plain(&String::from_utf8_lossy(&answer.bytes))))
}

const CLOCK: (&str, &str) = ("this machine's clock is off", "set the clock: timedatectl status");

/// Why something could not be done there, and the mend.
pub(super) fn told(doing: &str, name: &str, shown: &str, trouble: &Trouble) -> Refused {
    let words = if let Trouble::Refusal(_, words) = trouble { words } else { "" };
    let (why, mend) = match code(words) {
        Some("NoSuchBucket") => ("there is no such bucket", "make the bucket, or mend the target: s3://BUCKET/sz-03"),
        Some("InvalidAccessKeyId") => ("the store does not know this access key", "look at backup.access_key_id"),
        Some("SignatureDoesNotMatch") => {
            ("the secret is not that of the access key", "look at backup.secret_access_key_file")
        }
        Some("RequestTimeTooSkewed" | "RequestExpired") => CLOCK,
        // What was signed for a while is judged by the store's own clock, and called so.
        Some("AccessDenied")
            if ["has expired", "not yet valid", "not valid yet"].iter().any(|it| words.contains(it)) =>
        {
            CLOCK
        }
        Some("AccessDenied" | "AllAccessDisabled" | "AccountProblem") => {
            ("the access key may not do that", "let it list the bucket, and put, get and delete below this prefix")
        }
        Some("PermanentRedirect" | "TemporaryRedirect") => {
            ("the store answers with a redirect: the bucket is in another region", "write that one into backup.region")
        }
        Some(
            "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" | "IllegalLocationConstraintException",
        ) => ("the bucket is in another region", "write that one into backup.region"),
        Some("SlowDown" | "ServiceUnavailable" | "InternalError") => {
            ("the store has too much to do", "make the backup again later")
        }
        _ => return other(doing, name, shown, trouble),
    };
    Refused::new(format!("cannot {doing} {name} at {shown}: {why}"), mend)
}

fn other(doing: &str, name: &str, shown: &str, trouble: &Trouble) -> Refused {
    let text = trouble.text();
    let mend = match trouble {
        _ if text.contains("CaUsedAsEndEntity") => {
            "the store shows the certificate of a CA as its own: let that CA sign one for the store's host name"
        }
        _ if text.contains("certificate") => {
            "look whose certificate the store shows, and at backup.ca_file, which names the one that signed it"
        }
        Trouble::Refusal(StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, _) => {
            "look at the access key, and at what it may do"
        }
        _ if text.contains("a web page") => "write the address of the store's S3 into backup.endpoint, with its port",
        _ if text.contains("redirect") => "look at backup.endpoint and backup.region",
        _ => "look at backup.endpoint, the network and the store's own log",
    };
    Refused::new(format!("cannot {doing} {name} at {shown}: {text}"), mend)
}

/// The store's own word for what went wrong, out of its answer in XML.
fn code(words: &str) -> Option<&str> {
    let (_, behind) = words.split_once("<Code>")?;
    behind.split_once("</Code>").map(|(code, _)| code.trim())
}

/// Fit for one line of a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(2000).collect()
}
