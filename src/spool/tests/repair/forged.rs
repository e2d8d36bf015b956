//! Records changed by somebody who knows what he is doing, and heads that are false.

use super::*;

/// Writes a record of some punch anew, with every checksum made right: as somebody does who knows what he is doing.
fn forge(house: &House, terminal: &str, seq: u64, change: impl Fn(&mut Entry)) {
    let store = store_id(&journal(house)).unwrap().unwrap();
    let mut ledgers = BTreeMap::new();
    for path in segments(house) {
        let mut bytes = fs::read(&path).unwrap();
        let mut at = SEGMENT_HEADER;
        while let Some(header) = GroupHeader::read(&bytes[at..]) {
            let body = at + GROUP_HEADER..at + GROUP_HEADER + header.body;
            let (mut group, mut hit) = (Group::new(seed(&store)), false);
            for record in records(&bytes[body.clone()]).flatten() {
                match &record {
                    Record::Ledger(it) => _ = ledgers.insert(it.number, it.terminal.to_owned()),
                    Record::Punch(it) if it.seq == seq && ledgers[&it.ledger] == terminal => {
                        let mut entry = it.entry(&mut ZoneNames::default()).unwrap();
                        change(&mut entry);
                        group.push(&Record::Punch(PunchRecord::of(it.ledger, &entry)));
                        hit = true;
                        continue;
                    }
                    _ => {}
                }
                group.push(&record);
            }
            if hit {
                bytes.splice(at..body.end, group.seal(header.number).to_vec());
                fs::write(&path, bytes).unwrap();
                return;
            }
            at = body.end;
        }
    }
    panic!("no punch {seq} of {terminal}");
}

fn head_of(house: &House, terminal: &str, seq: u64) -> Head {
    exported(&house.state_dir())
        .find(|(ledger, entry)| ledger.terminal == terminal && entry.seq == seq)
        .map(|(_, entry)| entry.head())
        .unwrap()
}

#[tokio::test]
async fn a_record_that_was_changed_is_told_and_is_no_punch_any_more() {
    let whole = store().await;
    let last = verify(&whole.state_dir()).unwrap().ledgers.iter().find(|it| it.terminal == "door").unwrap().last;
    type Forgery = fn(&House, u64);
    type Case = (&'static str, Forgery, &'static [(u64, u64)], bool);
    let forgeries: [Case; 7] = [
        ("a person", |house, _| forge(house, "door", 300, |it| it.person = "9999".into()), &[(300, 300)], false),
        (
            "a time",
            |house, _| forge(house, "door", 1, |it| it.local += jiff::SignedDuration::from_mins(9)),
            &[(1, 1)],
            false,
        ),
        ("a head", |house, _| forge(house, "door", 300, |it| it.prev = Head([7; 32])), &[(300, 300)], false),
        (
            "two in a row",
            |house, _| {
                forge(house, "door", 300, |it| it.person = "9999".into());
                let head = head_of(house, "door", 300);
                forge(house, "door", 301, |it| it.prev = head);
            },
            &[(300, 301)],
            false,
        ),
        (
            "two apart",
            |house, _| {
                forge(house, "door", 300, |it| it.person = "9999".into());
                forge(house, "door", 400, |it| it.person = "9999".into());
            },
            &[(300, 300), (400, 400)],
            false,
        ),
        ("the last", |house, last| forge(house, "door", last, |it| it.person = "9999".into()), &[(0, 0)], true),
        (
            "the last but one",
            |house, last| forge(house, "door", last - 1, |it| it.person = "9999".into()),
            &[(1, 1)],
            false,
        ),
    ];
    for (how, forge, lost, ends) in forgeries {
        let house = House::new();
        copy(&whole.state_dir(), &house.state_dir());
        forge(&house, last);
        let report = checked(&house);
        assert_eq!(report.verdict(), Verdict::Damaged, "{how}: {report:?}");
        let before = held(&house);
        let report = repair(&house.state_dir(), false).unwrap();
        let told: Vec<_> = report.losses.iter().map(|it| (it.first, it.last)).collect();
        let lost: Vec<_> = match lost {
            [(0, 0)] => vec![(last, last)],
            [(1, 1)] if how.contains("last") => vec![(last - 1, last - 1)],
            lost => lost.to_vec(),
        };
        assert_eq!((&told, report.ended.is_empty()), (&lost, !ends), "{how}: {report:?}");
        assert!(
            report.rewritten.iter().any(|it| it.why.contains("of door was changed after it was written")),
            "{report:?}"
        );
        let (after, verdict) = (checked(&house), checked(&house).verdict());
        assert_eq!(verdict, Verdict::Mended, "{how}: {after:?}");
        let said = after.ledgers.iter().flat_map(|it| &it.missing).map(|it| it.recorded.clone().unwrap().why);
        assert!(said.clone().count() > 0 && said.clone().all(|why| why.contains("was changed")), "{how}: {after:?}");
        let gone = before.difference(&held(&house)).map(|(_, seq, _)| *seq).collect::<Vec<_>>();
        assert!(
            gone.iter().all(|seq| lost.iter().any(|(first, last)| (first..=last).contains(&seq))),
            "{how}: {gone:?}"
        );
        assert!(!repair(&house.state_dir(), false).unwrap().needed, "{how}");
        // It is told until somebody has taken note, and the terminals may bring what was there.
        let spool = house.open();
        assert!(!spool.findings().iter().any(|it| it.kind == FindingKind::Damage), "{how}: {:?}", spool.findings());
        put(&spool, "door", log(0..PUNCHES)).await;
        assert!(persons(&house.state_dir(), "door").iter().all(|person| person != "9999"), "{how}");
        let all: BTreeSet<_> = persons(&house.state_dir(), "door").into_iter().collect();
        assert_eq!(all.len(), PUNCHES as usize, "{how}");
        spool.acknowledge(None).await.unwrap();
        spool.close().await;
        assert_eq!(checked(&house).verdict(), Verdict::Mended, "{how}");
    }
}

#[tokio::test]
async fn a_false_head_beside_the_punches_costs_none_of_them() {
    let house = store().await;
    let whole = outcome(&house);
    let store = store_id(&journal(&house)).unwrap().unwrap();
    // As a repair once left it: the number is the right one, and the head is that of the beginning.
    let path = segments(&house).remove(2);
    let mut bytes = fs::read(&path).unwrap();
    let header = GroupHeader::read(&bytes[SEGMENT_HEADER..]).unwrap();
    let body = SEGMENT_HEADER + GROUP_HEADER..SEGMENT_HEADER + GROUP_HEADER + header.body;
    let mut group = Group::new(seed(&store));
    for record in records(&bytes[body.clone()]).flatten() {
        match record {
            Record::Ledger(it) => group.push(&Record::Ledger(LedgerRecord { head: it.ledger().origin().0, ..it })),
            record => group.push(&record),
        }
    }
    bytes.splice(SEGMENT_HEADER..body.end, group.seal(header.number).to_vec());
    fs::write(&path, bytes).unwrap();
    assert_eq!(checked(&house).verdict(), Verdict::Damaged);
    let report = repair(&house.state_dir(), false).unwrap();
    assert!(report.done && report.losses.is_empty() && report.ended.is_empty(), "{report:?}");
    assert_eq!(outcome(&house), whole);
    assert!(!repair(&house.state_dir(), false).unwrap().needed);
}
