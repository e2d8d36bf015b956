//! As much of an HTTP client as terminals have.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A terminal waits no longer for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(20);
const LONGEST_ANSWER: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How far a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Whole,
    /// Half of the body.
    Half,
    /// All of it, and the answer is not read.
    Unread,
}

/// A connection, kept open or not.
#[derive(Debug)]
pub(super) struct Client {
    server: SocketAddr,
    keep_alive: bool,
    open: Option<TcpStream>,
}

impl Client {
    pub(super) fn new(server: SocketAddr, keep_alive: bool) -> Self {
        Self { server, keep_alive, open: None }
    }

    /// One request. `None` for the body makes it a GET.
    pub(super) async fn ask(&mut self, target: &str, body: Option<&[u8]>, reach: Reach) -> io::Result<Answer> {
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.unwrap_or_default();
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: iClock Proxy/1.09\r\nConnection: {connection}\r\nAccept: */*\r\n",
            self.server
        );
        if method == "POST" {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut request = (request + "\r\n").into_bytes();
        let sent = if reach == Reach::Half { body.len() / 2 } else { body.len() };
        request.extend_from_slice(&body[..sent]);
        let asking = async {
            if let Some(mut open) = self.open.take() {
                // The gateway may have closed it meanwhile; then a new one is opened.
                if open.write_all(&request).await.is_ok()
                    && let Ok(answer) = self.answer(open, reach).await
                {
                    return Ok(answer);
                }
            }
            let mut stream = TcpStream::connect(self.server).await?;
            stream.set_nodelay(true)?;
            stream.write_all(&request).await?;
            self.answer(stream, reach).await
        };
        timeout(ANSWER_TIME, asking).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Bytes that are no request, on a connection of their own.
    pub(super) async fn rubbish(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.server).await?;
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        // Whatever comes back is of no interest; that something comes, or the end, is.
        let _ = timeout(ANSWER_TIME, stream.take(4096).read_to_end(&mut answer)).await;
        Ok(())
    }

    async fn answer(&mut self, mut stream: TcpStream, reach: Reach) -> io::Result<Answer> {
        if reach != Reach::Whole {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let (mut bytes, mut ended) = (Vec::new(), false);
        loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                let field = |name: &str| {
                    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
                    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
                };
                let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
                // Without a length the end of the connection is the end of the body.
                let whole = length.map_or(ended, |length| bytes.len() - end - 4 >= length);
                if whole {
                    let closes = ended || field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                    if self.keep_alive && !closes {
                        self.open = Some(stream);
                    }
                    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                    let body = bytes[end + 4..].to_vec();
                    return Ok(Answer { status: status.ok_or_else(|| broken("no status"))?, body });
                }
            }
            if ended {
                return Err(broken("no whole answer"));
            }
            ended = bytes.len() > LONGEST_ANSWER || stream.read_buf(&mut bytes).await? == 0;
        }
    }
}
