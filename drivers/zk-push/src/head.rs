//! Heads of requests as bytes: where they end, what body follows, and a target that any parser takes.

use memchr::{memchr, memmem, memrchr};

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    /// Chunked, or wrong: for the library to judge.
    Other,
    /// A length and chunks at once: two readers may see two different requests. Never served.
    Both,
}

/// What came behind a body, as far as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Line ends that nobody counted, and nothing else.
    Nothing,
    /// Something that must not be read as a request: its sender and we may not agree where the body ends.
    Surplus {
        /// The last line of the body goes on there.
        cut: bool,
    },
}

/// Judges what came behind a body.
pub(crate) fn behind(bytes: &[u8]) -> Behind {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let next = &bytes[blank..];
    // Of a next request a packet may hold no more than the first letters. No record begins like that.
    let request =
        [&b"GET /"[..], b"POST /"].into_iter().any(|start| next.starts_with(start) || start.starts_with(next));
    if next.is_empty() { Behind::Nothing } else { Behind::Surplus { cut: blank == 0 && !request } }
}

/// Where a head ends, once it is whole. Line ends may be LF alone.
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    let crlf = memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
    let lf = memmem::find(bytes, b"\n\n").map(|at| at + 2);
    match (crlf, lf) {
        (Some(crlf), Some(lf)) => Some(crlf.min(lf)),
        (found, other) => found.or(other),
    }
}

/// The length of the body by the head's fields.
pub(crate) fn framing(head: &[u8]) -> Framing {
    let (mut length, mut chunked, mut wrong) = (None, false, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
            match (number, length) {
                (Some(number), None) => length = Some(number),
                (Some(number), Some(before)) if number == before => {}
                _ => wrong = true,
            }
        }
    }
    match length {
        _ if wrong => Framing::Other,
        Some(_) if chunked => Framing::Both,
        _ if chunked => Framing::Other,
        length => Framing::Length(length.unwrap_or(0)),
    }
}

/// The head with every byte of its target percent-encoded that a parser might refuse. Most need nothing.
pub(crate) fn mended(head: Vec<u8>) -> Vec<u8> {
    let end = memchr(b'\n', &head).unwrap_or(head.len());
    let line = head[..end].strip_suffix(b"\r").unwrap_or(&head[..end]);
    let (Some(first), Some(last)) = (memchr(b' ', line), memrchr(b' ', line)) else { return head };
    if first == last || !line[last + 1..].starts_with(b"HTTP/") {
        return head;
    }
    let target = &line[first + 1..last];
    if target.iter().all(|byte| fine(*byte)) {
        return head;
    }
    let mut out = Vec::with_capacity(head.len() + 64);
    out.extend_from_slice(&head[..=first]);
    for byte in target {
        if fine(*byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out.extend_from_slice(&head[last..]);
    out
}

fn fine(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn raw_spaces_in_a_target_are_encoded_and_the_rest_stays() {
        let head = b"GET /iclock/getrequest?SN=K&INFO=Ver 6.8.0(build640), 2 HTTP/1.1\r\nHost: a b\r\n\r\n".to_vec();
        let wanted = b"GET /iclock/getrequest?SN=K&INFO=Ver%206.8.0(build640),%202 HTTP/1.1\r\nHost: a b\r\n\r\n";
        assert_eq!(mended(head), wanted);
        for same in ["GET /x HTTP/1.1\r\n\r\n", "GARBAGE\n\n", "GET  x\n\n", "\n\n"] {
            assert_eq!(mended(same.into()), same.as_bytes());
        }
    }

    #[test]
    fn the_body_is_as_long_as_the_head_says() {
        let framing = |fields: &str| framing(format!("POST /x HTTP/1.1\r\n{fields}\r\n").as_bytes());
        assert_eq!(framing(""), Framing::Length(0));
        assert_eq!(framing("Content-length:  12 \r\n"), Framing::Length(12));
        assert_eq!(framing("Content-Length: 12\r\nContent-Length: 12\r\n"), Framing::Length(12));
        for odd in [
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(framing(odd), Framing::Other, "{odd}");
        }
        for both in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        ] {
            assert_eq!(framing(both), Framing::Both, "{both}");
        }
    }

    #[test]
    fn line_ends_and_requests_behind_a_body_cut_no_line() {
        for blank in ["", "\r\n", "\n\n"] {
            assert_eq!(behind(blank.as_bytes()), Behind::Nothing, "{blank:?}");
        }
        for request in ["GET /iclock/ping", "\r\nPOST /iclock/cdata", "PO", "GET "] {
            assert_eq!(behind(request.as_bytes()), Behind::Surplus { cut: false }, "{request:?}");
        }
        for (surplus, cut) in
            [("\t0\t1\n", true), ("5 10:00:00", true), ("POSTBOX\t", true), ("\n2\t2026", false), ("\r\nGET x", false)]
        {
            assert_eq!(behind(surplus.as_bytes()), Behind::Surplus { cut }, "{surplus:?}");
        }
    }

    #[test]
    fn a_head_ends_at_its_empty_line() {
        assert_eq!(end(b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\n\n"), Some(24));
        assert_eq!(end(b"GET / HTTP/1.1\nA: b\n\nbody\r\n\r\n"), Some(21));
        assert_eq!(end(b"GET / HTTP/1.1\r\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_is_mended_needs_no_mending(head: Vec<u8>) {
            end(&head);
            framing(&head);
            behind(&head);
            let once = mended(head);
            prop_assert_eq!(mended(once.clone()), once);
        }
    }
}
