//! What a terminal holds and can hold: the answer to GET_FREE_SIZES.

/// Counts as far as the terminal told them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    pub users: Option<u32>,
    /// Records of the attendance log. Zero proves nothing: some firmware always says so.
    pub records: Option<u32>,
    pub capacity: Option<u32>,
    /// Whether used and free records add up to the capacity. If not, the offsets may be others on this terminal, and its
    /// counts are no help in telling record sizes.
    pub consistent: bool,
}

/// Reads an array of i32 of any length (80, 92 and 112 bytes were seen, and 4); what is not there is not known.
pub fn decode(data: &[u8]) -> Sizes {
    let int = |index: usize| {
        let bytes = data.get(index * 4..index * 4 + 4)?;
        u32::try_from(i32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let (users, records, capacity, free) = (int(4), int(8), int(16), int(19));
    let consistent = match (records, capacity, free) {
        (Some(records), Some(capacity), Some(free)) => u64::from(records) + u64::from(free) == u64::from(capacity),
        _ => false,
    };
    Sizes { users, records, capacity, consistent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_a_captured_answer_are_read() {
        let mut data = vec![0; 92];
        for (index, value) in
            [(4, 3), (6, 3), (8, 58), (10, 90), (14, 3000), (15, 5000), (16, 100_000), (17, 2997), (19, 99_942)]
        {
            data[index * 4..][..4].copy_from_slice(&i32::to_le_bytes(value));
        }
        let whole = Sizes { users: Some(3), records: Some(58), capacity: Some(100_000), consistent: true };
        assert_eq!(decode(&data), whole);
        assert_eq!(decode(&data[..80]), whole);
        assert_eq!(decode(&data[..66]), Sizes { capacity: None, consistent: false, ..whole });
    }

    #[test]
    fn a_short_or_mad_answer_is_no_harm() {
        assert_eq!(decode(&[]), Sizes::default());
        assert_eq!(decode(&[0; 4]), Sizes::default());
        assert_eq!(decode(&[0xff; 92]), Sizes::default());
        assert_eq!(decode(&[0; 80]).records, Some(0));
    }
}
