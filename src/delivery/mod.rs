//! Bringing messages to where they are to go. Content comes as slices from whoever reads the spool.

pub mod exchange;
pub mod judge;
pub mod lane;
mod answered;
pub mod maildir;
pub mod names;
pub mod repository;
pub mod retry;
pub mod route;
pub mod schedule;
pub mod settings;
mod shared_sync;
pub mod text;
pub mod wire;
mod writing;

pub use maildir::{Delivered, Maildirs};
pub use names::Names;
pub use retry::Retry;
