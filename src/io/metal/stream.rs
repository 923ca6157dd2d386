//! Connections and listeners over glommio's sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net;
use socket2::{Domain, Protocol, Socket, Type};

use crate::io::Stream;

/// A connection.
pub struct TcpStream(net::TcpStream);

impl TcpStream {
    /// The number of its descriptor.
    pub fn descriptor(&self) -> usize {
        usize::try_from(self.0.as_raw_fd()).unwrap_or(usize::MAX)
    }
}

impl Stream for TcpStream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }

    /// Asks the kernel, where `poll_read` may wait to be told first.
    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        // SAFETY: the buffer is ours for as long as the call lasts, and the descriptor is open as long as the stream is.
        let octets =
            unsafe { libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
        usize::try_from(octets).unwrap_or(0)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn shutdown(&mut self) {
        // SAFETY: the descriptor is open as long as the stream is. A peer that is gone already is no error here.
        unsafe { libc::shutdown(self.0.as_raw_fd(), libc::SHUT_WR) };
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        // A poll that is still armed would keep the connection open until the next turn of the reactor.
        // SAFETY: as in `shutdown`.
        unsafe { libc::shutdown(self.0.as_raw_fd(), libc::SHUT_RDWR) };
    }
}

/// A listening socket of one core.
pub struct Listener(net::TcpListener);

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
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(BoundListener(socket))
    }

    /// The address it is bound to: with the port that was chosen where 0 was asked for.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Accepting says that nobody is there instead of waiting.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        self.0.set_nonblocking(true)
    }

    /// The next connection and its peer, for a thread that is no core.
    pub fn accept(&self) -> io::Result<(TakenConnection, SocketAddr)> {
        let (socket, peer) = self.0.accept()?;
        let peer = peer.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok((TakenConnection(socket), peer))
    }

    /// Gives it to the core that this is called on.
    pub fn into_listener(self) -> Listener {
        use std::os::fd::FromRawFd;
        // SAFETY: the descriptor is a listening socket and from here on the listener's alone.
        Listener(unsafe { net::TcpListener::from_raw_fd(self.0.into_raw_fd()) })
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
    /// Gives it to the core that this is called on.
    pub fn into_stream(self) -> TcpStream {
        use std::os::fd::FromRawFd;
        // SAFETY: the descriptor is a connected socket and from here on the stream's alone.
        TcpStream(unsafe { net::TcpStream::from_raw_fd(self.0.into_raw_fd()) })
    }
}

impl Listener {
    /// The next connection and its peer; [`io::ErrorKind::ConnectionAborted`] where the client is gone already.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let stream = self.0.accept().await?;
        // One that was reset while it waited to be taken is handed out all the same, and has no peer.
        let peer = stream.peer_addr().map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
        Ok((TcpStream(stream), peer))
    }
}
