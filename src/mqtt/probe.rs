//! The way to a broker, one step at a time, for whoever wants to know how far it goes. [`super::Client`] takes all of it in one.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{ProtocolVersion, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{BrokerUrl, CertificatesEnd, Failure, FailureKind, MqttSettings, open::address, tls};

/// For one step.
const PATIENCE: Duration = Duration::from_secs(5);
/// A broker that does not like our certificate says so after TLS 1.3 has come about, if at all.
const AFTERTHOUGHT: Duration = Duration::from_millis(500);

/// The addresses of the broker's name; never empty.
pub async fn addresses(broker: &BrokerUrl) -> Result<Vec<SocketAddr>, Failure> {
    let none = |why: String| Failure::new(FailureKind::NoSuchHost, format!("{:?} has no address{why}", broker.host));
    match timeout(PATIENCE, lookup_host((address(broker), broker.port))).await {
        Err(_) => Err(none(format!(": the name server does not answer within {} s", PATIENCE.as_secs()))),
        Ok(Err(error)) => Err(none(format!(": {error}"))),
        Ok(Ok(found)) => {
            let found: Vec<_> = found.collect();
            if found.is_empty() { Err(none(String::new())) } else { Ok(found) }
        }
    }
}

/// The address of ours from which packets go there. Sends nothing.
pub fn route(to: SocketAddr) -> Result<IpAddr, Failure> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).map_err(|error| Failure::of_io(&error))?;
    socket.connect(to).map_err(|error| Failure::of_io(&error))?;
    Ok(socket.local_addr().map_err(|error| Failure::of_io(&error))?.ip())
}

/// Connects to the first address that answers.
pub async fn port(to: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Failure> {
    let mut last = Failure::new(FailureKind::NoSuchHost, "there is no address");
    for address in to {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => last = Failure::of_io(&error),
            Err(_) => {
                let words = format!("{address} does not answer within {} s", PATIENCE.as_secs());
                last = Failure::new(FailureKind::Silent, words);
            }
        }
    }
    Err(last)
}

/// Begins TLS as the client does, and ends it again. The version, and when certificates end.
pub async fn tls(
    settings: &MqttSettings,
    broker: &BrokerUrl,
    stream: TcpStream,
) -> Result<(&'static str, CertificatesEnd), Failure> {
    let ends = Arc::<Mutex<CertificatesEnd>>::default();
    let config = tls::read(settings, &ends)?;
    let name = ServerName::try_from(address(broker).to_owned())
        .map_err(|error| Failure::new(FailureKind::WrongName, format!("{:?} is no host name: {error}", broker.host)))?;
    let mut stream = match timeout(PATIENCE, TlsConnector::from(config).connect(name, stream)).await {
        Ok(begun) => begun.map_err(|error| Failure::of_io(&error))?,
        Err(_) => {
            let words = format!("it accepts the connection but does not begin TLS within {} s", PATIENCE.as_secs());
            return Err(Failure::new(FailureKind::Silent, words));
        }
    };
    let version = match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    // No broker speaks before it is spoken to: what comes now is its opinion of our certificate.
    if let Ok(Err(error)) = timeout(AFTERTHOUGHT, stream.read(&mut [0; 1])).await {
        return Err(Failure::of_io(&error));
    }
    // It may be gone already.
    let _ = timeout(AFTERTHOUGHT, stream.shutdown()).await;
    let ends = *ends.lock().expect("nobody panics while holding it");
    Ok((version, ends))
}

/// Whether what listens there answers as a web server does: a captive portal or a proxy, and no broker.
pub async fn speaks_http(to: SocketAddr) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(b"HEAD / HTTP/1.0\r\n\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer == *b"HTTP/")
    };
    matches!(timeout(PATIENCE, asking).await, Ok(Ok(true)))
}
