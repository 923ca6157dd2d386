//! `authorizedAddresses` and `verifyIdentity`: who may relay, and whose address a sender may use.

use std::net::{IpAddr, Ipv4Addr};

use super::super::host::Host;
use super::super::problem::Severity;
use super::super::section::{Section, Written};
use super::super::value::{Expected, is_domain, word};
use crate::hook::IdentityMode;
use crate::mail::{Network, Networks};

/// The words of `verifyIdentity`; those of 3.8 and before are Booleans.
const MODES: [(&str, IdentityMode); 5] = [
    ("strict", IdentityMode::Strict),
    ("relaxed", IdentityMode::Relaxed),
    ("disabled", IdentityMode::Disabled),
    ("true", IdentityMode::Strict),
    ("false", IdentityMode::Disabled),
];

/// Reads `verifyIdentity`.
pub fn identity(section: &mut Section<'_>) -> IdentityMode {
    section.read("verifyIdentity", |text| word(text, &MODES)).unwrap_or(IdentityMode::Strict)
}

/// One entry of `authorizedAddresses`.
#[derive(Debug, PartialEq, Eq)]
enum Entry<'a> {
    Network(Network),
    /// A name, with a prefix or without.
    Name(&'a str, Option<u8>),
}

/// Every client is compared with all of them.
const ENTRIES_MAX: usize = 4096;

/// Reads `authorizedAddresses`: entries between commas or blanks. Absent it is nobody.
pub fn authorized(section: &mut Section<'_>, host: &Host) -> Networks {
    let Some(written) = section.written("authorizedAddresses") else { return Networks::default() };
    let mut networks = Vec::new();
    let mut position = written.position;
    let entries = written.text.split([',', ' ', '\t', '\n', '\r']).filter(|text| !text.is_empty());
    if entries.clone().count() > ENTRIES_MAX {
        let found = format!("authorizedAddresses has more than {ENTRIES_MAX} entries");
        section.say(written.position, Severity::Error, found, "join them to larger networks");
        return Networks::default();
    }
    for text in entries {
        position = section.file.find(position, text);
        let entry = Written { text, position, ..written };
        match section.parse(entry, |_| self::entry(text)) {
            Some(Entry::Network(network)) => networks.push(network),
            Some(Entry::Name(name, prefix)) => networks.extend(named(section, entry, name, prefix, host)),
            None => {}
        }
    }
    if let Some(all) = networks.iter().find(|network| network.prefix() == 0) {
        let found = format!("authorizedAddresses has {all}, which is everybody");
        section.say(
            written.position,
            Severity::Warning,
            found,
            "the server is an open relay with it; name your networks",
        );
    }
    Networks(networks)
}

/// The networks of a name. One without an address authorizes nobody, as in James.
fn named(section: &mut Section<'_>, entry: Written<'_>, name: &str, prefix: Option<u8>, host: &Host) -> Vec<Network> {
    let addresses = (host.resolve)(name).unwrap_or_default();
    if addresses.is_empty() {
        let found = format!("authorizedAddresses names the host {name:?}, which has no address");
        section.say(entry.position, Severity::Warning, found, "it is left out; write its address");
    }
    let Some(prefix) = prefix else { return addresses.into_iter().map(Network::host).collect() };
    // A prefix that was meant for one family says something else in the other; James takes the name's first address.
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    first.and_then(|address| Network::new(*address, prefix)).into_iter().collect()
}

fn entry(text: &str) -> Result<Entry<'_>, Expected> {
    let expected = || "an address, a name or a network such as 192.0.2.0/24, 2001:db8::/32 or 10.*".to_owned();
    if text.contains('*') {
        return wildcard(text).map(Entry::Network).ok_or_else(expected);
    }
    // James writes the prefix of an IPv6 address after % as well.
    let (address, prefix) = match text.split_once('/').or_else(|| text.split_once('%')) {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let bits = match prefix {
        Some(prefix) => Some(self::prefix(prefix).ok_or_else(expected)?),
        None => None,
    };
    match (address.parse::<IpAddr>(), bits) {
        (Ok(address), None) => Ok(Entry::Network(Network::host(address))),
        (Ok(address), Some(bits)) => Network::new(address, bits).map(Entry::Network).ok_or_else(expected),
        (Err(_), _) if is_domain(address) && bits.is_none_or(|bits| bits <= 32) && !is_number(address) => {
            Ok(Entry::Name(address, bits))
        }
        (Err(_), _) => Err(expected()),
    }
}

/// What looks like an IPv4 address and is none is no name either.
fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// A prefix in bits, or as the mask that has so many.
fn prefix(text: &str) -> Option<u8> {
    if let Ok(mask) = text.parse::<Ipv4Addr>() {
        let bits = mask.to_bits();
        return (bits.leading_ones() + bits.trailing_zeros() >= 32).then(|| bits.leading_ones() as u8);
    }
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `*`, `10.*`, `10.1.*` or `10.1.2.*`: of IPv4.
fn wildcard(text: &str) -> Option<Network> {
    let parts: Vec<&str> = text.split('.').collect();
    let fixed = parts.iter().take_while(|part| **part != "*").count();
    let rest_is_free = parts.iter().skip(fixed).all(|part| *part == "*");
    if !rest_is_free || parts.len() > 4 || fixed > 3 {
        return None;
    }
    let mut octets = [0u8; 4];
    for (octet, part) in octets.iter_mut().zip(parts.iter().take(fixed)) {
        *octet = part.parse().ok()?;
    }
    Network::new(IpAddr::from(octets), fixed as u8 * 8)
}
