//! The control socket: answers whoever may reach it with how the server is, and does what operators ask of its messages.
//!
//! A client sends one line, `status`, `status json` or an [`super::admin::command::Command`], and reads to the end. The socket
//! is the operator's and the group's (mode 0660): whoever may open it may read and remove mail that waits.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::admin::command::Command;
use super::admin::errands::{Errands, Running};
use super::admin::{Out, execute};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Who may connect: owner and group.
const MODE: u32 = 0o660;

/// Octets of a request at most: some thousand ids.
const REQUEST: u64 = 64 * 1024;

/// Clients at a time; further ones wait to be accepted.
const CLIENTS: usize = 16;

/// How long one client may take to ask, and to take a part of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

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

    /// Answers for ever; what concerns messages goes to the shards by `errands`.
    pub async fn serve(self, status: Status, errands: Arc<Errands>) {
        let clients = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok(place) = clients.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((client, _)) => {
                    let (status, errands) = (status.clone(), errands.clone());
                    tokio::spawn(async move {
                        // A client that is too slow, or gone, has had its chance.
                        let _ = timeout(LONG_PATIENCE, answer(client, &status, errands)).await;
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

async fn answer(mut client: UnixStream, status: &Status, errands: Arc<Errands>) -> io::Result<()> {
    let (from, to) = client.split();
    let mut line = String::new();
    timeout(PATIENCE, BufReader::new(from.take(REQUEST)).read_line(&mut line)).await??;
    let mut out = Client(to);
    match (Request::parse(&line), Command::parse(&line)) {
        (Some(request), _) => out.put(status(request).as_bytes()).await?,
        (None, Some(command)) => {
            if let Err(error) = execute(&command, &mut Running::new(errands), &mut out).await {
                out.put(format!("error: {error}\n").as_bytes()).await?;
            }
        }
        (None, None) => out.put(b"error: there is no such request\n").await?,
    }
    out.0.shutdown().await
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
