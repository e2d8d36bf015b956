//! A body on its way in, handed on in pieces of whole lines, so that memory stays flat whatever its length.

use memchr::{memchr, memrchr};

/// A piece is handed on when so much has come. Ordinary uploads are one piece.
pub const PIECE: usize = 256 << 10;
/// Of a line without end only the head is kept, long enough to be told from a record.
const LONGEST_LINE: usize = 64 << 10;

/// Collects bytes, hands out whole lines.
#[derive(Debug, Default)]
pub struct Feed {
    held: Vec<u8>,
    /// In a line of which enough is kept.
    skipping: bool,
}

impl Feed {
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.skipping {
            match memchr(b'\n', bytes) {
                Some(end) => bytes = &bytes[end..],
                None => return,
            }
            self.skipping = false;
        }
        self.held.extend_from_slice(bytes);
        let line = memrchr(b'\n', &self.held).map_or(0, |end| end + 1);
        if self.held.len() - line > LONGEST_LINE {
            self.held.truncate(line + LONGEST_LINE);
            self.skipping = true;
        }
    }

    /// Bytes in memory.
    pub fn held(&self) -> usize {
        self.held.capacity()
    }

    /// Whole lines, once there are enough of them.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        if self.held.len() < PIECE {
            return None;
        }
        let end = memrchr(b'\n', &self.held)? + 1;
        let rest = self.held.split_off(end);
        Some(std::mem::replace(&mut self.held, rest))
    }

    /// The last piece; its last line may lack its end.
    pub fn finish(self) -> Vec<u8> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lines::lines;

    #[test]
    fn a_line_without_end_takes_no_memory_and_is_one_line() {
        let mut feed = Feed::default();
        feed.push(b"first\n");
        for _ in 0..1000 {
            feed.push(&[b'x'; 10_000]);
            assert!(feed.held() <= 4 * PIECE && feed.piece().is_none());
        }
        feed.push(b"xx\nlast");
        let rest = feed.finish();
        let found: Vec<_> = lines(&rest).collect();
        assert_eq!((found.len(), found[0], found[2]), (3, &b"first"[..], &b"last"[..]));
    }

    proptest! {
        #[test]
        fn pieces_joined_are_the_body(chunks in prop::collection::vec("[a-z\n]{0,40000}", 0..20)) {
            let mut feed = Feed::default();
            let mut out = Vec::new();
            for chunk in &chunks {
                feed.push(chunk.as_bytes());
                if let Some(piece) = feed.piece() {
                    prop_assert!(piece.ends_with(b"\n"));
                    out.extend(piece);
                }
            }
            out.extend(feed.finish());
            // Lines longer than the limit cannot come out of this: the alphabet has many line ends.
            prop_assert_eq!(out, chunks.concat().into_bytes());
        }
    }
}
