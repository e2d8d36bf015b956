//! Where metrics are asked for: a port of this machine, a Unix socket, or both. `GET /metrics`, and nothing else.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Format, MetricsSettings, Snapshot, expose};

/// Scrapers at once; more wait.
const CLIENTS: usize = 8;
/// A connection is ended after so long, whatever it does.
const PATIENCE: Duration = Duration::from_secs(30);
/// For the head of a request.
const HEAD: Duration = Duration::from_secs(5);
const LONGEST_HEAD: usize = 16 << 10;

/// Why nobody can ask for metrics.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot listen on {address}")]
    Port { address: SocketAddr, source: io::Error },
    #[error("cannot listen on {path}")]
    Socket { path: PathBuf, source: io::Error },
}

/// The open doors.
pub struct Metrics {
    tcp: Option<TcpListener>,
    unix: Option<UnixListener>,
}

/// Makes a snapshot when somebody asks.
type Look = Arc<dyn Fn() -> Snapshot + Send + Sync>;

impl Metrics {
    pub async fn open(settings: &MetricsSettings) -> Result<Self, OpenError> {
        let tcp = match settings.listen {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| OpenError::Port { address, source })?)
            }
            None => None,
        };
        let unix = match &settings.socket {
            Some(path) => Some(bind(path).map_err(|source| OpenError::Socket { path: path.clone(), source })?),
            None => None,
        };
        Ok(Self { tcp, unix })
    }

    /// Where it listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `closing`.
    pub async fn run(self, look: Look, closing: CancellationToken) {
        let room = Arc::new(Semaphore::new(CLIENTS));
        let mut served = JoinSet::new(); // dropped with us, and every scraper with it
        loop {
            // Whoever comes when all places are taken waits in the kernel's queue.
            let place = tokio::select! {
                () = closing.cancelled() => return,
                place = room.clone().acquire_owned() => place,
            };
            let look = look.clone();
            tokio::select! {
                () = closing.cancelled() => return,
                Some(_) = served.join_next() => {}
                arrival = accept_tcp(self.tcp.as_ref()) => match arrival {
                    Ok(stream) => _ = served.spawn(async move { serve(stream, look).await; drop(place) }),
                    Err(error) => refused(&error).await,
                },
                arrival = accept_unix(self.unix.as_ref()) => match arrival {
                    Ok(stream) => _ = served.spawn(async move { serve(stream, look).await; drop(place) }),
                    Err(error) => refused(&error).await,
                },
            }
        }
    }
}

async fn accept_tcp(listener: Option<&TcpListener>) -> io::Result<tokio::net::TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn accept_unix(listener: Option<&UnixListener>) -> io::Result<tokio::net::UnixStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn refused(error: &io::Error) {
    // Out of descriptors, most likely: it passes, and turning in circles would not help.
    warn!(%error, "scraper was not accepted");
    sleep(Duration::from_millis(200)).await;
}

/// A socket that somebody left behind is replaced, anything else is not.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there and is no socket")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, look: Look) {
    let service = service_fn(move |request: Request<Incoming>| {
        let look = look.clone();
        async move { Ok::<_, Infallible>(answer(&request, &look)) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(PATIENCE, serving).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!(%error, "a scraper was lost"),
    }
}

fn answer(request: &Request<Incoming>, look: &Look) -> Response<Full<Bytes>> {
    let plain = |status, text: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "ask for /metrics\n");
    }
    if request.method() != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n");
    }
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::wanted(accept);
    let Ok(text) = expose(look(), format) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the numbers could not be written\n");
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    if let Ok(kind) = format.content_type().parse() {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}
