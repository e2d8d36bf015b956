//! The vendor's codes of direction and verification, mapped to ours. The code itself always travels along.

use driver_api::{Direction, DirectionMark, Mark, Raw, Verify, VerifyMark};

/// Which of the vendor's two tables of verify codes holds. They contradict each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum VerifyTable {
    /// Attendance PUSH from 2.2 on, and security PUSH.
    #[default]
    Newer,
    /// PUSH SDK 2.0.1 and its branch with ISO stamps (3.2.0).
    Older,
}

/// A code field as it was read: a number where it is one, text where zeros in front or letters say that it is none
/// (security terminals send masks such as `0000000000000010`), `None` where the field is empty.
pub(crate) fn raw(field: &[u8]) -> Option<Raw> {
    let text = std::str::from_utf8(field).unwrap_or("").trim();
    if text.is_empty() {
        // Bytes that are no text are a code all the same, and make the punch another one.
        return (!field.trim_ascii().is_empty())
            .then(|| Raw::Text(String::from_utf8_lossy(&field[..field.len().min(32)]).into_owned()));
    }
    match text.parse::<i64>() {
        Ok(code) if code.to_string() == text => Some(Raw::Number(code)),
        _ => Some(Raw::Text(text.chars().take(32).collect())),
    }
}

/// The key that somebody pressed at an attendance terminal, in its common reading. Many sites never press one.
pub(crate) fn direction(raw: Option<Raw>) -> DirectionMark {
    let value = match raw {
        Some(Raw::Number(0)) => Direction::In,
        Some(Raw::Number(1)) => Direction::Out,
        Some(Raw::Number(2)) => Direction::BreakOut,
        Some(Raw::Number(3)) => Direction::BreakIn,
        Some(Raw::Number(4)) => Direction::OvertimeIn,
        Some(Raw::Number(5)) => Direction::OvertimeOut,
        _ => Direction::Unknown, // 255: no state chosen
    };
    Mark { value, raw }
}

/// `inoutstatus` of a security terminal: 0 in, 1 out, 2 none.
pub(crate) fn passage(raw: Option<Raw>) -> DirectionMark {
    let value = match raw {
        Some(Raw::Number(0)) => Direction::In,
        Some(Raw::Number(1)) => Direction::Out,
        _ => Direction::Unknown,
    };
    Mark { value, raw }
}

/// How a person was recognised. Combinations ("finger or card") stay unknown: they do not say which it was.
pub(crate) fn verify(raw: Option<Raw>, table: VerifyTable) -> VerifyMark {
    let value = match (&raw, table) {
        (Some(Raw::Number(code)), VerifyTable::Newer) => match code {
            0 | 3 => Verify::Password,
            1 => Verify::Finger,
            4 => Verify::Card,
            15 => Verify::Face,
            25 => Verify::Palm,
            _ => Verify::Unknown,
        },
        (Some(Raw::Number(code)), VerifyTable::Older) => match code {
            0 | 131 => Verify::Password,
            1 | 129 => Verify::Finger,
            2 | 132 => Verify::Card,
            15 | 148 => Verify::Face,
            _ => Verify::Unknown,
        },
        (Some(Raw::Text(mask)), _) if mask == "0000000000000010" => Verify::Face,
        _ => Verify::Unknown,
    };
    Mark { value, raw }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_mask_is_no_number() {
        assert_eq!(raw(b"0000000000000010"), Some(Raw::Text("0000000000000010".into())));
        assert_eq!(raw(b"10"), Some(Raw::Number(10)));
        assert_eq!(raw(b" 0 "), Some(Raw::Number(0)));
        assert_eq!(raw(b""), None);
        assert_eq!(raw(b"\xff"), Some(Raw::Text("\u{fffd}".into())));
    }

    #[test]
    fn the_two_tables_read_a_card_differently() {
        assert_eq!(verify(Some(Raw::Number(4)), VerifyTable::Newer).value, Verify::Card);
        assert_eq!(verify(Some(Raw::Number(2)), VerifyTable::Older).value, Verify::Card);
        assert_eq!(verify(Some(Raw::Number(2)), VerifyTable::Newer).value, Verify::Unknown);
    }
}
