//! What a repair must leave alone, and what becomes of one that was cut off.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::spool::disk::faulty::spoil;

#[tokio::test]
async fn nothing_that_is_not_set_aside_is_written_over() {
    let house = store().await;
    let good = segments(&house);
    let second = fs::read(&good[1]).unwrap();
    // Somebody's copy, and damaged: it is none of the journal, which is whole.
    let copy = journal(&house).join("2.seg");
    fs::copy(&good[1], &copy).unwrap();
    flip(&copy, 5_000);
    let copied = fs::read(&copy).unwrap();
    let report = checked(&house);
    assert!(report.is_whole(), "{report:?}");
    assert!(report.notes.iter().any(|note| note.starts_with("2.seg is no file of the journal")), "{report:?}");
    assert!(!repair(&house.state_dir(), false).unwrap().needed);
    // Nor is it touched while others are mended; a folder where the next file would be is not either.
    flip(&good[0], 3_000);
    let folder = segment_path(&journal(&house), good.len() as u64 + 1);
    fs::create_dir(&folder).unwrap();
    let report = repair(&house.state_dir(), false).unwrap();
    assert!(report.done && checked(&house).verdict() == Verdict::Mended, "{report:?}");
    assert_eq!((fs::read(&good[1]).unwrap(), fs::read(&copy).unwrap()), (second, copied));
    assert!(folder.is_dir());
    // A folder in the place of a damaged file stops the repair before it has changed anything.
    let gone = fs::read(&good[2]).unwrap();
    fs::remove_file(&good[2]).unwrap();
    fs::create_dir(&good[2]).unwrap();
    let before = names(&journal(&house));
    assert!(matches!(repair(&house.state_dir(), false), Err(RepairError::Io { path, .. }) if path == good[2]));
    assert_eq!(names(&journal(&house)), before);
    fs::remove_dir(&good[2]).unwrap();
    fs::write(&good[2], gone).unwrap();
    assert_eq!(checked(&house).verdict(), Verdict::Mended);
}

fn names(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_repair_cut_off_at_any_moment_ends_as_any_other() {
    let whole = store().await;
    let some = ["a bit of a punch", "two segments swapped", "the last segment deleted"];
    for (how, spoil) in BREAKS.iter().filter(|(how, _)| some.contains(how)) {
        let broken = House::new();
        copy(&whole.state_dir(), &broken.state_dir());
        spoil(&broken, &segments(&broken));
        let straight = House::new();
        copy(&broken.state_dir(), &straight.state_dir());
        let expected = repair(&straight.state_dir(), false).unwrap();
        let told = outcome(&straight);
        let mut begun = 0;
        for deeds in 0.. {
            let (house, disk) = (House::new(), FaultyDisk::default());
            copy(&broken.state_dir(), &house.state_dir());
            disk.cut_after(deeds);
            let cut = repair_on(&disk, &house.state_dir(), false);
            disk.lose(|| deeds % 2 == 0);
            if cut.is_ok() {
                break;
            }
            if journal(&house).join("repair-under-way").exists() {
                // The next start ends it too, and so does a look beforehand tell what will be.
                begun += 1;
                let started = House::new();
                copy(&house.state_dir(), &started.state_dir());
                assert!(checked(&started).notes.iter().any(|note| note.starts_with("a repair was cut off")), "{how}");
                started.open().close().await;
                assert_eq!(outcome(&started), told, "{how}, cut after {deeds}, then a start");
                let dry = repair(&house.state_dir(), true).unwrap();
                assert_eq!((dry.done, &dry.losses), (false, &expected.losses), "{how}, cut after {deeds}");
            }
            let report = repair(&house.state_dir(), false).unwrap();
            if begun > 0 && !report.needed {
                // All was done but for the last sync of a folder.
                assert_eq!(outcome(&house), told, "{how}, cut after {deeds}");
                continue;
            }
            assert!(report.needed && report.done, "{how}, cut after {deeds}: {report:?}");
            assert_eq!(
                (&report.rewritten, &report.losses, &report.ended),
                (&expected.rewritten, &expected.losses, &expected.ended),
                "{how}, cut after {deeds}"
            );
            assert_eq!(outcome(&house), told, "{how}, cut after {deeds}");
            for name in &report.set_aside {
                assert!(report.set_aside_in.as_ref().unwrap().join(name).exists(), "{how}, cut after {deeds}: {name}");
            }
            assert!(!repair(&house.state_dir(), false).unwrap().needed, "{how}, cut after {deeds}");
            assert!(!names(&journal(&house)).iter().any(|it| it.extension().is_some_and(|it| it == "tmp")), "{how}");
        }
        assert!(begun >= 4, "{how}: {begun}");
    }
}

/// Nobody can copy it, so that its name alone goes from one folder to the other.
#[tokio::test]
async fn a_file_that_the_disk_gives_in_part_is_moved_aside_and_never_lost() {
    let whole = store().await;
    for deeds in 0.. {
        let (house, disk) = (House::new(), FaultyDisk::default());
        copy(&whole.state_dir(), &house.state_dir());
        let path = segments(&house)[1].clone();
        let (bytes, number) = (fs::read(&path).unwrap(), path.metadata().unwrap().ino());
        let _spoilt = spoil(&path, 5_000..5_001, usize::MAX);
        disk.cut_after(deeds);
        let cut = repair_on(&disk, &house.state_dir(), false);
        disk.lose(|| deeds % 2 == 0);
        let report = match &cut {
            Ok(report) => report.clone(),
            Err(_) => repair(&house.state_dir(), false).unwrap(),
        };
        assert_eq!(checked(&house).verdict(), Verdict::Mended, "cut after {deeds}");
        if report.needed {
            assert!(report.rewritten[0].why.starts_with("the disk does not give bytes 4608 to 5119 of 00000002.seg"));
            assert_eq!(report.set_aside, ["00000002.seg", "index"], "cut after {deeds}");
        }
        let folders = fs::read_dir(house.state_dir().join("quarantine")).unwrap();
        let aside: Vec<_> =
            folders.map(|it| it.unwrap().path().join("00000002.seg")).filter(|it| it.exists()).collect();
        assert_eq!(aside.len(), 1, "cut after {deeds}");
        assert_eq!(
            (fs::read(&aside[0]).unwrap(), aside[0].metadata().unwrap().ino()),
            (bytes, number),
            "cut after {deeds}"
        );
        if cut.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn a_repair_that_does_not_fit_the_journal_any_more_is_set_aside() {
    let house = store().await;
    flip(&segments(&house)[1], 5_000);
    for deeds in 0.. {
        let disk = FaultyDisk::default();
        disk.cut_after(deeds);
        repair_on(&disk, &house.state_dir(), false).unwrap_err();
        if journal(&house).join("repair-under-way").exists() {
            break;
        }
    }
    // Somebody puts a file back that is neither what it was nor what it is to be.
    flip(&segments(&house)[1], 7_000);
    let report = repair(&house.state_dir(), false).unwrap();
    assert!(report.done && report.losses.len() == 2, "{report:?}");
    assert_eq!(checked(&house).verdict(), Verdict::Mended);
    assert!(house.quarantined().iter().any(|name| name.starts_with("repair-under-way-")), "{:?}", house.quarantined());
    // Nor does half an order keep anybody from his store.
    fs::write(journal(&house).join("repair-under-way"), "{\"store\":").unwrap();
    house.open().close().await;
    assert_eq!(checked(&house).verdict(), Verdict::Mended);
}
