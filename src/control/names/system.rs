//! The name servers of the machine (resolv.conf).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use resolv_conf::{Config, ScopedIp};

/// The port of name servers (RFC 1035 §4.2).
pub const PORT: u16 = 53;

/// Name servers that are looked at: the C library takes three.
const MOST: usize = 8;

/// Those that the machine itself asks. Where its file names none, one on this host is asked, as the C library does.
pub fn servers(file: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read(file).unwrap_or_default();
    named(&text)
}

fn named(text: &[u8]) -> Vec<SocketAddr> {
    let (config, _) = Config::parse_with_errors(text);
    let mut servers: Vec<SocketAddr> = config.nameservers.iter().filter_map(address).collect();
    servers.truncate(MOST);
    if servers.is_empty() {
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    }
    servers
}

fn address(server: &ScopedIp) -> Option<SocketAddr> {
    Some(match server {
        ScopedIp::V4(address) => SocketAddr::new(IpAddr::V4(*address), PORT),
        // Of one interface alone: its number is not in the file.
        ScopedIp::V6(address, None) => SocketAddr::V6(SocketAddrV6::new(*address, PORT, 0, 0)),
        ScopedIp::V6(_, Some(_)) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_whatever_else_is_in_the_file() {
        let of = |text: &str| named(text.as_bytes()).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(of("search a b\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n"), "192.0.2.1:53 [2001:db8::1]:53");
        assert_eq!(of("nameserver\nnonsense here\nnameserver 192.0.2.1 \n; x\n"), "192.0.2.1:53");
        assert_eq!(of("nameserver fe80::1%eth0\nnameserver 192.0.2.1"), "192.0.2.1:53");
        assert_eq!(of(""), "127.0.0.1:53");
        assert_eq!(of("\u{0}\u{0}nameserver x\n"), "127.0.0.1:53");
        let many = "nameserver 192.0.2.1\n".repeat(100);
        assert_eq!(named(many.as_bytes()).len(), MOST);
        assert_eq!(servers("/nonexistent/resolv.conf".as_ref()), named(b""));
    }
}
