//! What the operator wrote of mail that leaves, and what this host is for other mail servers.

use std::hash::RandomState;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ClientTlsConfigs, Settings};
use crate::config::server::own_name;
use crate::config::{Configuration, Protocol, ServerSettings, keystore};
use crate::io::counts::Counts;
use crate::io::tls::RootCertStore;
use crate::mail::{Domain, Mailbox};
use crate::mta::requirements;

/// The port of mail servers.
const SMTP_PORT: u16 = 25;

impl Settings {
    /// Out of a configuration that has been checked. Reads the authorities that this machine believes.
    pub fn of(configuration: &Configuration) -> Settings {
        let enabled = || configuration.servers.iter().filter(|server| server.enabled);
        let hello_name: Box<str> = own_name(&configuration.servers).unwrap_or("localhost").into();
        let container = configuration.container.as_ref();
        let pipeline = container.and_then(|container| container.pipeline.as_ref());
        let postmaster = pipeline.map(|pipeline| pipeline.postmaster.clone());
        let mut roots = RootCertStore::empty();
        // A certificate that cannot be read vouches for nobody.
        let _ = roots.add_parsable_certificates(keystore::authorities());
        Settings {
            remotes: container.map(|container| container.remotes.clone()).unwrap_or_default(),
            lmtps: container.map(|container| container.lmtps.clone()).unwrap_or_default(),
            postmaster: postmaster.unwrap_or_else(|| own_postmaster(&hello_name)),
            own_names: enabled().filter_map(|server| Domain::parse(&server.hello_name).ok()).collect(),
            own_addresses: own_addresses(enabled(), interfaces),
            counts: Counts::new(requirements::descriptors()),
            hasher: RandomState::new(),
            tls: ClientTlsConfigs::new(roots),
            hello_name,
        }
    }
}

/// Who reports are from where no container says so.
fn own_postmaster(hello_name: &str) -> Mailbox {
    let domain = Domain::parse(hello_name).unwrap_or(Domain::Address(Ipv4Addr::LOCALHOST.into()));
    Mailbox::new("postmaster", domain).unwrap_or_else(|_| unreachable!("it is a local part"))
}

/// Addresses at which mail for this host is brought to this process.
fn own_addresses<'a>(
    servers: impl Iterator<Item = &'a ServerSettings>,
    interfaces: impl Fn() -> Vec<IpAddr>,
) -> Vec<IpAddr> {
    let smtp = servers.filter(|server| server.protocol == Protocol::Smtp);
    let mut own = Vec::new();
    for address in smtp.flat_map(|server| &server.bind).filter(|address| address.port() == SMTP_PORT) {
        match address.ip() {
            any if any.is_unspecified() => {
                own.extend(interfaces().into_iter().filter(|ip| ip.is_ipv4() == any.is_ipv4()))
            }
            ip => own.push(ip),
        }
    }
    own.sort_unstable();
    own.dedup();
    own
}

/// The addresses of this machine's network interfaces.
fn interfaces() -> Vec<IpAddr> {
    let mut list = std::ptr::null_mut();
    // SAFETY: the list is written by the call, where it says that it was, and freed below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let (mut addresses, mut next) = (Vec::new(), list);
    // SAFETY: every entry of the list is whole, and points to the next one or to none.
    while let Some(entry) = unsafe { next.as_ref() } {
        addresses.extend(address(entry.ifa_addr));
        next = entry.ifa_next;
    }
    // SAFETY: it came from getifaddrs, and nothing points into it any more.
    unsafe { libc::freeifaddrs(list) };
    addresses
}

fn address(of: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: an address that is there begins with its family.
    match i32::from(unsafe { of.as_ref() }?.sa_family) {
        libc::AF_INET => {
            // SAFETY: so an address of this family is laid out, and getifaddrs gives whole ones.
            let four = unsafe { &*of.cast::<libc::sockaddr_in>() };
            Some(Ipv4Addr::from(u32::from_be(four.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let six = unsafe { &*of.cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(six.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_loopback_interface() {
        assert!(interfaces().contains(&Ipv4Addr::LOCALHOST.into()), "{:?}", interfaces());
    }

    #[test]
    fn reports_come_from_somebody_whatever_the_host_is_called() {
        assert_eq!(own_postmaster("mx.example.org").to_string(), "postmaster@mx.example.org");
        assert_eq!(own_postmaster("no name").to_string(), "postmaster@[127.0.0.1]");
    }
}
