//! A real mosquitto that is killed, frozen and started again, with and without its memory; a cluster of three.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    Plan,
    mosquitto::Mosquitto,
    row::{Report, Row},
    storage::{ended, started},
    world::Settings,
};

const AWAY: [&str; 1] = ["broker-unreachable"];

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if let Err(why) = Mosquitto::program() {
        report.skip("broker", &why);
        return Ok(());
    }
    for case in ["killed", "restarted with its memory", "frozen", "away for a minute"] {
        if plan.wants(case) && (plan.full || case != "away for a minute") {
            outage(plan, report, case).await?;
        }
    }
    Ok(())
}

async fn outage(plan: &Plan, report: &mut Report, case: &str) -> anyhow::Result<()> {
    let mut row = Row { rig: "broker", case: format!("mosquitto {case}"), ..Row::default() };
    let mut world = started(plan, Settings { rate: 100.0, ..Settings::default() }).await?;
    row.count = plan.times(1, if case == "away for a minute" { 2 } else { 20 });
    for round in 0..row.count {
        let since = Instant::now();
        let Some(broker) = &mut world.broker else { break };
        match case {
            "frozen" => broker.freeze(true)?,
            // Its queues are on disk, and so is what it acknowledged.
            "restarted with its memory" => broker.stop()?,
            _ => {
                // A broker forgets what it acknowledged and had not yet sent on when it is killed: that is its loss, and
                // the witness would count it as ours. So it has a moment to send on what it holds, and nothing comes.
                world.fleet.read().await.set_rate(0.0);
                sleep(Duration::from_millis(400)).await;
                broker.kill();
                world.go_on().await;
            }
        }
        row.tell(world.daemon.told_anew(since, &AWAY).await);
        sleep(Duration::from_secs(if case == "away for a minute" { 60 } else { 2 })).await;
        if let Some(broker) = &mut world.broker {
            match case {
                "frozen" => broker.freeze(false)?,
                _ => broker.launch()?,
            }
        }
        // One that returns is held for longer each time, so that nobody is called for each of them: it is the first that ends
        // within a minute.
        ended(&mut world, &mut row, if round == 0 { &AWAY } else { &[] }).await?;
        row.complaints.extend(world.daemon.well_again(&AWAY).await);
    }
    world.close(&mut row).await?;
    report.add(&row)
}
