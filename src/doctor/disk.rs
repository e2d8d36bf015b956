//! The folder that holds all state, the disk below it, and the journal on it.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use super::finding::{Check, Finding, Outcome, both, fixed};
use crate::{
    config::counted,
    owner::{self, Stranger},
    spool::{self, Missing, Verdict, VerifyReport},
};

/// Files that a segment, an index and their successors need.
const INODES: u64 = 200;
/// Syncs that are tried.
const SYNCS: usize = 8;
/// A sync that takes longer makes terminals wait.
const SLOW: Duration = Duration::from_millis(100);

/// Punches that the journal holds of a terminal with a serial number.
pub(super) type Holdings = HashMap<(String, String), u64>;

/// Looks at the disk. What the journal holds is told for whoever asks terminals.
pub(super) async fn examine(state_dir: Option<&Path>, min_free: u64, findings: &mut Vec<Finding>) -> Holdings {
    const ALL: [Check; 4] = [Check::Folder, Check::DiskSpace, Check::DiskSync, Check::Journal];
    let Some(state_dir) = state_dir else {
        findings.extend(ALL.map(|check| check.skipped(Check::Config)));
        return Holdings::new();
    };
    let folder = folder(state_dir);
    let there = folder.outcome == Outcome::Well && state_dir.is_dir();
    findings.push(folder);
    if !there {
        findings.extend(ALL[1..].iter().map(|check| check.skipped(Check::Folder)));
        return Holdings::new();
    }
    findings.push(room(state_dir, min_free));
    let owned = state_dir.to_owned();
    let done = tokio::task::spawn_blocking(move || (sync(&owned), journal(&owned))).await;
    let Ok((sync, (journal, holdings))) = done else { return Holdings::new() };
    findings.extend([sync, journal]);
    holdings
}

fn folder(state_dir: &Path) -> Finding {
    let shown = state_dir.display();
    if let Some(Stranger { path, user, mend }) = owner::not_theirs(state_dir) {
        let path = path.display();
        return Check::Folder.wrong(
            both!(
                "{path} belongs to user {user}: the gateway, to whom {shown} belongs, cannot use it"
                    / "{path} 属于用户 {user}：{shown} 的所有者（网关）无法使用"
            ),
            both!("Give it back as root: {mend}" / "请以 root 归还：{mend}"),
        );
    }
    match fs::read_dir(state_dir) {
        Ok(_) => Check::Folder.well(both!("{shown}" / "{shown}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = state_dir.parent().unwrap_or(state_dir);
            if parent.is_dir() {
                Check::Folder.well(both!("{shown} is made at the first start" / "{shown} 将在首次启动时创建"))
            } else {
                Check::Folder.wrong(
                    both!("{shown} is not there, nor the folder above it" / "{shown} 及其上级目录不存在"),
                    fixed(
                        "Correct gateway.state_dir, or mount the disk that holds it.",
                        "请更正 gateway.state_dir，或挂载相应磁盘。",
                    ),
                )
            }
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Check::Folder.unseen(both!(
            "{shown} may not be read by this user: run it as root" / "当前用户无权读取 {shown}：请以 root 运行"
        )),
        Err(error) => Check::Folder.wrong(
            both!("{shown}: {error}" / "{shown}：{error}"),
            fixed(
                "Look at the kernel log (journalctl -k) for the disk; correct gateway.state_dir if it is no folder.",
                "请查看内核日志（journalctl -k）；若路径不是目录，请更正 gateway.state_dir。",
            ),
        ),
    }
}

fn room(state_dir: &Path, min_free: u64) -> Finding {
    let disk = match rustix::fs::statvfs(state_dir) {
        Ok(disk) => disk,
        Err(error) => return Check::DiskSpace.unseen(both!("{error}" / "{error}")),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let (mib, need, inodes) = (free >> 20, min_free >> 20, disk.f_favail);
    let mend = || {
        fixed(
            "Make room on the disk that holds state_dir; the gateway goes on by itself. Nothing of state_dir itself may be deleted.",
            "请清理 state_dir 所在磁盘；网关会自动恢复。切勿删除 state_dir 中的文件。",
        )
    };
    // A file system without a table of inodes says 0 of 0.
    if disk.f_files > 0 && inodes < INODES {
        Check::DiskSpace.wrong(both!("room for only {inodes} more files" / "只能再创建 {inodes} 个文件"), mend())
    } else if free < min_free {
        Check::DiskSpace.wrong(
            both!(
                "{mib} MiB are free, and spool.min_free is {need} MiB: new punches are refused"
                    / "剩余 {mib} MiB，低于 spool.min_free（{need} MiB）：拒绝新打卡"
            ),
            mend(),
        )
    } else if free < min_free.saturating_mul(2) {
        Check::DiskSpace.odd(
            both!(
                "{mib} MiB are free; below {need} MiB new punches are refused"
                    / "剩余 {mib} MiB；低于 {need} MiB 时将拒绝新打卡"
            ),
            mend(),
        )
    } else {
        Check::DiskSpace.well(both!("{mib} MiB are free" / "剩余 {mib} MiB"))
    }
}

/// Writes and syncs as the journal does, in a file of its own that is removed again.
fn sync(state_dir: &Path) -> Finding {
    let path = state_dir.join(format!(".doctor-{}", std::process::id()));
    let tried = try_sync(&path);
    // It may not have come about.
    let _ = fs::remove_file(&path);
    match tried {
        Ok(mut times) => {
            times.sort_unstable();
            let (middle, longest) = (times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis());
            let seen = both!("a sync takes {middle} ms, the longest of {SYNCS} took {longest} ms" / "同步写入需 {middle} 毫秒，{SYNCS} 次中最长 {longest} 毫秒");
            if middle > SLOW.as_millis() {
                Check::DiskSync.odd(seen, fixed(
                    "Terminals wait for each sync: look for what else writes to this disk, or replace a worn card.",
                    "考勤机会等待每次写入：请检查其他大量写盘的程序，或更换磨损的存储卡。",
                ))
            } else {
                Check::DiskSync.well(seen)
            }
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Check::DiskSync.unseen(both!("this user may not write there: run it as root" / "当前用户无写权限：请以 root 运行"))
        }
        Err(error) => Check::DiskSync.wrong(both!("{error}" / "{error}"), fixed(
            "Look at the kernel log for the disk (journalctl -k): a disk that fails is mounted read-only. Replace it if errors go on.",
            "请查看内核日志（journalctl -k）：磁盘出错会变为只读。若持续出错请更换磁盘。",
        )),
    }
}

fn try_sync(path: &Path) -> io::Result<Vec<Duration>> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[0x55; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn journal(state_dir: &Path) -> (Finding, Holdings) {
    if !state_dir.join("journal").is_dir() {
        return (Check::Journal.well(both!("there is none yet" / "尚未建立")), Holdings::new());
    }
    let report = match spool::verify(state_dir) {
        Ok(report) => report,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let why = both!("this user may not read it: run it as root" / "当前用户无权读取：请以 root 运行");
            return (Check::Journal.unseen(why), Holdings::new());
        }
        Err(error) => {
            let finding = Check::Journal.wrong(
                both!("it cannot be read: {error}" / "无法读取：{error}"),
                fixed(
                    "Look at the kernel log for the disk (journalctl -k), then run punchgate journal verify.",
                    "请查看内核日志（journalctl -k），再运行 punchgate journal verify。",
                ),
            );
            return (finding, Holdings::new());
        }
    };
    let holdings = report.ledgers.iter().map(|it| ((it.terminal.clone(), it.serial.clone()), it.punches)).collect();
    let (punches, ledgers) = (report.punches + report.retired_punches, report.ledgers.len());
    let finding = judged(&report, punches, ledgers);
    (finding, holdings)
}

/// A loss that was made good, or that somebody has taken note of, is nothing to be mended any more.
fn judged(report: &VerifyReport, punches: u64, ledgers: usize) -> Finding {
    let in_ledgers = counted(ledgers, "ledger");
    let numbers = |which: fn(&Missing) -> bool| -> u64 {
        let holes = report.ledgers.iter().flat_map(|it| &it.missing).filter(|hole| which(hole));
        holes.map(|it| it.last - it.first + 1).sum()
    };
    let settled = numbers(|it| it.recorded.as_ref().is_some_and(|recorded| recorded.settled.is_some()));
    let missing = numbers(|it| it.recorded.as_ref().is_none_or(|recorded| recorded.settled.is_none()));
    if report.is_whole() {
        return Check::Journal.well(both!(
            "{punches} punches in {in_ledgers}, every checksum and every chain holds"
                / "{ledgers} 个账本共 {punches} 条打卡，校验与链均完整"
        ));
    }
    match report.verdict() {
        Verdict::Mended if missing == 0 => Check::Journal.well(both!(
            "{punches} punches in {in_ledgers}, every checksum holds; {settled} lost once were made good or acknowledged"
                / "{ledgers} 个账本共 {punches} 条打卡，校验均完整；曾丢失的 {settled} 条已补回或已确认"
        )),
        Verdict::Mended => Check::Journal.wrong(both!("nothing is damaged any more; {missing} punches are recorded as lost" / "已无损坏；{missing} 条打卡已记为丢失"), fixed(
            "Terminals with a log bring them again: punchgate reconcile. When that is done or cannot be: punchgate journal acknowledge.",
            "有记录功能的考勤机可重新读取：punchgate reconcile。完成或无法补回时：punchgate journal acknowledge。",
        )),
        _ => damaged(report, missing),
    }
}

fn damaged(report: &VerifyReport, missing: u64) -> Finding {
    let faults = report.faults.len();
    let first = report.faults.first().map(|it| format!("; segment {} byte {}: {}", it.segment, it.offset, it.what));
    let first = first.unwrap_or_default();
    Check::Journal.wrong(both!("{faults} damaged places, {missing} punches missing{first}" / "{faults} 处损坏，缺少 {missing} 条打卡{first}"), fixed(
            "Copy state_dir away first. punchgate journal verify says what is missing; terminals with a log bring it again: punchgate reconcile.",
            "请先备份 state_dir。punchgate journal verify 会列出缺失内容；有记录功能的考勤机可重新读取：punchgate reconcile。",
        ))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        ledger::Head,
        spool::{Fault, LedgerReport, Recorded},
    };

    fn said(settled: [Option<&'static str>; 2], fault: bool) -> Finding {
        let hole = |(first, settled)| {
            let recorded = Some(Recorded { at: Timestamp::UNIX_EPOCH, why: String::new(), settled });
            Missing { first, last: first + 299, segment: None, offset: None, recorded }
        };
        let ledger = LedgerReport {
            terminal: "door".into(),
            serial: "SN1".into(),
            ledger: 1,
            punches: 100,
            last: 700,
            head: Head([0; 32]),
            missing: [1, 401].into_iter().zip(settled).map(hole).collect(),
            undelivered: 0,
        };
        let faults = fault.then(|| Fault { segment: 1, offset: 0, what: "bytes".into(), mend: "repair" });
        let faults = faults.into_iter().collect();
        judged(&VerifyReport { ledgers: vec![ledger], faults, ..VerifyReport::default() }, 100, 1)
    }

    #[test]
    fn what_was_made_good_or_acknowledged_is_not_told_as_damage_for_ever() {
        let settled = said([Some("made good"), Some("acknowledged")], false);
        assert_eq!((settled.outcome, settled.mend), (Outcome::Well, None));
        assert!(
            settled.evidence.en.contains("600 lost once were made good or acknowledged"),
            "{}",
            settled.evidence.en
        );
        let open = said([Some("made good"), None], false);
        assert_eq!(open.outcome, Outcome::Wrong);
        assert!(open.evidence.en.contains("300 punches are recorded as lost"), "{}", open.evidence.en);
        assert!(!open.mend.unwrap().en.contains("Copy state_dir away"));
        let damaged = said([Some("made good"), Some("acknowledged")], true);
        assert_eq!(damaged.outcome, Outcome::Wrong);
        assert!(damaged.evidence.en.starts_with("1 damaged places, 0 punches missing"), "{}", damaged.evidence.en);
    }
}
