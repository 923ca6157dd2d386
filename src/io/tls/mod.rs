//! TLS over any [`Stream`](super::Stream): rustls driven by hand, so that an idle connection holds no buffer.
//!
//! `stream` is the connection, `transport` a connection that may or may not be in TLS, `identity` what the server shows of
//! itself, `settings` how it speaks, `tickets` what lets clients resume. Nothing here reads a file or waits for another core.

mod end_point;
mod exporter;
mod held;
mod identity;
mod settings;
mod stream;
mod tickets;
mod transport;

#[cfg(test)]
mod tests;

pub use identity::{Identities, Identity, IdentityError};
pub use settings::{Tickets, TlsSettings, roots, server_config};
pub use stream::TlsStream;
pub use tickets::{TicketKey, TicketKeys, use_ticket_keys};
pub use transport::Transport;

pub use rustls::ServerConfig;
pub use rustls::pki_types::{CertificateDer, PrivateKeyDer};
