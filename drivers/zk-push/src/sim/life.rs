//! What a simulated terminal does all day: start, send, poll, carry out.

use std::{io, sync::Arc};

use tokio::time::{Instant, sleep, timeout};

use super::{
    Fault, Shared, answers,
    http::{Answer, Client, Reach},
    log::Record,
};

/// Its whole life; ends with its task.
pub(super) async fn live(shared: Arc<Shared>) {
    loop {
        let mut client = Client::new(shared.server(), shared.model.keep_alive);
        let day = async {
            start(&shared, &mut client).await?;
            serve(&shared, &mut client).await
        };
        tokio::select! {
            ended = day => {
                // A failure is nothing to speak of: it waits and starts again where it was.
                let _: io::Result<()> = ended;
            }
            () = shared.cut.notified() => {}
        }
        sleep(shared.model.retry).await;
    }
}

/// Asks until somebody accepts it.
async fn start(shared: &Shared, client: &mut Client) -> io::Result<()> {
    while shared.state().switched_off {
        shared.news.notified().await;
    }
    let model = &shared.model;
    let kind = if model.security { "acc" } else { "att" };
    let target = format!(
        "/iclock/cdata?SN={}&options=all&pushver={}&language=69&DeviceType={kind}&PushOptionsFlag=1",
        model.serial, model.version
    );
    let options = accepted(shared, client.ask(&target, None, Reach::Whole).await?)?.text();
    let fits = if model.security {
        options.starts_with("registry=ok\n")
    } else {
        options.starts_with(&format!("GET OPTION FROM: {}\n", model.serial))
    };
    if !fits {
        return Err(io::Error::other("that is no handshake"));
    }
    if model.security {
        let about = "DeviceType=acc,~DeviceName=Sim ACC,FirmVer=1.0,PushVersion=3.1.2,LockCount=1";
        let registry = format!("/iclock/registry?SN={}", model.serial);
        let code = accepted(shared, client.ask(&registry, Some(about.as_bytes()), Reach::Whole).await?)?.text();
        let told = options.lines().nth(1).unwrap_or_default();
        if code.trim_end() != told {
            return Err(io::Error::other("two registration codes"));
        }
        let push = format!("/iclock/push?SN={}", model.serial);
        accepted(shared, client.ask(&push, Some(b""), Reach::Whole).await?)?;
    }
    let mut state = shared.state();
    let stamp = options.lines().find_map(|line| line.strip_prefix("ATTLOGStamp=")).and_then(|stamp| stamp.parse().ok());
    if let Some(stamp) = stamp.filter(|_| model.resumes_by_stamp) {
        state.log.resume(stamp);
    }
    state.options = options;
    state.handshakes += 1;
    Ok(())
}

async fn serve(shared: &Shared, client: &mut Client) -> io::Result<()> {
    let model = &shared.model;
    let mut next_poll = Instant::now();
    loop {
        if shared.state().switched_off {
            return Ok(());
        }
        let garbage = std::mem::take(&mut shared.state().garbage);
        for bytes in garbage {
            let _ = client.rubbish(&bytes).await; // it may well be cut off
            let target = format!("/iclock/cdata?SN={}&table=ATTLOG&Stamp=9999", model.serial);
            let _ = client.ask(&target, Some(&bytes), Reach::Whole).await;
        }
        let batch = shared.state().log.batch(model.batch);
        if !batch.is_empty() {
            send(shared, client, &batch).await?;
            continue;
        }
        if Instant::now() >= next_poll {
            next_poll = Instant::now() + model.poll;
            poll(shared, client).await?;
            continue;
        }
        // Whichever comes first: a punch, or the time to poll.
        let _ = timeout(next_poll - Instant::now(), shared.news.notified()).await;
    }
}

/// Sends records; they are acknowledged if, and only if, the answer says so.
pub(super) async fn send(shared: &Shared, client: &mut Client, batch: &[(usize, Record)]) -> io::Result<()> {
    let model = &shared.model;
    let stamp = if model.resumes_by_stamp { batch.last().map_or(0, |(at, _)| at + 1) } else { 9999 };
    let (target, body): (_, String) = if model.security {
        let rows = batch.iter().map(|(at, record)| record.rtlog(*at)).collect();
        (format!("/iclock/cdata?SN={}&table=rtlog", model.serial), rows)
    } else {
        let lines = batch.iter().map(|(_, record)| record.attlog()).collect();
        (format!("/iclock/cdata?SN={}&table=ATTLOG&Stamp={stamp}", model.serial), lines)
    };
    let reach = match shared.state().faults.pop() {
        None => Reach::Whole,
        Some(Fault::CutRequest) => Reach::Half,
        Some(Fault::HangUp) => Reach::Unread,
    };
    let answer = accepted(shared, client.ask(&target, Some(body.as_bytes()), reach).await?)?;
    let wanted = if model.security { "OK".to_owned() } else { format!("OK: {}", batch.len()) };
    if answer.text() != wanted {
        shared.state().refusals += 1;
        return Err(io::Error::other("not the answer to that upload"));
    }
    shared.state().log.acknowledge(batch.iter().map(|(at, _)| *at));
    Ok(())
}

async fn poll(shared: &Shared, client: &mut Client) -> io::Result<()> {
    let target = format!("/iclock/getrequest?SN={}", shared.model.serial);
    let commands = accepted(shared, client.ask(&target, None, Reach::Whole).await?)?.text();
    for line in commands.lines().filter(|line| *line != "OK") {
        let mut parts = line.splitn(3, ':');
        if let (Some("C"), Some(id), Some(command)) = (parts.next(), parts.next(), parts.next()) {
            shared.state().commands.push(command.to_owned());
            answers::carry_out(shared, client, id, command).await?;
            if command == "CHECK" || command == "REBOOT" {
                start(shared, client).await?;
            }
        }
    }
    Ok(())
}

/// Anything but 200 means: not taken.
pub(super) fn accepted(shared: &Shared, answer: Answer) -> io::Result<Answer> {
    if answer.status == 200 {
        return Ok(answer);
    }
    shared.state().refusals += 1;
    Err(io::Error::other(format!("status {}", answer.status)))
}
