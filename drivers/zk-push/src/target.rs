//! Request targets: which endpoint is meant, and the keys of the query.

use std::borrow::Cow;

/// What a terminal may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Cdata,
    GetRequest,
    DeviceCmd,
    Ping,
    Fdata,
    Registry,
    Push,
    QueryData,
    RtData,
    /// Key exchange of a closed library: refused, so that the terminal goes on without.
    Exchange,
}

impl Endpoint {
    /// What is posted there is lost when it is acknowledged and not read.
    pub(crate) fn carries_records(self) -> bool {
        matches!(self, Self::Cdata | Self::Fdata | Self::QueryData | Self::DeviceCmd)
    }
}

/// The last segment behind `iclock`, without `.aspx` or `.php`, in any case of letters. In between and in front there is
/// what operators type: `/essl/iclock/cdata`, `/iclock/iclock/cdata.aspx`, `/iclock/cdata/`.
pub(crate) fn endpoint(path: &str) -> Option<Endpoint> {
    let (before, last) = path.trim_end_matches('/').rsplit_once('/')?;
    if !before.split('/').any(|segment| segment.eq_ignore_ascii_case("iclock")) {
        return None;
    }
    let last = last.to_ascii_lowercase();
    let last = last.strip_suffix(".aspx").or_else(|| last.strip_suffix(".php")).unwrap_or(&last);
    Some(match last {
        "cdata" => Endpoint::Cdata,
        "getrequest" | "getreq" => Endpoint::GetRequest,
        "devicecmd" => Endpoint::DeviceCmd,
        "ping" => Endpoint::Ping,
        "fdata" => Endpoint::Fdata,
        "registry" => Endpoint::Registry,
        "push" => Endpoint::Push,
        "querydata" => Endpoint::QueryData,
        "rtdata" => Endpoint::RtData,
        "exchange" => Endpoint::Exchange,
        _ => return None,
    })
}

/// The query of a target, decoded where it is looked into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a>(pub &'a str);

impl<'a> Query<'a> {
    /// The value of a key, in any case of its letters.
    pub(crate) fn get(self, key: &str) -> Option<Cow<'a, str>> {
        self.0.split('&').find_map(|pair| {
            let (found, value) = pair.split_once('=')?;
            found.eq_ignore_ascii_case(key).then(|| percent_decoded(value))
        })
    }

    /// Which table is posted, in small letters; empty where it is not said.
    pub(crate) fn table(self) -> String {
        let table = self.get("tablename").or_else(|| self.get("table")).unwrap_or_default();
        table.chars().take(32).collect::<String>().to_ascii_lowercase()
    }

    /// The terminal's serial number: `[A-Za-z0-9_-]{1,64}`, checked before anybody sees it.
    pub(crate) fn serial(self) -> Result<Cow<'a, str>, BadSerial> {
        let serial = self.get("SN").ok_or(BadSerial::Missing)?;
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=64).contains(&serial.len()) && serial.bytes().all(fine) {
            Ok(serial)
        } else {
            Err(BadSerial::Malformed)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadSerial {
    Missing,
    Malformed,
}

/// `%41` becomes `A`; a plus sign stays what it is, since terminals do not fill forms.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let decoded = match bytes[at..] {
            [b'%', high, low, ..] => hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(decoded.unwrap_or(bytes[at]));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_path_leads_to_its_endpoint() {
        for path in [
            "/iclock/cdata",
            "/iclock/cdata.aspx",
            "/iclock/iclock/cdata",
            "/iclock/CDATA",
            "/iclock/cdata/",
            "/essl/iclock/cdata.php",
            "/ICLOCK/Cdata",
        ] {
            assert_eq!(endpoint(path), Some(Endpoint::Cdata), "{path}");
        }
        assert_eq!(endpoint("/iclock/getrequest.aspx"), Some(Endpoint::GetRequest));
        for path in ["/", "", "/cdata", "/iclock", "/iclock/", "/iclock/cdata/x", "/iclock/.aspx", "/iclockx/cdata"] {
            assert_eq!(endpoint(path), None, "{path}");
        }
    }

    #[test]
    fn a_serial_number_is_plain_or_refused() {
        assert_eq!(Query("sn=ABC-1_2").serial(), Ok("ABC-1_2".into()));
        assert_eq!(Query("a=1&SN=%41BC").serial(), Ok("ABC".into()));
        assert_eq!(Query("table=ATTLOG").serial(), Err(BadSerial::Missing));
        for bad in ["", "../../etc", "%0d%0aX:1", "'--", "a%00", "a b", &"x".repeat(300)] {
            assert_eq!(Query(&format!("SN={bad}")).serial(), Err(BadSerial::Malformed), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            endpoint(&text);
            let _ = Query(&text).serial();
            percent_decoded(&text);
        }
    }
}
