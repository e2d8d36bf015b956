//! Secrets and biometrics in what is kept raw: struck out before it reaches a store.

use memchr::{memchr, memchr2};

/// Keys whose values never leave this driver, in any case of letters.
const SECRET: [&[u8]; 11] = [
    b"passwd",
    b"password",
    b"pwd",
    b"comkey",
    b"pushcommkey",
    b"token",
    b"tmp",
    b"template",
    b"content",
    b"picture",
    b"name",
];

/// A copy of at most `limit` bytes in which the values of secret keys are replaced by `***`.
///
/// Keys are looked for behind TAB, LF, `&` and `,`; a secret value is struck out up to the next TAB or LF, since a
/// password may hold the other two. A body that holds a photo is not kept beyond its first NUL.
pub(crate) fn masked(raw: &[u8], limit: usize) -> Vec<u8> {
    let raw = &raw[..memchr(0, raw).unwrap_or(raw.len())];
    let mut out = Vec::with_capacity(raw.len().min(limit));
    let mut rest = raw;
    while !rest.is_empty() && out.len() < limit {
        let end = rest.iter().position(|byte| matches!(byte, b'\t' | b'\n' | b'&' | b',')).unwrap_or(rest.len());
        match memchr(b'=', &rest[..end]) {
            Some(equals) if is_secret(&rest[..equals]) => {
                out.extend_from_slice(&rest[..=equals]);
                out.extend_from_slice(b"***");
                rest = &rest[memchr2(b'\t', b'\n', rest).unwrap_or(rest.len())..];
            }
            _ => {
                out.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
        }
        if let Some((separator, behind)) = rest.split_first() {
            out.push(*separator);
            rest = behind;
        }
    }
    out.truncate(limit);
    out
}

/// The key is the last word in front of the `=`, since `USER PIN=` and the like have a word before it.
fn is_secret(before: &[u8]) -> bool {
    let word =
        before.rsplit(|byte| byte.is_ascii_whitespace() || matches!(byte, b'~' | b'?')).next().unwrap_or_default();
    SECRET.iter().any(|secret| word.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_secret_is_struck_out_and_the_rest_stays() {
        let raw = b"USER PIN=1\tName=Ann\tPasswd=1234\tCard=5\nuser Password=99,x=1&ComKey=88888888";
        assert_eq!(masked(raw, 4096), b"USER PIN=1\tName=***\tPasswd=***\tCard=5\nuser Password=***");
        assert_eq!(masked(b"a=1,ComKey=12,34\nb=2", 4096), b"a=1,ComKey=***\nb=2");
        assert_eq!(masked(b"5\t2026\xff", 4096), b"5\t2026\xff");
        assert_eq!(masked(b"CMD=uploadphoto\0\xff\xd8\xff", 4096), b"CMD=uploadphoto");
    }

    proptest! {
        #[test]
        fn nothing_longer_than_the_limit_comes_out(raw: Vec<u8>, limit in 0..64_usize) {
            prop_assert!(masked(&raw, limit).len() <= limit);
        }

        #[test]
        fn a_password_never_shows(before in "[a-z=&,\t]{0,20}", secret in "[0-9]{6}", behind in "[a-z=&,\t]{0,20}") {
            let raw = format!("{before}\tPasswd={secret}\t{behind}");
            let shown = String::from_utf8(masked(raw.as_bytes(), 4096)).unwrap();
            prop_assert!(!shown.contains(&secret));
        }
    }
}
