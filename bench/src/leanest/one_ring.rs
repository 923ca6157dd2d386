//! The form without glommio: one ring for network and disk, one loop, a connection a number.

use super::batch::{BATCH, Offsets};
use super::conversation::{Conversation, Shared, Step};
use super::{Serving, Setup};
use crate::system;
use crate::uring::Driver;
use io_uring::{cqueue, opcode, squeue, types};
use ringpost::io::Aligned;
use socket2::{Domain, Socket, Type};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::channel;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// What a completion is about; the low half of its number is the connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum About {
    Accepted,
    Received,
    Sent,
    ChunkWritten,
    BatchWritten,
    BatchSynced,
}

impl About {
    const ALL: [About; 6] =
        [About::Accepted, About::Received, About::Sent, About::ChunkWritten, About::BatchWritten, About::BatchSynced];

    fn mark(self, connection: usize) -> u64 {
        u64::from(self as u32) << 32 | connection as u64
    }

    fn read(mark: u64) -> (About, usize) {
        (About::ALL[(mark >> 32) as usize], mark as u32 as usize)
    }
}

/// A connection. Its memory stays where it is until nothing is under way any more.
struct Connection {
    socket: OwnedFd,
    conversation: Conversation<Aligned>,
    sending: Vec<u8>,
    sent: usize,
    is_sending: bool,
    /// The chunk that is being written, and how much of it.
    chunk: Option<(Aligned, usize)>,
    /// What it waits for: operations of its own, and a batch.
    under_way: u32,
    /// Nothing more is received: it closes once all is sent.
    closing: bool,
    /// It is gone: it closes once nothing is under way.
    lost: bool,
}

/// A batch on its way, and who waits for it.
struct InFlight {
    /// The kernel reads it.
    buffer: Aligned,
    failed: bool,
    waiting: Vec<usize>,
}

struct Server {
    ring: Driver,
    listener: TcpListener,
    file: File,
    offsets: Offsets,
    shared: Shared<Aligned>,
    spare: Option<Aligned>,
    connections: Vec<Option<Box<Connection>>>,
    vacant: Vec<usize>,
    /// Those whose messages are in the gathering batch.
    committing: Vec<usize>,
    /// Those for whom the batch had no room.
    held_up: Vec<usize>,
    in_flight: Option<InFlight>,
}

/// Serves on a thread of its own.
pub(super) fn start(setup: Setup) -> io::Result<Serving> {
    let socket = Socket::new(Domain::for_address(setup.bind), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&setup.bind.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(&setup.file)?;
    let (fail, failed) = channel();
    std::thread::Builder::new().name("leanest".into()).spawn(move || {
        let served = system::pin(&[setup.cpu]).and_then(|()| Server::new(listener, file, setup.octets)?.serve());
        // Whoever waits for it may have gone.
        let _ = fail.send(served.err().unwrap_or_else(|| io::Error::other("it has ended")));
    })?;
    Ok(Serving { address, failed })
}

impl Server {
    fn new(listener: TcpListener, file: File, octets: u64) -> io::Result<Server> {
        Ok(Server {
            ring: Driver::lean(1024)?,
            listener,
            file,
            offsets: Offsets::new(octets),
            shared: Shared::new(Aligned::zeroed),
            spare: None,
            connections: Vec::new(),
            vacant: Vec::new(),
            committing: Vec::new(),
            held_up: Vec::new(),
            in_flight: None,
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        self.accept()?;
        loop {
            self.ring.wait(1)?;
            while let Some((mark, result, flags)) = self.ring.taken() {
                self.completed(mark, result, flags)?;
            }
            self.write_batch()?;
        }
    }

    /// Submits an operation of a connection, or one of the server's own.
    fn push(&mut self, entry: squeue::Entry, about: About, number: usize) -> io::Result<()> {
        if let Some(Some(connection)) = self.connections.get_mut(number)
            && !matches!(about, About::Accepted | About::BatchWritten | About::BatchSynced)
        {
            connection.under_way += 1;
        }
        // SAFETY: what it points to is a connection's, which stays until nothing of it is under way, or the batch in flight.
        unsafe { self.ring.push(&entry.user_data(about.mark(number))) }
    }

    fn accept(&mut self) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(types::Fd(self.listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build();
        self.push(entry, About::Accepted, 0)
    }

    fn completed(&mut self, mark: u64, result: i32, flags: u32) -> io::Result<()> {
        let (about, number) = About::read(mark);
        match about {
            About::Accepted => return self.accepted(result, flags),
            About::BatchWritten | About::BatchSynced => return self.batch_done(about, result),
            About::Received | About::Sent | About::ChunkWritten => {}
        }
        let Some(Some(connection)) = self.connections.get_mut(number) else { return Ok(()) };
        connection.under_way -= 1;
        let octets = usize::try_from(result).unwrap_or(0);
        match about {
            About::Received => {
                connection.lost |= octets == 0;
                connection.conversation.received(octets);
            }
            About::Sent => {
                connection.is_sending = false;
                connection.sent += octets;
                connection.lost |= octets == 0;
                if !connection.lost && !connection.closing {
                    // The conversation goes on by what is received, or what is written.
                    return self.send(number);
                }
            }
            _ => match connection.chunk.take() {
                Some((chunk, whole)) if whole == octets => {
                    connection.conversation.chunk_written(chunk, &mut self.shared);
                }
                _ => return Err(io::Error::other(format!("a chunk was not written: {result}"))),
            },
        }
        self.go_on(number)
    }

    fn accepted(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if !cqueue::more(flags) {
            self.accept()?;
        }
        // One that was gone before it was taken is no more to be served.
        let Ok(descriptor) = crate::uring::outcome(result) else { return Ok(()) };
        // SAFETY: the kernel has just opened this descriptor for us.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        let connection = Box::new(Connection {
            socket,
            conversation: Conversation::default(),
            sending: Vec::new(),
            sent: 0,
            is_sending: false,
            chunk: None,
            under_way: 0,
            closing: false,
            lost: false,
        });
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.connections[number] = Some(connection);
        self.go_on(number)
    }

    /// Takes a conversation as far as it goes without the kernel.
    fn go_on(&mut self, number: usize) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(number) else { return Ok(()) };
        if connection.lost {
            if connection.under_way == 0 {
                self.connections[number] = None;
                self.vacant.push(number);
            }
            return Ok(());
        }
        if connection.closing {
            return self.send(number);
        }
        match connection.conversation.step(&mut self.shared) {
            Step::Receive => {
                self.send(number)?;
                self.receive(number)
            }
            Step::WriteChunk(octets) => self.write_chunk(number, octets),
            Step::Commit => {
                connection.under_way += 1;
                self.committing.push(number);
                Ok(())
            }
            Step::Full => {
                connection.under_way += 1;
                self.held_up.push(number);
                Ok(())
            }
            Step::Close => {
                connection.closing = true;
                self.send(number)
            }
        }
    }

    fn receive(&mut self, number: usize) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(number) else { return Ok(()) };
        let fd = types::Fd(connection.socket.as_raw_fd());
        let room = connection.conversation.room();
        let entry = opcode::Recv::new(fd, room.as_mut_ptr(), room.len() as u32).build();
        self.push(entry, About::Received, number)
    }

    /// Sends what there is to be said, unless that is being done; closes when all is said.
    fn send(&mut self, number: usize) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(number) else { return Ok(()) };
        if connection.is_sending {
            return Ok(());
        }
        if connection.sent == connection.sending.len() {
            connection.sending.clear();
            connection.sent = 0;
            std::mem::swap(&mut connection.sending, &mut connection.conversation.replies);
        }
        if connection.sending.is_empty() {
            if connection.closing {
                connection.lost = true;
                return self.go_on(number);
            }
            return Ok(());
        }
        let rest = &connection.sending[connection.sent..];
        let fd = types::Fd(connection.socket.as_raw_fd());
        let entry = opcode::Send::new(fd, rest.as_ptr(), rest.len() as u32).flags(libc::MSG_NOSIGNAL).build();
        connection.is_sending = true;
        self.push(entry, About::Sent, number)
    }

    fn write_chunk(&mut self, number: usize, octets: usize) -> io::Result<()> {
        let (fd, offset) = (types::Fd(self.file.as_raw_fd()), self.offsets.take(octets));
        let Some(Some(connection)) = self.connections.get_mut(number) else { return Ok(()) };
        let Some(chunk) = connection.conversation.take_chunk() else { return Ok(()) };
        let entry = opcode::Write::new(fd, chunk.as_ptr(), octets as u32).offset(offset).build();
        connection.chunk = Some((chunk, octets));
        self.push(entry, About::ChunkWritten, number)
    }

    /// Sends off what has gathered, if nothing is on its way.
    fn write_batch(&mut self) -> io::Result<()> {
        if self.in_flight.is_some() || self.shared.batch.is_empty() {
            return Ok(());
        }
        let next = self.spare.take().unwrap_or_else(|| Aligned::zeroed(BATCH));
        let (buffer, octets) = self.shared.batch.leave(next);
        let (fd, offset) = (types::Fd(self.file.as_raw_fd()), self.offsets.take(octets));
        let write = opcode::Write::new(fd, buffer.as_ptr(), octets as u32).offset(offset).build();
        let write = write.flags(squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS);
        let sync = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
        self.in_flight = Some(InFlight { buffer, failed: false, waiting: std::mem::take(&mut self.committing) });
        self.push(write, About::BatchWritten, 0)?;
        self.push(sync, About::BatchSynced, 0)?;
        for number in std::mem::take(&mut self.held_up) {
            self.waited(number);
            self.go_on(number)?;
        }
        Ok(())
    }

    fn batch_done(&mut self, about: About, result: i32) -> io::Result<()> {
        // The write completes by itself only where it failed or fell short.
        let failed = about == About::BatchWritten || result < 0;
        if let Some(batch) = &mut self.in_flight {
            batch.failed |= failed;
        }
        if about == About::BatchWritten {
            return Ok(());
        }
        let Some(batch) = self.in_flight.take() else { return Ok(()) };
        if batch.failed {
            return Err(io::Error::other("a batch was not written and synced"));
        }
        self.spare = Some(batch.buffer);
        for number in batch.waiting {
            if let Some(Some(connection)) = self.connections.get_mut(number) {
                connection.conversation.committed();
            }
            self.waited(number);
            self.go_on(number)?;
        }
        Ok(())
    }

    /// What a connection waited for has come.
    fn waited(&mut self, number: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(number) {
            connection.under_way -= 1;
        }
    }
}
