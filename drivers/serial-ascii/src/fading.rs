//! Troubles that no reader takes back: they end when they have not been seen for a day.

use std::time::Duration;

use driver_api::{Terminal, Trouble};
use tokio::time::Instant;

const A_DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct Fading {
    trouble: Trouble,
    seen: Instant,
}

impl Fading {
    /// One that a former run told of stands for a day from now on.
    pub(crate) fn new(trouble: Trouble) -> Self {
        Self { trouble, seen: Instant::now() }
    }

    pub(crate) fn tell(&mut self, terminal: &Terminal, cause: String) {
        self.seen = Instant::now();
        terminal.trouble(self.trouble, cause);
    }

    /// Something came that was well.
    pub(crate) fn look(&mut self, terminal: &Terminal) {
        if self.seen.elapsed() > A_DAY {
            self.seen = Instant::now(); // said once a day is enough
            terminal.relief(self.trouble);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use driver_api::{Link, Report, fake::FakeGateway};
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_lost_is_told_for_a_day() {
        let gateway = FakeGateway::default();
        let (link, _parts) = Link::new(Arc::new(gateway.clone()), &["gate".into()]);
        let terminal = link.terminal("gate").unwrap();
        let over = || gateway.reports("gate").contains(&Report::Relief(Trouble::EventsLost));
        let mut lost = Fading::new(Trouble::EventsLost);
        advance(A_DAY / 2).await;
        lost.tell(terminal, "3 reads were missed".into());
        advance(A_DAY * 3 / 4).await;
        lost.look(terminal);
        assert!(!over());
        advance(A_DAY / 2).await;
        lost.look(terminal);
        assert!(over());
    }
}
