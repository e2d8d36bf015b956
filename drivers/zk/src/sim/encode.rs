//! Records, events, users and sizes as a terminal writes them.

use jiff::civil::DateTime;

use super::model::{EventForm, Model};
use crate::{record::Form, time};

/// One punch as the simulated terminal knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) person: &'a str,
    /// What forms without text write: the internal number where there is one, else the person as a number.
    pub(super) number: u32,
    pub(super) local: DateTime,
    pub(super) verify: u8,
    pub(super) state: u8,
}

/// Appends a log record.
pub(super) fn record(log: &mut Vec<u8>, form: Form, entry: &Entry<'_>) {
    let time = time::encode(entry.local).to_le_bytes();
    let short = (entry.number as u16).to_le_bytes();
    match form {
        Form::A8 => {
            log.extend_from_slice(&short);
            log.push(entry.verify);
            log.extend_from_slice(&time);
            log.push(entry.state);
        }
        Form::B8 => {
            log.extend_from_slice(&short);
            log.extend_from_slice(&[entry.verify, entry.state]);
            log.extend_from_slice(&time);
        }
        Form::Number16 => {
            log.extend_from_slice(&entry.number.to_le_bytes());
            log.extend_from_slice(&time);
            log.extend_from_slice(&[entry.verify, entry.state, 0, 0, 0, 0, 0, 0]);
        }
        Form::Text(_) => {
            let start = log.len();
            log.resize(start + form.size(), 0);
            let raw = &mut log[start..];
            raw[..2].copy_from_slice(&short);
            text(&mut raw[2..26], entry.person);
            raw[26] = entry.verify;
            raw[27..31].copy_from_slice(&time);
            raw[31] = entry.state;
            raw[36] = 0xff;
        }
    }
}

/// The data of a live punch.
pub(super) fn event(form: EventForm, entry: &Entry<'_>) -> Vec<u8> {
    let mut data = match form {
        EventForm::Short10 | EventForm::Short14 => (entry.number as u16).to_le_bytes().to_vec(),
        EventForm::Long12 => entry.number.to_le_bytes().to_vec(),
        EventForm::Text(_) => {
            let mut field = vec![0; 24];
            text(&mut field, entry.person);
            field
        }
    };
    data.extend_from_slice(&[entry.verify, entry.state]);
    data.extend_from_slice(&time::encode_six(entry.local));
    match form {
        EventForm::Short14 => data.resize(14, 0),
        EventForm::Text(size) => data.resize(usize::from(size).max(32), 0),
        EventForm::Short10 | EventForm::Long12 => {}
    }
    data
}

/// Appends a user of 72 or 28 bytes.
pub(super) fn user(list: &mut Vec<u8>, long: bool, uid: u16, id: &str, name: &str) {
    let start = list.len();
    list.resize(start + if long { 72 } else { 28 }, 0);
    let raw = &mut list[start..];
    raw[..2].copy_from_slice(&uid.to_le_bytes());
    if long {
        text(&mut raw[11..35], name);
        raw[39] = 1;
        text(&mut raw[48..72], id);
    } else {
        text(&mut raw[8..16], name);
        raw[21] = 1;
        raw[24..28].copy_from_slice(&id.parse().unwrap_or(u32::from(uid)).to_le_bytes());
    }
}

/// The answer about sizes.
pub(super) fn sizes(model: &Model, users: usize, records: u32) -> Vec<u8> {
    let mut ints = [0_u32; 28];
    ints[4] = users as u32;
    ints[8] = records;
    ints[14..20].copy_from_slice(&[3000, 10_000, model.capacity, 3000, 10_000, model.capacity.saturating_sub(records)]);
    ints[18] -= (users as u32).min(10_000);
    if model.sizes == 4 {
        ints.fill(0);
    }
    ints.iter().flat_map(|int| int.to_le_bytes()).take(model.sizes).collect()
}

fn text(field: &mut [u8], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}
