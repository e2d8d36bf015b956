//! Every decoder of what terminals send and of what people write, each on bytes of anybody's choice: for fuzzing. What must
//! hold whatever the bytes are is asserted here.

use std::{
    pin::pin,
    task::{Context, Waker},
};

use driver_api::Problems;
use jiff::tz::TimeZone;
use tokio::{
    io::{AsyncWriteExt, duplex},
    task::unconstrained,
};
use tokio_modbus::{
    Request, Response, Slave,
    client::{Client, rtu, tcp},
    slave::SlaveContext,
};

use crate::{
    map::{Capture, MOST_READ, Map},
    maps, schema,
};

/// Registers that are asked for.
const ASKED: u16 = 4;

/// What comes behind a question, in either framing, up to the end of the line: an answer of the right length, or an error;
/// never a hang.
pub fn answer(bytes: &[u8]) {
    for framed_as_rtu in [false, true] {
        let asking = async {
            let (near, mut far) = duplex(bytes.len() + 512);
            far.write_all(bytes).await.expect("there is room for it");
            far.shutdown().await.expect("nobody has closed it");
            let mut context = if framed_as_rtu { rtu::attach(near) } else { tcp::attach(near) };
            context.set_slave(Slave(1));
            let request = Request::ReadHoldingRegisters(0, ASKED);
            if let Ok(Ok(Response::ReadHoldingRegisters(words))) = context.call(request).await {
                assert!(words.len() <= usize::from(MOST_READ) + 2 && words.len() * 2 < bytes.len());
            }
        };
        at_once(asking);
    }
}

/// Everything is in memory, so whoever is not done after some turns never will be. Without a runtime of its own: there may be one
/// already, and its budget is not for this.
fn at_once(work: impl Future<Output = ()>) {
    let mut work = pin!(unconstrained(work));
    let mut turn = Context::from_waker(Waker::noop());
    assert!((0..1000).any(|_| work.as_mut().poll(&mut turn).is_ready()), "it hangs");
}

/// The words of an event, as one of the maps that ship (the first byte) reads them.
pub fn record(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let (name, text) = maps::SHIPPED[usize::from(*which) % maps::SHIPPED.len()];
    let map = schema::read(name, text, &mut Problems::default()).expect("the maps that ship are right");
    let words: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    read(&map, &words);
}

/// The file of a map: a map, or problems with their mends; and a map that is taken can be read with.
pub fn map(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut problems = Problems::default();
    let map = schema::read("mine.toml", &text, &mut problems);
    assert_eq!(map.is_none(), !problems.errors.is_empty());
    for problem in &problems.errors {
        assert!(!problem.why.is_empty() && !problem.mend.is_empty(), "{problem}");
    }
    if let Some(map) = map {
        read(&map, &[0; 3]);
        read(&map, &[0xffff; 130]);
    }
}

fn read(map: &Map, words: &[u16]) {
    match &map.capture {
        Capture::Fifo(_, record) | Capture::Latch(_, record) => match record.decode(words, &TimeZone::UTC) {
            // A word is five digits or four letters at most.
            Ok(Some(event)) => assert!(!event.person.is_empty() && event.person.len() <= 5 * words.len()),
            Ok(None) => {}
            Err(why) => assert!(!why.is_empty()),
        },
        Capture::Counter(counter) => {
            for field in &counter.ways {
                let _ = field.number(words);
            }
        }
    }
}
