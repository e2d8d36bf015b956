//! What terminals post: each table read in its own way, made durable, and only then acknowledged.

use driver_api::{NotStored, Origin, Report, Trouble};
use jiff::{Timestamp, ToSpan};
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use crate::{
    body::{Ended, Upload},
    crowd::Place,
    errands::Packet,
    feed::{Feed, LONGEST_LINE},
    lines::lines,
    operlog::{self, Line, Meaning, Operation},
    options, punches,
    punches::Taken,
    runs::Runs,
    skew, tabledata,
    target::Query,
    terminal::Terminal,
    wire::Surplus,
};

/// Of options, results and the like no more than this is looked at.
pub(crate) const SHORT: usize = 256 << 10;

/// Pages of uploads that are parsed and wait for the disk at a time. A parsed page takes ten times its room; ordinary uploads
/// are one page, so a thousand of them share one flush.
pub(crate) const WORK: usize = 1024;
const PAGE: usize = 4096;

/// Of what nobody here can read no more than this is kept of one line, or of one body. It is kept whole, or not acknowledged.
pub(crate) const KEPT: usize = 1 << 20;

/// Why an upload is not acknowledged.
#[derive(Debug)]
pub(crate) enum Refused {
    Body(Ended),
    /// Nobody here can read it, and it is longer than [`KEPT`].
    NotKept,
    NotStored(NotStored),
}

impl From<Ended> for Refused {
    fn from(ended: Ended) -> Self {
        Self::Body(ended)
    }
}

impl From<NotStored> for Refused {
    fn from(error: NotStored) -> Self {
        Self::NotStored(error)
    }
}

/// One upload at work.
pub(crate) struct Receiving<'a> {
    pub terminal: &'a Terminal,
    pub query: Query<'a>,
    pub place: &'a Place,
    pub surplus: &'a Surplus,
    pub now: Timestamp,
    pub work: &'a Semaphore,
}

/// What was in a body, or a piece of one.
#[derive(Debug, Clone, Copy, Default)]
struct Rows {
    lines: usize,
    /// How many of them are punches.
    punches: usize,
}

impl std::ops::AddAssign for Rows {
    fn add_assign(&mut self, more: Self) {
        self.lines += more.lines;
        self.punches += more.punches;
    }
}

/// What is done with the lines of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Attendance,
    Events,
    /// What was done at the terminal, with users, templates and photos in between.
    Operations,
    /// Users of a security terminal.
    Users,
    /// Counted and dropped: templates, photos, states.
    Dropped,
}

impl Receiving<'_> {
    /// `POST cdata`: the answer.
    pub(crate) async fn cdata(&self, upload: &mut Upload) -> Result<String, Refused> {
        let table = self.query.get("table").unwrap_or_default().to_ascii_lowercase();
        let stamp = self.query.get("Stamp").or_else(|| self.query.get("OpStamp"));
        let counted = |rows: Rows| format!("OK: {}", rows.lines);
        let reply = match &*table {
            "attlog" => {
                let rows = self.rows(Table::Attendance, "", upload).await?;
                // Rubbish that calls itself an upload must not move the place from which a terminal goes on.
                if rows.punches > 0 {
                    self.keep("ATTLOG", stamp.as_deref());
                }
                counted(rows)
            }
            "operlog" | "userinfo" | "user" => {
                let rows = self.rows(Table::Operations, "", upload).await?;
                if table == "operlog" {
                    self.keep("OPERLOG", stamp.as_deref());
                }
                counted(rows)
            }
            "rtlog" => {
                self.rows(Table::Events, "rtlog", upload).await?;
                "OK".to_owned()
            }
            "tabledata" => {
                let name = self.query.get("tablename").unwrap_or_default().to_ascii_lowercase();
                self.table(&name, upload).await?
            }
            "transaction" => self.table("transaction", upload).await?,
            "options" => {
                let body = upload.first(SHORT).await?;
                self.terminal.about(&options::about(&body, self.terminal.encoding()));
                "OK".to_owned() // a counted answer made a unit repeat it for ever
            }
            "attphoto" | "rtstate" => self.dropped(&table, upload).await?,
            "biodata" | "fingertmp" | "face" | "fvein" | "templatev10" | "facetmpv10" | "biophoto" | "userpic"
            | "idcard" | "errorlog" | "workcode" => counted(self.rows(Table::Dropped, "", upload).await?),
            "selfservicedata" | "remoteatt" => self.dropped(&table, upload).await?,
            "" if self.query.get("type").is_some() || self.query.get("AuthType").is_some() => {
                self.dropped("", upload).await?
            }
            _ => self.unknown(&table, upload).await?,
        };
        Ok(reply)
    }

    /// Remembers how far a terminal has come with a table, in its own words.
    fn keep(&self, table: &str, stamp: Option<&str>) {
        if let Some(stamp) = stamp {
            self.terminal.inner().cursor.stamp(table, stamp);
        }
    }

    /// `POST querydata`: the answer to a command of ours, in packets.
    pub(crate) async fn querydata(&self, upload: &mut Upload) -> Result<String, Refused> {
        let number = |key| self.query.get(key).and_then(|text| text.parse::<u64>().ok());
        let name = self.query.get("tablename").unwrap_or_default().to_ascii_lowercase();
        let options = self.query.get("type").is_some_and(|kind| kind.eq_ignore_ascii_case("options"));
        let (reply, body) = if options {
            let body = upload.first(SHORT).await?;
            ("OK".to_owned(), body)
        } else {
            (self.table(&name, upload).await?, Vec::new())
        };
        let packet = Packet {
            id: number("cmdid"),
            table: if options { "options" } else { &name },
            count: number("packcnt").unwrap_or(1),
            index: number("packidx").unwrap_or(1),
            options: &body,
        };
        self.terminal.packet(&packet, self.now);
        Ok(reply)
    }

    /// Photos and what else holds no lines: counted and dropped.
    pub(crate) async fn dropped(&self, what: &str, upload: &mut Upload) -> Result<String, Refused> {
        while upload.next(0).await?.is_some() {}
        if what != "rtstate" {
            self.count_dropped(what, 1);
        }
        Ok("OK".to_owned())
    }

    /// A table of a security terminal. A bare `OK` makes it repeat for ever: it wants name and count.
    async fn table(&self, name: &str, upload: &mut Upload) -> Result<String, Refused> {
        let kind = match name {
            "transaction" => Table::Events,
            "user" => Table::Users,
            _ => Table::Dropped,
        };
        // Some may compress; nobody says how. What cannot be read is kept for somebody who can.
        let packed = self.query.get("datafmt").is_some_and(|form| form == "3");
        let rows = if packed && kind == Table::Events {
            let body = whole(upload).await?;
            self.store(Taken::packed(&body, "the rows are packed in a form that nobody describes")).await?;
            1
        } else {
            self.rows(kind, name, upload).await?.lines
        };
        let count = self.query.get("count").and_then(|count| count.parse::<u64>().ok()).unwrap_or(rows as u64);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let fits = (1..=32).contains(&name.len()) && name.bytes().all(plain);
        Ok(if fits { format!("{name}={count}") } else { format!("OK: {count}") })
    }

    /// A table that we have not heard of: kept, so that somebody can look at it, and acknowledged, so that it ends.
    async fn unknown(&self, table: &str, upload: &mut Upload) -> Result<String, Refused> {
        let body = whole(upload).await?;
        let table: String = table.chars().filter(|c| !c.is_control()).take(32).collect();
        warn!(?table, bytes = upload.total(), "an unknown table came");
        self.store(Taken::raw(&body, &format!("the table {table:?} is unknown"))).await?;
        Ok("OK".to_owned())
    }

    /// All lines of a body, piece by piece. When this returns, all of them are on disk.
    async fn rows(&self, kind: Table, name: &str, upload: &mut Upload) -> Result<Rows, Refused> {
        let records = matches!(kind, Table::Attendance | Table::Events);
        let mut feed = Feed::new(if records { KEPT } else { LONGEST_LINE });
        let (mut runs, mut rows) = (Runs::default(), Rows::default());
        while let Some(bytes) = upload.next(feed.held()).await? {
            feed.push(&bytes);
            if records && feed.cut() {
                upload.too_long().await;
                return Err(Refused::NotKept);
            }
            if let Some(piece) = feed.piece() {
                rows += self.piece(kind, name, &piece, &mut runs).await?;
            }
        }
        let mut last = feed.finish();
        if self.surplus.cuts_a_line() && !last.ends_with(b"\n") && kind != Table::Dropped {
            // More came than was announced: the last line was cut anywhere, and half a line is no record.
            let cut = last.split_off(memchr::memrchr(b'\n', &last).map_or(0, |end| end + 1));
            if !cut.trim_ascii().is_empty() {
                rows.lines += 1;
                self.store(Taken::raw(&cut, "the line was cut: the body was longer than its Content-Length")).await?;
            }
        }
        rows += self.piece(kind, name, &last, &mut runs).await?;
        Ok(rows)
    }

    async fn piece(&self, kind: Table, name: &str, piece: &[u8], runs: &mut Runs) -> Result<Rows, NotStored> {
        let other = |lines| Rows { lines, punches: 0 };
        let pages = u32::try_from(1 + piece.len() / PAGE).unwrap_or(u32::MAX).min(WORK as u32);
        let _working = self.work.acquire_many(pages).await.map_err(|_| NotStored::Closed)?;
        let taken = match kind {
            Table::Attendance => punches::attendance(piece, runs, &self.terminal.reading(self.now)),
            Table::Events => punches::events(piece, name, runs, &self.terminal.reading(self.now)),
            Table::Operations => return Ok(other(self.operations(piece))),
            Table::Users => {
                self.terminal.users(lines(piece).filter_map(tabledata::user));
                return Ok(other(lines(piece).count()));
            }
            Table::Dropped => {
                let count = lines(piece).count();
                self.count_dropped("rows", count);
                return Ok(other(count));
            }
        };
        let rows = Rows { lines: taken.lines, punches: taken.batch.punches.len() };
        self.store(taken).await?;
        Ok(rows)
    }

    /// What was done at the terminal, and users. Nothing of it is stored.
    fn operations(&self, piece: &[u8]) -> usize {
        let terminal = self.terminal.store.terminal();
        let (mut count, mut dropped, mut users) = (0, 0, Vec::new());
        let wall = self.terminal.wall(self.now);
        // Terminals send what they noted years ago too, when they are new here or read their options again.
        let known = *self.terminal.inner().cursor.operated.get_or_insert(wall - 1.day());
        let mut newest = known;
        for line in lines(piece) {
            count += 1;
            let line = operlog::line(line);
            if let Line::Operation(Operation { at: Some(at), .. }) = line {
                newest = newest.max(at);
            }
            match line {
                Line::Operation(operation) => match operation.meaning() {
                    Meaning::LogDeleted(what) if operation.at.is_some_and(|at| at <= known) => {
                        debug!(what, code = operation.code, "a log had been deleted at the terminal");
                    }
                    Meaning::LogDeleted(what) => {
                        warn!(what, code = operation.code, "a log was deleted at the terminal");
                        terminal.trouble(Trouble::LogCleared, what);
                    }
                    Meaning::Alarm(what) => warn!(what, code = operation.code, "terminal alarmed"),
                    Meaning::Changed(what) => info!(what, code = operation.code, "terminal was changed"),
                    Meaning::Ordinary => debug!(code = operation.code, "terminal was operated"),
                },
                Line::User { pin } => users.push(pin),
                Line::Dropped => dropped += 1,
            }
        }
        self.terminal.inner().cursor.operated = Some(newest.min(wall).max(known));
        self.terminal.users(users.into_iter());
        self.count_dropped("templates", dropped);
        count
    }

    /// Makes it durable, and learns from it. Nothing is acknowledged unless this returns `Ok`.
    async fn store(&self, mut taken: Taken) -> Result<(), NotStored> {
        let terminal = self.terminal;
        if taken.batch.punches.is_empty() && taken.batch.set_aside.is_empty() {
            return Ok(());
        }
        let wall = terminal.wall(self.now);
        let asked = {
            let inner = terminal.inner();
            let comparison = inner.errands.comparing.comparison.as_ref();
            let mut asked = Vec::new();
            if let Some(comparison) = comparison {
                for punch in &mut taken.batch.punches {
                    if comparison.asks_for(punch.local) {
                        punch.origin = if punch.origin == Origin::Live { Origin::Live } else { Origin::Reread };
                        asked.push(punch.local);
                    }
                }
            }
            asked
        };
        let newest = taken.newest();
        let few = taken.lines <= skew::LIVE && asked.is_empty();
        let aside = taken.batch.set_aside.last().map(|aside| aside.reason.clone());
        let asides = taken.aside as u64;
        self.place.waits();
        let stored = terminal.store.put(taken.batch).await?;
        self.place.waited_for();
        debug!(new = stored.new, twins = stored.twins, aside = stored.set_aside, "upload stored");
        {
            let mut inner = terminal.inner();
            if let Some(comparison) = &mut inner.errands.comparing.comparison {
                comparison.brought(stored.new.min(asked.len()) as u64);
                asked.into_iter().for_each(|local| comparison.received(local));
                comparison.unreadable(asides);
            }
            inner.held += (stored.new + stored.set_aside) as u64;
            inner.set_aside |= stored.set_aside > 0;
            inner.latest = inner.latest.max(newest.filter(|newest| *newest <= wall));
        }
        if let Some(reason) = aside.filter(|_| stored.set_aside > 0) {
            terminal.store.terminal().trouble(Trouble::RecordsSetAside, reason);
        }
        // What it kept for us, or sends again, tells how its clock stood then.
        if let Some(newest) = newest.filter(|_| few) {
            if punches::is_unset(newest) {
                if stored.new > 0 {
                    terminal.clock_unset();
                }
            } else if let Some(ahead) = punches::ahead(newest, terminal.zone(), self.now) {
                terminal.clock(ahead);
            }
        }
        Ok(())
    }

    /// Templates and photos are counted and dropped: nothing of them is kept anywhere.
    fn count_dropped(&self, what: &str, count: usize) {
        if count > 0 {
            let total = {
                let mut inner = self.terminal.inner();
                inner.dropped += count as u64;
                inner.dropped
            };
            debug!(what, count, total, "biometric or other data counted and dropped");
            self.terminal.report(Report::BiometricsDropped { total });
        }
    }
}

/// A body that is to be kept as it is.
async fn whole(upload: &mut Upload) -> Result<Vec<u8>, Refused> {
    let body = upload.first(KEPT).await?;
    if upload.total() > KEPT as u64 { Err(Refused::NotKept) } else { Ok(body) }
}
