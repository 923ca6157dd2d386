//! Matchers by where a mail came from and who authenticated.

use std::fmt;
use std::net::IpAddr;

use super::{Matched, Stop, View, listed};
use crate::mail::{Network, Networks};
use crate::mailet::header;
use crate::mailet::mail::{AUTH_NETWORK, AUTH_USER, SENT_BY_MAILET};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `SMTPAuthSuccessful`: somebody authenticated.
    AuthSuccessful,
    /// `SMTPIsAuthNetwork`: the client is in an authorised network.
    IsAuthNetwork,
    /// `SMTPAuthUserIs`: one of these authenticated, whatever the case.
    AuthUserIs(Vec<Box<str>>),
    /// `RemoteAddrInNetwork`, or the contrary.
    AddressIn {
        /// Networks.
        networks: Networks,
        /// `RemoteAddrNotInNetwork`.
        not: bool,
    },
    /// `XOriginatingIpInNetwork`: what X-Originating-IP says.
    OriginatingIn(Networks),
    /// `SentByMailet`: a mailet made it.
    SentByMailet,
    /// `SentByJmap`: nobody comes by JMAP here.
    SentByJmap,
}

impl Condition {
    pub(super) fn evaluate(&self, view: View<'_>) -> Result<Matched, Stop> {
        let user = || view.attribute(AUTH_USER);
        let is_true = |name| view.attribute(name).is_some_and(|value| value == "true");
        let matches = match self {
            Condition::AuthSuccessful => user().is_some(),
            Condition::IsAuthNetwork => is_true(AUTH_NETWORK),
            Condition::AuthUserIs(users) => {
                user().is_some_and(|user| users.iter().any(|one| one.to_lowercase() == user.to_lowercase()))
            }
            // A mail that was made here came from no network at all.
            Condition::AddressIn { networks, not } => {
                view.facts.client.is_some_and(|client| networks.contains(client) != *not)
            }
            Condition::OriginatingIn(networks) => {
                let header = view.header()?;
                let address = header::first(&header, "X-Originating-IP").and_then(|text| originating(&text));
                address.is_some_and(|address| networks.contains(address))
            }
            Condition::SentByMailet => is_true(SENT_BY_MAILET),
            Condition::SentByJmap => false,
        };
        Ok(Matched::all_if(matches))
    }
}

/// `[192.0.2.1]`, with its brackets or without.
fn originating(text: &str) -> Option<IpAddr> {
    text.trim().trim_start_matches('[').trim_end_matches(']').parse().ok()
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks = |networks: &Networks| listed::<Network>(&networks.0);
        match self {
            Condition::AuthSuccessful => f.write_str("SMTPAuthSuccessful"),
            Condition::IsAuthNetwork => f.write_str("SMTPIsAuthNetwork"),
            Condition::AuthUserIs(users) => write!(f, "SMTPAuthUserIs={}", listed(users)),
            Condition::AddressIn { networks: list, not: false } => write!(f, "RemoteAddrInNetwork={}", networks(list)),
            Condition::AddressIn { networks: list, not: true } => {
                write!(f, "RemoteAddrNotInNetwork={}", networks(list))
            }
            Condition::OriginatingIn(list) => write!(f, "XOriginatingIpInNetwork={}", networks(list)),
            Condition::SentByMailet => f.write_str("SentByMailet"),
            Condition::SentByJmap => f.write_str("SentByJmap"),
        }
    }
}
