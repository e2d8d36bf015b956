//! The door to the street: accepts connections, gives each a place, its TLS and its HTTP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, debug, info_span};

use crate::{crowd::Place, server::Server, wire::Wire};

/// From the first byte to the last of a TLS handshake.
const TLS_TIME: Duration = Duration::from_secs(10);
/// A longer head is answered with 431.
const LONGEST_HEAD: usize = 16 << 10;

/// One connection, until it ends, is too slow, or loses its place.
pub(crate) async fn connection(server: Arc<Server>, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
    let span = info_span!("connection", %peer);
    let serving = async move {
        // IPv4 peers of an IPv6 listener are IPv4 peers all the same.
        let ip = peer.ip().to_canonical();
        let Some(place) = server.crowd.enter(ip) else {
            debug!("a connection was refused: too many are being served");
            return;
        };
        // Answers are short, and written at once.
        let _ = stream.set_nodelay(true);
        match tls {
            None => speak(server, stream, ip, &place).await,
            Some(tls) => match timeout(TLS_TIME, tls.accept(stream)).await {
                Ok(Ok(stream)) => speak(server, stream, ip, &place).await,
                Ok(Err(error)) => debug!(%error, "TLS failed"),
                Err(_) => debug!("TLS took too long"),
            },
        }
    };
    serving.instrument(span).await;
}

async fn speak<S>(server: Arc<Server>, stream: S, peer: std::net::IpAddr, place: &Place)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let wire = Wire::new(stream);
    let surplus = wire.surplus();
    let service = service_fn(|request| {
        let (server, surplus) = (server.clone(), surplus.clone());
        async move { server.answer(request, peer, place, &surplus).await }
    });
    let serving = http1::Builder::new()
        // A terminal that hangs up before our answer has posted all the same.
        .half_close(true)
        .max_buf_size(LONGEST_HEAD)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(wire), service);
    tokio::select! {
        ended = serving => if let Err(error) = ended {
            debug!(%error, "a connection ended badly");
        },
        () = place.lost() => debug!("a slow connection had to make room"),
    }
}
