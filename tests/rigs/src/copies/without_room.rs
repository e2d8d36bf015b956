//! Torn tails on a disk that has no room.

use std::{fs, time::Instant};

use super::{Bench, answer};
use crate::{
    Plan,
    daemon::Daemon,
    damage::Damage,
    oracle::Verdict,
    row::Row,
    storage::{FULL, fill},
    volume::tool,
};

const WITHOUT: &str = "without room";

impl Bench {
    /// The same tails on a disk without a byte to spare: whatever is to be kept of them, there is no room for it. The gateway
    /// must start, deliver what is there, and be well when there is room.
    pub(super) async fn without_room(&self, plan: &Plan, row: &mut Row) -> anyhow::Result<Result<(), String>> {
        let mount = || tool("mount", &["-t", "tmpfs", "-o", "size=24m", "tmpfs"], &[&self.room()]);
        if let Err(error) = mount() {
            return Ok(Err(format!("tmpfs cannot be mounted here: {error}")));
        }
        let done = self.tails_without_room(plan, row).await;
        tool("umount", &["-l"], &[&self.room()])?;
        done.map(Ok)
    }

    async fn tails_without_room(&self, plan: &Plan, row: &mut Row) -> anyhow::Result<()> {
        let all = self.killed.punches();
        let tails = self.killed.tails(plan, Damage::Cut);
        row.count = tails.len() as u64;
        row.verdict = Verdict { recorded: all.len() as u64, ..Verdict::default() };
        let ballast = self.room().join("ballast");
        for (number, damage) in tails.into_iter().enumerate() {
            let state = self.damaged(&self.killed, &damage)?;
            let mut file = fs::File::create(&ballast)?;
            fill(&mut file);
            let mut daemon = Daemon::new(self.daemon.binary(), &self.folder);
            let _ = fs::remove_file(daemon.log_path());
            daemon.launch()?;
            let begun = Instant::now();
            if answer(&mut daemon, &damage, row).await?.is_some() {
                row.recovered.push(begun.elapsed());
                let costs = damage.costs(&self.killed.anatomy);
                // While a daemon runs, what stands at the end may be a write that is under way, and nobody is shown it.
                let shown_later = self.killed.last_persons();
                let check = |row: &mut Row, when: &str| -> anyhow::Result<()> {
                    let readable = self.persons(&state)?;
                    let excused = |it: &String| costs.contains(it) || (when == WITHOUT && shown_later.contains(it));
                    for person in all.difference(&readable).filter(|person| !excused(person)) {
                        row.verdict.lost.push(format!("{person} by {damage:?}, {when}"));
                    }
                    for person in readable.difference(&all) {
                        row.verdict.forged.push(format!("{person} by {damage:?}, {when}"));
                    }
                    Ok(())
                };
                check(row, WITHOUT)?;
                let patient = number % 20 == 0;
                if patient {
                    let told = daemon.told(begun, &FULL).await;
                    row.tell(told);
                }
                drop(file);
                fs::remove_file(&ballast)?;
                if patient {
                    row.complaints.extend(daemon.over(&FULL).await);
                }
                match daemon.stop().await {
                    Ok(status) if status.success() => {}
                    Ok(status) => row.complaints.push(format!("{damage:?}: the gateway left with {status}")),
                    Err(error) => row.complaints.push(format!("{damage:?}: {error}")),
                }
                check(row, "with room again")?;
            }
            daemon.kill();
            let _ = fs::remove_file(&ballast); // it may be gone already
        }
        Ok(())
    }
}
