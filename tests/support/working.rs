//! A courier at work, with its board and its link.

use std::{sync::Arc, time::Duration};

use punchgate::{
    courier::{Board, Courier, CourierSettings, Inbox, LinkState, LinkStatus},
    mqtt::{BrokerUrl, Client, Connect, FailureKind, MqttSettings, MqttVersion},
    wire::GatewayState,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{outbox::Memory, soon};

/// A courier at work.
pub struct Working {
    pub board: Board,
    pub link: watch::Receiver<LinkStatus>,
    pub closing: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Working {
    pub fn start(memory: &Memory, settings: MqttSettings) -> Self {
        Self::start_with(memory, settings, Inbox::default())
    }

    pub fn start_with(memory: &Memory, settings: MqttSettings, inbox: Inbox) -> Self {
        Self::over(memory, Arc::new(Client::new(settings)), inbox)
    }

    pub fn over(memory: &Memory, client: Arc<dyn Connect>, inbox: Inbox) -> Self {
        let courier =
            CourierSettings { tenant: "acme".into(), gateway: "sz-03".into(), window: CourierSettings::WINDOW };
        let (courier, board, link) = Courier::new(courier, Box::new(memory.clone()), client, inbox);
        board.state(GatewayState::Online, None);
        let closing = CancellationToken::new();
        let task = tokio::spawn(courier.run(closing.clone(), Duration::from_secs(5)));
        Self { board, link, closing, task }
    }

    pub async fn until(&mut self, what: &str, like: impl FnMut(&LinkStatus) -> bool) -> LinkStatus {
        soon(what, self.link.wait_for(like)).await.unwrap().clone()
    }

    pub async fn until_up(&mut self) {
        self.until("the link is up", |link| link.state == LinkState::Up).await;
    }

    /// Waits until the link is down for this reason.
    pub async fn fails_by(mut self, kind: FailureKind) {
        let link = self.until(kind.code(), |link| link.cause.as_ref().is_some_and(|cause| cause.kind == kind)).await;
        let cause = link.cause.unwrap();
        assert!(!cause.words.is_empty() && !cause.mend.is_empty());
        assert_eq!(cause.refuses, kind.refuses());
        self.close().await;
    }

    /// Ends it without a farewell.
    pub async fn abandon(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled(), "it ended before");
    }

    pub async fn close(self) {
        self.closing.cancel();
        soon("the courier leaves", self.task).await.unwrap();
    }
}

/// Gives up soon.
pub fn quick(mut settings: MqttSettings) -> MqttSettings {
    settings.ack_timeout = Duration::from_secs(1);
    settings
}

/// Without TLS, for brokers that are not real; gives up soon.
pub fn plain(brokers: Vec<BrokerUrl>) -> MqttSettings {
    MqttSettings {
        brokers,
        version: MqttVersion::V5,
        client_id: "sz-03".into(),
        ca_file: None,
        cert_file: None,
        key_file: None,
        username: None,
        password: None,
        keep_alive: Duration::from_secs(30),
        ack_timeout: Duration::from_secs(1),
    }
}
