//! The nouns of mail, pure and shared by every floor above: addresses, envelopes, replies, ids, limits.
//!
//! **Invariant:** nothing here does I/O, reads a clock or draws a random number.

pub mod address;
pub mod date;
pub mod envelope;
pub mod id;
pub mod limits;
pub mod network;
pub mod reply;
pub mod tls;

pub use address::{AddressError, Domain, ForwardPath, Mailbox, ReversePath};
pub use envelope::{BodyType, Client, Content, Envelope, Protocol};
pub use id::{IdSource, MessageId, SessionId};
pub use network::{Network, Networks};
pub use reply::{EnhancedStatus, Reply, ReplyCode};
pub use tls::{CipherSuite, Tls, TlsVersion};
