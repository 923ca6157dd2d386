//! The spool: one append-only log a core, in segments; a message is on stable storage before anyone is told so.
//!
//! docs/SPOOL.md defines the states of a message, the format and what a crash makes of each state. Pure: [`checksum`], [`record`],
//! [`segment`], [`group_commit`], [`compaction`], [`recovery`], [`progress`], [`schedule`]. Async, over the seam: `log` (writer
//! and segments), `mover` (stragglers), `open` and `left` (what the last run left), [`incoming`] (a message on its way in), and
//! [`Spool`] itself.

pub mod checksum;
pub mod compaction;
mod envelope_codec;
pub mod group_commit;
pub mod incoming;
mod left;
mod log;
mod mover;
mod open;
pub mod outcome;
pub mod progress;
pub mod queue;
pub mod record;
pub mod recovery;
pub mod schedule;
pub mod segment;
mod store;

pub use envelope_codec::{Cursor, Malformed};
pub use incoming::{Committed, Incoming};
pub use left::{Left, Read};
pub use log::{Figures, LogEvent};
pub use open::{Begun, Opened};
pub use outcome::{Outcome, OutcomeResult};
pub use store::{Spool, Stored};

use std::time::Duration;

/// How a spool is laid out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Octets of a segment; a multiple of the block size.
    pub segment_octets: u64,
    /// Free segments that are kept ready, written before.
    pub prepared: u32,
    /// Segments of one core at most.
    pub max_segments: u32,
    /// Free octets of the file system below which no segment is added.
    pub reserve_octets: u64,
    /// Messages in the spool of one core at most.
    pub max_messages: usize,
    /// The longest that a message is put off: a clock that was set back while nothing ran delays none for longer.
    pub longest_delay: Duration,
}

/// Why a message is not on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room; there may be some later.
    #[error("the spool is full")]
    Full,
    /// It is larger than a record, or a chain of them, can be: never to be taken.
    #[error("the message is larger than the spool can hold")]
    TooLarge,
    /// Writing failed earlier: this spool takes nothing until the next start.
    #[error("the spool is closed after a write error")]
    Closed,
}
