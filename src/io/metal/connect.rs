//! Connections to servers: begun without waiting, and waited for on the core's ring.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::ring::Ring;
use super::stream::TcpStream;
use crate::io::Peer;

/// A connection to `to`.
pub(super) async fn connect(ring: &Ring, to: &Peer, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let (socket, address) = match to {
        Peer::Tcp(address) => (tcp(*address, from)?, SockAddr::from(*address)),
        Peer::Unix(path) => (Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?, SockAddr::unix(path)?),
    };
    let begun = socket.connect(&address);
    let stream = TcpStream::new(socket, ring);
    match begun {
        Ok(()) => {}
        // One that a signal interrupts goes on by itself.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            stream.connected().await?;
        }
        // A Unix socket whose server does not keep up; there is nothing to wait for.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(io::Error::other("as many connections as it lets wait are waiting already"));
        }
        Err(error) => return Err(error),
    }
    if stream.is_its_own_peer() { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(stream) }
}

fn tcp(address: SocketAddr, from: Option<IpAddr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    if let Some(from) = from {
        if from.is_ipv4() != address.is_ipv4() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        late_port(&socket);
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    Ok(socket)
}

/// The port is chosen when the server is known: connections to different servers may then share one, and do not run out of them.
fn late_port(socket: &Socket) {
    let on: libc::c_int = 1;
    // SAFETY: the option is an integer, which is there for as long as the call lasts. Where the kernel does not have it, ports are
    // only fewer.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Stream;
    use crate::io::handover::Doorbell;
    use crate::io::vitals::Vitals;
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use std::time::{Duration, Instant};

    fn ring() -> Ring {
        Ring::new(&Doorbell::new(true).expect("an eventfd"), Arc::new(Vitals::default())).expect("a ring")
    }

    /// Runs a future that only the ring wakes.
    fn run<T>(ring: &Ring, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return value;
            }
            assert!(Instant::now() < end, "waited in vain");
            std::thread::sleep(Duration::from_micros(50));
            ring.reap();
        }
    }

    fn talk(ring: &Ring, mut stream: TcpStream, mut peer: impl Read + Write) {
        peer.write_all(b"220 there").expect("a peer");
        let mut buffer = [0; 64];
        let octets = run(ring, poll_fn(|context| stream.poll_read(context, &mut buffer))).expect("octets");
        assert_eq!(&buffer[..octets], b"220 there");
        let octets = run(ring, poll_fn(|context| stream.poll_write(context, b"EHLO"))).expect("room");
        drop(stream);
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).expect("what was said");
        assert_eq!((octets, heard), (4, b"EHLO".to_vec()));
    }

    #[test]
    fn a_server_over_tcp_is_reached_from_the_address_that_was_asked_for() {
        let ring = ring();
        for (listen, from) in [("127.0.0.1:0", None), ("127.0.0.1:0", Some("127.0.0.9")), ("[::1]:0", None)] {
            // A machine without IPv6 has nothing to try it on.
            let Ok(listener) = TcpListener::bind(listen) else { continue };
            let to = Peer::Tcp(listener.local_addr().expect("an address"));
            let from = from.map(|text| text.parse().expect("an address"));
            let stream = run(&ring, connect(&ring, &to, from)).expect("it listens");
            let (peer, address) = listener.accept().expect("it came");
            assert!(from.is_none_or(|from| from == address.ip()), "{address}");
            talk(&ring, stream, peer);
        }
    }

    #[test]
    fn a_server_on_a_socket_of_the_file_system_is_reached() {
        let (ring, directory) = (ring(), tempfile::tempdir().expect("a directory"));
        let path = directory.path().join("lmtp");
        let missing = run(&ring, connect(&ring, &Peer::Unix(path.clone()), None)).err().map(|error| error.kind());
        assert_eq!(missing, Some(io::ErrorKind::NotFound));
        let listener = UnixListener::bind(&path).expect("a socket");
        let stream = run(&ring, connect(&ring, &Peer::Unix(path), None)).expect("it listens");
        talk(&ring, stream, listener.accept().expect("it came").0);
    }

    #[test]
    fn nobody_there_is_an_error() {
        let ring = ring();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
        let kind = |from: Option<&str>| {
            let from = from.map(|text| text.parse().expect("an address"));
            run(&ring, connect(&ring, &Peer::Tcp(free), from)).err().map(|error| error.kind())
        };
        assert_eq!(kind(None), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(kind(Some("::1")), Some(io::ErrorKind::AddrNotAvailable));
        assert_eq!(kind(Some("192.0.2.1")), Some(io::ErrorKind::AddrNotAvailable));
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing() {
        let ring = ring();
        // Nothing answers there: the documentation's network is nobody's. A host without any network says so at once.
        let to = Peer::Tcp("192.0.2.1:9".parse().expect("an address"));
        for _ in 0..20 {
            let mut connecting = Box::pin(connect(&ring, &to, None));
            let _ = connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        let end = Instant::now() + Duration::from_secs(60);
        while ring.polls().open() > 0 {
            assert!(Instant::now() < end, "polls are left");
            std::thread::sleep(Duration::from_millis(1));
            ring.reap();
        }
    }
}
