//! A terminal that keeps its events until it is told how far we came.

use driver_api::{Origin, Report, Trouble};
use jiff::Timestamp;
use tracing::info;

use super::{LookFailed, Next, Unit};
use crate::{
    bus::Bus,
    cursor::went,
    map::{AckMode, Block, Fifo, MOST_READ, Record, Waiting},
};

impl Unit {
    /// Status, records, **store**, acknowledge. Whatever is cut between two of these is begun again with the status: what
    /// was stored already is known by its number and time.
    pub(super) async fn look_at_fifo(
        &mut self,
        bus: &mut Bus,
        fifo: &Fifo,
        record: &Record,
    ) -> Result<Next, LookFailed> {
        let status = bus.registers(self.number, self.limit, fifo.status).await?;
        let word = |at: usize| status.get(at).copied().unwrap_or(0);
        let (waiting, tail) = match fifo.waiting {
            Waiting::Indices { head, tail } => (word(head).wrapping_sub(word(tail)), Some(word(tail))),
            Waiting::Count { count } => (word(count), None),
        };
        if let (Some(expected), Some(tail)) = (self.expected_tail.take(), tail)
            && expected != tail
        {
            let why = format!("it was told to go on at {expected}, and stands at {tail}");
            self.terminal.report(Report::FailedRead { why });
        }
        let overflowed = fifo.overflow.is_some_and(|at| word(at) != 0);
        // A flag that stays up is a loss that goes on.
        if overflowed && self.cursor.told.as_ref().is_none_or(|told| told.is_old(Timestamp::now())) {
            self.hold_loss("it says that its memory was full and that it dropped events".into());
            self.save().await?;
        }
        if waiting > fifo.capacity {
            // Nothing is acknowledged that was not read, and nothing can be read that makes sense.
            let why = format!(
                "it says that {waiting} events wait, and has room for {}: restart it, or correct the map",
                fifo.capacity
            );
            self.terminal.report(Report::FailedRead { why: why.clone() });
            self.unreadable = true;
            self.terminal.trouble(Trouble::LogUnreadable, why);
            return Ok(Next::InTurn);
        }
        self.terminal_reads(fifo.capacity, waiting);
        if waiting == 0 {
            self.caught_up = true;
            return Ok(Next::InTurn);
        }
        let count = waiting.min(fifo.records).min(u16::from(u8::MAX));
        let events = self.window(bus, fifo, tail.unwrap_or(0), count).await?;
        let origin = if self.caught_up { Origin::Live } else { Origin::Backfill };
        let (numbers, known) = self.store(record, &events, origin).await?;
        let moved = self.cursor.tail.zip(tail).map(|(before, now)| u64::from(now.wrapping_sub(before)));
        self.note_numbers(&numbers[known..], Self::sequence_bits(record), moved, fifo.capacity.into());
        self.save().await?;

        let ack = match fifo.ack_mode {
            AckMode::Tail => Some(tail.unwrap_or(0).wrapping_add(count)),
            AckMode::Count => Some(count),
            // Only what has a readable number can be named; the rest stays until somebody looks at it.
            AckMode::Sequence => numbers.last().map(|number| *number as u16),
        };
        let Some(ack) = ack else { return Ok(Next::InTurn) };
        bus.write(self.number, self.limit, fifo.ack, &[ack]).await?;
        self.expected_tail = tail.map(|tail| tail.wrapping_add(count));
        self.cursor.tail = self.expected_tail;
        self.save().await?;
        if waiting <= count {
            self.caught_up = true;
        }
        self.given.clear();
        Ok(if waiting > count { Next::Soon } else { Next::InTurn })
    }

    /// The oldest `count` records.
    async fn window(&mut self, bus: &mut Bus, fifo: &Fifo, tail: u16, count: u16) -> Result<Vec<Vec<u16>>, LookFailed> {
        let size = fifo.record_words;
        let mut events = Vec::with_capacity(count.into());
        while events.len() < usize::from(count) {
            let done = events.len() as u16;
            let place = if fifo.ring { tail.wrapping_add(done) % fifo.records } else { done };
            // Whole records, up to the end of the ring, and no more than one read may carry.
            let now = (count - done).min(fifo.records - place).min(MOST_READ / size);
            let addr = fifo.window.addr + place * size;
            let words =
                bus.registers(self.number, self.limit, Block { fc: fifo.window.fc, addr, words: now * size }).await?;
            events.extend(words.chunks(size.into()).map(<[u16]>::to_vec));
        }
        Ok(events)
    }

    /// Numbers of new events follow each other: those that are missing are gone. Unless they began anew: then they go back, or
    /// far ahead, where the tail neither stayed nor went on by as many. `moved`: how far it is from where we left it.
    fn note_numbers(&mut self, numbers: &[u64], bits: usize, moved: Option<u64>, capacity: u64) {
        let half = went(1, 0, bits) / 2;
        for number in numbers {
            let last = self.cursor.sequence.replace(*number);
            let missing = last.map_or(0, |last| went(last, *number, bits).wrapping_sub(1));
            let Some(last) = last.filter(|_| missing > 0) else { continue };
            let anew = missing >= half
                || (missing > capacity && moved.is_some_and(|moved| moved != 0 && moved != missing & 0xffff));
            if anew {
                info!(last, number, terminal = self.terminal.name(), "its numbers began anew");
            } else {
                self.tell_lost(missing, &format!("its numbers went from {last} to {number}"));
            }
        }
    }

    fn terminal_reads(&mut self, capacity: u16, waiting: u16) {
        // Where the map names no capacity, nearly full means nothing.
        if capacity == u16::MAX {
            return;
        }
        let (records, capacity) = (u64::from(waiting), u64::from(capacity));
        if waiting > 0 || !self.online {
            self.terminal.report(Report::Counts { records: Some(records), capacity: Some(capacity), users: None });
        }
        if records * 10 >= capacity * 9 {
            let cause = format!("{records} of {capacity} events wait in it");
            self.nearly_full = true;
            self.terminal.trouble(Trouble::LogNearlyFull, cause);
        } else if std::mem::take(&mut self.nearly_full) || !self.online {
            self.terminal.relief(Trouble::LogNearlyFull);
        }
    }
}
