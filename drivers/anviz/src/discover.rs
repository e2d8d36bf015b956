//! Terminals that nobody told us of: asked who they are, whatever their number, and nothing else.

use std::{net::SocketAddr, time::Duration};

use driver_api::{Address, Finder, Finding, Found, Reach, shown};
use line::Port;

use crate::{
    command::ask,
    frame::Frame,
    record::text,
    settings::PORT,
    wire::{NoAnswer, Wire},
};

pub const FINDER: Finder = Finder { driver: crate::KIND.name, reach: Reach::Tcp(PORT), ask: find };

fn find(at: SocketAddr, patience: Duration) -> Finding {
    Box::pin(async move {
        let found = async {
            let address = Address::Tcp { host: at.ip().to_string(), port: at.port() };
            let stream = Port::new(address.clone()).open(patience).await.ok()?;
            let mut wire = Wire::new(stream, address.to_string(), patience);
            // Its number on a bus is what every model tells.
            let unit = answer(&mut wire, ask::UNIT).await.ok()??;
            let mut found = Found { vendor: "Anviz or kin".into(), address: address.to_string(), ..Found::default() };
            found.block = format!("address = \"{address}\"\n");
            match unit.result {
                0 => {
                    let mut told = async |command, most: usize| {
                        let answer = answer(&mut wire, command).await.ok().flatten().filter(|it| it.result == 0);
                        answer.map(|it| shown(&text(&it.data[..it.data.len().min(most)]))).unwrap_or_default()
                    };
                    found.serial = told(ask::SERIAL, 16).await;
                    found.model = told(ask::MODEL, 8).await;
                    found.firmware = told(ask::CONFIG, 8).await;
                    if !found.serial.is_empty() {
                        found.block += &format!("serial = \"{}\"\n", found.serial);
                    }
                }
                _ => {
                    found.note = "it wants a login, and tells no more without".into();
                    found.block +=
                        "user = \"admin\"\npassword_file = \"/etc/punchgate/NAME.password\"  # with its password\n";
                }
            }
            Some(found)
        };
        found.await.into_iter().collect()
    })
}

/// Old models say nothing at all to what they do not know.
async fn answer(wire: &mut Wire, command: u8) -> Result<Option<Frame>, NoAnswer> {
    match wire.ask(&Frame::question(0, command, []), 1, |_| true).await {
        Ok(answer) => Ok(Some(answer)),
        Err(NoAnswer::Silence | NoAnswer::Damaged) => Ok(None),
        Err(gone) => Err(gone),
    }
}
