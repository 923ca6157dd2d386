//! Signs of life of one core, read by the watchdog and by whoever asks how the server is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counted by the core itself, read by any thread. Relaxed throughout: each figure stands alone.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Goes up whenever the core's loop turns and finds something to do.
    progress: AtomicU64,
    /// Operations that the core has asked for (of the disk, of the control plane) and whose answers it has not yet used. What others
    /// may take as long for as they like (the DNS) is not among them.
    in_flight: AtomicU64,
    /// Connections that are open on this core.
    connections: AtomicU64,
    /// Times that the watchdog interrupted the core's wait.
    pokes: AtomicU64,
    /// Tasks that ended by a panic.
    panics: AtomicU64,
    /// The core has ended, on purpose or not.
    ended: AtomicBool,
}

macro_rules! counter {
    ($(#[$doc:meta])* $add:ident, $(#[$doc2:meta])* $get:ident, $field:ident) => {
        $(#[$doc])*
        pub fn $add(&self) {
            self.$field.fetch_add(1, Ordering::Relaxed);
        }

        $(#[$doc2])*
        pub fn $get(&self) -> u64 {
            self.$field.load(Ordering::Relaxed)
        }
    };
}

impl Vitals {
    counter!(
        /// The loop has turned and done something.
        progressed,
        /// Turns so far.
        progress,
        progress
    );
    counter!(
        /// An operation was asked for.
        begun,
        /// Operations whose answers are awaited.
        in_flight,
        in_flight
    );
    counter!(
        /// A connection was opened.
        connected,
        /// Open connections.
        connections,
        connections
    );
    counter!(
        /// The watchdog interrupted the core's wait.
        poked,
        /// Interruptions so far.
        pokes,
        pokes
    );
    counter!(
        /// A task ended by a panic.
        panicked,
        /// Panics so far.
        panics,
        panics
    );

    /// An operation's answer was used; the loop turns.
    pub fn done(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.progressed();
    }

    /// A connection was closed.
    pub fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// The core is no more.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether the core is no more.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}
