//! Everything here that reads a terminal's bytes, in one call: for fuzzers, which see no private parts.

use crate::{attlog, head, lines, operlog, options, rtlog, tabledata, target};

/// Reads these bytes as a head, as a target, and as every kind of body.
pub fn all(bytes: &[u8]) {
    if let Some(end) = head::end(bytes) {
        assert!(end <= bytes.len(), "a head ends within what was read");
        let _ = head::framing(&bytes[..end]);
        let _ = head::mended(bytes[..end].to_vec());
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = (target::endpoint(&text), options::info(&text), options::version(&text));
    let _ = options::about(bytes, encoding_rs::GB18030);
    for line in lines::lines(bytes) {
        let _ = (attlog::entry(line), rtlog::event(line).verdict(), tabledata::user(line));
        let _ = operlog::line(line);
        let _ = tabledata::without_table(line, "user");
        lines::fields(line).for_each(|field| _ = (lines::number(field), attlog::checked_pin(field)));
        lines::pairs(line, b'\t').for_each(drop);
    }
}
