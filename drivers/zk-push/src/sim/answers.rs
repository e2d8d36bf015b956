//! How a simulated terminal carries out commands, and what it tells of it.

use std::io;

use jiff::civil::DateTime;

use super::{
    Shared,
    http::{Client, Reach},
    life::{accepted, send},
};
use crate::when;

/// Users in one packet of an answer at `querydata`.
const PACKET: usize = 2;

pub(super) async fn carry_out(shared: &Shared, client: &mut Client, id: &str, command: &str) -> io::Result<()> {
    let model = &shared.model;
    let pins: Vec<String> = shared.state().users.keys().cloned().collect();
    let result = match command.split(' ').collect::<Vec<_>>()[..] {
        ["INFO"] => {
            let (records, users) = (shared.state().log.len(), pins.len());
            format!(
                "ID={id}&Return=0&CMD=INFO\n~DeviceName=Sim\n~Platform=ZAM_SIM\nFWVersion=Ver 1.0\nUserCount={users}\nTransactionCount={records}\nComKey=88888888\n"
            )
        }
        ["CHECK" | "LOG" | "REBOOT" | "AC_UNLOCK"] | ["CONTROL", ..] | ["SET", ..] => {
            format!("ID={id}&Return=0&CMD={command}\n")
        }
        ["VERIFY", "SUM", "ATTLOG", ..] => {
            let sum = records(shared, command).len();
            format!("ID={id}&Return=0&CMD=VERIFY SUM&AttlogSum={sum}\n")
        }
        ["DATA", "QUERY", "ATTLOG", ..] => {
            let found = records(shared, command);
            for batch in found.chunks(model.batch) {
                send(shared, client, batch).await?;
            }
            format!("ID={id}&Return={}&CMD=DATA\n", found.len())
        }
        ["DATA", "QUERY", "USERINFO"] => {
            let lines: String = pins
                .iter()
                .map(|pin| format!("USER PIN={pin}\tName=N{pin}\tPri=0\tPasswd=4711\tCard=\tGrp=1\n"))
                .collect();
            let target = format!("/iclock/cdata?SN={}&table=OPERLOG&OpStamp=1", model.serial);
            accepted(shared, client.ask(&target, Some(lines.as_bytes()), Reach::Whole).await?)?;
            format!("ID={id}&Return={}&CMD=DATA\n", pins.len())
        }
        ["DATA", "QUERY", table] if table.starts_with("tablename=user") => {
            let rows: Vec<String> =
                pins.iter().map(|pin| format!("user uid={pin}\tcardno=\tpin={pin}\tpassword=4711\n")).collect();
            return packets(shared, client, id, "user", &rows).await;
        }
        ["DATA", "QUERY", table] if table.starts_with("tablename=transaction") => {
            let all = shared.state().log.between(DateTime::MIN, DateTime::MAX);
            let rows: Vec<String> = all.iter().map(|(at, record)| record.transaction(*at)).collect();
            packets(shared, client, id, "transaction", &rows).await?;
            shared.state().log.acknowledge(all.iter().map(|(at, _)| *at));
            return Ok(());
        }
        ["DATA", "UPDATE", "USERINFO" | "user", ..] | ["DATA", "DELETE", "USERINFO" | "user", ..] => {
            let code = change_user(shared, command);
            format!("ID={id}&Return={code}&CMD=DATA\n")
        }
        ["GET", "OPTIONS", _] => {
            let target = format!("/iclock/querydata?SN={}&type=options&cmdid={id}&packcnt=1&packidx=1", model.serial);
            let body =
                format!("~SerialNumber={},FirmVer=1.0,~DeviceName=Sim ACC,UserCount={}", model.serial, pins.len());
            accepted(shared, client.ask(&target, Some(body.as_bytes()), Reach::Whole).await?)?;
            return Ok(());
        }
        _ => format!("ID={id}&Return=-14&CMD=DATA\n"),
    };
    let target = format!("/iclock/devicecmd?SN={}", model.serial);
    accepted(shared, client.ask(&target, Some(result.as_bytes()), Reach::Whole).await?)?;
    Ok(())
}

/// An answer in packets is its command's result: none follows at `devicecmd`.
async fn packets(shared: &Shared, client: &mut Client, id: &str, table: &str, rows: &[String]) -> io::Result<()> {
    let count = rows.len().div_ceil(PACKET).max(1);
    for index in 0..count {
        let rows = rows.chunks(PACKET).nth(index).unwrap_or_default();
        let target = format!(
            "/iclock/querydata?SN={}&type=tabledata&cmdid={id}&tablename={table}&count={}&packcnt={count}&packidx={}",
            shared.model.serial,
            rows.len(),
            index + 1
        );
        let answer = client.ask(&target, Some(rows.concat().as_bytes()), Reach::Whole).await?;
        if accepted(shared, answer)?.text() != format!("{table}={}", rows.len()) {
            return Err(io::Error::other("not the answer to that packet"));
        }
    }
    Ok(())
}

/// Fields behind the verb, divided by TAB. As measured on real ones: whoever names nobody means everybody.
fn change_user(shared: &Shared, command: &str) -> i64 {
    let fields = command.splitn(4, ' ').nth(3).unwrap_or_default();
    let value = |names: [&str; 2]| {
        let pairs = fields.split('\t').filter_map(|pair| pair.split_once('='));
        pairs.clone().find(|(name, _)| names.contains(name)).map(|(_, value)| value.to_owned())
    };
    let mut state = shared.state();
    match (command.contains(" DELETE "), value(["PIN", "Pin"])) {
        (true, None) => state.users.clear(),
        (true, Some(pin)) => return if state.users.remove(&pin).is_some() { 0 } else { -10 },
        (false, None) => return -1,
        (false, Some(pin)) => {
            let user = state.users.entry(pin).or_default();
            user.0 = value(["Name", "Name"]).unwrap_or_else(|| std::mem::take(&mut user.0));
            user.1 = value(["Card", "CardNo"]).unwrap_or_else(|| std::mem::take(&mut user.1));
        }
    }
    0
}

/// What lies between `StartTime` and `EndTime` of a command.
fn records(shared: &Shared, command: &str) -> Vec<(usize, super::Record)> {
    let end = |key: &str| {
        let at = command.find(key)? + key.len();
        when::wall(command.as_bytes().get(at..at + 19)?)
    };
    match (end("StartTime="), end("EndTime=")) {
        (Some(from), Some(to)) => shared.state().log.between(from, to),
        _ => Vec::new(),
    }
}
