//! Why the server does not run.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::requirements::Missing;
use crate::control::certificates::TlsError;

/// Why the server did not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine lacks something.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A directory or file is not to be had.
    #[error("{what} {path}: {error}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: String,
        /// How it failed.
        error: io::Error,
    },
    /// A server's TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("{name} cannot listen on {address}: {error}{}", remedy(error, address))]
    Bind {
        /// The server.
        name: String,
        /// The address.
        address: SocketAddr,
        /// How it failed.
        error: io::Error,
    },
    /// The directory cannot be opened.
    #[error("cannot open the directory {path}: {error}")]
    Directory {
        /// Its file.
        path: String,
        /// How it failed.
        error: String,
    },
    /// A part of the process cannot be started.
    #[error("{what} cannot be started: {error}{}", memory_remedy(error))]
    Start {
        /// The part.
        what: String,
        /// How it failed.
        error: io::Error,
    },
    /// A part of the control plane ended.
    #[error("{what} has failed: {error}; what was acknowledged is in the spool and goes on at the next start")]
    Failed {
        /// The part.
        what: &'static str,
        /// How it failed.
        error: io::Error,
    },
    /// A shard does not come to rest: its disk does not answer, most likely.
    #[error(
        "shard {0} did not come to rest in time; what was acknowledged is in the spool and goes on at the next start"
    )]
    Restless(usize),
    /// A shard ended by itself.
    #[error("shard {0} has ended unexpectedly; what was acknowledged is in the spool and goes on at the next start")]
    ShardEnded(usize),
    /// An acceptor ended by itself.
    #[error("acceptor {0} has ended unexpectedly; what was acknowledged is in the spool and goes on at the next start")]
    AcceptorEnded(usize),
}

/// What can be done about an address that cannot be listened on.
fn remedy(error: &io::Error, address: &SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; another program listens there (`ss -ltnp sport = :{port}` names it): stop it, or change <bind>")
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address: change <bind>".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!(
                "; port {port} is for root and for processes with CAP_NET_BIND_SERVICE (AmbientCapabilities= in the systemd unit)"
            )
        }
        _ => String::new(),
    }
}

/// What can be done where there is no memory for a part.
fn memory_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::OutOfMemory => {
            "; unless the machine has none left, that is the limit of locked memory: a shard takes up to 256 KiB of it, and all \
             processes of this user share it; raise it: `ulimit -l 65536`, LimitMEMLOCK=64M in the systemd unit, or `memlock` in \
             /etc/security/limits.conf"
        }
        _ => "",
    }
}

/// Names the part of the process that could not be started.
pub(super) fn start_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |error| Error::Start { what, error }
}

/// Names the file or directory that an operation failed with.
pub(super) fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |error| Error::File { what, path, error }
}
