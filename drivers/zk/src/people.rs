//! Who is behind the internal numbers of a log: the terminal's user list, read when it is needed.

use std::time::Duration;

use driver_api::CONFIRMATIONS;
use tokio::time::Instant;
use tracing::warn;

use crate::{
    download::{BODY_LIMIT, Download, ReadFailed, What},
    record,
    serve::Serving,
    user::{self, People},
};

/// How long a user list is good for live punches, in the terminal's time-outs: a minute with the usual one. A terminal gives
/// the number of somebody who left to somebody new, so an old list names the wrong person.
pub(crate) const LIST_AGE: u32 = 12;

impl Serving<'_> {
    /// The user list, read now if what is known of it is older than `age`.
    pub(crate) async fn people(&mut self, age: Duration) -> Result<&People, ReadFailed> {
        if !self.list_is_younger(age) {
            let asked = Instant::now();
            let people = self.list_or_none().await?;
            self.had_people |= !people.is_empty();
            self.people = Some((asked, people));
        }
        Ok(&self.people.as_ref().expect("it was read above").1)
    }

    /// The user list, or none where there is nobody to be told: an unknown number then is marked and booked. Where there are
    /// users and their list is kept back, or is in a width that nobody knows, nothing may be booked: with other names, all
    /// punches would have other ids.
    async fn list_or_none(&mut self) -> Result<People, ReadFailed> {
        let mut why = String::new();
        for _ in 0..=CONFIRMATIONS {
            match self.user_list().await {
                Ok(list) => match user::decode(&list, self.sizes.users) {
                    Ok(users) if !users.is_empty() || !self.has_users() => return Ok(People::new(users)),
                    Ok(_) => why = "it is empty".into(),
                    Err(error) => why = error.to_string(),
                },
                Err(ReadFailed::Refused(code)) => why = ReadFailed::Refused(code).to_string(),
                Err(ReadFailed::Bad(what)) => {
                    return Err(self.session.garbled(format!("in the user list: {what}")).into());
                }
                Err(lost) => return Err(lost),
            }
        }
        if self.has_users() {
            let told = self.sizes.users.filter(|users| *users > 0);
            let users = told.map_or("users".into(), |users| format!("{users} users"));
            return Err(ReadFailed::Bad(format!(
                "its log names people by internal numbers, and the list of its {users} cannot be had: {why}; nothing of the log \
                 is booked until it can"
            )));
        }
        warn!(why, "no user list");
        Ok(People::default())
    }

    /// Whether there is somebody for a user list to name.
    fn has_users(&self) -> bool {
        self.had_people || self.sizes.users.is_some_and(|users| users > 0)
    }

    pub(crate) fn list_is_younger(&self, age: Duration) -> bool {
        self.people.as_ref().is_some_and(|(asked, _)| asked.elapsed() < age)
    }

    /// Reads the user list.
    pub(crate) async fn users(&mut self) -> Result<Vec<user::User>, ReadFailed> {
        let list = self.user_list().await?;
        // A width nobody knows will not be another the next time: better a marked number than no punch.
        Ok(user::decode(&list, self.sizes.users).unwrap_or_else(|error| {
            warn!(%error, "user list not understood");
            Vec::new()
        }))
    }

    /// Entries of the user list, as they lie there.
    pub(crate) async fn user_list(&mut self) -> Result<Vec<u8>, ReadFailed> {
        let mut manner = self.manner();
        let read = Download::whole(self.session, What::Users, BODY_LIMIT, &mut manner).await;
        self.remember(manner);
        let body = read?;
        self.confirm_identity().await?;
        let list = record::records(&body).map_err(|error| ReadFailed::Bad(error.to_string()))?;
        Ok(list.to_vec())
    }

    /// What was known of it is old.
    pub(crate) fn forget_people(&mut self) {
        self.people = None;
    }
}
