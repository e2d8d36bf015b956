//! A packet in words, for whoever traces a terminal. Bytes are shown only of packets that can hold no person, no card, no name
//! and no key; of all others their number and kind.

use crate::{
    command::{ask, name, reply},
    frame::Packet,
};

/// More bytes than that are not shown of any packet.
const SHOWN: usize = 112;

/// `asked` is the command that the terminal answers; `None` where we are the one who speaks.
pub(crate) fn words(inner: &[u8], asked: Option<u16>) -> String {
    let Ok((packet, sound)) = Packet::decode(inner) else { return "no packet".into() };
    let Packet { command, session, reply, data } = &packet;
    let mut words =
        format!("{command} {}, session {session:#06x}, reply {reply}, {} bytes of data", name(*command), data.len());
    if sound.is_err() {
        words += ", its checksum fails";
    }
    if !data.is_empty() && data.len() <= SHOWN && is_harmless(*command, asked) {
        words += ":";
        data.iter().for_each(|byte| words += &format!(" {byte:02x}"));
    }
    words
}

fn is_harmless(command: u16, asked: Option<u16>) -> bool {
    match asked {
        None => matches!(
            command,
            ask::OPTION
                | ask::SET_TIME
                | ask::EVENT
                | ask::BUFFER
                | ask::CHUNK
                | ask::UNLOCK
                | ask::DISABLE
                | ask::USERS
        ),
        // Records and users come as DATA, also where they were not asked for in chunks.
        Some(asked) => match command {
            reply::PREPARE => true,
            reply::OK => {
                matches!(asked, ask::OPTION | ask::SIZES | ask::GET_TIME | ask::SET_TIME | ask::VERSION | ask::BUFFER)
            }
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_and_keys_are_counted_and_not_shown() {
        let packet = |command, data: &[u8]| Packet::new(command, 0x1234, 7, data).encode();
        let time = words(&packet(reply::OK, &[0xf8, 0xa4, 0x84, 0x33]), Some(ask::GET_TIME));
        assert_eq!(time, "2000 OK, session 0x1234, reply 7, 4 bytes of data: f8 a4 84 33");
        for (command, asked) in [
            (ask::AUTH, None),
            (ask::WRITE_USER, None),
            (ask::DELETE_USER, None),
            (ask::WRITE_SCREEN, None),
            (ask::EVENT, Some(ask::GET_TIME)),
            (reply::DATA, Some(ask::CHUNK)),
            (reply::DATA, Some(ask::BUFFER)),
            (reply::OK_DATA, Some(ask::USERS)),
            (reply::OK, Some(ask::LOG)),
        ] {
            let said = words(&packet(command, b"1024"), asked);
            assert!(said.ends_with("4 bytes of data") && !said.contains("31 30"), "{said}");
        }
        assert_eq!(words(b"1024", None), "no packet");
    }
}
