//! Every decoder of what readers send and of what people write, each on bytes of anybody's choice: for fuzzing. What must hold
//! whatever the bytes are is asserted here.

use std::time::Duration;

use driver_api::Problems;
use tokio::time::Instant;

use crate::{
    decode::{Read, Unread, read},
    framing::{Cut, Framer, Framing},
    reader::Reader,
    readers::READERS,
};

/// A line: one of the readers that ship (the first byte), and what comes from it, read in pieces and as a whole.
pub fn frames(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let (name, text) = READERS[usize::from(*which) % READERS.len()];
    let reader = Reader::parse(name, text, &mut Problems::default()).expect("the readers that ship are right");
    let whole = cut(&reader, bytes, bytes.len().max(1));
    assert_eq!(cut(&reader, bytes, 3), whole, "where reads end means nothing");
}

/// What is read out of these bytes when they come in pieces of this size.
fn cut(reader: &Reader, bytes: &[u8], size: usize) -> Vec<Read> {
    let mut framer = Framer::new(reader.framing.clone(), reader.patience);
    let (now, mut reads, mut steps) = (Instant::now(), Vec::new(), 0);
    let mut take = |cut: Cut, framer: &mut Framer| {
        steps += 1;
        assert!(steps <= 4 * bytes.len() + 4, "more comes out than goes in");
        let Cut::Frame(frame) = cut else { return };
        assert!(frame.len() <= most(&reader.framing));
        match read(reader, &frame) {
            Ok(Ok(read)) => {
                assert!(!read.card.is_empty() && read.card.len() <= 8 * most(&reader.framing));
                assert!(read.card.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
                reads.push(read);
            }
            Ok(Err(_)) => {}
            Err(Unread::Checksum(why) | Unread::Content(why)) => {
                assert!(!why.is_empty());
                framer.rejected(&frame);
            }
        }
    };
    for piece in bytes.chunks(size) {
        framer.feed(piece, now);
        while let Some(cut) = framer.next_cut() {
            take(cut, &mut framer);
        }
    }
    while let Some(cut) = framer.expire(now + Duration::from_secs(60)) {
        take(cut, &mut framer);
    }
    reads
}

fn most(framing: &Framing) -> usize {
    match framing {
        Framing::Line { most }
        | Framing::Enclosed { most, .. }
        | Framing::Gap { most, .. }
        | Framing::Prefixed { most, .. } => *most,
        Framing::Fixed { length, .. } => *length,
    }
}

/// The file of a reader: a reader, or problems with their mends; and a reader that is taken can be read with.
pub fn description(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut problems = Problems::default();
    let reader = Reader::parse("mine.toml", &text, &mut problems);
    assert_eq!(reader.is_none(), !problems.errors.is_empty());
    for problem in &problems.errors {
        assert!(!problem.why.is_empty() && !problem.mend.is_empty(), "{problem}");
    }
    if let Some(reader) = reader {
        for line in [&b"0100A1B2C3D1"[..], b"\x0204A1B2C3\x03\r\n", &[0xaa; 40]] {
            cut(&reader, line, 3);
        }
    }
}
