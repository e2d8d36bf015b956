//! What the tests of this driver share: a driver at work, and requests written by hand.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use driver_api::{Job, JobFailed, Link, LinkParts, Operation, Problems, Section, TerminalBlock, fake::FakeGateway};
use driver_zk_push::KIND;
use jiff::tz::TimeZone;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

/// Longest wait for anything that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An address on loopback that nobody listens at.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|door| door.local_addr()).expect("loopback has a free port")
}

/// The driver with some terminals, behind a fake gateway.
pub(crate) struct Server {
    pub(crate) gateway: FakeGateway,
    pub(crate) address: SocketAddr,
    parts: LinkParts,
    task: JoinHandle<()>,
}

impl Server {
    /// Terminals `t0`, `t1`, ... with these blocks, in a zone.
    pub(crate) async fn start(settings: &str, zone: &str, blocks: &[&str]) -> Self {
        Self::start_at(FakeGateway::default(), free_address(), settings, zone, blocks).await
    }

    pub(crate) async fn start_at(
        gateway: FakeGateway,
        address: SocketAddr,
        settings: &str,
        zone: &str,
        blocks: &[&str],
    ) -> Self {
        let folder: Arc<Path> = Path::new(".").into();
        let section = |prefix: &str, text: &str| Section::new(prefix, text.parse().unwrap(), folder.clone());
        let blocks = blocks.iter().enumerate().map(|(at, text)| TerminalBlock {
            name: format!("t{at}"),
            zone: TimeZone::get(zone).unwrap(),
            section: section("terminal ", text),
        });
        let mut problems = Problems::default();
        let settings = section("driver.zk-push.", &format!("listen = \"{address}\"\n{settings}"));
        let mut lines = (KIND.plan)(settings, blocks.collect(), &mut problems);
        assert!(problems.errors.is_empty(), "{:#?}", problems.errors);
        let line = lines.pop().expect("one listener is one line");
        let (link, parts) = Link::new(Arc::new(gateway.clone()), &line.terminals);
        let task = tokio::spawn(async move { line.driver.run(link).await.expect("the driver runs") });
        let there = async {
            while TcpStream::connect(address).await.is_err() {
                assert!(!task.is_finished(), "the driver ended");
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, there).await.expect("the driver listens");
        Self { gateway, address, parts, task }
    }

    /// Sends bytes as they are, with the writing side closed behind them if asked for; everything that comes back.
    pub(crate) async fn raw(&self, bytes: &[u8], hang_up: bool) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A refusal may come, and the connection go, before all is written.
        let _ = stream.write_all(bytes).await;
        if hang_up {
            stream.shutdown().await.unwrap();
        }
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection ends");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One GET; status and body.
    pub(crate) async fn get(&self, target: &str) -> (u16, String) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        split(&self.raw(request.as_bytes(), false).await)
    }

    /// One POST; status and body.
    pub(crate) async fn post(&self, target: &str, body: impl AsRef<[u8]>) -> (u16, String) {
        self.post_with(target, "Content-Type: text/plain\r\n", body).await
    }

    pub(crate) async fn post_with(&self, target: &str, headers: &str, body: impl AsRef<[u8]>) -> (u16, String) {
        let body = body.as_ref();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        split(&self.raw(&[head.as_bytes(), body].concat(), false).await)
    }

    /// Asks for something and waits for the outcome.
    pub(crate) async fn job(&self, terminal: &str, operation: Operation) -> Result<serde_json::Value, JobFailed> {
        timeout(PATIENCE, self.job_later(terminal, operation).await)
            .await
            .expect("a job is answered")
            .expect("and not dropped")
    }

    pub(crate) async fn job_later(
        &self,
        terminal: &str,
        operation: Operation,
    ) -> tokio::sync::oneshot::Receiver<Result<serde_json::Value, JobFailed>> {
        let (job, answer) = Job::new(terminal, operation);
        self.parts.jobs.send(job).await.expect("the driver takes jobs");
        answer
    }

    /// Persons of the stored punches, in their order.
    pub(crate) fn people(&self, terminal: &str) -> Vec<String> {
        self.gateway.punches(terminal).into_iter().map(|punch| punch.person).collect()
    }

    /// The driver leaves; the gateway's memory stays.
    pub(crate) async fn stop(self) -> FakeGateway {
        self.parts.closing.send_replace(true);
        timeout(PATIENCE, self.task).await.expect("it leaves").expect("it did not panic");
        self.gateway
    }
}

/// Beside the 19 characters of a time, an ordinary record.
pub(crate) fn record(person: &str, time: &str) -> String {
    format!("{person}\t{time}\t0\t1\t0\t0\t0\n")
}

/// Status and body of an answer; 0 where none came.
pub(crate) fn split(answer: &str) -> (u16, String) {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return (0, String::new()) };
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), body.to_owned())
}
