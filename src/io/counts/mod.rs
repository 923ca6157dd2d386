//! Connections counted by client address over all cores: never one too many, without a lock, and nothing left behind.
//!
//! `table` is the algorithm, alone, so that `tests/counts.rs` can compile it over loom's atomics and try every order in which
//! cores can meet; here are its size and the guard that gives a count back.

use std::hash::RandomState;
use std::sync::Arc;

pub mod table;

pub use table::{COUNT_MOST, Key};
use table::{Slot, Table, Taken};

/// What `table` needs of the machine; the model checker puts its own in place of it.
mod atomic {
    pub use std::hint::spin_loop as pause;
    pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}

/// Slots for each connection that there can be. With more than one, a search is short and the table is never full.
const SLOTS_PER_CONNECTION: usize = 2;

/// A core that meets the same rival so often takes it for suspended.
const COURTESY: u32 = 16;

/// Counts of connections by [`Key`]; clones share them.
#[derive(Clone, Debug)]
pub struct Counts(Arc<Table<RandomState>>);

impl Counts {
    /// Counts for at most `connections` at a time: as many as the process may have descriptors, since each that is counted
    /// holds one. Memory is 32 octets a slot, touched only where addresses are counted.
    ///
    /// Where a key lies follows from a seed of this process, so that nobody can choose addresses that crowd together.
    pub fn new(connections: usize) -> Counts {
        let slots = connections.max(1).saturating_mul(SLOTS_PER_CONNECTION).next_power_of_two();
        Counts(Arc::new(Table::new(free_slots(slots), RandomState::new(), COURTESY)))
    }

    /// Counts one more for `key` until what is returned is dropped; `None` where there are `limit` already.
    pub fn take(&self, key: &Key, limit: u32) -> Option<Counted> {
        match self.0.take(key, limit) {
            Taken::In(slot) => Some(Counted { counts: self.clone(), slot }),
            // A full table refuses: a limit that cannot be kept must not be exceeded instead.
            Taken::AtLimit | Taken::Full => None,
        }
    }

    /// Connections that are counted, and slots in use: both 0 when there is no connection.
    pub fn totals(&self) -> (u64, usize) {
        self.0.totals()
    }
}

/// Free slots that cost no memory before they are used.
fn free_slots(count: usize) -> Box<[Slot]> {
    // SAFETY: a slot consists of atomic integers, for which all zeros is a value.
    unsafe { Box::<[Slot]>::new_zeroed_slice(count).assume_init() }
}

/// A connection that counts; dropping it ends that.
#[derive(Debug)]
pub struct Counted {
    counts: Counts,
    slot: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.0.release(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::atomic::{AtomicU32, Ordering};

    fn key(number: u32) -> Key {
        Key::new(0, IpAddr::V4(Ipv4Addr::from_bits(number)), 64)
    }

    #[test]
    fn who_counts_together() {
        let of = |server, text: &str, prefix| Key::new(server, text.parse().unwrap(), prefix);
        assert_eq!(of(0, "2001:db8::1", 64), of(0, "2001:db8::ffff:0:0:2", 64));
        assert_ne!(of(0, "2001:db8::1", 64), of(0, "2001:db8:0:1::1", 64));
        assert_eq!(of(0, "2001:db8::1", 48), of(0, "2001:db8:0:1::1", 48));
        assert_ne!(of(0, "2001:db8::1", 128), of(0, "2001:db8::2", 128));
        assert_eq!(of(0, "8000::", 0), of(0, "ffff::", 1));
        assert_ne!(of(0, "192.0.2.1", 64), of(0, "192.0.2.2", 64));
        assert_eq!(of(0, "192.0.2.1", 64), of(0, "::ffff:192.0.2.1", 64));
        assert_ne!(of(0, "192.0.2.1", 64), of(1, "192.0.2.1", 64));
    }

    #[test]
    fn a_limit_holds_and_ends() {
        let counts = Counts::new(100);
        let held: Vec<_> = (0..9).filter_map(|_| counts.take(&key(1), 3)).collect();
        assert_eq!((held.len(), counts.totals()), (3, (3, 1)));
        assert!(counts.take(&key(2), 3).is_some());
        drop(held);
        assert_eq!(counts.totals(), (0, 0));
        assert!(counts.take(&key(1), 0).is_none());
        assert!(counts.take(&key(1), u32::MAX).is_some());
    }

    #[test]
    fn as_many_addresses_as_there_can_be_connections_find_room() {
        let counts = Counts::new(1000);
        for _ in 0..20 {
            let held: Vec<_> = (0..1000).filter_map(|number| counts.take(&key(number), 1)).collect();
            assert_eq!((held.len(), counts.totals()), (1000, (1000, 1000)));
            assert!((0..1000).all(|number| counts.take(&key(number), 1).is_none()));
        }
        assert_eq!(counts.totals(), (0, 0));
    }

    #[test]
    fn a_full_table_refuses() {
        let counts = Counts::new(1);
        let held: Vec<_> = (0..9).filter_map(|number| counts.take(&key(number), 1)).collect();
        assert_eq!(held.len(), 2);
    }

    /// Threads that come and go with few addresses in a small table, so that they meet at the same slots all the time. Each
    /// says of whom it holds how many; nobody may ever find more than the limit.
    #[test]
    fn a_storm_exceeds_no_limit_and_leaves_nothing() {
        const ADDRESSES: u32 = 7;
        const LIMIT: u32 = 3;
        const ROUNDS: u32 = 40_000;
        let counts = Counts::new(16);
        let held: Vec<AtomicU32> = (0..ADDRESSES).map(|_| AtomicU32::new(0)).collect();
        let storm = |thread: u32| {
            let (mut mine, mut refused) = (Vec::new(), 0);
            for round in 0..ROUNDS {
                let number = (round.wrapping_mul(0x9e37_79b9).rotate_left(thread * 7) >> 5) % ADDRESSES;
                match counts.take(&key(number), LIMIT) {
                    Some(counted) => {
                        assert!(held[number as usize].fetch_add(1, Ordering::SeqCst) < LIMIT);
                        mine.push((number, counted));
                    }
                    None => refused += 1,
                }
                if mine.len() > 2 || round % 5 == 0 || round + 1 == ROUNDS {
                    for (number, counted) in mine.drain(..) {
                        held[number as usize].fetch_sub(1, Ordering::SeqCst);
                        drop(counted);
                    }
                }
            }
            refused
        };
        let refused: u32 = std::thread::scope(|scope| {
            let storm = &storm;
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || storm(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(counts.totals(), (0, 0));
        assert!(refused > 0 && refused < 4 * ROUNDS, "{refused} were refused: the limit was never in question");
    }
}
