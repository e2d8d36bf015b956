//! Why a file cannot stay as it is, in words.

use super::super::{
    super::{
        disk::readout::words,
        verify::files::{HeaderFault, too_long},
    },
    survey::{Home, Source},
};

pub(super) fn fault_of(source: &Source, home: &Home, number: u64) -> Option<String> {
    let name = source.name();
    match &source.fault {
        Some(HeaderFault::Misplaced(_)) => return Some(format!("{name} holds segment {number}")),
        Some(HeaderFault::Empty) => return Some(format!("{name} is empty")),
        Some(HeaderFault::Zeros) => return Some(format!("{name} begins with zeros")),
        Some(_) => return Some(format!("the header of {name} is damaged")),
        None => {}
    }
    if let Some(unread) = words(&source.unread, &name) {
        return Some(unread);
    }
    if let Some(long) = source.too_long {
        return Some(too_long(&name, long));
    }
    let damaged: usize = source.extract.rests.iter().map(|(_, place)| place.len()).sum();
    if damaged > 0 {
        return Some(format!("{damaged} bytes of {name} fail their checksum"));
    }
    if !source.extract.is_clean() {
        return Some(format!("groups in {name} are missing or out of order"));
    }
    (home.retired && source.extract.groups.is_empty()).then(|| format!("nothing of {name} can be read"))
}
