//! What can go wrong on a simulated line.

/// Something goes wrong when this is asked.
#[derive(Debug, Clone)]
pub struct Fault {
    /// `None` for whichever comes next.
    pub command: Option<u8>,
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
    /// A bit of the answer is wrong.
    Corrupt,
    /// In front of the answer, these bytes.
    Bytes(Vec<u8>),
    /// These bytes in place of the answer.
    Instead(Vec<u8>),
    /// The answer comes twice at once.
    Twice,
    /// The answer comes again in front of the answer to the next question.
    Echo,
    /// The answer comes after so many milliseconds.
    Late(u64),
    /// The answer of a unit that is not on this line.
    Foreign,
    /// This result, without data.
    Result(u8),
    /// In front of the answer, somebody's punch as it happens, which is in the log too.
    Punch(u64),
    /// It is done, and the connection closed in place of an answer.
    Close,
}

impl Fault {
    /// Happens once, at this command.
    pub fn once(command: u8, harm: Harm) -> Self {
        Self { command: Some(command), times: 1, harm }
    }

    /// Happens so often, whatever is asked.
    pub fn times(times: u32, harm: Harm) -> Self {
        Self { command: None, times, harm }
    }
}
