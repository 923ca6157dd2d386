//! The DNS as the configuration has it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::error::{Error, start_error};
use crate::config::{Configuration, DnsSettings};
use crate::control::names::{Resolver, Settings, TRY, system};

/// Where the machine says which name servers it asks.
const SYSTEM: &str = "/etc/resolv.conf";

/// What the configuration says of the DNS: `system` are the name servers of the machine.
pub fn settings(dns: &DnsSettings, system: impl FnOnce() -> Vec<SocketAddr>) -> Settings {
    let mut servers = dns.servers.clone();
    if dns.autodiscover {
        for server in system() {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
    }
    Settings {
        servers,
        remembered: dns.max_cache_size as usize,
        negative: dns.negative_ttl,
        authoritative: dns.authoritative,
        try_for: TRY,
    }
}

/// Sets the resolver up. Must be called inside a tokio runtime.
pub fn open(configuration: &Configuration) -> Result<Arc<Resolver>, Error> {
    let settings = settings(&configuration.dns, || system::servers(Path::new(SYSTEM)));
    let resolver = Resolver::new(settings).map_err(std::io::Error::other);
    Ok(Arc::new(resolver.map_err(start_error("the DNS"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_servers_come_before_those_of_the_machine_and_none_twice() {
        let servers = |list: &[&str]| -> Vec<SocketAddr> {
            list.iter().map(|server| server.parse().expect("an address and a port")).collect()
        };
        let of = |named: &[&str], autodiscover| {
            let dns = DnsSettings { servers: servers(named), autodiscover, ..DnsSettings::default() };
            settings(&dns, || servers(&["192.0.2.53:53", "192.0.2.1:53"])).servers
        };
        assert_eq!(of(&["192.0.2.1:53"], true), servers(&["192.0.2.1:53", "192.0.2.53:53"]));
        assert_eq!(of(&["192.0.2.1:53"], false), servers(&["192.0.2.1:53"]));
        assert_eq!(of(&[], true), servers(&["192.0.2.53:53", "192.0.2.1:53"]));
    }
}
