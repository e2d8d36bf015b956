//! HTTP to an object store: one connection at a time, our own TLS, answers of a limited length, and no waiting without end.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, ETAG},
};
use hyper_util::rt::TokioIo;
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
use url::{Position, Url};

use super::trouble::Trouble;
use crate::backup::Refused;

/// The most bytes in which a store may say what is wrong.
const WORDS: u64 = 1 << 20;

/// The way to one store, which every request goes through.
pub(super) struct Line {
    tls: TlsConnector,
    /// Bytes that went either way, ever.
    moved: Arc<AtomicU64>,
    /// So long may none of them move.
    patience: Duration,
    /// The connection of the request before.
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// A whole answer, whatever it says.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
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

impl Line {
    /// # Errors
    /// No certificate to trust.
    pub(super) fn new(ca_file: Option<&Path>, patience: Duration) -> Result<Self, Refused> {
        let tls = TlsConnector::from(Arc::new(tls(roots(ca_file)?)));
        Ok(Self { tls, moved: Arc::default(), patience, idle: Mutex::default() })
    }

    /// One try. An answer that does what was asked for may have `limit` bytes.
    pub(super) async fn ask(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&'static str, String)],
        body: Bytes,
        limit: u64,
    ) -> Result<Answer, Trouble> {
        // To a server its own name is no part of what is asked for.
        let request = Request::builder().method(method).uri(&url[Position::BeforePath..Position::AfterQuery]);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let request = request.body(Full::new(body)).map_err(|error| Trouble::Strange(error.to_string()))?;
        tokio::select! {
            answer = self.answer(url, request, limit) => answer,
            () = self.silence() => Err(Trouble::Line(format!("silent for {} s", self.patience.as_secs()))),
        }
    }

    async fn answer(&self, url: &Url, request: Request<Full<Bytes>>, limit: u64) -> Result<Answer, Trouble> {
        let kept = self.idle.lock().expect("nobody panics while holding it").take();
        let mut to = match kept.filter(SendRequest::is_ready) {
            Some(kept) => kept,
            None => self.open(url).await?,
        };
        let puts = request.method() == Method::PUT;
        let (head, body) = to.send_request(request).await.map_err(|error| Trouble::line(&error))?.into_parts();
        // Such as the page for administrators, which many stores have at the next port.
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // Stores that have nothing to say may call that a page, too.
        let is_empty = head.status == StatusCode::NO_CONTENT || (puts && head.headers.contains_key(ETAG));
        if head.status.is_success() && kind.starts_with("text/html") && !is_empty {
            return Err(Trouble::Strange("what answers is a web page, and no S3".into()));
        }
        let limit = if head.status.is_success() { limit } else { WORDS };
        let body = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Trouble::TooLong,
            false => Trouble::line(&*error),
        })?;
        *self.idle.lock().expect("nobody panics while holding it") = Some(to);
        Ok(Answer { status: head.status, headers: head.headers, bytes: body.to_bytes() })
    }

    async fn open(&self, url: &Url) -> Result<SendRequest<Full<Bytes>>, Trouble> {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_tls = url.scheme() == "https";
        let port = url.port_or_known_default().unwrap_or_default();
        let failed = |error: io::Error| Trouble::line(&error);
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream = Counted { stream, moved: self.moved.clone() };
        if !is_tls {
            return self.greet(stream).await.map_err(failed);
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| Trouble::Strange(error.to_string()))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| match error.get_ref() {
            // Who is not to be trusted now will not be in a minute.
            Some(inner) if matches!(inner.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) => {
                Trouble::Strange(inner.to_string())
            }
            _ => Trouble::line(&error),
        })?;
        self.greet(stream).await.map_err(failed)
    }

    async fn greet<S>(&self, stream: S) -> io::Result<SendRequest<Full<Bytes>>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (to, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // It ends when `to` is dropped; what it says then was said to whoever asked.
        tokio::spawn(async move { _ = connection.await });
        Ok(to)
    }

    /// Returns when no byte moved for as long as there is patience.
    async fn silence(&self) {
        loop {
            let before = self.moved.load(Relaxed);
            sleep(self.patience).await;
            if self.moved.load(Relaxed) == before {
                return;
            }
        }
    }
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
