//! A terminal that shows its last event.

use driver_api::Origin;

use super::{LookFailed, Next, Unit};
use crate::{
    bus::Bus,
    cursor::went,
    map::{Latch, News, Record},
};

/// What was seen at the last look, in this run.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The card of the last look, where nothing else tells a new one; `None` before the first look.
    card: Option<Vec<u16>>,
}

impl Unit {
    /// Flag, event, **store**, release.
    pub(super) async fn look_at_latch(
        &mut self,
        bus: &mut Bus,
        latch: &Latch,
        record: &Record,
    ) -> Result<Next, LookFailed> {
        if let News::Coil { fc, addr } = &latch.news
            && !bus.bit(self.number, self.limit, *fc, *addr).await?
        {
            return self.nothing_shown().await;
        }
        let words = bus.registers(self.number, self.limit, latch.read).await?;
        let mut lost = None;
        let mut number = None;
        match &latch.news {
            News::Coil { .. } => {}
            News::Flag { at } => {
                if words.get(*at).is_none_or(|flag| *flag == 0) {
                    return self.nothing_shown().await;
                }
            }
            News::Sequence { field, first_is_new } => {
                let now = field.number(&words).unwrap_or(0);
                let bits = field.words * 16;
                match self.cursor.sequence {
                    Some(last) if last == now => return self.nothing_shown().await,
                    None if !first_is_new => {
                        self.cursor.sequence = Some(now);
                        self.save().await?;
                        return self.nothing_shown().await;
                    }
                    Some(last) => {
                        let step = went(last, now, bits);
                        // More than half the range is a reader that was started anew.
                        if step > 1 && step <= went(1, 0, bits) / 2 {
                            lost = Some((step - 1, format!("its number went from {last} to {now}")));
                        }
                    }
                    None => {}
                }
                number = Some(now);
            }
            News::Change => {
                let card = record.person.of(&words).unwrap_or_default().to_vec();
                let empty = card.iter().all(|word| *word == 0);
                let before = self.shown.card.replace(card);
                // What lies there at first may lie there since yesterday.
                if empty || before.is_none() || before == self.shown.card {
                    self.caught_up = true;
                    return Ok(Next::InTurn);
                }
            }
        }
        // An empty latch with a new number is a reader that started, not an event.
        let empty = matches!(record.decode(&words, &self.zone), Ok(None));
        if !empty || latch.release.is_some() {
            let origin = if self.caught_up { Origin::Live } else { Origin::Backfill };
            if let Err(error) = self.store(record, std::slice::from_ref(&words), origin).await {
                self.shown = Shown::default_after_refusal(&latch.news);
                return Err(error.into());
            }
        }
        self.caught_up = true;
        if let Some((count, how)) = lost {
            self.tell_lost(count, &how);
        }
        if let Some(now) = number {
            self.cursor.sequence = Some(now);
        }
        if let Some((target, value)) = &latch.release {
            bus.write(self.number, self.limit, *target, &[*value]).await?;
        }
        // From here on the same words are another event.
        self.forget_given().await?;
        if number.is_some() {
            self.save().await?;
        }
        Ok(Next::InTurn)
    }

    async fn nothing_shown(&mut self) -> Result<Next, LookFailed> {
        self.caught_up = true;
        // A release whose answer was lost did happen: the next event is another one, whatever it looks like.
        self.forget_given().await?;
        Ok(Next::InTurn)
    }

    async fn forget_given(&mut self) -> Result<(), LookFailed> {
        if !self.given.is_empty() {
            self.given.clear();
            self.given.save(&self.store).await?;
        }
        Ok(())
    }
}

impl Shown {
    /// What was shown and not stored shall be seen again.
    fn default_after_refusal(news: &News) -> Self {
        match news {
            News::Change => Self { card: Some(Vec::new()) },
            _ => Self::default(),
        }
    }
}
