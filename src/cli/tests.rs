//! Tables, words, and what is made harmless.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
};

use super::{
    out::{Out, Tone, harmless},
    table::{Cell, Table},
    words,
};

/// A page that can still be read after it was given away.
#[derive(Clone, Default)]
pub(super) struct Page(Rc<RefCell<Vec<u8>>>);

impl Page {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_table_is_aligned_and_ends_its_lines_without_blanks() {
    let page = Page::default();
    let mut table = Table::new(["TERMINAL", "N", "FLAGS"]);
    table.push([Cell::text("a"), Cell::number(5), Cell::text("")]);
    table.push([Cell::text("front-door-north"), Cell::number(12_345), Cell::maybe(None::<&str>).toned(Tone::Bad)]);
    table.write(&mut Out::plain(page.clone()), true).unwrap();
    assert_eq!(page.text(), "TERMINAL              N  FLAGS\na                     5\nfront-door-north  12345  -\n");
}

#[test]
fn what_a_terminal_sends_does_not_steer_the_screen() {
    assert_eq!(harmless("7\x1b[2Jx\r\n\u{9b}\u{202e}y"), "7\\u{1b}[2Jx\\r\\n\\u{9b}\\u{202e}y");
    assert_eq!(harmless("打卡 007 é"), "打卡 007 é");
}

#[test]
fn times_and_sizes_are_said_as_people_say_them() {
    for (seconds, said) in [(0, "0 s"), (61, "1 min 1 s"), (7_200, "2 h"), (273_600, "3 d 4 h"), (86_460, "1 d")] {
        assert_eq!(words::lasting(seconds), said);
    }
    for (count, said) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64 << 20, "64.0 MiB")] {
        assert_eq!(words::bytes(count), said);
    }
    for (count, said) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
        assert_eq!(words::count(count), said);
    }
    for (ms, said) in [
        (-840, "-840 ms"),
        (9_999, "+9999 ms"),
        (-3_600_000, "-1 h"),
        (17_999_990, "+5 h"),
        (i64::MIN, "-106751991167 d 7 h"),
    ] {
        assert_eq!(words::skew(ms), said);
    }
}

#[test]
fn an_instant_is_read_as_people_write_it() {
    let exact = "2026-11-20T00:58:31Z".parse().unwrap();
    assert_eq!(words::instant("2026-11-20T00:58:31Z"), Ok(exact));
    assert_eq!(words::instant("2026-11-20T08:58:31+08:00"), Ok(exact));
    let day = words::instant("2026-11-20").unwrap();
    assert_eq!(words::instant("2026-11-20T00:00").unwrap(), day);
    let (earlier, later) = (words::instant("2h").unwrap(), words::instant("1h").unwrap());
    assert!(earlier < later && later < jiff::Timestamp::now());
    for text in ["", "yesterday", "2026-13-01", "25:00", "99999999999d"] {
        assert!(words::instant(text).is_err(), "{text}");
    }
}
