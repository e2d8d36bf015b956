//! MQTT 5.

use std::{collections::VecDeque, sync::Arc};

use rumqttc::{
    NetworkOptions, Outgoing, TlsConfiguration, Transport,
    v5::{
        AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError,
        mqttbytes::{
            self, QoS,
            v5::{
                ConnAck, ConnectReturnCode, DisconnectReasonCode, LastWill, Packet, PubAckReason, SubAck,
                SubscribeReasonCode,
            },
        },
    },
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
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options
        .set_network_options(network)
        .set_connection_timeout(CONNECT_TIMEOUT.as_secs() + 1)
        // The library asserts this minimum.
        .set_keep_alive(settings.keep_alive.max(std::time::Duration::from_secs(5)))
        .set_clean_start(true)
        .set_max_packet_size(Some(MAX_PACKET as u32))
        .set_outgoing_inflight_upper_limit(QUEUE as u16);
    if let Some(will) = will {
        options.set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, will.retain, None));
    }
    let (client, events) = AsyncClient::new(options, QUEUE);
    (Sender::V5(client), steps(events))
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
        read(event)
    }
}

fn read(event: Event) -> Result<Step, Failure> {
    Ok(match event {
        Event::Outgoing(Outgoing::Publish(id)) => Step::Sent(id),
        Event::Outgoing(Outgoing::Disconnect) => Step::Left,
        Event::Incoming(Packet::PubAck(ack)) => match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Step::Acked(ack.pkid),
            reason => {
                let told = ack.properties.and_then(|properties| properties.reason_string);
                Step::Refused(ack.pkid, told.unwrap_or_else(|| format!("{reason:?}")))
            }
        },
        Event::Incoming(Packet::ConnAck(welcome)) => Step::Welcome(limits(&welcome)?),
        Event::Incoming(Packet::SubAck(SubAck { return_codes, .. })) => Step::Subscribed(
            return_codes
                .iter()
                .filter(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                .map(|code| format!("{code:?}"))
                .collect(),
        ),
        Event::Incoming(Packet::Publish(publish)) => match String::from_utf8(publish.topic.to_vec()) {
            Ok(topic) => Step::Arrived(Message { topic, payload: publish.payload.into(), retain: publish.retain }),
            Err(_) => Step::Other,
        },
        _ => Step::Other,
    })
}

fn limits(welcome: &ConnAck) -> Result<Limits, Failure> {
    let mut limits = Limits { packet: MAX_PACKET, unacknowledged: QUEUE - 1, retain: true };
    if let Some(said) = &welcome.properties {
        limits.packet = limits.packet.min(said.max_packet_size.map_or(usize::MAX, |size| size as usize));
        limits.unacknowledged = limits.unacknowledged.min(said.receive_max.map_or(usize::MAX, usize::from));
        limits.retain = said.retain_available != Some(0);
        if said.max_qos == Some(0) {
            return Err(Failure::new(FailureKind::Version, "the broker acknowledges nothing: it has no QoS 1"));
        }
    }
    match (limits.unacknowledged, limits.packet) {
        (0, _) => Err(Failure::new(FailureKind::Garbled, "the broker allows no publish at all (receive maximum 0)")),
        (_, 0) => Err(Failure::new(FailureKind::Garbled, "the broker allows no packet at all (maximum packet size 0)")),
        _ => Ok(limits),
    }
}

fn sort(error: ConnectionError) -> Failure {
    match error {
        ConnectionError::Io(error) => Failure::of_io(&error),
        ConnectionError::Tls(error) => of_tls(error),
        ConnectionError::Timeout(_) => Failure::new(FailureKind::Silent, "the broker did not answer in time"),
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
            StateError::ConnFail { reason } => refused(reason),
            StateError::ServerDisconnect { reason_code, reason_string } => dismissed(reason_code, reason_string),
            error => Failure::new(FailureKind::Garbled, format!("what the broker sent makes no sense: {error}")),
        },
    }
}

fn refused(code: ConnectReturnCode) -> Failure {
    use ConnectReturnCode as Code;
    let kind = match code {
        Code::BadUserNamePassword | Code::BadAuthenticationMethod => FailureKind::BadPassword,
        Code::NotAuthorized | Code::Banned => FailureKind::NotAuthorised,
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion | Code::QoSNotSupported => FailureKind::Version,
        Code::ServerUnavailable | Code::ServiceUnavailable | Code::ServerBusy | Code::ConnectionRateExceeded => {
            FailureKind::Busy
        }
        Code::UseAnotherServer | Code::ServerMoved => FailureKind::Busy,
        _ => FailureKind::Refused,
    };
    Failure::new(kind, format!("the broker refused the connection: {code:?}"))
}

fn dismissed(code: DisconnectReasonCode, told: Option<String>) -> Failure {
    let kind = match code {
        DisconnectReasonCode::NotAuthorized => FailureKind::NotAuthorised,
        DisconnectReasonCode::SessionTakenOver => FailureKind::TakenOver,
        DisconnectReasonCode::ServerBusy | DisconnectReasonCode::ServerShuttingDown => FailureKind::Busy,
        _ => FailureKind::Closed,
    };
    let told = told.unwrap_or_else(|| format!("{code:?}"));
    Failure::new(kind, format!("the broker ended the connection: {told}"))
}
