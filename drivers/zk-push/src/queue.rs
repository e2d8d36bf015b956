//! Commands that wait for a terminal to fetch them, and those that it has fetched and not yet answered.
//!
//! Fetched is not done: the answer to a poll can get lost, and the result as well. So a command stays until its result
//! comes, and is offered again under the same number when none does. What must not happen twice is offered once.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use driver_api::Job;

use crate::{commands::Command, settings::Dialect};

/// After this long without a result a command is offered again.
const OFFER_AGAIN: Duration = Duration::from_secs(60);
const MOST_OFFERS: u32 = 5;
/// A terminal that does not fetch a command within this long is not connected as far as the asker is concerned.
const FETCHED_WITHIN: Duration = Duration::from_secs(120);
/// What must not happen twice must not happen late either.
const ONCE_WITHIN: Duration = Duration::from_secs(60);
/// In one answer to a poll. Documents allow 200 commands and 40 KB.
const MOST_IN_REPLY: usize = 20;
const LONGEST_REPLY: usize = 32 << 10;
/// More than that waiting is no queue but a mistake.
const MOST_WAITING: usize = 64;

/// Why a command was given.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// Somebody waits for its outcome.
    Job(Job),
    /// A step of a comparison of logs.
    Comparison,
    /// The driver's own upkeep.
    Upkeep,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub id: u64,
    pub command: Command,
    pub purpose: Purpose,
    text: String,
    queued: Instant,
    offers: u32,
    offered: Option<Instant>,
}

impl Entry {
    /// Whether the terminal may have got it.
    pub(crate) fn fetched(&self) -> bool {
        self.offers > 0
    }

    fn ready(&self, now: Instant) -> bool {
        match self.offered {
            None => true,
            Some(offered) => {
                self.command.repeatable() && self.offers < MOST_OFFERS && now.duration_since(offered) >= OFFER_AGAIN
            }
        }
    }

    fn expired(&self, now: Instant) -> bool {
        match (self.offered, self.command.repeatable()) {
            (None, true) => now.duration_since(self.queued) >= FETCHED_WITHIN,
            (None, false) => now.duration_since(self.queued) >= ONCE_WITHIN,
            (Some(offered), repeatable) => {
                (!repeatable || self.offers >= MOST_OFFERS) && now.duration_since(offered) >= OFFER_AGAIN
            }
        }
    }
}

/// The commands of one terminal.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    last_id: u64,
    entries: VecDeque<Entry>,
}

impl Queue {
    /// Adds a command; gives the purpose back when the dialect has no such command or too many wait already.
    ///
    /// `second` is our time: numbers must be unique for ever, also over restarts, and fit into 31 bits for some units.
    pub(crate) fn push(
        &mut self,
        command: Command,
        purpose: Purpose,
        dialect: Dialect,
        second: u64,
        now: Instant,
    ) -> Result<u64, Purpose> {
        /// 2026-01-01: the numbers last for 68 years.
        const START: u64 = 1_767_225_600;
        if self.entries.len() >= MOST_WAITING {
            return Err(purpose);
        }
        let Some(text) = command.text(dialect) else { return Err(purpose) };
        self.last_id = second.saturating_sub(START).max(self.last_id + 1);
        self.entries.push_back(Entry {
            id: self.last_id,
            command,
            purpose,
            text,
            queued: now,
            offers: 0,
            offered: None,
        });
        Ok(self.last_id)
    }

    /// The answer to a poll; empty when there is nothing to do. A restart stands last, since what follows it is dropped.
    pub(crate) fn offer(&mut self, now: Instant) -> String {
        let mut reply = String::new();
        let mut taken = 0;
        for last in [false, true] {
            for entry in self.entries.iter_mut().filter(|entry| (entry.command == Command::Reboot) == last) {
                let length = entry.text.len() + 32;
                if taken == MOST_IN_REPLY || reply.len() + length > LONGEST_REPLY || !entry.ready(now) {
                    continue;
                }
                reply += &format!("C:{}:{}\n", entry.id, entry.text);
                entry.offers += 1;
                entry.offered = Some(now);
                taken += 1;
            }
        }
        reply
    }

    /// A result came: the command is out of the queue. `None` for a number that this terminal was never given.
    pub(crate) fn settle(&mut self, id: u64) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.id == id && entry.fetched())?;
        self.entries.remove(at)
    }

    /// The command with this number, still waiting for its result.
    pub(crate) fn get(&self, id: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id && entry.fetched())
    }

    /// The fetched command whose answer comes as packets of this table, where the terminal does not say its number.
    pub(crate) fn answered_by(&self, table: &str) -> Option<u64> {
        let answers = |entry: &&Entry| entry.fetched() && entry.command.answered_by() == Some(table);
        self.entries.iter().find(answers).map(|entry| entry.id)
    }

    /// What was given up by now. A terminal that is away fetches nothing: who asked is told at once.
    pub(crate) fn expire(&mut self, now: Instant, away: bool) -> Vec<Entry> {
        let in_vain = |entry: &Entry| away && !entry.fetched() && !matches!(entry.purpose, Purpose::Upkeep);
        let gone = |entry: &Entry| entry.expired(now) || in_vain(entry);
        let (gone, kept) = std::mem::take(&mut self.entries).into_iter().partition(gone);
        self.entries = kept;
        Vec::from_iter::<VecDeque<Entry>>(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_795_000_000;

    fn push(queue: &mut Queue, command: Command, now: Instant) -> u64 {
        queue.push(command, Purpose::Upkeep, Dialect::Attendance, SECOND, now).unwrap()
    }

    #[test]
    fn a_command_is_offered_again_under_its_number_until_its_result_comes() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let id = push(&mut queue, Command::Info, start);
        let line = format!("C:{id}:INFO\n");
        assert_eq!(queue.offer(start), line);
        assert_eq!(queue.offer(start), "");
        assert_eq!(queue.offer(start + OFFER_AGAIN), line);
        assert!(queue.settle(id + 1).is_none());
        assert_eq!(queue.settle(id).unwrap().id, id);
        assert_eq!(queue.offer(start + 10 * OFFER_AGAIN), "");
    }

    #[test]
    fn what_must_not_happen_twice_is_offered_once_and_never_late() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        push(&mut queue, Command::Reboot, start);
        assert!(queue.expire(start + ONCE_WITHIN / 2, false).is_empty());
        assert!(queue.offer(start).contains("REBOOT"));
        assert_eq!(queue.offer(start + OFFER_AGAIN), "");
        assert!(queue.expire(start + OFFER_AGAIN, false)[0].fetched());
        push(&mut queue, Command::Reboot, start);
        assert!(!queue.expire(start + ONCE_WITHIN, false)[0].fetched());
    }

    #[test]
    fn five_offers_without_a_result_are_enough() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        push(&mut queue, Command::Check, now);
        for _ in 0..MOST_OFFERS {
            assert!(queue.expire(now, false).is_empty());
            assert!(!queue.offer(now).is_empty());
            now += OFFER_AGAIN;
        }
        assert_eq!(queue.offer(now), "");
        assert_eq!(queue.expire(now, false).len(), 1);
    }

    #[test]
    fn a_restart_stands_last_and_a_reply_has_its_limit() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        push(&mut queue, Command::Reboot, now);
        let ids: Vec<_> = (0..30).map(|_| push(&mut queue, Command::Info, now)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        let reply = queue.offer(now);
        assert_eq!(reply.lines().count(), MOST_IN_REPLY);
        assert!(!reply.contains("REBOOT"));
        assert!(queue.offer(now).ends_with(":REBOOT\n"));
    }

    #[test]
    fn an_endless_queue_is_refused() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for _ in 0..MOST_WAITING {
            push(&mut queue, Command::Info, now);
        }
        assert!(queue.push(Command::Info, Purpose::Upkeep, Dialect::Attendance, SECOND, now).is_err());
    }
}
