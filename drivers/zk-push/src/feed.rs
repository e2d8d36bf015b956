//! A body on its way in, handed on in pieces of whole lines, so that memory stays flat whatever its length.

use memchr::{memchr, memrchr};

/// A piece is handed on when so much has come. Ordinary uploads are one piece.
pub(crate) const PIECE: usize = 256 << 10;
/// Of a longer line only the head is handed on, long enough to be told from a record.
pub(crate) const LONGEST_LINE: usize = 64 << 10;

/// Collects bytes, hands out whole lines.
#[derive(Debug)]
pub(crate) struct Feed {
    held: Vec<u8>,
    longest: usize,
    /// Of some line not all was kept.
    cut: bool,
    /// In a line of which enough is kept.
    skipping: bool,
}

impl Feed {
    /// Of lines that are longer than `longest` the end is dropped.
    pub(crate) fn new(longest: usize) -> Self {
        Self { held: Vec::new(), longest, cut: false, skipping: false }
    }

    /// Whether the end of some line was dropped.
    pub(crate) fn cut(&self) -> bool {
        self.cut
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if self.skipping {
            match memchr(b'\n', bytes) {
                Some(end) => bytes = &bytes[end..],
                None => return,
            }
            self.skipping = false;
        }
        self.held.extend_from_slice(bytes);
        let line = memrchr(b'\n', &self.held).map_or(0, |end| end + 1);
        if self.held.len() - line > self.longest {
            self.held.truncate(line + self.longest);
            self.skipping = true;
            self.cut = true;
        }
    }

    /// Bytes in memory.
    pub(crate) fn held(&self) -> usize {
        self.held.capacity()
    }

    /// Whole lines, once there are enough of them.
    pub(crate) fn piece(&mut self) -> Option<Vec<u8>> {
        if self.held.len() < PIECE {
            return None;
        }
        let end = memrchr(b'\n', &self.held)? + 1;
        let rest = self.held.split_off(end);
        Some(std::mem::replace(&mut self.held, rest))
    }

    /// The last piece; its last line may lack its end.
    pub(crate) fn finish(self) -> Vec<u8> {
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
        let mut feed = Feed::new(LONGEST_LINE);
        feed.push(b"first\n");
        for _ in 0..1000 {
            feed.push(&[b'x'; 10_000]);
            assert!(feed.held() <= 4 * PIECE && feed.piece().is_none());
        }
        feed.push(b"xx\nlast");
        assert!(feed.cut());
        let rest = feed.finish();
        let found: Vec<_> = lines(&rest).collect();
        assert_eq!((found.len(), found[0], found[2]), (3, &b"first"[..], &b"last"[..]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn pieces_joined_are_the_body(chunks in prop::collection::vec(0..70_000_usize, 0..20), line in 2..5_000_usize) {
            let body: Vec<u8> = (1..=chunks.iter().sum()).map(|at| if at % line == 0 { b'\n' } else { b'x' }).collect();
            let (mut feed, mut out, mut rest) = (Feed::new(LONGEST_LINE), Vec::new(), &body[..]);
            for length in chunks {
                let (chunk, behind) = rest.split_at(length);
                rest = behind;
                feed.push(chunk);
                if let Some(piece) = feed.piece() {
                    prop_assert!(piece.ends_with(b"\n"));
                    out.extend(piece);
                }
            }
            out.extend(feed.finish());
            prop_assert!(out == body);
        }
    }
}
