//! The gateway: builds the parts, joins them, closes them.

mod acts;
mod caretaker;
mod desk;
mod door;
mod publisher;
mod reload;
mod traces;
mod watchdog;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    audit::Audit,
    clock::Clock,
    command::{PrivateKey, sha256},
    config::Config,
    console::Console,
    courier::{Courier, Inbox},
    health::Health,
    host,
    incident::Incidents,
    inquiry::Standing,
    logging::Recent,
    mqtt,
    remote::{self, Remote},
    spool::{Filter, OpenError, Spool},
    status::{self, Sources},
    supervisor::Supervisor,
    wire::{self, suffix},
};
use acts::Hands;
use caretaker::{Caretaker, Memory};
use desk::FrontDesk;
use door::Door;
use publisher::Publisher;
use reload::Reloader;
use traces::Traces;
use watchdog::watch_over;

/// The destination that the courier serves.
const MQTT: &str = "mqtt";
/// Everything is closed in this time after SIGTERM, or given up: the journal holds it.
const DRAIN: Duration = Duration::from_secs(4);
/// A store that is still opening is waited for so long after SIGTERM, to close it in order.
const OPENING: Duration = Duration::from_secs(8);

/// Runs until SIGTERM or SIGINT, or until somebody orders a restart from afar. `recent` are the newest lines of the log.
pub async fn run(config: Config, path: PathBuf, recent: Recent) -> anyhow::Result<()> {
    let started = Instant::now();
    // From here on nothing ends by a signal's default action.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let settings = config.spool.clone();
    let mut opening = tokio::task::spawn_blocking(move || Spool::open(&settings));
    let opened = tokio::select! {
        opened = &mut opening => opened?,
        _ = terminate.recv() => return close_early(opening).await,
        _ = interrupt.recv() => return close_early(opening).await,
    };
    let spool = opened.context("cannot open the store")?;
    spool.stands("", Standing::Started);
    let boots = boots(&config.gateway.state_dir);
    let health = Health::default();
    health.set_groups(config.groups.clone());
    let memory = Memory::recall(&health, &spool).await;
    let incidents = Incidents::new(&config.gateway.state_dir, config.targets);
    let clock = Arc::new(Clock::new(host::time_server_keeps_clock));
    if let Some((_, newest)) = spool.recent(Filter { limit: 1, ..Filter::default() }).await?.pop() {
        clock.passed(newest.stored);
    }
    let traces = Traces::default();
    let door = Arc::new(Door::new(spool.clone(), health.clone(), clock.clone(), traces.clone()));
    door.set_zones(&config.terminals);
    let mut supervisor = Supervisor::new(door.clone(), health.clone());

    let key = Arc::new(
        PrivateKey::read_or_make(&config.gateway.state_dir.join("gateway-key.jwk"))
            .context("cannot use the gateway's key")?,
    );
    let audit = Audit::new(&config.gateway.state_dir);
    let client = Arc::new(mqtt::Client::new(config.mqtt.clone()));
    let outbox = Box::new(spool.outbox(MQTT));
    let (requests, inbox) = tokio::sync::mpsc::channel(remote::INBOX);
    let asked = Inbox { filters: vec![suffix::REQUESTS.into(), suffix::TRUST.into()], messages: Some(requests) };
    let (courier, board, link) = Courier::new(config.courier.clone(), outbox, client, asked);
    board.state(wire::GatewayState::Starting, None);
    let (policy_set, policy) = tokio::sync::watch::channel(Arc::new(config.policy.clone()));
    let (in_force, holds) = tokio::sync::watch::channel(Arc::new(config.policy.under(None, &config.gateway.id)));
    let sources = Sources {
        tenant: config.gateway.tenant.clone(),
        gateway: config.gateway.id.clone(),
        started,
        health: health.clone(),
        spool: spool.clone(),
        link: link.clone(),
        clock: clock.clone(),
        key: key.public(),
        policy: holds,
        boots,
        host: Arc::default(),
        state_dir: config.gateway.state_dir.clone(),
        min_free_bytes: config.spool.min_free_bytes,
        site: config.health.clone(),
        incidents,
    };
    board.set(suffix::BIRTH, wire::json(&status::birth(&sources)));
    let leaving = CancellationToken::new();
    let courier = tokio::spawn(courier.run(leaving.clone(), DRAIN));

    let console = Console::open(&config.gateway.socket).await.context("cannot open the local socket")?;
    supervisor.apply(config.lines).await;
    let supervisor = Arc::new(Mutex::new(supervisor));
    let reloader = Arc::new(Reloader::new(
        &config.gateway,
        path.clone(),
        door.clone(),
        supervisor.clone(),
        policy_set,
        audit.clone(),
    )?);
    let running = std::fs::read(&path).map(|bytes| sha256(&bytes)).unwrap_or_default();
    let begun = serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "boots": boots, "config": running });
    if let Err(error) = audit.tell("started", begun).await {
        error!(%error, "the audit log cannot be written: nothing is done from afar until it can");
    }
    let hands = Arc::new(Hands::new(
        sources.clone(),
        supervisor.clone(),
        reloader.clone(),
        board.clone(),
        recent.clone(),
        key.clone(),
        traces.clone(),
    ));
    let parts = remote::Parts {
        tenant: config.gateway.tenant.clone(),
        gateway: config.gateway.id.clone(),
        key,
        policy,
        in_force,
        spool: spool.clone(),
        board: board.clone(),
        clock,
        audit: audit.clone(),
        acts: hands.clone(),
        inbox,
        started,
    };
    let remote = tokio::spawn(Remote::new(parts).run());
    let desk =
        FrontDesk::new(sources.clone(), supervisor.clone(), audit.clone(), recent.clone(), reloader.path().into());
    let desk = Arc::new(desk);
    let console_closing = CancellationToken::new();
    tokio::spawn(console.run(desk, console_closing.clone()));
    let published = Arc::<AtomicU64>::default();
    let publisher = tokio::spawn(Publisher::new(sources.clone(), board.clone()).run(published.clone()));
    let (beat, store) = (sources.link.clone(), spool.clone());
    let watchdog = tokio::spawn(watch_over(
        move || [beat.borrow().beat, published.load(Ordering::Relaxed)],
        move || {
            let store = store.clone();
            async move { store.is_alive().await }
        },
        || tell_systemd(&[sd_notify::NotifyState::Watchdog]),
    ));
    let caretaker = Caretaker {
        sources: sources.clone(),
        supervisor: supervisor.clone(),
        board: board.clone(),
        recent,
        audit: audit.clone(),
        traces,
        config: path,
        memory,
    };
    let caretaker = tokio::spawn(caretaker.run());
    let looked_at = sources.clone();
    tokio::spawn(caretaker::serve_numbers(looked_at, config.metrics.clone(), console_closing.clone()));

    tell_systemd(&[sd_notify::NotifyState::Ready]);
    info!(gateway = config.gateway.id, version = env!("CARGO_PKG_VERSION"), "gateway started");
    loop {
        tokio::select! {
            // A bad file is a condition, and has been logged.
            _ = hangup.recv() => drop(reloader.reload("SIGHUP").await),
            () = hands.restart_ordered() => break,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }

    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    info!("gateway closing");
    caretaker.abort();
    Memory::keep_last(&sources.health, &spool).await;
    let stopped = std::mem::replace(&mut *supervisor.lock().await, Supervisor::new(door, health));
    stopped.stop().await;
    publisher.abort();
    remote.abort();
    // The log may be full; what is said there is that nothing more follows.
    let _ = audit.tell("stopped", serde_json::json!({})).await;
    leaving.cancel();
    if timeout(DRAIN + Duration::from_secs(1), courier).await.is_err() {
        warn!("the broker did not take everything in time; it is sent after the next start");
    }
    watchdog.abort();
    console_closing.cancel();
    spool.stands("", Standing::Stopped);
    spool.close().await;
    Ok(())
}

/// Told to stop while the store opens, which may have a whole journal to read after a power cut. What is read by then is
/// kept where that does not take long; otherwise the store is left as a crash leaves it, which loses nothing.
async fn close_early(opening: JoinHandle<Result<Spool, OpenError>>) -> anyhow::Result<()> {
    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    info!("gateway closing before its store was open");
    match timeout(OPENING, opening).await {
        Ok(opened) => opened?.context("cannot open the store")?.close().await,
        Err(_) => warn!("the store did not open in time to be closed in order"),
    }
    Ok(())
}

fn tell_systemd(news: &[sd_notify::NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(news);
}

/// Counts the starts of this gateway on this store, for health. A count that cannot be kept is not known.
fn boots(state_dir: &Path) -> Option<u64> {
    let path = state_dir.join("boots");
    let before = match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().ok()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(_) => return None,
    };
    let boots: u64 = before + 1;
    let fresh = state_dir.join("boots.new");
    fs::write(&fresh, format!("{boots}\n")).and_then(|()| fs::rename(&fresh, &path)).ok()?;
    Some(boots)
}
