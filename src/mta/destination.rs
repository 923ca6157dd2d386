//! Where mail goes that leaves this host.

use std::fmt;

use crate::mail::Domain;

/// A next hop, or those who are one together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// The hosts that take mail for a domain.
    Domain {
        /// The `RemoteDelivery`, by its place in the file.
        remote: u16,
        /// The domain.
        domain: Domain,
    },
    /// The gateways that a `RemoteDelivery` names.
    Gateways {
        /// The `RemoteDelivery`, by its place in the file.
        remote: u16,
    },
    /// The server that an `LmtpDelivery` names, by its place in the file.
    Lmtp(u16),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Domain { domain, .. } => domain.fmt(f),
            Destination::Gateways { remote } => write!(f, "gateways of RemoteDelivery {}", remote + 1),
            Destination::Lmtp(place) => write!(f, "LmtpDelivery {}", place + 1),
        }
    }
}
