//! Lines that misbehave, between terminals, gateway and broker; and a bad network in a namespace of its own.

use std::{net::SocketAddr, time::Duration};

use tokio::time::sleep;

use crate::{
    Plan,
    mosquitto::Mosquitto,
    proxy::{Manner, Proxy},
    row::{Report, Row},
    storage::{ended, started},
    terminals::Speaks,
    world::{Settings, World},
};

pub(crate) async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if let Err(why) = Mosquitto::program() {
        report.skip("network", &why);
        return Ok(());
    }
    for place in ["to the broker", "to the terminals"] {
        if plan.wants(place) {
            lines(plan, report, place).await?;
        }
    }
    Ok(())
}

/// Each manner for some seconds, one after the other.
async fn lines(plan: &Plan, report: &mut Report, place: &str) -> anyhow::Result<()> {
    let mut row = Row { rig: "network", case: format!("bad line {place}"), ..Row::default() };
    let mut world = started(plan, Settings { rate: 100.0, ..Settings::default() }).await?;
    world.daemon.kill();
    let proxies = place_proxies(&mut world, plan.seed, place).await?;
    world.daemon.launch()?;
    let lasts = Duration::from_secs(if plan.full { 10 } else { 2 });
    for _ in 0..plan.times(1, 10) {
        for manner in Manner::ALL {
            if plan.is_stopped() {
                break;
            }
            row.count += 1;
            proxies.iter().for_each(|proxy| proxy.set(manner));
            sleep(lasts).await;
            proxies.iter().for_each(|proxy| proxy.set(Manner::Clean));
            ended(&mut world, &mut row, &[]).await?;
        }
    }
    world.close(&mut row).await?;
    report.add(&row)
}

/// Puts lines in front of what the gateway dials, or of the gateway where terminals dial it.
pub(crate) async fn place_proxies(world: &mut World, seed: u64, place: &str) -> anyhow::Result<Vec<Proxy>> {
    let mut proxies = Vec::new();
    if place == "to the broker" {
        if let Some(broker) = &world.broker {
            let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], broker.tls_port)), seed).await?;
            world.settings.mqtt = Some(broker.tls_lines(proxy.address.port()));
            proxies.push(proxy);
        }
    } else {
        let dialled: Vec<Option<SocketAddr>> = {
            let fleet = world.fleet.read().await;
            let terminals = fleet.terminals();
            terminals
                .iter()
                .map(|terminal| match &terminal.speaks {
                    Speaks::Zk(simulator) => Some(simulator.address()),
                    Speaks::Push(_) => None,
                })
                .collect()
        };
        for (number, address) in dialled.into_iter().enumerate() {
            let Some(address) = address else { continue };
            let proxy = Proxy::to(address, seed + number as u64).await?;
            world.fleet.read().await.terminals()[number].seen_at = Some(proxy.address);
            proxies.push(proxy);
        }
        let mut push = Proxy::to(world.push, seed + 100).await?;
        push.checked = false;
        world.fleet.write().await.dial(push.address);
        proxies.push(push);
    }
    world.configure().await?;
    Ok(proxies)
}
