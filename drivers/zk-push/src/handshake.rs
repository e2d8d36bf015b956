//! Our answers to a terminal that starts: its options, stamps, zone and registration.

use std::fmt::Write;

use jiff::tz::Offset;
use sha2::{Digest, Sha256};

use crate::{
    options,
    when::{self, ZoneStyle},
};

/// The highest protocol version that we say: later ones are not described anywhere.
const OURS: [u16; 3] = [2, 4, 1];
/// From 2.4.0 on both sides may try an exchange of keys that needs a closed library; a terminal that asked for it is
/// told this one.
const BEFORE_KEY_EXCHANGE: [u16; 3] = [2, 3, 0];

/// What goes into an answer, whatever the dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer<'a> {
    pub serial: &'a str,
    /// `pushver` as the terminal wrote it.
    pub version: Option<&'a str>,
    pub attlog_stamp: &'a str,
    pub operlog_stamp: &'a str,
    /// Seconds between two polls.
    pub poll: u64,
    /// Seconds until the terminal tries again after an error.
    pub error_delay: u64,
    /// The zone's offset now: the terminal sets its clock to our `Date` plus this.
    pub offset: Offset,
    pub zone_style: ZoneStyle,
    /// It tried the exchange of keys once.
    pub exchange_tried: bool,
}

/// `GET OPTION FROM`: the options of an attendance terminal.
///
/// Only what we want is advertised: a stamp or flag for photos or templates would invite the terminal to send them.
pub(crate) fn attendance(offer: &Offer<'_>) -> String {
    let theirs = offer.version.and_then(options::version);
    let highest = if offer.exchange_tried { BEFORE_KEY_EXCHANGE } else { OURS };
    let mut text = String::with_capacity(512);
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{key}={value}").expect("a String takes everything");
    };
    // PUSH 1.x and 2.x name their stamps differently, and pass over the names they do not know.
    line("ATTLOGStamp", &offer.attlog_stamp);
    line("OPERLOGStamp", &offer.operlog_stamp);
    line("Stamp", &offer.attlog_stamp);
    line("OpStamp", &offer.operlog_stamp);
    line("ErrorDelay", &offer.error_delay);
    line("Delay", &offer.poll);
    line("TransTimes", &"00:00;14:05");
    line("TransInterval", &1);
    // Names from 2.2 on, divided by TAB: with spaces the list is one unknown word to some units. Bits before; the
    // documents disagree on their order, but not on the first three.
    let names = theirs.is_some_and(|version| version >= [2, 2, 0]);
    line("TransFlag", &if names { "TransData AttLog\tOpLog" } else { "1100000000" });
    line("TimeZone", &when::zone_option(offer.offset, offer.zone_style));
    line("Realtime", &1);
    line("Encrypt", &0);
    line("ServerVer", &dotted(OURS));
    if let Some(theirs) = theirs {
        line("PushProtVer", &dotted(theirs.min(highest))); // never higher than the terminal's own
    }
    line("SupportPing", &1);
    line("PushOptionsFlag", &1);
    line("PushOptions", &"FWVersion,UserCount,TransactionCount,~DeviceName,~Platform");
    format!("GET OPTION FROM: {}\n{text}", offer.serial)
}

/// The options of a security terminal. `registered` is the answer to its start; `push` gets the rest alone.
pub(crate) fn security(offer: &Offer<'_>, registered: bool) -> String {
    let version = offer.version.and_then(options::version).unwrap_or([3, 1, 2]).min([3, 1, 2]);
    let head =
        if registered { format!("registry=ok\nRegistryCode={}\n", registry_code(offer.serial)) } else { String::new() };
    format!(
        "{head}ServerVersion=3.1.2\nServerName=punchgate\nPushProtVer={version}\nPushVersion={version}\n\
         ErrorDelay={error}\nRequestDelay={poll}\nTransTimes=00:00;14:05\nTransInterval=1\n\
         TransTables=User Transaction\nRealtime=1\nSessionID={session}\nTimeoutSec=10\n",
        version = dotted(version),
        error = offer.error_delay,
        poll = offer.poll,
        session = invented("session", offer.serial, 32).to_ascii_uppercase(),
    )
}

/// What a security terminal shows from now on to say that it is registered. It proves nothing (nobody knows how its
/// token is made), so it is made from the serial number: the same for ever, with nothing to remember.
pub(crate) fn registry_code(serial: &str) -> String {
    invented("registry", serial, 16)
}

fn invented(what: &str, serial: &str, digits: usize) -> String {
    let digest = Sha256::new().chain_update(what).chain_update("/").chain_update(serial).finalize();
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .take(digits)
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn dotted([major, minor, patch]: [u16; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer<'static> = Offer {
        serial: "ABC1",
        version: Some("2.4.1"),
        attlog_stamp: "9999",
        operlog_stamp: "0",
        poll: 10,
        error_delay: 30,
        offset: Offset::constant(7),
        zone_style: ZoneStyle::Number,
        exchange_tried: false,
    };

    #[test]
    fn an_attendance_terminal_gets_its_options() {
        let text = attendance(&OFFER);
        assert!(text.starts_with("GET OPTION FROM: ABC1\n"));
        for line in [
            "Stamp=9999",
            "ATTLOGStamp=9999",
            "Realtime=1",
            "Delay=10",
            "ErrorDelay=30",
            "TimeZone=7",
            "Encrypt=0",
            "PushProtVer=2.4.1",
            "TransFlag=TransData AttLog\tOpLog",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        for never in ["Photo", "BIODATA", "ResLog", "FP\t"] {
            assert!(!text.contains(never), "{never} is invited:\n{text}");
        }
    }

    #[test]
    fn an_old_terminal_gets_bits_and_never_a_version_above_its_own() {
        let old = attendance(&Offer { version: None, ..OFFER });
        assert!(old.contains("TransFlag=1100000000\n") && !old.contains("PushProtVer"));
        let junk = attendance(&Offer { version: Some("Ver 2.0.33S-20220623\nX=1"), ..OFFER });
        assert!(junk.contains("PushProtVer=2.0.33\n") && !junk.contains("Ver 2") && !junk.contains("X=1"));
        let exchanged = attendance(&Offer { exchange_tried: true, ..OFFER });
        assert!(exchanged.contains("PushProtVer=2.3.0\n"));
    }

    #[test]
    fn a_security_terminal_gets_one_code_for_ever() {
        let text = security(&OFFER, true);
        let code = format!("registry=ok\nRegistryCode={}\n", registry_code("ABC1"));
        assert!(text.starts_with(&code) && text.contains("RequestDelay=10\n"), "{text}");
        assert_eq!(registry_code("ABC1").len(), 16);
        assert_ne!(registry_code("ABC1"), registry_code("ABC2"));
        assert!(security(&OFFER, false).starts_with("ServerVersion="));
    }
}
