//! The control plane: whatever may block or needs threads of its own, apart from the cores.
//!
//! Cores ask by message and wait for the answer as for any input; requests are bounded in number and time. It starts before
//! the cores do, and no core ever waits for one of its locks.

pub mod admin;
pub mod certificates;
pub mod client;
pub mod desk;
pub mod directory;
pub mod hashing;
pub mod journal;
pub mod logger;
pub mod names;
pub mod random;
pub mod signals;
pub mod space;
pub mod status;
pub mod watchdog;
