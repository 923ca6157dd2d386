//! The table itself: open addressing over slots that cores change by compare-and-swap alone.
//!
//! **A slot** is a word and a key. The word holds the slot's *generation*, its *state* and a *count*; the key belongs to the
//! generation, is written only by the core that has claimed the slot, and is believed only while the word still says the
//! same. A key's *home* follows from its hash, and its slot lies somewhere from there on, no further than the home's *reach*,
//! which only grows.
//!
//! ```text
//!   FREE ──▶ CLAIMED ──▶ CONTENDING ──▶ LIVE, count ≥ 1 ──▶ FREE, next generation
//!            key written     └────────▶ BEATEN ───────────▶ FREE, next generation
//! ```
//!
//! **At most one slot of a key is LIVE.** To become so, a slot contends: its core makes the reach cover it, writes the key,
//! sets CONTENDING, issues a fence, and only then looks at every slot of the reach. Of two cores that contend for the same
//! key the fences let at least one see the other. Whoever finds the key LIVE gives up; whoever finds it CONTENDING in a later
//! slot beats it, so that it can become LIVE no more; whoever finds it in an earlier slot gives up in favour of it. A slot
//! that becomes LIVE was therefore alone. Only a slot's own core takes it out of CLAIMED, CONTENDING and BEATEN, so nothing
//! is ever waited for: a core that finds the same rival again and again (it may be suspended) beats it wherever it stands.
//!
//! **Nothing leaks.** A slot is FREE again with the compare-and-swap that takes its last count away. There are no tombstones:
//! a search goes as far as the reach and does not stop at free slots.

use std::hash::BuildHasher;
use std::net::IpAddr;

use super::atomic::{AtomicU32, AtomicU64, Ordering, fence, pause};

/// What is counted: connections of one client, or of one network, with one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    server: u32,
    /// An IPv4 address as it is mapped into IPv6, or the first bits of an IPv6 one.
    address: u128,
}

impl Key {
    /// The key of `address` with the server of that place. IPv6 addresses that share their first `prefix` bits (from 1 to
    /// 128) are one client; IPv4 addresses always count alone, those mapped into IPv6 too.
    pub fn new(server: u32, address: IpAddr, prefix: u8) -> Key {
        let address = match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits() & u128::MAX << (128 - u32::from(prefix.clamp(1, 128))),
        };
        Key { server, address }
    }

    /// The key of something else than an address: of a hash that is as good as the thing itself.
    pub fn of_hash(server: u32, hash: u128) -> Key {
        Key { server, address: hash }
    }
}

const STATE: u64 = 0b111 << COUNT_BITS;
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const GENERATION: u64 = 1 << (COUNT_BITS + 3);

const FREE: u64 = 0;
const CLAIMED: u64 = 1 << COUNT_BITS;
const CONTENDING: u64 = 2 << COUNT_BITS;
const BEATEN: u64 = 3 << COUNT_BITS;
const LIVE: u64 = 4 << COUNT_BITS;

/// The most that can be counted for one key.
pub const COUNT_MOST: u32 = COUNT as u32;

/// One place of the table. All zeros is a free one.
#[derive(Debug, Default)]
pub struct Slot {
    word: AtomicU64,
    high: AtomicU64,
    low: AtomicU64,
    server: AtomicU32,
    /// Of keys whose home this slot is: how many slots further the furthest has ever been.
    reach: AtomicU32,
}

impl Slot {
    /// Part of a whole that the word guards: see [`Slot::holds`].
    fn write_key(&self, key: &Key) {
        self.high.store((key.address >> 64) as u64, Ordering::Release);
        self.low.store(key.address as u64, Ordering::Release);
        self.server.store(key.server, Ordering::Release);
    }

    /// Whether the slot's key is this one. Means something only if the word is the same before and after.
    fn holds(&self, key: &Key) -> bool {
        self.low.load(Ordering::Acquire) == key.address as u64
            && self.high.load(Ordering::Acquire) == (key.address >> 64) as u64
            && self.server.load(Ordering::Acquire) == key.server
    }

    /// The word, if the slot is LIVE or CONTENDING with this key. A word that changes meanwhile is read again: it may be the
    /// same key's, with another count.
    fn word_of(&self, key: &Key) -> Option<u64> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let theirs = matches!(word & STATE, LIVE | CONTENDING) && self.holds(key);
            match self.word.load(Ordering::Acquire) {
                same if same == word => return theirs.then_some(word),
                other => word = other,
            }
        }
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The word with another state and no count.
fn with_state(word: u64, state: u64) -> u64 {
    word & !(STATE | COUNT) | state
}

/// The free word of the next generation.
fn next_generation(word: u64) -> u64 {
    with_state(word, FREE).wrapping_add(GENERATION)
}

/// What came of an attempt to count one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Counted, in this slot.
    In(usize),
    /// There are as many as may be.
    AtLimit,
    /// Every slot is taken. Cannot happen while the table has more slots than there can be connections.
    Full,
}

/// Counts by key.
#[derive(Debug)]
pub struct Table<H> {
    slots: Box<[Slot]>,
    hasher: H,
    courtesy: u32,
}

impl<H: BuildHasher> Table<H> {
    /// Over free slots, a power of two of them. Each time but every `courtesy`-th a core gives way to a rival in an earlier
    /// slot; then it beats it.
    pub fn new(slots: Box<[Slot]>, hasher: H, courtesy: u32) -> Table<H> {
        assert!(slots.len().is_power_of_two() && courtesy > 0, "a table has a power of two of slots");
        Table { slots, hasher, courtesy }
    }

    /// Counts one more for `key`, unless there are `limit` already.
    pub fn take(&self, key: &Key, limit: u32) -> Taken {
        let limit = limit.min(COUNT_MOST);
        if limit == 0 {
            return Taken::AtLimit;
        }
        let home = self.hasher.hash_one(key) as usize & (self.slots.len() - 1);
        for attempt in 1u32.. {
            if let Some(taken) = self.add(home, key, limit) {
                return taken;
            }
            let Some((at, generation)) = self.claim(home, key) else { return Taken::Full };
            if self.contend(home, at, generation, key, !attempt.is_multiple_of(self.courtesy)) {
                return Taken::In(at);
            }
            pause();
        }
        Taken::Full
    }

    /// Counts one less in a slot that [`Table::take`] has given; once for each time.
    pub fn release(&self, at: usize) {
        let slot = &self.slots[at];
        let mut word = slot.word.load(Ordering::Acquire);
        loop {
            let less = if word & COUNT == 1 { next_generation(word) } else { word - 1 };
            match slot.word.compare_exchange(word, less, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// All that is counted at this moment, and the slots that are not free; exact while nobody changes anything.
    pub fn totals(&self) -> (u64, usize) {
        let words = self.slots.iter().map(|slot| slot.word.load(Ordering::Acquire));
        words.fold((0, 0), |(count, used), word| (count + (word & COUNT), used + usize::from(word & STATE != FREE)))
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Counts one more where the key is LIVE; `None` where it was not found so.
    fn add(&self, home: usize, key: &Key, limit: u32) -> Option<Taken> {
        for at in self.reach(home) {
            let slot = &self.slots[at];
            while let Some(word) = slot.word_of(key).filter(|word| word & STATE == LIVE) {
                if word & COUNT >= u64::from(limit) {
                    return Some(Taken::AtLimit);
                }
                if slot.change(word, word + 1) {
                    return Some(Taken::In(at));
                }
            }
        }
        None
    }

    /// Claims a free slot and writes the key into it: its place and the word it has now.
    fn claim(&self, home: usize, key: &Key) -> Option<(usize, u64)> {
        for distance in 0..self.slots.len() {
            let at = self.at(home, distance);
            let slot = &self.slots[at];
            let word = slot.word.load(Ordering::Acquire);
            let claimed = with_state(word, CLAIMED);
            if word & STATE == FREE && slot.change(word, claimed) {
                self.slots[home].reach.fetch_max(distance as u32, Ordering::AcqRel);
                slot.write_key(key);
                return Some((at, claimed));
            }
        }
        None
    }

    /// Tries to make a claimed slot the key's only LIVE one; frees it if that fails.
    fn contend(&self, home: usize, at: usize, claimed: u64, key: &Key, courteous: bool) -> bool {
        let slot = &self.slots[at];
        let contending = with_state(claimed, CONTENDING);
        slot.word.store(contending, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.is_alone(home, at, key, courteous) && slot.change(contending, with_state(claimed, LIVE) | 1) {
            return true;
        }
        // It may have been beaten: a swap comes after that, where a store might come before.
        slot.word.swap(next_generation(claimed), Ordering::AcqRel);
        false
    }

    /// Looks for the key in other slots, and beats those that may be beaten.
    fn is_alone(&self, home: usize, mine: usize, key: &Key, courteous: bool) -> bool {
        let mut passed_mine = false;
        for at in self.reach(home) {
            if at == mine {
                passed_mine = true;
                continue;
            }
            let slot = &self.slots[at];
            while let Some(word) = slot.word_of(key) {
                if word & STATE == LIVE || courteous && !passed_mine {
                    return false;
                }
                slot.change(word, with_state(word, BEATEN));
            }
        }
        true
    }

    fn at(&self, home: usize, distance: usize) -> usize {
        (home + distance) & (self.slots.len() - 1)
    }

    /// The slots in which a key with this home can be.
    fn reach(&self, home: usize) -> impl Iterator<Item = usize> {
        let reach = self.slots[home].reach.load(Ordering::Acquire) as usize;
        (0..=reach).map(move |distance| self.at(home, distance))
    }
}
