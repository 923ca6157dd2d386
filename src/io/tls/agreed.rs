//! What both ends of a connection have agreed on.

use rustls::NamedGroup;

use crate::mail::{EndPoint, Tls};

/// What both ends of a connection have agreed on in their handshake.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// What it is secured with.
    pub tls: Tls,
    /// A secret of this connection alone, for proofs that are bound to it: tls-exporter (RFC 9266). `None` before TLS 1.3.
    pub exporter: Option<[u8; 32]>,
    /// tls-server-end-point (RFC 5929 §4), where a certificate was shown whose signature names its hash.
    pub end_point: Option<EndPoint>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    pub(super) group: Option<NamedGroup>,
}

impl Agreed {
    /// How the keys were agreed on, by the group's name.
    pub fn key_exchange(&self) -> String {
        self.group.map_or(String::new(), |group| format!("{group:?}"))
    }
}
