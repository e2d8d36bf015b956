//! The daemon's side of the socket.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, broadcast::error::RecvError},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Answer, Desk, Failed, PunchFilter, Request};

/// The longest path of a socket, in bytes: Linux takes 107, and it is made under a name that is four longer.
pub const PATH_LIMIT: usize = 103;

/// The longest request, in bytes.
const REQUEST: u64 = 8 * 1024;
/// For a request to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
/// For one answer to leave.
const DROPPED_AFTER: Duration = Duration::from_secs(10);
/// Served at once.
const CLIENTS: usize = 32;
/// Of these, who may stay: so that there is always room for a short question.
const FOLLOWERS: usize = 16;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another punchgate listens on {0}")]
    InUse(PathBuf),
    #[error("{0} is there and is no socket")]
    NotASocket(PathBuf),
    #[error("everybody may write in {0}, and could put another socket in our place: chmod o-w {0}")]
    OpenFolder(PathBuf),
    #[error("cannot listen on {path}")]
    Failed { path: PathBuf, source: io::Error },
}

/// An open socket. Its file goes when this does.
pub struct Console {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Console {
    /// Opens the socket. A socket that somebody left behind is replaced; one on which somebody listens is not.
    ///
    /// Its folder must be there. Everybody may write in it only if nobody can take away there what another has put (as in
    /// `/tmp`): else the mode of the socket would guard nothing.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        check_folder(path)?;
        match fs::symlink_metadata(path) {
            Ok(meta) if !meta.file_type().is_socket() => return Err(OpenError::NotASocket(path.into())),
            Ok(_) => match UnixStream::connect(path).await {
                // Nobody listens any more.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                // It went in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(_) => return Err(OpenError::InUse(path.into())),
                // Somebody listens and is too busy to answer, or it is not ours to judge.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(OpenError::InUse(path.into())),
                Err(source) => return Err(OpenError::Failed { path: path.into(), source }),
            },
            Err(_) => {}
        }
        Self::bind(path).map_err(|source| OpenError::Failed { path: path.into(), source })
    }

    /// Binds under another name first: at `path` there is never a socket with a wrong mode, and the old one is there until
    /// the new one is.
    fn bind(path: &Path) -> io::Result<Self> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o660))?;
        let inode = fs::symlink_metadata(&new)?.ino();
        fs::rename(&new, path)?;
        Ok(Self { listener, path: path.into(), inode })
    }

    /// Serves until `closing`.
    pub async fn run(self, desk: Arc<dyn Desk>, closing: CancellationToken) {
        let clients = Arc::new(Semaphore::new(CLIENTS));
        let followers = Arc::new(Semaphore::new(FOLLOWERS));
        let mut served = JoinSet::new(); // dropped with us, and every client with it
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                Some(_) = served.join_next() => {}
                arrival = self.listener.accept() => match arrival {
                    Ok((stream, _)) => match clients.clone().try_acquire_owned() {
                        Ok(place) => {
                            let client = Client::new(stream, desk.clone(), followers.clone());
                            served.spawn(async move {
                                client.serve().await;
                                drop(place);
                            });
                        }
                        Err(_) => send_away(stream),
                    },
                    Err(error) => {
                        // Out of descriptors, most likely: it passes, and turning in circles would not help.
                        warn!(%error, "console client was not accepted");
                        sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // A successor may have put its own there already.
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            // If it cannot be removed, the next one finds that nobody listens.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn check_folder(path: &Path) -> Result<(), OpenError> {
    const STICKY: u32 = 0o1000;
    const OTHERS_WRITE: u32 = 0o002;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let meta = fs::metadata(folder).map_err(|source| OpenError::Failed { path: path.into(), source })?;
    match meta.mode() & (STICKY | OTHERS_WRITE) {
        OTHERS_WRITE => Err(OpenError::OpenFolder(folder.into())),
        _ => Ok(()),
    }
}

/// Tells a client that there is no room. It is not waited for: its buffer is empty, so that the line fits at once.
fn send_away(stream: UnixStream) {
    let (why, mend) = (format!("{CLIENTS} clients are served already"), "ask again in a moment".into());
    let told =
        serde_json::to_vec(&Answer::Failed(Failed { why, mend })).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            // Tokio does not know yet whether one can write, and would not try.
            io::Write::write_all(&mut stream.into_std()?, &line)
        });
    debug!(told = told.is_ok(), "console client sent away");
}

/// One connection.
struct Client {
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    desk: Arc<dyn Desk>,
    followers: Arc<Semaphore>,
}

impl Client {
    fn new(stream: UnixStream, desk: Arc<dyn Desk>, followers: Arc<Semaphore>) -> Self {
        let (from, to) = stream.into_split();
        Self { from: BufReader::new(from), to, desk, followers }
    }

    async fn serve(mut self) {
        // Whatever ends it, the client has left, and there is nobody to tell.
        if let Err(error) = self.answer().await {
            debug!(%error, "console client lost");
        }
    }

    async fn answer(&mut self) -> io::Result<()> {
        let request = match self.request().await? {
            Ok(request) => request,
            Err(failed) => return self.send(&Answer::Failed(failed)).await,
        };
        let desk = self.desk.clone();
        let outcome = match request {
            Request::Status => Ok(vec![Answer::Status(Box::new(desk.status().await))]),
            Request::Terminals => Ok(boxed(desk.terminals().await, Answer::Terminal)),
            Request::Conditions => Ok(boxed(desk.conditions().await, Answer::Condition)),
            Request::Logs => Ok(boxed(desk.logs().await, Answer::Log)),
            Request::Punches { filter, follow: false } => {
                desk.punches(&bounded(filter)).await.map(|punches| boxed(punches, Answer::Punch))
            }
            Request::Punches { filter, follow: true } => return self.follow(bounded(filter)).await,
            Request::Acknowledge { terminal } => {
                desk.acknowledge(terminal.as_deref()).await.map(|count| vec![Answer::Acknowledged(count)])
            }
            Request::Incidents { all } => desk.incidents(all).await.map(|all| boxed(all, Answer::Incident)),
            Request::AcknowledgeIncident { number, by } => {
                let done = desk.acknowledge_incident(number, &by).await;
                done.map(|incident| vec![Answer::Incident(Box::new(incident))])
            }
            Request::Why { question } => desk.why(&question).await.map(|trail| vec![Answer::Trail(Box::new(trail))]),
            Request::Silence { terminal } => {
                let silence = desk.silence(&terminal).await;
                silence.map(|(silence, now)| vec![Answer::Silence { silence: Box::new(silence), now }])
            }
            Request::Reconcile { terminal, from, to } => tokio::select! {
                outcome = desk.reconcile(&terminal, from, to) => outcome.map(|outcome| vec![Answer::Outcome(outcome)]),
                gone = left(&mut self.from) => return gone,
            },
        };
        match outcome {
            Ok(answers) => {
                for answer in &answers {
                    self.send(answer).await?;
                }
                self.send(&Answer::End).await
            }
            Err(failed) => self.send(&Answer::Failed(failed)).await,
        }
    }

    /// Reads the one line that a client may say.
    async fn request(&mut self) -> io::Result<Result<Request, Failed>> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.from).take(REQUEST);
        timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await??;
        if !line.ends_with(b"\n") {
            let why = if line.len() as u64 >= REQUEST { "the request is too long" } else { "the request is cut off" };
            return Ok(Err(Failed { why: why.into(), mend: "ask with one line of JSON".into() }));
        }
        Ok(serde_json::from_slice(&line).map_err(|error| Failed {
            why: format!("the daemon does not understand the request: {error}"),
            mend: "use the punchgate of the daemon's own version; restart the daemon after an upgrade".into(),
        }))
    }

    /// Recent punches, then those to come.
    async fn follow(&mut self, filter: PunchFilter) -> io::Result<()> {
        let Ok(_place) = self.followers.clone().try_acquire_owned() else {
            let why = format!("{FOLLOWERS} clients follow already");
            return self.send(&Answer::Failed(Failed { why, mend: "close one of them".into() })).await;
        };
        // Listening comes before reading, so that nothing falls in between; what comes twice is left out below.
        let mut live = self.desk.live();
        let recent = match self.desk.punches(&filter).await {
            Ok(recent) => recent,
            Err(failed) => return self.send(&Answer::Failed(failed)).await,
        };
        let mut shown = HashSet::new();
        for punch in recent {
            shown.insert((punch.terminal.clone(), punch.ledger, punch.seq));
            self.send(&Answer::Punch(Box::new(punch))).await?;
        }
        loop {
            let next = tokio::select! {
                next = live.recv() => next,
                gone = left(&mut self.from) => return gone,
            };
            match next {
                Ok(punch) if filter.takes(&punch) => {
                    if !shown.remove(&(punch.terminal.clone(), punch.ledger, punch.seq)) {
                        self.send(&Answer::Punch(Box::new(punch))).await?;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => self.send(&Answer::Missed(missed)).await?,
                Err(RecvError::Closed) => return self.send(&Answer::End).await,
            }
        }
    }

    async fn send(&mut self, answer: &Answer) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
        line.push(b'\n');
        timeout(DROPPED_AFTER, self.to.write_all(&line)).await?
    }
}

fn bounded(filter: PunchFilter) -> PunchFilter {
    PunchFilter { limit: filter.limit.min(PunchFilter::LIMIT), ..filter }
}

fn boxed<T>(lines: Vec<T>, answer: impl Fn(Box<T>) -> Answer) -> Vec<Answer> {
    lines.into_iter().map(|line| answer(Box::new(line))).collect()
}

/// Returns when the client has left. What it says after its request is not for us and is thrown away.
async fn left(from: &mut BufReader<OwnedReadHalf>) -> io::Result<()> {
    let mut waste = [0; 256];
    while from.read(&mut waste).await? > 0 {}
    Ok(())
}
