//! Connections and listeners: plain system calls that never wait, and the core's ring to say when to try.

use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Socket, Type};

use super::GlommioMachine;
use super::readiness::Readiness;
use super::ring::Ring;
use crate::io::{Records, Stream};

/// A connection; one over a Unix socket too.
pub struct TcpStream {
    // Before the socket: its polls end while the descriptor is still open.
    pub(super) readiness: Readiness,
    pub(super) socket: Socket,
}

impl TcpStream {
    pub(super) fn new(socket: Socket, ring: &Ring) -> TcpStream {
        TcpStream { readiness: Readiness::new(ring, socket.as_raw_fd()), socket }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the buffer is ours for as long as the call lasts, and the descriptor is open as long as the stream is.
        let octets = unsafe {
            libc::recv(self.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
        };
        usize::try_from(octets).map_err(|_| io::Error::last_os_error())
    }

    fn transmit(&self, buffer: &[u8]) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: as in `receive`.
        let octets = unsafe { libc::send(self.socket.as_raw_fd(), buffer.as_ptr().cast(), buffer.len(), flags) };
        usize::try_from(octets).map_err(|_| io::Error::last_os_error())
    }
}

impl TcpStream {
    /// Ends once a connection that was begun is there, or is not.
    pub(super) async fn connected(&self) -> io::Result<()> {
        poll_fn(|context| {
            if let Some(error) = self.socket.take_error()? {
                return Poll::Ready(Err(error));
            }
            match self.socket.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    self.readiness.wait_to_write(context.waker())?;
                    Poll::Pending
                }
                other => Poll::Ready(other.map(drop)),
            }
        })
        .await
    }

    /// Whether both its ends are the same: who connects to a port of this host where nobody listens may be given that very port.
    pub(super) fn is_its_own_peer(&self) -> bool {
        let ends = (self.socket.local_addr(), self.socket.peer_addr());
        matches!(ends, (Ok(own), Ok(peer)) if own.as_socket().is_some() && own.as_socket() == peer.as_socket())
    }

    /// The number of its descriptor.
    pub fn descriptor(&self) -> usize {
        usize::try_from(self.socket.as_raw_fd()).unwrap_or(usize::MAX)
    }
}

impl Stream for TcpStream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.readiness.may_read() {
            match retried(|| self.receive(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    if result.as_ref().is_ok_and(|octets| (1..buffer.len()).contains(octets)) {
                        self.readiness.is_drained();
                    }
                    return Poll::Ready(result);
                }
            }
        }
        self.readiness.wait_to_read(context.waker())?;
        Poll::Pending
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        retried(|| self.receive(buffer)).unwrap_or(0)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match retried(|| self.transmit(buffer)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
        self.readiness.wait_to_write(context.waker())?;
        Poll::Pending
    }

    fn shutdown(&mut self) {
        // A peer that is gone already is no error here.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn records(&mut self) -> Option<&mut dyn Records> {
        Some(self)
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        // A poll holds the connection open until its cancellation has come through, and the peer need not wait for that.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// A signal that came in between is no answer.
pub(super) fn retried<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A listening socket of one core.
pub struct Listener {
    // Before the socket, as in `TcpStream`.
    readiness: Readiness,
    socket: Socket,
}

/// A listening socket, bound but not yet given to a core.
pub struct BoundListener(Socket);

impl BoundListener {
    /// Binds `address` in a way that lets every core bind it too; the kernel spreads connections over them, and prefers, where
    /// one is given, the listener of the CPU that a connection's first packet arrived on.
    pub fn bind(address: SocketAddr, backlog: u32, cpu: Option<usize>) -> io::Result<BoundListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
        if let Some(cpu) = cpu {
            socket.set_cpu_affinity(cpu)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(BoundListener(socket))
    }

    /// The address it is bound to: with the port that was chosen where 0 was asked for.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// The next connection and its peer, for a thread that is no core; `WouldBlock` where nobody is there.
    pub fn accept(&self) -> io::Result<(TakenConnection, SocketAddr)> {
        let (socket, peer) = self.0.accept()?;
        let peer = peer.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok((TakenConnection(socket), peer))
    }

    /// Gives it to a core.
    pub fn into_listener(self, machine: &GlommioMachine) -> Listener {
        Listener::new(self, machine.ring())
    }
}

impl AsRawFd for BoundListener {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

/// A connection that was accepted, but not yet given to a core.
pub struct TakenConnection(Socket);

impl TakenConnection {
    /// Gives it to a core.
    pub fn into_stream(self, machine: &GlommioMachine) -> TcpStream {
        TcpStream::new(self.0, machine.ring())
    }
}

impl Listener {
    fn new(BoundListener(socket): BoundListener, ring: &Ring) -> Listener {
        Listener { readiness: Readiness::new(ring, socket.as_raw_fd()), socket }
    }

    /// The next connection and its peer; [`io::ErrorKind::ConnectionAborted`] where the client is gone already.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|context| {
            if self.readiness.may_read() {
                match retried(|| self.socket.accept()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok((socket, peer)) => {
                        let peer = peer.as_socket().ok_or(io::ErrorKind::ConnectionAborted)?;
                        return Poll::Ready(Ok((TcpStream::new(socket, self.readiness.ring()), peer)));
                    }
                }
            }
            self.readiness.wait_to_read(context.waker())?;
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests;
