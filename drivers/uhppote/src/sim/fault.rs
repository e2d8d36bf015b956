//! What can go wrong at a simulated board.

/// Something goes wrong when this function is asked for.
#[derive(Debug, Clone)]
pub struct Fault {
    /// `None` for whichever comes next.
    pub function: Option<u8>,
    /// How often it happens.
    pub times: u32,
    pub harm: Harm,
}

#[derive(Debug, Clone)]
pub enum Harm {
    /// The question gets lost: nothing is done, and nothing answered.
    Deaf,
    /// It is done, and the answer gets lost.
    Mute,
    /// In front of the answer, these bytes.
    Bytes(Vec<u8>),
    /// These bytes in place of the answer.
    Instead(Vec<u8>),
    /// The answer comes twice, the second one after the answer to the next question.
    Echo,
    /// The answer waits, and comes in front of the answer to the next question.
    Late,
    /// The answer of a board with another serial number.
    Foreign,
    /// Over TCP, the connection is closed; over UDP the answer gets lost.
    Close,
}

impl Fault {
    /// Happens once, at this function.
    pub fn once(function: u8, harm: Harm) -> Self {
        Self { function: Some(function), times: 1, harm }
    }

    /// Happens so often, whatever is asked for.
    pub fn times(times: u32, harm: Harm) -> Self {
        Self { function: None, times, harm }
    }
}
