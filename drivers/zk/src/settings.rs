//! The keys of a `[[terminal]]` block and of `[driver.zk]`.

use std::{collections::BTreeMap, time::Duration};

use driver_api::{Address, Period, Problem, Problems, Section, Verify};

use crate::commkey;

/// The protocol's own port.
pub(crate) const PORT: u16 = 4370;

/// One terminal's settings, as used.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) comm_key: Option<u32>,
    /// The serial number that must be found there.
    pub(crate) serial: Option<String>,
    /// Between two comparisons of the terminal's log with ours.
    pub(crate) reconcile: Duration,
    pub(crate) set_clock: bool,
    /// How far the terminal's clock may be off before somebody is told, or the clock set.
    pub(crate) clock_limit: Duration,
    pub(crate) live: bool,
    pub(crate) tolerate_checksum: bool,
    pub(crate) loose_reply_ids: bool,
    /// How long a plain answer may take; everything else is measured by it.
    pub(crate) timeout: Duration,
    /// What the terminal's verify codes mean, beyond the few that are certain.
    pub(crate) verify: BTreeMap<u8, Verify>,
}

/// What `[driver.zk]` gives to all terminals that do not say otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    reconcile: Duration,
    set_clock: bool,
    clock_limit: Duration,
}

impl Defaults {
    pub(crate) fn take(mut section: Section, problems: &mut Problems) -> Self {
        let reconcile = reconcile(&mut section, problems).unwrap_or(Duration::from_secs(15 * 60));
        let set_clock = section.take("set_clock", "false", problems).unwrap_or(false);
        let clock_limit = clock_limit(&mut section, problems).unwrap_or(Duration::from_secs(30));
        section.finish(problems);
        Self { reconcile, set_clock, clock_limit }
    }
}

impl Settings {
    /// Takes a terminal's block. `None` when something in it is wrong; the problems tell what.
    pub(crate) fn take(mut section: Section, defaults: Defaults, problems: &mut Problems) -> Option<Self> {
        let before = problems.errors.len();
        let address = address(&mut section, problems);
        let comm_key = comm_key(&mut section, problems);
        let serial = section.take_checked("serial", "\"CEXA204060001\"", problems, |serial: String| {
            let mend = "write the serial number of the terminal's menu, or leave the line out".to_owned();
            if serial.trim().is_empty() { Err(("it is empty".to_owned(), mend)) } else { Ok(serial.trim().to_owned()) }
        });
        let verify = verify(&mut section, problems);
        let settings = Self {
            address: address.unwrap_or(Address::Tcp { host: String::new(), port: PORT }),
            comm_key,
            serial,
            reconcile: reconcile(&mut section, problems).unwrap_or(defaults.reconcile),
            set_clock: section.take("set_clock", "true", problems).unwrap_or(defaults.set_clock),
            clock_limit: clock_limit(&mut section, problems).unwrap_or(defaults.clock_limit),
            live: section.take("live", "true", problems).unwrap_or(true),
            tolerate_checksum: section.take("tolerate_checksum", "false", problems).unwrap_or(false),
            loose_reply_ids: section.take("loose_reply_ids", "false", problems).unwrap_or(false),
            timeout: period(&mut section, "timeout", "\"5s\"", (100, 60_000), problems)
                .unwrap_or(Duration::from_secs(5)),
            verify,
        };
        section.finish(problems);
        (problems.errors.len() == before).then_some(settings)
    }
}

/// Which block has which terminal. Two for one are told and no more: nothing is lost by them, and all of it comes twice.
#[derive(Debug, Default)]
pub(crate) struct Twice {
    addresses: BTreeMap<String, String>,
    serials: BTreeMap<String, String>,
}

impl Twice {
    pub(crate) fn look(&mut self, name: &str, settings: &Settings, problems: &mut Problems) {
        let address = Some(settings.address.to_string());
        let known = [("address", address, &mut self.addresses), ("serial", settings.serial.clone(), &mut self.serials)];
        for (key, value, owners) in known {
            let Some(value) = value else { continue };
            if let Some(owner) = owners.insert(value.clone(), name.to_owned()) {
                problems.warnings.push(Problem {
                    key: format!("terminal {name:?} {key}"),
                    value,
                    why: format!(
                        "terminal {owner:?} has the same, and each of its punches will be there under both names"
                    ),
                    mend: "keep one block for each terminal".into(),
                });
            }
        }
    }
}

fn address(section: &mut Section, problems: &mut Problems) -> Option<Address> {
    let address = section.address(Some(PORT), problems)?;
    if let Address::Serial(line) = &address {
        let why = "these terminals speak over the network only".to_owned();
        let mend = "write tcp://HOST:4370, or udp://HOST:4370 for old models".to_owned();
        section.wrong(problems, "address", &format!("serial://{}", line.path).into(), why, mend);
        return None;
    }
    Some(address)
}

fn comm_key(section: &mut Section, problems: &mut Problems) -> Option<u32> {
    let secret = section.secret("comm_key_file", "\"/etc/punchgate/front-door.key\"", problems)?;
    let key = commkey::parse(secret.reveal().trim());
    if key.is_none() {
        // The content stays out of the message: it may be a key of something else.
        let why = "what is in that file is no comm key: a comm key is 1 to 6 digits".to_owned();
        let mend = "write the digits of the terminal's menu Comm. > PC connection > Comm key into it".to_owned();
        section.wrong(problems, "comm_key_file", &"***".into(), why, mend);
    }
    key
}

fn verify(section: &mut Section, problems: &mut Problems) -> BTreeMap<u8, Verify> {
    const EXAMPLE: &str = "{ 2 = \"card\", 25 = \"palm\" }";
    let check = |table: BTreeMap<String, Verify>| {
        let mut codes = BTreeMap::new();
        for (code, value) in table {
            let Ok(code) = code.parse() else {
                let mend = format!("write it like this: verify = {EXAMPLE}");
                return Err((format!("{code:?} is no code: codes are 0 to 255"), mend));
            };
            codes.insert(code, value);
        }
        Ok(codes)
    };
    section.take_checked("verify", EXAMPLE, problems, check).unwrap_or_default()
}

fn reconcile(section: &mut Section, problems: &mut Problems) -> Option<Duration> {
    period(section, "reconcile", "\"15m\"", (100, 86_400_000), problems)
}

fn clock_limit(section: &mut Section, problems: &mut Problems) -> Option<Duration> {
    period(section, "clock_limit", "\"30s\"", (1, 86_400_000), problems)
}

fn period(
    section: &mut Section,
    key: &'static str,
    example: &str,
    (least, most): (u64, u64),
    problems: &mut Problems,
) -> Option<Duration> {
    section.take_checked(key, example, problems, |Period(length): Period| {
        if (least..=most).contains(&(length.as_millis() as u64)) {
            return Ok(length);
        }
        let why = format!("it must lie between {least} ms and {} s", most / 1000);
        Err((why, format!("write it like this: {key} = {example}")))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn take(block: &str) -> (Option<Settings>, Vec<String>) {
        let mut problems = Problems::default();
        let section = |text: &str| Section::new("terminal \"t\" ", text.parse().unwrap(), Path::new("/nowhere"));
        let defaults =
            Defaults::take(section("reconcile = \"5m\"\nset_clock = true\nclock_limit = \"2m\""), &mut problems);
        let settings = Settings::take(section(block), defaults, &mut problems);
        (settings, problems.errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_block_with_an_address_suffices() {
        let (settings, problems) = take("address = \"tcp://192.0.2.10\"");
        assert_eq!(problems, Vec::<String>::new());
        let settings = settings.unwrap();
        assert_eq!(settings.address.to_string(), "tcp://192.0.2.10:4370");
        assert_eq!((settings.reconcile, settings.clock_limit), (Duration::from_secs(300), Duration::from_secs(120)));
        assert!(settings.set_clock && settings.live && settings.comm_key.is_none());
    }

    #[test]
    fn two_blocks_for_one_terminal_are_told() {
        let (mut twice, mut problems) = (Twice::default(), Problems::default());
        for (name, block) in [
            ("a", "address = \"tcp://192.0.2.10\"\nserial = \"A1\""),
            ("b", "address = \"tcp://192.0.2.11\""),
            ("c", "address = \"tcp://192.0.2.10:4370\""),
            ("d", "address = \"tcp://192.0.2.10:4371\"\nserial = \"A1\""),
        ] {
            twice.look(name, &take(block).0.unwrap(), &mut problems);
        }
        let told: Vec<String> = problems.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(
            told[0].contains("terminal \"c\" address") && told[0].contains("terminal \"a\" has the same"),
            "{told:#?}"
        );
        assert!(told[1].contains("terminal \"d\" serial"), "{told:#?}");
    }

    #[test]
    fn every_wrong_key_is_told_at_once() {
        let (settings, problems) = take(
            "address = \"serial:///dev/ttyS0\"\ncomm_key_file = \"none\"\nserial = \" \"\nreconcile = \"1ms\"\n\
             clock_limit = 3\nverify = { x = \"card\" }\nlvie = true",
        );
        assert!(settings.is_none());
        for part in
            ["over the network", "cannot be read", "it is empty", "between 100 ms", "clock_limit", "no code", "live?"]
        {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
        }
        assert_eq!(problems.len(), 7);
    }
}
