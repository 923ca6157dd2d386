//! SMTP (RFC 5321) and LMTP (RFC 2033) as they are spoken: lines, commands, message data, and both sides of the
//! dialogue.
//!
//! **Invariant:** nothing here does I/O, reads a clock or draws a random number. Octets and times come in as arguments;
//! what is to be done goes out as values.

pub mod client;
pub mod command;
pub mod data;
pub mod grammar;
pub mod line;
pub mod line_ends;
pub mod parameter;
pub mod received;
pub mod sasl;
pub mod server;
