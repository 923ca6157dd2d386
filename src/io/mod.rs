//! The one seam between ringpost and the machine it runs on: network, disk, clock and tasks of one core.
//!
//! Everything above is generic over [`Machine`]; two of them exist: `metal` (io_uring, one pinned glommio executor a core) and
//! `sim` (seeded, with a virtual clock and a disk that tears and forgets). Nothing is `Send`: a machine belongs to its core.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::Duration;

pub mod aligned;
pub mod counts;
pub mod deadline;
pub mod metal;
pub mod handover;
pub mod records;
pub mod sim;
pub mod strikes;
pub mod tls;
pub mod vitals;
pub mod wait;

pub use aligned::{Aligned, Part};
pub use records::Records;

/// One core of the machine.
pub trait Machine: Clone + 'static {
    /// A connection: with a client that came, or with a server that was gone to.
    type Stream: Stream;
    /// The disk as this core reaches it.
    type Disk: Disk;

    /// The disk.
    fn disk(&self) -> &Self::Disk;

    /// Time since some fixed moment before the start; never goes back.
    fn now(&self) -> Duration;

    /// Microseconds since the Unix epoch; may go back when the clock is set.
    fn wall_clock(&self) -> u64;

    /// A number that nobody can guess.
    fn secret(&self) -> u64;

    /// A connection to a server, `from` that address of this host where one is given. It is tried for as long as anyone waits:
    /// how long that is, is the caller's to say.
    ///
    /// # Errors
    ///
    /// What the network says, and [`io::ErrorKind::AddrNotAvailable`] where `from` is no address of the server's kind.
    fn connect(&self, to: &Peer, from: Option<IpAddr>) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Ends after at least `time`. Coarse: a core has few timers, not one a connection.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;

    /// Starts a task on this core. A task that panics ends alone and is counted.
    fn spawn(&self, class: Class, task: impl Future<Output = ()> + 'static);

    /// Starts a task without which the core is none: if it panics, the core has ended.
    fn spawn_vital(&self, class: Class, task: impl Future<Output = ()> + 'static);
}

/// What kind of work a task does: each kind has its guaranteed share of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Accepting, sessions and the writing of the spool.
    Intake,
    /// Bringing messages to where they are to go.
    Delivery,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// On a port of a host.
    Tcp(SocketAddr),
    /// On a socket of this host's file system.
    Unix(PathBuf),
}

/// A connection. Reads and writes complete in the poll that finds the socket ready, so that an idle
/// connection needs no buffer.
pub trait Stream: 'static {
    /// Receives into `buffer`; `Ok(0)` is the end of the stream.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Receives what is there at this moment, without waiting; 0 where that is nothing, or where the stream has ended.
    fn read_now(&mut self, buffer: &mut [u8]) -> usize;

    /// Sends from `buffer` and says how much of it was taken.
    fn poll_write(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>>;

    /// Says that nothing more will be sent.
    fn shutdown(&mut self);

    /// How records of TLS are sealed and opened below, where this connection may be able to.
    fn records(&mut self) -> Option<&mut dyn Records> {
        None
    }
}

/// Files and directories. Paths are absolute.
#[allow(async_fn_in_trait, reason = "a machine belongs to one core: no future here is ever Send")]
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: File;

    /// Opens a file.
    async fn open(&self, path: &Path, how: Open) -> io::Result<Self::File>;

    /// Creates a directory that only ringpost's user can enter; `AlreadyExists` where there is one.
    async fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, replacing one of the new name. Durable once the directories involved are synced.
    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Durable once its directory is synced.
    async fn remove(&self, path: &Path) -> io::Result<()>;

    /// Brings the names in a directory to stable storage.
    async fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes a new file `from` of `range` of the buffer, brings it to stable storage, and renames it to `to`, replacing one of that
    /// name: durable once the directory of `to` is synced. Each step begins only when the one before it was done whole, so what is
    /// called `to` is always whole; they may follow each other even where nobody waits any more. After an error the file has one of
    /// its names or none; `AlreadyExists` where there was one called `from`.
    async fn publish(
        &self,
        buffer: Aligned,
        range: std::ops::Range<usize>,
        from: &Path,
        to: &Path,
    ) -> (io::Result<()>, Aligned);

    /// The names in a directory, sorted. Only for the start: the real one blocks.
    async fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Octets that may still be written on the file system that holds `path`, a file or directory of the spool; known to the
    /// second.
    fn free_octets(&self, path: &Path) -> io::Result<u64>;
}

/// [`Disk::publish`] in one operation after the other.
async fn publish_by_steps<D: Disk>(
    disk: &D,
    buffer: Aligned,
    range: std::ops::Range<usize>,
    from: &Path,
    to: &Path,
) -> (io::Result<()>, Aligned) {
    let file = match disk.open(from, Open::New).await {
        Ok(file) => file,
        Err(error) => return (Err(error), buffer),
    };
    let (written, buffer) = file.write_at(buffer, range, 0).await;
    let rest = async {
        written?;
        file.sync().await?;
        drop(file);
        disk.rename(from, to).await
    };
    (rest.await, buffer)
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// For reading, which must exist. Reads may be of any size.
    Read,
    /// A new or truncated one for writing; writes may be of any size.
    Create,
    /// The same, and it must not be there yet.
    New,
    /// For reading and writing past the page cache where the file system can (offsets, lengths and memory in multiples of
    /// [`aligned::BLOCK`]); made if it is not there, never truncated.
    Direct,
}

/// An open file; clones are the same file. Buffers are owned by the operation while it runs, and come back with its result:
/// an operation whose future is dropped still ends by itself.
#[allow(async_fn_in_trait, reason = "a machine belongs to one core: no future here is ever Send")]
pub trait File: Clone + 'static {
    /// Writes `range` of the buffer at `offset`: all of it, or an error.
    async fn write_at(&self, buffer: Aligned, range: std::ops::Range<usize>, offset: u64) -> (io::Result<()>, Aligned);

    /// Writes as [`File::write_at`] does, then brings the data to stable storage. An error says nothing about what is there
    /// now; it is never right to sync again and believe the answer.
    async fn write_synced(
        &self,
        buffer: Aligned,
        range: std::ops::Range<usize>,
        offset: u64,
    ) -> (io::Result<()>, Aligned);

    /// Writes `range` of the buffer at `offset`, and behind it the parts of `rest`, in one operation; in all else as
    /// [`File::write_synced`] does.
    async fn write_all_synced(
        &self,
        buffer: Aligned,
        range: std::ops::Range<usize>,
        rest: Vec<Part>,
        offset: u64,
    ) -> (io::Result<()>, Aligned);

    /// Reads up to `length` octets from `offset` to the front of the buffer; fewer only at the end of the file.
    async fn read_at(&self, buffer: Aligned, length: usize, offset: u64) -> (io::Result<usize>, Aligned);

    /// Brings data and size to stable storage.
    async fn sync(&self) -> io::Result<()>;

    /// The file's size in octets.
    async fn length(&self) -> io::Result<u64>;

    /// Whether writes go past the page cache.
    fn is_direct(&self) -> bool;
}
