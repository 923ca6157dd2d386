//! How a session's connection is made: from which address, and what is said about it before anything else.

use super::options::{Options, ProxyVersion};
use mio::net::TcpStream;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

/// The signature of a binary header.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Begins to connect, from the local address whose turn it is.
pub fn connect(options: &Options, to: SocketAddr, session: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), None)?;
    // Writes are whole groups already: waiting for more to send would only add the peer's delayed acknowledgement.
    socket.set_tcp_nodelay(true)?;
    if !options.local.is_empty() {
        let local = options.local[session % options.local.len()];
        choose_port_late(&socket)?;
        socket.bind(&SockAddr::from(SocketAddr::from((local, 0))))?;
    }
    match socket.connect(&SockAddr::from(to)) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Lets the port be chosen at connect, so that the same one serves for different servers.
fn choose_port_late(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the kernel reads the one number of the given length during the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            std::ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The PROXY header of a session, or nothing.
pub fn proxy_header(options: &Options, stream: &TcpStream, session: usize) -> io::Result<Vec<u8>> {
    let Some(version) = options.proxy else { return Ok(Vec::new()) };
    let (mut source, destination) = (stream.local_addr()?, stream.peer_addr()?);
    if let Some(first) = options.proxy_source {
        source.set_ip(after(first, session as u32 % options.proxy_sources));
    }
    header(version, source, destination).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "--proxy-source is of another IP version than the server's address")
    })
}

/// So many addresses on.
fn after(first: IpAddr, count: u32) -> IpAddr {
    match first {
        IpAddr::V4(first) => Ipv4Addr::from(u32::from(first).wrapping_add(count)).into(),
        IpAddr::V6(first) => Ipv6Addr::from(u128::from(first).wrapping_add(u128::from(count))).into(),
    }
}

fn header(version: ProxyVersion, source: SocketAddr, destination: SocketAddr) -> Option<Vec<u8>> {
    if source.is_ipv4() != destination.is_ipv4() {
        return None;
    }
    if version == ProxyVersion::V1 {
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (source.ip(), destination.ip());
        return Some(format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes());
    }
    let mut addresses = Vec::new();
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => addresses.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => addresses.extend_from_slice(&ip.octets()),
        }
    }
    [source.port(), destination.port()].iter().for_each(|port| addresses.extend_from_slice(&port.to_be_bytes()));
    let mut header = SIGNATURE.to_vec();
    // Version 2, command PROXY; TCP over IPv4 or IPv6.
    header.extend_from_slice(&[0x21, if source.is_ipv4() { 0x11 } else { 0x21 }]);
    header.extend_from_slice(&(addresses.len() as u16).to_be_bytes());
    header.extend_from_slice(&addresses);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_specification() {
        let (source, destination) = ("192.0.2.1:5000".parse().unwrap(), "198.51.100.2:25".parse().unwrap());
        let text = header(ProxyVersion::V1, source, destination).unwrap();
        assert_eq!(text, b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 25\r\n");
        let binary = header(ProxyVersion::V2, source, destination).unwrap();
        let expected = [SIGNATURE, &[0x21, 0x11, 0, 12, 192, 0, 2, 1, 198, 51, 100, 2, 0x13, 0x88, 0, 25]].concat();
        assert_eq!(binary, expected);
        let six = header(ProxyVersion::V2, "[2001:db8::1]:1".parse().unwrap(), "[::1]:25".parse().unwrap()).unwrap();
        assert_eq!((six.len(), &six[12..16]), (16 + 36, &[0x21, 0x21, 0, 36][..]));
        assert!(header(ProxyVersion::V1, source, "[::1]:25".parse().unwrap()).is_none());
    }

    #[test]
    fn claims_are_spread() {
        assert_eq!(after("10.0.0.255".parse().unwrap(), 2), "10.0.1.1".parse::<IpAddr>().unwrap());
        assert_eq!(after("2001:db8::ffff".parse().unwrap(), 1), "2001:db8::1:0".parse::<IpAddr>().unwrap());
    }
}
