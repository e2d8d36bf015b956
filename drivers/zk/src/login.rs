//! How a session begins and ends: the login with its key, the registration for events, the good-bye.

use std::{io, time::Duration};

use driver_api::DriverError;
use tokio::time::timeout;
use tracing::{debug, info};

use crate::{
    command::{ATTENDANCE, ask, meaning, reply},
    commkey,
    frame::Packet,
    session::{ATTEMPTS, Session},
};

/// The tick of the key's scramble; any would do.
const TICK: u8 = 50;

impl Session {
    /// Logs in. See [`DriverError`] for what a failure leads to.
    pub(crate) async fn login(&mut self) -> Result<(), DriverError> {
        (self.id, self.next_reply) = (0, 0);
        let first = match self.exchange(ask::CONNECT, &[], ATTEMPTS).await {
            Err(DriverError::Unreachable { peer, source }) if is_hangup(&source) => {
                let reason = "it closed the connection before it said a word: it may serve another client";
                return Err(DriverError::Busy { peer, reason: reason.into() });
            }
            other => other?,
        };
        self.id = first.session;
        match (first.command, self.key) {
            (reply::OK, key) => {
                if key.is_some_and(|key| key != 0) {
                    info!("comm key not used, the terminal asks for none");
                }
                self.key_used = false;
            }
            (reply::UNAUTH, None) => {
                return Err(self.refused(
                    "it wants a comm key: put the one of its menu Comm. > PC connection > Comm key into a file and name that \
                     file as comm_key_file",
                ));
            }
            (reply::UNAUTH, Some(key)) => {
                let answer = self.exchange(ask::AUTH, &commkey::scramble(key, self.id, TICK), ATTEMPTS).await?;
                match answer.command {
                    reply::OK => self.key_used = key != 0,
                    reply::UNAUTH => {
                        return Err(self.refused(
                            "the comm key is wrong: compare the file of comm_key_file with the terminal's menu \
                             Comm. > PC connection > Comm key",
                        ));
                    }
                    other => return Err(self.busy(format!("it answered {} to the comm key", meaning(other)))),
                }
            }
            (other, _) => return Err(self.busy(format!("it answered {} to the login", meaning(other)))),
        }
        Ok(())
    }

    /// A terminal that somebody left disabled serves nobody and has no events; on others this does nothing.
    pub(crate) async fn enable(&mut self) -> Result<(), DriverError> {
        self.request(ask::ENABLE, &[]).await.map(drop)
    }

    /// Asks to be told of punches as they happen; the answer's code when that is refused.
    pub(crate) async fn register(&mut self) -> Result<Result<(), u16>, DriverError> {
        let answer = self.request(ask::EVENT, &u32::from(ATTENDANCE).to_le_bytes()).await?;
        self.registered = answer.command == reply::OK;
        Ok(if self.registered { Ok(()) } else { Err(answer.command) })
    }

    /// Says good-bye, and waits a little for the terminal to take note. What else it still says is of no interest.
    pub(crate) async fn exit(mut self, patience: Duration) {
        let leave = async {
            let asked = self.send(ask::EXIT, &[]).await?;
            loop {
                let inner = self.wire.receive().await.map_err(|error| self.lost(error))?;
                if Packet::decode(&inner).is_ok_and(|(packet, _)| packet.reply == asked) {
                    return Ok::<_, DriverError>(());
                }
            }
        };
        match timeout(patience, leave).await {
            Ok(Ok(())) => debug!("session closed"),
            Ok(Err(_)) | Err(_) => debug!("terminal did not confirm the end of the session"),
        }
    }
}

fn is_hangup(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
