//! Serving a line: its bytes cut into frames, each read, stored and answered; opened again whenever it is gone.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io,
    sync::Arc,
    time::Duration,
};

use driver_api::{DriverError, JobFailed, Link, Operation, Report, Stranger, Trouble};
use line::{Port, Stream};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info};

use crate::{
    booking::Booking,
    decode::{Unread, read},
    framing::{Cut, Framer},
    reader::Reader,
};

/// Names of the operations below.
pub(crate) const OPERATIONS: &[&str] = &["info"];
/// A line on which nothing was wrong for so long is well again.
const QUIET: Duration = Duration::from_secs(20);
/// Failures are told at most this often; all of them are counted.
const TOLD_EVERY: Duration = Duration::from_millis(250);
/// Signs of life of a polled reader are told this often.
const SEEN_EVERY: Duration = Duration::from_secs(20);
/// Frames that may wait behind one that is stored; a reader that waits has one under way.
const MOST_BEHIND: usize = 64;
/// A frame that comes again so soon after its answer was most likely sent before that was heard. A second answer would be taken for
/// that to the next frame, which would be forgotten unheard. So it is given only when no other frame has come for so long.
const CROSSING: Duration = Duration::from_millis(200);
/// Unknown units that are told.
const MOST_STRANGERS: usize = 32;

/// What went wrong on a line since it is served.
#[derive(Debug, Default)]
struct Tally {
    frames: u64,
    checksums: u64,
    dropped: u64,
    dropped_bytes: u64,
    unread: u64,
    reopened: u64,
}

pub(crate) struct Serving<'a> {
    port: &'a Port,
    reader: Arc<Reader>,
    limit: Duration,
    bookings: Vec<Booking>,
    framer: Framer,
    tally: Tally,
    noisy_since: Option<Instant>,
    told: Option<Instant>,
    seen: Instant,
    strangers: BTreeMap<String, u64>,
    /// Came while a frame was stored, and is to be looked at next.
    behind: VecDeque<Cut>,
    /// The last frame of a reader that waits, and when its answer was sent.
    answered: Option<(Vec<u8>, Instant)>,
    /// When it is to be answered once more, unless another frame comes before.
    owed: Option<Instant>,
    /// Whose turn it is to be asked, and when.
    next_poll: (usize, Instant),
}

impl<'a> Serving<'a> {
    pub(crate) fn new(port: &'a Port, reader: Arc<Reader>, limit: Duration, bookings: Vec<Booking>) -> Self {
        let framer = Framer::new(reader.framing.clone(), reader.patience);
        let now = Instant::now();
        Self {
            port,
            reader,
            limit,
            bookings,
            framer,
            tally: Tally::default(),
            noisy_since: None,
            told: None,
            seen: now,
            strangers: BTreeMap::new(),
            behind: VecDeque::new(),
            answered: None,
            owed: None,
            next_poll: (0, now),
        }
    }

    /// Serves until it is dropped.
    pub(crate) async fn run(&mut self, link: &Link) -> Infallible {
        loop {
            let mut stream = self.open(link).await;
            self.framer = Framer::new(self.reader.framing.clone(), self.reader.patience);
            self.behind.clear();
            (self.answered, self.owed) = (None, None);
            info!(address = %self.port.address(), "line open");
            let now = Instant::now();
            self.next_poll = (0, now);
            for booking in &mut self.bookings {
                booking.answered_at = now;
                // One that only speaks when somebody is there cannot be told from one that is not there.
                if self.reader.poll.is_none() {
                    booking.is_online(&self.reader.title);
                }
            }
            let why = match self.serve(&mut stream, link).await {
                Ok(never) => match never {},
                Err(error) => format!("the line is gone: {error}"),
            };
            self.tally.reopened += 1;
            for booking in &mut self.bookings {
                booking.is_offline(&why);
            }
            // Whoever closes at once shall not be dialled in a circle.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn open(&mut self, link: &Link) -> Stream {
        let bookings = &mut self.bookings;
        let opening = self.port.open_at_last(self.limit.max(Duration::from_secs(1)), |error| {
            let why = words(error);
            for booking in bookings.iter_mut() {
                booking.is_offline(&why);
            }
        });
        tokio::pin!(opening);
        loop {
            tokio::select! {
                stream = &mut opening => return stream,
                job = link.next_job() => job.done(Err(JobFailed::NotConnected)),
            }
        }
    }

    async fn serve(&mut self, stream: &mut Stream, link: &Link) -> io::Result<Infallible> {
        let mut room = [0; 512];
        loop {
            let mut wake = self.framer.deadline();
            if self.reader.poll.is_some() {
                wake = Some(wake.map_or(self.next_poll.1, |at| at.min(self.next_poll.1)));
            }
            if let Some(owed) = self.owed {
                wake = Some(wake.map_or(owed, |at| at.min(owed)));
            }
            if let Some(since) = self.noisy_since {
                wake = Some(wake.map_or(since + QUIET, |at| at.min(since + QUIET)));
            }
            tokio::select! {
                count = stream.read(&mut room) => match count? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => self.framer.feed(&room[..count], Instant::now()),
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                job = link.next_job() => {
                    let outcome = self.operation(&job.terminal, &job.operation);
                    job.done(outcome);
                }
            }
            while let Some(cut) = self.behind.pop_front().or_else(|| self.framer.next_cut()) {
                self.cut(cut, stream, link).await?;
            }
            if let Some(cut) = self.framer.expire(Instant::now()) {
                self.cut(cut, stream, link).await?;
            }
            if self.owed.is_some_and(|owed| owed <= Instant::now()) {
                self.owed = None;
                self.write(stream, &self.reader.ack.clone()).await?;
            }
            self.poll(stream).await?;
            if self.noisy_since.is_some_and(|since| since.elapsed() >= QUIET) {
                self.noisy_since = None;
                for booking in &self.bookings {
                    booking.terminal.relief(Trouble::LineNoisy);
                }
            }
        }
    }

    async fn cut(&mut self, cut: Cut, stream: &mut Stream, link: &Link) -> io::Result<()> {
        let frame = match cut {
            Cut::Frame(frame) => frame,
            Cut::Dropped(why, bytes) => {
                self.tally.dropped += 1;
                self.tally.dropped_bytes += bytes as u64;
                self.noisy(why);
                return Ok(());
            }
        };
        if self.answered.as_ref().is_some_and(|(last, at)| *last == frame && at.elapsed() < CROSSING) {
            debug!("sent again before its answer was heard");
            self.owed.get_or_insert(Instant::now() + CROSSING);
            return Ok(());
        }
        self.owed = None;
        match read(&self.reader, &frame) {
            Ok(Ok(read)) => {
                self.tally.frames += 1;
                let Some(index) = self.bookings.iter().position(|booking| booking.is(read.unit.as_deref())) else {
                    self.stranger(read.unit.as_deref().unwrap_or_default(), link);
                    return Ok(());
                };
                debug!(terminal = self.bookings[index].terminal.name(), "read");
                self.bookings[index].is_online(&self.reader.title);
                self.bookings[index].book(read).await;
                if self.reader.waits {
                    self.drop_impatient(&frame, stream).await?;
                }
                if !self.reader.ack.is_empty() {
                    self.write(stream, &self.reader.ack.clone()).await?;
                    self.answered = self.reader.waits.then(|| (frame, Instant::now()));
                    self.bookings[index].answered().await;
                }
            }
            Ok(Err(unit)) => {
                self.tally.frames += 1;
                let Some(booking) = self.bookings.iter_mut().find(|booking| booking.is(unit.as_deref())) else {
                    self.stranger(unit.as_deref().unwrap_or_default(), link);
                    return Ok(());
                };
                booking.is_online(&self.reader.title);
                if self.seen.elapsed() > SEEN_EVERY {
                    self.seen = Instant::now();
                    booking.terminal.seen();
                }
            }
            Err(Unread::Checksum(why)) => {
                self.tally.checksums += 1;
                self.noisy(&why);
                self.framer.rejected(&frame);
                self.refuse(stream).await?;
            }
            Err(Unread::Content(why)) => {
                self.tally.unread += 1;
                self.noisy(&why);
                // What a checksum vouches for, or reads as text, is kept: a new kind of card looks like this. Noise does not.
                let text = frame.len() > 2 && frame.iter().all(|byte| (0x20..0x7f).contains(byte));
                if self.reader.checksum.is_some() || text {
                    self.bookings[0].set_aside(&frame, &why).await;
                    // It is kept, and shall not stand in the way of those behind it.
                    if self.reader.waits {
                        self.write(stream, &self.reader.ack.clone()).await?;
                        self.answered = Some((frame, Instant::now()));
                        return Ok(());
                    }
                }
                self.refuse(stream).await?;
            }
        }
        Ok(())
    }

    /// A reader that waited too long for the store has sent its frame again. One answer is for all of these: a second one would
    /// be taken for the answer to its next frame, which would be forgotten unheard.
    async fn drop_impatient(&mut self, frame: &[u8], stream: &mut Stream) -> io::Result<()> {
        let mut room = [0; 512];
        loop {
            match stream.try_read(&mut room) {
                Ok(count) => self.framer.feed(&room[..count], Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            while let Some(cut) = self.framer.next_cut() {
                if matches!(&cut, Cut::Frame(again) if again == frame) {
                    debug!("sent again while it was stored");
                } else if self.behind.len() < MOST_BEHIND {
                    self.behind.push_back(cut);
                }
            }
            // Half of it may be on its way.
            if self.framer.deadline().is_none_or(|deadline| deadline <= Instant::now()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn refuse(&self, stream: &mut Stream) -> io::Result<()> {
        if self.reader.nak.is_empty() { Ok(()) } else { self.write(stream, &self.reader.nak.clone()).await }
    }

    async fn write(&self, stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
        let writing = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        timeout(self.limit, writing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Asks the next one, when it is time.
    async fn poll(&mut self, stream: &mut Stream) -> io::Result<()> {
        let Some(poll) = self.reader.poll.clone() else { return Ok(()) };
        let (index, due) = self.next_poll;
        if due > Instant::now() {
            return Ok(());
        }
        let booking = &mut self.bookings[index];
        if booking.answered_at.elapsed() > self.limit {
            let why = format!("no answer within {} ms", self.limit.as_millis());
            booking.answered_at = Instant::now();
            booking.is_offline(&why);
        }
        let text = poll.text.replace("{unit}", booking.unit.as_deref().unwrap_or_default());
        self.next_poll = ((index + 1) % self.bookings.len(), Instant::now() + poll.every);
        self.write(stream, text.as_bytes()).await
    }

    fn noisy(&mut self, why: &str) {
        self.noisy_since = Some(Instant::now());
        if self.told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let Tally { checksums, dropped, dropped_bytes, unread, .. } = self.tally;
        let cause = format!(
            "{why}; so far {checksums} wrong checksums, {dropped} pieces of noise ({dropped_bytes} bytes), {unread} \
             frames that say nothing"
        );
        for booking in &self.bookings {
            booking.terminal.report(Report::FailedRead { why: why.to_owned() });
            booking.terminal.trouble(Trouble::LineNoisy, cause.clone());
        }
    }

    /// A frame of a unit that nobody configured. It is not answered: a reader that waits keeps it.
    fn stranger(&mut self, unit: &str, link: &Link) {
        if self.strangers.len() >= MOST_STRANGERS && !self.strangers.contains_key(unit) {
            return;
        }
        let times = self.strangers.entry(unit.to_owned()).or_default();
        *times += 1;
        if times.is_power_of_two() {
            link.stranger(Stranger {
                driver: "serial-ascii",
                serial: unit.to_owned(),
                peer: self.port.address().to_string(),
                times: *times,
                block: format!(
                    "[[terminal]]\nname = \"reader-{}\"\ndriver = \"serial-ascii\"\nunit = {unit:?}\n\
                     # address and reader as its neighbours on this line have them",
                    unit.to_ascii_lowercase()
                ),
            });
        }
    }

    fn operation(&self, terminal: &str, operation: &Operation) -> Result<serde_json::Value, JobFailed> {
        let Some(booking) = self.bookings.iter().find(|booking| booking.terminal.name() == terminal) else {
            return Err(JobFailed::NotConnected);
        };
        match operation {
            Operation::Info => Ok(json!({
                "model": self.reader.title,
                "unit": booking.unit,
                "online": booking.online,
                "waits_for_its_answer": self.reader.waits,
                "stored": booking.stored,
                "repeats": booking.repeats,
                "reads_missed": booking.lost,
                "frames": self.tally.frames,
                "wrong_checksums": self.tally.checksums,
                "noise": self.tally.dropped,
                "noise_bytes": self.tally.dropped_bytes,
                "frames_that_say_nothing": self.tally.unread,
                "line_lost": self.tally.reopened,
            })),
            _ => Err(JobFailed::NotSupported),
        }
    }
}

fn words(error: &DriverError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
