//! What `RemoteDelivery` and `LmtpDelivery` are told.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::schedule::Schedule;

/// A host that takes all mail, instead of those that the recipients' domains name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// A name or an address.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
}

/// How a connection is made safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Security {
    /// STARTTLS where it is offered (RFC 7435); nothing else is lost where it fails.
    #[default]
    Opportunistic,
    /// STARTTLS, or no mail (`startTLS`).
    StartTls,
    /// TLS from the first octet, on port 465 (`sslEnable`, RFC 8314 §3.3); else port 25, as James does.
    Implicit,
}

/// Who a host must prove to be, where TLS is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The name it was called by, in a certificate that is trusted (`verifyServerIdentity`).
    Name,
    /// Anybody whose certificate is trusted.
    Authority,
    /// Anybody (`sslTrustAllCerts`).
    Anybody,
}

/// A name and a password for gateways.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: Box<str>,
    /// The password.
    pub password: Box<str>,
}

/// Without the password: a hash of these is kept where the password is not.
impl std::hash::Hash for Credentials {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.username.hash(state);
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// `RemoteDelivery`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteSettings {
    /// `delayTime` and `maxRetries`: when what was not taken yet is tried again.
    pub schedule: Schedule,
    /// `maxDnsProblemRetries`: how often, where a domain names no host.
    pub dns_retries: u32,
    /// `timeout`: for one reply.
    pub timeout: Duration,
    /// `connectionTimeout`.
    pub connect_timeout: Duration,
    /// `bounceProcessor`: where mail goes that is given up; a report is sent where none is named.
    pub bounce_processor: Option<Box<str>>,
    /// `onSuccess`: where a mail goes that was taken.
    pub on_success: Option<Box<str>>,
    /// `startTLS`, `sslEnable`.
    pub security: Security,
    /// `verifyServerIdentity`, `sslTrustAllCerts`.
    pub trust: Trust,
    /// `gateway`, in the order of the file.
    pub gateways: Vec<Gateway>,
    /// `gatewayUsername`, `gatewayPassword`.
    pub credentials: Option<Credentials>,
    /// `loadBalancing`: gateways in any order, not in that of the file.
    pub load_balancing: bool,
    /// `heloName`: what this host calls itself; its usual name where none is given.
    pub helo_name: Option<Box<str>>,
    /// `bind`: the address that connections come from.
    pub bind: Option<IpAddr>,
}

/// Where an LMTP server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LmtpPlace {
    /// On a host.
    Tcp(Gateway),
    /// On a socket of this host.
    Unix(PathBuf),
}

/// `LmtpDelivery`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LmtpSettings {
    /// `host` and `port`, or `socket`.
    pub place: LmtpPlace,
    /// `timeout`: for one reply.
    pub timeout: Duration,
    /// `connectionTimeout`.
    pub connect_timeout: Duration,
    /// `delayTime` and `maxRetries`.
    pub schedule: Schedule,
}
