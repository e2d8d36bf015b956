//! Who a terminal says it is.

use driver_api::DriverError;

use crate::{
    command::{ask, reply},
    serve::Serving,
    session::Session,
};

/// Longest text of an answer that is of use.
const LONGEST: usize = 64;

/// Empty where the terminal does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) serial: String,
    pub(crate) model: String,
    pub(crate) firmware: String,
    pub(crate) platform: String,
    /// Asked for only when there is no serial number.
    pub(crate) mac: String,
}

impl Identity {
    /// Asks. Some old models take a tenth of a second for each of these.
    pub(crate) async fn ask(session: &mut Session) -> Result<Self, DriverError> {
        let serial = option(session, "~SerialNumber").await?;
        let mac = if serial.is_empty() { option(session, "MAC").await? } else { String::new() };
        let model = option(session, "~DeviceName").await?;
        let platform = option(session, "~Platform").await?;
        let version = session.request(ask::VERSION, &[]).await?;
        let firmware = if version.command == reply::OK { text(&version.data) } else { String::new() };
        Ok(Self { serial, model, firmware, platform, mac })
    }

    /// Asks once more for what punches are booked under; whether it is the same.
    pub(crate) async fn is_confirmed(&self, session: &mut Session) -> Result<bool, DriverError> {
        let serial = option(session, "~SerialNumber").await?;
        Ok(serial == self.serial && (!serial.is_empty() || option(session, "MAC").await? == self.mac))
    }

    /// The serial number that punches are booked under. A few models tell an empty one (SpeedFace); then it is the
    /// configured one, the hardware address, or at last the terminal's name.
    pub(crate) fn serial_or<'a>(&'a self, configured: Option<&'a str>, name: &'a str) -> &'a str {
        [Some(&*self.serial), configured, Some(&*self.mac)]
            .into_iter()
            .flatten()
            .find(|it| !it.is_empty())
            .unwrap_or(name)
    }
}

impl Serving<'_> {
    /// Over UDP the next datagram may be that of another terminal which has the address now, and not all firmware looks at
    /// the session of a question. So what was read in bulk is believed when whoever gave it is asked, and is still the same.
    pub(crate) async fn confirm_identity(&mut self) -> Result<(), DriverError> {
        if !self.session.is_udp() || self.identity.is_confirmed(self.session).await? {
            return Ok(());
        }
        Err(self.session.garbled("it tells another serial number than when the session began"))
    }
}

/// Reads one option; empty when there is none.
pub(crate) async fn option(session: &mut Session, name: &str) -> Result<String, DriverError> {
    let answer = session.request(ask::OPTION, format!("{name}\0").as_bytes()).await?;
    Ok(if answer.command == reply::OK { value(&answer.data) } else { String::new() })
}

/// What stands behind the first `=` of `name=value`.
pub(crate) fn value(data: &[u8]) -> String {
    let at = data.iter().position(|byte| *byte == b'=').map_or(data.len(), |at| at + 1);
    text(&data[at..]).trim_matches('=').trim().to_owned()
}

/// Text up to a NUL, without anything that could play tricks in a log or a topic.
pub(crate) fn text(data: &[u8]) -> String {
    let data = data.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(&data[..data.len().min(LONGEST)]);
    text.chars().filter(|letter| !letter.is_control()).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_what_stands_between_the_sign_and_the_nul() {
        assert_eq!(value(b"~SerialNumber=AIOR192960031\0rest"), "AIOR192960031");
        assert_eq!(value(b"MAC==00:17:61:12:34:56 \0"), "00:17:61:12:34:56");
        assert_eq!(value(b"~SerialNumber=\0"), "");
        assert_eq!(value(b"no sign"), "");
        assert_eq!(value(&[b'='; 300]), "");
        assert_eq!(text(b"Ver 6.60\x1b[2J Apr\0"), "Ver 6.60[2J Apr");
        assert_eq!(text(&[b'x'; 300]).len(), LONGEST);
    }

    #[test]
    fn a_terminal_without_serial_number_is_known_by_something_else() {
        let mut it = Identity { serial: "SN1".into(), mac: "m".into(), ..Identity::default() };
        assert_eq!(it.serial_or(Some("SN1"), "front-door"), "SN1");
        it.serial.clear();
        assert_eq!(it.serial_or(Some("SN2"), "front-door"), "SN2");
        assert_eq!(it.serial_or(None, "front-door"), "m");
        it.mac.clear();
        assert_eq!(it.serial_or(None, "front-door"), "front-door");
    }
}
