//! What delivery asks the DNS, as one core reaches it, and a stand-in that asks nobody.

use std::collections::{HashMap, HashSet};
use std::future::{Future, ready};
use std::net::IpAddr;
use std::pin::Pin;

use super::route::{Addresses, MailExchange};
use crate::mail::Domain;

/// Nobody said, in time or not usably. Never a reason to accept or to refuse for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("4.4.3 the DNS did not answer")]
pub struct Unavailable;

/// An answer on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The DNS. Nothing here blocks, and every answer comes within a bounded time; where nobody has one, that is an answer as well.
pub trait Names {
    /// What the DNS says of a domain's mail (RFC 5321 §5.1). CNAMEs are followed. An address literal has no record.
    fn mail_exchange<'a>(&'a self, domain: &Domain) -> Pending<'a, MailExchange>;

    /// The addresses of a host, of both families; none where there is no such name. A name that is an address is its own.
    fn addresses<'a>(&'a self, name: &str) -> Pending<'a, Addresses>;

    /// Whether a DNS list has the address (RFC 5782).
    fn listed<'a>(&'a self, zone: &str, address: IpAddr) -> Pending<'a, Result<bool, Unavailable>>;

    /// Whether of a host that has several addresses one alone is tried (James: `singleIPperMX`).
    fn one_address_each(&self) -> bool;

    /// Whether a domain has a mail server or, without a record of one, an address. One that takes no mail has none (RFC 7505).
    fn exists<'a>(&'a self, domain: &Domain) -> Pending<'a, Result<bool, Unavailable>> {
        let domain = domain.clone();
        Box::pin(async move {
            let Domain::Name(name) = &domain else { return Ok(true) };
            match self.mail_exchange(&domain).await {
                MailExchange::Records(records) => {
                    Ok(records.iter().any(|(_, host)| !host.trim_end_matches('.').is_empty()))
                }
                MailExchange::NoDomain => Ok(false),
                MailExchange::Unavailable => Err(Unavailable),
                MailExchange::NoRecord => match self.addresses(name).await {
                    Addresses::Found(addresses) => Ok(!addresses.is_empty()),
                    Addresses::Unavailable => Err(Unavailable),
                },
            }
        })
    }
}

/// Names that stand in memory. One that is not there is no name.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    exchanges: HashMap<Box<str>, MailExchange>,
    addresses: HashMap<Box<str>, Addresses>,
    listed: HashSet<(Box<str>, IpAddr)>,
    silent: bool,
    one_address_each: bool,
}

fn key(name: &str) -> Box<str> {
    name.trim_end_matches('.').to_ascii_lowercase().into()
}

impl Zone {
    /// With this answer for a domain's mail.
    pub fn with_exchange(mut self, domain: &str, exchange: MailExchange) -> Zone {
        self.exchanges.insert(key(domain), exchange);
        self
    }

    /// With hosts that take a domain's mail.
    pub fn with_hosts(self, domain: &str, hosts: &[(u16, &str)]) -> Zone {
        let records = hosts.iter().map(|(preference, host)| (*preference, (*host).to_owned())).collect();
        self.with_exchange(domain, MailExchange::Records(records))
    }

    /// With this answer for a host.
    pub fn with_addresses(mut self, name: &str, addresses: Addresses) -> Zone {
        self.addresses.insert(key(name), addresses);
        self
    }

    /// With the address in a list.
    pub fn with_listed(mut self, zone: &str, address: IpAddr) -> Zone {
        self.listed.insert((key(zone), address));
        self
    }

    /// With one address of each host.
    pub fn with_one_address_each(self) -> Zone {
        Zone { one_address_each: true, ..self }
    }

    /// Of which nobody says anything.
    pub fn silent() -> Zone {
        Zone { silent: true, ..Zone::default() }
    }
}

impl Names for Zone {
    fn mail_exchange<'a>(&'a self, domain: &Domain) -> Pending<'a, MailExchange> {
        let name = key(&domain.to_string());
        let exchange = self.exchanges.get(&name).cloned();
        let without = match (self.silent, domain, self.addresses.contains_key(&name)) {
            (_, Domain::Address(_), _) | (false, _, true) => MailExchange::NoRecord,
            (true, ..) => MailExchange::Unavailable,
            (false, _, false) => MailExchange::NoDomain,
        };
        Box::pin(ready(exchange.unwrap_or(without)))
    }

    fn addresses<'a>(&'a self, name: &str) -> Pending<'a, Addresses> {
        let own = name.parse().ok().map(|address| Addresses::Found(vec![address]));
        let found = own.or_else(|| self.addresses.get(&key(name)).cloned());
        let without = if self.silent { Addresses::Unavailable } else { Addresses::Found(Vec::new()) };
        Box::pin(ready(found.unwrap_or(without)))
    }

    fn listed<'a>(&'a self, zone: &str, address: IpAddr) -> Pending<'a, Result<bool, Unavailable>> {
        let listed = self.listed.contains(&(key(zone), address));
        Box::pin(ready(if self.silent { Err(Unavailable) } else { Ok(listed) }))
    }

    fn one_address_each(&self) -> bool {
        self.one_address_each
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;

    #[test]
    fn domains_exist_that_take_mail() {
        let address: IpAddr = "192.0.2.1".parse().expect("an address");
        let zone = Zone::default()
            .with_hosts("mail.example", &[(10, "mx.mail.example.")])
            .with_hosts("null.example", &[(0, ".")])
            .with_addresses("host.example", Addresses::Found(vec![address]))
            .with_exchange("text.example", MailExchange::NoRecord)
            .with_exchange("down.example", MailExchange::Unavailable)
            .with_exchange("half.example", MailExchange::NoRecord)
            .with_addresses("half.example", Addresses::Unavailable);
        for (domain, expected) in [
            ("Mail.example", Ok(true)),
            ("host.example", Ok(true)),
            ("[192.0.2.1]", Ok(true)),
            ("null.example", Ok(false)),
            ("text.example", Ok(false)),
            ("none.example", Ok(false)),
            ("down.example", Err(Unavailable)),
            ("half.example", Err(Unavailable)),
        ] {
            let domain = Domain::parse(domain).expect("a domain");
            assert_eq!(block_on(zone.exists(&domain)), expected, "{domain}");
        }
        let domain = Domain::parse("mail.example").expect("a domain");
        assert_eq!(block_on(Zone::silent().exists(&domain)), Err(Unavailable));
    }
}
