//! MQTT 3.1.1, for brokers that speak nothing newer.

use std::{collections::VecDeque, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, StreamExt, stream};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing,
    Packet, QoS, StateError, SubscribeReasonCode, TlsConfiguration, Transport, mqttbytes,
};

use super::{
    BrokerUrl, Failure, FailureKind, Limits, MAX_PACKET, Message, MqttSettings,
    open::{CONNECT_TIMEOUT, QUEUE, address, of_tls, panicked},
    steps::{Sender, Step, Steps},
};

pub(super) fn open(
    settings: &MqttSettings,
    broker: &BrokerUrl,
    tls: Option<Arc<rustls::ClientConfig>>,
    will: Message,
) -> (Sender, Steps) {
    let mut options = MqttOptions::new(&settings.client_id, address(broker), broker.port);
    if let Some(config) = tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    if let Some(user) = &settings.username {
        options.set_credentials(user, settings.password.as_ref().map_or("", |password| password.reveal()));
    }
    options
        // The library asserts a minimum of one second; the same as with MQTT 5 is one surprise less.
        .set_keep_alive(settings.keep_alive.max(std::time::Duration::from_secs(5)))
        .set_clean_session(true)
        .set_max_packet_size(MAX_PACKET, MAX_PACKET)
        .set_inflight(QUEUE as u16)
        .set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, will.retain));
    let (client, mut events) = AsyncClient::new(options, QUEUE);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT.as_secs() + 1);
    events.set_network_options(network);
    let wire = Wire { events, left_over: VecDeque::new(), ended: None };
    let steps = stream::unfold(wire, |mut wire| async { Some((wire.step().await, wire)) });
    (Sender::V311(client), steps.boxed())
}

struct Wire {
    events: EventLoop,
    /// What came in before the failure and was not reported yet.
    left_over: VecDeque<Event>,
    ended: Option<Failure>,
}

impl Wire {
    async fn step(&mut self) -> Result<Step, Failure> {
        if self.ended.is_none() {
            // Dormant code reads hostile bytes here: if it panics, only this connection ends.
            match AssertUnwindSafe(self.events.poll()).catch_unwind().await {
                Ok(Ok(event)) => return Ok(read(event)),
                Ok(Err(error)) => self.ended = Some(sort(error)),
                Err(_) => self.ended = Some(panicked()),
            }
            self.left_over = std::mem::take(&mut self.events.state.events);
        }
        match (self.left_over.pop_front(), &self.ended) {
            (Some(event), _) => Ok(read(event)),
            (None, ended) => Err(ended.clone().unwrap_or_else(Failure::closed)),
        }
    }
}

fn read(event: Event) -> Step {
    match event {
        Event::Outgoing(Outgoing::Publish(id)) => Step::Sent(id),
        Event::Outgoing(Outgoing::Disconnect) => Step::Left,
        Event::Incoming(Packet::PubAck(ack)) => Step::Acked(ack.pkid),
        Event::Incoming(Packet::ConnAck(_)) => {
            Step::Welcome(Limits { packet: MAX_PACKET, unacknowledged: QUEUE - 1, retain: true })
        }
        Event::Incoming(Packet::SubAck(answer)) => Step::Subscribed(
            answer
                .return_codes
                .iter()
                .filter(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                .map(|code| format!("{code:?}"))
                .collect(),
        ),
        Event::Incoming(Packet::Publish(publish)) => {
            Step::Arrived(Message { topic: publish.topic, payload: publish.payload.into(), retain: publish.retain })
        }
        _ => Step::Other,
    }
}

fn sort(error: ConnectionError) -> Failure {
    match error {
        ConnectionError::Io(error) => Failure::of_io(&error),
        ConnectionError::Tls(error) => of_tls(error),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            Failure::new(FailureKind::Silent, "the broker did not answer in time")
        }
        ConnectionError::ConnectionRefused(code) => refused(code),
        ConnectionError::NotConnAck(_) => Failure::new(FailureKind::Garbled, "the broker did not say welcome first"),
        ConnectionError::RequestsDone => Failure::closed(),
        ConnectionError::MqttState(error) => match error {
            StateError::Io(error) => Failure::of_io(&error),
            StateError::Deserialization(mqttbytes::Error::Io(error)) => Failure::of_io(&error),
            StateError::ConnectionAborted => Failure::closed(),
            StateError::AwaitPingResp | StateError::CollisionTimeout => {
                Failure::new(FailureKind::Silent, "the broker does not answer any more")
            }
            error => Failure::new(FailureKind::Garbled, format!("what the broker sent makes no sense: {error}")),
        },
    }
}

fn refused(code: ConnectReturnCode) -> Failure {
    let kind = match code {
        ConnectReturnCode::BadUserNamePassword => FailureKind::BadPassword,
        ConnectReturnCode::NotAuthorized => FailureKind::NotAuthorised,
        ConnectReturnCode::RefusedProtocolVersion => FailureKind::Version,
        ConnectReturnCode::ServiceUnavailable => FailureKind::Busy,
        _ => FailureKind::Refused,
    };
    Failure::new(kind, format!("the broker refused the connection: {code:?}"))
}
