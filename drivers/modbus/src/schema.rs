//! The file of a register map, read and checked: every problem with its key, value, why and mend.

mod reader;

use std::{path::Path, time::Duration};

use driver_api::{Period, Problems, Section};
use toml::{Table, Value};

use self::reader::{Reader, choice};
use crate::{
    map::{
        AckMode, Actions, Block, Capture, Counter, Fifo, Latch, MOST_READ, Map, News, Record, Stamp, Unlock, Waiting,
    },
    value::{Field, Form},
};

/// Reads the file of a map; `name` is what people call it. `None` when something is wrong: the problems tell what.
pub fn read(name: &str, text: &str, problems: &mut Problems) -> Option<Map> {
    let before = problems.errors.len();
    // Keys of maps are no keys of the config.
    let mut own = Problems::default();
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let section = Section::new(format!("map {name} "), Table::new(), Path::new("."));
            let why = error.to_string().trim().replace('\n', " ");
            section.missing(problems, "", why, "correct the file: it is TOML, as those in drivers/modbus/maps");
            return None;
        }
    };
    let map = Reader { section: Section::new(format!("map {name} "), table, Path::new(".")), problems: &mut own }.map();
    problems.errors.append(&mut own.errors);
    problems.warnings.append(&mut own.warnings);
    map.filter(|_| problems.errors.len() == before)
}

impl Reader<'_> {
    fn map(mut self) -> Option<Map> {
        let title = self.need::<String>("title", "\"Acme AX-1 card reader\"");
        let poll = self.section.take_checked("poll", "\"500ms\"", self.problems, |Period(poll): Period| {
            if (Duration::from_millis(20)..=Duration::from_secs(3600)).contains(&poll) {
                return Ok(poll);
            }
            Err(("it must lie between 20ms and 1h".into(), "write it like this: poll = \"500ms\"".into()))
        });
        let captures = ["fifo", "latch", "counter"].map(|kind| self.section.look(kind).is_some());
        let capture = match captures {
            [true, false, false] => {
                let fifo = self.table("fifo", |it| it.fifo());
                let size = fifo.as_ref().map_or(MOST_READ, |fifo| fifo.record_words);
                let record = self.record(size);
                if let Some(record) = &record
                    && record.sequence.is_none()
                {
                    let mend = "name the register with the event's number; without one an event that is read twice \
                                cannot be told from two events: use [latch]";
                    self.section.missing(self.problems, "record.sequence", "an event FIFO numbers its events", mend);
                }
                fifo.zip(record).map(|(fifo, record)| Capture::Fifo(fifo, record))
            }
            [false, true, false] => {
                let latch = self.table("latch", |it| it.latch());
                let size = latch.as_ref().map_or(MOST_READ, |latch| latch.read.words);
                let record = self.record(size);
                latch.zip(record).map(|(latch, record)| Capture::Latch(latch, record))
            }
            [false, false, true] => self.table("counter", |it| it.counter()).map(Capture::Counter),
            _ => {
                let why = "a map has exactly one of the sections [fifo], [latch] and [counter]";
                let mend = "[fifo] for events kept until they are acknowledged, [latch] for the last card, [counter] \
                            for passages";
                self.section.missing(self.problems, "fifo", why, mend);
                for known in ["fifo", "latch", "counter", "record"] {
                    self.section.take_value(known);
                }
                None
            }
        };
        let actions = self.table("actions", |it| it.actions()).unwrap_or_default();
        self.section.finish(self.problems);
        Some(Map { title: title?, poll: poll.unwrap_or(Duration::from_millis(500)), capture: capture?, actions })
    }

    fn fifo(mut self) -> Option<Fifo> {
        let (mut status, mut window, mut ack) = (None, None, None);
        if let Some(mut it) = self.must("status", "{ fc = 3, addr = 0x100, words = 3, head = 0, tail = 1 }") {
            let block = it.block();
            let most = block.map_or(MOST_READ, |block| block.words);
            let [head, tail, count, overflow] = ["head", "tail", "count", "overflow"].map(|key| it.offset(key, most));
            let capacity = it.within("capacity", "256", 1..=u16::MAX);
            let waiting = match (head, tail, count) {
                (Some(head), Some(tail), None) => Some(Waiting::Indices { head, tail }),
                (None, None, Some(count)) => Some(Waiting::Count { count }),
                _ => {
                    let why = "it says how many events wait either by head and tail, or by count";
                    it.section.missing(it.problems, "head", why, "write head = 0, tail = 1; or count = 0");
                    None
                }
            };
            it.section.finish(it.problems);
            status = Some((block, waiting, overflow, capacity));
        }
        if let Some(mut it) = self.must("window", "{ fc = 3, addr = 0x200, records = 10, words = 8 }") {
            let (fc, addr) = (it.function(), it.addr());
            let records = it.need_within("records", "10", 1..=4096);
            let words = it.need_within("words", "8", 1..=MOST_READ);
            let ring = it.take::<bool>("ring", "true").unwrap_or(false);
            if let (Some(addr), Some(records), Some(words)) = (addr, records, words)
                && usize::from(addr) + usize::from(records) * usize::from(words) > 65536
            {
                it.section.missing(it.problems, "records", "the window ends beyond register 65535", "make it smaller");
            }
            it.section.finish(it.problems);
            window = fc.zip(addr).zip(records.zip(words)).map(|window| (window, ring));
        }
        if let Some(mut it) = self.must("ack", "{ fc = 6, addr = 0x110, mode = \"tail\" }") {
            let target = it.target();
            let mode = it.need_checked("mode", "\"tail\"", |mode: String| match &*mode {
                "tail" => Ok(AckMode::Tail),
                "sequence" => Ok(AckMode::Sequence),
                "count" => Ok(AckMode::Count),
                _ => Err(choice("mode", &["tail", "sequence", "count"])),
            });
            it.section.finish(it.problems);
            ack = target.zip(mode);
        }
        let counted = matches!(status, Some((_, Some(Waiting::Count { .. }), ..)));
        if counted && matches!(ack, Some((_, AckMode::Tail))) {
            let why = "there is no tail where events are counted";
            self.section.missing(self.problems, "ack.mode", why, "write mode = \"sequence\" or mode = \"count\"");
        }
        self.section.finish(self.problems);
        let (block, waiting, overflow, capacity) = status?;
        let (((fc, addr), (records, record_words)), ring) = window?;
        let (ack, ack_mode) = ack?;
        let window = Block { fc, addr, words: record_words };
        let (status, capacity) = (block?, capacity.unwrap_or(u16::MAX));
        let waiting = waiting?;
        Some(Fifo { status, waiting, overflow, capacity, window, records, record_words, ring, ack, ack_mode })
    }

    fn latch(mut self) -> Option<Latch> {
        let read = self.must("read", "{ fc = 4, addr = 0, words = 19 }").and_then(|mut it| {
            let block = it.block();
            it.section.finish(it.problems);
            block
        });
        let most = read.map_or(MOST_READ, |read| read.words);
        let flag = self.sub("flag").and_then(|mut it| {
            let news = if it.section.look("at").is_some() {
                it.offset("at", most).map(|at| News::Flag { at })
            } else {
                let fc = it.need_within("fc", "1", 1..=2);
                let addr = it.addr();
                fc.zip(addr).map(|(fc, addr)| News::Coil { fc: fc as u8, addr })
            };
            it.section.finish(it.problems);
            news
        });
        let sequence = self.field_of("sequence", most, &[Form::Number]);
        let first_is_new =
            self.section.take_checked("first", "\"new\"", self.problems, |first: String| match &*first {
                "new" => Ok(true),
                "old" => Ok(false),
                _ => Err(choice("first", &["new", "old"])),
            });
        let release = self.sub("release").and_then(|mut it| {
            let (target, value) = (it.target(), it.written("value"));
            it.section.finish(it.problems);
            target.zip(value)
        });
        if flag.is_some() && sequence.is_some() {
            let why = "a new event is told either by flag or by sequence";
            self.section.missing(self.problems, "flag", why, "delete one of the two");
        }
        if release.is_some() && flag.is_none() {
            let why = "what is released must have said that it waits";
            self.section.missing(self.problems, "flag", why, "name the flag that release clears, or delete release");
        }
        self.section.finish(self.problems);
        let sequence = || sequence.map(|field| News::Sequence { field, first_is_new: first_is_new.unwrap_or(false) });
        Some(Latch { read: read?, news: flag.or_else(sequence).unwrap_or(News::Change), release })
    }

    fn counter(mut self) -> Option<Counter> {
        let read = self.must("read", "{ fc = 4, addr = 0, words = 4 }").and_then(|mut it| {
            let block = it.block();
            it.section.finish(it.problems);
            block
        });
        let most = read.map_or(MOST_READ, |read| read.words);
        let ways: Vec<Field> =
            ["in", "out"].into_iter().filter_map(|way| self.field_of(way, most, &[Form::Number])).collect();
        if ways.is_empty() {
            let mend = "write in = { at = 0, type = \"u32\" }, and out likewise if it counts both ways";
            self.section.missing(self.problems, "in", "there is no counter", mend);
        }
        self.section.finish(self.problems);
        Some(Counter { read: read?, ways })
    }

    fn record(&mut self, most: u16) -> Option<Record> {
        let mut it = self.must("record", "{ person = { at = 1, type = \"u32\" } }")?;
        let all = &[Form::Number, Form::Bcd, Form::Text, Form::Hex, Form::Wiegand26];
        let person = it.field_of("person", most, all);
        if person.is_none() && it.section.look("person").is_none() {
            let mend = "write a line: person = { at = 1, type = \"u32\" }";
            it.section.missing(it.problems, "person", "nobody punches without a number", mend);
        }
        let bits = it.field_of("bits", most, &[Form::Number]);
        let sequence = it.field_of("sequence", most, &[Form::Number]);
        let time = it.sub("time").and_then(|mut it| {
            let (form, order, utc) = it.time();
            let words = form.map_or(1, |form| form.words() as u16);
            let at = it.offset_of("at", most.saturating_sub(words - 1));
            it.section.finish(it.problems);
            Some(Stamp { at: at?, form: form?, order, utc })
        });
        let direction = it.coded("direction", most);
        let verify = it.coded("verify", most);
        let present = it.offset("present", most);
        it.section.finish(it.problems);
        Some(Record { person: person?, bits, sequence, time, direction, verify, present })
    }

    fn actions(mut self) -> Option<Actions> {
        let mut unlock = Vec::new();
        let doors = match self.section.take_value("unlock") {
            None => Vec::new(),
            Some(Value::Array(doors)) => doors,
            Some(one) => vec![one],
        };
        for (number, door) in doors.into_iter().enumerate() {
            let prefix = self.section.key(&format!("unlock {} ", number + 1));
            let Value::Table(table) = door else {
                let mend = "write unlock = [{ fc = 5, addr = 0, open = 1 }]".to_owned();
                self.section.wrong(self.problems, "unlock", &door, "a door is a table".into(), mend);
                continue;
            };
            let mut it = Reader { section: Section::new(prefix, table, Path::new(".")), problems: self.problems };
            let (target, open) = (it.target(), it.written("open"));
            let close = it.section.look("close").is_some().then(|| it.written("close")).flatten();
            it.section.finish(it.problems);
            unlock.extend(target.zip(open).map(|(target, open)| Unlock { target, open, close }));
        }
        let time_set = self.sub("time_set").and_then(|mut it| {
            let target = it.target();
            let (form, order, utc) = it.time();
            if target.is_some_and(|target| target.fc != 16) {
                it.section.missing(it.problems, "fc", "a time is several registers", "write fc = 16");
            }
            it.section.finish(it.problems);
            target.zip(form).map(|(target, form)| (target, form, order, utc))
        });
        self.section.finish(self.problems);
        Some(Actions { unlock, time_set })
    }
}
