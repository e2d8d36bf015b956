//! Changing the terminal's user list, when somebody who may has ordered it.
//!
//! What is known of a user there is written back as it was read, password and all, without being looked at; only the name and
//! the card that were ordered are other ones. Firmware has been seen that acknowledges what it does not keep, so the list is
//! read again and compared.

use driver_api::{JobFailed, User as Wanted};
use serde_json::{Value, json};

use crate::{
    command::{ask, reply},
    identity,
    jobs::{Failed, refused},
    serve::Serving,
    user::Width,
};

fn no(why: impl Into<String>) -> Failed {
    Failed::Job(JobFailed::Refused(why.into()))
}

/// The user list as it lies in the terminal.
struct List {
    width: Width,
    raw: Vec<u8>,
}

impl List {
    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.raw.chunks_exact(self.width.size())
    }

    fn find(&self, id: &str) -> Option<&[u8]> {
        self.entries().find(|raw| self.width.decode(raw).is_ok_and(|user| user.id == id))
    }

    /// The lowest internal number that nobody has.
    fn free_number(&self) -> Option<u16> {
        let taken: std::collections::HashSet<u16> =
            self.entries().map(|raw| u16::from_le_bytes([raw[0], raw[1]])).collect();
        (1..u16::MAX).find(|number| !taken.contains(number))
    }
}

impl Serving<'_> {
    pub(crate) async fn put_user(&mut self, wanted: &Wanted) -> Result<Value, Failed> {
        let list = self.list().await?;
        let width = list.width;
        let known = list.find(&wanted.id).map(<[u8]>::to_vec);
        let mut raw = match &known {
            Some(raw) => raw.clone(),
            None => {
                let number = list.free_number().ok_or_else(|| no("its user list is full"))?;
                width.blank(number, &wanted.id).map_err(no)?
            }
        };
        width.change(&mut raw, wanted.name.as_deref(), wanted.card).map_err(no)?;
        self.write(ask::WRITE_USER, &raw).await?;
        match self.list().await?.find(&wanted.id) {
            Some(kept) if width.shows_the_same(kept, &raw) => Ok(json!({ "added": known.is_none() })),
            Some(_) => Err(no("it acknowledged the user and kept another name or card")),
            None => Err(no("it acknowledged the user and did not keep it")),
        }
    }

    pub(crate) async fn delete_user(&mut self, id: &str) -> Result<Value, Failed> {
        let list = self.list().await?;
        let Some(raw) = list.find(id) else { return Err(no("it has no such user")) };
        let number = [raw[0], raw[1]];
        self.write(ask::DELETE_USER, &number).await?;
        match self.list().await?.find(id) {
            None => Ok(json!({ "deleted": true })),
            Some(_) => Err(no("it acknowledged the deletion and kept the user")),
        }
    }

    async fn write(&mut self, command: u16, data: &[u8]) -> Result<(), Failed> {
        let answer = self.session.request_once(command, data).await?;
        if answer.command != reply::OK {
            return Err(refused(answer.command));
        }
        self.session.request(ask::REFRESH, &[]).await?;
        // Numbers of punches may mean somebody else from now on.
        self.forget_people();
        Ok(())
    }

    async fn list(&mut self) -> Result<List, Failed> {
        // Its count tells how wide an entry is.
        self.ask_sizes().await?;
        let raw = self.user_list().await?;
        let width = match raw.is_empty() {
            false => Width::of(&raw, self.sizes.users).map_err(|error| no(error.to_string()))?,
            true if identity::option(self.session, "~UserExtFmt").await? == "1" => Width::Long,
            true => Width::Short,
        };
        Ok(List { width, raw })
    }
}
