//! MQTT 3.1.1, for brokers that speak nothing newer.

use std::{collections::VecDeque, sync::Arc};

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing,
    Packet, QoS, StateError, SubscribeReasonCode, TlsConfiguration, Transport, mqttbytes,
};

use super::{
    BrokerUrl, Failure, FailureKind, Limits, MAX_PACKET, Message, MqttSettings,
    open::{CONNECT_TIMEOUT, QUEUE, address, of_tls},
    steps::{Library, Sender, Step, Steps, steps},
};

pub(super) fn open(
    settings: &MqttSettings,
    broker: &BrokerUrl,
    tls: Option<Arc<rustls::ClientConfig>>,
    will: Option<Message>,
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
        .set_inflight(QUEUE as u16);
    if let Some(will) = will {
        options.set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, will.retain));
    }
    let (client, mut events) = AsyncClient::new(options, QUEUE);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT.as_secs() + 1);
    events.set_network_options(network);
    (Sender::V311(client), steps(events))
}

impl Library for EventLoop {
    type Event = Event;

    async fn poll(&mut self) -> Result<Event, Failure> {
        self.poll().await.map_err(sort)
    }

    fn left_over(&mut self) -> VecDeque<Event> {
        std::mem::take(&mut self.state.events)
    }

    fn read(event: Event) -> Result<Step, Failure> {
        Ok(read(event))
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
