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
    volume::tool,
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
    for case in ["16 kbit/s to the broker", "10 % loss to the broker"] {
        if !plan.wants(case) {
            continue;
        }
        match plan.own_network {
            true => bad_network(plan, report, case).await?,
            false => report.skip(case, "it needs a network namespace of its own, and that needs root"),
        }
    }
    Ok(())
}

/// A link that is thin or loses packets, as the kernel makes it: the gateway is away for a while, so that a backlog must
/// pass too.
async fn bad_network(plan: &Plan, report: &mut Report, case: &str) -> anyhow::Result<()> {
    let mut row = Row { rig: "network", case: case.into(), count: 1, ..Row::default() };
    let settings = Settings { rate: 40.0, ack_timeout: "20s", ..Settings::default() };
    let mut world = World::new(plan, settings).await?;
    let port = world.broker.as_ref().map_or(0, |broker| broker.tls_port).to_string();
    // A backlog of some seconds, which no terminal sends twice.
    sleep(Duration::from_secs(if plan.full { 25 } else { 4 })).await;
    world.fleet.read().await.set_rate(0.5);
    let thin = case.starts_with("16");
    if thin {
        // Small packets, as on such a link.
        tool("ip", &["link", "set", "lo", "mtu", "1400"], &[])?;
        tc("qdisc add dev lo root handle 1: htb")?;
        tc("class add dev lo parent 1: classid 1:10 htb rate 16kbit burst 4kb")?;
        tc("qdisc add dev lo parent 1:10 handle 40: pfifo limit 200")?;
        for side in ["sport", "dport"] {
            tc(&format!("filter add dev lo parent 1: protocol ip u32 match ip {side} {port} 0xffff flowid 1:10"))?;
        }
    } else {
        let rules = format!(
            "add table inet rig; add chain inet rig input {{ type filter hook input priority 0; }}; \
             add rule inet rig input tcp dport {port} numgen random mod 100 < 10 drop; \
             add rule inet rig input tcp sport {port} numgen random mod 100 < 10 drop"
        );
        tool("nft", &[&rules], &[])?;
    }
    world.daemon.launch()?;
    match world.arrival(Duration::from_secs(90)).await {
        Some(time) => row.recovered.push(time),
        None => row.complaints.push("no punch arrived in 90 s".into()),
    }
    sleep(Duration::from_secs(if plan.full { 60 } else { 5 })).await;
    // Everything must get through the bad link, not through the good one after it.
    world.settle(Duration::from_secs(120)).await;
    if thin {
        tc("qdisc del dev lo root")?
    } else {
        tool("nft", &["delete table inet rig"], &[])?
    }
    row.verdict = world.judge();
    if !row.verdict.lost.is_empty() {
        row.complaints.push(format!("{} punches had not arrived when the link was good again", row.verdict.lost.len()));
    }
    world.close(&mut row).await?;
    report.add(&row)
}

fn tc(words: &str) -> anyhow::Result<()> {
    tool("tc", &words.split(' ').collect::<Vec<_>>(), &[])
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
