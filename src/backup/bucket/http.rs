//! HTTP to an object store: one connection at a time, our own TLS, answers of a limited length, and no waiting without end.

use std::{
    error::Error,
    fmt, io,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Uri,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
    },
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::TlsConnector;

use crate::backup::Refused;

/// The most bytes in which a store may say what is wrong.
const WORDS: u64 = 1 << 20;

/// What every request goes through.
#[derive(Clone)]
pub(super) struct Connector(Arc<Line>);

struct Line {
    tls: TlsConnector,
    /// The most bytes that the next answer may have.
    limit: AtomicU64,
    /// Bytes that went either way, ever.
    moved: Arc<AtomicU64>,
    /// So long may none of them move.
    patience: Duration,
    idle: Mutex<Option<(Uri, SendRequest<HttpRequestBody>)>>,
}

impl Connector {
    /// # Errors
    /// No certificate to trust.
    pub(super) fn new(ca_file: Option<&Path>, patience: Duration) -> Result<Self, Refused> {
        let tls = TlsConnector::from(Arc::new(tls(roots(ca_file)?)));
        let (limit, moved) = (AtomicU64::new(0), Arc::default());
        Ok(Self(Arc::new(Line { tls, limit, moved, patience, idle: Mutex::default() })))
    }

    /// The next answers may have so many bytes.
    pub(super) fn allow(&self, limit: u64) {
        self.0.limit.store(limit, Relaxed);
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Refused> {
    let mut roots = RootCertStore::empty();
    let found = match ca_file {
        Some(path) => {
            let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            found.map_err(|error| {
                let why = format!("{} cannot be used: {error}", path.display());
                Refused::new(why, "give a PEM file with the certificate that signed that of the store")
            })?
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    // Systems carry some that are no longer well-formed; the others count.
    if roots.add_parsable_certificates(found).0 == 0 {
        let why = "there is no certificate to know the object store by";
        return Err(Refused::new(why, "install ca-certificates, or write ca_file into section [backup] of the config"));
    }
    Ok(roots)
}

fn tls(roots: RootCertStore) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).expect("the provider has both");
    builder.with_root_certificates(roots).with_no_client_auth()
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    /// The whole answer: whoever asks has it, or an error.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let line = &self.0;
        tokio::select! {
            answer = line.ask(request) => answer,
            error = line.silence() => Err(HttpError::new(HttpErrorKind::Timeout, error)),
        }
    }
}

impl Line {
    async fn ask(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let host = HeaderValue::from_str(&authority).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut to = match self.kept(&uri) {
            Some(kept) => kept,
            None => self.open(&uri).await.map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?,
        };
        request.headers_mut().insert(HOST, host);
        // To a server its own name is no part of what is asked for.
        let asked = uri.path_and_query().map_or("/", |it| it.as_str());
        *request.uri_mut() = asked.parse().map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let broken = |error| HttpError::new(HttpErrorKind::Request, error);
        let (head, body) = to.send_request(request).await.map_err(broken)?.into_parts();
        // Such as the page for administrators, which many stores have at the next port. To a library it is an empty list.
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if head.status.is_success() && kind.starts_with("text/html") {
            return Err(HttpError::new(
                HttpErrorKind::Decode,
                io::Error::other("what answers is a web page, and no S3"),
            ));
        }
        let limit = if head.status.is_success() { self.limit.load(Relaxed) } else { WORDS };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            let kind = if error.is::<LengthLimitError>() { HttpErrorKind::Decode } else { HttpErrorKind::Interrupted };
            HttpError::new_boxed(kind, error)
        })?;
        *self.idle.lock().expect("nobody panics while holding it") = Some((uri, to));
        Ok(HttpResponse::from_parts(head, body.to_bytes().into()))
    }

    /// The connection of the request before, when it is to the same server and still open.
    fn kept(&self, uri: &Uri) -> Option<SendRequest<HttpRequestBody>> {
        let (to, kept) = self.idle.lock().expect("nobody panics while holding it").take()?;
        (to.scheme() == uri.scheme() && to.authority() == uri.authority() && kept.is_ready()).then_some(kept)
    }

    async fn open(&self, uri: &Uri) -> io::Result<SendRequest<HttpRequestBody>> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let stream = Counted { stream, moved: self.moved.clone() };
        if !is_tls {
            return self.greet(stream).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.greet(self.tls.connect(name, stream).await?).await
    }

    async fn greet<S>(&self, stream: S) -> io::Result<SendRequest<HttpRequestBody>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (to, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // It ends when `to` is dropped; what it says then was said to whoever asked.
        tokio::spawn(async move { _ = connection.await });
        Ok(to)
    }

    /// Returns when no byte moved for as long as there is patience.
    async fn silence(&self) -> io::Error {
        loop {
            let before = self.moved.load(Relaxed);
            sleep(self.patience).await;
            if self.moved.load(Relaxed) == before {
                return io::Error::new(io::ErrorKind::TimedOut, format!("silent for {} s", self.patience.as_secs()));
            }
        }
    }
}

/// Whether an answer was cut off because it was longer than allowed.
pub(super) fn is_too_long(error: &object_store::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A stream that tells how much went through it.
struct Counted {
    stream: TcpStream,
    moved: Arc<AtomicU64>,
}

impl Counted {
    fn count(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Relaxed);
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.count(buf.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.count(*written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
