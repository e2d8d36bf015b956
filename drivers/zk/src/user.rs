//! The terminal's user list, as far as a gateway may know it: numbers. Names, cards and passwords stay where they are.

use std::collections::{HashMap, HashSet};

use crate::record::{Unreadable, person};

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The terminal's internal number, given again to others after a deletion.
    pub uid: u16,
    /// The printed id: what the person is known by.
    pub id: String,
    /// Bit 0: disabled; the rest a level, 0 for users and 14 for super administrators.
    pub privilege: u8,
}

impl User {
    fn names_somebody(&self) -> bool {
        self.uid != 0 && self.id != "0"
    }
}

/// Bytes of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 28 bytes with a numeric id.
    Short,
    /// 72 bytes with an id of text.
    Long,
}

/// The list fits neither width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are no list of users in entries of 28 or 72 bytes")]
pub struct NoWidth {
    pub bytes: usize,
}

impl Width {
    pub fn size(self) -> usize {
        match self {
            Self::Short => 28,
            Self::Long => 72,
        }
    }

    /// Reads one entry of [`Width::size`] bytes.
    pub fn decode(self, raw: &[u8]) -> Result<User, Unreadable> {
        if raw.len() != self.size() {
            return Err(Unreadable::Size);
        }
        let id = match self {
            Self::Short => u32::from_le_bytes([raw[24], raw[25], raw[26], raw[27]]).to_string(),
            Self::Long => person(&raw[48..])?.to_owned(),
        };
        Ok(User { uid: u16::from_le_bytes([raw[0], raw[1]]), id, privilege: raw[2] })
    }

    /// An entry for somebody new: an ordinary user of group 1. `Err` says why there is none.
    pub(crate) fn blank(self, uid: u16, id: &str) -> Result<Vec<u8>, &'static str> {
        let mut raw = vec![0; self.size()];
        raw[..2].copy_from_slice(&uid.to_le_bytes());
        match self {
            Self::Short => {
                let number = id.parse().ok().filter(|number: &u32| number.to_string() == id && *number > 0);
                let number = number.ok_or("this model keeps numbers only, without zeros in front")?;
                raw[21] = 1;
                raw[24..28].copy_from_slice(&number.to_le_bytes());
            }
            Self::Long => {
                raw[39] = 1;
                put(&mut raw[48..72], id).map_err(|()| "the number is longer than this model can keep")?;
            }
        }
        Ok(raw)
    }

    /// Writes a name and a card into an entry, where they are given.
    pub(crate) fn change(self, raw: &mut [u8], name: Option<&str>, card: Option<u32>) -> Result<(), &'static str> {
        let (names, cards) = self.name_and_card();
        if let Some(name) = name {
            put(&mut raw[names], name).map_err(|()| "the name is longer than this model can keep")?;
        }
        if let Some(card) = card {
            raw[cards].copy_from_slice(&card.to_le_bytes());
        }
        Ok(())
    }

    /// Whether two entries have one name and one card; what stands behind a name's end is rubbish.
    pub(crate) fn shows_the_same(self, one: &[u8], other: &[u8]) -> bool {
        let (names, cards) = self.name_and_card();
        let name = |raw: &[u8]| raw[names.clone()].split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        name(one) == name(other) && one[cards.clone()] == other[cards]
    }

    fn name_and_card(self) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        match self {
            Self::Short => (8..16, 16..20),
            Self::Long => (11..35, 35..39),
        }
    }

    /// Finds the width of a list: by the terminal's count of users where that divides it, else by what its entries look
    /// like (504 bytes are 18 short or 7 long ones).
    pub fn of(list: &[u8], count: Option<u32>) -> Result<Self, NoWidth> {
        let fits: Vec<Self> = [Self::Long, Self::Short]
            .into_iter()
            .filter(|width| !list.is_empty() && list.len().is_multiple_of(width.size()))
            .collect();
        // One entry that names nobody makes no other list of a list.
        let sound = |width: &Self| {
            let mut seen = HashSet::new();
            let is_sound =
                |raw: &&[u8]| width.decode(raw).is_ok_and(|user| user.names_somebody() && seen.insert(user.uid));
            let entries = list.len() / width.size();
            (list.chunks_exact(width.size()).filter(is_sound).count() * 1000 / entries) as u32
        };
        let is_told = |width: &&Self| count.is_some_and(|count| list.len() == count as usize * width.size());
        if let [only] = fits[..]
            && is_told(&&only)
        {
            return Ok(only);
        }
        let best = fits.iter().map(sound).max().filter(|best| *best > 500);
        let mut best = fits.iter().filter(|width| Some(sound(width)) == best);
        best.clone()
            .find(is_told)
            .or_else(|| best.next().filter(|_| best.next().is_none()))
            .copied()
            .ok_or(NoWidth { bytes: list.len() })
    }
}

/// A text into a field, with zeros behind it.
fn put(field: &mut [u8], text: &str) -> Result<(), ()> {
    let room = field.get_mut(..text.len()).ok_or(())?;
    room.copy_from_slice(text.as_bytes());
    field[text.len()..].fill(0);
    Ok(())
}

/// Reads a whole list. Entries that cannot be read are left out: they name nobody.
pub fn decode(list: &[u8], count: Option<u32>) -> Result<Vec<User>, NoWidth> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let width = Width::of(list, count)?;
    Ok(list.chunks_exact(width.size()).filter_map(|raw| width.decode(raw).ok()).collect())
}

/// Explains the numbers in records.
#[derive(Debug, Clone, Default)]
pub struct People {
    printed: HashSet<u32>,
    by_uid: HashMap<u32, String>,
}

impl People {
    pub fn new(users: impl IntoIterator<Item = User>) -> Self {
        let mut people = Self::default();
        for user in users.into_iter().filter(User::names_somebody) {
            // `007` is not the number 7: only ids that read as the number reads count as printed numbers.
            if let Some(number) = user.id.parse().ok().filter(|number: &u32| number.to_string() == user.id) {
                people.printed.insert(number);
            }
            people.by_uid.insert(user.uid.into(), user.id);
        }
        people
    }

    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }

    /// The person behind a number: who has it as printed id, else who has it as internal number, else nobody known.
    pub fn find(&self, number: u32) -> Option<String> {
        if self.printed.contains(&number) {
            return Some(number.to_string());
        }
        self.by_uid.get(&number).cloned()
    }

    /// Whether a number is one person's printed id and another's internal number: which of them punched, nobody can tell.
    pub fn is_ambiguous(&self, number: u32) -> bool {
        self.printed.contains(&number) && self.by_uid.get(&number).is_some_and(|id| *id != number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u16, id: &str) -> User {
        User { uid, id: id.into(), privilege: 0 }
    }

    #[test]
    fn a_number_is_a_printed_id_first_and_an_internal_number_second() {
        let people = People::new([user(1, "5"), user(5, "1005"), user(7, "007")]);
        assert_eq!(people.find(5).as_deref(), Some("5"));
        assert_eq!(people.find(1).as_deref(), Some("5"));
        assert_eq!(people.find(7).as_deref(), Some("007"));
        assert_eq!(people.find(1005).as_deref(), Some("1005"));
        assert_eq!(people.find(9), None);
        for (number, ambiguous) in [(5, true), (1, false), (7, false), (1005, false), (9, false)] {
            assert_eq!(people.is_ambiguous(number), ambiguous, "{number}");
        }
        assert!(!People::new([user(3, "3")]).is_ambiguous(3));
    }

    fn long(uid: u16, id: &str) -> Vec<u8> {
        let mut raw = vec![0; 72];
        raw[..2].copy_from_slice(&uid.to_le_bytes());
        raw[48..48 + id.len()].copy_from_slice(id.as_bytes());
        raw
    }

    fn short(uid: u16, id: u32) -> Vec<u8> {
        let mut raw = vec![0; 28];
        raw[..2].copy_from_slice(&uid.to_le_bytes());
        raw[24..].copy_from_slice(&id.to_le_bytes());
        raw
    }

    #[test]
    fn five_hundred_and_four_bytes_are_seven_long_or_eighteen_short_entries() {
        let seven: Vec<u8> = (1..=7).flat_map(|uid| long(uid, "12")).collect();
        let eighteen: Vec<u8> = (1..=18).flat_map(|uid| short(uid, 1000 + u32::from(uid))).collect();
        for count in [None, Some(3), Some(7), Some(18)] {
            assert_eq!(decode(&seven, count).unwrap().len(), 7, "{count:?}");
            assert_eq!(decode(&eighteen, count).unwrap().len(), 18, "{count:?}");
        }
        // An entry for nobody among them, where nothing else tells the width.
        let odd = [eighteen[..17 * 28].to_vec(), short(18, 0)].concat();
        assert_eq!(decode(&odd, None).unwrap().len(), 18);
        let people = People::new(decode(&odd, None).unwrap());
        assert_eq!((people.find(17).as_deref(), people.find(18)), (Some("1017"), None));
        assert_eq!(decode(&[1; 30], None), Err(NoWidth { bytes: 30 }));
        assert_eq!(decode(&[], Some(4)), Ok(Vec::new()));
    }
}
