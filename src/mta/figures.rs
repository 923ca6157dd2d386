//! What a shard has done and has before it, for whoever asks: written by its pulse, read by any thread.

use std::sync::atomic::{AtomicU64, Ordering};

use super::outgoing;
use crate::spool;

/// The figures of one shard, up to a pulse old. Each stands alone.
#[derive(Debug, Default)]
pub struct Figures {
    accepted: AtomicU64,
    delivered: AtomicU64,
    deferred: AtomicU64,
    waiting: AtomicU64,
    segments: AtomicU64,
    free_segments: AtomicU64,
    octets: AtomicU64,
    unread_segments: AtomicU64,
    slowest_write: AtomicU64,
    batches: AtomicU64,
    spool: AtomicU64,
    outgoing: [AtomicU64; 7],
}

/// The figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Messages accepted since the start.
    pub accepted: u64,
    /// Recipients delivered to since the start.
    pub delivered: u64,
    /// Attempts at recipients that failed and will be repeated.
    pub deferred: u64,
    /// Messages in the spool with something left to do.
    pub waiting: u64,
    /// Segments of its log in use.
    pub segments: u64,
    /// Free ones.
    pub free_segments: u64,
    /// Octets of the records in them that are needed.
    pub octets: u64,
    /// Segments of what the last run left that are still to be read.
    pub unread_segments: u64,
    /// Microseconds that the slowest write and sync of the last minute took.
    pub slowest_write: u64,
    /// Batches of records that were written and synced since the start.
    pub batches: u64,
    /// What it takes.
    pub spool: SpoolState,
    /// What leaves.
    pub outgoing: outgoing::Figures,
}

/// What a spool takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpoolState {
    /// Everything.
    #[default]
    Open,
    /// What still finds room: no further segment can be made.
    Full,
    /// Nothing until the next start.
    Closed,
}

impl SpoolState {
    const ALL: [SpoolState; 3] = [SpoolState::Open, SpoolState::Full, SpoolState::Closed];

    /// As operators read it.
    pub fn name(self) -> &'static str {
        match self {
            SpoolState::Open => "open",
            SpoolState::Full => "full",
            SpoolState::Closed => "closed",
        }
    }
}

impl From<&spool::Figures> for SpoolState {
    fn from(figures: &spool::Figures) -> SpoolState {
        match figures {
            figures if figures.closed => SpoolState::Closed,
            figures if figures.full => SpoolState::Full,
            _ => SpoolState::Open,
        }
    }
}

impl Figures {
    /// Sets all of them.
    pub fn set(&self, now: Snapshot) {
        self.accepted.store(now.accepted, Ordering::Relaxed);
        self.delivered.store(now.delivered, Ordering::Relaxed);
        self.deferred.store(now.deferred, Ordering::Relaxed);
        self.waiting.store(now.waiting, Ordering::Relaxed);
        self.segments.store(now.segments, Ordering::Relaxed);
        self.free_segments.store(now.free_segments, Ordering::Relaxed);
        self.octets.store(now.octets, Ordering::Relaxed);
        self.unread_segments.store(now.unread_segments, Ordering::Relaxed);
        self.slowest_write.store(now.slowest_write, Ordering::Relaxed);
        self.batches.store(now.batches, Ordering::Relaxed);
        self.spool.store(now.spool as u64, Ordering::Relaxed);
        for (own, now) in self.outgoing.iter().zip(now.outgoing.numbers()) {
            own.store(now, Ordering::Relaxed);
        }
    }

    /// Reads all of them.
    pub fn get(&self) -> Snapshot {
        Snapshot {
            accepted: self.accepted.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            deferred: self.deferred.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            segments: self.segments.load(Ordering::Relaxed),
            free_segments: self.free_segments.load(Ordering::Relaxed),
            octets: self.octets.load(Ordering::Relaxed),
            unread_segments: self.unread_segments.load(Ordering::Relaxed),
            slowest_write: self.slowest_write.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            outgoing: outgoing::Figures::of_numbers(std::array::from_fn(|place| {
                self.outgoing[place].load(Ordering::Relaxed)
            })),
            spool: SpoolState::ALL[(self.spool.load(Ordering::Relaxed) as usize).min(2)],
        }
    }
}
