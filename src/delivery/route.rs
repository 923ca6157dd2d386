//! Where mail for a domain goes (RFC 5321 §5, RFC 7505): pure over what the DNS said.

use std::net::IpAddr;

use crate::mail::Domain;

/// Hosts of a domain that are tried; a domain may name any number.
pub const HOSTS_MAX: usize = 20;
/// Addresses of one attempt.
pub const ADDRESSES_MAX: usize = 10;

/// What the DNS says of a domain's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailExchange {
    /// MX records: preference, and the host's name; `.` and the empty name are the null MX. CNAMEs are followed already.
    Records(Vec<(u16, String)>),
    /// The domain is there, and has no MX record.
    NoRecord,
    /// There is no such domain.
    NoDomain,
    /// Nobody answered, or not usably (SERVFAIL, a time-out).
    Unavailable,
}

/// A host that takes mail for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// To be looked up by its name.
    Name(Box<str>),
    /// At an address literal.
    Address(IpAddr),
}

/// Hosts in the order they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// With the preference of each.
    pub hops: Vec<(u16, Hop)>,
}

/// Why there is no way to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// It takes no mail (RFC 7505 §4.2).
    #[error("5.1.10 the domain takes no mail")]
    NullMx,
    /// There is none.
    #[error("5.1.2 there is no such domain")]
    NoDomain,
    /// Nobody said.
    #[error("4.4.3 the domain could not be looked up")]
    Unavailable,
    /// The best host for it is this one, which is not the last (RFC 5321 §5.1).
    #[error("5.4.6 mail for the domain comes back to this host")]
    Loop,
    /// No host of it has an address.
    #[error("5.4.4 no host of the domain has an address")]
    NoAddress,
}

impl NoRoute {
    /// Whether it is tried again.
    pub fn is_temporary(self) -> bool {
        self == NoRoute::Unavailable
    }
}

/// Who this host is, so that it does not send to itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own<'a> {
    /// Its names.
    pub names: &'a [Domain],
    /// Its addresses, and the port of which each is a server of this host's.
    pub addresses: &'a [IpAddr],
}

impl Own<'_> {
    fn is_name(&self, name: &str) -> bool {
        self.names.iter().any(|own| matches!(own, Domain::Name(own) if own.eq_ignore_ascii_case(name)))
    }

    fn is_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.addresses.iter().any(|own| own.to_canonical() == address)
    }
}

/// A domain that needs no MX: an address, in brackets as it should be or without.
pub fn literal(domain: &Domain) -> Option<IpAddr> {
    match domain {
        Domain::Address(address) => Some(*address),
        Domain::Name(name) => name.parse().ok(),
    }
}

/// The hosts for a domain. Those of the same preference come in an order that `seed` chooses (RFC 5321 §5.1).
///
/// # Errors
///
/// See [`NoRoute`].
pub fn route(domain: &Domain, exchange: &MailExchange, own: Own<'_>, seed: u64) -> Result<Route, NoRoute> {
    if let Some(address) = literal(domain) {
        return match own.is_address(address) {
            true => Err(NoRoute::Loop),
            false => Ok(Route { hops: vec![(0, Hop::Address(address))] }),
        };
    }
    let records = match exchange {
        MailExchange::Unavailable => return Err(NoRoute::Unavailable),
        MailExchange::NoDomain => return Err(NoRoute::NoDomain),
        // The domain itself is its only host (RFC 5321 §5.1, implicit MX).
        MailExchange::NoRecord => vec![(0, domain.to_string())],
        MailExchange::Records(records) => records.clone(),
    };
    let named = records.iter().map(|(preference, name)| (*preference, name.trim_end_matches('.')));
    let mut hosts: Vec<(u16, u64, &str)> = named
        .filter(|(_, name)| !name.is_empty())
        .map(|(preference, name)| (preference, shuffled(seed, name), name))
        .collect();
    if hosts.is_empty() {
        return Err(if records.is_empty() { NoRoute::NoAddress } else { NoRoute::NullMx });
    }
    hosts.sort_unstable();
    hosts.dedup_by(|one, other| one.2.eq_ignore_ascii_case(other.2));
    let own_preference = hosts.iter().find(|(_, _, name)| own.is_name(name)).map(|(preference, ..)| *preference);
    let hops: Vec<(u16, Hop)> = hosts
        .into_iter()
        .filter(|(preference, ..)| own_preference.is_none_or(|own| *preference < own))
        .take(HOSTS_MAX)
        .map(|(preference, _, name)| (preference, Hop::Name(name.to_ascii_lowercase().into())))
        .collect();
    if hops.is_empty() { Err(NoRoute::Loop) } else { Ok(Route { hops }) }
}

/// A number that has nothing to do with the name but for the seed (the mixing of splitmix64).
fn shuffled(seed: u64, name: &str) -> u64 {
    name.bytes().fold(seed, |mixed, octet| {
        let mut mixed = (mixed ^ u64::from(octet.to_ascii_lowercase())).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    })
}

/// What was found of a host's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// These; maybe none.
    Found(Vec<IpAddr>),
    /// Nobody said.
    Unavailable,
}

/// The addresses to try, host after host in the route's order; of each IPv6 and IPv4 by turns, so that one family that leads
/// nowhere costs one attempt and not all. `one_each` takes the first of every host alone (James: `singleIPperMX`). Hosts that
/// have an address of ours are ours, whatever their name: they and those after them are left out (RFC 5321 §5.1).
///
/// # Errors
///
/// See [`NoRoute`]; a host that could not be looked up makes it one that is tried again, unless another one was found.
pub fn addresses(route: &Route, found: &[Addresses], own: Own<'_>, one_each: bool) -> Result<Vec<IpAddr>, NoRoute> {
    let mut list: Vec<IpAddr> = Vec::new();
    let mut unavailable = false;
    let of = |hop: &Hop, place: usize| match hop {
        Hop::Address(address) => Addresses::Found(vec![*address]),
        Hop::Name(_) => found.get(place).cloned().unwrap_or(Addresses::Unavailable),
    };
    let all: Vec<(u16, Addresses)> =
        route.hops.iter().enumerate().map(|(place, (preference, hop))| (*preference, of(hop, place))).collect();
    let is_own = |addresses: &Addresses| match addresses {
        Addresses::Found(list) => list.iter().any(|address| own.is_address(*address)),
        Addresses::Unavailable => false,
    };
    let own_preference = all.iter().filter(|(_, addresses)| is_own(addresses)).map(|(preference, _)| *preference).min();
    for (preference, addresses) in &all {
        if own_preference.is_some_and(|own| *preference >= own) {
            continue;
        }
        match addresses {
            Addresses::Unavailable => unavailable = true,
            Addresses::Found(of_host) => {
                let take = if one_each { 1 } else { ADDRESSES_MAX };
                for address in by_turns(of_host).into_iter().take(take) {
                    if list.len() < ADDRESSES_MAX && !list.contains(&address) {
                        list.push(address);
                    }
                }
            }
        }
    }
    match (list.is_empty(), unavailable, own_preference) {
        (false, ..) => Ok(list),
        (true, true, _) => Err(NoRoute::Unavailable),
        (true, false, Some(_)) => Err(NoRoute::Loop),
        (true, false, None) => Err(NoRoute::NoAddress),
    }
}

/// IPv6 and IPv4 by turns, without what is no host's address.
pub fn by_turns(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let usable = |address: &&IpAddr| !address.is_unspecified() && !address.is_multicast();
    let mut six = addresses.iter().filter(usable).filter(|address| address.is_ipv6());
    let mut four = addresses.iter().filter(usable).filter(|address| address.is_ipv4());
    let mut list = Vec::with_capacity(addresses.len());
    loop {
        match (six.next(), four.next()) {
            (None, None) => return list,
            (one, other) => list.extend(one.into_iter().chain(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).expect("a domain")
    }

    fn told(of: &str, exchange: &MailExchange) -> String {
        let (names, addresses) = ([domain("mx.here.example")], ["192.0.2.1".parse().expect("an address")]);
        let own = Own { names: &names, addresses: &addresses };
        match route(&domain(of), exchange, own, 7) {
            Err(why) => why.to_string(),
            Ok(route) => {
                let one = |(preference, hop): &(u16, Hop)| match hop {
                    Hop::Name(name) => format!("{preference} {name}"),
                    Hop::Address(address) => format!("{preference} [{address}]"),
                };
                route.hops.iter().map(one).collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn hosts_come_by_preference_and_never_at_or_behind_ourselves() {
        let records = |list: &[(u16, &str)]| {
            MailExchange::Records(list.iter().map(|(preference, name)| (*preference, (*name).to_owned())).collect())
        };
        for (of, exchange, expected) in [
            ("there.example", records(&[(20, "b.example."), (10, "A.example")]), "10 a.example, 20 b.example"),
            ("there.example", MailExchange::NoRecord, "0 there.example"),
            ("there.example", records(&[(0, ".")]), "5.1.10 the domain takes no mail"),
            ("there.example", records(&[(0, "."), (5, "a.example")]), "5 a.example"),
            ("there.example", records(&[]), "5.4.4 no host of the domain has an address"),
            ("there.example", MailExchange::NoDomain, "5.1.2 there is no such domain"),
            ("there.example", MailExchange::Unavailable, "4.4.3 the domain could not be looked up"),
            (
                "there.example",
                records(&[(5, "a.example"), (10, "MX.here.example."), (10, "b.example"), (20, "c.example")]),
                "5 a.example",
            ),
            (
                "there.example",
                records(&[(10, "mx.here.example"), (20, "c.example")]),
                "5.4.6 mail for the domain comes back to this host",
            ),
            ("mx.here.example", MailExchange::NoRecord, "5.4.6 mail for the domain comes back to this host"),
            ("[198.51.100.7]", MailExchange::Unavailable, "0 [198.51.100.7]"),
            ("198.51.100.7", MailExchange::Unavailable, "0 [198.51.100.7]"),
            ("[IPv6:2001:db8::7]", MailExchange::Unavailable, "0 [2001:db8::7]"),
            ("[192.0.2.1]", MailExchange::Unavailable, "5.4.6 mail for the domain comes back to this host"),
            ("[IPv6:::ffff:192.0.2.1]", MailExchange::Unavailable, "5.4.6 mail for the domain comes back to this host"),
        ] {
            assert_eq!(told(of, &exchange), expected, "{of} {exchange:?}");
        }
    }

    #[test]
    fn hosts_of_one_preference_take_turns() {
        let records =
            MailExchange::Records(["a.example", "b.example", "c.example"].map(|name| (10, name.to_owned())).to_vec());
        let first =
            |seed| route(&domain("x.example"), &records, Own::default(), seed).map(|route| route.hops[0].1.clone());
        let firsts: Vec<_> = (0..50).map(first).collect();
        let of = |name: &str| firsts.iter().filter(|one| **one == Ok(Hop::Name(name.into()))).count();
        assert!(["a.example", "b.example", "c.example"].iter().all(|name| of(name) > 3), "{firsts:?}");
        assert_eq!(first(3), first(3));
    }

    #[test]
    fn addresses_take_turns_by_family_and_ours_are_left_out() {
        let hop = |preference, name: &str| (preference, Hop::Name(name.into()));
        let route = Route { hops: vec![hop(5, "a"), hop(10, "b"), hop(20, "c")] };
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<IpAddr>>();
        let found = |texts: &[&str]| Addresses::Found(list(texts));
        let own = list(&["192.0.2.1"]);
        let own = Own { names: &[], addresses: &own };
        let of = |found: &[Addresses], one_each| addresses(&route, found, own, one_each);
        let a = || found(&["198.51.100.1", "198.51.100.2", "2001:db8::1", "0.0.0.0"]);
        let all = list(&["2001:db8::1", "198.51.100.1", "198.51.100.2", "198.51.100.9"]);
        assert_eq!(of(&[a(), found(&["198.51.100.9"]), Addresses::Unavailable], false), Ok(all));
        assert_eq!(of(&[a(), found(&["198.51.100.9"]), found(&[])], true), Ok(list(&["2001:db8::1", "198.51.100.9"])));
        assert_eq!(of(&[a(), found(&["192.0.2.1"]), found(&["198.51.100.9"])], true), Ok(list(&["2001:db8::1"])));
        assert_eq!(of(&[found(&["192.0.2.1"]), a(), a()], false), Err(NoRoute::Loop));
        assert_eq!(of(&[found(&[]), Addresses::Unavailable], false), Err(NoRoute::Unavailable));
        assert_eq!(of(&[found(&[]), found(&[]), found(&[])], false), Err(NoRoute::NoAddress));
    }

    proptest! {
        #[test]
        fn routes_are_bounded_and_in_order(records in prop::collection::vec((0u16..4, "[abc.]{0,3}|mx.here.example"), 0..40), seed in any::<u64>()) {
            let names = [domain("mx.here.example")];
            let own = Own { names: &names, addresses: &[] };
            if let Ok(route) = route(&domain("x.example"), &MailExchange::Records(records), own, seed) {
                prop_assert!(!route.hops.is_empty() && route.hops.len() <= HOSTS_MAX);
                prop_assert!(route.hops.is_sorted_by_key(|(preference, _)| *preference));
                prop_assert!(route.hops.iter().all(|(_, hop)| *hop != Hop::Name("mx.here.example".into())));
            }
        }
    }
}
