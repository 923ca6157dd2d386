//! The nouns of mail, pure and shared by every floor above: addresses, envelopes, replies, ids, limits.
//!
//! **Invariant:** nothing here does I/O, reads a clock or draws a random number.

pub mod address;
pub mod date;
pub mod dsn;
pub mod envelope;
pub mod from;
pub mod id;
pub mod limits;
pub mod network;
pub mod octets;
pub mod reply;
pub mod scram;
pub mod tls;
pub mod user;

pub use address::{AddressError, Domain, ForwardPath, Mailbox, ReversePath};
pub use dsn::{ByMode, DeliverBy, Dsn, Notify, RecipientNote, Ret};
pub use envelope::{BodyType, Client, Content, Envelope, Protocol};
pub use id::{IdSource, MessageId, SessionId};
pub use network::{Network, Networks};
pub use reply::{EnhancedStatus, Reply, ReplyCode};
pub use scram::ScramCredentials;
pub use tls::{CipherSuite, EndPoint, Tls, TlsVersion};
pub use user::{Password, Username};
