//! What stands in a simulated terminal's registers.

use std::collections::{BTreeMap, VecDeque};

use jiff::{ToSpan, civil::DateTime};

use crate::value::{Order, TimeForm, time_words};

/// Which of the shipped maps a simulated terminal keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// `event-fifo`.
    Fifo,
    /// `rfideas`.
    RfIdeas,
    /// `inveo-rfid-ind`.
    Inveo,
    /// `duali-qde950`.
    Duali,
    /// `passage-counter`.
    Counter,
}

/// Registers with a product's behaviour behind them.
#[derive(Debug, Clone)]
pub struct Device {
    pub product: Product,
    /// Events that were not acknowledged.
    events: VecDeque<[u16; 8]>,
    pub tail: u16,
    pub overflow: bool,
    /// Places of the event memory.
    pub capacity: usize,
    sequence: u16,
    /// Told to forget them.
    forgotten: usize,
    /// Cards that found the latch taken.
    waiting: VecDeque<u32>,
    card: Option<u32>,
    now: DateTime,
    pub passages: [u32; 2],
    /// Whatever else was written, or is to be read.
    pub registers: BTreeMap<u16, u16>,
    pub coils: BTreeMap<u16, bool>,
    /// Every write: function, address, first value.
    pub writes: Vec<(u8, u16, u16)>,
}

impl Device {
    pub fn new(product: Product) -> Self {
        Self {
            product,
            events: VecDeque::new(),
            tail: 0,
            overflow: false,
            capacity: 256,
            sequence: 0,
            forgotten: 0,
            waiting: VecDeque::new(),
            card: None,
            now: jiff::civil::date(2026, 11, 20).at(8, 0, 0, 0),
            passages: [0; 2],
            registers: BTreeMap::new(),
            coils: BTreeMap::new(),
            writes: Vec::new(),
        }
    }

    /// Somebody shows a card; a second later than whoever was before.
    pub fn punch(&mut self, person: u32) {
        self.now = self.now.checked_add(1.second()).unwrap_or(self.now);
        match self.product {
            Product::Fifo => self.punch_at(person, self.now, 2, self.sequence.wrapping_add(1) % 2),
            Product::RfIdeas => {
                self.sequence = self.sequence.wrapping_add(1);
                self.card = Some(person);
            }
            Product::Duali => self.card = Some(person),
            Product::Inveo if self.card.is_none() => self.card = Some(person),
            // People wait at the reader until it beeps.
            Product::Inveo => self.waiting.push_back(person),
            Product::Counter => {
                let way = (person % 2) as usize;
                self.passages[way] = self.passages[way].wrapping_add(1);
            }
        }
    }

    /// Into an event memory: somebody at this time, with codes of one's own.
    pub fn punch_at(&mut self, person: u32, local: DateTime, verify: u16, direction: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let [high, low] = [(person >> 16) as u16, person as u16];
        let time = time_words(TimeForm::Unix, Order::Abcd, local).unwrap_or_else(|_| vec![0, 0]);
        self.append([self.sequence, high, low, time[0], time[1], 1, direction, verify]);
    }

    /// An event as it stands in a capture.
    pub fn append(&mut self, event: [u16; 8]) {
        if self.events.len() >= self.capacity {
            self.events.pop_front();
            self.tail = self.tail.wrapping_add(1);
            self.overflow = true;
        }
        self.events.push_back(event);
    }

    /// The numbers of its events go on behind this one.
    pub fn count_from(&mut self, sequence: u16) {
        self.sequence = sequence;
    }

    /// The power fails and comes back: what waited is gone, and it counts from the beginning.
    pub fn reboot(&mut self) {
        self.events.clear();
        (self.tail, self.sequence, self.overflow) = (0, 0, false);
    }

    pub fn forgotten(&self) -> usize {
        self.forgotten
    }

    pub fn waiting(&self) -> usize {
        self.events.len() + self.waiting.len() + usize::from(self.card.is_some())
    }

    /// A register, or none at this address.
    pub(super) fn word(&self, fc: u8, addr: u16) -> Option<u16> {
        if let Some(word) = self.registers.get(&addr) {
            return Some(*word);
        }
        let card = self.card.unwrap_or(0);
        let halves = [(card >> 16) as u16, card as u16];
        match (self.product, fc, addr) {
            (Product::Fifo, 3, 0x100) => Some(self.tail.wrapping_add(self.events.len() as u16)),
            (Product::Fifo, 3, 0x101) => Some(self.tail),
            (Product::Fifo, 3, 0x102) => Some(self.overflow.into()),
            (Product::Fifo, 3, 0x103) => Some(1),
            (Product::Fifo, 3, 0x200..0x250) => {
                let at = usize::from(addr - 0x200);
                Some(self.events.get(at / 8).map_or(0, |event| event[at % 8]))
            }
            (Product::RfIdeas, 4, 0) => Some(self.sequence),
            (Product::RfIdeas, 4, 1) => Some(1),
            (Product::RfIdeas, 4, 2) => Some(if self.card.is_some() { 32 } else { 0 }),
            (Product::RfIdeas, 4, 3..=16) => Some(0),
            (Product::RfIdeas, 4, 17 | 18) => Some(halves[usize::from(addr - 17)]),
            (Product::Inveo, 3, 1000..=1002) => Some(0),
            (Product::Inveo, 3, 1003 | 1004) => Some(halves[usize::from(addr - 1003)]),
            (Product::Duali, 4, 0x17) => Some(if self.card.is_some() { 8 } else { 0 }),
            (Product::Duali, 4, 0x18..0x28) => {
                let text = self.card.map_or(String::new(), |card| format!("{card:08}"));
                let letter = |at: u16| text.as_bytes().get(usize::from(at)).copied().unwrap_or(0);
                Some(u16::from_be_bytes([letter(2 * (addr - 0x18)), letter(2 * (addr - 0x18) + 1)]))
            }
            (Product::Counter, 4, 0..4) => {
                let number = self.passages[usize::from(addr / 2)];
                Some(if addr.is_multiple_of(2) { (number >> 16) as u16 } else { number as u16 })
            }
            _ => None,
        }
    }

    pub(super) fn bit(&self, addr: u16) -> Option<bool> {
        match (self.product, addr) {
            (Product::Inveo, 1004) => Some(self.card.is_some()),
            (Product::Inveo | Product::Fifo, _) => Some(self.coils.get(&addr).copied().unwrap_or(false)),
            _ => None,
        }
    }

    /// Writes; false where nothing can be written.
    pub(super) fn write(&mut self, fc: u8, addr: u16, words: &[u16]) -> bool {
        let first = words.first().copied().unwrap_or(0);
        self.writes.push((fc, addr, first));
        match (self.product, fc, addr) {
            (Product::Fifo, 6 | 16, 0x110) => {
                let count = usize::from(first.wrapping_sub(self.tail));
                // A tail that is not ahead of ours, or beyond what there is, is nobody's.
                if count > self.events.len() {
                    return false;
                }
                self.events.drain(..count);
                self.tail = first;
                self.forgotten += count;
                self.overflow = false;
                true
            }
            (Product::Inveo, 5, 1004) if first == 0 => {
                self.forgotten += usize::from(self.card.is_some());
                self.card = self.waiting.pop_front();
                true
            }
            (Product::Inveo | Product::Fifo, 5, _) => {
                self.coils.insert(addr, first != 0);
                true
            }
            (Product::Fifo, 16, 0x120) => true,
            _ => false,
        }
    }
}
