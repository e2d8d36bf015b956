//! What goes wrong on a simulated bus.

use std::{collections::VecDeque, time::Duration};

use crate::frame::{Finder, Found, code, crc};

/// Something that goes wrong with what is said on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An answer is lost.
    Lost,
    /// A bit of an answer is wrong.
    Flipped,
    /// These bytes in front of an answer.
    Before(Vec<u8>),
    /// These bytes in its place.
    Instead(Vec<u8>),
    /// An answer that was recorded before, with its old message authentication, in place of the right one.
    Replayed,
    /// The same with the sequence number that is due, and a checksum that fits.
    Forged,
    /// Somebody in the middle hides that the reader can do a secure channel.
    Downgraded,
    /// The reader at the next address answers.
    Foreign,
    /// It says that it is so long, and its checksum does not stand where that would end.
    Length(u16),
    /// It comes after this time.
    Late(Duration),
}

/// A line and what it does to answers; it remembers some, as whoever listens may.
#[derive(Default)]
pub(super) struct Line {
    /// One answer each.
    pub(super) next: VecDeque<Fault>,
    /// Lasts until it is taken away.
    pub(super) standing: Option<Fault>,
    recorded: VecDeque<Vec<u8>>,
}

impl Line {
    /// What becomes of an answer, and how late.
    pub(super) fn spoil(&mut self, mut answer: Vec<u8>) -> (Duration, Vec<u8>) {
        let fault = self.next.pop_front().or_else(|| self.standing.clone());
        let now = Duration::ZERO;
        let old = self.recorded.front().cloned();
        // A frame that told something is worth more than an acknowledgement.
        if answer.len() > 16 || self.recorded.is_empty() {
            self.recorded.push_back(answer.clone());
        }
        if self.recorded.len() > 4 {
            self.recorded.pop_front();
        }
        let start = answer.iter().position(|byte| *byte == 0x53).unwrap_or(0);
        match fault {
            None => (now, answer),
            Some(Fault::Lost) => (now, Vec::new()),
            Some(Fault::Flipped) => {
                let at = answer.len() / 2;
                answer[at] ^= 0x10;
                (now, answer)
            }
            Some(Fault::Before(bytes)) => (now, [bytes, answer].concat()),
            Some(Fault::Instead(bytes)) => (now, bytes),
            Some(Fault::Replayed) => (now, old.unwrap_or_default()),
            Some(Fault::Forged) => {
                let Some(mut forged) = old else { return (now, Vec::new()) };
                let from = forged.iter().position(|byte| *byte == 0x53).unwrap_or(0);
                if let (Some(due), Some(mine)) = (answer.get(start + 4).copied(), forged.get_mut(from + 4)) {
                    *mine = *mine & !3 | due & 3;
                }
                sign(&mut forged, from);
                (now, forged)
            }
            Some(Fault::Downgraded) => {
                let mut finder = Finder::default();
                finder.feed(&answer);
                if let Some(Found::Frame(frame)) = finder.next_frame()
                    && frame.code == code::PDCAP
                {
                    for at in (start + 6..answer.len().saturating_sub(2)).step_by(3) {
                        if answer[at] == 9 {
                            answer[at + 1] = 0;
                        }
                    }
                    sign(&mut answer, start);
                }
                (now, answer)
            }
            Some(Fault::Foreign) => {
                if let Some(address) = answer.get_mut(start + 1) {
                    *address = address.wrapping_add(1) | 0x80;
                }
                sign(&mut answer, start);
                (now, answer)
            }
            Some(Fault::Length(length)) => {
                if let Some(field) = answer.get_mut(start + 2..start + 4) {
                    field.copy_from_slice(&length.to_le_bytes());
                }
                (now, answer)
            }
            Some(Fault::Late(by)) => (by, answer),
        }
    }
}

/// Gives a changed frame a checksum that fits.
fn sign(frame: &mut [u8], start: usize) {
    if let Some(end) = frame.len().checked_sub(2).filter(|end| *end > start) {
        let sum = crc(&frame[start..end]).to_le_bytes();
        frame[end..].copy_from_slice(&sum);
    }
}
