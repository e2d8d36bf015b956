//! Parcels: segments as payloads, cut to what the broker takes in one packet.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    ledger::{Entry, Ledger, Segment},
    wire,
};

/// One message with punches.
pub(super) struct Parcel {
    pub(super) ledger: Arc<Ledger>,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) payload: Vec<u8>,
}

/// Cuts a segment into parcels of at most `most` bytes, in order, and gives the punches that are larger alone.
///
/// `wish` is a smaller size that is kept to where it can be: a single punch may pass it.
pub(super) fn pack(segment: &Segment, most: usize, wish: usize, ready: &mut VecDeque<Parcel>) -> u64 {
    let ledger = &segment.ledger;
    let mut too_large = 0;
    let mut rest: Vec<&[Entry]> = vec![&segment.entries];
    while let Some(entries) = rest.pop() {
        let payload = wire::punch_event(ledger, entries);
        let fits = payload.len() <= most.min(wish) || (entries.len() == 1 && payload.len() <= most);
        if fits {
            let (first, last) = (entries[0].seq, entries[entries.len() - 1].seq);
            ready.push_back(Parcel { ledger: ledger.clone(), first, last, payload });
        } else if entries.len() == 1 {
            too_large += 1;
        } else {
            // Punches are much alike: into equal parts that should fit, and again where one does not.
            let parts = (payload.len() / most.min(wish).max(1) + 1).clamp(2, entries.len());
            rest.extend(entries.chunks(entries.len().div_ceil(parts)).rev());
        }
    }
    too_large
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{entry, ledger};

    fn segment(count: u64) -> Segment {
        let ledger = ledger("front-door");
        let mut entries = Vec::new();
        let mut head = ledger.origin();
        for seq in 1..=count {
            let punch = entry(head, seq, &seq.to_string());
            head = punch.head();
            entries.push(punch);
        }
        Segment { ledger: Arc::new(ledger), entries }
    }

    #[test]
    fn a_segment_is_cut_to_the_limit_without_gaps() {
        for limit in [1_000, 1_500, 4_096, 20_000, 100_000] {
            let mut ready = VecDeque::new();
            assert_eq!(pack(&segment(200), limit, usize::MAX, &mut ready), 0);
            let mut next = 1;
            for parcel in &ready {
                assert!(parcel.payload.len() <= limit);
                assert_eq!(parcel.first, next);
                next = parcel.last + 1;
            }
            assert_eq!(next, 201);
        }
    }

    #[test]
    fn a_punch_too_large_is_left_out_and_the_others_go() {
        let mut segment = segment(5);
        segment.entries[2].person = "9".repeat(5_000);
        let mut ready = VecDeque::new();
        assert_eq!(pack(&segment, 2_000, usize::MAX, &mut ready), 1);
        let sent: Vec<u64> = ready.iter().flat_map(|parcel| parcel.first..=parcel.last).collect();
        assert_eq!(sent, [1, 2, 4, 5]);
    }

    #[test]
    fn a_wish_for_small_parcels_holds_no_punch_back() {
        let mut ready = VecDeque::new();
        assert_eq!(pack(&segment(5), 100_000, 10, &mut ready), 0);
        assert_eq!(ready.len(), 5);
    }
}
