//! The command line's side of the socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::{Answer, Failed, Request};

/// The longest line of an answer, in bytes.
const LINE: u64 = 4 * 1024 * 1024;
/// For the daemon to take the request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("nobody answers on {socket}")]
    Unreachable { socket: PathBuf, source: io::Error },
    /// The daemon said that it cannot.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// It ended in the middle.
    #[error("the daemon's answer broke off: {0}")]
    Broken(String),
}

/// What comes back. Read it to its end: only [`None`] says that it was all.
pub struct Answers {
    from: BufReader<UnixStream>,
}

/// Asks the daemon at this socket.
pub async fn ask(socket: &Path, request: &Request) -> Result<Answers, AskError> {
    let unreachable = |source| AskError::Unreachable { socket: socket.into(), source };
    let mut line = serde_json::to_vec(request).map_err(|error| AskError::Broken(error.to_string()))?;
    line.push(b'\n');
    let asking = async {
        let mut stream = UnixStream::connect(socket).await?;
        match stream.write_all(&line).await {
            // It has closed already, and may have said why before that: reading will tell.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        io::Result::Ok(stream)
    };
    match timeout(PATIENCE, asking).await {
        Ok(stream) => Ok(Answers { from: BufReader::new(stream.map_err(unreachable)?) }),
        Err(late) => Err(unreachable(late.into())),
    }
}

impl Answers {
    /// The next line, [`None`] after the last one.
    pub async fn next(&mut self) -> Result<Option<Answer>, AskError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.from).take(LINE);
        bounded.read_until(b'\n', &mut line).await.map_err(|error| AskError::Broken(error.to_string()))?;
        if !line.ends_with(b"\n") {
            return Err(AskError::Broken("the connection ended".into()));
        }
        match serde_json::from_slice(&line) {
            Ok(Answer::End) => Ok(None),
            Ok(Answer::Failed(failed)) => Err(failed.into()),
            Ok(answer) => Ok(Some(answer)),
            Err(error) => Err(AskError::Broken(format!("{error}; is the daemon of another version?"))),
        }
    }

    /// All lines.
    pub async fn all(mut self) -> Result<Vec<Answer>, AskError> {
        let mut answers = Vec::new();
        while let Some(answer) = self.next().await? {
            answers.push(answer);
        }
        Ok(answers)
    }
}
