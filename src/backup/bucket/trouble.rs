//! What an object store refuses, in words: its codes are known to those who run stores, and not to those who run gateways.

use std::error::Error;

use object_store::Error as StoreError;

use crate::backup::Refused;

/// Why something could not be done there, and the mend.
pub(super) fn told(doing: &str, name: &str, shown: &str, error: &StoreError) -> Refused {
    let (why, mend) = match code(error).as_deref() {
        Some("NoSuchBucket") => ("there is no such bucket", "make the bucket, or mend the target: s3://BUCKET/sz-03"),
        Some("InvalidAccessKeyId") => ("the store does not know this access key", "look at backup.access_key_id"),
        Some("SignatureDoesNotMatch") => {
            ("the secret is not that of the access key", "look at backup.secret_access_key_file")
        }
        Some("RequestTimeTooSkewed" | "RequestExpired") => {
            ("this machine's clock is off", "set the clock: timedatectl status")
        }
        Some("AccessDenied" | "AllAccessDisabled" | "AccountProblem") => {
            ("the access key may not do that", "let it list the bucket, and put, get and delete below this prefix")
        }
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            ("the bucket is in another region", "write that one into backup.region")
        }
        Some("SlowDown" | "ServiceUnavailable" | "InternalError") => {
            ("the store has too much to do", "make the backup again later")
        }
        _ => return other(doing, name, shown, error),
    };
    Refused::new(format!("cannot {doing} {name} at {shown}: {why}"), mend)
}

fn other(doing: &str, name: &str, shown: &str, error: &StoreError) -> Refused {
    let text = last(error);
    let mend = match error {
        _ if text.contains("CaUsedAsEndEntity") => {
            "the store shows the certificate of a CA as its own: let that CA sign one for the store's host name"
        }
        _ if text.contains("certificate") => {
            "look whose certificate the store shows, and at backup.ca_file, which names the one that signed it"
        }
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            "look at the access key, and at what it may do"
        }
        _ if text.contains("a web page") => "write the address of the store's S3 into backup.endpoint, with its port",
        _ if text.contains("redirect") => "look at backup.endpoint and backup.region",
        _ => "look at backup.endpoint, the network and the store's own log",
    };
    Refused::new(format!("cannot {doing} {name} at {shown}: {text}"), mend)
}

/// Whether it is the object that is missing, and not the bucket.
pub(super) fn is_missing(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. }) && code(error).is_none_or(|code| code == "NoSuchKey")
}

/// The store's own word for what went wrong, out of its answer in XML.
fn code(error: &StoreError) -> Option<String> {
    let text = last(error);
    let (_, behind) = text.split_once("<Code>")?;
    behind.split_once("</Code>").map(|(code, _)| code.trim().to_owned())
}

/// The innermost reason: those around it tell of attempts and addresses.
fn last(error: &StoreError) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string().chars().filter(|letter| !letter.is_control()).take(2000).collect()
}
