//! Events that are counted by key over all cores, and forgotten with time: a table of fixed size, without a lock.
//!
//! It is a memory, not an account. Each word of it is a tag of its key, a count and the time of the last event; a key lives in
//! one of a few places that follow from its hash, and where they are all taken, the one that says least gives way. So a flood
//! of keys makes it forget, never grow, and two cores that note something at the same moment may lose one of the two. The hash
//! is keyed with what nobody outside knows.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Places that a key may be in.
const WAYS: usize = 8;

/// After so many seconds a count is worth half.
pub const HALF_LIFE: u32 = 600;

/// Attempts to write a word that others write at the same time.
const TRIES: usize = 8;

const TIME_BITS: u32 = 24;
const COUNT_BITS: u32 = 8;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// What is remembered of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strikes {
    /// Events, each worth half after [`HALF_LIFE`]; at most 255.
    pub count: u32,
    /// Seconds since the last one. After 194 days it starts anew.
    pub age: u32,
}

/// The table.
#[derive(Debug)]
pub struct StrikeTable {
    /// 0 where nothing is; else the tag, which is never 0, then the count, then the time.
    words: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl StrikeTable {
    /// With room for `keys`, at 8 octets each.
    pub fn new(keys: usize) -> StrikeTable {
        let words = keys.div_ceil(WAYS).max(1) * WAYS;
        StrikeTable { words: (0..words).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }

    /// What is remembered of `key` at `now`, in seconds of any clock that all cores share.
    pub fn get(&self, key: &impl Hash, now: u32) -> Option<Strikes> {
        let (tag, ways) = self.place(key);
        ways.iter()
            .map(|way| way.load(Ordering::Acquire))
            .find(|word| tag_of(*word) == tag)
            .map(|word| decayed(word, now))
    }

    /// Notes one more event of `key`.
    pub fn add(&self, key: &impl Hash, now: u32) {
        let (tag, ways) = self.place(key);
        for _ in 0..TRIES {
            let words = ways.iter().map(|way| (way, way.load(Ordering::Acquire)));
            // The key's own place, else the one that says least.
            let value = |word: u64| {
                let Strikes { count, age } = decayed(word, now);
                (tag_of(word) != tag, word != 0, count, u32::MAX - age)
            };
            let Some((way, word)) = words.min_by_key(|(_, word)| value(*word)) else { return };
            let before = if tag_of(word) == tag { decayed(word, now).count } else { 0 };
            let count = u64::from((before + 1).min((1 << COUNT_BITS) - 1));
            let noted = tag << 32 | count << TIME_BITS | (u64::from(now) & TIME);
            if way.compare_exchange(word, noted, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    fn place(&self, key: &impl Hash) -> (u64, &[AtomicU64]) {
        let hash = self.hasher.hash_one(key);
        let sets = self.words.len() / WAYS;
        let first = (hash as usize % sets) * WAYS;
        ((hash >> 32) | 1, self.words.get(first..first + WAYS).unwrap_or_default())
    }
}

fn tag_of(word: u64) -> u64 {
    word >> 32
}

fn decayed(word: u64, now: u32) -> Strikes {
    let age = (u64::from(now).wrapping_sub(word) & TIME) as u32;
    let count = (word >> TIME_BITS) as u32 & ((1 << COUNT_BITS) - 1);
    Strikes { count: count.checked_shr(age / HALF_LIFE).unwrap_or(0), age }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_and_forgotten() {
        let table = StrikeTable::new(64);
        assert_eq!(table.get(&"a", 5), None);
        (0..4).for_each(|_| table.add(&"a", 100));
        assert_eq!(table.get(&"a", 101), Some(Strikes { count: 4, age: 1 }));
        assert_eq!(table.get(&"b", 101), None);
        assert_eq!(table.get(&"a", 100 + HALF_LIFE).map(|strikes| strikes.count), Some(2));
        assert_eq!(table.get(&"a", 100 + 40 * HALF_LIFE).map(|strikes| strikes.count), Some(0));
        table.add(&"a", 100 + HALF_LIFE);
        assert_eq!(table.get(&"a", 100 + HALF_LIFE).map(|strikes| strikes.count), Some(3));
    }

    #[test]
    fn counts_end_somewhere() {
        let table = StrikeTable::new(8);
        (0..1000).for_each(|_| table.add(&1, 7));
        assert_eq!(table.get(&1, 7), Some(Strikes { count: 255, age: 0 }));
    }

    #[test]
    fn a_flood_makes_it_forget_what_says_least() {
        let table = StrikeTable::new(8);
        (0..3).for_each(|_| table.add(&"often", 10));
        (0..1000).for_each(|key| table.add(&key, 10));
        assert_eq!(table.get(&"often", 10).map(|strikes| strikes.count), Some(3));
        assert_eq!((0..1000).filter(|key| table.get(key, 10).is_some()).count(), 7);
    }

    #[test]
    fn cores_count_together() {
        let table = StrikeTable::new(1024);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|key| table.add(&key, 1)));
            }
        });
        assert!((0..50).all(|key| (1..=4).contains(&table.get(&key, 1).map_or(0, |strikes| strikes.count))));
    }
}
