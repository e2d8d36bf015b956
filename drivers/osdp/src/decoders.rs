//! Every decoder of what readers send, each on bytes of anybody's choice: for fuzzing. What must hold whatever the bytes are
//! is asserted here.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libosdp::{
    Channel, ChannelError, ControlPanelBuilder, OsdpCardFormats, OsdpCommand, OsdpEvent, OsdpStatusReport,
    OsdpStatusReportType, PdInfoBuilder,
};
use tokio::time::Instant;

use crate::{
    card::{Keys, MOST_KEYS, Show, person},
    frame::{Finder, Found, Frame, MOST},
};

/// Bytes of a bus: frames are found or not, wherever reads end, and each reads back.
pub fn frames(bytes: &[u8]) {
    let found = |size: usize| {
        let (mut finder, mut frames) = (Finder::default(), Vec::new());
        for piece in bytes.chunks(size) {
            finder.feed(piece);
            while let Some(found) = finder.next_frame() {
                if let Found::Frame(frame) = found {
                    assert!(frame.data.len() < MOST && finder.raw().len() <= MOST);
                    frames.push(frame);
                }
            }
        }
        frames
    };
    let whole = found(bytes.len().max(1));
    assert_eq!(found(7), whole);
    for frame in whole.into_iter().filter(|frame| frame.security.is_none()) {
        let mut finder = Finder::default();
        finder.feed(&frame.encode());
        assert_eq!(finder.next_frame(), Some(Found::Frame(frame)));
    }
}

/// A format, a number of bits with the low byte first, and a card; and the same as keys.
pub fn card(bytes: &[u8]) {
    let [format, low, high, data @ ..] = bytes else { return };
    let bits = usize::from(u16::from_le_bytes([*low, *high]));
    shown(*format == 1, bits, data);
    let (mut keys, now) = (Keys::default(), Instant::now());
    for number in keys.press(bytes, now) {
        assert!((1..=MOST_KEYS).contains(&number.len()));
    }
}

fn shown(wiegand: bool, bits: usize, data: &[u8]) {
    for show in [Show::Auto, Show::Hex, Show::Number] {
        match person(wiegand, bits, data, show) {
            Ok(person) => assert!(!person.is_empty() && bits <= data.len() * 8),
            Err(why) => assert!(!why.is_empty()),
        }
    }
}

/// A whole session of the library, in plain text, with a reader that answers whatever stands here: for each command a code, a
/// length and so many bytes, in a frame whose address, sequence and checksum are right. Whatever it takes for a card is read.
pub fn session(bytes: &[u8]) {
    converse(bytes);
}

/// Events that came of it.
fn converse(bytes: &[u8]) -> usize {
    let answers = Answers { bytes: bytes.iter().copied().collect(), heard: Finder::default(), said: VecDeque::new() };
    let answers = Arc::new(Mutex::new(answers));
    let info = PdInfoBuilder::new().name("fuzz").and_then(|info| info.address(1)).and_then(|info| info.baud_rate(9600));
    let tap = Tap(answers.clone());
    let panel = ControlPanelBuilder::new().add_channel(Box::new(tap), vec![info.expect("these are settings")]).build();
    let mut panel = panel.expect("the library takes these settings");
    let (told, events) = std::sync::mpsc::channel();
    panel.set_event_callback(move |_, event| {
        // Fails only when this function is left.
        let _ = told.send(event);
        0
    });
    // Some turns beyond its last word.
    let (mut turns, mut left) = (0, 8);
    while turns < 400 && left > 0 {
        turns += 1;
        panel.refresh();
        // It polls only each 50 ms by itself; asked for something it does so at once.
        if panel.is_online(0) {
            let report = OsdpStatusReport { type_: OsdpStatusReportType::Local, nr_entries: 0, report: [0; 64] };
            let _ = panel.send_command(0, OsdpCommand::Status(report));
        }
        left -= i32::from(lock(&answers).bytes.is_empty());
    }
    let _ = (panel.is_online(0), panel.get_pd_id(0));
    drop(panel);
    // The library keeps its channels for ever; what they refer to goes.
    *lock(&answers) = Answers::default();
    let events: Vec<OsdpEvent> = events.try_iter().collect();
    for event in &events {
        match event {
            OsdpEvent::CardRead(read) => shown(read.format == OsdpCardFormats::Wiegand, read.nr_bits, &read.data),
            OsdpEvent::KeyPress(press) => _ = Keys::default().press(&press.data, Instant::now()),
            _ => {}
        }
    }
    events.len()
}

/// What a reader will answer, and has answered.
#[derive(Default)]
struct Answers {
    bytes: VecDeque<u8>,
    heard: Finder,
    said: VecDeque<u8>,
}

impl Answers {
    fn next(&mut self, sequence: u8) -> Option<Vec<u8>> {
        let (code, length) = (self.bytes.pop_front()?, self.bytes.pop_front()?);
        let length = self.bytes.len().min(length.into());
        let data = self.bytes.drain(..length).collect();
        Some(Frame { address: 1, reply: true, sequence, security: None, code, data }.encode())
    }
}

fn lock(answers: &Mutex<Answers>) -> MutexGuard<'_, Answers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Tap(Arc<Mutex<Answers>>);

impl Channel for Tap {
    fn get_id(&self) -> i32 {
        1
    }

    fn read(&mut self, room: &mut [u8]) -> Result<usize, ChannelError> {
        let mut answers = lock(&self.0);
        let count = room.len().min(answers.said.len());
        for (to, from) in room.iter_mut().zip(answers.said.drain(..count)) {
            *to = from;
        }
        if count == 0 { Err(ChannelError::WouldBlock) } else { Ok(count) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, ChannelError> {
        let mut answers = lock(&self.0);
        answers.heard.feed(bytes);
        while let Some(found) = answers.heard.next_frame() {
            if let Found::Frame(asked) = found
                && let Some(answer) = answers.next(asked.sequence)
            {
                answers.said.extend(answer);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ChannelError> {
        lock(&self.0).said.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<(), ChannelError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that never gets beyond the beginning would find nothing.
    #[test]
    fn a_session_gets_as_far_as_a_card() {
        let identity = [&[0x45, 12][..], &[0xbe, 0xba, 0xfe, 1, 1, 0xaf, 0xbe, 0xad, 0xde, 0xad, 0xde, 0xad]].concat();
        let capabilities = [0x46, 6, 4, 1, 0, 9, 0, 0];
        let card = [0x50, 8, 0, 1, 26, 0, 0xbd, 0xd9, 0x37, 0x40];
        assert_eq!(converse(&[&identity[..], &capabilities, &card].concat()), 1);
    }
}
