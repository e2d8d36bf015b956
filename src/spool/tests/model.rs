//! The spool beside a plain list: whatever happens in whatever order, what was acknowledged is there once, numbered
//! without a gap, and is handed out until it is confirmed.
//!
//! A few sequences with every run of the tests. The full form is 100,000 of them, in memory since they sync all the time:
//! `TMPDIR=/dev/shm PUNCHGATE_SEQUENCES=100000 cargo test --release --lib nothing_acknowledged`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, io,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use proptest::{prelude::*, test_runner::TestRunner};

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
    /// The one at this share of all that were handed out.
    Confirm(u64),
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
    /// The disk fails at these deeds, or works again.
    Fail(Option<Failure>),
    /// As `Kill`, and the disk fails at these deeds while the store is opened again, once.
    OpenBadly(Failure),
    /// What is delivered goes, all but its ids.
    Retire,
    LoseIndex,
}

/// Which deeds fail, a bit each, and whether for want of room.
#[derive(Debug, Clone, Copy)]
struct Failure {
    deeds: u16,
    full: bool,
}

const DEEDS: [Deed; 9] = [
    Deed::Write,
    Deed::Sync,
    Deed::SyncDir,
    Deed::Create,
    Deed::Preallocate,
    Deed::Truncate,
    Deed::Rename,
    Deed::Remove,
    Deed::Open,
];

impl Failure {
    fn set(self, house: &House) {
        let failing: Vec<Deed> =
            (0..).zip(DEEDS).filter(|(bit, _)| self.deeds >> bit & 1 == 1).map(|it| it.1).collect();
        let kind = if self.full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        house.disk.fail(&failing, kind);
    }
}

fn failure() -> impl Strategy<Value = Failure> {
    // Writes and syncs alone in half of all cases: nothing else fails as often.
    let deeds = prop_oneof![1u16..4, 1u16..1 << DEEDS.len()];
    (deeds, any::<bool>()).prop_map(|(deeds, full)| Failure { deeds, full })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0u8..3, 0u32..300, 1u32..60, any::<bool>())
            .prop_map(|(terminal, first, count, live)| Act::Put { terminal, first, count, live }),
        4 => Just(Act::Take),
        4 => any::<u64>().prop_map(Act::Confirm),
        1 => Just(Act::TakeBack),
        1 => Just(Act::Close),
        1 => Just(Act::Kill),
        2 => (0usize..9, any::<u64>(), 0u8..3, 0u32..300)
            .prop_map(|(deeds, keep, terminal, first)| Act::Cut { deeds, keep, terminal, first }),
        2 => prop::option::of(failure()).prop_map(Act::Fail),
        1 => failure().prop_map(Act::OpenBadly),
        1 => Just(Act::Retire),
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
    /// Ever confirmed, by terminal, ledger and number; and by terminal and person.
    delivered: BTreeSet<(String, i64, u64)>,
    gone: BTreeSet<(String, u32)>,
}

fn name(terminal: u8) -> String {
    format!("t{terminal}")
}

/// As `within`, and says what was waited for.
async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    waited.unwrap_or_else(|_| panic!("waited 30 s in vain for {what}"))
}

/// Says in which sequence something went wrong, as it was found: to make one smaller that waits in vain takes an hour.
struct Found(String);

impl Drop for Found {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        static FIRST: AtomicBool = AtomicBool::new(true);
        if thread::panicking() && FIRST.swap(false, Relaxed) {
            eprintln!("found in {}", self.0);
        }
    }
}

impl Model {
    async fn put(&mut self, spool: &Spool, terminal: u8, numbers: std::ops::Range<u32>, is_live: bool) {
        let batch = if is_live { live(numbers.clone()) } else { log(numbers.clone()) };
        let serial = format!("SN-t{terminal}");
        let outcome = soon("an answer", spool.commit(&name(terminal), &serial, &zone(), batch)).await;
        if let Ok(stored) = &outcome {
            let known =
                self.stored.get(&terminal).map_or(0, |known| numbers.clone().filter(|n| known.contains(n)).count());
            assert!(stored.twins >= known, "{} of {known} twins in t{terminal} were known", stored.twins);
            assert_eq!(stored.new + stored.twins, numbers.len(), "t{terminal}");
        }
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
            // What was delivered may be retired.
            let lost = stored.difference(&set).filter(|n| !self.gone.contains(&(name(terminal), **n)));
            let lost: Vec<_> = lost.collect();
            assert!(lost.is_empty(), "lost in t{terminal}: {lost:?}");
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
        let persons = segment.entries.iter().map(|entry| (terminal.clone(), entry.person.parse().unwrap()));
        self.gone.extend(persons);
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
    let _found = Found(format!("{acts:?}"));
    let house = House::new();
    let mut model = Model::default();
    let mut spool = house.open();
    let mut outbox = spool.outbox("mqtt");
    for act in acts {
        match act {
            Act::Put { terminal, first, count, live } => model.put(&spool, terminal, first..first + count, live).await,
            Act::Take => {
                let handed_out: usize = model.handed_out.iter().map(|segment| segment.entries.len()).sum();
                if undelivered(&spool) > handed_out {
                    model.take(soon("what is to be delivered", outbox.next()).await);
                }
            }
            Act::Confirm(which) => {
                if !model.handed_out.is_empty() {
                    let segment =
                        model.handed_out.remove(((model.handed_out.len() as u128 * u128::from(which)) >> 64) as usize);
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
            Act::Retire => {
                // A disk that fails retires nothing.
                let _ = spool.retire().await;
            }
            Act::Kill | Act::LoseIndex | Act::OpenBadly(_) => {
                house.disk.work();
                drop((outbox, spool));
                model.crash();
                if matches!(act, Act::LoseIndex) {
                    std::fs::remove_dir_all(house.state_dir().join("index")).unwrap();
                }
                if let Act::OpenBadly(failure) = act {
                    failure.set(&house);
                    drop(house.try_open());
                    house.disk.work();
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
            Act::Fail(Some(failure)) => failure.set(&house),
        }
    }
    house.disk.work();
    model.check(&house);
    // The disk works again, so punches are stored again, without anybody's help; and what a refused one left in the file goes.
    let works = async {
        while spool.commit(&name(0), "SN-t0", &zone(), live([1000])).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("a disk that works again", works).await;
    // In the end everything is delivered: what was handed out and lost, too.
    outbox.take_back();
    model.handed_out.clear();
    while spool.status().queues[0].undelivered > 0 {
        let segment = soon("what was not delivered", outbox.next()).await;
        model.take(segment.clone());
        outbox.confirm(&segment.ledger, segment.first(), segment.last());
        model.deliver(&segment);
    }
    for (ledger, entry) in exported(&house.state_dir()) {
        let one = (ledger.terminal.clone(), ledger.begun, entry.seq);
        assert!(model.delivered.contains(&one), "{one:?} (person {}) was never delivered", entry.person);
    }
}

#[test]
fn nothing_acknowledged_is_ever_lost() {
    let sequences = env::var("PUNCHGATE_SEQUENCES").map_or(24, |text| text.parse().expect("a number of sequences"));
    // One after the other where they are few, so that a failure is shown in one piece; else many, since they wait for the disk.
    let threads = if sequences < 1000 { 1 } else { 8 * thread::available_parallelism().map_or(1, usize::from) as u32 };
    thread::scope(|scope| {
        for share in 0..threads {
            let cases = sequences / threads + u32::from(share < sequences % threads);
            scope.spawn(move || {
                let config =
                    ProptestConfig { cases, max_shrink_iters: 200, ..ProptestConfig::with_source_file(file!()) };
                let acts = prop::collection::vec(act(), 1..40);
                let played = TestRunner::new(config).run(&acts, |acts| {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(play(acts));
                    Ok(())
                });
                if let Err(error) = played {
                    panic!("{error}");
                }
            });
        }
    });
}

/// Sequences that a full form has found, made smaller.
#[tokio::test]
async fn what_was_retired_is_not_waited_for_when_the_index_did_not_learn_of_it() {
    let put = |terminal, first, count, live| Act::Put { terminal, first, count, live };
    play(vec![
        put(2, 83, 7, true),
        put(0, 99, 59, false),
        Act::Cut { deeds: 6, keep: 12101271390202146183, terminal: 0, first: 143 },
        Act::Take,
        Act::Confirm(199452725654387771),
        put(0, 71, 55, true),
        put(1, 162, 44, true),
        Act::Close,
        Act::Take,
        Act::Confirm(3194464802906008394),
        Act::Retire,
        Act::OpenBadly(Failure { deeds: 2, full: true }),
    ])
    .await;
}
