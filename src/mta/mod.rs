//! The process: what joins sessions, spool, container and delivery, on every core.
//!
//! `accept` takes connections (`acceptor` where threads of their own do), `gate` lets clients in, `connection` holds the
//! dialogue, `spooler` sees accepted messages through, `core` is what they share on one core, `serve` starts and stops it all.

pub mod accept;
pub mod acceptor;
pub mod backoff;
mod buffers;
mod channel;
mod content;
pub mod destination;
pub mod connection;
pub mod core;
mod announcement;
pub mod directory;
pub mod error;
mod errands;
mod figures;
mod filesystem;
mod fleet;
pub mod gate;
mod holdings;
mod huge_pages;
mod input;
pub mod journey;
mod kernel_tls;
pub mod login;
mod names;
pub mod outgoing;
pub mod pace;
pub mod patience;
pub mod placement;
pub mod proxy;
mod report;
pub mod reprocess;
pub mod requirements;
pub mod serve;
pub mod settings;
pub mod shard;
mod slowing;
pub mod spooler;
pub mod stopped_spool;
pub mod topology;
mod translate;
