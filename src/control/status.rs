//! The control socket: answers whoever may reach it with how the server is.
//!
//! A client sends one line, `status` or `status json`, and reads to the end. The socket is the operator's and the group's
//! (mode 0660), and nothing that it says or does changes anything.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Who may connect: owner and group.
const MODE: u32 = 0o660;

/// Octets of a request at most.
const REQUEST: u64 = 256;

/// Clients at a time; further ones wait to be accepted.
const CLIENTS: usize = 16;

/// How long one client may take.
const PATIENCE: Duration = Duration::from_secs(5);

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

    /// Answers for ever.
    pub async fn serve(self, status: Status) {
        let clients = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok(place) = clients.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((client, _)) => {
                    let status = status.clone();
                    tokio::spawn(async move {
                        // A client that is too slow, or gone, has had its chance.
                        let _ = timeout(PATIENCE, answer(client, &status)).await;
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

async fn answer(mut client: UnixStream, status: &Status) -> io::Result<()> {
    let (from, mut to) = client.split();
    let mut line = String::new();
    BufReader::new(from.take(REQUEST)).read_line(&mut line).await?;
    let text = match Request::parse(&line) {
        Some(request) => status(request),
        None => "error: the requests are `status` and `status json`\n".to_owned(),
    };
    to.write_all(text.as_bytes()).await?;
    to.shutdown().await
}
