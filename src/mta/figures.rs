//! What a shard has done and has before it, for whoever asks: written by its pulse, read by any thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The figures of one shard, up to a pulse old. Each stands alone.
#[derive(Debug, Default)]
pub struct Figures {
    accepted: AtomicU64,
    delivered: AtomicU64,
    deferred: AtomicU64,
    waiting: AtomicU64,
    spool_closed: AtomicBool,
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
    /// The spool takes nothing after a write error.
    pub spool_closed: bool,
}

impl Figures {
    /// Sets all of them.
    pub fn set(&self, now: Snapshot) {
        self.accepted.store(now.accepted, Ordering::Relaxed);
        self.delivered.store(now.delivered, Ordering::Relaxed);
        self.deferred.store(now.deferred, Ordering::Relaxed);
        self.waiting.store(now.waiting, Ordering::Relaxed);
        self.spool_closed.store(now.spool_closed, Ordering::Relaxed);
    }

    /// Reads all of them.
    pub fn get(&self) -> Snapshot {
        Snapshot {
            accepted: self.accepted.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            deferred: self.deferred.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            spool_closed: self.spool_closed.load(Ordering::Relaxed),
        }
    }
}
