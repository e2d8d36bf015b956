//! Clocks: the gateway's jumps by days, starts in 1970 and passes the end of summer time; terminals are off by hours.
//!
//! The gateway's clock is libfaketime's, which reads its offset from a file and leaves the monotonic clock alone, as a machine
//! whose date is set does. Terminals and the yardstick keep the right time.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use crate::{
    Plan,
    mosquitto::Mosquitto,
    row::{Report, Row, Told},
    terminals::Speaks,
    world::{Settings, World},
};

const NOT_TRUSTED: &str = "gateway-clock-not-trusted";
const STEPPED: &str = "gateway-clock-stepped";
const OFF: &str = "terminal-clock-off";
const DAY: i64 = 86_400;

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/arm-linux-gnueabihf"];
    let mut libraries = places.iter().map(|place| Path::new(place).join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|path| path.exists());
    let reason = match (&library, Mosquitto::program()) {
        (None, _) => Some("faketime is not installed".to_owned()),
        (_, Err(why)) => Some(why),
        _ => None,
    };
    let (Some(library), None) = (library, &reason) else {
        report.skip("clock", &reason.unwrap_or_default());
        return Ok(());
    };
    let rig = Clocks { plan, library };
    for (case, which) in [
        ("the gateway's clock jumps by days, both ways", Case::Jumps),
        ("start in 1970, set right later", Case::Unset),
        ("summer time ends, summer time begins", Case::Summer),
        ("terminals off by hours, then set right", Case::Terminals),
    ] {
        if plan.wants(case) {
            let mut row = Row { rig: "clock", case: case.into(), ..Row::default() };
            rig.run(which, &mut row).await?;
            report.add(&row)?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Case {
    Jumps,
    Unset,
    Summer,
    Terminals,
}

struct Clocks<'a> {
    plan: &'a Plan,
    library: PathBuf,
}

impl Clocks<'_> {
    async fn run(&self, case: Case, row: &mut Row) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(self.plan.seed);
        let zone = if matches!(case, Case::Summer) { "Europe/Berlin" } else { "UTC" };
        let settings = Settings { zone, ..Settings::default() };
        let mut scene = Scene { world: World::new(self.plan, settings).await?, library: self.library.clone() };
        match case {
            Case::Jumps => scene.jumps(self.plan.times(1, 50), &mut random, row).await?,
            Case::Unset => scene.unset(row).await?,
            Case::Summer => scene.summer(row).await?,
            Case::Terminals => scene.terminals(self.plan.times(1, 25), &mut random, row).await?,
        }
        if !row.complaints.is_empty() {
            eprintln!("{}", crate::kill::tail(&scene.world.daemon.log()));
        }
        scene.world.close(row).await
    }
}

struct Scene {
    world: World,
    library: PathBuf,
}

impl Scene {
    /// Seconds that are added to the gateway's clock from now on.
    fn shift(&self, seconds: i64) -> anyhow::Result<()> {
        let new = self.world.path("shift.new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        // In one step: a look in between finds one or the other.
        Ok(fs::rename(new, self.world.path("shift"))?)
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let environment = [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.world.path("shift").display().to_string()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        self.world.daemon.launch_under(&[], &environment)
    }

    /// Back by days and to the right time, forward by days and to the right time.
    async fn jumps(&mut self, times: u64, random: &mut StdRng, row: &mut Row) -> anyhow::Result<()> {
        self.shift(0)?;
        self.launch()?;
        self.flows("before", row).await;
        for round in 0..times {
            row.count += 4;
            let (back, forward) = (random.random_range(1..40) * DAY, random.random_range(1..40) * DAY);
            // Terminals that push set their clocks by ours: they are not served by a clock that is not believed, and wait.
            self.shift(-back)?;
            self.told(&[NOT_TRUSTED], row).await;
            sleep(Duration::from_secs(3)).await;
            self.right("back", round == 0, row).await?;
            // It was the gateway's own clock that moved, and no terminal is blamed for it.
            self.shift(forward)?;
            self.told(&[STEPPED], row).await;
            self.flows("with the clock in the future", row).await;
            self.right("in the future", round == 0, row).await?;
        }
        Ok(())
    }

    /// The clock is right again: it is believed, though it is before what was stored meanwhile. What returns is held for longer
    /// each time.
    async fn right(&mut self, was: &str, is_first: bool, row: &mut Row) -> anyhow::Result<()> {
        self.shift(0)?;
        self.flows(&format!("after the clock was {was}"), row).await;
        let (daemon, doubt) = (&self.world.daemon, [NOT_TRUSTED]);
        row.complaints.extend(if is_first { daemon.over(&doubt).await } else { daemon.well_again(&doubt).await });
        // Each step is held for a minute, and each made the terminals differ.
        row.complaints.extend(daemon.well_again(&[STEPPED, OFF]).await);
        Ok(())
    }

    async fn told(&self, codes: &[&str], row: &mut Row) {
        if codes.is_empty() {
            return;
        }
        let told = self.world.daemon.told_anew(Instant::now(), codes).await;
        row.tell(told);
    }

    async fn flows(&self, when: &str, row: &mut Row) {
        let mark = (self.world.oracle.count(), Instant::now());
        match self.world.flow(mark, 40, Duration::from_secs(60)).await {
            Some(time) => row.recovered.push(time),
            None => row.complaints.push(format!("punches do not flow {when}")),
        }
    }

    /// A box without a clock of its own. Certificates are not valid yet in that year, so nothing leaves, and nothing is lost.
    async fn unset(&mut self, row: &mut Row) -> anyhow::Result<()> {
        row.count = 1;
        self.shift(-Timestamp::now().as_second() + 30)?;
        self.launch()?;
        self.told(&[NOT_TRUSTED], row).await;
        sleep(Duration::from_secs(3)).await;
        // The box has no battery: it starts in that year once more.
        self.world.daemon.kill();
        self.shift(-Timestamp::now().as_second() + 30)?;
        self.launch()?;
        sleep(Duration::from_secs(3)).await;
        let early = self.world.judge();
        if !early.forged.is_empty() || early.lost.len() as u64 != early.recorded {
            row.complaints.push("a broker whose certificate is not valid yet was given punches".into());
        }
        self.shift(0)?;
        self.flows("after the clock was set", row).await;
        row.complaints.extend(self.world.daemon.over(&[NOT_TRUSTED, OFF]).await);
        Ok(())
    }

    /// Terminals' walls go an hour back, and the gateway's zone says so too; half a year later an hour forward.
    async fn summer(&mut self, row: &mut Row) -> anyhow::Result<()> {
        let zone = TimeZone::get("Europe/Berlin")?;
        for change in ["2026-10-25T01:00:00Z", "2027-03-28T01:00:00Z"] {
            row.count += 1;
            let change: Timestamp = change.parse()?;
            // The change comes 12 seconds from now, time enough for a start on a busy machine.
            let shift = change.as_second() - 12 - Timestamp::now().as_second();
            self.shift(shift)?;
            let wall = |scene: &Self, at: Timestamp| -> anyhow::Result<()> {
                let local: DateTime = zone.to_datetime(at);
                let utc = TimeZone::UTC.to_datetime(at);
                let hours = local.duration_since(utc);
                scene.set_terminals(SignedDuration::from_secs(shift) + hours)
            };
            wall(self, change - SignedDuration::from_secs(10))?;
            if self.world.daemon.pid().is_none() {
                self.launch()?;
            }
            self.flows("before the change", row).await;
            while Timestamp::now().as_second() + shift < change.as_second() {
                sleep(Duration::from_millis(20)).await;
            }
            wall(self, change + SignedDuration::from_secs(10))?;
            self.flows("after the change", row).await;
            // Terminals that follow the zone are right, at the latest at the second look.
            sleep(Duration::from_secs(12)).await;
            row.complaints.extend(self.world.daemon.over(&[OFF, NOT_TRUSTED]).await);
        }
        Ok(())
    }

    async fn terminals(&mut self, times: u64, random: &mut StdRng, row: &mut Row) -> anyhow::Result<()> {
        self.shift(0)?;
        self.launch()?;
        self.flows("before", row).await;
        for round in 0..times {
            row.count += 1;
            let minutes = random.random_range(60..14 * 60) * if random.random() { 1 } else { -1 };
            self.set_terminals(SignedDuration::from_mins(minutes))?;
            self.told(&[OFF], row).await;
            if let Some(missing) = self.all_told().await {
                row.tell(Told::Never(missing));
            }
            self.flows("with terminals off", row).await;
            self.set_terminals(SignedDuration::ZERO)?;
            let daemon = &self.world.daemon;
            row.complaints.extend(if round == 0 { daemon.over(&[OFF]).await } else { daemon.well_again(&[OFF]).await });
            self.flows("with terminals set right", row).await;
        }
        Ok(())
    }

    /// Every terminal must have its own condition, whichever driver it has.
    async fn all_told(&self) -> Option<String> {
        let begun = Instant::now();
        let all = self.world.fleet.read().await.terminals().len();
        let mut told = 0;
        while begun.elapsed() < crate::row::TELL_LIMIT {
            let held = self.world.daemon.conditions_that_are_so().unwrap_or_default();
            told = held.iter().filter(|code| *code == OFF).count();
            if told == all {
                return None;
            }
            sleep(Duration::from_millis(200)).await;
        }
        Some(format!("{OFF} of {told} terminals of {all}"))
    }

    fn set_terminals(&self, offset: SignedDuration) -> anyhow::Result<()> {
        let fleet = self.world.fleet.try_read()?;
        for terminal in fleet.terminals().iter_mut() {
            terminal.offset = offset;
            if let Speaks::Zk(speaks) = &terminal.speaks {
                speaks.set_clock_offset(offset);
            }
        }
        Ok(())
    }
}
