//! A bus and its thread: one reader speaks at a time, and everything that they tell is on disk before the next one is asked.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use driver_api::{Batch, DriverError, Job, JobFailed, Light, Link, Operation};
use jiff::tz::TimeZone;
use libosdp::{OsdpCommand, OsdpCommandBuzzer, OsdpCommandLed, OsdpCommandOutput, OsdpLedColor, OsdpLedParams};
use line::Port;
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use tracing::info;

use crate::{
    frame::code,
    reader::Reader,
    settings::Settings,
    wire::{Wire, lock},
};

/// Names of the operations below.
pub(crate) const OPERATIONS: &[&str] = &["info", "signal", "unlock"];
/// The library is looked after at least this often; its own limit is 50 ms.
const STEP: Duration = Duration::from_millis(5);
/// Readers are judged this often.
const JUDGED_EVERY: Duration = Duration::from_millis(100);
/// A TCP connection may take so long.
const LIMIT: Duration = Duration::from_secs(3);
/// Between two attempts at a store that refuses; nobody is asked meanwhile.
const STORE_PAUSE: Duration = Duration::from_millis(200);
/// A command that is not answered within this failed.
const COMMAND: Duration = Duration::from_secs(3);
/// The longest that an output is switched.
const LONGEST_OPEN: u16 = 60;

/// Serves a bus on a thread of its own until it is told to leave, or this future is dropped.
pub(crate) async fn run(port: Arc<Port>, members: Vec<(Settings, TimeZone)>, link: Link) -> Result<(), DriverError> {
    let runtime = Handle::current();
    let (alive, gone) = oneshot::channel::<()>();
    let (left, leaving) = oneshot::channel();
    let unreachable = |source| DriverError::Unreachable { peer: "a thread of its own".into(), source };
    let thread = thread::Builder::new().name("osdp-bus".into()).spawn(move || {
        runtime.block_on(async {
            let mut bus = Bus::new(port, members, &link);
            tokio::select! {
                // An error means that nobody waits for us any more.
                _ = gone => {}
                () = link.closing() => {}
                () = bus.serve(&link) => {}
            }
        });
        // Nobody listens when we were dropped.
        let _ = left.send(());
    });
    let mut leash = Leash { alive: Some(alive), thread: Some(thread.map_err(unreachable)?) };
    if leaving.await.is_err()
        && let Some(Err(panic)) = leash.thread.take().map(thread::JoinHandle::join)
    {
        std::panic::resume_unwind(panic);
    }
    Ok(())
}

/// Ends the thread wherever we end, and waits for it: it needs the runtime, and holds the port.
struct Leash {
    alive: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.alive = None;
        // It leaves at its next step, some milliseconds away; a panic was told when it happened.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

struct Bus {
    port: Arc<Port>,
    wire: Arc<Mutex<Wire>>,
    readers: Vec<Reader>,
    /// Who was asked and not answered yet.
    asked: Option<usize>,
    next: usize,
    judged: Instant,
    /// Commands that wait for their answer: whose, which code, its answers before, until when.
    waiting: Vec<Waiting>,
}

/// The library never lets go of its channels, and they know the wire: the port must be let go of here.
impl Drop for Bus {
    fn drop(&mut self) {
        *lock(&self.wire) = Wire::default();
    }
}

struct Waiting {
    reader: usize,
    code: u8,
    after: u64,
    until: Instant,
    done: Value,
    job: Job,
}

impl Bus {
    fn new(port: Arc<Port>, members: Vec<(Settings, TimeZone)>, link: &Link) -> Self {
        let wire = Arc::<Mutex<Wire>>::default();
        let reader = |((settings, zone), terminal): ((Settings, TimeZone), &driver_api::Terminal)| {
            Reader::new(settings, zone, terminal.clone(), wire.clone())
        };
        let readers = members.into_iter().zip(link.terminals()).map(reader).collect();
        Self { port, wire, readers, asked: None, next: 0, judged: Instant::now(), waiting: Vec::new() }
    }

    async fn serve(&mut self, link: &Link) {
        loop {
            self.open(link).await;
            let error = self.serve_line(link).await;
            let why = format!("the line is gone: {error}");
            *lock(&self.wire) = Wire::default();
            self.asked = None;
            for reader in &mut self.readers {
                reader.end(&why);
            }
            for Waiting { job, .. } in self.waiting.drain(..) {
                job.done(Err(JobFailed::NoAnswer(why.clone())));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Opens the line, however long it takes. Who asks for something meanwhile is told that nobody is there.
    async fn open(&mut self, link: &Link) {
        let readers = &mut self.readers;
        let opening = self.port.open_at_last(LIMIT, |error| {
            let why = match std::error::Error::source(error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            for reader in readers.iter_mut() {
                reader.offline(&why);
            }
        });
        let stream = {
            tokio::pin!(opening);
            loop {
                tokio::select! {
                    stream = &mut opening => break stream,
                    job = link.next_job() => job.done(Err(JobFailed::NotConnected)),
                }
            }
        };
        info!(address = %self.port.address(), "bus open");
        *lock(&self.wire) = Wire::over(stream);
        for reader in &mut self.readers {
            reader.begin();
        }
    }

    /// Until the line is gone.
    async fn serve_line(&mut self, link: &Link) -> io::Error {
        loop {
            tokio::select! {
                biased;
                job = link.next_job() => self.job(job),
                () = self.pause() => {}
            }
            self.turn();
            if let Some(error) = lock(&self.wire).failed.take() {
                return error;
            }
            for index in 0..self.readers.len() {
                let batch = self.readers[index].take();
                if !batch.punches.is_empty() || !batch.set_aside.is_empty() {
                    self.store(index, batch).await;
                }
            }
            self.answer_jobs();
            if self.judged.elapsed() > JUDGED_EVERY {
                self.judged = Instant::now();
                let before = self.readers.iter().filter(|reader| reader.online).count();
                self.readers.iter_mut().for_each(Reader::judge);
                if self.readers.iter().filter(|reader| reader.online).count() > before {
                    self.readers.iter_mut().for_each(Reader::encourage);
                }
                if self.asked.is_none() {
                    lock(&self.wire).drain();
                }
            }
        }
    }

    /// Until something arrived, or it is time to look after the library.
    async fn pause(&self) {
        let Some(_) = self.asked else { return sleep(Duration::from_millis(1)).await };
        // Taken out while waiting: the library reads only in its turn, which is after this.
        let stream = lock(&self.wire).stream.take();
        let Some(stream) = stream else { return };
        let held = Held { wire: &self.wire, stream: Some(stream) };
        if let Some(stream) = &held.stream {
            // Nothing in time, or a line that is gone: both show themselves when it is read.
            let _ = timeout(STEP, stream.readable()).await;
        }
    }

    /// Whoever was asked has the bus until it answered; then the next one that has something to ask.
    fn turn(&mut self) {
        lock(&self.wire).push();
        if let Some(index) = self.asked {
            self.readers[index].turn();
            if !self.readers[index].is_done() {
                return;
            }
            self.asked = None;
        }
        let count = self.readers.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            if self.readers[index].turn() {
                self.asked = Some(index);
                self.next = (index + 1) % count;
                return;
            }
        }
    }

    /// Returns when it is on disk. Nobody is asked before: readers keep what they hold.
    async fn store(&mut self, index: usize, batch: Batch) {
        while self.readers[index].store().put(batch.clone()).await.is_err() {
            // The gateway tells of its own disk.
            sleep(STORE_PAUSE).await;
        }
        self.readers[index].is_stored(&batch);
    }

    fn job(&mut self, job: Job) {
        let Some(index) = self.readers.iter().position(|reader| reader.terminal.name() == job.terminal) else {
            return job.done(Err(JobFailed::NotConnected));
        };
        let reader = &mut self.readers[index];
        let (commands, code, done) = match &job.operation {
            Operation::Info => {
                let info = reader.info();
                return job.done(Ok(info));
            }
            Operation::Unlock { door, seconds } => {
                let (door, seconds) = (*door, (*seconds).max(1));
                if door == 0 || seconds > LONGEST_OPEN {
                    let why = format!("outputs are numbered from 1, and switched for {LONGEST_OPEN} seconds at most");
                    return job.done(Err(JobFailed::Refused(why)));
                }
                // On, and back by itself: a reader that loses us closes its door.
                let output = OsdpCommandOutput { output_no: door - 1, control_code: 5, timer_count: seconds * 10 };
                (vec![OsdpCommand::Output(output)], code::OUT, json!({ "door": door, "seconds": seconds }))
            }
            Operation::Signal { light, seconds, beeps } => {
                let commands = signal(*light, *seconds, *beeps);
                let code = if *beeps > 0 { code::BUZ } else { code::LED };
                (commands, code, json!({ "light": light, "seconds": seconds, "beeps": beeps }))
            }
            _ => return job.done(Err(JobFailed::NotSupported)),
        };
        if !reader.online {
            return job.done(Err(JobFailed::NotConnected));
        }
        let after = reader.answers();
        for command in commands {
            if reader.command(command).is_err() {
                return job.done(Err(JobFailed::Refused("it has as much to do as it can keep in mind".into())));
            }
        }
        self.waiting.push(Waiting { reader: index, code, after, until: Instant::now() + COMMAND, done, job });
    }

    fn answer_jobs(&mut self) {
        let now = Instant::now();
        for waiting in std::mem::take(&mut self.waiting) {
            match self.readers[waiting.reader].answer_to(waiting.code, waiting.after) {
                Some(code::NAK) => waiting.job.done(Err(JobFailed::Refused("it does not do that (NAK)".into()))),
                Some(_) => waiting.job.done(Ok(waiting.done)),
                None if now > waiting.until => {
                    waiting.job.done(Err(JobFailed::NoAnswer(format!("within {} s", COMMAND.as_secs()))));
                }
                None => self.waiting.push(waiting),
            }
        }
    }
}

/// Puts the stream back wherever its waiting ends.
struct Held<'a> {
    wire: &'a Mutex<Wire>,
    stream: Option<line::Stream>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        lock(self.wire).stream = self.stream.take();
    }
}

/// The commands for a light and some beeps. The buzzer comes last.
pub(crate) fn signal(light: Option<Light>, seconds: u8, beeps: u8) -> Vec<OsdpCommand> {
    let mut commands = Vec::new();
    if light.is_some() || beeps == 0 {
        let on_color = match light {
            Some(Light::Red) => OsdpLedColor::Red,
            Some(Light::Green) => OsdpLedColor::Green,
            Some(Light::Amber) => OsdpLedColor::Amber,
            Some(Light::Blue) => OsdpLedColor::Blue,
            None => OsdpLedColor::None,
        };
        let temporary = OsdpLedParams {
            control_code: 2,
            on_count: 10,
            off_count: 0,
            on_color,
            off_color: OsdpLedColor::None,
            timer_count: u16::from(seconds.max(1)) * 10,
        };
        let permanent = OsdpLedParams { control_code: 0, timer_count: 0, on_count: 0, ..temporary };
        commands.push(OsdpCommand::Led(OsdpCommandLed { reader: 0, led_number: 0, temporary, permanent }));
    }
    if beeps > 0 {
        let buzzer = OsdpCommandBuzzer { reader: 0, control_code: 2, on_count: 1, off_count: 1, rep_count: beeps };
        commands.push(OsdpCommand::Buzzer(buzzer));
    }
    commands
}
