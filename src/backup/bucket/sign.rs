//! Amazon's signature, version 4, in the headers of a request. The store computes the same from what reached it.

use std::fmt::Write;

use data_encoding::HEXLOWER;
use driver_api::Secret;
use hmac::{Hmac, Mac};
use hyper::Method;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use url::{Position, Url};

/// A key, and where it is valid.
pub(super) struct Signer {
    pub(super) region: String,
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
}

pub(super) type Headers = Vec<(&'static str, String)>;

impl Signer {
    /// All headers of a request, in order. `url` is written as it is signed: see [`encoded`].
    pub(super) fn headers(
        &self,
        method: &Method,
        url: &Url,
        more: &[(&'static str, String)],
        body: &[u8],
        now: Timestamp,
    ) -> Headers {
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let hash = HEXLOWER.encode(&Sha256::digest(body));
        let mut headers = more.to_vec();
        headers.push(("host", url[Position::BeforeHost..Position::AfterPort].to_owned()));
        headers.push(("x-amz-content-sha256", hash.clone()));
        headers.push(("x-amz-date", time.clone()));
        headers.extend(self.token.iter().map(|token| ("x-amz-security-token", token.reveal().to_owned())));
        headers.sort();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        let asked = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{hash}");
        let asked = HEXLOWER.encode(&Sha256::digest(asked));
        let (day, region) = (&time[..8], &self.region);
        let scope = format!("{day}/{region}/s3/aws4_request");
        let first = format!("AWS4{}", self.secret.reveal()).into_bytes();
        let key = [day, region, "s3", "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
        let signature = HEXLOWER.encode(&mac(&key, &format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{asked}")));
        let id = &self.id;
        let told = format!("AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={names},Signature={signature}");
        headers.push(("authorization", told));
        headers
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// As it stands in an address: the only way that is signed. `kept` stays as it is, beside what always does.
pub(super) fn encoded(text: &str, kept: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || kept.contains(&byte) => {
                out.push(byte.into())
            }
            _ => write!(out, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Amazon's own examples, from the documentation of the signature.
    #[test]
    fn signatures_are_those_of_the_documentation() {
        let signer = Signer {
            region: "us-east-1".into(),
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            token: None,
        };
        let now = "2013-05-24T00:00:00Z".parse().unwrap();
        for (method, asked, more, body, signature) in [
            (
                Method::GET,
                "test.txt",
                vec![("range", "bytes=0-9")],
                "",
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                Method::PUT,
                "test%24file.text",
                vec![("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
                "Welcome to Amazon S3.",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                Method::GET,
                "?max-keys=2&prefix=J",
                vec![],
                "",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let url = Url::parse(&format!("https://examplebucket.s3.amazonaws.com/{asked}")).unwrap();
            let more: Headers = more.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
            let headers = signer.headers(&method, &url, &more, body.as_bytes(), now);
            assert!(headers.last().unwrap().1.ends_with(signature), "{asked}: {headers:?}");
        }
        assert_eq!(encoded("a b/中$~", b"/"), "a%20b/%E4%B8%AD%24~");
        assert_eq!(encoded("a/+=", b""), "a%2F%2B%3D");
    }
}
