//! Where a server listens, and that no two servers are in each other's way.

use std::net::{IpAddr, SocketAddr};

use super::super::host::Host;
use super::super::problem::Severity;
use super::super::section::{Section, Written};
use super::super::value::{self, HostPort};
use super::super::xml::Position;
use super::{Protocol, ServerSettings};

/// The addresses of `bind`.
pub fn bind(section: &mut Section<'_>, protocol: Protocol, host: &Host) -> Vec<SocketAddr> {
    let (bind, port) = (section.written("bind"), section.written("port"));
    let list = match (bind, port) {
        (Some(written), None) => section.parse(written, value::bind),
        (None, None) => return vec![default(section, protocol)],
        (written, Some(port)) => with_port(section, written, port),
    };
    let Some(written) = bind.or(port) else { return Vec::new() };
    list.unwrap_or_default().iter().filter_map(|one| address(section, written, one, host)).collect()
}

fn default(section: &mut Section<'_>, protocol: Protocol) -> SocketAddr {
    let address = SocketAddr::from(([0, 0, 0, 0], protocol.port()));
    let advice = format!("the server listens on {address}");
    section.say(section.element.position, Severity::Note, "bind is not set", advice);
    address
}

/// James 2.3 had the port in a key of its own, and `bind` was an address without one.
fn with_port(section: &mut Section<'_>, bind: Option<Written<'_>>, port: Written<'_>) -> Option<Vec<HostPort>> {
    let host = bind.map_or("0.0.0.0", |written| written.text);
    let already = value::bind(host).is_ok();
    let whole = if already { host.to_owned() } else { format!("{host}:{}", port.text) };
    let found = "<port> is the spelling of James 2.3";
    section.say(port.position, Severity::Warning, found, format!("write <bind>{whole}</bind>"));
    section.parse(port, |text| value::number(text, 0, 65_535))?;
    section.parse(bind.unwrap_or(port), |_| value::bind(&whole))
}

/// The address of a name is its first IPv4 one, which is what Java would take, or else its first.
fn address(section: &mut Section<'_>, written: Written<'_>, one: &HostPort, host: &Host) -> Option<SocketAddr> {
    let found = match one.host.parse::<IpAddr>() {
        Ok(address) => Ok(vec![address]),
        Err(_) => (host.resolve)(&one.host),
    };
    match found {
        Ok(list) if !list.is_empty() => {
            let address = list.iter().find(|address| address.is_ipv4()).or(list.first())?;
            Some(SocketAddr::new(*address, one.port))
        }
        unknown => {
            let why = unknown.err().map(|error| format!(" ({error})")).unwrap_or_default();
            let found = format!("bind names the host {:?}, which has no address{why}", one.host);
            let advice = "write an address of this machine, or 0.0.0.0 for all";
            section.say(written.position, Severity::Error, found, advice);
            None
        }
    }
}

/// What servers have taken already, and where that was written: of each there is one in the process.
#[derive(Debug, Default)]
pub struct Taken {
    names: Vec<(String, String)>,
    addresses: Vec<(SocketAddr, String)>,
}

impl Taken {
    /// Takes the name and the addresses of an enabled server.
    pub fn take(&mut self, section: &mut Section<'_>, settings: &ServerSettings) {
        let place = |position: Position| format!("{}:{}", section.file.path, position.line);
        let start = section.element.position;
        let name_at = section.written("jmxName").map_or(start, |written| written.position);
        let bind_at = section.written("bind").map_or(start, |written| written.position);
        let (name_place, bind_place) = (place(name_at), place(bind_at));
        if let Some((name, first)) = self.names.iter().find(|(name, _)| *name == settings.name) {
            let found = format!("the server's name {name:?} is taken already at {first}");
            section.say(name_at, Severity::Error, found, "give every server a <jmxName> of its own");
        }
        self.names.push((settings.name.clone(), name_place));
        for address in &settings.bind {
            if let Some((other, first)) = self.addresses.iter().find(|(other, _)| overlap(*address, *other)) {
                let found = format!("the address {address} is taken already by {other} at {first}");
                section.say(bind_at, Severity::Error, found, "give every server addresses or ports of its own");
            }
            self.addresses.push((*address, bind_place.clone()));
        }
    }
}

/// Whether a client could reach both by one address: the kernel would deal its connections out to either.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_family = a.is_ipv4() == b.is_ipv4();
    let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    same_family && same_host && a.port() == b.port() && a.port() != 0
}
