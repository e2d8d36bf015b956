//! Secrets and biometrics in what is kept raw: struck out before it reaches a store.
//!
//! What is kept raw is what nobody could read, so nobody knows its layout either. Hence rather too much is struck out than
//! too little: what stays is enough to see what kind of thing it was.

use memchr::{memchr2, memmem};

/// A key with one of these in it, in any case of letters, has a value that never leaves this driver.
const SECRET: [&[u8]; 15] = [
    b"pass", b"pwd", b"key", b"token", b"card", b"name", b"tmp", b"templ", b"content", b"pic", b"photo", b"face",
    b"finger", b"phone", b"mail",
];
/// A longer run of what base64 consists of is a template or a picture, whatever its key.
const LONGEST_WORD: usize = 64;
/// What a JPEG begins with.
const PICTURE: &[u8] = b"\xff\xd8\xff";

/// A copy in which the values of secret keys are replaced by `***`.
///
/// A key is the word in front of a `=` or `:`. A secret value is struck out up to the next TAB or LF, since a password may
/// hold everything else. A body that holds a picture is not kept from there on.
pub(crate) fn masked(raw: &[u8]) -> Vec<u8> {
    let mut rest = &raw[..memmem::find(raw, PICTURE).unwrap_or(raw.len())];
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let Some(end) = memchr2(b'=', b':', rest) else {
            without_long_words(rest, &mut out);
            break;
        };
        let (before, behind) = rest.split_at(end + 1);
        without_long_words(before, &mut out);
        rest = behind;
        if is_secret(&before[..end]) {
            out.extend_from_slice(b"***");
            rest = &rest[memchr2(b'\t', b'\n', rest).unwrap_or(rest.len())..];
        }
    }
    out
}

/// The key is the last word: `USER PIN=` and the like have one before it.
fn is_secret(before: &[u8]) -> bool {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'~' | b'.');
    let before = before.trim_ascii_end();
    let before = before.strip_suffix(b"\"").or_else(|| before.strip_suffix(b"'")).unwrap_or(before);
    let word = before.rsplit(|byte| !inside(byte)).next().unwrap_or_default().to_ascii_lowercase();
    SECRET.iter().any(|secret| memmem::find(&word, secret).is_some())
}

fn without_long_words(bytes: &[u8], out: &mut Vec<u8>) {
    let of_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    for run in bytes.chunk_by(|a, b| of_word(a) == of_word(b)) {
        out.extend_from_slice(if run.len() > LONGEST_WORD && of_word(&run[0]) { b"***" } else { run });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_secret_is_struck_out_and_the_rest_stays() {
        let raw = b"USER PIN=1\tName=Ann\tPasswd=1234\tGrp=5\nuser Password=99,x=1&ComKey=88888888";
        assert_eq!(masked(raw), b"USER PIN=1\tName=***\tPasswd=***\tGrp=5\nuser Password=***");
        assert_eq!(masked(b"a=1,ComKey=12,34\nb=2"), b"a=1,ComKey=***\nb=2");
        assert_eq!(masked(b"5\t2026\xff 08:00:00"), b"5\t2026\xff 08:00:00");
        assert_eq!(masked(b"CMD=uploadphoto\0\xff\xd8\xff"), b"CMD=uploadphoto\0");
        assert_eq!(masked(b"x=1 \xff\xd8\xff\xe0JPEG"), b"x=1 ");
        assert_eq!(masked(b"USER PIN=1 Name=Ann Passwd=12 Card=7"), b"USER PIN=1 Name=***");
        assert_eq!(masked(b"{\"pin\":1,\"card_no\" : 7}"), b"{\"pin\":1,\"card_no\" :***");
        assert_eq!(masked(b"time=never\tcardno=77\tevent=3"), b"time=never\tcardno=***\tevent=3");
        let template = "QUJD+/".repeat(20);
        assert_eq!(masked(format!("FP 1 {template}==\t3").as_bytes()), b"FP 1 ***==\t3");
    }

    proptest! {
        #[test]
        fn bytes_without_keys_words_and_pictures_stay_as_they_are(raw in prop::collection::vec(0..b':', 0..64)) {
            prop_assert_eq!(masked(&raw), raw);
        }

        #[test]
        fn a_password_never_shows(before in "[a-z=&,: \t]{0,20}", secret in "[0-9]{6}", behind in "[a-z=&,\t]{0,20}") {
            let raw = format!("{before}\tPasswd={secret}\t{behind}");
            let shown = String::from_utf8(masked(raw.as_bytes())).unwrap();
            prop_assert!(!shown.contains(&secret));
        }
    }
}
