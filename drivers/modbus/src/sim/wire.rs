//! Frames in, frames out, and what may go wrong on the way.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    select,
    time::{Instant, sleep, sleep_until},
};
use tokio_serial::SerialStream;

use super::{Fault, Shared, State};

/// How frames are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Tcp,
    Rtu,
}

/// The checksum of RTU frames.
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}

/// A question: what stands before its content, the unit, the content.
struct Question {
    transaction: [u8; 2],
    unit: u8,
    pdu: Vec<u8>,
}

/// Takes the next question off the buffer.
fn take(form: Form, buffer: &mut Vec<u8>) -> Option<Question> {
    match form {
        Form::Tcp => {
            let length = usize::from(u16::from_be_bytes([*buffer.get(4)?, *buffer.get(5)?]));
            if buffer.len() < 6 + length || length < 2 {
                return None;
            }
            let frame: Vec<u8> = buffer.drain(..6 + length).collect();
            Some(Question { transaction: [frame[0], frame[1]], unit: frame[6], pdu: frame[7..].to_vec() })
        }
        Form::Rtu => loop {
            let length = match buffer.get(1)? {
                1..=6 => 8,
                15 | 16 => 9 + usize::from(*buffer.get(6)?),
                _ => 4,
            };
            let frame = buffer.get(..length)?;
            if crc(&frame[..length - 2]).to_le_bytes() == frame[length - 2..] {
                let frame: Vec<u8> = buffer.drain(..length).collect();
                return Some(Question { transaction: [0; 2], unit: frame[0], pdu: frame[1..length - 2].to_vec() });
            }
            buffer.remove(0);
        },
    }
}

fn frame(form: Form, transaction: [u8; 2], unit: u8, pdu: &[u8]) -> Vec<u8> {
    match form {
        Form::Tcp => {
            let length = (pdu.len() as u16 + 1).to_be_bytes();
            [&transaction[..], &[0, 0], &length, &[unit], pdu].concat()
        }
        Form::Rtu => {
            let body = [&[unit], pdu].concat();
            let sum = crc(&body).to_le_bytes();
            [&body[..], &sum].concat()
        }
    }
}

/// What the terminal says; `None` where nobody has this unit or it is switched off.
fn answer(state: &mut State, question: &Question) -> Option<Vec<u8>> {
    if state.dead.contains(&question.unit) {
        return None;
    }
    let device = state.devices.get_mut(&question.unit)?;
    let [fc, rest @ ..] = &*question.pdu else { return None };
    let refuse = |code: u8| Some(vec![fc | 0x80, code]);
    if !matches!(fc, 1..=6 | 16) {
        return refuse(1);
    }
    let word = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    let (addr, second) = (word(0)?, word(2)?);
    match fc {
        1 | 2 => {
            let bits: Option<Vec<bool>> = (0..second.min(2000)).map(|n| device.bit(addr.wrapping_add(n))).collect();
            let Some(bits) = bits else { return refuse(2) };
            let bytes: Vec<u8> = bits
                .chunks(8)
                .map(|eight| eight.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
                .collect();
            Some([&[*fc, bytes.len() as u8][..], &bytes].concat())
        }
        3 | 4 if (1..=125).contains(&second) => {
            let words: Option<Vec<u16>> = (0..second).map(|n| device.word(*fc, addr.wrapping_add(n))).collect();
            let Some(words) = words else { return refuse(2) };
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            Some([&[*fc, bytes.len() as u8][..], &bytes].concat())
        }
        3 | 4 => refuse(3),
        5 | 6 => {
            let value = if *fc == 5 { u16::from(second == 0xff00) } else { second };
            if device.write(*fc, addr, &[value]) { Some(question.pdu.clone()) } else { refuse(3) }
        }
        16 => {
            let words: Vec<u16> =
                rest.get(5..)?.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            if device.write(*fc, addr, &words) { Some(question.pdu[..5].to_vec()) } else { refuse(3) }
        }
        _ => refuse(1),
    }
}

/// What goes on the wire for a question, and when. A fault of this unit, or of any, is used up.
fn reply(shared: &Shared, form: Form, question: &Question) -> Vec<(Duration, Vec<u8>)> {
    let mut state = shared.state();
    *state.questions.entry(question.unit).or_default() += 1;
    let here = state.devices.contains_key(&question.unit) && !state.dead.contains(&question.unit);
    let at = state.faults.iter().position(|(unit, _)| here && unit.is_none_or(|unit| unit == question.unit));
    let fault = at.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault);
    let now = Duration::ZERO;
    if fault == Some(Fault::Unheard) {
        return vec![];
    }
    if let Some(Fault::Exception(code)) = fault {
        let pdu = [question.pdu.first().copied().unwrap_or(0) | 0x80, code];
        return vec![(now, frame(form, question.transaction, question.unit, &pdu))];
    }
    let Some(mut pdu) = answer(&mut state, question) else { return vec![] };
    match fault {
        Some(Fault::Length(says)) => pdu[1] = says,
        Some(Fault::Registers(count)) => {
            pdu = [vec![pdu[0], count.wrapping_mul(2)], vec![0; usize::from(count) * 2]].concat()
        }
        Some(Fault::Function(function)) => pdu[0] = function,
        _ => {}
    }
    let right = frame(form, question.transaction, question.unit, &pdu);
    let right = [std::mem::take(&mut state.echo), right].concat();
    match fault {
        None | Some(Fault::Length(_) | Fault::Registers(_) | Fault::Function(_)) => vec![(now, right)],
        Some(Fault::Echo) => {
            state.echo.clone_from(&right);
            vec![(now, right)]
        }
        Some(Fault::Lost | Fault::Unheard | Fault::Exception(_)) => vec![],
        Some(Fault::Late(by)) => vec![(by, right)],
        Some(Fault::Before(bytes)) => vec![(now, [bytes, right].concat())],
        Some(Fault::Inside(bytes)) => {
            let middle = right.len() / 2;
            vec![(now, [&right[..middle], &bytes, &right[middle..]].concat())]
        }
        Some(Fault::Twice) => vec![(now, [&right[..], &right].concat())],
        Some(Fault::Flipped) => {
            let mut wrong = right;
            let last = wrong.len() - 3;
            wrong[last] ^= 0x10;
            vec![(now, wrong)]
        }
        Some(Fault::WrongUnit) => vec![(now, frame(form, question.transaction, question.unit.wrapping_add(1), &pdu))],
        Some(Fault::Instead(bytes)) => vec![(now, bytes)],
        Some(Fault::Dripping) => {
            right.iter().enumerate().map(|(n, byte)| (Duration::from_millis(n as u64), vec![*byte])).collect()
        }
    }
}

/// Serves one connection until it ends or is cut.
pub(super) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, form: Form, shared: Arc<Shared>) {
    let mut cut = shared.cut.subscribe();
    let mut buffer = Vec::new();
    let mut outgoing: Vec<(Instant, Vec<u8>)> = Vec::new();
    loop {
        let next = outgoing.iter().map(|(at, _)| *at).min();
        select! {
            _ = cut.changed() => return,
            read = stream.read_buf(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    while let Some(question) = take(form, &mut buffer) {
                        let now = Instant::now();
                        for (after, bytes) in reply(&shared, form, &question) {
                            if after.is_zero() {
                                if stream.write_all(&bytes).await.is_err() {
                                    return;
                                }
                            } else {
                                outgoing.push((now + after, bytes));
                            }
                        }
                    }
                }
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                let at = outgoing.iter().position(|(at, _)| Some(*at) == next).unwrap_or(0);
                let (_, bytes) = outgoing.remove(at);
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Serves a serial line for as long as the cable is in: whoever opens and closes the near end does not matter.
pub(super) async fn serve_serial(mut far: SerialStream, shared: Arc<Shared>) {
    loop {
        serve(&mut far, Form::Rtu, shared.clone()).await;
        // Nobody has the near end open: a pseudo terminal says so with an error, again and again.
        sleep(Duration::from_millis(5)).await;
    }
}
