//! What terminals answer: records, counters, clocks. Pure: whatever the bytes, an answer and never a panic.

use jiff::{SignedDuration, civil::Date, civil::DateTime};

/// Bytes of a record.
pub const SIZE: usize = 14;

/// A record as it lies in the terminal.
pub type Raw = [u8; SIZE];

/// One punch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// Five bytes' worth of number.
    pub user: u64,
    /// Since midnight of the epoch, by the terminal's wall clock.
    pub seconds: u32,
    /// How somebody was recognised: bits.
    pub backup: u8,
    /// Bit 7: a door was opened; low four bits: what somebody was doing.
    pub kind: u8,
    pub work_code: u32,
}

impl Record {
    pub fn of(raw: &Raw) -> Self {
        let [u0, u1, u2, u3, u4, s0, s1, s2, s3, backup, kind, w0, w1, w2] = *raw;
        Self {
            user: u64::from_be_bytes([0, 0, 0, u0, u1, u2, u3, u4]),
            seconds: u32::from_be_bytes([s0, s1, s2, s3]),
            backup,
            kind,
            work_code: u32::from_be_bytes([0, w0, w1, w2]),
        }
    }

    pub fn encode(&self) -> Raw {
        let ([.., u0, u1, u2, u3, u4], [s0, s1, s2, s3]) = (self.user.to_be_bytes(), self.seconds.to_be_bytes());
        let [_, w0, w1, w2] = self.work_code.to_be_bytes();
        [u0, u1, u2, u3, u4, s0, s1, s2, s3, self.backup, self.kind, w0, w1, w2]
    }

    /// The terminal's wall time, by this epoch.
    pub fn local(&self, epoch: Date) -> Option<DateTime> {
        epoch
            .to_datetime(jiff::civil::Time::midnight())
            .checked_add(SignedDuration::from_secs(self.seconds.into()))
            .ok()
    }
}

/// Seconds since the epoch; 0 for what lies before it.
pub fn seconds(local: DateTime, epoch: Date) -> u32 {
    let since = local.duration_since(epoch.to_datetime(jiff::civil::Time::midnight()));
    u32::try_from(since.as_secs()).unwrap_or(0)
}

/// The records of a page: a count and so many records, no less and no more.
pub fn page(data: &[u8]) -> Result<Vec<Raw>, PageError> {
    let Some((&count, rest)) = data.split_first() else { return Err(PageError::Empty) };
    let (records, left) = rest.as_chunks::<SIZE>();
    if records.len() != usize::from(count) || !left.is_empty() {
        return Err(PageError::Length { count, bytes: rest.len() });
    }
    Ok(records.to_vec())
}

/// Why bytes are no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("a page without even a count")]
    Empty,
    #[error("a page that says {count} records of 14 bytes, and has {bytes} bytes")]
    Length { count: u8, bytes: usize },
    #[error("a page that says {count} users, and has {bytes} bytes")]
    Users { count: u8, bytes: usize },
}

/// The numbers of a page of users: a count and so many records of one size, each with a number of five bytes in front. What
/// else stands in them (names, passwords, cards) is nobody's business here.
pub fn users(data: &[u8]) -> Result<Vec<u64>, PageError> {
    let Some((&count, rest)) = data.split_first() else { return Err(PageError::Empty) };
    let wrong = PageError::Users { count, bytes: rest.len() };
    if count == 0 {
        return if rest.is_empty() { Ok(Vec::new()) } else { Err(wrong) };
    }
    let size = rest.len() / usize::from(count);
    // 27 and 30 bytes with a name of ten, 40 with one of ten letters in two bytes each.
    if !rest.len().is_multiple_of(usize::from(count)) || !matches!(size, 27 | 30 | 40) {
        return Err(wrong);
    }
    let number = |user: &[u8]| user[..5].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Ok(rest.chunks_exact(size).map(number).collect())
}

/// What a terminal holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub users: u32,
    pub records: u32,
    /// Those of them that nobody has marked as read.
    pub new: u32,
}

impl Counters {
    /// Six numbers of three bytes; what follows them is of no interest.
    pub fn of(data: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let [high, middle, low] = *data.get(at * 3..at * 3 + 3)? else { return None };
            Some(u32::from_be_bytes([0, high, middle, low]))
        };
        Some(Self { users: number(0)?, records: number(4)?, new: number(5)? })
    }

    /// How many records are marked as read, if the numbers make sense together.
    pub fn read(&self) -> Option<u32> {
        self.records.checked_sub(self.new)
    }
}

/// A number of three bytes at the start.
pub fn u24(data: &[u8]) -> Option<u32> {
    let [high, middle, low] = *data.first_chunk::<3>()?;
    Some(u32::from_be_bytes([0, high, middle, low]))
}

/// `YY MM DD hh mm ss`, binary, the year since 2000.
pub fn clock(data: &[u8]) -> Option<DateTime> {
    let [year, month, day, hour, minute, second] = *data.first_chunk::<6>()?;
    let [month, day, hour, minute, second] =
        [month, day, hour, minute, second].map(|it| i8::try_from(it).unwrap_or(-1));
    DateTime::new(2000 + i16::from(year), month, day, hour, minute, second, 0).ok()
}

/// The reverse of [`clock`], for years 2000 to 2255.
pub fn encode_clock(local: DateTime) -> [u8; 6] {
    let year = (local.year() - 2000).clamp(0, 255) as u8;
    let [month, day, hour, minute, second] =
        [local.month(), local.day(), local.hour(), local.minute(), local.second()].map(i8::unsigned_abs);
    [year, month, day, hour, minute, second]
}

/// Text up to a NUL, without anything that could play tricks in a log or a topic.
pub fn text(data: &[u8]) -> String {
    let data = data.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(&data[..data.len().min(64)]);
    text.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').collect::<String>().trim().to_owned()
}
