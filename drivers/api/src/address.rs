//! `address = "..."`: how a terminal is reached.

use std::fmt;

use url::Url;

/// A terminal's address, from its URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `tcp://host:port`
    Tcp { host: String, port: u16 },
    /// `udp://host:port`
    Udp { host: String, port: u16 },
    /// `serial:///dev/ttyUSB0?baud=9600&parity=even`
    Serial(SerialLine),
}

/// A serial port and how it is spoken on; 8 data bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SerialLine {
    pub path: String,
    pub baud: u32,
    pub parity: Parity,
    /// 1 or 2
    pub stop_bits: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parity {
    None,
    Even,
    Odd,
}

impl Address {
    /// Reads a URL; the error says what is wrong and how it is written rightly.
    ///
    /// `port` is the protocol's own, for addresses that leave it out.
    pub fn parse(text: &str, port: Option<u16>) -> Result<Self, (String, String)> {
        let mend = "write tcp://HOST:PORT, udp://HOST:PORT or serial:///dev/ttyUSB0?baud=9600&parity=even";
        let wrong = |why: String| (why, mend.to_owned());
        let url = Url::parse(text).map_err(|error| wrong(format!("not a URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err((
                "an address holds no user and no password".into(),
                "keys are given in files: comm_key_file, key_file".into(),
            ));
        }
        match url.scheme() {
            scheme @ ("tcp" | "udp") => {
                let host = url.host_str().filter(|host| !host.is_empty());
                let host = host.ok_or_else(|| wrong("the host is missing".into()))?.to_owned();
                let port = url.port().or(port).filter(|port| *port != 0);
                let port = port.ok_or_else(|| wrong("the port is missing".into()))?;
                if !matches!(url.path(), "" | "/") || url.query().is_some() {
                    return Err(wrong("nothing may stand behind the port".into()));
                }
                Ok(if scheme == "tcp" { Self::Tcp { host, port } } else { Self::Udp { host, port } })
            }
            "serial" => SerialLine::parse(&url).map(Self::Serial).map_err(wrong),
            other => Err(wrong(format!("{other}:// is no way to reach a terminal"))),
        }
    }
}

impl SerialLine {
    fn parse(url: &Url) -> Result<Self, String> {
        if url.host_str().is_some_and(|host| !host.is_empty()) {
            return Err("a serial address has three slashes: serial:///dev/...".into());
        }
        if url.path().len() < 2 {
            return Err("the path of the port is missing".into());
        }
        let mut line = Self { path: url.path().to_owned(), baud: 9600, parity: Parity::None, stop_bits: 1 };
        for (key, value) in url.query_pairs() {
            match &*key {
                "baud" => line.baud = value.parse().map_err(|_| format!("baud={value} is no number"))?,
                "parity" => {
                    line.parity = match &*value {
                        "none" => Parity::None,
                        "even" => Parity::Even,
                        "odd" => Parity::Odd,
                        _ => return Err(format!("parity={value} is none of none, even, odd")),
                    }
                }
                "stop_bits" if matches!(&*value, "1" | "2") => line.stop_bits = value.as_bytes()[0] - b'0',
                _ => return Err(format!("{key}={value} is not known; there are baud, parity and stop_bits")),
            }
        }
        if !(50..=4_000_000).contains(&line.baud) {
            return Err(format!("baud={} is out of 50 to 4000000", line.baud));
        }
        Ok(line)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Udp { host, port } => write!(f, "udp://{host}:{port}"),
            Self::Serial(line) => write!(f, "serial://{}", line.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_is_written() {
        let tcp = Address::parse("tcp://192.0.2.10:4370", None).unwrap();
        assert_eq!(tcp, Address::Tcp { host: "192.0.2.10".into(), port: 4370 });
        assert_eq!(tcp.to_string(), "tcp://192.0.2.10:4370");
        assert_eq!(
            Address::parse("udp://clock-1.lan", Some(4370)),
            Ok(Address::Udp { host: "clock-1.lan".into(), port: 4370 })
        );
        let v6 = Address::parse("tcp://[2001:db8::1]:4370", None).unwrap();
        assert_eq!(v6, Address::Tcp { host: "[2001:db8::1]".into(), port: 4370 });
        assert_eq!(
            Address::parse("serial:///dev/ttyUSB0?baud=19200&parity=even&stop_bits=2", None),
            Ok(Address::Serial(SerialLine {
                path: "/dev/ttyUSB0".into(),
                baud: 19200,
                parity: Parity::Even,
                stop_bits: 2
            }))
        );
    }

    #[test]
    fn a_wrong_address_is_explained() {
        for (text, why) in [
            ("192.0.2.10", "not a URL"),
            ("tcp://192.0.2.10", "the port is missing"),
            ("tcp://192.0.2.10:0", "the port is missing"),
            ("http://192.0.2.10:80", "http:// is no way"),
            ("tcp://admin:1234@192.0.2.10:4370", "no user and no password"),
            ("tcp://192.0.2.10:4370/x", "nothing may stand"),
            ("serial://dev/ttyUSB0", "three slashes"),
            ("serial:///dev/ttyUSB0?baud=fast", "no number"),
            ("serial:///dev/ttyUSB0?baud=1", "out of"),
            ("serial:///dev/ttyUSB0?speed=9600", "is not known"),
        ] {
            let (found, _) = Address::parse(text, None).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }
}
