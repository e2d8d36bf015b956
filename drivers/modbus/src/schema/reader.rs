//! One table of a map's file, and the parts that many tables have: blocks, fields, codes, times.

use std::path::Path;

use driver_api::{Problems, Section};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{
    map::{Block, Codes, MOST_READ, Target},
    value::{Field, Form, Order, TimeForm},
};

/// One table of the file.
pub(super) struct Reader<'p> {
    pub(super) section: Section,
    pub(super) problems: &'p mut Problems,
}

type Check<T> = Result<T, (String, String)>;

impl Reader<'_> {
    /// `form`, byte order and whether it is UTC.
    pub(super) fn time(&mut self) -> (Option<TimeForm>, Order, bool) {
        let form = self.need_checked("type", "\"unix\"", |form: String| match &*form {
            "unix" => Ok(TimeForm::Unix),
            "2000" => Ok(TimeForm::Since2000),
            "bcd_ymdhms" => Ok(TimeForm::Bcd),
            "words6" => Ok(TimeForm::Words),
            _ => Err(choice("type", &["unix", "2000", "bcd_ymdhms", "words6"])),
        });
        let order = self.order();
        (form, order, self.take::<bool>("utc", "true").unwrap_or(false))
    }

    pub(super) fn coded<T: DeserializeOwned>(&mut self, key: &'static str, most: u16) -> Option<(Field, Codes<T>)> {
        let mut it = self.sub(key)?;
        let field = it.field(most, &[Form::Number]);
        let example = if key == "verify" { "{ 1 = \"card\" }" } else { "{ 0 = \"in\", 1 = \"out\" }" };
        let codes = it.section.take_checked("codes", example, it.problems, |codes: Table| {
            let mut found = Vec::new();
            for (code, value) in codes {
                let number: u64 = code.parse().map_err(|_| {
                    (
                        format!("{code:?} is no code: codes are numbers"),
                        format!("write it like this: codes = {example}"),
                    )
                })?;
                let value = T::deserialize(value).map_err(|error| {
                    (error.to_string().trim().replace('\n', " "), format!("write it like this: codes = {example}"))
                })?;
                found.push((number, value));
            }
            Ok(found)
        });
        it.section.finish(it.problems);
        Some((field?, codes.unwrap_or_default()))
    }

    pub(super) fn field_of(&mut self, key: &'static str, most: u16, forms: &[Form]) -> Option<Field> {
        let mut it = self.sub(key)?;
        let field = it.field(most, forms);
        it.section.finish(it.problems);
        field
    }

    pub(super) fn field(&mut self, most: u16, forms: &[Form]) -> Option<Field> {
        let named = |name: &str| match name {
            "u16" => Some((Form::Number, Some(1))),
            "u32" => Some((Form::Number, Some(2))),
            "u64" => Some((Form::Number, Some(4))),
            "bcd" => Some((Form::Bcd, None)),
            "text" => Some((Form::Text, None)),
            "hex" => Some((Form::Hex, None)),
            "wiegand26" => Some((Form::Wiegand26, Some(2))),
            _ => None,
        };
        let names = ["u16", "u32", "u64", "bcd", "text", "hex", "wiegand26"];
        let fitting: Vec<&str> =
            names.into_iter().filter(|name| named(name).is_some_and(|(form, _)| forms.contains(&form))).collect();
        let form = self.section.take_checked("type", "\"u32\"", self.problems, |name: String| {
            named(&name).filter(|_| fitting.contains(&&*name)).ok_or_else(|| choice("type", &fitting))
        });
        let (form, fixed) = form.unwrap_or((Form::Number, Some(1)));
        let words = match fixed {
            Some(words) => Some(words),
            None => self.need_within("words", "4", 1..=32),
        };
        let order = self.order();
        let at = self.offset_of("at", most.saturating_sub(words? - 1));
        Some(Field { at: at?, words: words?.into(), form, order })
    }

    pub(super) fn order(&mut self) -> Order {
        let order = self.section.take_checked("order", "\"ABCD\"", self.problems, |order: String| match &*order {
            "ABCD" => Ok(Order::Abcd),
            "CDAB" => Ok(Order::Cdab),
            "BADC" => Ok(Order::Badc),
            "DCBA" => Ok(Order::Dcba),
            _ => Err(choice("order", &["ABCD", "CDAB", "BADC", "DCBA"])),
        });
        order.unwrap_or_default()
    }

    pub(super) fn block(&mut self) -> Option<Block> {
        let (fc, addr) = (self.function(), self.addr());
        let words = self.need_within("words", "8", 1..=MOST_READ);
        let (fc, addr, words) = (fc?, addr?, words?);
        if u32::from(addr) + u32::from(words) > 65536 {
            self.section.missing(self.problems, "words", "it ends beyond register 65535", "make it shorter");
        }
        Some(Block { fc, addr, words })
    }

    /// The function that registers are read with.
    pub(super) fn function(&mut self) -> Option<u8> {
        self.need_checked("fc", "3", |fc: u8| {
            let why = "registers are read with 3 (holding) or 4 (input)";
            if matches!(fc, 3 | 4) { Ok(fc) } else { Err((why.into(), "write fc = 3 or fc = 4".into())) }
        })
    }

    pub(super) fn target(&mut self) -> Option<Target> {
        let fc = self.need_checked("fc", "6", |fc: u8| {
            let why = "written is with 5 (one coil), 6 (one register) or 16 (several)";
            if matches!(fc, 5 | 6 | 16) { Ok(fc) } else { Err((why.into(), "write fc = 5, 6 or 16".into())) }
        });
        let addr = self.addr();
        Some(Target { fc: fc?, addr: addr? })
    }

    pub(super) fn addr(&mut self) -> Option<u16> {
        self.need_checked("addr", "0x0100", |addr: i64| {
            u16::try_from(addr).map_err(|_| {
                let why = "an address on the wire is 0 to 65535".to_owned();
                (why, "write it as on the wire: 40257 of a manual is fc = 3, addr = 256".to_owned())
            })
        })
    }

    /// A value to be written: a number, or true and false for a coil.
    pub(super) fn written(&mut self, key: &'static str) -> Option<u16> {
        self.need_checked(key, "1", |value: Value| match value {
            Value::Boolean(on) => Ok(on.into()),
            Value::Integer(number) if u16::try_from(number).is_ok() => Ok(number as u16),
            _ => Err(("it is neither a number of one word nor true or false".into(), format!("write {key} = 1"))),
        })
    }

    /// An offset within a block of so many words.
    pub(super) fn offset(&mut self, key: &'static str, most: u16) -> Option<usize> {
        self.within(key, "0", 0..=most.saturating_sub(1)).map(usize::from)
    }

    pub(super) fn offset_of(&mut self, key: &'static str, most: u16) -> Option<usize> {
        self.need_within(key, "0", 0..=most.saturating_sub(1)).map(usize::from)
    }

    pub(super) fn within(
        &mut self,
        key: &'static str,
        example: &str,
        range: std::ops::RangeInclusive<u16>,
    ) -> Option<u16> {
        self.section.take_checked(key, example, self.problems, |number: i64| in_range(number, &range))
    }

    pub(super) fn need_within(
        &mut self,
        key: &'static str,
        example: &str,
        range: std::ops::RangeInclusive<u16>,
    ) -> Option<u16> {
        self.need_checked(key, example, |number: i64| in_range(number, &range))
    }

    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str, example: &str) -> Option<T> {
        self.section.take(key, example, self.problems)
    }

    pub(super) fn need<T: DeserializeOwned>(&mut self, key: &'static str, example: &str) -> Option<T> {
        self.section.require(key, example, self.problems)
    }

    pub(super) fn need_checked<T: DeserializeOwned, U>(
        &mut self,
        key: &'static str,
        example: &str,
        check: impl FnOnce(T) -> Check<U>,
    ) -> Option<U> {
        self.section.require_checked(key, example, self.problems, check)
    }

    /// A table that may be there, read by `part`.
    pub(super) fn table<T>(&mut self, key: &'static str, part: impl FnOnce(Reader<'_>) -> Option<T>) -> Option<T> {
        self.sub(key).and_then(part)
    }

    /// A table that may be there.
    pub(super) fn sub(&mut self, key: &'static str) -> Option<Reader<'_>> {
        match self.section.take_value(key)? {
            Value::Table(table) => {
                let section = Section::new(format!("{}.", self.section.key(key)), table, Path::new("."));
                Some(Reader { section, problems: self.problems })
            }
            other => {
                let mend = format!("write {key} = {{ ... }}, or [{key}] on a line and its keys below");
                self.section.wrong(self.problems, key, &other, "it is a table".into(), mend);
                None
            }
        }
    }

    /// A table that must be there.
    pub(super) fn must(&mut self, key: &'static str, example: &str) -> Option<Reader<'_>> {
        if self.section.look(key).is_none() {
            self.section.take_value(key);
            self.section.missing(self.problems, key, "it is missing", format!("add a line: {key} = {example}"));
            return None;
        }
        self.sub(key)
    }
}

fn in_range(number: i64, range: &std::ops::RangeInclusive<u16>) -> Check<u16> {
    match u16::try_from(number) {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err((
            format!("it must lie between {} and {}", range.start(), range.end()),
            "count words from 0, within what is read; at most 125 words are read at once".into(),
        )),
    }
}

pub(super) fn choice(key: &str, all: &[&str]) -> (String, String) {
    ("there is no such choice".into(), format!("write {key} = one of \"{}\"", all.join("\", \"")))
}
