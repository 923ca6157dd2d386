//! Networks: which addresses are meant by `192.0.2.0/24` and its like.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network (RFC 4632 §3.1, RFC 4291 §2.3): an address and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Its first address: every bit beyond the prefix is 0. Never an IPv4 address written as IPv6.
    first: IpAddr,
    /// Bits that count, at most 32 or 128.
    prefix: u8,
}

impl Network {
    /// The network that `address` is in by its first `prefix` bits; `None` where it has fewer. A prefix of an IPv4 address
    /// that is written as IPv6 counts the 96 bits before it.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Network> {
        let (address, prefix) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(inner)) if prefix >= 96 => (IpAddr::V4(inner), prefix - 96),
            (as_written, _) => (as_written, prefix),
        };
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask(32, prefix)? as u32)),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask(128, prefix)?)),
        };
        Some(Network { first, prefix })
    }

    /// The network of one address.
    pub fn host(address: IpAddr) -> Network {
        let first = address.to_canonical();
        Network { first, prefix: bits(first) }
    }

    /// Whether the address is in it; an IPv4 address is the same however it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && Network::new(address, self.prefix).is_some_and(|network| network.first == self.first)
    }

    /// How many bits count.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first `prefix` of `bits` bits.
fn mask(bits: u8, prefix: u8) -> Option<u128> {
    let beyond = bits.checked_sub(prefix)?;
    let all = u128::MAX >> (128 - u32::from(bits));
    Some(all & u128::MAX.checked_shl(u32::from(beyond)).unwrap_or(0))
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix == bits(self.first) {
            true => self.first.fmt(f),
            false => write!(f, "{}/{}", self.first, self.prefix),
        }
    }
}

/// Several networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

impl Networks {
    /// Whether the address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, prefix: u8) -> Network {
        Network::new(address.parse().expect("an address"), prefix).expect("the prefix fits")
    }

    fn holds(network: Network, address: &str) -> bool {
        network.contains(address.parse().expect("an address"))
    }

    #[test]
    fn exactly_the_prefix_counts() {
        for (of, prefix, inside, outside) in [
            ("127.0.0.1", 8, "127.255.255.255", "128.0.0.0"),
            ("192.0.2.129", 25, "192.0.2.255", "192.0.2.127"),
            ("192.0.2.1", 32, "192.0.2.1", "192.0.2.0"),
            ("2001:db8:0:1::", 64, "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::"),
            ("2001:db8::", 32, "2001:db8:ffff::", "2001:db9::"),
            ("fe80::", 10, "febf::1", "fec0::"),
            ("2001:db8::1", 128, "2001:db8::1", "2001:db8::2"),
        ] {
            let network = network(of, prefix);
            assert!(holds(network, inside) && !holds(network, outside), "{network}");
            assert!(holds(network, of));
        }
    }

    #[test]
    fn all_addresses_of_one_family_and_none_of_the_other() {
        assert!(holds(network("0.0.0.0", 0), "255.255.255.255") && !holds(network("0.0.0.0", 0), "::1"));
        assert!(holds(network("::", 0), "ffff::") && !holds(network("::", 0), "127.0.0.1"));
    }

    #[test]
    fn an_ipv4_address_is_the_same_however_it_is_written() {
        assert!(holds(network("10.0.0.0", 8), "::ffff:10.1.2.3"));
        assert_eq!(network("::ffff:10.0.0.0", 104), network("10.0.0.0", 8));
        assert_eq!(Network::host("::ffff:10.0.0.1".parse().expect("an address")).to_string(), "10.0.0.1");
    }

    #[test]
    fn no_prefix_is_longer_than_the_address() {
        assert_eq!(Network::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 33), None);
        assert_eq!(Network::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 129), None);
        assert_eq!(network("10.1.2.3", 8).to_string(), "10.0.0.0/8");
    }
}
