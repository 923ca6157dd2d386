//! The control socket: answers whoever may reach it with how the server is, and does what an operator wants of the directory and
//! of the mail that waits.
//!
//! A client sends one line, `status`, `status json` or an [`super::admin::command::Command`], and reads to the end. Or it sends
//! commands to the directory, one a line, and reads an answer to each (`control::directory::command`). The socket is the
//! operator's and the group's (mode 0660); directory and mail are read and changed for the owner of this process and for root
//! alone.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::admin::errands::{Errands, Running};
use super::admin::{self, Out, execute};
use super::directory::Keeper;
use super::directory::command::{Command, LINE_OCTETS, Outcome, is_for_directory, write_outcome};

/// Who may connect: owner and group.
const MODE: u32 = 0o660;

/// Octets of a line at most.
const LINE: u64 = LINE_OCTETS as u64;

/// Clients at a time; further ones wait to be accepted.
const CLIENTS: usize = 16;

/// How long one client may take for a request, and its answer to be done and read.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one may take to read all mail that waits.
const LONG_PATIENCE: Duration = Duration::from_secs(6 * 60 * 60);

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

impl Request {
    /// Reads a request's line.
    pub fn parse(line: &str) -> Option<Request> {
        match line.trim_end() {
            "status" => Some(Request::Text),
            "status json" => Some(Request::Json),
            _ => None,
        }
    }

    /// The line that asks for it.
    pub fn line(self) -> &'static str {
        match self {
            Request::Text => "status\n",
            Request::Json => "status json\n",
        }
    }
}

/// Tells how the server is, at the moment it is asked.
pub type Status = Arc<dyn Fn(Request) -> String + Send + Sync>;

/// The socket, which goes when this is dropped.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds the socket; one that an earlier run left there is replaced. Must be called inside a tokio runtime, and by the
    /// process that holds the spool's lock.
    pub fn bind(path: &Path) -> io::Result<ControlSocket> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let socket = ControlSocket { listener, path: path.to_owned() };
        std::fs::set_permissions(path, PermissionsExt::from_mode(MODE))?;
        Ok(socket)
    }

    /// Answers for ever; what concerns mail that waits goes to the shards by `errands`.
    pub async fn serve(self, status: Status, directory: Arc<Keeper>, errands: Arc<Errands>) {
        let clients = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok(place) = clients.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((client, _)) => {
                    let (status, directory, errands) = (status.clone(), directory.clone(), errands.clone());
                    tokio::spawn(async move {
                        // A client that is too slow, or gone, has had its chance.
                        let _ = timeout(LONG_PATIENCE, answer(client, &status, &directory, errands)).await;
                        drop(place);
                    });
                }
                // Descriptors have run out, most likely: they come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Left behind, it would be replaced by the next run.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn answer(mut client: UnixStream, status: &Status, directory: &Keeper, errands: Arc<Errands>) -> io::Result<()> {
    // SAFETY: geteuid has no arguments and cannot fail.
    let owner = unsafe { libc::geteuid() };
    let is_operator = client.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0);
    let (from, mut to) = client.split();
    let mut from = BufReader::new(from);
    loop {
        let mut line = String::new();
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(PATIENCE, (&mut from).take(LINE).read_line(&mut line)).await.map_err(late)??;
        let goes_on = is_for_directory(&line);
        let text = match Request::parse(&line) {
            Some(request) => status(request),
            None if goes_on && is_operator => write_outcome(&run(directory, &line).await),
            None if goes_on => {
                write_outcome(&Err("only the owner of the server's process and root may do that".into()))
            }
            None if line.is_empty() => return Ok(()),
            None => match Errand::parse(&line) {
                Some(errand) if is_operator => return administer(&errand, errands, to).await,
                Some(_) => "error: only the owner of the server's process and root may do that\n".to_owned(),
                None => "error: there is no such request\n".to_owned(),
            },
        };
        timeout(PATIENCE, to.write_all(text.as_bytes())).await.map_err(late)??;
        if !goes_on {
            return to.shutdown().await;
        }
    }
}

/// What concerns mail that waits.
enum Errand {
    /// In the spool.
    Spool(admin::command::Command),
    /// In a repository.
    Repository(admin::repository::Command),
}

impl Errand {
    fn parse(line: &str) -> Option<Errand> {
        let of_spool = admin::command::Command::parse(line).map(Errand::Spool);
        of_spool.or_else(|| admin::repository::Command::parse(line).map(Errand::Repository))
    }
}

/// Does what concerns mail that waits.
async fn administer(errand: &Errand, errands: Arc<Errands>, to: tokio::net::unix::WriteHalf<'_>) -> io::Result<()> {
    let (mut out, mut running) = (Client(to), Running::new(errands));
    let done = match errand {
        Errand::Spool(command) => execute(command, &mut running, &mut out).await,
        Errand::Repository(command) => command.execute(&mut running, &mut out).await,
    };
    if let Err(error) = done {
        out.put(format!("error: {error}\n").as_bytes()).await?;
    }
    out.0.shutdown().await
}

async fn run(directory: &Keeper, line: &str) -> Outcome {
    match Command::parse(line).filter(|_| line.ends_with('\n')) {
        Some(command) => directory.run(&command).await,
        None => Err("the server does not know this command: it is of another version, or the command too long".into()),
    }
}

/// Whoever asked. One that does not read is not waited for.
struct Client<'a>(tokio::net::unix::WriteHalf<'a>);

impl Out for Client<'_> {
    async fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        for part in octets.chunks(PART) {
            timeout(PATIENCE, self.0.write_all(part)).await??;
        }
        Ok(())
    }
}

/// Octets that a client must take within its patience.
const PART: usize = 64 * 1024;
