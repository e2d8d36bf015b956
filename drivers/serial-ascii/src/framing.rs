//! Where a frame begins and ends in a stream of bytes.
//!
//! Nothing here trusts the line: a frame over its limit is dropped up to the next beginning, half a frame is dropped after a
//! while, NUL and 0xFF before a frame are what breaks and idle lines look like.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How a reader's frames begin and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// Until CR, LF or both.
    Line { most: usize },
    /// Between two bytes. A byte behind `escape` is content, whatever it is.
    Enclosed { start: u8, end: u8, escape: Option<u8>, most: usize },
    /// So many bytes in all, beginning with `sync`.
    Fixed { sync: Vec<u8>, length: usize },
    /// Until the line is silent for so long.
    Gap { gap: Duration, most: usize },
    /// `sync`, and a length at byte `at` of the frame, of one byte or two (`wide`, high byte first); the whole frame is `more`
    /// longer than it says.
    Prefixed { sync: Vec<u8>, at: usize, wide: bool, more: usize, most: usize },
}

/// What came out of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// A frame; what encloses it is left out, a `sync` is not.
    Frame(Vec<u8>),
    /// Something that can be no frame: why, and how many bytes.
    Dropped(&'static str, usize),
}

/// Cuts a stream into frames.
#[derive(Debug)]
pub struct Framer {
    framing: Framing,
    /// Half a frame is dropped when nothing follows for so long.
    patience: Duration,
    pending: VecDeque<u8>,
    frame: Vec<u8>,
    state: State,
    last: Option<Instant>,
    /// Bytes outside of frames, not told yet.
    noise: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    Inside,
    Escaped,
    /// In a frame that is too long, up to its end.
    Skipping,
}

/// What a line looks like that is idle, broken or at rest: not worth a word.
fn is_silence(byte: u8) -> bool {
    matches!(byte, 0 | 0xff)
}

impl Framer {
    pub fn new(framing: Framing, patience: Duration) -> Self {
        let (pending, frame) = (VecDeque::new(), Vec::new());
        Self { framing, patience, pending, frame, state: State::Outside, last: None, noise: 0 }
    }

    /// Takes bytes as they came.
    pub fn feed(&mut self, bytes: &[u8], now: Instant) {
        self.pending.extend(bytes);
        if !bytes.is_empty() {
            self.last = Some(now);
        }
    }

    /// A frame turned out to be none. Where frames have no beginning of their own, one may begin inside of it.
    pub fn rejected(&mut self, frame: &[u8]) {
        if matches!(self.framing, Framing::Fixed { .. } | Framing::Prefixed { .. }) {
            for byte in frame.iter().skip(1).rev() {
                self.pending.push_front(*byte);
            }
        }
    }

    /// The next frame, or something dropped. `None`: more bytes are needed, or [`Framer::expire`].
    pub fn next_cut(&mut self) -> Option<Cut> {
        while let Some(byte) = self.pending.pop_front() {
            let cut = match self.framing {
                Framing::Line { most } => self.line(byte, most),
                Framing::Enclosed { start, end, escape, most } => self.enclosed(byte, start, end, escape, most),
                Framing::Gap { most, .. } => self.gap(byte, most),
                Framing::Fixed { .. } | Framing::Prefixed { .. } => self.counted(byte),
            };
            if cut.is_some() {
                return cut;
            }
        }
        // Noise is told in one piece, not byte by byte.
        let noise = std::mem::take(&mut self.noise);
        (noise > 0).then_some(Cut::Dropped("bytes outside of frames", noise))
    }

    /// When [`Framer::expire`] is worth a call, if nothing comes before.
    pub fn deadline(&self) -> Option<Instant> {
        let after = match self.framing {
            Framing::Gap { gap, .. } => gap,
            _ => self.patience,
        };
        (self.state != State::Outside || !self.frame.is_empty()).then_some(self.last? + after)
    }

    /// The line was silent: ends what was begun.
    pub fn expire(&mut self, now: Instant) -> Option<Cut> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        let skipping = self.state == State::Skipping;
        self.state = State::Outside;
        let frame = std::mem::take(&mut self.frame);
        match self.framing {
            _ if skipping => None, // told when it grew too long
            Framing::Gap { .. } => Some(Cut::Frame(frame)),
            _ => Some(Cut::Dropped("half a frame", frame.len())),
        }
    }

    fn overlong(&mut self) -> Option<Cut> {
        self.state = State::Skipping;
        Some(Cut::Dropped("a frame over its limit", std::mem::take(&mut self.frame).len()))
    }

    fn line(&mut self, byte: u8, most: usize) -> Option<Cut> {
        if matches!(byte, b'\r' | b'\n') {
            let skipping = std::mem::replace(&mut self.state, State::Outside) == State::Skipping;
            let frame = std::mem::take(&mut self.frame);
            return (!skipping && !frame.is_empty()).then_some(Cut::Frame(frame));
        }
        if self.state == State::Skipping || (self.frame.is_empty() && is_silence(byte)) {
            return None;
        }
        self.state = State::Inside;
        self.frame.push(byte);
        if self.frame.len() > most { self.overlong() } else { None }
    }

    fn enclosed(&mut self, byte: u8, start: u8, end: u8, escape: Option<u8>, most: usize) -> Option<Cut> {
        match self.state {
            State::Outside | State::Skipping if byte == start => {
                self.state = State::Inside;
                self.frame.clear();
            }
            State::Outside => self.noise += usize::from(!is_silence(byte) && !matches!(byte, b'\r' | b'\n')),
            State::Skipping if byte == end => self.state = State::Outside,
            State::Skipping => {}
            State::Inside if Some(byte) == escape => self.state = State::Escaped,
            State::Inside if byte == end => {
                self.state = State::Outside;
                let mut frame = std::mem::take(&mut self.frame);
                // The ID-12 family ends its content with a line end of its own.
                while matches!(frame.last(), Some(b'\r' | b'\n')) {
                    frame.pop();
                }
                return Some(Cut::Frame(frame));
            }
            State::Inside if byte == start => {
                return Some(Cut::Dropped("a frame without an end", std::mem::take(&mut self.frame).len()));
            }
            State::Inside | State::Escaped => {
                self.state = State::Inside;
                self.frame.push(byte);
                if self.frame.len() > most {
                    return self.overlong();
                }
            }
        }
        None
    }

    fn gap(&mut self, byte: u8, most: usize) -> Option<Cut> {
        if self.state == State::Skipping || (self.frame.is_empty() && is_silence(byte)) {
            return None;
        }
        self.state = State::Inside;
        self.frame.push(byte);
        if self.frame.len() > most { self.overlong() } else { None }
    }

    fn counted(&mut self, byte: u8) -> Option<Cut> {
        let (Framing::Fixed { sync, .. } | Framing::Prefixed { sync, .. }) = &self.framing else { return None };
        if sync.is_empty() && self.frame.is_empty() && is_silence(byte) {
            return None;
        }
        self.frame.push(byte);
        // Not the beginning of one: look for it one byte further.
        while !self.frame.is_empty() && !self.frame.iter().zip(sync).all(|(byte, wanted)| byte == wanted) {
            self.noise += usize::from(!is_silence(self.frame[0]));
            self.frame.remove(0);
        }
        let length = match &self.framing {
            Framing::Fixed { length, .. } => Some(*length),
            Framing::Prefixed { at, wide, more, most, .. } => {
                let said = match (self.frame.get(*at), self.frame.get(at + 1)) {
                    (Some(high), Some(low)) if *wide => Some(usize::from(*high) << 8 | usize::from(*low)),
                    (Some(short), _) if !*wide => Some(usize::from(*short)),
                    _ => None,
                };
                let length = said.map(|said| said + more);
                // A length that cannot be is no length, and this is no beginning.
                let least = at + if *wide { 2 } else { 1 };
                if length.is_some_and(|length| length > *most || length < least.max(sync.len())) {
                    let frame = std::mem::take(&mut self.frame);
                    self.rejected(&frame);
                    return Some(Cut::Dropped("a frame with a length that cannot be", 1));
                }
                length
            }
            _ => None,
        };
        (length == Some(self.frame.len())).then(|| Cut::Frame(std::mem::take(&mut self.frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(500);

    /// All that comes out of these bytes, and half a second later.
    fn cuts(framing: Framing, bytes: &[u8]) -> Vec<Cut> {
        let mut framer = Framer::new(framing, PATIENCE);
        let now = Instant::now();
        // In pieces of each size: where a read ends means nothing.
        let mut all = Vec::new();
        framer.feed(bytes, now);
        while let Some(cut) = framer.next_cut() {
            all.push(cut);
        }
        all.extend(framer.expire(now + PATIENCE));
        for size in 1..4 {
            let mut framer = Framer::new(framer.framing.clone(), PATIENCE);
            let mut frames = Vec::new();
            for piece in bytes.chunks(size) {
                framer.feed(piece, now);
                while let Some(cut) = framer.next_cut() {
                    frames.push(cut);
                }
            }
            frames.extend(framer.expire(now + PATIENCE));
            let only =
                |cuts: &[Cut]| cuts.iter().filter(|cut| matches!(cut, Cut::Frame(_))).cloned().collect::<Vec<_>>();
            assert_eq!(only(&frames), only(&all), "in pieces of {size}");
        }
        all
    }

    fn frame(text: &str) -> Cut {
        Cut::Frame(text.as_bytes().to_vec())
    }

    #[test]
    fn a_line_ends_with_either_or_both() {
        let line = Framing::Line { most: 12 };
        assert_eq!(cuts(line.clone(), b"one\r\ntwo\rthree\n\r\n\n"), [frame("one"), frame("two"), frame("three")]);
        assert_eq!(cuts(line.clone(), b"\0\xff\xff\0one\n"), [frame("one")]);
        assert_eq!(
            cuts(line.clone(), b"much too long for it\rtwo\r"),
            [Cut::Dropped("a frame over its limit", 13), frame("two")]
        );
        assert_eq!(cuts(line, b"one\rha"), [frame("one"), Cut::Dropped("half a frame", 2)]);
    }

    #[test]
    fn a_frame_stands_between_two_bytes() {
        let enclosed = Framing::Enclosed { start: 2, end: 3, escape: None, most: 14 };
        assert_eq!(cuts(enclosed.clone(), b"\x02one\x03\x02two\r\n\x03"), [frame("one"), frame("two")]);
        let noisy = cuts(enclosed.clone(), b"xx\x02on\x02one\x03yy");
        let noise = Cut::Dropped("bytes outside of frames", 4);
        assert_eq!(noisy, [Cut::Dropped("a frame without an end", 2), frame("one"), noise]);
        let long = [b"\x02".as_slice(), &[b'x'; 40], b"\x02one\x03"].concat();
        assert_eq!(cuts(enclosed, &long), [Cut::Dropped("a frame over its limit", 15), frame("one")]);
    }

    #[test]
    fn an_escaped_byte_is_content() {
        let enclosed = Framing::Enclosed { start: 2, end: 3, escape: Some(0x10), most: 14 };
        assert_eq!(cuts(enclosed, b"\x02a\x10\x03\x10\x10\x10\x02b\x03"), [frame("a\x03\x10\x02b")]);
    }

    #[test]
    fn a_fixed_frame_is_found_by_its_beginning() {
        let fixed = Framing::Fixed { sync: vec![0xaa, 0x55], length: 4 };
        assert_eq!(
            cuts(fixed, b"\xaa\xaa\x55ab\x01\xaa\x55cd"),
            [
                Cut::Frame(b"\xaa\x55ab".to_vec()),
                Cut::Frame(b"\xaa\x55cd".to_vec()),
                Cut::Dropped("bytes outside of frames", 2)
            ]
        );
    }

    #[test]
    fn a_frame_that_was_none_is_searched_for_another() {
        let mut framer = Framer::new(Framing::Fixed { sync: vec![0xaa], length: 3 }, PATIENCE);
        framer.feed(&[0xaa, 1, 0xaa, 2, 3], Instant::now());
        let Some(Cut::Frame(wrong)) = framer.next_cut() else { panic!() };
        assert_eq!(wrong, [0xaa, 1, 0xaa]);
        framer.rejected(&wrong);
        assert_eq!(framer.next_cut(), Some(Cut::Frame(vec![0xaa, 2, 3])));
    }

    #[test]
    fn a_length_is_believed_within_limits() {
        let prefixed = Framing::Prefixed { sync: vec![0x02], at: 1, wide: false, more: 2, most: 8 };
        let cuts = cuts(prefixed, b"\x02\x03abc\x02\xff\x02\x00\x02\x01x");
        let frames: Vec<_> = cuts.iter().filter(|cut| matches!(cut, Cut::Frame(_))).collect();
        assert_eq!(
            frames,
            [&Cut::Frame(b"\x02\x03abc".to_vec()), &Cut::Frame(vec![2, 0]), &Cut::Frame(b"\x02\x01x".to_vec())]
        );
    }

    #[test]
    fn a_gap_ends_a_frame() {
        let now = Instant::now();
        let gap = Duration::from_millis(20);
        let mut framer = Framer::new(Framing::Gap { gap, most: 8 }, PATIENCE);
        framer.feed(b"abc", now);
        assert_eq!(framer.next_cut(), None);
        assert_eq!(framer.expire(now + gap / 2), None);
        assert_eq!(framer.expire(now + gap), Some(frame("abc")));
        framer.feed(b"0123456789", now);
        assert_eq!(framer.next_cut(), Some(Cut::Dropped("a frame over its limit", 9)));
        assert_eq!((framer.next_cut(), framer.expire(now + gap)), (None, None));
        framer.feed(b"x", now);
        assert_eq!((framer.next_cut(), framer.expire(now + gap)), (None, Some(frame("x"))));
    }
}
