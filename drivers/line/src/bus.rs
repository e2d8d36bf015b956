//! Which terminals share a line.

use driver_api::{Address, Problem, Problems, SerialLine};

/// One terminal and the address that its block gives.
#[derive(Debug)]
pub struct Member<T> {
    pub name: String,
    pub address: Address,
    /// Whatever else the driver knows of it.
    pub of: T,
}

/// A line with its terminals, in the order of the config.
#[derive(Debug)]
pub struct Bus<T> {
    /// What makes it this line and no other: the path of the port, or host and port. For [`driver_api::Line::key`].
    pub key: String,
    pub address: Address,
    pub members: Vec<Member<T>>,
}

/// Sorts terminals by the line that they share. A port has one speed: who says otherwise is told.
pub fn buses<T>(members: Vec<Member<T>>, problems: &mut Problems) -> Vec<Bus<T>> {
    let mut buses: Vec<Bus<T>> = Vec::new();
    for member in members {
        let key = member.address.to_string();
        let Some(bus) = buses.iter_mut().find(|bus| bus.key == key) else {
            buses.push(Bus { key, address: member.address.clone(), members: vec![member] });
            continue;
        };
        if bus.address != member.address {
            problems.errors.push(Problem {
                key: format!("terminal {:?} address", member.name),
                value: settings(&member.address),
                why: format!(
                    "it is on one line with {:?}, where it is {}: a line has one speed",
                    bus.members[0].name,
                    settings(&bus.address)
                ),
                mend: "give both the same baud, parity and stop_bits, and set the terminals so".into(),
            });
        }
        bus.members.push(member);
    }
    buses
}

fn settings(address: &Address) -> String {
    match address {
        Address::Serial(SerialLine { baud, parity, stop_bits, .. }) => {
            format!("baud={baud}&parity={}&stop_bits={stop_bits}", format!("{parity:?}").to_lowercase())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, address: &str) -> Member<()> {
        Member { name: name.into(), address: Address::parse(address, None).unwrap(), of: () }
    }

    #[test]
    fn terminals_on_one_path_share_a_line() {
        let mut problems = Problems::default();
        let members = vec![
            member("a", "serial:///dev/ttyUSB0?baud=19200"),
            member("b", "tcp://192.0.2.1:502"),
            member("c", "serial:///dev/ttyUSB0?baud=19200"),
            member("d", "tcp://192.0.2.1:503"),
        ];
        let buses = buses(members, &mut problems);
        let names = |bus: &Bus<()>| bus.members.iter().map(|member| member.name.clone()).collect::<Vec<_>>();
        assert_eq!(buses.iter().map(names).collect::<Vec<_>>(), [vec!["a", "c"], vec!["b"], vec!["d"]]);
        assert_eq!(buses[0].key, "serial:///dev/ttyUSB0");
        assert_eq!(problems.errors, []);
    }

    #[test]
    fn a_line_with_two_speeds_is_told() {
        let mut problems = Problems::default();
        let members = vec![
            member("a", "serial:///dev/ttyUSB0?baud=9600&parity=even"),
            member("b", "serial:///dev/ttyUSB0?baud=19200"),
        ];
        assert_eq!(buses(members, &mut problems).len(), 1);
        assert_eq!(
            problems.errors[0].to_string(),
            "terminal \"b\" address = baud=19200&parity=none&stop_bits=1\n    \
             why:  it is on one line with \"a\", where it is baud=9600&parity=even&stop_bits=1: a line has one speed\n    \
             mend: give both the same baud, parity and stop_bits, and set the terminals so"
        );
    }
}
