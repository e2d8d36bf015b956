//! Rows of a security terminal's tables: `user uid=1<TAB>pin=7<TAB>...`, each with its table's name in front.

use crate::{attlog::checked_pin, lines::value};

/// A row without its table's name.
pub(crate) fn without_table<'a>(row: &'a [u8], table: &str) -> &'a [u8] {
    let name = row.get(..table.len()).filter(|name| name.eq_ignore_ascii_case(table.as_bytes()));
    match name {
        Some(_) if row.get(table.len()) == Some(&b' ') => row[table.len() + 1..].trim_ascii_start(),
        _ => row,
    }
}

/// The number in a row of the table `user`. Passwords, cards and names stay where they are.
pub(crate) fn user(row: &[u8]) -> Option<&[u8]> {
    checked_pin(value(without_table(row, "user"), b'\t', "pin")?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_a_user_only_the_number_is_taken() {
        assert_eq!(user(b"user uid=1\tcardno=\tpin=007\tpassword=4711"), Some(&b"007"[..]));
        assert_eq!(user(b"USER pin=7"), Some(&b"7"[..]));
        assert_eq!(user(b"uid=1\tPin=7"), Some(&b"7"[..]));
        for none in ["user uid=1", "user pin=", "", "userpin=7"] {
            assert_eq!(user(none.as_bytes()), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(row: Vec<u8>, table in "[a-z]{0,9}") {
            user(without_table(&row, &table));
        }
    }
}
