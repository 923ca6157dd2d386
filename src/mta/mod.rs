//! The process: what joins sessions, spool, container and delivery, on every core.
//!
//! `accept` takes connections, `connection` holds the dialogue, `spooler` sees accepted messages through, `core` is what they
//! share on one core, `serve` starts and stops it all.

pub mod accept;
mod buffers;
pub mod connection;
pub mod core;
mod announcement;
pub mod error;
mod fleet;
mod holdings;
mod input;
pub mod patience;
pub mod placement;
pub mod requirements;
pub mod serve;
pub mod settings;
pub mod shard;
pub mod spooler;
mod translate;
