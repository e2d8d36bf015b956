//! The log of a simulated terminal, and how its records are written in either dialect.

use jiff::civil::DateTime;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub person: String,
    pub local: DateTime,
    pub status: u8,
    pub verify: u8,
}

impl Record {
    pub fn new(person: impl Into<String>, local: DateTime) -> Self {
        Self { person: person.into(), local, status: 0, verify: 15 }
    }

    /// A line of ATTLOG.
    pub fn attlog(&self) -> String {
        format!("{}\t{}\t{}\t{}\t0\t0\t0\n", self.person, self.time(), self.status, self.verify)
    }

    /// A row of `rtlog`.
    pub fn rtlog(&self, index: usize) -> String {
        format!(
            "time={}\tpin={}\tcardno=0\teventaddr=1\tevent=3\tinoutstatus={}\tverifytype={}\tindex={}\tsitecode=0\tlinkid=0\n",
            self.time(),
            self.person,
            self.status,
            self.verify,
            index + 1
        )
    }

    /// A row of the table `transaction`.
    pub fn transaction(&self, index: usize) -> String {
        let seconds = crate::when::to_vendor_seconds(self.local).unwrap_or(0);
        format!(
            "transaction cardno=0\tpin={}\tverified={}\tdoorid=1\teventtype=3\tinoutstate={}\ttime_second={seconds}\tindex={}\tsitecode=0\n",
            self.person,
            self.verify,
            self.status,
            index + 1
        )
    }

    fn time(&self) -> String {
        self.local.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

#[derive(Debug, Default)]
pub(super) struct Log {
    records: Vec<Kept>,
    forgets: bool,
}

#[derive(Debug)]
struct Kept {
    record: Record,
    /// To be sent by itself.
    waiting: bool,
    /// `OK` came for it, at any time.
    acknowledged: bool,
    /// It is not in the log any more; its place is, since answers may still be on their way.
    gone: bool,
}

impl Log {
    pub(super) fn new(forgets: bool) -> Self {
        Self { records: Vec::new(), forgets }
    }

    pub(super) fn push(&mut self, record: Record, waiting: bool) {
        self.records.push(Kept { record, waiting, acknowledged: false, gone: false });
    }

    pub(super) fn len(&self) -> usize {
        self.records.iter().filter(|kept| !kept.gone).count()
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.records.iter().filter(|kept| kept.acknowledged).count()
    }

    pub(super) fn forget_answers(&mut self) {
        self.records.iter_mut().for_each(|kept| kept.waiting = true);
    }

    /// The next ones to be sent, with their places.
    pub(super) fn batch(&self, most: usize) -> Vec<(usize, Record)> {
        self.pick(most, |kept| kept.waiting)
    }

    /// Those of a time, whatever was sent before.
    pub(super) fn between(&self, from: DateTime, to: DateTime) -> Vec<(usize, Record)> {
        self.pick(usize::MAX, |kept| (from..=to).contains(&kept.record.local))
    }

    fn pick(&self, most: usize, wanted: impl Fn(&Kept) -> bool) -> Vec<(usize, Record)> {
        let all = self.records.iter().enumerate();
        all.filter(|(_, kept)| !kept.gone && wanted(kept))
            .take(most)
            .map(|(at, kept)| (at, kept.record.clone()))
            .collect()
    }

    /// `OK` came for these.
    pub(super) fn acknowledge(&mut self, places: impl Iterator<Item = usize>) {
        for place in places {
            self.records[place].waiting = false;
            self.records[place].acknowledged = true;
            self.records[place].gone = self.forgets;
        }
    }

    /// A handshake told to go on behind this many records: those in front are said to have arrived.
    pub(super) fn resume(&mut self, from: usize) {
        for (place, kept) in self.records.iter_mut().enumerate() {
            kept.waiting = place >= from;
            kept.acknowledged |= place < from;
        }
    }
}
