//! Events of security terminals: `rtlog` as they happen, and the same events as rows of the table `transaction`.

use jiff::civil::DateTime;

use crate::{
    attlog::checked_pin,
    lines::{number, pairs},
    when,
};

/// An event, still in the terminal's own bytes. Read by key, never by position: fields were added three times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    pub pin: &'a [u8],
    pub time: &'a [u8],
    pub code: Option<i64>,
    pub passage: &'a [u8],
    pub verify: &'a [u8],
    /// The terminal's own number of this event; it starts anew after a factory reset.
    pub index: &'a [u8],
}

/// What an event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// Somebody was let through: a punch.
    Punch { pin: &'a [u8], local: DateTime, index: Option<&'a str> },
    /// A refusal, an alarm, a start: no punch, and its meaning is known.
    NoPunch,
    /// To be kept raw, with the reason.
    Aside(&'static str),
}

/// Reads one row. `separator` is TAB; rows divided by commas occur.
pub(crate) fn event(row: &[u8]) -> Event<'_> {
    let separator = if row.contains(&b'\t') || !row.contains(&b',') { b'\t' } else { b',' };
    let mut event = Event::default();
    for (key, value) in pairs(row, separator) {
        // The same things are called otherwise in `rtlog` and in `transaction`.
        let is = |names: [&str; 2]| names.iter().any(|name| key.eq_ignore_ascii_case(name.as_bytes()));
        if is(["pin", "pin"]) {
            event.pin = value;
        } else if is(["time", "time_second"]) {
            event.time = value;
        } else if is(["event", "eventtype"]) {
            event.code = number(value);
        } else if is(["inoutstatus", "inoutstate"]) {
            event.passage = value;
        } else if is(["verifytype", "verified"]) {
            event.verify = value;
        } else if is(["index", "index"]) {
            event.index = value.trim_ascii();
        }
    }
    event
}

impl<'a> Event<'a> {
    /// A punch is: a user number that is not 0, and a code that says "granted" (0-19, 200-253).
    pub(crate) fn verdict(&self) -> Verdict<'a> {
        let Some(code) = self.code else {
            return Verdict::Aside("there is no event code");
        };
        let local = when::wall(self.time).or_else(|| number(self.time).and_then(when::from_vendor_seconds));
        match code {
            0..=19 | 200..=253 => {
                let Some(local) = local else {
                    return Verdict::Aside("the time is not a whole YYYY-MM-DD HH:MM:SS of the calendar");
                };
                match checked_pin(self.pin) {
                    Ok(b"0") => Verdict::NoPunch,
                    Ok(pin) => Verdict::Punch { pin, local, index: self.index() },
                    Err(_) if self.pin.trim_ascii().is_empty() => Verdict::NoPunch,
                    Err(reason) => Verdict::Aside(reason),
                }
            }
            20..=199 | 4000..=6999 => Verdict::NoPunch,
            _ => Verdict::Aside("the event code is unknown"),
        }
    }

    /// The index, where it is a number that tells events apart.
    fn index(&self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.index).ok()?;
        let plain = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && text != "0";
        plain.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::tabledata::without_table;

    const SAMPLE: &str = "time=2026-02-23 14:13:48\tpin=2\tcardno=0\teventaddr=1\tevent=3\tinoutstatus=0\tverifytype=15\t\
                          index=140\tsitecode=0\tlinkid=0\tmaskflag=0\ttemperature=0\tconvtemperature=0";

    #[test]
    fn an_entry_is_a_punch_with_its_index() {
        let event = event(SAMPLE.as_bytes());
        let local = date(2026, 2, 23).at(14, 13, 48, 0);
        assert_eq!(event.verdict(), Verdict::Punch { pin: b"2", local, index: Some("140") });
        assert_eq!((event.passage, event.verify), (&b"0"[..], &b"15"[..]));
    }

    #[test]
    fn the_same_event_reads_the_same_from_the_table_of_transactions() {
        let seconds = when::to_vendor_seconds(date(2026, 2, 23).at(14, 13, 48, 0)).unwrap();
        let row = format!(
            "transaction cardno=0\tpin=2\tverified=15\tdoorid=1\teventtype=3\tinoutstate=0\ttime_second={seconds}\tindex=140"
        );
        let row = event(without_table(row.as_bytes(), "transaction"));
        let live = event(SAMPLE.as_bytes());
        assert_eq!((row.verdict(), row.passage, row.verify), (live.verdict(), live.passage, live.verify));
        let commas = SAMPLE.replace('\t', ",");
        assert_eq!(event(commas.as_bytes()).verdict(), live.verdict());
    }

    #[test]
    fn refusals_alarms_and_starts_are_no_punches() {
        for (row, aside) in [
            ("time=2026-02-23 14:13:48\tpin=0\tevent=206", false),
            ("time=2026-02-23 14:13:48\tpin=7\tevent=23", false),
            ("time=2026-02-23 14:13:48\tpin=7\tevent=102", false),
            ("time=2026-02-23 14:13:48\tpin=7\tevent=5003", false),
            ("time=2026-02-23 14:13:48\tpin=7\tevent=300", true),
            ("time=1971--10--29 -23:-27:-54\tpin=7\tevent=0", true),
            ("rubbish", true),
        ] {
            let verdict = event(row.as_bytes()).verdict();
            assert_eq!(matches!(verdict, Verdict::Aside(_)), aside, "{row}: {verdict:?}");
            assert!(!matches!(verdict, Verdict::Punch { .. }), "{row}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(row: Vec<u8>) {
            event(without_table(&row, "transaction")).verdict();
        }
    }
}
