//! What an answer of the DNS means for mail: there, nothing there, no such name, or no answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record};

use super::{Answer, LONGEST, Question, UNANSWERED, whole};
use crate::delivery::names::Unavailable;
use crate::delivery::route::{Addresses, MailExchange};

/// Records of one answer that are looked at further: those of the lowest preferences. Delivery tries 20.
pub const RECORDS_MAX: usize = 32;

/// An answer, and for how long it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The answer.
    pub answer: Answer,
    /// How long it may be remembered.
    pub lasts: Duration,
    /// It came from a server that is authoritative for it.
    pub authoritative: bool,
}

impl Told {
    /// Nobody answered.
    pub fn unanswered(question: &Question) -> Told {
        Told { answer: question.unavailable(), lasts: UNANSWERED, authoritative: false }
    }

    fn unavailable(answer: Answer) -> Told {
        Told { answer, lasts: UNANSWERED, authoritative: false }
    }

    /// With the longest time that it is remembered that there is nothing, where this is such an answer.
    pub fn within(self, negative: Option<Duration>) -> Told {
        let is_nothing = match &self.answer {
            Answer::MailExchange(exchange) => matches!(exchange, MailExchange::NoDomain | MailExchange::NoRecord),
            Answer::Addresses(Addresses::Found(addresses)) => addresses.is_empty(),
            Answer::Listed(listed) => *listed == Ok(false),
            Answer::Addresses(Addresses::Unavailable) => false,
        };
        match negative.filter(|_| is_nothing) {
            Some(most) => Told { lasts: self.lasts.min(most), ..self },
            None => self,
        }
    }
}

/// What the DNS said of one kind of record.
enum Said {
    /// These, and so long.
    Records(Vec<RData>, Duration, bool),
    /// The name is there, and has none of the kind.
    Nothing(Duration),
    /// There is no such name.
    NoName(Duration),
    /// Nobody said.
    Unavailable,
}

impl Said {
    fn of(result: Result<Lookup, NetError>, is_wanted: fn(&RData) -> bool) -> Said {
        match result {
            Ok(lookup) => {
                let lasts = lookup.valid_until().saturating_duration_since(Instant::now()).min(LONGEST);
                let authoritative = lookup.message().metadata.authoritative;
                let records = at_the_end(lookup.query().name(), lookup.answers());
                let found: Vec<RData> =
                    records.map(|record| &record.data).filter(|data| is_wanted(data)).cloned().collect();
                if found.is_empty() {
                    Said::Nothing(Duration::ZERO)
                } else {
                    Said::Records(found, lasts, authoritative)
                }
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, negative_ttl, .. }))) => {
                // Without a SOA it is not to be remembered (RFC 2308 §5).
                let lasts = Duration::from_secs(negative_ttl.unwrap_or(0).into()).min(LONGEST);
                match response_code {
                    ResponseCode::NXDomain => Said::NoName(lasts),
                    ResponseCode::NoError => Said::Nothing(lasts),
                    _ => Said::Unavailable,
                }
            }
            Err(_) => Said::Unavailable,
        }
    }
}

/// The records of the name itself, and of those that it is another name for.
fn at_the_end<'a>(name: &'a Name, answers: &'a [Record]) -> impl Iterator<Item = &'a Record> {
    let aliases: Vec<&Name> = answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::CNAME(alias) => Some(&alias.0),
            _ => None,
        })
        .collect();
    answers.iter().filter(move |record| record.name == *name || aliases.contains(&&record.name))
}

/// Of a domain's mail.
pub fn mail_exchange(result: Result<Lookup, NetError>) -> Told {
    let told = |exchange, lasts, authoritative| Told { answer: Answer::MailExchange(exchange), lasts, authoritative };
    match Said::of(result, |data| matches!(data, RData::MX(_))) {
        Said::Records(records, lasts, authoritative) => {
            let mut hosts: Vec<(u16, String)> = records
                .into_iter()
                .filter_map(|data| match data {
                    RData::MX(exchange) => Some((exchange.preference, exchange.exchange.to_ascii())),
                    _ => None,
                })
                .collect();
            hosts.sort_by_key(|(preference, _)| *preference);
            hosts.truncate(RECORDS_MAX);
            told(MailExchange::Records(hosts), lasts, authoritative)
        }
        Said::Nothing(lasts) => told(MailExchange::NoRecord, lasts, false),
        Said::NoName(lasts) => told(MailExchange::NoDomain, lasts, false),
        Said::Unavailable => Told::unavailable(Answer::MailExchange(MailExchange::Unavailable)),
    }
}

/// Of a host's addresses of both families. One family that nobody said anything of is done without if the other has some.
pub fn addresses(six: Result<Lookup, NetError>, four: Result<Lookup, NetError>) -> Told {
    let both =
        [Said::of(six, |data| matches!(data, RData::AAAA(_))), Said::of(four, |data| matches!(data, RData::A(_)))];
    let (mut found, mut shortest, mut all_said, mut authoritative) = (Vec::new(), LONGEST, true, true);
    for said in both {
        let lasts = match said {
            Said::Records(records, lasts, by_authority) => {
                found.extend(records.into_iter().filter_map(address).take(RECORDS_MAX));
                authoritative &= by_authority;
                lasts
            }
            Said::Nothing(lasts) | Said::NoName(lasts) => {
                authoritative = false;
                lasts
            }
            Said::Unavailable => {
                (all_said, authoritative) = (false, false);
                UNANSWERED
            }
        };
        shortest = shortest.min(lasts);
    }
    match found.is_empty() && !all_said {
        true => Told::unavailable(Answer::Addresses(Addresses::Unavailable)),
        false => Told { answer: Answer::Addresses(Addresses::Found(found)), lasts: shortest, authoritative },
    }
}

fn address(data: RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

/// Of a DNS list (RFC 5782 §2.1): an entry is an address in 127.0.0.0/8. Those in 127.255.255.0/24 are how public lists say
/// that they do not answer whoever asks; anything else comes from somebody who makes up answers.
pub fn listed(result: Result<Lookup, NetError>) -> Told {
    let told = |listed, lasts, authoritative| Told { answer: Answer::Listed(listed), lasts, authoritative };
    match Said::of(result, |data| matches!(data, RData::A(_))) {
        Said::Records(records, lasts, authoritative) => {
            let entries: Vec<Ipv4Addr> = records
                .into_iter()
                .filter_map(|data| match data {
                    RData::A(address) => Some(address.0),
                    _ => None,
                })
                .collect();
            let refuses = |entry: &Ipv4Addr| entry.octets()[..3] == [127, 255, 255];
            match entries.iter().any(|entry| entry.is_loopback() && !refuses(entry)) {
                true => told(Ok(true), lasts, authoritative),
                false if entries.iter().any(refuses) => Told::unavailable(Answer::Listed(Err(Unavailable))),
                false => told(Ok(false), lasts, authoritative),
            }
        }
        Said::Nothing(lasts) | Said::NoName(lasts) => told(Ok(false), lasts, false),
        Said::Unavailable => Told::unavailable(Answer::Listed(Err(Unavailable))),
    }
}

/// The name that a question is asked of; `None` where what is asked is no name that the DNS can have.
pub fn asked_name(question: &Question) -> Option<Name> {
    match question {
        Question::MailExchange(name) | Question::Addresses(name) => whole(name),
        Question::Listed(zone, address) => whole(&format!("{}.{}", reversed(*address), zone.trim_matches('.'))),
    }
}

/// An address as lists have it (RFC 5782 §2.1, §2.4).
fn reversed(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(four) => {
            let [a, b, c, d] = four.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(six) => nibbles(six),
    }
}

fn nibbles(address: Ipv6Addr) -> String {
    let octets = address.octets();
    let nibbles = octets.iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
    nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_asked_backwards() {
        let asked = |zone: &str, address: &str| {
            asked_name(&Question::Listed(zone.into(), address.parse().expect("an address"))).map(|name| name.to_ascii())
        };
        assert_eq!(asked("bl.example", "192.0.2.99").as_deref(), Some("99.2.0.192.bl.example."));
        assert_eq!(asked("bl.example.", "::ffff:192.0.2.99").as_deref(), Some("99.2.0.192.bl.example."));
        let expected = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example.";
        assert_eq!(asked("bl.example", "2001:db8::1").as_deref(), Some(expected));
    }

    #[test]
    fn what_no_name_can_be_is_not_asked() {
        let asked = |name: &str| asked_name(&Question::MailExchange(name.into())).map(|name| name.to_ascii());
        assert_eq!(asked("Example.ORG").as_deref(), Some("Example.ORG."));
        assert_eq!(asked("example.org.").as_deref(), Some("example.org."));
        assert_eq!(asked("b\u{fc}cher.example").as_deref(), Some("xn--bcher-kva.example."));
        let long = "a".repeat(64);
        for bad in ["", ".", "a..b", &long, &"abcdefgh.".repeat(40)] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }
}
