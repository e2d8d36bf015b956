//! The spool beside a plain list: whatever happens in whatever order, what was acknowledged is there once, numbered
//! without a gap, and is handed out until it is confirmed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{outbox::Outbox, spool::disk::faulty::Deed};

#[derive(Debug, Clone)]
enum Act {
    /// New punches, or some that were put before.
    Put {
        terminal: u8,
        first: u32,
        count: u32,
        live: bool,
    },
    Take,
    Confirm(prop::sample::Index),
    TakeBack,
    Close,
    Kill,
    /// The power goes after so many deeds of the disk, while something is put; unsynced sectors are kept by these bits.
    Cut {
        deeds: usize,
        keep: u64,
        terminal: u8,
        first: u32,
    },
    /// The disk fails, or works again.
    Fail(Option<bool>),
    LoseIndex,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0u8..3, 0u32..300, 1u32..60, any::<bool>())
            .prop_map(|(terminal, first, count, live)| Act::Put { terminal, first, count, live }),
        4 => Just(Act::Take),
        4 => any::<prop::sample::Index>().prop_map(Act::Confirm),
        1 => Just(Act::TakeBack),
        1 => Just(Act::Close),
        1 => Just(Act::Kill),
        2 => (0usize..9, any::<u64>(), 0u8..3, 0u32..300)
            .prop_map(|(deeds, keep, terminal, first)| Act::Cut { deeds, keep, terminal, first }),
        2 => prop::option::of(any::<bool>()).prop_map(Act::Fail),
        1 => Just(Act::LoseIndex),
    ]
}

#[derive(Default)]
struct Model {
    /// Acknowledged: must be there.
    stored: BTreeMap<u8, BTreeSet<u32>>,
    /// Put and refused, or not answered: may be there.
    maybe: BTreeMap<u8, BTreeSet<u32>>,
    handed_out: Vec<Segment>,
    /// Confirmed, by terminal and number; what of it a crash may make us forget is forgotten by the model too.
    confirmed: BTreeSet<(String, u64)>,
    lazily: BTreeSet<(String, u64)>,
    /// Ever confirmed, by terminal, ledger and number.
    delivered: BTreeSet<(String, i64, u64)>,
}

fn name(terminal: u8) -> String {
    format!("t{terminal}")
}

impl Model {
    async fn put(&mut self, spool: &Spool, terminal: u8, numbers: std::ops::Range<u32>, is_live: bool) {
        let batch = if is_live { live(numbers.clone()) } else { log(numbers.clone()) };
        let serial = format!("SN-t{terminal}");
        let outcome = within(spool.commit(&name(terminal), &serial, &zone(), batch)).await;
        let place = if outcome.is_ok() { &mut self.stored } else { &mut self.maybe };
        place.entry(terminal).or_default().extend(numbers);
    }

    fn check(&self, house: &House) {
        let report = verify(&house.state_dir()).unwrap();
        assert!(report.is_whole(), "{report:?}");
        for terminal in 0..3 {
            let there: Vec<u32> =
                persons(&house.state_dir(), &name(terminal)).iter().map(|person| person.parse().unwrap()).collect();
            let set: BTreeSet<u32> = there.iter().copied().collect();
            assert_eq!(set.len(), there.len(), "a twin in t{terminal}");
            let empty = BTreeSet::new();
            let stored = self.stored.get(&terminal).unwrap_or(&empty);
            assert!(stored.is_subset(&set), "lost in t{terminal}: {:?}", stored.difference(&set).collect::<Vec<_>>());
            let maybe = self.maybe.get(&terminal).unwrap_or(&empty);
            assert!(set.iter().all(|n| stored.contains(n) || maybe.contains(n)), "from nowhere in t{terminal}");
        }
    }

    fn take(&mut self, segment: Segment) {
        for entry in &segment.entries {
            let one = (segment.ledger.terminal.clone(), entry.seq);
            assert!(!self.confirmed.contains(&one), "{one:?} was confirmed");
            let twice = self
                .handed_out
                .iter()
                .any(|it| it.ledger == segment.ledger && (it.first()..=it.last()).contains(&entry.seq));
            assert!(!twice, "{one:?} was handed out already");
        }
        self.handed_out.push(segment);
    }

    fn deliver(&mut self, segment: &Segment) {
        let (terminal, begun) = (&segment.ledger.terminal, segment.ledger.begun);
        self.delivered.extend(segment.entries.iter().map(|entry| (terminal.clone(), begun, entry.seq)));
    }

    fn crash(&mut self) {
        for one in std::mem::take(&mut self.lazily) {
            self.confirmed.remove(&one);
        }
        self.handed_out.clear();
    }

    fn close(&mut self) {
        self.lazily.clear();
        self.handed_out.clear();
    }
}

async fn play(acts: Vec<Act>) {
    let house = House::new();
    let mut model = Model::default();
    let mut spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    for act in acts {
        match act {
            Act::Put { terminal, first, count, live } => model.put(&spool, terminal, first..first + count, live).await,
            Act::Take => {
                let next = tokio::time::timeout(Duration::from_millis(30), outbox.next()).await;
                next.into_iter().for_each(|segment| model.take(segment));
            }
            Act::Confirm(which) => {
                if !model.handed_out.is_empty() {
                    let segment = model.handed_out.remove(which.index(model.handed_out.len()));
                    outbox.confirm(&segment.ledger, segment.first(), segment.last());
                    let all = segment.entries.iter().map(|entry| (segment.ledger.terminal.clone(), entry.seq));
                    model.lazily.extend(all.clone());
                    model.confirmed.extend(all);
                    model.deliver(&segment);
                }
            }
            Act::TakeBack => {
                outbox.take_back();
                model.handed_out.clear();
            }
            Act::Close => {
                house.disk.work();
                drop(outbox);
                spool.close().await;
                model.close();
                spool = house.open();
                outbox = spool.outbox("mqtt");
            }
            Act::Kill | Act::LoseIndex => {
                house.disk.work();
                drop((outbox, spool));
                model.crash();
                if matches!(act, Act::LoseIndex) {
                    std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
                }
                spool = house.open();
                model.check(&house);
                outbox = spool.outbox("mqtt");
            }
            Act::Cut { deeds, mut keep, terminal, first } => {
                house.disk.work();
                house.disk.cut_after(deeds);
                model.put(&spool, terminal, first..first + 30, true).await;
                drop((outbox, spool));
                model.crash();
                house.disk.lose(|| {
                    keep = keep.rotate_left(1);
                    keep & 1 == 1
                });
                spool = house.open();
                model.check(&house);
                outbox = spool.outbox("mqtt");
            }
            Act::Fail(None) => house.disk.work(),
            Act::Fail(Some(full)) => {
                let kind = if full { std::io::ErrorKind::StorageFull } else { std::io::ErrorKind::Other };
                house.disk.fail(&[Deed::Write, Deed::Sync], kind);
            }
        }
    }
    house.disk.work();
    model.check(&house);
    // In the end everything is delivered: what was handed out and lost, too.
    outbox.take_back();
    model.handed_out.clear();
    while spool.status().queues[0].undelivered > 0 {
        let segment = within(outbox.next()).await;
        model.take(segment.clone());
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
        model.deliver(&segment);
    }
    for (ledger, entry) in exported(&house.state_dir()) {
        let one = (ledger.terminal.clone(), ledger.begun, entry.seq);
        assert!(model.delivered.contains(&one), "{one:?} was never delivered");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn nothing_acknowledged_is_ever_lost(acts in prop::collection::vec(act(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(acts));
    }
}
