//! Whether a punch still is what its id was made of: the one thing that tells a change of a punch behind which none stands,
//! since no chain goes on there to vouch for it.

use driver_api::{Punch, PunchId};

use crate::ledger::{Entry, Ledger};

/// So many equal punches are tried; in one second no terminal ever had more.
const EQUAL: u32 = 65_536;

/// Which of several equal punches of one second it is stands nowhere but in its id.
pub(super) fn has_its_id(ledger: &Ledger, entry: &Entry) -> bool {
    let mut punch = Punch {
        person: entry.person.clone(),
        local: entry.local,
        zone: None,
        direction: entry.direction.clone(),
        verify: entry.verify.clone(),
        work_code: None,
        native: entry.native.clone(),
        nth: 1,
        origin: entry.origin,
        clock: entry.clock,
        flags: Vec::new(),
    };
    (1..=EQUAL).any(|nth| {
        punch.nth = nth;
        PunchId::of(&ledger.serial, &punch) == entry.id
    })
}
