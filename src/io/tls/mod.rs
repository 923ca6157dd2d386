//! TLS over any [`Stream`](super::Stream): rustls driven by hand, so that an idle connection holds no buffer.
//!
//! `stream` is the connection, at either end, `kernel` one whose records are the kernel's, `client` whom we believe at the other
//! end, `transport` a connection that may or may not be in TLS, `identity` what a server shows of itself, `settings` how it
//! speaks, `tickets` what lets clients resume. Nothing here reads a file or waits for another core.

mod agreed;
mod client;
mod end;
mod end_point;
mod exporter;
mod held;
mod identity;
mod kernel;
mod post_handshake;
mod settings;
mod stream;
mod tickets;
mod transport;

#[cfg(test)]
mod tests;

pub use agreed::Agreed;
pub use client::{ClientTls, ClientTlsConfig, Verification};
pub use identity::{Identities, Identity, IdentityError};
pub use kernel::KernelStream;
pub use settings::{ServerConfig, Tickets, TlsSettings, roots, server_config};
pub use stream::{ClientStream, TlsStream};
pub use tickets::{TicketKey, TicketKeys, use_ticket_keys};
pub use transport::Transport;

pub use rustls::RootCertStore;
pub use rustls::pki_types::{CertificateDer, PrivateKeyDer};
